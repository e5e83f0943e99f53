//! What a link costs: two programs on one host over `lo`, and on two hosts of a lab joined by a link, by a segment, and by a
//! link with a router in between, none of which does anything to packets: `cargo bench -p switchboard-cli --bench links`.
//!
//! The program is this very file, started again with the name of a workload; std::net and nothing else. Each row runs
//! on all in turn, several times, and the medians count: what else the machine does hits all of them. A lab takes the same
//! way for `lo` as for links, but for the link itself. "CPU" is the time of all that took part, the supervisor included,
//! against that over `lo`: it depends less on what else runs.
//!
//! Names select rows: `cargo bench -p switchboard-cli --bench links -- bulk`. `--rounds N`: how often (7).
#![allow(missing_docs, clippy::disallowed_methods)] // A bench reads the clock.

mod common;

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use common::{Asked, median};

const SWITCHBOARD: &str = env!("CARGO_BIN_EXE_switchboard");
/// What a bulk sender gives to each send.
const PIECE: usize = 128 * 1024;
const PORT: u16 = 7000;

struct Row {
    what: &'static str,
    work: &'static str,
    count: u64,
    unit: &'static str,
    /// More is better.
    rate: bool,
    /// What may be lost, if anything was promised.
    target: bool,
}

const ROWS: &[Row] = &[
    Row {
        what: "TCP bulk, 128 KiB sends",
        work: "bulk",
        count: 1 << 30,
        unit: "GB/s",
        rate: true,
        target: true,
    },
    Row {
        what: "TCP ping-pong of 1 byte",
        work: "ping",
        count: 5_000,
        unit: "us",
        rate: false,
        target: true,
    },
    Row {
        what: "connect, request, close",
        work: "connect",
        count: 1_000,
        unit: "us",
        rate: false,
        target: false,
    },
];

/// What is between the two programs, and the lab that has it.
const WAYS: &[(&str, &str)] = &[
    ("lo", "[host.a]\n"),
    (
        "link",
        "[host.a]\n[host.b]\n[link.wire]\nhosts = [\"a\", \"b\"]\n",
    ),
    (
        "segment",
        "[host.a]\n[host.b]\n[segment.lan]\nhosts = [\"a\", \"b\"]\n",
    ),
    (
        "router",
        "[host.a]\n[host.r]\nrouter = true\n[host.b]\n[link.one]\nhosts = [\"a\", \"r\"]\n\
         [link.two]\nhosts = [\"r\", \"b\"]\n",
    ),
];

fn main() {
    let asked = match Asked::of_command_line() {
        Ok(asked) => asked,
        Err(args) => return work(&args),
    };
    let file = Scratch::new();
    println!(
        "| what | lo | link | segment | router | link / lo | segment / lo | CPU, link | CPU, segment | target: 10 % |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for row in ROWS {
        if asked.wants(row.what) {
            println!("{}", measure(row, asked.rounds, &file.0));
        }
    }
    asked.close();
}

/// A file of our own.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        let name = format!("switchboard-links-{}.toml", std::process::id());
        Scratch(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn measure(row: &Row, rounds: usize, file: &Path) -> String {
    let what = row.what;
    let mut figures = vec![Vec::new(); WAYS.len()];
    let mut cpu = vec![0; WAYS.len()];
    // The first fills caches and does not count.
    for round in 0..=rounds {
        for (way, (_, lab)) in WAYS.iter().enumerate() {
            let before = cpu_of_children();
            match run(row, lab, file) {
                Ok(figure) if round > 0 => {
                    figures[way].push(figure);
                    cpu[way] += cpu_of_children() - before;
                }
                Ok(_) => {}
                Err(why) => return format!("| {what} | failed: {why} |"),
            }
        }
    }
    let figures: Vec<f64> = figures.into_iter().map(median).collect();
    let digits = if row.rate { 2 } else { 1 };
    let mut line = format!("| {what} |");
    for figure in &figures {
        let _ = write!(line, " {figure:.digits$} {} |", row.unit);
    }
    // How fast, of what `lo` is.
    let speed = |way: usize| {
        if row.rate {
            figures[way] / figures[0]
        } else {
            figures[0] / figures[way]
        }
    };
    let cpu = |way: usize| cpu[way] as f64 / cpu[0] as f64;
    let _ = write!(line, " {:.2} | {:.2} |", speed(1), speed(2));
    let _ = write!(line, " {:.2}x | {:.2}x |", cpu(1), cpu(2));
    line += match row.target {
        true if speed(1) >= 0.9 => " met |",
        true => " missed |",
        false => " none |",
    };
    line
}

/// User and system time of the children waited for and of those they waited for, in ticks (proc_pid_stat(5)).
fn cpu_of_children() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks = rest.split(' ').skip(13).take(2);
    ticks.filter_map(|n| n.parse::<u64>().ok()).sum()
}

/// One lab; what its client measured.
fn run(row: &Row, lab: &str, file: &Path) -> Result<f64, String> {
    let exe = std::env::current_exe().map_err(|error| error.to_string())?;
    let exe = exe.display();
    let Row { work, count, .. } = row;
    let (client, server) = if lab.contains("host.b") {
        ("b", "a")
    } else {
        ("a", "127.0.0.1")
    };
    let text = format!(
        "time_limit = \"120s\"\n{lab}\
         [program.server]\nhost = \"a\"\nrun = [\"{exe}\", \"work\", \"{work}\", \"{count}\"]\n\
         ready.port = {PORT}\n\
         [program.client]\nhost = \"{client}\"\nafter = \"server\"\n\
         run = [\"{exe}\", \"work\", \"{work}\", \"{count}\", \"{server}\"]\n"
    );
    std::fs::write(file, text).map_err(|error| error.to_string())?;
    let output = Command::new(SWITCHBOARD)
        .arg("lab")
        .arg(file)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let told = String::from_utf8_lossy(&output.stdout);
    let figure = told
        .lines()
        .find_map(|line| line.split_once("figure ")?.1.trim().parse().ok());
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(format!("{}: {told}{why}", output.status).replace('\n', " "));
    }
    figure.ok_or_else(|| format!("said {told:?}"))
}

// ---- the workloads: `links work NAME COUNT [HOST]` ----

fn work(args: &[String]) {
    let count: u64 = args[1].parse().expect("a count");
    match (args[0].as_str(), args.get(2)) {
        ("bulk", None) => bulk_receiver(count),
        ("bulk", Some(to)) => bulk(count, to),
        ("ping", None) => pong(count),
        ("ping", Some(to)) => ping(count, to),
        ("connect", None) => connect_server(count),
        ("connect", Some(to)) => connect(count, to),
        other => panic!("no workload {other:?}"),
    }
}

fn listener() -> TcpListener {
    TcpListener::bind(("0.0.0.0", PORT)).expect("bound")
}

fn accepted() -> TcpStream {
    let (stream, _) = listener().accept().expect("accepted");
    stream.set_nodelay(true).expect("no delay");
    stream
}

fn connected(to: &str) -> TcpStream {
    let stream = TcpStream::connect((to, PORT)).expect("connected");
    stream.set_nodelay(true).expect("no delay");
    stream
}

fn per_second(bytes: u64, start: Instant) {
    let rate = bytes as f64 / start.elapsed().as_secs_f64() / 1e9;
    println!("figure {rate}");
}

fn each(count: u64, start: Instant) {
    let micros = start.elapsed().as_secs_f64() * 1e6 / count as f64;
    println!("figure {micros}");
}

fn bulk(total: u64, to: &str) {
    let mut stream = connected(to);
    let buffer = vec![7; PIECE];
    let start = Instant::now();
    for _ in 0..total / PIECE as u64 {
        stream.write_all(&buffer).expect("sent");
    }
    stream.shutdown(Shutdown::Write).expect("shut down");
    // The other side has everything when it says so.
    let mut answer = [0; 1];
    stream.read_exact(&mut answer).expect("received");
    per_second(total, start);
}

fn bulk_receiver(total: u64) {
    let mut stream = accepted();
    let mut buffer = vec![0; PIECE];
    let mut got = 0;
    loop {
        match stream.read(&mut buffer).expect("received") {
            0 => break,
            n => got += n as u64,
        }
    }
    assert_eq!(got, total, "every byte has come");
    stream.write_all(&[1]).expect("sent");
}

fn ping(count: u64, to: &str) {
    let mut stream = connected(to);
    let mut buffer = [0; 1];
    let start = Instant::now();
    for _ in 0..count {
        stream.write_all(&[1]).expect("sent");
        stream.read_exact(&mut buffer).expect("received");
    }
    each(count, start);
}

fn pong(count: u64) {
    let mut stream = accepted();
    let mut buffer = [0; 1];
    for _ in 0..count {
        stream.read_exact(&mut buffer).expect("received");
        stream.write_all(&buffer).expect("sent");
    }
}

fn connect(count: u64, to: &str) {
    // Not the name's look-up.
    let to = TcpStream::connect((to, PORT))
        .expect("connected")
        .peer_addr()
        .expect("an address");
    let mut answer = Vec::with_capacity(200);
    let start = Instant::now();
    for _ in 0..count {
        let mut stream = TcpStream::connect(to).expect("connected");
        stream.write_all(&[1; 100]).expect("sent");
        answer.clear();
        stream.read_to_end(&mut answer).expect("received");
        assert_eq!(answer.len(), 200, "the whole answer");
    }
    each(count, start);
}

fn connect_server(count: u64) {
    let listener = listener();
    drop(listener.accept().expect("accepted"));
    let mut request = [0; 100];
    for _ in 0..count {
        let (mut stream, _) = listener.accept().expect("accepted");
        stream.read_exact(&mut request).expect("received");
        stream.write_all(&[1; 200]).expect("sent");
    }
}
