//! TCA_TBF_*: tbf_change(), tbf_dump().

use alloc::vec::Vec;

use switchboard_abi::Errno;
use switchboard_device::{RateSpec, TbfConfig};

use super::super::super::super::message::Refusal;
use super::super::refuse;
use super::{Nest, put, words};

/// Nanoseconds of a tick (PSCHED_SHIFT).
const TICK: u64 = 64;
/// TC_LINKLAYER_ATM
const ATM: u8 = 2;

/// `struct tc_ratespec`, the rate as TCA_TBF_RATE64 or TCA_TBF_PRATE64 may have it.
#[derive(Clone, Copy, Debug)]
struct Rate {
    layer: u8,
    spec: RateSpec,
}

impl Rate {
    fn of(data: &[u8], wide: Option<u64>) -> Result<Rate, Refusal> {
        let [first, second, rate] = words::<3>(data)?;
        let ([_, layer, o1, o2], [_, _, m1, m2]) = (first.to_ne_bytes(), second.to_ne_bytes());
        // TC_LINKLAYER_MASK
        let layer = layer & 0x0f;
        Ok(Rate {
            layer,
            spec: RateSpec {
                bytes_per_second: u64::from(rate).max(wide.unwrap_or(0)),
                overhead: u16::from_ne_bytes([o1, o2]),
                mpu: u16::from_ne_bytes([m1, m2]),
                atm: layer == ATM,
            },
        })
    }

    /// psched_ratecfg_getrate()
    fn shown(&self) -> [u8; 12] {
        let mut out = [0; 12];
        out[1] = self.layer;
        out[2..4].copy_from_slice(&self.spec.overhead.to_ne_bytes());
        out[6..8].copy_from_slice(&self.spec.mpu.to_ne_bytes());
        let rate = u32::try_from(self.spec.bytes_per_second).unwrap_or(u32::MAX);
        out[8..].copy_from_slice(&rate.to_ne_bytes());
        out
    }
}

#[derive(Clone, Debug)]
pub(crate) struct TbfSettings {
    rate: Rate,
    peak: Option<Rate>,
    limit: u32,
    /// Nanoseconds of tokens, of each bucket.
    buffer: u64,
    mtu: u64,
    largest: u32,
}

impl TbfSettings {
    pub(super) fn new(options: &[u8]) -> Result<TbfSettings, Refusal> {
        let nest = Nest(options);
        let parms = nest.get(1).ok_or(Errno::EINVAL)?;
        if parms.len() < 36 {
            return Err(Errno::EINVAL.into());
        }
        let [limit, buffer, mtu] = words::<3>(&parms[24..])?;
        let [_, _, has_peak] = words::<3>(&parms[12..24])?;
        let time = |ticks: u32| (u64::from(ticks) * TICK).min(u32::MAX.into());
        let (mut buffer, mut mtu) = (time(buffer), time(mtu));
        let rate = Rate::of(&parms[..12], nest.long(4)?)?;
        let mut largest = match nest.word(6)? {
            Some(burst) => {
                buffer = rate.spec.nanos(burst);
                burst
            }
            None => rate.spec.len_in(buffer),
        };
        let peak = match has_peak {
            0 => None,
            _ => Some(Rate::of(&parms[12..24], nest.long(5)?)?),
        };
        if let Some(peak) = peak {
            if peak.spec.bytes_per_second <= rate.spec.bytes_per_second {
                let text = "peakrate is lower than or equals to rate";
                return refuse(Errno::EINVAL, text);
            }
            largest = largest.min(match nest.word(7)? {
                Some(burst) => {
                    mtu = peak.spec.nanos(burst);
                    burst
                }
                None => peak.spec.len_in(mtu),
            });
        }
        if largest == 0 {
            return Err(Errno::EINVAL.into());
        }
        Ok(TbfSettings {
            rate,
            peak,
            limit,
            buffer,
            mtu,
            largest,
        })
    }

    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    pub(super) fn config(&self) -> TbfConfig {
        TbfConfig {
            rate: self.rate.spec,
            buffer: self.buffer,
            peak: self.peak.map(|peak| (peak.spec, self.mtu)),
            largest: self.largest,
            limit: self.limit,
        }
    }

    pub(super) fn show(&self, out: &mut Vec<u8>) {
        let mut parms = self.rate.shown().to_vec();
        parms.extend(self.peak.map_or([0; 12], |peak| peak.shown()));
        let ticks = |nanos: u64| ((nanos / TICK) as u32).to_ne_bytes();
        parms.extend(self.limit.to_ne_bytes());
        parms.extend([ticks(self.buffer), ticks(self.mtu)].concat());
        put(out, 1, &parms);
        for (kind, rate) in [(4, Some(self.rate)), (5, self.peak)] {
            let wide = rate.map(|rate| rate.spec.bytes_per_second);
            if let Some(wide) = wide.filter(|wide| *wide > u32::MAX.into()) {
                put(out, kind, &wide.to_ne_bytes());
            }
        }
    }
}
