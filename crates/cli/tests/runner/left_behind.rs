//! Nothing is left: no process, no file, no socket, no descriptor.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Scratch, kill, output, run, switchboard, wait, with_argument};

#[test]
fn processes_in_the_background_end_with_the_program() {
    // An argument that nobody else's sleep has.
    let long = format!("1{:07}", std::process::id());
    let script =
        format!("setsid sleep {long} & (setsid sh -c 'sleep {long} & sleep {long}' &) ; sleep 0.2");
    let ended = output(run(&["sh", "-c", &script]));
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(with_argument(&long), [] as [i32; 0]);
}

#[test]
fn no_file_is_made() {
    let scratch = Scratch::new("files");
    let mut command = run(&[
        "perl",
        "-MSocket",
        "-e",
        "socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, 0) or die; syswrite $a, 'x'; sysread $b, my $c, 1",
    ]);
    command
        .current_dir(scratch.path())
        .env("TMPDIR", scratch.path())
        .env("HOME", scratch.path())
        .env("XDG_RUNTIME_DIR", scratch.path());
    let ended = output(command);
    assert_eq!((ended.status, &*ended.err), (0, ""));
    assert_eq!(scratch.names(), [] as [&str; 0]);
}

/// Nobody hangs up on the supervisor there: the kernel tells it of the close.
#[test]
fn datagram_sockets_go_with_who_was_killed() {
    let script = "perl -MSocket -e '
            for (1 .. 200) {
                socket(my $s, AF_INET, SOCK_DGRAM, 0) or die $!;
                bind $s, pack_sockaddr_in(0, INADDR_LOOPBACK) or die $!;
                push @all, $s;
            }
            system qq(grep UDP: /proc/net/sockstat);
            kill KILL => $$';
        grep UDP: /proc/net/sockstat";
    let ended = output(run(&["sh", "-c", script]));
    assert_eq!(ended.status, 0, "{ended:?}");
    let counts: Vec<&str> = ended
        .out
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2))
        .collect();
    assert_eq!(counts, ["200", "0"], "{ended:?}");
}

#[test]
fn the_supervisor_keeps_no_socket_of_who_was_killed() {
    let mut command = switchboard();
    command.args(["run", "--stats", "--", "perl", "-MSocket", "-e"]);
    command.arg(
        "for (1 .. 5) {
             next if fork;
             socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, 0) or die $!;
             socket(my $l, AF_INET, SOCK_STREAM, 0) or die $!;
             bind $l, pack_sockaddr_in(0, INADDR_LOOPBACK) or die $!;
             listen $l, 5 or die $!;
             socket(my $c, AF_INET, SOCK_STREAM, 0) or die $!;
             connect $c, getsockname $l or die $!;
             kill KILL => $$;
         }
         1 while wait != -1",
    );
    let ended = output(command);
    assert_eq!(ended.status, 0, "{ended:?}");
    for what in ["sockets", "placeholders", "calls", "files in flight"] {
        assert!(
            ended
                .err
                .contains(&format!("switchboard: {what} left: 0\n")),
            "{ended:?}"
        );
    }
    assert!(
        ended.err.contains("switchboard: sockets made: 20\n"),
        "{ended:?}"
    );
}

#[test]
fn a_pipe_ends_when_the_program_closes_it() {
    // The same pipe as standard output and as descriptor 7; sh closes both.
    let mut command = Command::new("bash");
    command.args([
        "-c",
        "exec \"$0\" run -- sh -c 'exec >&- 7>&-; exec sleep 40' 7>&1",
    ]);
    command.arg(env!("CARGO_BIN_EXE_switchboard"));
    let start = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .expect("bash is there");
    let mut out = child.stdout.take().expect("piped");
    let _ = out.read_to_end(&mut Vec::new()).expect("read");
    let took = start.elapsed();
    kill(child.id() as i32, libc::SIGTERM);
    let _ = wait(&mut child);
    assert!(
        took < Duration::from_secs(30),
        "the end was seen after {took:?}"
    );
}

#[test]
fn a_low_descriptor_limit_ends_in_emfile() {
    let script = "ulimit -Sn 64; ulimit -Hn 64; exec \"$0\" run -- perl -MSocket -e '
        my @s; while (socket my $s, AF_INET, SOCK_STREAM, 0) { push @s, $s } print scalar(@s), qq( $!\n)'";
    let mut command = Command::new("bash");
    command.args(["-c", script, env!("CARGO_BIN_EXE_switchboard")]);
    let ended = output(command);
    let (made, why) = ended.out.split_once(' ').unwrap_or_default();
    let made: u32 = made.parse().unwrap_or_default();
    assert_eq!(why, "Too many open files\n", "{ended:?}");
    // The supervisor has the same limit, and needs some for itself.
    assert!((40..=61).contains(&made), "{ended:?}");
}

#[test]
fn programs_that_have_ended_take_no_descriptors() {
    let script = "ulimit -Sn 64; ulimit -Hn 64; exec \"$0\" run -- bash -c '
        for i in {1..100}; do /bin/true; done
        exec perl -MSocket -e \"my @s; while (socket my \\$s, AF_INET, SOCK_STREAM, 0) { push @s, \\$s } print scalar(@s)\"'";
    let mut command = Command::new("bash");
    command.args(["-c", script, env!("CARGO_BIN_EXE_switchboard")]);
    let ended = output(command);
    let made: u32 = ended.out.parse().unwrap_or_default();
    assert!((34..=61).contains(&made), "{ended:?}");
}
