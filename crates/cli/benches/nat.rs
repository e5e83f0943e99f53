//! The way out beside others that need no privilege: `cargo bench -p switchboard-cli --bench nat`.
//!
//! One TCP connection of iperf3, each way, from a program under `switchboard run --net nat`, in a namespace behind
//! pasta(1) and behind slirp4netns(1), and directly, which is the most that there is. All of it happens in network
//! namespaces that the bench makes for itself, so it wants root; the outside is another one, at the end of a pair of veth
//! devices. Rounds take turns, and the medians count; behind them stand the least and the most, which are far apart on a
//! machine that has other work. `--seconds N` (3) and `--rounds N` (3).
#![allow(missing_docs, clippy::disallowed_methods)] // A bench waits.

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

const SWITCHBOARD: &str = env!("CARGO_BIN_EXE_switchboard");
/// The machine's end of the veth pair, and the outside's.
const HERE: &str = "10.66.0.1/24";
const THERE: &str = "10.66.0.2";

/// Each way: what iperf3 is told besides.
const WAYS: [(&str, &[&str]); 2] = [("out", &[]), ("in", &["-R"])];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str, default: usize| {
        let at = args.iter().position(|arg| arg == name);
        let value = at.and_then(|at| args.get(at + 1));
        value.map_or(default, |n| n.parse().expect("a number"))
    };
    if args.first().is_none_or(|first| first != "apart") {
        return apart(&args);
    }
    measure(number("--seconds", 3), number("--rounds", 3).max(1));
}

/// The bench again, in a network namespace of its own.
fn apart(args: &[String]) {
    let exe = std::env::current_exe().expect("the bench's own path");
    let allowed = Command::new("unshare").args(["-n", "true"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        println!("left out: no network namespace may be made here");
        return;
    }
    let status = Command::new("unshare")
        .arg("-n")
        .arg(exe)
        .arg("apart")
        .args(args)
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "the bench failed"
    );
}

/// A child that ends with its owner.
struct Held(Child);

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn hold(words: &[&str]) -> Option<Held> {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().ok().map(Held)
}

/// A namespace of its own, held by a process.
fn namespace() -> Held {
    let held = hold(&["unshare", "-n", "sleep", "100000"]).expect("unshare");
    // Until unshare has become sleep it may still be in ours.
    sleep(Duration::from_millis(300));
    held
}

fn must(words: &[&str]) {
    let status = Command::new(words[0]).args(&words[1..]).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{}",
        words.join(" ")
    );
}

/// How a program gets outside.
struct Way {
    name: &'static str,
    before: Vec<String>,
    /// What it needs meanwhile.
    _held: Vec<Held>,
}

fn words(text: &[&str]) -> Vec<String> {
    text.iter().map(|word| (*word).to_owned()).collect()
}

fn slirp4netns() -> Way {
    let inside = namespace();
    let pid = inside.0.id().to_string();
    // Where there is none, iperf3 finds no network.
    let slirp = hold(&["slirp4netns", "--configure", "--mtu=65520", &pid, "tap0"]);
    sleep(Duration::from_secs(1));
    Way {
        name: "slirp4netns",
        before: words(&["nsenter", "-t", &pid, "-n"]),
        _held: slirp.into_iter().chain([inside]).collect(),
    }
}

fn measure(seconds: usize, rounds: usize) {
    must(&["ip", "link", "set", "lo", "up"]);
    let outside = namespace();
    let pid = outside.0.id().to_string();
    must(&[
        "ip", "link", "add", "b0", "type", "veth", "peer", "name", "b1", "netns", &pid,
    ]);
    must(&["ip", "addr", "add", HERE, "dev", "b0"]);
    must(&["ip", "link", "set", "b0", "up"]);
    must(&["ip", "route", "add", "default", "via", THERE]);
    let there = |rest: &[&str]| {
        let mut all = vec!["nsenter", "-t", &pid, "-n"];
        all.extend(rest);
        must(&all);
    };
    there(&["ip", "addr", "add", "10.66.0.2/24", "dev", "b1"]);
    there(&["ip", "link", "set", "b1", "up"]);
    let server = hold(&["nsenter", "-t", &pid, "-n", "iperf3", "-s"]);
    sleep(Duration::from_millis(700));

    let mut ways = vec![
        Way {
            name: "direct",
            before: Vec::new(),
            _held: Vec::new(),
        },
        Way {
            name: "Switchboard",
            before: words(&[SWITCHBOARD, "run", "--net", "nat", "--"]),
            _held: Vec::new(),
        },
        Way {
            name: "pasta",
            // As root it would be nobody, who may not open /dev/net/tun everywhere, and it takes the router's address for
            // the machine's loopback, where the outside is not.
            before: words(&[
                "pasta",
                "--runas=0",
                "--netns-only",
                "--no-map-gw",
                "--foreground",
                "--config-net",
                "--",
            ]),
            _held: Vec::new(),
        },
    ];
    ways.push(slirp4netns());
    println!(
        "| one TCP connection, Gbit/s | {} |",
        names(&ways, |way| way.name.to_owned())
    );
    println!("|---|{}", "---|".repeat(ways.len()));
    for (label, flags) in WAYS {
        let mut rates: Vec<Vec<f64>> = vec![Vec::new(); ways.len()];
        let mut reasons = vec![String::new(); ways.len()];
        for _ in 0..rounds {
            for (at, way) in ways.iter().enumerate() {
                match iperf(way, flags, seconds) {
                    Ok(rate) => rates[at].push(rate),
                    Err(reason) => reasons[at] = reason,
                }
            }
        }
        rates
            .iter_mut()
            .for_each(|rates| rates.sort_by(f64::total_cmp));
        let ours = median(&rates[1]);
        let cells = (0..ways.len()).map(|at| {
            let (name, rates) = (ways[at].name, &rates[at]);
            let ends = rates.first().zip(rates.last());
            let (Some(rate), Some((least, most))) = (median(rates), ends) else {
                return format!("{name} does not run here: {}", reasons[at]);
            };
            let cell = format!("{rate:.2} ({least:.2} to {most:.2})");
            match ours {
                Some(ours) if name != "Switchboard" => {
                    format!("{cell}; Switchboard {:.2} times", ours / rate)
                }
                _ => cell,
            }
        });
        println!("| {label} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    println!(
        "\nMedians of {rounds} runs of {seconds} s. {cpus} CPUs. Target: 5 Gbit/s, and ahead of pasta and slirp4netns."
    );
    drop(server);
}

fn names(ways: &[Way], name: impl Fn(&Way) -> String) -> String {
    ways.iter().map(name).collect::<Vec<_>>().join(" | ")
}

/// What the receiver has counted, in Gbit/s, or why there is nothing.
fn iperf(way: &Way, flags: &[&str], seconds: usize) -> Result<f64, String> {
    // One that does not work here may also wait for ever.
    let limit = (seconds + 10).to_string();
    let seconds = seconds.to_string();
    let mut all = words(&["timeout", "-k", "1", &limit]);
    all.extend(way.before.iter().cloned());
    all.extend(words(&["iperf3", "-J", "-c", THERE, "-t", &seconds]));
    all.extend(words(flags));
    let output = Command::new(&all[0]).args(&all[1..]).output();
    let output = output.map_err(|error| error.to_string())?;
    // The server takes one at a time, and needs a moment between two.
    sleep(Duration::from_millis(200));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    if let Some(rate) = report["end"]["sum_received"]["bits_per_second"].as_f64() {
        return Ok(rate / 1e9);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // pasta(1) also complains that there is no syslog.
    let last = said.lines().rfind(|line| !line.contains("syslog"));
    let reason = report["error"].as_str().or(last).unwrap_or("no word");
    Err(format!("{reason} ({})", output.status))
}

/// Of rates in order.
fn median(rates: &[f64]) -> Option<f64> {
    rates.get(rates.len() / 2).copied()
}
