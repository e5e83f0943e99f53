//! TCA_OPTIONS of each kind of queueing discipline, in and out, and what Linux refuses of them.

mod netem;
mod tbf;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use switchboard_abi::Errno;
use switchboard_device::{CodelConfig, Discipline, FifoConfig, FqCodelConfig, QueueConfig};

use super::super::super::message::{Refusal, attribute, attributes};
use super::{refuse, word_of};
use netem::NetemSettings;
use tbf::TbfSettings;

/// What codel and the flows of fq_codel have in common, in microseconds where it is a time.
#[derive(Clone, Debug)]
pub(super) struct CodelSettings {
    target: u32,
    interval: u32,
    ce_threshold: Option<u32>,
    ecn: bool,
    limit: u32,
}

#[derive(Clone, Debug)]
pub(super) struct FqCodelSettings {
    codel: CodelSettings,
    flows: u32,
    quantum: u32,
    memory_limit: u32,
}

/// A discipline as tc(8) told of it and is told of it.
#[derive(Clone, Debug)]
pub(super) enum Settings {
    NoQueue,
    Pfifo(u32),
    Bfifo(u32),
    /// Of so many packets a band.
    PfifoFast(u32),
    Codel(CodelSettings),
    FqCodel(FqCodelSettings),
    Tbf(Box<TbfSettings>),
    Netem(Box<NetemSettings>),
}

/// The attributes of a nest.
struct Nest<'a>(&'a [u8]);

impl<'a> Nest<'a> {
    fn get(&self, wanted: u16) -> Option<&'a [u8]> {
        let mut all = attributes(self.0);
        all.find(|(kind, _)| *kind == wanted).map(|(_, data)| data)
    }

    /// An attribute of so many bytes. Shorter ones are refused (NLA_U32, NLA_U64).
    fn number<const N: usize>(&self, wanted: u16) -> Result<Option<[u8; N]>, Refusal> {
        let data = self.get(wanted);
        let number = data.map(|data| data.first_chunk().copied().ok_or(Errno::ERANGE));
        Ok(number.transpose()?)
    }

    fn word(&self, wanted: u16) -> Result<Option<u32>, Refusal> {
        Ok(self.number(wanted)?.map(u32::from_ne_bytes))
    }

    fn long(&self, wanted: u16) -> Result<Option<u64>, Refusal> {
        Ok(self.number(wanted)?.map(u64::from_ne_bytes))
    }
}

/// Words of a structure, which must be that long.
fn words<const N: usize>(data: &[u8]) -> Result<[u32; N], Refusal> {
    let mut out = [0; N];
    for (at, word) in out.iter_mut().enumerate() {
        let bytes = data.get(at * 4..at * 4 + 4).ok_or(Errno::EINVAL)?;
        *word = word_of(bytes)?;
    }
    Ok(out)
}

fn put(out: &mut Vec<u8>, kind: u16, data: &[u8]) {
    out.extend(attribute(kind, data));
}

fn put_u32(out: &mut Vec<u8>, kind: u16, value: u32) {
    put(out, kind, &value.to_ne_bytes());
}

/// codel_time_to_us(): CoDel counts time in steps of 1024 ns.
fn by_codel(us: u32) -> u32 {
    let steps = (u64::from(us) * 1000) >> 10;
    (((steps << 10) / 1000) & u64::from(u32::MAX)) as u32
}

impl CodelSettings {
    fn default_of(limit: u32, ecn: bool) -> CodelSettings {
        CodelSettings {
            target: 5000,
            interval: 100_000,
            ce_threshold: None,
            ecn,
            limit,
        }
    }

    fn config(&self) -> CodelConfig {
        let time = |us: u32| Duration::from_micros(us.into());
        CodelConfig {
            target: time(self.target),
            interval: time(self.interval),
            ecn: self.ecn,
            ce_threshold: self.ce_threshold.map(time),
            limit: self.limit,
        }
    }
}

impl Settings {
    /// The `init` of a kind.
    pub(super) fn new(
        kind: &[u8],
        options: Option<&[u8]>,
        queue_len: u32,
        mtu: u32,
    ) -> Result<Settings, Refusal> {
        let settings = match kind {
            b"noqueue" => return Ok(Settings::NoQueue),
            b"pfifo_fast" => return Ok(Settings::PfifoFast(queue_len)),
            b"pfifo" => Settings::Pfifo(queue_len),
            b"bfifo" => Settings::Bfifo(queue_len.saturating_mul(mtu)),
            b"codel" => Settings::Codel(CodelSettings::default_of(1000, false)),
            b"fq_codel" => Settings::FqCodel(FqCodelSettings {
                codel: CodelSettings::default_of(10_240, true),
                flows: 1024,
                quantum: mtu,
                memory_limit: 32 << 20,
            }),
            b"tbf" | b"netem" => {
                let options = options.ok_or(Errno::EINVAL)?;
                return Ok(if kind == b"tbf" {
                    Settings::Tbf(Box::new(TbfSettings::new(options)?))
                } else {
                    Settings::Netem(Box::new(NetemSettings::new(options, None)?))
                });
            }
            _ => return refuse(Errno::ENOENT, "Specified qdisc kind is unknown"),
        };
        match options {
            Some(_) => settings.told(options, true),
            None => Ok(settings),
        }
    }

    /// The `change` of a kind.
    pub(super) fn changed(
        &self,
        options: Option<&[u8]>,
        queue_len: u32,
        mtu: u32,
    ) -> Result<Settings, Refusal> {
        match (self, options) {
            (Settings::NoQueue | Settings::PfifoFast(_), _) => refuse(
                Errno::EINVAL,
                "Change operation not supported by specified qdisc",
            ),
            (Settings::Tbf(_) | Settings::Netem(_), None) => Err(Errno::EINVAL.into()),
            (Settings::Tbf(_), Some(options)) => {
                Ok(Settings::Tbf(Box::new(TbfSettings::new(options)?)))
            }
            (Settings::Netem(old), Some(options)) => {
                let new = NetemSettings::new(options, Some(old))?;
                Ok(Settings::Netem(Box::new(new)))
            }
            (Settings::Pfifo(_) | Settings::Bfifo(_), None) => {
                Settings::new(self.kind().as_bytes(), None, queue_len, mtu)
            }
            _ => self.clone().told(options, false),
        }
    }

    /// fifo_init(), codel_change(), fq_codel_change()
    fn told(mut self, options: Option<&[u8]>, new: bool) -> Result<Settings, Refusal> {
        let options = options.unwrap_or(&[]);
        let nest = Nest(options);
        match &mut self {
            Settings::Pfifo(limit) | Settings::Bfifo(limit) => *limit = words::<1>(options)?[0],
            Settings::Codel(codel) => {
                let [target, limit, interval, ecn, threshold] = [1, 2, 3, 4, 5];
                codel.told(&nest, [target, limit, interval, ecn, threshold])?;
            }
            Settings::FqCodel(fq) => {
                fq.codel.told(&nest, [1, 2, 3, 4, 7])?;
                if let Some(flows) = nest.word(5)? {
                    if !new || flows == 0 || flows > 65_536 {
                        return Err(Errno::EINVAL.into());
                    }
                    fq.flows = flows;
                }
                if let Some(quantum) = nest.word(6)? {
                    if quantum > 1 << 20 {
                        return refuse(Errno::EINVAL, "Invalid quantum");
                    }
                    fq.quantum = quantum.max(256);
                }
                if let Some(memory) = nest.word(9)? {
                    fq.memory_limit = memory.min(1 << 31);
                }
                // Other batches than 64, and thresholds for some packets only, are not there.
                let batch = nest.word(8)?.is_some_and(|batch| batch != 64);
                let masked = |kind: u16| nest.get(kind).is_some_and(|d| d.iter().any(|b| *b != 0));
                if batch || masked(10) || masked(11) {
                    return Err(Errno::EOPNOTSUPP.into());
                }
            }
            _ => {}
        }
        Ok(self)
    }

    pub(super) fn kind(&self) -> &'static str {
        match self {
            Settings::NoQueue => "noqueue",
            Settings::Pfifo(_) => "pfifo",
            Settings::Bfifo(_) => "bfifo",
            Settings::PfifoFast(_) => "pfifo_fast",
            Settings::Codel(_) => "codel",
            Settings::FqCodel(_) => "fq_codel",
            Settings::Tbf(_) => "tbf",
            Settings::Netem(_) => "netem",
        }
    }

    /// Whether it has a class for another discipline.
    pub(super) fn has_child(&self) -> bool {
        matches!(self, Settings::Tbf(_) | Settings::Netem(_))
    }

    /// Whether it has classes at all: those of fq_codel are its flows.
    pub(super) fn is_classful(&self) -> bool {
        self.has_child() || matches!(self, Settings::FqCodel(_))
    }

    pub(super) fn is_noqueue(&self) -> bool {
        matches!(self, Settings::NoQueue)
    }

    pub(super) fn is_netem(&self) -> bool {
        matches!(self, Settings::Netem(_))
    }

    /// Whether it sends packets twice.
    pub(super) fn doubles(&self) -> bool {
        matches!(self, Settings::Netem(netem) if netem.doubles())
    }

    /// With the seed that it has unless it was told one.
    pub(super) fn seeded(mut self, seed: u64) -> Settings {
        if let Settings::Netem(netem) = &mut self {
            netem.seed.get_or_insert(seed);
        }
        self
    }

    pub(super) fn seed(&self) -> u64 {
        match self {
            Settings::Netem(netem) => netem.seed.unwrap_or(0),
            _ => 0,
        }
    }

    /// tbf gives its limit to a FIFO that is its child.
    pub(super) fn limit_of_child(&self) -> Option<u32> {
        match self {
            Settings::Tbf(tbf) => Some(tbf.limit()),
            _ => None,
        }
    }

    pub(super) fn set_fifo_limit(&mut self, new: u32) {
        if let Settings::Pfifo(limit) | Settings::Bfifo(limit) = self {
            *limit = new;
        }
    }

    /// What carries packets.
    pub(super) fn discipline(&self) -> Discipline {
        let fifo = |packets, bytes| {
            let config = FifoConfig { packets, bytes };
            Discipline::Queue(QueueConfig::Fifo(config))
        };
        match self {
            Settings::NoQueue => Discipline::NoQueue,
            Settings::Pfifo(limit) => fifo(*limit, u64::MAX),
            Settings::Bfifo(limit) => fifo(u32::MAX, (*limit).into()),
            Settings::PfifoFast(limit) => Discipline::Bands(*limit),
            Settings::Codel(codel) => Discipline::Queue(QueueConfig::Codel(codel.config())),
            Settings::FqCodel(fq) => Discipline::Queue(QueueConfig::FqCodel(FqCodelConfig {
                codel: fq.codel.config(),
                flows: fq.flows,
                quantum: fq.quantum,
                memory_limit: fq.memory_limit.into(),
            })),
            Settings::Tbf(tbf) => Discipline::Tbf(tbf.config()),
            Settings::Netem(netem) => Discipline::Netem(Box::new(netem.config())),
        }
    }

    /// What TCA_OPTIONS of an answer has; `None` where there is none.
    pub(super) fn shown(&self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        match self {
            Settings::NoQueue => return None,
            Settings::Pfifo(limit) | Settings::Bfifo(limit) => out.extend(limit.to_ne_bytes()),
            // struct tc_prio_qopt: the bands, and which priority has which.
            Settings::PfifoFast(_) => {
                out.extend(3i32.to_ne_bytes());
                out.extend([1, 2, 2, 2, 1, 2, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
            }
            Settings::Codel(codel) => {
                put_u32(&mut out, 1, by_codel(codel.target));
                put_u32(&mut out, 2, codel.limit);
                put_u32(&mut out, 3, by_codel(codel.interval));
                put_u32(&mut out, 4, codel.ecn.into());
                if let Some(threshold) = codel.ce_threshold {
                    put_u32(&mut out, 5, by_codel(threshold));
                }
            }
            Settings::FqCodel(fq) => {
                let codel = &fq.codel;
                for (kind, value) in [
                    (1, by_codel(codel.target)),
                    (2, codel.limit),
                    (3, by_codel(codel.interval)),
                    (4, codel.ecn.into()),
                    (6, fq.quantum),
                    (8, 64),
                    (9, fq.memory_limit),
                    (5, fq.flows),
                ] {
                    put_u32(&mut out, kind, value);
                }
                if let Some(threshold) = codel.ce_threshold {
                    put_u32(&mut out, 7, by_codel(threshold));
                    put(&mut out, 10, &[0]);
                    put(&mut out, 11, &[0]);
                }
            }
            Settings::Tbf(tbf) => tbf.show(&mut out),
            Settings::Netem(netem) => netem.show(&mut out),
        }
        Some(out)
    }
}

impl CodelSettings {
    /// The attributes of target, limit, interval, ecn and ce_threshold.
    fn told(&mut self, nest: &Nest<'_>, kinds: [u16; 5]) -> Result<(), Refusal> {
        let [target, limit, interval, ecn, threshold] = kinds;
        self.target = nest.word(target)?.unwrap_or(self.target);
        self.limit = nest.word(limit)?.unwrap_or(self.limit);
        self.interval = nest.word(interval)?.unwrap_or(self.interval);
        self.ecn = nest.word(ecn)?.map_or(self.ecn, |ecn| ecn != 0);
        if let Some(threshold) = nest.word(threshold)? {
            self.ce_threshold = Some(threshold);
        }
        Ok(())
    }
}
