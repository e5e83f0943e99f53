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

    /// What there is in place of what is missing.
    fn missing(&mut self, what: &str) -> String {
        match self.words.peek() {
            Some(word) => format!("{word:?} is there, and {what} is missing"),
            None => format!("{what} is missing"),
        }
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
            probability: self
                .percent()?
                .ok_or_else(|| self.missing("a percentage"))?,
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
                delay: words.time()?.ok_or_else(|| words.missing("a time"))?,
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
        let p = words
            .percent()?
            .ok_or_else(|| words.missing("a percentage"))?;
        return Ok(Loss::GilbertElliott {
            p,
            r: words.percent()?.unwrap_or(rest(p)),
            bad: words.percent()?.unwrap_or(Probability::ALWAYS),
            good: words.percent()?.unwrap_or(Probability::NEVER),
        });
    }
    if words.word("state") {
        let p13 = words
            .percent()?
            .ok_or_else(|| words.missing("a percentage"))?;
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
            codel.target = words.time()?.ok_or_else(|| words.missing("a time"))?;
        } else if words.word("interval") {
            codel.interval = words.time()?.ok_or_else(|| words.missing("a time"))?;
        } else if words.word("ce_threshold") {
            codel.ce_threshold = Some(words.time()?.ok_or_else(|| words.missing("a time"))?);
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

/// In one line: what is not as on a wire that does nothing, in words that [`apply`] takes.
pub(super) fn describe(config: &PipeConfig) -> String {
    let plain = PipeConfig::default();
    let mut parts = Vec::new();
    if !config.up {
        parts.push("down".to_owned());
    }
    let delay = &config.delay;
    if delay.delay > Duration::ZERO || delay.jitter > Duration::ZERO {
        let mut text = format!("delay {}", time(delay.delay));
        if delay.jitter > Duration::ZERO {
            text += &format!(" {}", time(delay.jitter));
            text += &correlation(delay.correlation);
        }
        parts.push(text);
    }
    match delay.distribution {
        Distribution::Uniform => {}
        Distribution::Normal => parts.push("distribution normal".into()),
        Distribution::Pareto => parts.push("distribution pareto".into()),
        Distribution::ParetoNormal => parts.push("distribution paretonormal".into()),
    }
    parts.extend(describe_loss(&config.loss));
    if config.loss_marks {
        parts.push("ecn".into());
    }
    for (name, chance) in [
        ("reorder", config.reorder.chance),
        ("duplicate", config.duplicate),
        ("corrupt", config.corrupt),
    ] {
        if chance != Chance::NEVER {
            parts.push(format!("{name} {}", describe_chance(chance)));
        }
        if name == "reorder" && config.reorder.gap > 0 {
            parts.push(format!("gap {}", config.reorder.gap));
        }
    }
    if let Some(rate) = config.rate {
        let mut text = format!("rate {}", describe_rate(rate.bits_per_second));
        if rate.overhead > 0 {
            text += &format!(" {}", rate.overhead);
        }
        parts.push(text);
    }
    if config.limit != plain.limit {
        parts.push(format!("limit {}", config.limit));
    }
    parts.extend(describe_queue(config));
    if config.mtu != plain.mtu {
        parts.push(format!("mtu {}", config.mtu));
    }
    parts.join(" ")
}

fn describe_loss(loss: &Loss) -> Option<String> {
    match *loss {
        Loss::Random(chance) if chance == Chance::NEVER => None,
        Loss::Random(chance) => Some(format!("loss {}", describe_chance(chance))),
        Loss::GilbertElliott { p, r, bad, good } => {
            let mut text = format!("loss gemodel {} {}", percent(p), percent(r));
            if (bad, good) != (Probability::ALWAYS, Probability::NEVER) {
                text += &format!(" {} {}", percent(bad), percent(good));
            }
            Some(text)
        }
        Loss::State {
            p13,
            p31,
            p32,
            p23,
            p14,
        } => {
            let mut text = format!("loss state {} {}", percent(p13), percent(p31));
            if (p32, p23, p14) != (Probability::NEVER, Probability::ALWAYS, Probability::NEVER) {
                text += &format!(" {} {} {}", percent(p32), percent(p23), percent(p14));
            }
            Some(text)
        }
    }
}

fn describe_queue(config: &PipeConfig) -> Option<String> {
    let (name, codel, plain, fq) = match &config.queue {
        queue if *queue == QueueConfig::default() => return None,
        QueueConfig::Fifo(fifo) if fifo.packets == u32::MAX => {
            return Some(format!("queue bfifo {}", fifo.bytes));
        }
        QueueConfig::Fifo(fifo) => return Some(format!("queue pfifo {}", fifo.packets)),
        QueueConfig::Codel(codel) => ("codel", codel, CodelConfig::default(), None),
        QueueConfig::FqCodel(fq) => (
            "fq_codel",
            &fq.codel,
            FqCodelConfig::default().codel,
            Some(fq),
        ),
    };
    let mut text = format!("queue {name}");
    // Without a word it is what the rate needs.
    if codel.target != plain.target || config.rate.is_some() {
        text += &format!(" target {}", time(codel.target));
    }
    if codel.interval != plain.interval {
        text += &format!(" interval {}", time(codel.interval));
    }
    if let Some(threshold) = codel.ce_threshold {
        text += &format!(" ce_threshold {}", time(threshold));
    }
    if codel.limit != plain.limit {
        text += &format!(" limit {}", codel.limit);
    }
    if codel.ecn != plain.ecn {
        text += if codel.ecn { " ecn" } else { " noecn" };
    }
    if let Some(fq) = fq {
        let plain = FqCodelConfig::default();
        for (name, value, usual) in [
            ("flows", fq.flows.into(), plain.flows.into()),
            ("quantum", fq.quantum.into(), plain.quantum.into()),
            ("memory_limit", fq.memory_limit, plain.memory_limit),
        ] {
            if value != usual {
                text += &format!(" {name} {value}");
            }
        }
    }
    Some(text)
}

/// `1.5mbit`, or as many bits as there are where that would be another rate.
fn describe_rate(bits: u64) -> String {
    let units = [("gbit", 1_000_000_000), ("mbit", 1_000_000), ("kbit", 1000)];
    let unit = units
        .iter()
        .find(|(_, size)| bits >= *size && bits.is_multiple_of(size / 10));
    match unit {
        Some((unit, size)) => format!("{}{unit}", bits as f64 / *size as f64),
        None => format!("{bits}bit"),
    }
}

/// `1% 30%`
fn describe_chance(chance: Chance) -> String {
    percent(chance.probability) + &correlation(chance.correlation)
}

fn correlation(correlation: Probability) -> String {
    match correlation {
        Probability::NEVER => String::new(),
        correlation => format!(" {}", percent(correlation)),
    }
}

/// Behind the point.
const MOST_DIGITS: usize = 8;

/// With as many digits as it takes to be the same again: a probability has 32 bits.
fn percent(probability: Probability) -> String {
    let percent = probability.as_f64() * 100.0;
    let text = |digits: usize| format!("{percent:.digits$}");
    let same = |text: &String| text.parse().map(Probability::percent) == Ok(probability);
    let shortest = (0..MOST_DIGITS).map(text).find(same);
    shortest.unwrap_or_else(|| text(MOST_DIGITS)) + "%"
}

/// `1.5ms`
fn time(time: Duration) -> String {
    let nanos = time.as_nanos() as f64;
    if nanos < 1e6 {
        format!("{}us", nanos / 1e3)
    } else if nanos < 1e9 {
        format!("{}ms", nanos / 1e6)
    } else {
        format!("{}s", nanos / 1e9)
    }
}

/// `12.5mbit`, about.
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

    /// What `switchboard ctl links` shows can be said to `switchboard ctl set`.
    #[test]
    fn what_is_shown_is_understood() {
        for text in [
            "",
            "delay 300us",
            "delay 20ms 5ms 25% distribution paretonormal",
            "delay 1.5s loss 0.001% 30%",
            "loss 0.1% ecn",
            "loss gemodel 1% 10%",
            "loss gemodel 1% 10% 70% 0.1%",
            "loss state 1% 99% 5% 50% 0.2%",
            "reorder 25% 50% gap 5 duplicate 1% corrupt 0.1%",
            "rate 10mbit 38 limit 100 queue pfifo 50",
            "rate 1.5gbit queue bfifo 30000 mtu 9000",
            "rate 64kbit queue codel target 5ms ecn",
            "queue fq_codel target 3ms interval 50ms ce_threshold 1ms limit 7 noecn flows 16 quantum 300 memory_limit 9999",
        ] {
            let config = set(text).expect(text);
            let shown = describe(&config);
            assert_eq!(set(&shown).expect(&shown), config, "{text}: {shown}");
        }
        assert_eq!(
            describe(&set("loss 0.1% delay 2ms").unwrap()),
            "delay 2ms loss 0.1%"
        );
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
            ("delay -5ms", "\"-5ms\" is there, and a time is missing"),
            ("loss gemodel", "a percentage is missing"),
        ] {
            let error = set(text).expect_err(text);
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
