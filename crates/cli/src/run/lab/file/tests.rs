use super::*;
use crate::run::lab::action::{Action, Cables};

const WHOLE: &str = r#"
name = "demo"
seed = 7
time_limit = "30s"
ipv6 = true

[host.a]
[host.b]
sysctl = { "net.core.somaxconn" = 7 }
[host.r]
router = true

[segment.lan]
hosts = ["a", "r"]
delay = "5ms 1ms"
from.a = { loss = "1%" }
addresses.a = "10.0.1.50"

[link.wan]
hosts = ["r", "b"]
rate = "10mbit"
queue = "fq_codel"
to.b = { delay = "20ms" }

[program.server]
host = "b"
run = ["cat"]
service = true
ready.port = 80

[program.client]
host = "a"
run = "echo hello"
after = "server"
expect = { status = [0, "TERM"], output = "^hello$", not_output = ["error"] }

[[event]]
at = "2s"
do = ["down wan", "set lan/a loss 5% delay 1ms"]

[[event]]
after = "client"
at = "1s"
do = "partition a | b"
"#;

fn parsed(text: &str) -> std::result::Result<Plan, String> {
    parse(Path::new("dir/lab.toml"), text)
}

#[test]
fn a_whole_file_is_understood() {
    let plan = parsed(WHOLE).unwrap();
    assert_eq!((plan.name.as_str(), plan.seed), ("demo", Some(7)));
    let names: Vec<&str> = plan.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "r"]);
    let lan = &plan.networks[0];
    let texts = |member: &Member| -> Vec<String> {
        member
            .addresses
            .iter()
            .map(|(addr, len)| format!("{addr}/{len}"))
            .collect()
    };
    assert_eq!(texts(&lan.members[0]), ["10.0.1.50/24", "fd00:0:0:1::1/64"]);
    assert_eq!(texts(&lan.members[1]), ["10.0.1.2/24", "fd00:0:0:1::2/64"]);
    assert_ne!(lan.members[0].out.loss, lan.members[1].out.loss);
    assert_eq!(lan.members[0].incoming.delay.delay, Duration::ZERO);
    let wan = &plan.networks[1];
    // What b gets is what r sends.
    assert_eq!(wan.members[0].out.delay.delay, Duration::from_millis(20));
    assert_eq!(wan.members[1].out.delay.delay, Duration::ZERO);
    assert!(wan.members[1].out.rate.is_some());
    assert_eq!(plan.programs[1].run, ["sh", "-c", "echo hello"]);
    assert_eq!(plan.programs[1].after, [0]);
    assert_eq!(plan.programs[1].expect.status, Some(vec![0, 143]));
    let down = Action::Carrier {
        cables: Cables {
            network: 1,
            host: None,
            incoming: false,
        },
        up: false,
    };
    assert_eq!(plan.events[0].actions[0], down);
    assert_eq!(plan.events[1].after, Some(1));
    let routes = addresses::routes(&plan, 0);
    let shown: Vec<String> = routes
        .iter()
        .map(|r| format!("{}/{} via {}", r.prefix, r.len, r.gateway))
        .collect();
    assert_eq!(
        shown,
        [
            "10.0.2.0/24 via 10.0.1.2",
            "fd00:0:0:2::/64 via fd00:0:0:1::2"
        ]
    );
}

#[test]
fn hosts_alone_are_on_one_segment() {
    let plan = parsed("[host.x]\n[host.y]\n").unwrap();
    assert_eq!(plan.networks.len(), 1);
    assert_eq!(plan.networks[0].members.len(), 2);
    assert_eq!(plan.name, "lab");
}

#[test]
fn a_subnet_that_the_file_names_is_given_to_nobody_else() {
    let text = "[host.a]\n[host.b]\n[segment.one]\nhosts = [\"a\", \"b\"]\nsubnet = \"10.0.2.0/23\"\n\
        [segment.two]\nhosts = [\"a\", \"b\"]\n[segment.wide]\nhosts = [\"a\"]";
    let plan = parsed(text).unwrap();
    let firsts = plan
        .networks
        .iter()
        .map(|network| network.members[0].addresses[0].0);
    let firsts: Vec<String> = firsts.map(|addr| addr.to_string()).collect();
    assert_eq!(firsts, ["10.0.2.1", "10.0.254.1", "10.0.253.1"]);
}

#[test]
fn names_of_files_make_names_of_sessions() {
    for (path, name) in [
        ("a b.toml", "a-b"),
        (".toml", "toml"),
        ("links.toml", "links"),
    ] {
        assert_eq!(parse(Path::new(path), "[host.a]").unwrap().name, name);
    }
    let long = format!("{}.toml", "x".repeat(200));
    let name = parse(Path::new(&long), "[host.a]").unwrap().name;
    assert!(is_session_name(&name), "{name}");
}

#[test]
fn nobody_outside_has_a_route_behind_a_translation() {
    let text = r#"
[host.inner]
[host.gate]
router = true
nat = { outside = "wide", kind = "full-cone" }
[host.out]
[link.home]
hosts = ["inner", "gate"]
[link.wide]
hosts = ["gate", "out"]
"#;
    let plan = parsed(text).unwrap();
    assert_eq!(addresses::routes(&plan, 0).len(), 1);
    assert_eq!(addresses::routes(&plan, 2), []);
}

#[test]
fn errors_name_line_and_key() {
    for (text, wanted) in [
        (
            "[host.a]\nx = 1",
            "dir/lab.toml:2: host.a.x: no such key here",
        ),
        (
            "[host.a]\nrouter = 1",
            "dir/lab.toml:2: host.a.router: is integer, but true or false",
        ),
        ("name = \"x\"\n[host.a", "dir/lab.toml:2: "),
        ("seed = 1", "dir/lab.toml:1: host: is missing"),
        (
            "[host.a]\n[host.b]\n\n[link.l]\nhosts = [\"a\", \"c\"]",
            "dir/lab.toml:5: link.l.hosts: no host \"c\"; there are a, b",
        ),
        (
            "[host.a]\n[segment.s]\nhosts = [\"a\"]\nloss = \"x%\"",
            "dir/lab.toml:4: segment.s.loss: ",
        ),
        (
            "[host.a]\n[segment.s]\nhosts = [\"a\"]\ndelay = \"5ms\"\ndistribution = \"normal\"",
            "dir/lab.toml:5: segment.s.distribution: is that of the jitter",
        ),
        (
            "[host.a]\n[program.p]\nhost = \"a\"",
            "dir/lab.toml:2: program.p.run: is missing",
        ),
        (
            "[host.a]\n[program.p]\nhost = \"b\"\nrun = \"x\"",
            "dir/lab.toml:3: program.p.host: no host \"b\"",
        ),
        (
            "[host.a]\n[program.p]\nhost = \"a\"\nrun = \"x\"\nexpect.output = \"(\"",
            "dir/lab.toml:5: program.p.expect.output: not a regular",
        ),
        (
            "[host.a]\n[[event]]\nat = 5\ndo = \"heal\"",
            "dir/lab.toml:3: event.at: is integer, but a time in quotes",
        ),
        (
            "[host.a]\n[[event]]\nat = \"5s\"\ndo = \"down lan\"",
            "dir/lab.toml:4: event.do: no link or segment \"lan\"",
        ),
        (
            "[host.a]\n[program.p]\nhost=\"a\"\nrun=\"x\"\nafter=\"q\"\n[program.q]\nhost=\"a\"\nrun=\"x\"\nafter=\"p\"",
            "program.p: waits for itself",
        ),
        (
            "time_limit = \"5\"\n[host.a]",
            "dir/lab.toml:1: time_limit: a time has a unit",
        ),
        (
            "[host.a]\nnat = { outside = \"x\", kind = \"symmetric\" }",
            "dir/lab.toml:2: host.a.nat: only a router",
        ),
        (
            "[host.a]\nrouter = true\nnat.kind = \"symmetric\"\nnat.outside = \"x\"",
            "dir/lab.toml:4: host.a.nat.outside: the host is on no network \"x\"",
        ),
        (
            "[host.a]\n[program.p]\nhost = \"a\"\nrun = \"x\"\nready.port = 0",
            "dir/lab.toml:5: program.p.ready.port: no program listens at port 0",
        ),
        (
            "[host.a]\ncap = \"net_admin\"\npublish = \"80\"",
            "dir/lab.toml:3: host.a.publish: \"80\": [ADDRESS:]PORT:PORT",
        ),
        (
            "[host.a]\n[program.a]\nrun = [\"\"]",
            "dir/lab.toml:3: program.a.run: names no program",
        ),
        (
            "[host.a]\n[program.a]\nrun = [\"x\", \"\\u0000\"]",
            "dir/lab.toml:3: program.a.run: no argument has a zero byte",
        ),
        (
            "[host.a]\n[program.a]\nrun = \"x\"\nenv.\"a=b\" = 1",
            "dir/lab.toml:4: program.a.env.a=b: a variable's name has no =",
        ),
        (
            "[host.a]\n[program.a]\nrun = \"x\"\nexpect.status = []",
            "dir/lab.toml:4: program.a.expect.status: no status would be",
        ),
        (
            "name = \".x\"\n[host.a]",
            "dir/lab.toml:1: name: letters, digits",
        ),
        (
            "[host.a]\n[segment.s]\nhosts = \"a\"\nsubnet = \"224.0.0.0/24\"",
            "dir/lab.toml:4: segment.s.subnet: \"224.0.0.0/24\" is no subnet of hosts",
        ),
        (
            "[host.a]\npcap = \"x\"\n[segment.s]\nhosts = \"a\"\npcap = \"x\"",
            "dir/lab.toml:5: segment.s.pcap: host.a.pcap is written to this file, too",
        ),
        (
            "[host.a]\n[program.p]\nhost = \"a\"\nrun = \"x\"\nstart = false\n[[event]]\nafter = \"p\"\ndo = \"start p\"",
            "dir/lab.toml:2: program.p: waits for itself, over what the events come after",
        ),
        (
            "[host.a]\n[program.q]\nhost = \"a\"\nrun = \"x\"\n[program.p]\nhost = \"a\"\nrun = \"x\"\nstart = false\nafter = \"q\"",
            "dir/lab.toml:9: program.p.after: start = false says that an event starts it",
        ),
        (
            "[host.a]\n[host.b]\n[event]\nat = \"1s\"\ndo = \"partition a | b a\"",
            "dir/lab.toml:5: event.do: partition: a is in two sets",
        ),
        (
            "[host.in]",
            "dir/lab.toml:1: host.in: 'in' names a direction",
        ),
        (
            "[host.a_b]",
            "dir/lab.toml:1: host.a_b: letters, digits and -",
        ),
        (
            "[host.a]\nroutes = [\"default via 10.0.0.1\"]",
            "dir/lab.toml:2: host.a.routes: 10.0.0.1 is on none of",
        ),
        (
            "[host.a]\nroutes = \"default via 10.0.1.1\"\n[host.b]",
            "dir/lab.toml:2: host.a.routes: 10.0.1.1 is on none of the host's networks, or is the host itself",
        ),
        (
            "[host.a]\nsysctl.\"net.ipv4.nope\" = 1",
            "dir/lab.toml:2: host.a.sysctl.net.ipv4.nope: there is no such tunable",
        ),
        (
            "[host.a]\nsysctl.\"net.ipv4.ip_forward\" = \"x\"",
            "dir/lab.toml:2: host.a.sysctl.net.ipv4.ip_forward: \"x\" is not a value",
        ),
        (
            "[host.a]\nsysctl.\"net.ipv6.conf.eth1.forwarding\" = 1\n[host.b]",
            "dir/lab.toml:2: host.a.sysctl.net.ipv6.conf.eth1.forwarding: there is no such",
        ),
        (
            "[host.a]\nroutes = \"10.0.0.0 via x\"",
            "dir/lab.toml:2: host.a.routes: ",
        ),
    ] {
        let error = parsed(text).expect_err(text);
        assert!(
            error.contains(wanted) && !error.contains('\n'),
            "{text}\n{error}"
        );
    }
}

#[test]
fn tunables_of_interfaces_and_routes_to_neighbours_are_taken() {
    let text = "[host.a]\nsysctl.\"net.ipv6.conf.eth0.forwarding\" = 1\nroutes = [\"default via 10.0.1.2\", \"fd01::/16 via fe80::1\"]\n[host.b]";
    parsed(text).expect(text);
}

/// Every key that is understood has its place in the reference.
#[test]
fn the_reference_has_every_key() {
    let reference = include_str!("../../../../../../docs/lab.md");
    for (table, keys) in SCHEMA {
        let section = format!("<!-- keys: {table} -->");
        let start = reference
            .find(&section)
            .unwrap_or_else(|| panic!("{section} is missing"));
        let rest = &reference[start + section.len()..];
        let rest = &rest[..rest.find("<!-- keys:").unwrap_or(rest.len())];
        for key in keys.concat() {
            assert!(
                rest.contains(&format!("| `{key}`")),
                "{table}.{key} is missing"
            );
        }
    }
}
