//! Signals sent to the run, and job control without a terminal.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::support::{Started, children, eventually, kill, output, run, start, state};

/// Starts a perl program and waits until it says that it is ready.
fn ready(script: &str) -> (Started, BufReader<std::process::ChildStderr>) {
    // Its standard error is ours to read: what it writes to standard output is the result.
    let mut command = run(&["perl", "-e", &format!("$| = 1; {script}")]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("perl is there");
    let mut err = BufReader::new(child.stderr.take().expect("piped"));
    let mut line = String::new();
    let _ = err.read_line(&mut line).expect("read");
    assert_eq!(line, "ready\n");
    (Started::of(child), err)
}

#[test]
fn a_signal_to_the_run_is_the_programs() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR1] {
        let (run, _err) = ready("warn qq(ready\n); sleep 100");
        kill(run.pid(), signal);
        assert_eq!(run.ends().status, 128 + signal);
    }
}

#[test]
fn a_program_that_handles_a_signal_goes_on() {
    let (run, _err) = ready(
        "$SIG{TERM} = sub { print qq(got TERM\n); exit 9 }; warn qq(ready\n); sleep 1 while 1",
    );
    kill(run.pid(), libc::SIGTERM);
    let ended = run.ends();
    assert_eq!((ended.status, &*ended.out), (9, "got TERM\n"));
}

#[test]
fn a_signal_before_the_program_has_started_is_not_lost() {
    for _ in 0..20 {
        let started = start(run(&["sleep", "100"]));
        kill(started.pid(), libc::SIGTERM);
        // Before the run itself has begun it is ended by the signal, afterwards the program is.
        assert_eq!(started.ends().status, 128 + libc::SIGTERM);
    }
}

#[test]
fn a_call_that_waits_is_ended_by_a_signal_to_the_run() {
    let (run, _err) = ready(
        "use IO::Socket::INET; my $l = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')
           or die $!; $SIG{ALRM} = sub { print qq(woken\n); exit 3 }; warn qq(ready\n); $l->accept; print qq($!\n)",
    );
    kill(run.pid(), libc::SIGALRM);
    let ended = run.ends();
    assert_eq!((ended.status, &*ended.out), (3, "woken\n"));
}

#[test]
fn an_orphan_that_signals_its_parent_reaches_nobody() {
    // Its parent is whoever collects orphans: init, without a run, which ignores what it does not handle. At once
    // gone, still there, and three deep.
    let started = start(run(&[
        "perl",
        "-e",
        "$| = 1; for my $case (0 .. 11) {
           pipe my $r, my $w; my $child = fork;
           if (!$child) {
             my $middle = getppid; close $r;
             if (!fork) { my $parent = $$; if (!fork) { select undef, undef, undef, 0.01 while getppid == $parent;
               kill $_, getppid for qw(ALRM TERM USR1 HUP INT);
               syswrite $w, 'x'; close $w; select undef, undef, undef, 0.1 if $case % 3; exit } exit }
             wait; exit }
           close $w; sysread $r, my $c, 1; waitpid $child, 0 }
         select undef, undef, undef, 0.2; print qq(alive\n); exit 4",
    ]));
    let ended = started.ends();
    assert_eq!((ended.status, &*ended.out), (4, "alive\n"), "{ended:?}");
}

#[test]
fn whoever_waits_sees_the_program_stop_and_go_on() {
    let started = start(run(&["sh", "-c", "kill -STOP $$; echo on; exit 6"]));
    assert!(
        eventually(|| state(started.pid()).as_deref() == Some("T")),
        "the run stops with its program"
    );
    kill(started.pid(), libc::SIGCONT);
    let ended = started.ends();
    assert_eq!((ended.status, &*ended.out), (6, "on\n"));
}

#[test]
fn a_stop_from_inside_does_not_stop_the_others() {
    // A child stops the program, talks over sockets, which need the supervisor, and lets it go on.
    let started = start(run(&[
        "perl",
        "-MSocket",
        "-e",
        "$| = 1; if (fork) { wait; print qq(over\n); exit 5 }
         kill STOP => getppid; socketpair my $a, my $b, AF_UNIX, SOCK_STREAM, 0 or die $!;
         for (1 .. 100) { syswrite $a, 'x'; sysread $b, my $c, 1; select undef, undef, undef, 0.002 }
         kill CONT => getppid",
    ]));
    let ended = started.ends();
    assert_eq!((ended.status, &*ended.out), (5, "over\n"), "{ended:?}");
}

#[test]
fn a_stopped_program_can_be_killed() {
    let (run, _err) = ready("warn qq(ready\n); kill STOP => $$; sleep 100");
    assert!(eventually(|| state(run.pid()).as_deref() == Some("T")));
    // The program alone: the guard is stopped and must learn of it.
    let supervisor = children(run.pid());
    for program in children(supervisor[0]) {
        kill(program, libc::SIGKILL);
    }
    assert_eq!(run.ends().status, 137);
}

#[test]
fn ignored_signals_stay_ignored() {
    // As nohup(1) does it.
    let ended = output(run(&[
        "sh",
        "-c",
        "trap '' HUP; exec perl -e 'print $SIG{HUP}, qq(\n)'",
    ]));
    assert_eq!(ended.out, "IGNORE\n");
}
