//! A lab's file: TOML, checked all through before anything runs. docs/lab.md tells of each key.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use regex::Regex;
use switchboard_device::PipeConfig;
use switchboard_engine::NatKind;
use toml::de::DeTable;

use super::super::outside::{NetMode, Wanted};
use super::action;
use super::addresses::{self, Subnet};
use super::netem;
use super::plan::{
    EventPlan, Expect, HostPlan, Kind, LoPlan, Member, NatPlan, NetworkPlan, Plan, ProgramPlan,
    Ready, RoutePlan,
};
use super::reader::{Known, Problem, Result, Table, Value};

const LAB: Known = &[&[
    "name",
    "seed",
    "time_limit",
    "duration",
    "dns",
    "ipv6",
    "linger",
    "host",
    "segment",
    "link",
    "program",
    "event",
]];
const HOST: Known = &[&[
    "router",
    "nat",
    "routes",
    "sysctl",
    "pcap",
    "net",
    "publish",
    "host_loopback",
    "cap",
    "lo",
    "trace",
]];
const LO: Known = &[&["pcap"], netem::WITHOUT_MTU];
const NAT: Known = &[&["outside", "kind"]];
/// Of a segment or a link; with what all its cables are like.
const NETWORK: Known = &[
    &[
        "hosts",
        "subnet",
        "subnet6",
        "addresses",
        "from",
        "to",
        "pcap",
    ],
    netem::WORDS,
];
/// Of `from.HOST` and `to.HOST`.
const CABLE: Known = &[netem::WORDS];
const PROGRAM: Known = &[&[
    "host", "run", "env", "cwd", "after", "ready", "service", "start", "expect",
]];
const READY: Known = &[&["port", "line", "exit"]];
const EXPECT: Known = &[&["status", "output", "not_output"]];
const EVENT: Known = &[&["at", "after", "do"]];

/// Every table of the file and its keys, for the test of the reference.
#[cfg(test)]
pub(super) const SCHEMA: &[(&str, Known)] = &[
    ("lab", LAB),
    ("host", HOST),
    ("lo", LO),
    ("nat", NAT),
    ("segment", NETWORK),
    ("program", PROGRAM),
    ("ready", READY),
    ("expect", EXPECT),
    ("event", EVENT),
    ("cable", CABLE),
];

/// How long a lab may take that does not say.
const TIME_LIMIT: Duration = Duration::from_secs(60);
/// Of a session.
const LONGEST_NAME: usize = 48;
/// More than a network of ours numbers by itself.
const MOST_HOSTS: usize = 4096;

/// Understands a file's text. `path` is where relative paths start, and where the name is from. The error is one line.
pub(super) fn parse(path: &Path, text: &str) -> std::result::Result<Plan, String> {
    let file = path.display().to_string();
    let root = DeTable::parse(text).map_err(|error| {
        let problem = Problem {
            span: error.span().unwrap_or(0..0),
            key: String::new(),
            what: error.message().trim().to_owned(),
        };
        problem.line(&file, text)
    })?;
    let table = Table::new(String::new(), 0..0, root.get_ref(), LAB);
    let plan = table.and_then(|table| lab(path, &table));
    plan.map_err(|problem| problem.line(&file, text))
}

fn lab(path: &Path, table: &Table<'_>) -> Result<Plan> {
    let name = match table.get("name") {
        Some(value) => session_name(&value)?,
        None => {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let plain = |c: char| if is_plain(c) { c } else { '-' };
            let name = stem.trim_start_matches('.').chars().map(plain);
            // The path of a socket has 107 bytes (unix(7)).
            let name: String = name.take(LONGEST_NAME).collect();
            if name.is_empty() { "lab".into() } else { name }
        }
    };
    let time = |name: &str| table.get(name).map(|value| value.time()).transpose();
    let mut plan = Plan {
        name,
        seed: table.get("seed").map(|value| value.number()).transpose()?,
        time_limit: time("time_limit")?.unwrap_or(TIME_LIMIT),
        duration: time("duration")?,
        dns: table.get("dns").map_or(Ok(true), |value| value.truth())?,
        ipv6: table.get("ipv6").map_or(Ok(false), |value| value.truth())?,
        linger: table
            .get("linger")
            .map_or(Ok(false), |value| value.truth())?,
        hosts: Vec::new(),
        networks: Vec::new(),
        programs: Vec::new(),
        events: Vec::new(),
    };
    let hosts = table.need("host")?;
    for (name, value) in hosts.named()? {
        plan.hosts.push(host(&name, &value)?);
    }
    if plan.hosts.is_empty() || plan.hosts.len() > MOST_HOSTS {
        return Err(hosts.problem(format!("a lab has 1 to {MOST_HOSTS} hosts")));
    }
    networks(table, &mut plan)?;
    for (number, (_, value)) in hosts.named()?.iter().enumerate() {
        plan.hosts[number].nat = nat(&plan, number, value)?;
        tried::routes(&plan, number, value)?;
        tried::sysctls(&plan, number, value)?;
    }
    if let Some(programs) = table.get("program") {
        let programs = programs.named()?;
        for (name, value) in &programs {
            program(path, &mut plan, name, value)?;
        }
        for (number, (_, value)) in programs.iter().enumerate() {
            plan.programs[number].after = after(&plan, number, value)?;
        }
    }
    for value in table
        .get("event")
        .map_or(Ok(Vec::new()), |value| value.one_or_more())?
    {
        let event = event(&plan, &value)?;
        plan.events.push(event);
    }
    checks::order(&plan, table)?;
    checks::results(table)?;
    Ok(plan)
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// What is wrong with the name of a session.
pub(super) const NO_SESSION: &str =
    "letters, digits, -, _ and . make a name, 48 at most, and the first is no dot";

pub(super) fn is_session_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(is_plain) && !name.starts_with('.')
}

fn session_name(value: &Value<'_>) -> Result<String> {
    let name = value.text()?;
    if !is_session_name(name) {
        return Err(value.problem(NO_SESSION));
    }
    Ok(name.to_owned())
}

/// RFC 1123, 2.1
fn host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    name.len() <= 64 && name.split('.').all(label)
}

fn relative(path: &Path, value: &Value<'_>) -> Result<PathBuf> {
    let base = path.parent().unwrap_or(Path::new(""));
    Ok(base.join(value.text()?))
}

fn host(name: &str, value: &Value<'_>) -> Result<HostPlan> {
    if !host_name(name) || name == "localhost" {
        return Err(value.problem("letters, digits and - make the name of a host"));
    }
    if name == "in" {
        return Err(value.problem("'in' names a direction of cables, and no host"));
    }
    let table = value.table(HOST)?;
    let routes = match table.get("routes") {
        None => None,
        Some(value) => Some(
            value
                .one_or_more()?
                .iter()
                .map(route)
                .collect::<Result<_>>()?,
        ),
    };
    let mut sysctl = Vec::new();
    for (name, value) in table
        .get("sysctl")
        .map_or(Ok(Vec::new()), |value| value.named())?
    {
        sysctl.push((name, value.words()?));
    }
    Ok(HostPlan {
        name: name.to_owned(),
        router: table
            .get("router")
            .map_or(Ok(false), |value| value.truth())?,
        nat: None,
        routes,
        sysctl,
        pcap: path_of(&table, "pcap")?,
        outside: outside(&table)?,
        caps: each(&table, "cap")?,
        lo: table.get("lo").map(|value| lo(&value)).transpose()?,
        trace: path_of(&table, "trace")?,
    })
}

/// Where something is written, if it is.
fn path_of(table: &Table<'_>, key: &str) -> Result<Option<PathBuf>> {
    let value = table.get(key);
    value
        .map(|value| value.text().map(PathBuf::from))
        .transpose()
}

/// What is written as on a command line, once or several times.
fn each<T: FromStr<Err: fmt::Display>>(table: &Table<'_>, key: &str) -> Result<Vec<T>> {
    let values = table
        .get(key)
        .map_or(Ok(Vec::new()), |value| value.one_or_more())?;
    let parse = |value: &Value<'_>| {
        let text = value.text()?;
        let parsed = text.parse();
        parsed.map_err(|error: T::Err| match error.to_string() {
            said if said.contains(&format!("{text:?}")) => value.problem(said),
            said => value.problem(format!("{text:?}: {said}")),
        })
    };
    values.iter().map(parse).collect()
}

/// The way in and out, as `switchboard run` has it.
fn outside(table: &Table<'_>) -> Result<Wanted> {
    let wanted = Wanted {
        publish: each(table, "publish")?,
        host_loopback: each(table, "host_loopback")?,
        ..Wanted::default()
    };
    let net = match table.get("net") {
        None => NetMode::None,
        Some(value) => match value.text()? {
            "none" => NetMode::None,
            "nat" => NetMode::Nat,
            _ => return Err(value.problem("none or nat is wanted")),
        },
    };
    if let (NetMode::None, true, Some(value)) =
        (&net, wanted.publish.is_empty(), table.get("host_loopback"))
    {
        return Err(value.problem("is about net = \"nat\""));
    }
    Ok(Wanted { net, ..wanted })
}

fn lo(value: &Value<'_>) -> Result<LoPlan> {
    let table = value.table(LO)?;
    let mut pipe = PipeConfig::default();
    impairments(&table, netem::WITHOUT_MTU, &mut pipe)?;
    Ok(LoPlan {
        pcap: path_of(&table, "pcap")?,
        pipe,
    })
}

/// Which network a router hides the others from, and how.
fn nat(plan: &Plan, host: usize, value: &Value<'_>) -> Result<Option<NatPlan>> {
    let Some(value) = value.table(HOST)?.get("nat") else {
        return Ok(None);
    };
    if !plan.hosts[host].router {
        return Err(value.problem("only a router translates: router = true is missing"));
    }
    let table = value.table(NAT)?;
    let outside = table.need("outside")?;
    let name = outside.text()?;
    let network = plan.networks.iter().position(|network| {
        network.name == name && network.members.iter().any(|member| member.host == host)
    });
    let kind = table.need("kind")?;
    Ok(Some(NatPlan {
        outside: network
            .ok_or_else(|| outside.problem(format!("the host is on no network {name:?}")))?,
        kind: match kind.text()? {
            "full-cone" => NatKind::FullCone,
            "port-restricted" => NatKind::PortRestricted,
            "symmetric" => NatKind::Symmetric,
            _ => return Err(kind.problem("full-cone, port-restricted or symmetric is wanted")),
        },
    }))
}

/// `PREFIX via ROUTER`, `default via ROUTER`
fn route(value: &Value<'_>) -> Result<RoutePlan> {
    let text = value.text()?;
    let wanted = || {
        value.problem(format!(
            "{text:?}: PREFIX via ROUTER is wanted, such as \"10.2.0.0/16 via 10.0.1.1\""
        ))
    };
    let (prefix, gateway) = text.split_once(" via ").ok_or_else(wanted)?;
    let gateway: IpAddr = gateway.trim().parse().map_err(|_| wanted())?;
    let (prefix, len) = match prefix.trim() {
        "default" if gateway.is_ipv4() => ("0.0.0.0", 0),
        "default" => ("::", 0),
        prefix => {
            let (prefix, len) = prefix.split_once('/').ok_or_else(wanted)?;
            (prefix, len.parse().map_err(|_| wanted())?)
        }
    };
    let prefix: IpAddr = prefix.parse().map_err(|_| wanted())?;
    let longest = if prefix.is_ipv4() { 32 } else { 128 };
    if prefix.is_ipv4() != gateway.is_ipv4() || len > longest {
        return Err(wanted());
    }
    Ok(RoutePlan {
        prefix,
        len,
        gateway,
    })
}

fn networks(table: &Table<'_>, plan: &mut Plan) -> Result<()> {
    let mut numbers = addresses::Numbers::default();
    for key in ["segment", "link"] {
        for (_, value) in (table.get(key)).map_or(Ok(Vec::new()), |value| value.named())? {
            let table = value.table(NETWORK)?;
            for key in ["subnet", "subnet6"] {
                let given = table.get(key).and_then(|value| value.text().ok());
                // What is wrong with one is said where it is used.
                numbers.give(given.and_then(|text| Subnet::parse(text).ok()));
            }
        }
    }
    for (kind, key) in [(Kind::Segment, "segment"), (Kind::Link, "link")] {
        for (name, value) in table
            .get(key)
            .map_or(Ok(Vec::new()), |value| value.named())?
        {
            if name.is_empty() || !name.chars().all(is_plain) {
                return Err(value.problem("letters, digits, -, _ and . make a name"));
            }
            if plan.networks.iter().any(|network| network.name == name) {
                return Err(value.problem("a segment has this name already"));
            }
            let network = network(plan, &mut numbers, kind, &name, &value)?;
            plan.networks.push(network);
        }
    }
    if plan.networks.is_empty() && plan.hosts.len() > 1 {
        // Whoever says nothing of networks wants one.
        let mut subnets = numbers.next(plan.hosts.len()).to_vec();
        subnets.retain(|subnet| subnet.addr.is_ipv4() || plan.ipv6);
        let members = (0..plan.hosts.len()).map(|host| Member {
            host,
            addresses: subnets
                .iter()
                .map(|subnet| (subnet.nth(host as u32 + 1), subnet.len))
                .collect(),
            out: PipeConfig::default(),
            incoming: PipeConfig::default(),
        });
        plan.networks.push(NetworkPlan {
            name: "lan".into(),
            kind: Kind::Segment,
            members: members.collect(),
            pcap: None,
            asks: false,
        });
    }
    Ok(())
}

fn network(
    plan: &Plan,
    numbers: &mut addresses::Numbers,
    kind: Kind,
    name: &str,
    value: &Value<'_>,
) -> Result<NetworkPlan> {
    let table = value.table(NETWORK)?;
    let mut plain = PipeConfig::default();
    impairments(&table, netem::WORDS, &mut plain)?;
    // Behind a switch packets come as they are; of a link the other end's direction counts.
    let behind = PipeConfig {
        mtu: plain.mtu,
        ..PipeConfig::default()
    };
    let mut members: Vec<Member> = Vec::new();
    let hosts = table.need("hosts")?;
    for value in hosts.one_or_more()? {
        let host = action::find_host(plan, value.text()?).map_err(|what| value.problem(what))?;
        if members.iter().any(|member| member.host == host) {
            return Err(value.problem(format!("{:?} is named twice", value.text()?)));
        }
        members.push(Member {
            host,
            addresses: Vec::new(),
            out: plain,
            incoming: if kind == Kind::Link { plain } else { behind },
        });
    }
    if kind == Kind::Link && members.len() != 2 {
        return Err(hosts.problem("a link joins two hosts"));
    }
    let automatic = numbers.next(members.len());
    let mut subnets = Vec::new();
    let mut asks = false;
    for (key, automatic) in [("subnet", automatic[0]), ("subnet6", automatic[1])] {
        match table.get(key) {
            None if automatic.addr.is_ipv6() && !plan.ipv6 => {}
            None => subnets.push(numbers.free(automatic)),
            Some(value) if value.text()? == "none" => {}
            Some(value) if key == "subnet6" && value.text()? == "auto" => asks = true,
            Some(value) => {
                let subnet = Subnet::parse(value.text()?).map_err(|what| value.problem(what))?;
                if subnet.addr.is_ipv4() != automatic.addr.is_ipv4() {
                    return Err(value.problem("subnet is of IPv4, subnet6 of IPv6"));
                }
                subnets.push(subnet);
            }
        }
    }
    let mut given: BTreeMap<usize, Vec<(IpAddr, u8)>> = BTreeMap::new();
    let member_of = |members: &[Member], host: &str, value: &Value<'_>| {
        let number = action::find_host(plan, host).map_err(|what| value.problem(what))?;
        let found = members.iter().position(|member| member.host == number);
        found.ok_or_else(|| value.problem(format!("{host} is not on {name}")))
    };
    for (host, value) in table
        .get("addresses")
        .map_or(Ok(Vec::new()), |value| value.named())?
    {
        let member = member_of(&members, &host, &value)?;
        for value in value.one_or_more()? {
            let address =
                addresses::address(value.text()?, &subnets).map_err(|what| value.problem(what))?;
            given.entry(member).or_default().push(address);
        }
    }
    addresses::assign(&mut members, &subnets, &given).map_err(|what| table.problem(what))?;
    for (key, incoming) in [("from", false), ("to", true)] {
        for (host, value) in table
            .get(key)
            .map_or(Ok(Vec::new()), |value| value.named())?
        {
            let member = member_of(&members, &host, &value)?;
            let cable = value.table(CABLE)?;
            // What one end of a link gets is what the other one sends.
            let (member, incoming) = match (kind, incoming) {
                (Kind::Link, true) => (1 - member, false),
                _ => (member, incoming),
            };
            let pipe = match incoming {
                true => &mut members[member].incoming,
                false => &mut members[member].out,
            };
            impairments(&cable, netem::WORDS, pipe)?;
        }
    }
    Ok(NetworkPlan {
        name: name.to_owned(),
        kind,
        members,
        pcap: path_of(&table, "pcap")?,
        asks,
    })
}

/// The keys of netem, each with its words as its value.
fn impairments(table: &Table<'_>, words: &[&str], config: &mut PipeConfig) -> Result<()> {
    for key in words {
        let Some(value) = table.get(key) else {
            continue;
        };
        let text = value.words()?;
        let mut words = vec![*key];
        words.extend(text.split_whitespace());
        netem::apply(config, &words).map_err(|what| value.problem(what))?;
        if *key == "distribution" && config.delay.jitter.is_zero() {
            return Err(value.problem("is that of the jitter, and delay has none"));
        }
    }
    Ok(())
}

fn program(path: &Path, plan: &mut Plan, name: &str, value: &Value<'_>) -> Result<()> {
    if name.is_empty() || !name.chars().all(is_plain) {
        return Err(value.problem("letters, digits, -, _ and . make a name"));
    }
    let table = value.table(PROGRAM)?;
    let host = match table.get("host") {
        Some(value) => {
            action::find_host(plan, value.text()?).map_err(|what| value.problem(what))?
        }
        // A program of the name of a host is that host's.
        None => action::find_host(plan, name).map_err(|_| Problem {
            what: "is missing".into(),
            key: format!("{}.host", value.key),
            span: value.span.clone(),
        })?,
    };
    let command = table.need("run")?;
    let run = if command.is_text() {
        vec!["sh".into(), "-c".into(), command.text()?.to_owned()]
    } else {
        command.texts()?
    };
    if run.first().is_none_or(String::is_empty) {
        return Err(command.problem("names no program"));
    }
    if run.iter().any(|word| word.contains('\0')) {
        return Err(command.problem("no argument has a zero byte"));
    }
    let mut env = Vec::new();
    for (name, value) in table
        .get("env")
        .map_or(Ok(Vec::new()), |value| value.named())?
    {
        let text = value.words()?;
        if name.is_empty() || name.contains(['=', '\0']) || text.contains('\0') {
            return Err(value.problem("a variable's name has no =, and neither has a zero byte"));
        }
        env.push((name, text));
    }
    let cwd = match table.get("cwd") {
        Some(value) => relative(path, &value)?,
        None => path.parent().unwrap_or(Path::new("")).to_path_buf(),
    };
    let truth = |name: &str, default| table.get(name).map_or(Ok(default), |value| value.truth());
    let ready = ready(&table)?;
    plan.programs.push(ProgramPlan {
        name: name.to_owned(),
        host,
        run,
        env,
        cwd,
        service: truth("service", false)?,
        by_event: !truth("start", true)?,
        after: Vec::new(),
        ready,
        expect: expect(&table)?,
    });
    Ok(())
}

fn ready(table: &Table<'_>) -> Result<Ready> {
    let Some(value) = table.get("ready") else {
        return Ok(Ready::Started);
    };
    let ready = value.table(READY)?;
    match (ready.get("port"), ready.get("line"), ready.get("exit")) {
        (Some(port), None, None) => match port.number()? {
            0 => Err(port.problem("no program listens at port 0")),
            port => Ok(Ready::Port(port)),
        },
        (None, Some(line), None) => Ok(Ready::Line(regex(&line)?)),
        (None, None, Some(exit)) if exit.truth()? => Ok(Ready::Exit),
        _ => Err(value.problem("one of port, line and exit = true is wanted")),
    }
}

fn regex(value: &Value<'_>) -> Result<Regex> {
    Regex::new(value.text()?).map_err(|error| {
        let text = error.to_string();
        let last = text.lines().last().unwrap_or_default();
        value.problem(format!("not a regular expression: {}", last.trim()))
    })
}

fn expect(table: &Table<'_>) -> Result<Expect> {
    let Some(value) = table.get("expect") else {
        return Ok(Expect::default());
    };
    let table = value.table(EXPECT)?;
    let all = |name: &str| -> Result<Vec<Regex>> {
        let values = table
            .get(name)
            .map_or(Ok(Vec::new()), |value| value.one_or_more())?;
        values.iter().map(regex).collect()
    };
    let status = match table.get("status") {
        None => None,
        Some(value) if value.is_text() && value.text()? == "any" => Some((0..=255).collect()),
        Some(value) => Some(
            value
                .one_or_more()?
                .iter()
                .map(|value| {
                    if value.is_number() {
                        return value.number();
                    }
                    let signal = action::find_signal(value.text()?);
                    let signal = signal.map_err(|what| value.problem(what))?;
                    Ok(128 + signal as u8)
                })
                .collect::<Result<Vec<u8>>>()?,
        ),
    };
    if let (Some(statuses), Some(value)) = (&status, table.get("status"))
        && statuses.is_empty()
    {
        return Err(value.problem("no status would be as expected"));
    }
    Ok(Expect {
        status,
        output: all("output")?,
        not_output: all("not_output")?,
    })
}

fn after(plan: &Plan, own: usize, value: &Value<'_>) -> Result<Vec<usize>> {
    let Some(value) = value.table(PROGRAM)?.get("after") else {
        return Ok(Vec::new());
    };
    if plan.programs[own].by_event {
        return Err(
            value.problem("start = false says that an event starts it, or `switchboard ctl`")
        );
    }
    let mut after = Vec::new();
    for value in value.one_or_more()? {
        let other =
            action::find_program(plan, value.text()?).map_err(|what| value.problem(what))?;
        if other == own {
            return Err(value.problem("a program does not come after itself"));
        }
        after.push(other);
    }
    Ok(after)
}

fn event(plan: &Plan, value: &Value<'_>) -> Result<EventPlan> {
    let table = value.table(EVENT)?;
    let after = match table.get("after") {
        None => None,
        Some(value) => {
            Some(action::find_program(plan, value.text()?).map_err(|what| value.problem(what))?)
        }
    };
    let at = match table.get("at") {
        Some(value) => value.time()?,
        None if after.is_some() => Duration::ZERO,
        None => table.need("at")?.time()?,
    };
    let (mut actions, mut texts) = (Vec::new(), Vec::new());
    for value in table.need("do")?.one_or_more()? {
        let text = value.text()?;
        let words: Vec<&str> = text.split_whitespace().collect();
        actions.push(action::parse(plan, &words).map_err(|what| value.problem(what))?);
        texts.push(text.to_owned());
    }
    Ok(EventPlan {
        at,
        after,
        actions,
        text: texts.join(", "),
    })
}

mod checks;
mod tried;

#[cfg(test)]
mod tests;
