//! TCA_NETEM_*: netem_change(), netem_dump().

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use switchboard_abi::Errno;
use switchboard_device::{
    Chance, Delay, Loss, NetemConfig, PipeConfig, Probability, Rate, Reorder,
};

use super::super::super::super::message::{Refusal, attribute, attributes};
use super::super::refuse;
use super::{Nest, put, words};

/// `sizeof(struct tc_netem_qopt)`
const QOPT: usize = 24;
/// Nanoseconds of a tick (PSCHED_SHIFT).
const TICK: i64 = 64;
/// NETEM_DIST_MAX
const LONGEST_TABLE: usize = 16_384;

/// The numbers of netem(8), as they are told: chances are of 2^32.
#[derive(Clone, Debug)]
pub(crate) struct NetemSettings {
    latency: i64,
    jitter: i64,
    limit: u32,
    loss: u32,
    gap: u32,
    duplicate: u32,
    /// Of delay, loss and duplication.
    correlations: [u32; 3],
    /// Chance and correlation.
    reorder: [u32; 2],
    corrupt: [u32; 2],
    model: Model,
    ecn: u32,
    rate: u64,
    /// `packet_overhead` of `struct tc_netem_rate`.
    overhead: u32,
    table: Option<Arc<[i16]>>,
    pub(super) seed: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
enum Model {
    Random,
    /// p13, p31, p32, p14, p23
    States([u32; 5]),
    /// p, r, h, k1
    GilbertElliott([u32; 4]),
}

impl NetemSettings {
    pub(super) fn new(
        options: &[u8],
        old: Option<&NetemSettings>,
    ) -> Result<NetemSettings, Refusal> {
        let text = "netem: invalid attributes len";
        if options.len() < QOPT {
            return refuse(Errno::EINVAL, text);
        }
        let [latency, limit, loss, gap, duplicate, jitter] = words::<6>(options)?;
        let nest = Nest(&options[QOPT..]);
        // TCA_NETEM_SLOT, TCA_NETEM_SLOT_DIST
        if nest.get(12).is_some() || nest.get(13).is_some() {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let pair = |kind, or: [u32; 2]| nest.get(kind).map_or(Ok(or), words::<2>);
        let wide = |kind, ticks: u32| match nest.long(kind) {
            Ok(Some(nanos)) => Ok(nanos as i64),
            Ok(None) => Ok(i64::from(ticks) * TICK),
            Err(why) => Err(why),
        };
        // For compatibility, a gap alone means all of them.
        let mut reorder = old.map_or([0; 2], |old| old.reorder);
        if gap > 0 {
            reorder[0] = u32::MAX;
        }
        let (mut rate, mut overhead) = old.map_or((0, 0), |old| (old.rate, old.overhead));
        if let Some(data) = nest.get(6) {
            let [told, packet, cell, cell_overhead] = words::<4>(data)?;
            // Cells are not there, nor packets that are shorter than they are.
            if cell != 0 || cell_overhead != 0 || (packet as i32) < 0 {
                return Err(Errno::EOPNOTSUPP.into());
            }
            (rate, overhead) = (told.into(), packet);
        }
        if let Some(told) = nest.long(8)? {
            rate = rate.max(told);
        }
        Ok(NetemSettings {
            latency: wide(10, latency)?.max(0),
            jitter: wide(11, jitter)?.saturating_abs().min(i32::MAX.into()),
            limit,
            loss,
            gap,
            duplicate,
            correlations: match nest.get(1) {
                Some(data) => words::<3>(data)?,
                None => old.map_or([0; 3], |old| old.correlations),
            },
            reorder: pair(3, reorder)?,
            corrupt: pair(4, old.map_or([0; 2], |old| old.corrupt))?,
            // netem_change(): CLG_RANDOM unless it is told.
            model: nest.get(5).map_or(Ok(Model::Random), model)?,
            ecn: nest.word(7)?.or(old.map(|old| old.ecn)).unwrap_or(0),
            rate,
            overhead,
            table: match nest.get(2) {
                Some(data) => Some(table(data)?),
                None => old.and_then(|old| old.table.clone()),
            },
            seed: nest.long(14)?,
        })
    }

    pub(super) fn doubles(&self) -> bool {
        self.duplicate != 0
    }

    pub(super) fn config(&self) -> NetemConfig {
        let [of_delay, of_loss, of_double] = self.correlations.map(Probability::from_bits);
        let chance = |bits: u32, correlation: Probability| Chance {
            probability: Probability::from_bits(bits),
            correlation,
        };
        let pair = |[bits, rho]: [u32; 2]| chance(bits, Probability::from_bits(rho));
        let p = Probability::from_bits;
        let loss = match self.model {
            Model::Random => Loss::Random(chance(self.loss, of_loss)),
            Model::States([p13, p31, p32, p14, p23]) => Loss::State {
                p13: p(p13),
                p31: p(p31),
                p32: p(p32),
                p23: p(p23),
                p14: p(p14),
            },
            // In the bad state what is above h is lost.
            Model::GilbertElliott([to_bad, to_good, h, k1]) => Loss::GilbertElliott {
                p: p(to_bad),
                r: p(to_good),
                bad: p(u32::MAX - h),
                good: p(k1),
            },
        };
        let nanos = |n: i64| Duration::from_nanos(n.unsigned_abs());
        let pipe = PipeConfig {
            delay: Delay {
                delay: nanos(self.latency),
                jitter: nanos(self.jitter),
                correlation: of_delay,
                ..Delay::default()
            },
            loss,
            loss_marks: self.ecn != 0,
            duplicate: chance(self.duplicate, of_double),
            corrupt: pair(self.corrupt),
            reorder: Reorder {
                // netem_enqueue(): without a gap none overtakes.
                chance: if self.gap == 0 {
                    Chance::NEVER
                } else {
                    pair(self.reorder)
                },
                gap: self.gap,
            },
            rate: (self.rate > 0).then(|| Rate {
                bits_per_second: self.rate.saturating_mul(8),
                overhead: self.overhead,
            }),
            limit: self.limit,
            ..PipeConfig::default()
        };
        NetemConfig {
            pipe,
            table: self.table.clone(),
        }
    }

    pub(super) fn show(&self, out: &mut Vec<u8>) {
        let ticks = |nanos: i64| u32::try_from(nanos / TICK).unwrap_or(u32::MAX);
        let join = |words: &[u32]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_ne_bytes()).collect()
        };
        let (latency, jitter) = (ticks(self.latency), ticks(self.jitter));
        out.extend(join(&[
            latency,
            self.limit,
            self.loss,
            self.gap,
            self.duplicate,
            jitter,
        ]));
        put(out, 10, &self.latency.to_ne_bytes());
        put(out, 11, &self.jitter.to_ne_bytes());
        put(out, 1, &join(&self.correlations));
        put(out, 3, &join(&self.reorder));
        put(out, 4, &join(&self.corrupt));
        if self.rate > u32::MAX.into() {
            put(out, 8, &self.rate.to_ne_bytes());
        }
        let rate = u32::try_from(self.rate).unwrap_or(u32::MAX);
        put(out, 6, &join(&[rate, self.overhead, 0, 0]));
        if self.ecn != 0 {
            put(out, 7, &self.ecn.to_ne_bytes());
        }
        match &self.model {
            Model::Random => {}
            Model::States(all) => put(out, 5, &attribute(1, &join(all))),
            Model::GilbertElliott(all) => put(out, 5, &attribute(2, &join(all))),
        }
        if let Some(seed) = self.seed {
            put(out, 14, &seed.to_ne_bytes());
        }
    }
}

/// get_loss_clg()
fn model(data: &[u8]) -> Result<Model, Refusal> {
    let mut model = Model::Random;
    for (kind, data) in attributes(data) {
        model = match kind {
            1 if data.len() >= 20 => Model::States(words::<5>(data)?),
            2 if data.len() >= 16 => Model::GilbertElliott(words::<4>(data)?),
            1 | 2 => return refuse(Errno::EINVAL, "netem: incorrect model size"),
            _ => return refuse(Errno::EINVAL, "netem: unknown loss type"),
        };
    }
    Ok(model)
}

/// get_dist_table()
fn table(data: &[u8]) -> Result<Arc<[i16]>, Refusal> {
    let (all, _) = data.as_chunks::<2>();
    if all.is_empty() || all.len() > LONGEST_TABLE {
        return Err(Errno::EINVAL.into());
    }
    Ok(all.iter().map(|b| i16::from_ne_bytes(*b)).collect())
}
