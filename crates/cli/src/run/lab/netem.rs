//! What a link is like, in the words of tc-netem(8): `delay 20ms 5ms distribution normal loss 1% rate 10mbit`.

use std::time::Duration;

use switchboard_device::{
    Chance, CodelConfig, Delay, Distribution, FifoConfig, FqCodelConfig, Loss, PipeConfig,
    Probability, QueueConfig, Rate, Reorder, target_for_rate,
};

use crate::units;

/// The words that begin something, in the order in which they work as keys of a file.
pub(super) const WORDS: &[&str] = &[
    "delay",
    "distribution",
    "loss",
    "ecn",
    "reorder",
    "duplicate",
    "corrupt",
    "rate",
    "limit",
    "queue",
    "mtu",
];

/// The same, of what has no MTU of its own.
pub(super) const WITHOUT_MTU: &[&str] = WORDS.split_at(WORDS.len() - 1).0;

/// The words left.
struct Words<'w> {
    words: std::iter::Peekable<std::slice::Iter<'w, &'w str>>,
}

impl<'w> Words<'w> {
    fn next(&mut self) -> Option<&'w str> {
        self.words.next().copied()
    }

    fn need(&mut self, what: &str) -> Result<&'w str, String> {
        self.next().ok_or_else(|| format!("{what} is missing"))
    }

    /// The next word, if it begins with a digit: one more number.
    fn number(&mut self) -> Option<&'w str> {
        let is_number = |word: &&&str| word.starts_with(|c: char| c.is_ascii_digit());
        self.words.next_if(is_number).copied()
    }

    fn word(&mut self, word: &str) -> bool {
        self.words.next_if(|next| **next == word).is_some()
    }

    fn percent(&mut self) -> Result<Option<Probability>, String> {
        let word = self.number();
        word.map(|word| units::percent(word).map(Probability::percent))
            .transpose()
    }

    fn time(&mut self) -> Result<Option<Duration>, String> {
        self.number().map(units::time).transpose()
    }

    /// `PERCENT [CORRELATION]`
    fn chance(&mut self) -> Result<Chance, String> {
        Ok(Chance {
            probability: self.percent()?.ok_or("a percentage is missing")?,
            correlation: self.percent()?.unwrap_or_default(),
        })
    }

    fn count<T: std::str::FromStr>(&mut self) -> Result<T, String> {
        let word = self.need("a number")?;
        word.parse()
            .map_err(|_| format!("{word:?} is not a number here"))
    }
}

/// Changes what the words name, and nothing else; `none` puts all but the MTU back. Nothing has changed when it fails.
pub(super) fn apply(config: &mut PipeConfig, words: &[&str]) -> Result<(), String> {
    let mut new = *config;
    let mut words = Words {
        words: words.iter().peekable(),
    };
    while let Some(word) = words.next() {
        one(&mut new, word, &mut words)?;
    }
    *config = new;
    Ok(())
}

fn one(config: &mut PipeConfig, word: &str, words: &mut Words<'_>) -> Result<(), String> {
    match word {
        "delay" => {
            config.delay = Delay {
                delay: words.time()?.ok_or("delay: a time is missing")?,
                jitter: words.time()?.unwrap_or_default(),
                correlation: words.percent()?.unwrap_or_default(),
                distribution: Distribution::default(),
            };
        }
        "distribution" => config.delay.distribution = distribution(words.need("a distribution")?)?,
        "loss" => config.loss = loss(words)?,
        "ecn" => {
            config.loss_marks = !words.word("false");
            words.word("true");
        }
        "reorder" => {
            let chance = words.chance()?;
            let gap = if words.word("gap") { words.count()? } else { 0 };
            config.reorder = Reorder { chance, gap };
        }
        "duplicate" => config.duplicate = words.chance()?,
        "corrupt" => config.corrupt = words.chance()?,
        "rate" => {
            let bits = words.need("a rate")?;
            config.rate = match bits {
                "none" => None,
                bits => Some(Rate {
                    bits_per_second: units::rate(bits)?,
                    overhead: words.number().map_or(Ok(0), |n| {
                        n.parse()
                            .map_err(|_| format!("{n:?} is no number of bytes"))
                    })?,
                }),
            };
        }
        "limit" => config.limit = words.count()?,
        "queue" => config.queue = queue(words, config)?,
        "mtu" => {
            let mtu = words.count()?;
            if !(68..=65_535).contains(&mtu) {
                return Err("mtu: from 68 to 65535".into());
            }
            config.mtu = mtu;
        }
        "none" => {
            *config = PipeConfig {
                mtu: config.mtu,
                up: config.up,
                ..PipeConfig::default()
            };
        }
        other => {
            return Err(format!("{other:?} is none of {}, none", WORDS.join(", ")));
        }
    }
    Ok(())
}

fn distribution(name: &str) -> Result<Distribution, String> {
    Ok(match name {
        "uniform" => Distribution::Uniform,
        "normal" => Distribution::Normal,
        "pareto" => Distribution::Pareto,
        "paretonormal" => Distribution::ParetoNormal,
        _ => return Err("a distribution is uniform, normal, pareto or paretonormal".into()),
    })
}

/// tc-netem(8): what is not said of the models is such that the simpler one comes out.
fn loss(words: &mut Words<'_>) -> Result<Loss, String> {
    let rest = |p: Probability| Probability::new(1.0 - p.as_f64());
    if words.word("gemodel") {
        let p = words.percent()?.ok_or("gemodel: a percentage is missing")?;
        return Ok(Loss::GilbertElliott {
            p,
            r: words.percent()?.unwrap_or(rest(p)),
            bad: words.percent()?.unwrap_or(Probability::ALWAYS),
            good: words.percent()?.unwrap_or(Probability::NEVER),
        });
    }
    if words.word("state") {
        let p13 = words.percent()?.ok_or("state: a percentage is missing")?;
        return Ok(Loss::State {
            p13,
            p31: words.percent()?.unwrap_or(rest(p13)),
            p32: words.percent()?.unwrap_or(Probability::NEVER),
            p23: words.percent()?.unwrap_or(Probability::ALWAYS),
            p14: words.percent()?.unwrap_or(Probability::NEVER),
        });
    }
    words.word("random");
    Ok(Loss::Random(words.chance()?))
}

fn queue(words: &mut Words<'_>, pipe: &PipeConfig) -> Result<QueueConfig, String> {
    let kind = words.need("a queue")?;
    let fifo = FifoConfig::default();
    match kind {
        "pfifo" => Ok(QueueConfig::Fifo(FifoConfig {
            packets: words.count()?,
            ..fifo
        })),
        "bfifo" => Ok(QueueConfig::Fifo(FifoConfig {
            packets: u32::MAX,
            bytes: words.count()?,
        })),
        "codel" => {
            let mut codel = CodelConfig::default();
            parameters(&mut codel, None, words, pipe)?;
            Ok(QueueConfig::Codel(codel))
        }
        "fq_codel" => {
            let mut fq = FqCodelConfig::default();
            let mut codel = fq.codel;
            parameters(&mut codel, Some(&mut fq), words, pipe)?;
            fq.codel = codel;
            Ok(QueueConfig::FqCodel(fq))
        }
        _ => Err("a queue is pfifo PACKETS, bfifo BYTES, codel or fq_codel".into()),
    }
}

/// Those of tc-codel(8) and tc-fq_codel(8), under their names.
fn parameters(
    codel: &mut CodelConfig,
    mut fq: Option<&mut FqCodelConfig>,
    words: &mut Words<'_>,
    pipe: &PipeConfig,
) -> Result<(), String> {
    if let Some(rate) = pipe.rate {
        codel.target = target_for_rate(rate.bits_per_second, pipe.mtu);
    }
    loop {
        if words.word("target") {
            codel.target = words.time()?.ok_or("target: a time is missing")?;
        } else if words.word("interval") {
            codel.interval = words.time()?.ok_or("interval: a time is missing")?;
        } else if words.word("ce_threshold") {
            codel.ce_threshold = Some(words.time()?.ok_or("ce_threshold: a time is missing")?);
        } else if words.word("limit") {
            codel.limit = words.count()?;
        } else if words.word("ecn") {
            codel.ecn = true;
        } else if words.word("noecn") {
            codel.ecn = false;
        } else if let Some(fq) = fq.as_deref_mut() {
            if words.word("flows") {
                fq.flows = words.count::<u32>()?.max(1);
            } else if words.word("quantum") {
                fq.quantum = words.count::<u32>()?.max(1);
            } else if words.word("memory_limit") {
                fq.memory_limit = words.count()?;
            } else {
                return Ok(());
            }
        } else {
            return Ok(());
        }
    }
}

/// In one line, for people: what is not as on a wire that does nothing.
pub(super) fn describe(config: &PipeConfig) -> String {
    let plain = PipeConfig::default();
    let mut parts = Vec::new();
    if !config.up {
        parts.push("down".to_owned());
    }
    if config.delay.delay > Duration::ZERO || config.delay.jitter > Duration::ZERO {
        let mut text = format!("delay {:?}", config.delay.delay);
        if config.delay.jitter > Duration::ZERO {
            text += &format!(" {:?}", config.delay.jitter);
        }
        parts.push(text);
    }
    match config.loss {
        Loss::Random(chance) if chance == Chance::NEVER => {}
        Loss::Random(chance) => parts.push(format!("loss {}", percent(chance.probability))),
        Loss::GilbertElliott { p, r, .. } => {
            parts.push(format!("loss gemodel {} {}", percent(p), percent(r)));
        }
        Loss::State { p13, .. } => parts.push(format!("loss state {}", percent(p13))),
    }
    for (name, chance) in [
        ("reorder", config.reorder.chance),
        ("duplicate", config.duplicate),
        ("corrupt", config.corrupt),
    ] {
        if chance != Chance::NEVER {
            parts.push(format!("{name} {}", percent(chance.probability)));
        }
    }
    if let Some(rate) = config.rate {
        parts.push(format!("rate {}", bits(rate.bits_per_second as f64)));
    }
    match config.queue {
        QueueConfig::Fifo(_) => {}
        QueueConfig::Codel(_) => parts.push("codel".into()),
        QueueConfig::FqCodel(_) => parts.push("fq_codel".into()),
    }
    if config.mtu != plain.mtu {
        parts.push(format!("mtu {}", config.mtu));
    }
    parts.join(" ")
}

fn percent(probability: Probability) -> String {
    let percent = (probability.as_f64() * 1e4).round() / 1e2;
    format!("{percent}%")
}

/// `12.5mbit`
pub(super) fn bits(bits: f64) -> String {
    for (unit, size) in [("gbit", 1e9), ("mbit", 1e6), ("kbit", 1e3)] {
        if bits >= size {
            return format!("{}{unit}", (bits / size * 10.0).round() / 10.0);
        }
    }
    format!("{}bit", bits.round())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Result<PipeConfig, String> {
        let mut config = PipeConfig::default();
        apply(&mut config, &text.split_whitespace().collect::<Vec<_>>())?;
        Ok(config)
    }

    #[test]
    fn netems_words_mean_what_they_mean_there() {
        let config = set("delay 20ms 5ms 25% distribution pareto loss 1% 30% rate 10mbit").unwrap();
        assert_eq!(config.delay.delay, Duration::from_millis(20));
        assert_eq!(config.delay.jitter, Duration::from_millis(5));
        assert_eq!(config.delay.correlation, Probability::percent(25.0));
        assert_eq!(config.delay.distribution, Distribution::Pareto);
        assert_eq!(config.rate, Some(Rate::bits(10_000_000)));
        let Loss::Random(chance) = config.loss else {
            panic!("{:?}", config.loss)
        };
        assert_eq!(chance.correlation, Probability::percent(30.0));
        let gilbert = set("loss gemodel 1% 10%").unwrap().loss;
        let (p, r) = (Probability::percent(1.0), Probability::percent(10.0));
        assert_eq!(gilbert, Loss::gilbert(p, r));
        let config =
            set("reorder 25% 50% gap 5 duplicate 1% corrupt 0.1% limit 100 mtu 1400").unwrap();
        assert_eq!(
            (config.reorder.gap, config.limit, config.mtu),
            (5, 100, 1400)
        );
        let QueueConfig::FqCodel(fq) = set("queue fq_codel flows 16 target 3ms noecn")
            .unwrap()
            .queue
        else {
            panic!()
        };
        assert_eq!((fq.flows, fq.codel.ecn), (16, false));
        assert_eq!(fq.codel.target, Duration::from_millis(3));
        assert_eq!(set("loss 5% none").unwrap(), PipeConfig::default());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, word) in [
            ("dely 5ms", "\"dely\""),
            ("delay", "missing"),
            ("delay 5", "unit"),
            ("loss x", "percentage"),
            ("loss 101%", "percentage"),
            ("distribution gauss", "paretonormal"),
            ("queue red", "fq_codel"),
            ("limit x", "not a number"),
            ("mtu 10", "68"),
        ] {
            let error = set(text).expect_err(text);
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
