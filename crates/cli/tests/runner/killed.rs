//! The supervisor, or its guard, killed with SIGKILL: no program hangs, none is left to spin.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::support::{Started, children, eventually, kill, run, state, wait, with_argument};

/// Programs that wait in one call each, for what never comes.
const WAITERS: &[(&str, &str)] = &[
    (
        "accept",
        "my $l = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1'); ready(); $l->accept",
    ),
    (
        "recv",
        "my $u = IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1'); ready(); recv $u, my $b, 9, 0",
    ),
    (
        "read",
        "socketpair my $a, my $b, AF_UNIX, SOCK_STREAM, 0; ready(); sysread $a, my $c, 1",
    ),
    (
        "write",
        "socketpair my $a, my $b, AF_UNIX, SOCK_STREAM, 0; ready(); 1 while syswrite $a, 'x' x 65536",
    ),
    (
        "select",
        "my $l = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1'); ready();
         my $bits = ''; vec($bits, fileno $l, 1) = 1; select $bits, undef, undef, undef; $l->accept",
    ),
    // A server's loop, which tries again whatever happens, and a child of its own.
    (
        "loop",
        "my $l = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1'); fork; ready(); $l->accept while 1",
    ),
    ("no socket", "ready(); sleep 1 while 1"),
];

/// A run of a program that waits, once it does. Its last argument is `mark`.
fn waiting(program: &str, mark: &str) -> (Child, BufReader<std::process::ChildStderr>) {
    let script = format!(
        "use IO::Socket::INET; use Socket; sub ready {{ syswrite STDERR, qq(ready\\n) }} {program}"
    );
    let mut command = run(&["perl", "-e", &script, mark]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("perl is there");
    let mut err = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    let _ = err.read_line(&mut line).expect("read");
    assert_eq!(line, "ready\n", "{program}");
    (child, err)
}

/// Processes of a run by an argument that nobody else has: the program's, the guard and the supervisor.
fn are_gone(mark: &str) -> bool {
    eventually(|| with_argument(mark).is_empty())
}

#[test]
fn a_killed_supervisor_ends_the_run() {
    for (name, program) in WAITERS {
        let mark = format!("killed-supervisor-{}-{name}", std::process::id());
        let (child, mut err) = waiting(program, &mark);
        let guard = child.id() as i32;
        let supervisor = children(guard);
        assert_eq!(supervisor.len(), 1, "{name}");
        kill(supervisor[0], libc::SIGKILL);
        let ended = Started::of(child).ends();
        let mut said = String::new();
        // Another "ready" may come from the child of a program.
        while err.read_line(&mut said).expect("read") > 0 && said == "ready\n" {
            said.clear();
        }
        assert_eq!(ended.status, 125, "{name}: {said}");
        assert_eq!(
            said, "switchboard: the supervisor was killed by signal 9, so the run is over\n",
            "{name}"
        );
        assert!(are_gone(&mark), "{name}: {:?}", with_argument(&mark));
    }
}

#[test]
fn a_killed_guard_ends_the_run() {
    for (name, program) in WAITERS {
        let mark = format!("killed-guard-{}-{name}", std::process::id());
        let (mut child, _err) = waiting(program, &mark);
        kill(child.id() as i32, libc::SIGKILL);
        let _ = wait(&mut child);
        assert!(are_gone(&mark), "{name}: {:?}", with_argument(&mark));
    }
}

/// Both at once: nobody is left to end anything, and still no call waits for ever.
#[test]
fn without_both_no_call_waits() {
    for (name, program) in WAITERS
        .iter()
        .filter(|(name, _)| !matches!(*name, "loop" | "no socket"))
    {
        let mark = format!("killed-both-{}-{name}", std::process::id());
        let (mut child, _err) = waiting(program, &mark);
        let guard = child.id() as i32;
        let supervisor = children(guard);
        // Stopped, the guard does not see what happens to the supervisor; and the other way round.
        for pid in [guard, supervisor[0]] {
            kill(pid, libc::SIGSTOP);
        }
        assert!(eventually(|| state(supervisor[0]).as_deref() == Some("T")));
        kill(guard, libc::SIGKILL);
        kill(supervisor[0], libc::SIGKILL);
        let _ = wait(&mut child);
        assert!(are_gone(&mark), "{name}: {:?}", with_argument(&mark));
    }
}
