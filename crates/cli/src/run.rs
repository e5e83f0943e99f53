//! `switchboard run`: one program, its children, and a virtual host.

mod bpf;
pub(crate) mod capability;
mod clock;
pub(crate) mod descriptors;
mod epolls;
mod files;
mod filter;
mod guard;
mod inherited;
mod interrupts;
pub(crate) mod lab;
mod loopback;
mod memory;
mod mirror;
mod names;
mod namespaces;
mod opens;
pub(crate) mod outside;
mod owners;
mod parking;
mod paths;
mod procfs;
mod reap;
mod remembered;
mod room;
mod signals;
mod stand_in;
mod supervisor;
mod sysctl;
mod trace;

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit};
use switchboard_engine::{Config, Instant};
use switchboard_notify::{InstallError, Interrupts, Pending, SignalMask, Spawn, SpawnError};
use switchboard_socket::{Host, HostConfig};

use crate::args::RunArgs;
use crate::complain;
use inherited::Inherited;
use loopback::Loopback;
use opens::Names;
use outside::Outside;
use owners::Owners;
use room::Room;
use supervisor::Supervisor;
use trace::Trace;

/// Exit statuses of our own, as env(1), timeout(1) and shells have them.
pub(crate) const SETUP_FAILED: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
const NOWHERE: &str = "not found: is it installed, is the path right?";

/// How far apart the copies of one signal may come that was sent to the whole process group.
const SAME_SIGNAL: Duration = Duration::from_millis(50);

/// What there is to wait for besides the hosts' own.
const STARTED: u64 = room::FIRST_OWN;
const SIGNAL: u64 = room::FIRST_OWN + 1;

pub(crate) fn run(args: &RunArgs) -> ExitCode {
    exit(start(args))
}

/// Says why nothing was run, if so.
fn exit(outcome: Result<u8, Failure>) -> ExitCode {
    match outcome {
        Ok(status) => ExitCode::from(status),
        Err(Failure { what, status }) => {
            complain(&what);
            ExitCode::from(status)
        }
    }
}

/// Why nothing was run, in one line.
struct Failure {
    what: String,
    status: u8,
}

fn setup(what: impl Into<String>) -> Failure {
    Failure {
        what: what.into(),
        status: SETUP_FAILED,
    }
}

/// What a supervisor has before it makes anything.
struct Entered {
    inherited: Inherited,
    signals: signals::Signals,
    guard: guard::Guard,
    /// Copies of programs' ends of sockets have to be kept.
    keep: bool,
}

/// Becomes a supervisor with a guard; the guard comes back with the exit status when all is over.
fn enter() -> Result<ControlFlow<u8, Entered>, Failure> {
    let inherited = Inherited::look();
    let signals =
        signals::Signals::block().map_err(|error| setup(format!("no signalfd: {error}")))?;
    reap::become_subreaper();
    let way = descriptors::check().map_err(setup)?;
    let guard = match guard::split() {
        Ok(guard::Side::Guard(supervisor)) => {
            return Ok(ControlFlow::Break(guard::guard(supervisor, signals)));
        }
        Ok(guard::Side::Supervisor(guard)) => guard,
        Err(error) => return Err(setup(format!("no second process: {error}"))),
    };
    // A child has to ask for itself.
    reap::become_subreaper();
    raise_descriptor_limit();
    Ok(ControlFlow::Continue(Entered {
        inherited,
        signals,
        guard,
        keep: way == descriptors::Way::Keep,
    }))
}

fn start(args: &RunArgs) -> Result<u8, Failure> {
    let program = args.program[0].to_string_lossy().into_owned();
    let mask = SignalMask::current();
    let entered = match enter()? {
        ControlFlow::Break(status) => return Ok(status),
        ControlFlow::Continue(entered) => entered,
    };
    let seed = clock::seed(args.seed);
    let stack = Config {
        seed,
        ..Config::default()
    };
    let mut host = Host::new(HostConfig { stack });
    host.set_possible_cpus(bpf::possible_cpus());
    let wanted = outside::Wanted::of(args);
    if wanted.leads_out() {
        let (name, value) = sysctl::PING_FOR_ALL;
        sysctl::set(&mut host, name, value).map_err(setup)?;
    }
    sysctl::apply(&mut host, &args.sysctl, false).map_err(setup)?;
    let loopback = Loopback::of(args, seed).map_err(|error| {
        let path = args.pcap.as_deref().unwrap_or(Path::new(""));
        setup(format!(
            "cannot write the capture to {}: {error}",
            path.display()
        ))
    })?;
    host.stack_mut().carry_loopback(loopback.is_some());
    let trace = match &args.trace {
        None => None,
        Some(path) => Some(Trace::open(path).map_err(|error| {
            setup(format!(
                "cannot write the trace to {}: {error}",
                path.display()
            ))
        })?),
    };
    let outside = Outside::open(&wanted, seed, &[]).map_err(setup)?;
    let mut room = Room::new(seed, entered.keep)
        .map_err(|error| setup(format!("no epoll instance: {error}")))?;
    let filter = filter::filter(args.linger || entered.keep, false)
        .map_err(|error| setup(format!("the filter: {error}")))?;
    let spawn = Spawn::new(&args.program[0])
        .args(&args.program[1..])
        .signal_mask(mask);
    // Linux 5.19 can keep signals away from a call that is being worked on; before it, a reply may
    // rarely be lost to one (docs/design/results-and-signals.md).
    let mut uninterruptible = true;
    let started = spawn
        .clone()
        .interrupts(Interrupts::UntilReceived)
        .start(filter.clone())
        .or_else(|error| match error {
            InstallError::Unsupported(_) => {
                uninterruptible = false;
                spawn.start(filter)
            }
            error => Err(error),
        });
    let (listener, pending) = started.map_err(|error| setup(explain(&error)))?;

    let watched = room
        .watch(&pending, STARTED)
        .and_then(|()| room.watch(&entered.signals, SIGNAL));
    watched.map_err(|error| setup(format!("epoll: {error}")))?;
    let outer = outside.as_ref().and_then(Outside::names);
    let etc: Vec<(String, String)> = outer
        .map(|names| ("resolv.conf".to_string(), names.resolv_conf.clone()))
        .into_iter()
        .collect();
    let names = Names::new(&host).with(etc.iter().map(|(name, _)| name.as_str()));
    let tap = loopback.as_ref().and_then(Loopback::tap_of_eth0);
    let number = room.add(Supervisor::new(
        listener,
        host,
        room.mirror(),
        room.clock.clone(),
        Rc::new(names),
        uninterruptible,
    ));
    room.supervisors[number].trace = trace;
    room.supervisors[number].loopback = loopback;
    room.supervisors[number].owners = args.pcap.is_some().then(Owners::default);
    room.supervisors[number].etc = etc;
    room.supervisors[number].caps = capability::all(&args.cap);
    if let Some(outside) = outside {
        let interface = outside.join(&mut room, number).map_err(setup)?;
        if let Some(tap) = tap {
            room.wires.tap(number, interface, tap);
        }
    }
    let layer = &mut room.supervisors[number].host;
    sysctl::apply(layer, &args.sysctl, true).map_err(setup)?;
    let mut driver = Driver {
        room,
        signals: entered.signals,
        guard: entered.guard,
        inherited: entered.inherited,
        pending: Some(pending),
        main: None,
        early: Vec::new(),
        stopped: false,
        direct: None,
        reaped: reap::Reaped::default(),
    };
    let outcome = driver.drive();
    let clean = reap::end_all();
    driver.room.sweep();
    driver.supervisor().end_trace();
    if args.stats {
        driver.print_stats();
    }
    if !clean {
        complain(reap::SOME_STAYED);
    }
    match outcome {
        Outcome::Ended(status) => Ok(status),
        Outcome::NotStarted(error) => {
            let (what, status) = match error {
                SpawnError::Exec(errno) => not_executed(&args.program[0], errno),
                error => (error.to_string(), SETUP_FAILED),
            };
            Err(Failure {
                what: format!("{program}: {what}"),
                status,
            })
        }
        Outcome::Broken(error) => Err(setup(format!("the supervisor cannot go on: {error}"))),
    }
}

/// Why execve(2) failed, and the exit status.
fn not_executed(program: &OsStr, errno: switchboard_notify::Errno) -> (String, u8) {
    let searched = !program.as_bytes().contains(&b'/');
    let found = match std::env::var_os("PATH") {
        Some(path) if searched => {
            std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
        }
        _ => Path::new(program).exists(),
    };
    match errno.0 {
        // EACCES may be about a directory on the way that nobody may look into.
        libc::ENOENT | libc::EACCES if searched && !found || program.is_empty() => {
            (NOWHERE.into(), NOT_FOUND)
        }
        libc::ENOENT if found => (
            "what it is run by is not found: the interpreter in its first line, or its dynamic loader"
                .into(),
            NOT_FOUND,
        ),
        libc::ENOENT => (NOWHERE.into(), NOT_FOUND),
        _ => (format!("cannot be executed: {errno}"), NOT_EXECUTABLE),
    }
}

fn explain(error: &InstallError) -> String {
    match error {
        InstallError::AlreadyHasListener => "cannot run inside another run: the kernel allows one \
             seccomp listener; start the program directly, it is on the outer run's host"
            .into(),
        error => format!("{error}; `switchboard doctor` says what this machine allows"),
    }
}

/// Each socket takes a descriptor here: as many as we may have.
fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // The limit stays as it is where it cannot be raised.
    let _ = rustix::process::setrlimit(Resource::Nofile, raised);
}

enum Outcome {
    Ended(u8),
    NotStarted(SpawnError),
    Broken(String),
}

struct Driver {
    room: Room,
    signals: signals::Signals,
    guard: guard::Guard,
    inherited: Inherited,
    pending: Option<Pending>,
    main: Option<Pid>,
    /// Signals for a program that is not there yet.
    early: Vec<i32>,
    /// The program is stopped, and the guard with it.
    stopped: bool,
    /// The last signal that was passed on and did not come through the guard.
    direct: Option<(i32, Instant)>,
    reaped: reap::Reaped,
}

impl Driver {
    /// The one host of the run.
    fn supervisor(&self) -> &Supervisor {
        &self.room.supervisors[0]
    }

    fn drive(&mut self) -> Outcome {
        loop {
            let happened = match self.room.wait(None) {
                Ok(happened) => happened,
                Err(why) => return Outcome::Broken(why),
            };
            for token in happened {
                if let Some(outcome) = self.other(token) {
                    return outcome;
                }
            }
            self.room.work();
        }
    }

    /// Signals, and the start of the program.
    fn other(&mut self, token: u64) -> Option<Outcome> {
        if token == STARTED {
            if let Some(error) = self.started() {
                return Some(Outcome::NotStarted(error));
            }
            // It may have ended before we knew who it is.
            return self.children().map(Outcome::Ended);
        }
        self.on_signal().map(Outcome::Ended)
    }

    /// The program has been started, or could not be.
    fn started(&mut self) -> Option<SpawnError> {
        let outcome = self.pending.as_ref()?.try_wait()?;
        if let Some(pending) = self.pending.take() {
            self.room.unwatch(&pending);
        }
        match outcome {
            Ok(child) => {
                self.main = Pid::from_raw(child.pid);
                // The program has its umask; ours must not count where a socket's file is made
                // for it.
                let _ = rustix::process::umask(rustix::fs::Mode::empty());
                self.inherited.let_go();
                for signal in std::mem::take(&mut self.early) {
                    self.pass_on(signal);
                }
                None
            }
            Err(error) => Some(error),
        }
    }

    /// A signal for us. Returns the exit status when the program has ended.
    fn on_signal(&mut self) -> Option<u8> {
        while let Some(signal) = self.signals.next() {
            if self.guard.is_gone() {
                // Nobody waits for a status any more; what is left of the run is ended.
                return Some(SETUP_FAILED);
            }
            if signal.number == libc::SIGCHLD {
                if let Some(status) = self.children() {
                    return Some(status);
                }
                continue;
            }
            if signal.number == libc::SIGCONT {
                if signal.sender == self.guard.pid()
                    && let Some(status) = self.guard_goes_on()
                {
                    return Some(status);
                }
                continue;
            }
            // Sent to us by somebody: meant for the program. What the terminal sends, it has
            // sent to the program too.
            if signal.from_kernel {
                continue;
            }
            let now = self.room.clock.now();
            if self.reaped.is_of_the_run(signal.sender) {
                // An orphan that signals its parent thinks that we are init, which ignores it; who signals its
                // group has reached the program already, and reaches the guard too.
                self.direct = Some((signal.number, now));
                continue;
            }
            if signal.sender == self.guard.pid() {
                // Sent to the guard; and to us in the same moment, if to a group: once is enough.
                if let Some((number, at)) = self.direct
                    && number == signal.number
                    && now.saturating_sub(at) < SAME_SIGNAL
                {
                    continue;
                }
            } else {
                self.direct = Some((signal.number, now));
            }
            self.pass_on(signal.number);
        }
        None
    }

    fn pass_on(&mut self, signal: i32) {
        match self.main {
            Some(main) => signals::send(main, signal),
            None if self.early.contains(&signal) => {}
            None => self.early.push(signal),
        }
    }

    /// Some children have ended, stopped or gone on. Returns the exit status when the program has ended.
    fn children(&mut self) -> Option<u8> {
        // Until we know who the program is, its status must not be taken as an orphan's.
        self.main?;
        while let Some(status) = self.reaped.collect(self.main) {
            if let Some(code) = status.exit_status() {
                return Some(self.ended(code as u8));
            }
            if let Some(signal) = status.terminating_signal() {
                return Some(self.ended(128 + signal as u8));
            }
            self.stopped = status.stopped();
            if self.stopped {
                self.guard.stop();
            } else {
                self.guard.go_on();
            }
        }
        None
    }

    fn ended(&self, status: u8) -> u8 {
        if self.stopped {
            // Killed while it was stopped: somebody wants to know.
            self.guard.go_on();
        }
        status
    }

    /// Somebody has continued the guard; most often its whole process group, the program with it.
    fn guard_goes_on(&mut self) -> Option<u8> {
        if let Some(status) = self.children() {
            return Some(status);
        }
        // A guard that is stopped has been so since: this is about an earlier stop.
        if self.stopped
            && !self.guard.is_stopped()
            && let Some(main) = self.main
        {
            signals::send(main, libc::SIGCONT);
        }
        None
    }

    fn print_stats(&self) {
        let s = self.supervisor();
        let (sockets, waiting, files) = s.left();
        eprintln!(
            "switchboard: {} calls, {} passed on to the kernel, {} waited, {} not delivered",
            s.stats.calls, s.stats.continued, s.stats.parked, s.stats.not_delivered
        );
        eprintln!("switchboard: sockets made: {}", s.stats.sockets);
        eprintln!("switchboard: sockets left: {sockets}");
        eprintln!("switchboard: placeholders left: {}", s.mirror.len());
        eprintln!("switchboard: calls left: {waiting}");
        eprintln!("switchboard: files in flight left: {files}");
        for (name, count) in s.host.refused_options() {
            eprintln!("switchboard: option refused: {name}, {count} times");
        }
        if let Some(kib) = peak_memory() {
            eprintln!("switchboard: peak memory: {kib} KiB");
        }
    }
}

fn peak_memory() -> Option<u64> {
    let text = match std::fs::read_to_string("/proc/self/status") {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(_) => return None,
    };
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
