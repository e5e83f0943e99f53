//! Starting the program under test, and looking at what became of it.

use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// What ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// As a shell's `$?`.
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// One clear line, and nothing else, was said.
    #[track_caller]
    pub(crate) fn complains(&self, status: i32, about: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        assert!(self.err.starts_with("switchboard: "), "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "{self:?}");
        assert!(self.err.ends_with('\n'), "{self:?}");
        assert!(self.err.contains(about), "{self:?}");
    }
}

pub(crate) fn switchboard() -> Command {
    // A job in the background of a script has them ignored, one under nohup(1) the last.
    let mut command = Command::new("env");
    command.args([
        "--default-signal=INT,QUIT,HUP",
        env!("CARGO_BIN_EXE_switchboard"),
    ]);
    command.stdin(Stdio::null()).env_remove("RUST_BACKTRACE");
    command
}

/// A program in C, in `scratch`: for what sh and the perl of the smallest machine cannot do.
pub(crate) fn compiled(scratch: &Scratch, name: &str, source: &str) -> PathBuf {
    let program = scratch.path().join(name);
    let text = program.with_extension("c");
    fs::write(&text, source).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-pthread", "-o"]).arg(&program).arg(&text);
    assert!(cc.status().expect("a C compiler is there").success());
    program
}

/// `switchboard run -- PROGRAM`.
pub(crate) fn run(program: &[&str]) -> Command {
    let mut command = switchboard();
    command.args(["run", "--"]).args(program);
    command
}

/// A process with its output being read.
pub(crate) struct Started {
    pub(crate) child: Child,
    out: JoinHandle<String>,
    err: JoinHandle<String>,
}

pub(crate) fn start(mut command: Command) -> Started {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program is there");
    Started::of(child)
}

fn nothing() -> JoinHandle<String> {
    std::thread::spawn(String::new)
}

fn read(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error is of use too.
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

impl Started {
    /// Of a process whose standard error, or output, somebody else may be reading.
    pub(crate) fn of(mut child: Child) -> Started {
        let out = child.stdout.take().map_or_else(nothing, read);
        let err = child.stderr.take().map_or_else(nothing, read);
        Started { child, out, err }
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    #[track_caller]
    pub(crate) fn ends(mut self) -> Ended {
        let status = wait(&mut self.child);
        Ended {
            status: code(status),
            out: self.out.join().expect("read"),
            err: self.err.join().expect("read"),
        }
    }
}

#[track_caller]
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let mut status = None;
    let ended = eventually(|| {
        status = child.try_wait().expect("our own child");
        status.is_some()
    });
    if !ended {
        let _ = child.kill();
        panic!("it does not end: {child:?}");
    }
    status.expect("ended")
}

fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Runs it to its end.
#[track_caller]
pub(crate) fn output(command: Command) -> Ended {
    start(command).ends()
}

/// Whether it comes true in time.
pub(crate) fn eventually(mut what: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while !what() {
        if start.elapsed() > LIMIT {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// kill(2).
pub(crate) fn kill(pid: i32, signal: i32) {
    // SAFETY: no memory involved.
    unsafe { libc::kill(pid, signal) };
}

/// A field of /proc/PID/stat behind the name: 0 is the state, 1 the parent.
fn stat(pid: i32, field: usize) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    rest.split_whitespace().nth(field).map(str::to_owned)
}

pub(crate) fn state(pid: i32) -> Option<String> {
    stat(pid, 0)
}

pub(crate) fn processes() -> Vec<i32> {
    fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The children of a process that have not ended.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let parent = pid.to_string();
    let mut found = processes();
    found.retain(|child| {
        stat(*child, 1).as_ref() == Some(&parent) && state(*child).as_deref() != Some("Z")
    });
    found
}

/// The processes whose command line holds this, without those that have ended.
pub(crate) fn with_argument(argument: &str) -> Vec<i32> {
    let mut found = processes();
    found.retain(|pid| {
        fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
            line.split(|b| *b == 0)
                .any(|word| word == argument.as_bytes())
        })
    });
    found
}

/// A directory of the test's own, gone with this value.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("switchboard-{name}-{}", std::process::id()));
        fs::create_dir(&path).expect("a directory of our own");
        Scratch(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A file with this content.
    pub(crate) fn file(&self, name: &str, text: &str, mode: u32) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.join(name);
        fs::write(&path, text).expect("our own directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("our own file");
        path.to_str().expect("plain").to_owned()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.0).expect("our own directory").flatten() {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
        found
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
