//! Ctrl-C, Ctrl-Z and the shell's job control, on a terminal of the test's own.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use rustix::fs::{Mode, OFlags};
use rustix::pty::{self, OpenptFlags};

use crate::support::{LIMIT, wait};

const SWITCHBOARD: &str = env!("CARGO_BIN_EXE_switchboard");

/// A pseudo-terminal and the program that it controls.
struct Terminal {
    keyboard: File,
    child: Child,
    screen: Arc<Screen>,
    /// How much of the screen has been looked at.
    seen: usize,
}

#[derive(Default)]
struct Screen {
    text: Mutex<Vec<u8>>,
    more: Condvar,
}

fn terminal() -> (File, OwnedFd) {
    let master = pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    pty::grantpt(&master).expect("ours");
    pty::unlockpt(&master).expect("ours");
    let name = pty::ptsname(&master, Vec::new()).expect("its name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = rustix::fs::open(&name, flags, Mode::empty()).expect("the terminal's other side");
    (File::from(master), slave)
}

impl Terminal {
    /// The program leads a session whose terminal this is, as a login shell does.
    fn start(program: &[&str]) -> Terminal {
        let (keyboard, slave) = terminal();
        let stream = || Stdio::from(slave.try_clone().expect("a copy"));
        let mut command = Command::new("setsid");
        command
            .args(["--ctty", "--wait"])
            // A job in the background of a script has them ignored.
            .args(["env", "--default-signal=INT,QUIT"])
            .args(program)
            .env("TERM", "dumb")
            .env_remove("PROMPT_COMMAND")
            .stdin(stream())
            .stdout(stream())
            .stderr(stream());
        let child = command.spawn().expect("setsid is there");
        drop(command);
        let screen = Arc::new(Screen::default());
        let mut from = keyboard.try_clone().expect("a copy");
        let to = screen.clone();
        // Ends with the last program that has the terminal: EIO.
        let _reader = std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n) = from.read(&mut bytes) {
                to.text
                    .lock()
                    .expect("whole")
                    .extend_from_slice(&bytes[..n]);
                to.more.notify_all();
            }
        });
        Terminal {
            keyboard,
            child,
            screen,
            seen: 0,
        }
    }

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("typed");
    }

    /// Waits for this to appear behind what was waited for before.
    #[track_caller]
    fn shows(&mut self, wanted: &str) {
        let text = self.screen.text.lock().expect("whole");
        let mut found = None;
        let (text, _) = self
            .screen
            .more
            .wait_timeout_while(text, LIMIT, |text| {
                found = text[self.seen..]
                    .windows(wanted.len())
                    .position(|part| part == wanted.as_bytes());
                found.is_none()
            })
            .expect("whole");
        let Some(at) = found else {
            let text = String::from_utf8_lossy(&text).into_owned();
            let _ = self.child.kill();
            panic!("{wanted:?} does not appear; there is:\n{text}");
        };
        self.seen += at + wanted.len();
    }

    #[track_caller]
    fn ends(mut self) -> i32 {
        wait(&mut self.child)
            .code()
            .expect("setsid says it as a status")
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen.text.lock().expect("whole")).into_owned()
    }
}

const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";
const CTRL_Z: &str = "\x1a";
const CTRL_BACKSLASH: &str = "\x1c";

#[test]
fn ctrl_c_ends_the_program() {
    let mut terminal = Terminal::start(&[
        SWITCHBOARD,
        "run",
        "--",
        "sh",
        "-c",
        "echo rea''dy; exec sleep 100",
    ]);
    terminal.shows("ready");
    terminal.types(CTRL_C);
    assert_eq!(terminal.ends(), 130);
}

#[test]
fn ctrl_backslash_does_too() {
    let script = "ulimit -c 0; echo rea''dy; exec sleep 100";
    let mut terminal = Terminal::start(&[SWITCHBOARD, "run", "--", "sh", "-c", script]);
    terminal.shows("ready");
    terminal.types(CTRL_BACKSLASH);
    assert_eq!(terminal.ends(), 131);
}

#[test]
fn ctrl_c_is_handled_by_the_program_once() {
    let script = "$| = 1; $SIG{INT} = sub { $n++ }; print qq(ready\n);
        sleep 1 until $n; select undef, undef, undef, 0.3; print qq(seen $n\n); exit 7";
    let mut terminal = Terminal::start(&[SWITCHBOARD, "run", "--", "perl", "-e", script]);
    terminal.shows("ready");
    terminal.types(CTRL_C);
    terminal.shows("seen 1");
    assert_eq!(terminal.ends(), 7);
}

#[test]
fn ctrl_c_ends_a_call_that_waits() {
    let script = "use IO::Socket::INET; $| = 1;
        my $l = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die $!;
        $SIG{INT} = sub { print qq(woken\n); exit 3 }; print qq(ready\n); $l->accept";
    let mut terminal = Terminal::start(&[SWITCHBOARD, "run", "--", "perl", "-e", script]);
    terminal.shows("ready");
    terminal.types(CTRL_C);
    terminal.shows("woken");
    assert_eq!(terminal.ends(), 3);
}

/// A shell in whose command line `$SB` is the program under test.
fn shell() -> Terminal {
    let script =
        format!("SB='{SWITCHBOARD}'; export SB; exec env PS1='$ ' bash --norc --noprofile -i");
    let mut terminal = Terminal::start(&["bash", "-c", &script]);
    terminal.shows("$ ");
    terminal
}

#[test]
fn a_shell_stops_a_run_and_lets_it_go_on() {
    let mut terminal = shell();
    terminal.types(
        "\"$SB\" run -- perl -e '$|=1; print qq(u), qq(p\\n); print qq(line: $_) while <STDIN>'\n",
    );
    terminal.shows("up\r\n");
    terminal.types("one\n");
    terminal.shows("line: one");
    terminal.types(CTRL_Z);
    terminal.shows("Stopped");
    terminal.types("echo shell $((40+2))\n");
    terminal.shows("shell 42");
    terminal.types("fg\n");
    terminal.shows("run -- perl");
    terminal.types("two\n");
    terminal.shows("line: two");
    // Once more: what stopped once can be stopped again.
    terminal.types(CTRL_Z);
    terminal.shows("Stopped");
    terminal.types("fg\n");
    terminal.shows("run -- perl");
    terminal.types("three\n");
    terminal.shows("line: three");
    terminal.types(CTRL_D);
    terminal.types("echo status $?,$((40+2))\n");
    terminal.shows("status 0,42");
    terminal.types("exit 5\n");
    assert_eq!(terminal.ends(), 5);
}

#[test]
fn a_run_in_the_background_stops_when_it_wants_the_terminal() {
    let mut terminal = shell();
    terminal.types("\"$SB\" run -- sh -c 'read line; echo \"got: $line\"' &\n");
    terminal.types("while [ -z \"$(jobs -s)\" ]; do sleep 0.1; done; echo it is $((40+2))\n");
    terminal.shows("it is 42");
    terminal.types("fg\n");
    terminal.types("words\n");
    terminal.shows("got: words");
    terminal.types("exit 0\n");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn a_shell_under_the_runner_has_jobs() {
    let script = format!("exec '{SWITCHBOARD}' run -- env PS1='$ ' bash --norc --noprofile -i");
    let mut terminal = Terminal::start(&["bash", "-c", &script]);
    terminal.shows("$ ");
    assert!(
        !terminal.screen().contains("no job control"),
        "{}",
        terminal.screen()
    );
    terminal.types("sh -c 'echo u''p; read word; echo \"got: $word\"'\n");
    terminal.shows("up\r\n");
    terminal.types(CTRL_Z);
    terminal.shows("Stopped");
    terminal.types("fg\n");
    terminal.types("words\n");
    terminal.shows("got: words");
    terminal.types("exit 8\n");
    assert_eq!(terminal.ends(), 8);
}
