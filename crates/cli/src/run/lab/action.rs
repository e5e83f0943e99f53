//! What can be done to a lab while it runs: the same words in a file's events and for `switchboard ctl`.

use std::fmt;

use switchboard_device::PipeConfig;

use super::netem;
use super::plan::Plan;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// `up NETWORK[/HOST]`, `down NETWORK[/HOST]`
    Carrier { cables: Cables, up: bool },
    /// `set NETWORK[/HOST[/in]] WORDS`
    Set { cables: Cables, words: Vec<String> },
    /// `partition A B | C D [| ...]`: sets of hosts. One set is apart from all others.
    Partition { sets: Vec<Vec<usize>> },
    /// `heal`: all partitions end.
    Heal,
    /// `kill PROGRAM [SIGNAL]`, `stop PROGRAM`, `cont PROGRAM`
    Signal { program: usize, signal: i32 },
    /// `start PROGRAM`: also one that has ended.
    Start { program: usize },
}

/// What there is, as it is told to who says something else.
pub(super) const FORMS: &[&str] = &[
    "up LINK",
    "down LINK",
    "set LINK WORDS",
    "partition HOSTS | HOSTS",
    "heal",
    "kill PROGRAM [SIGNAL]",
    "stop PROGRAM",
    "cont PROGRAM",
    "start PROGRAM",
];

/// What `switchboard ctl` does besides.
pub(super) const CTL_FORMS: &[&str] = &["ps", "ss [HOST]", "links", "end"];

/// The words that such forms begin with.
pub(super) fn verbs(forms: &'static [&'static str]) -> impl Iterator<Item = &'static str> {
    forms.iter().filter_map(|form| form.split(' ').next())
}

/// Which directions of which cables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cables {
    pub(super) network: usize,
    /// All of them when it is none's.
    pub(super) host: Option<usize>,
    /// What the host gets, in place of what it sends.
    pub(super) incoming: bool,
}

/// Signals by name, without SIG.
const SIGNALS: &[(&str, i32)] = &[
    ("KILL", libc::SIGKILL),
    ("TERM", libc::SIGTERM),
    ("INT", libc::SIGINT),
    ("HUP", libc::SIGHUP),
    ("QUIT", libc::SIGQUIT),
    ("USR1", libc::SIGUSR1),
    ("USR2", libc::SIGUSR2),
    ("STOP", libc::SIGSTOP),
    ("CONT", libc::SIGCONT),
];

/// Understands an action, or says in one line why not.
pub(super) fn parse(plan: &Plan, words: &[&str]) -> Result<Action, String> {
    let (verb, rest) = words.split_first().ok_or("nothing to do is named")?;
    match (*verb, rest) {
        ("up" | "down", [cables]) => Ok(Action::Carrier {
            cables: find_cables(plan, cables)?,
            up: *verb == "up",
        }),
        ("set", [cables, words @ ..]) if !words.is_empty() => {
            let cables = find_cables(plan, cables)?;
            netem::apply(&mut PipeConfig::default(), words)?;
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            Ok(Action::Set { cables, words })
        }
        ("partition", rest) if !rest.is_empty() => {
            let mut sets = Vec::new();
            for set in rest.split(|word| *word == "|") {
                let hosts: Result<Vec<_>, _> =
                    set.iter().map(|name| find_host(plan, name)).collect();
                sets.push(hosts?);
            }
            if sets.iter().any(Vec::is_empty) {
                return Err("partition: a set without hosts".into());
            }
            for (n, set) in sets.iter().enumerate() {
                let also = |host: &&usize| sets[..n].iter().any(|other| other.contains(host));
                if let Some(host) = set.iter().find(also) {
                    let name = &plan.hosts[*host].name;
                    return Err(format!("partition: {name} is in two sets"));
                }
            }
            Ok(Action::Partition { sets })
        }
        ("heal", []) => Ok(Action::Heal),
        ("kill", [program]) => signal(plan, program, libc::SIGTERM),
        ("kill", [program, name]) => signal(plan, program, find_signal(name)?),
        ("stop", [program]) => signal(plan, program, libc::SIGSTOP),
        ("cont", [program]) => signal(plan, program, libc::SIGCONT),
        ("start", [program]) => Ok(Action::Start {
            program: find_program(plan, program)?,
        }),
        _ => Err(format!(
            "{:?} is none of: {}",
            words.join(" "),
            FORMS.join(", ")
        )),
    }
}

fn signal(plan: &Plan, program: &str, signal: i32) -> Result<Action, String> {
    let program = find_program(plan, program)?;
    Ok(Action::Signal { program, signal })
}

/// By name, with or without SIG, or by number.
pub(super) fn find_signal(name: &str) -> Result<i32, String> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some((_, number)) = SIGNALS.iter().find(|(known, _)| *known == short) {
        return Ok(*number);
    }
    match name.parse() {
        Ok(number @ 1..=64) => Ok(number),
        _ => Err(format!("no signal {name:?}")),
    }
}

/// `SIGTERM`
pub(super) fn signal_name(signal: i32) -> String {
    match SIGNALS.iter().find(|(_, number)| *number == signal) {
        Some((name, _)) => format!("SIG{name}"),
        None => format!("signal {signal}"),
    }
}

fn none(what: &str, name: &str, known: impl IntoIterator<Item = impl fmt::Display>) -> String {
    let known: Vec<String> = known.into_iter().map(|name| name.to_string()).collect();
    match known.as_slice() {
        [] => format!("no {what} {name:?}: there are none"),
        known => format!("no {what} {name:?}; there are {}", known.join(", ")),
    }
}

pub(super) fn find_host(plan: &Plan, name: &str) -> Result<usize, String> {
    let found = plan.hosts.iter().position(|host| host.name == name);
    found.ok_or_else(|| none("host", name, plan.hosts.iter().map(|host| &host.name)))
}

pub(super) fn find_program(plan: &Plan, name: &str) -> Result<usize, String> {
    let found = plan
        .programs
        .iter()
        .position(|program| program.name == name);
    found.ok_or_else(|| none("program", name, plan.programs.iter().map(|p| &p.name)))
}

/// `NETWORK`, `NETWORK/HOST`, `NETWORK/HOST/in`
fn find_cables(plan: &Plan, text: &str) -> Result<Cables, String> {
    let mut parts = text.split('/');
    let name = parts.next().unwrap_or_default();
    let found = plan
        .networks
        .iter()
        .position(|network| network.name == name);
    let network = found.ok_or_else(|| {
        none(
            "link or segment",
            name,
            plan.networks.iter().map(|n| &n.name),
        )
    })?;
    let host = match parts.next() {
        None => None,
        Some(host) => {
            let host = find_host(plan, host)?;
            if !plan.networks[network]
                .members
                .iter()
                .any(|m| m.host == host)
            {
                return Err(format!("{} is not on {name}", plan.hosts[host].name));
            }
            Some(host)
        }
    };
    let incoming = match (parts.next(), parts.next()) {
        (None, _) => false,
        (Some("in"), None) => true,
        _ => {
            return Err(format!(
                "{text:?}: LINK, LINK/HOST or LINK/HOST/in is wanted"
            ));
        }
    };
    Ok(Cables {
        network,
        host,
        incoming,
    })
}
