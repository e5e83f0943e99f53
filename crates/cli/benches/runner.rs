//! Programs under `switchboard run` and on the host's kernel: `cargo bench -p switchboard-cli`.
//!
//! The program is this very file, started again with the name of a workload; std::net and nothing
//! else. Each row runs on both in turn, several times, and the medians count: what else the machine
//! does hits both. "CPU" is the ratio of user and system time of everything that took part, the
//! supervisor included, which hardly depends on what else runs.
//!
//! Names select rows: `cargo bench -p switchboard-cli -- bulk`. `--rounds N`: how often (7).
#![allow(missing_docs, clippy::disallowed_methods)] // A bench reads the clock.

mod common;

use std::ffi::OsString;
use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{Asked, median};

const SWITCHBOARD: &str = env!("CARGO_BIN_EXE_switchboard");
/// What a bulk sender gives to each send.
const PIECE: usize = 128 * 1024;
/// No new round of a row begins after this.
const ROW_TIME: Duration = Duration::from_secs(6);

fn main() {
    let asked = match Asked::of_command_line() {
        Ok(asked) => asked,
        Err(args) => return work(&args),
    };
    let scratch = Scratch::new();
    let rows = rows(&scratch);
    println!("| what | native | Switchboard | ratio | CPU | target | |");
    println!("|---|---|---|---|---|---|---|");
    for row in rows {
        if asked.wants(row.what) {
            println!("{}", measure(&row, asked.rounds));
        }
    }
    asked.close();
}

// ---- the rows ----

#[derive(Clone, Copy)]
enum Unit {
    /// Microseconds for each, less is better.
    Micros,
    /// Milliseconds from start to end, less is better.
    Millis,
    /// GB/s, more is better.
    Rate,
}

#[derive(Clone, Copy)]
enum Target {
    /// At most this many times native.
    Times(f64),
    /// At most this many milliseconds more than native, and a supervisor below 30 MB.
    Extra(f64),
}

struct Row {
    what: &'static str,
    unit: Unit,
    target: Target,
    /// `None`: the program is not there.
    program: Option<Vec<OsString>>,
    /// No CPU sleeps meanwhile: without this a wake-up out of idle is most of what is measured.
    awake: bool,
}

fn rows(scratch: &Scratch) -> Vec<Row> {
    let own = |name: &str, count: u64| {
        let exe = std::env::current_exe().ok()?;
        Some(vec![
            exe.into(),
            "work".into(),
            name.into(),
            count.to_string().into(),
        ])
    };
    let row = |what, unit, target, program| Row {
        what,
        unit,
        target,
        program,
        awake: false,
    };
    use Target::{Extra, Times};
    use Unit::{Micros, Millis, Rate};
    let python = python().map(|python| vec![python.into(), "-c".into(), "pass".into()]);
    let compile = scratch.c_file().map(|file| {
        let output = file.with_extension("o");
        vec![
            "cc".into(),
            "-O1".into(),
            "-c".into(),
            "-o".into(),
            output.into(),
            file.into(),
        ]
    });
    vec![
        row(
            "TCP send+recv of 1 byte",
            Micros,
            Times(3.0),
            own("byte", 10_000),
        ),
        row(
            "TCP ping-pong of two processes",
            Micros,
            Times(2.0),
            own("ping", 5_000),
        ),
        Row {
            awake: true,
            ..row(
                "TCP ping-pong, every CPU kept awake",
                Micros,
                Times(2.0),
                own("ping", 5_000),
            )
        },
        row(
            "TCP bulk of two processes, 128 KiB sends",
            Rate,
            Times(1.0),
            own("bulk", 1 << 30),
        ),
        row(
            "connect, request, close",
            Micros,
            Times(2.0),
            own("connect", 1_000),
        ),
        row(
            "`true`, start to end",
            Millis,
            Extra(10.0),
            Some(vec!["true".into()]),
        ),
        row("`python3 -c pass`", Millis, Times(1.5), python),
        row("compiling one C file", Millis, Times(1.5), compile),
        // Not a target of its own: what a call on a file costs that the supervisor lets through.
        row(
            "read of 1 byte from /dev/zero",
            Micros,
            Times(f64::INFINITY),
            own("read", 20_000),
        ),
    ]
}

/// The interpreter itself, not a script that looks for it.
fn python() -> Option<PathBuf> {
    let ask = ["-c", "import sys; print(sys.executable)"];
    let told = Command::new("python3").args(ask).output().ok()?;
    Some(String::from_utf8(told.stdout).ok()?.trim().into()).filter(|path: &PathBuf| path.exists())
}

/// A directory of our own.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        let dir = std::env::temp_dir().join(format!("switchboard-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a directory");
        Scratch(dir)
    }

    /// A C file such as there are many of: the usual headers and fifty functions.
    fn c_file(&self) -> Option<PathBuf> {
        Command::new("cc").arg("--version").output().ok()?;
        let mut text = String::new();
        for header in [
            "stdio",
            "stdlib",
            "string",
            "errno",
            "unistd",
            "sys/socket",
            "netinet/in",
        ] {
            text += &format!("#include <{header}.h>\n");
        }
        for n in 0..50 {
            text += &format!(
                "int f{n}(const char *s) {{ size_t i; int t = {n}; for (i = 0; i < strlen(s); i++) \
                 t = t * 31 + s[i]; if (t < 0) printf(\"%d %s\\n\", t, s); return t; }}\n"
            );
        }
        let path = self.0.join("one.c");
        std::fs::write(&path, text).ok()?;
        Some(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

// ---- measuring ----

/// One run: the row's figure, CPU seconds, and the supervisor's peak memory in KiB.
struct Run {
    figure: f64,
    cpu: f64,
    peak: f64,
}

fn measure(row: &Row, rounds: usize) -> String {
    let what = row.what;
    let Some(program) = &row.program else {
        return format!("| {what} | | | | | | not here |");
    };
    let mut own = vec![
        OsString::from(SWITCHBOARD),
        "run".into(),
        "--stats".into(),
        "--".into(),
    ];
    own.extend(program.iter().cloned());
    let _spinners = row.awake.then(Spinners::start);
    let (mut native, mut ours) = (Vec::new(), Vec::new());
    let start = Instant::now();
    // The first of each fills caches and does not count.
    for round in 0..=rounds {
        if round > 1 && start.elapsed() > ROW_TIME {
            break;
        }
        for (program, runs) in [(program, &mut native), (&own, &mut ours)] {
            match run(program, row.unit) {
                Ok(run) if round > 0 => runs.push(run),
                Ok(_) => {}
                Err(why) => return format!("| {what} | | | | | | failed: {why} |"),
            }
        }
    }
    let figures = |of: fn(&Run) -> f64| {
        (
            median(native.iter().map(of).collect()),
            median(ours.iter().map(of).collect()),
        )
    };
    let (kernel, here) = figures(|run| run.figure);
    let (cpu_kernel, cpu_here) = figures(|run| run.cpu);
    let peak = ours.iter().map(|run| run.peak).fold(0.0, f64::max) / 1024.0;
    let (unit, digits) = match row.unit {
        Unit::Micros => ("us", 1),
        Unit::Millis => ("ms", 1),
        Unit::Rate => ("GB/s", 2),
    };
    let ratio = here / kernel;
    let (target, met) = match (row.target, row.unit) {
        (Target::Times(limit), _) if limit.is_infinite() => ("none".into(), None),
        (Target::Times(limit), Unit::Rate) => {
            (format!("at least {limit:.0}x"), Some(ratio >= limit))
        }
        (Target::Times(limit), _) => (format!("at most {limit}x"), Some(ratio <= limit)),
        (Target::Extra(limit), _) => (
            format!("at most {limit:.0} ms more; below 30 MB (is {peak:.0} MB)"),
            Some(here - kernel <= limit && peak < 30.0),
        ),
    };
    let met = met.map_or("", |met| if met { "met" } else { "missed" });
    let cpu = cpu_here / cpu_kernel;
    format!(
        "| {what} | {kernel:.digits$} {unit} | {here:.digits$} {unit} | {ratio:.2}x | {cpu:.1}x | \
         {target} | {met} |"
    )
}

/// A loop of the lowest priority on each CPU.
struct Spinners(Vec<Child>);

impl Spinners {
    fn start() -> Spinners {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let exe = std::env::current_exe().expect("a path of its own");
        let spin = |_| {
            let mut command = Command::new(&exe);
            command
                .args(["work", "spin", "0"])
                .spawn()
                .expect("started")
        };
        Spinners((0..cpus).map(spin).collect())
    }
}

impl Drop for Spinners {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Ends with the bench, also with one that was killed.
fn spin() -> ! {
    // SAFETY: both take numbers only.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::nice(19);
    }
    loop {
        black_box(());
    }
}

fn run(program: &[OsString], unit: Unit) -> Result<Run, String> {
    let before = cpu_of_children();
    let start = Instant::now();
    let mut command = Command::new(&program[0]);
    let output = command.args(&program[1..]).stdin(Stdio::null()).output();
    let took = start.elapsed();
    let Output {
        status,
        stdout,
        stderr,
    } = output.map_err(|error| error.to_string())?;
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    if !status.success() {
        return Err(format!(
            "{status} {}",
            stderr.lines().next().unwrap_or_default()
        ));
    }
    let figure = match unit {
        Unit::Millis => took.as_secs_f64() * 1e3,
        Unit::Micros | Unit::Rate => {
            let told = String::from_utf8_lossy(&stdout);
            told.trim().parse().map_err(|_| format!("said {told:?}"))?
        }
    };
    let peak = stderr.lines().find_map(|line| {
        line.split_once("peak memory:")?
            .1
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    });
    Ok(Run {
        figure,
        cpu: cpu_of_children() - before,
        peak: peak.unwrap_or(0.0),
    })
}

/// User and system time, in seconds, of the children waited for and of those they waited for.
fn cpu_of_children() -> f64 {
    // SAFETY: an all-zero rusage is valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills in the structure.
    unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

// ---- the workloads: `runner work NAME COUNT [ADDRESS]` ----

fn work(args: &[String]) {
    let count: u64 = args[1].parse().expect("a count");
    match (args[0].as_str(), args.get(2)) {
        ("byte", None) => println!("{}", byte(count)),
        ("ping", None) => println!("{}", ping(count)),
        ("ping", Some(to)) => pong(count, to),
        ("bulk", None) => println!("{}", bulk(count)),
        ("bulk", Some(to)) => bulk_sender(count, to),
        ("connect", None) => connect_server(count),
        ("connect", Some(to)) => println!("{}", connect(count, to)),
        ("spin", None) => spin(),
        ("read", None) => println!("{}", read(count)),
        other => panic!("no workload {other:?}"),
    }
}

fn micros(count: u64, mut what: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..count {
        what();
    }
    start.elapsed().as_secs_f64() * 1e6 / count as f64
}

/// Two sockets of one process.
fn byte(count: u64) -> f64 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let mut a = connected(&listener.local_addr().expect("an address").to_string());
    let (mut b, _) = listener.accept().expect("accepted");
    let mut buffer = [0; 1];
    micros(count, || {
        a.write_all(black_box(&[7])).expect("sent");
        b.read_exact(&mut buffer).expect("received");
    })
}

fn ping(count: u64) -> f64 {
    let (mut stream, other) = with_another("ping", count);
    let mut buffer = [0; 1];
    let took = micros(count, || {
        stream.write_all(&[1]).expect("sent");
        stream.read_exact(&mut buffer).expect("received");
    });
    other.wait();
    took
}

fn pong(count: u64, to: &str) {
    let mut stream = connected(to);
    let mut buffer = [0; 1];
    for _ in 0..count {
        stream.read_exact(&mut buffer).expect("received");
        stream.write_all(&buffer).expect("sent");
    }
}

fn bulk(total: u64) -> f64 {
    let (mut stream, other) = with_another("bulk", total);
    let mut buffer = vec![0; PIECE];
    let start = Instant::now();
    let mut got = 0;
    loop {
        match stream.read(&mut buffer).expect("received") {
            0 => break,
            n => got += n as u64,
        }
    }
    let rate = got as f64 / start.elapsed().as_secs_f64() / 1e9;
    assert_eq!(got, total, "every byte has come");
    other.wait();
    rate
}

fn bulk_sender(total: u64, to: &str) {
    let mut stream = connected(to);
    let buffer = vec![7; PIECE];
    for _ in 0..total / PIECE as u64 {
        stream.write_all(&buffer).expect("sent");
    }
    stream.shutdown(Shutdown::Write).expect("shut down");
}

/// The measured client is the other process.
fn connect_server(count: u64) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let other = Another::start("connect", count, listener.local_addr().expect("an address"));
    let mut request = [0; 100];
    for _ in 0..count {
        let (mut stream, _) = listener.accept().expect("accepted");
        stream.read_exact(&mut request).expect("received");
        stream.write_all(&[1; 200]).expect("sent");
    }
    other.wait();
}

fn connect(count: u64, to: &str) -> f64 {
    let mut answer = Vec::with_capacity(200);
    micros(count, || {
        let mut stream = connected(to);
        stream.write_all(&[1; 100]).expect("sent");
        answer.clear();
        stream.read_to_end(&mut answer).expect("received");
        assert_eq!(answer.len(), 200, "the whole answer");
    })
}

fn read(count: u64) -> f64 {
    let mut file = std::fs::File::open(Path::new("/dev/zero")).expect("opened");
    let mut buffer = [0; 1];
    micros(count, || {
        file.read_exact(black_box(&mut buffer)).expect("read")
    })
}

fn connected(to: &str) -> TcpStream {
    let stream = TcpStream::connect(to).expect("connected");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// The other process, which connects to us.
struct Another(std::process::Child);

impl Another {
    fn start(name: &str, count: u64, to: SocketAddr) -> Another {
        let exe = std::env::current_exe().expect("our own name");
        let args = [
            "work".to_string(),
            name.into(),
            count.to_string(),
            to.to_string(),
        ];
        Another(Command::new(exe).args(args).spawn().expect("started"))
    }

    fn wait(mut self) {
        assert!(
            self.0.wait().expect("waited").success(),
            "the other process succeeds"
        );
    }
}

fn with_another(name: &str, count: u64) -> (TcpStream, Another) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let other = Another::start(name, count, listener.local_addr().expect("an address"));
    let (stream, _) = listener.accept().expect("accepted");
    stream.set_nodelay(true).expect("no delay");
    (stream, other)
}
