//! System calls that a container's profile refuses: a way round, or one clear line.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::support::{Ended, Scratch, compiled, output};

/// Numbers of the calls that [`helper`] refuses, and the errno.
const REFUSED: &str = "SWITCHBOARD_TEST_REFUSED";
/// What it executes then: words, with a separator between.
const THEN: &str = "SWITCHBOARD_TEST_THEN";

/// Not a test: started by the tests below, it becomes another program under a filter.
#[test]
#[ignore = "started by other tests"]
fn helper() {
    let (Ok(refused), Ok(then)) = (std::env::var(REFUSED), std::env::var(THEN)) else {
        return;
    };
    let numbers: Vec<u32> = refused
        .split(' ')
        .map(|word| word.parse().expect("a number"))
        .collect();
    refuse(&numbers[1..], numbers[0]);
    let words: Vec<&str> = then.split('\x1f').collect();
    let error = Command::new(words[0])
        .args(&words[1..])
        .env_remove(REFUSED)
        .env_remove(THEN)
        .exec();
    panic!("{error}");
}

/// Puts a filter on this thread that answers the calls with the errno.
fn refuse(calls: &[u32], errno: u32) {
    let instruction = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    // The number is the first word of struct seccomp_data.
    let mut program = vec![instruction(
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        0,
        0,
        0,
    )];
    for (i, call) in calls.iter().enumerate() {
        let to_the_end = (calls.len() - i) as u8;
        program.push(instruction(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            to_the_end,
            0,
            *call,
        ));
    }
    program.push(instruction(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ALLOW));
    program.push(instruction(
        libc::BPF_RET,
        0,
        0,
        libc::SECCOMP_RET_ERRNO | errno,
    ));
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the kernel reads the filter, which outlives the calls; prctl touches no memory.
    unsafe {
        assert_eq!(
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1u64, 0u64, 0u64, 0u64),
            0
        );
        let set = libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const filter,
        );
        assert_eq!(set, 0, "a filter of our own");
    }
}

/// Runs `switchboard WORDS` where these calls are refused.
fn without(calls: &[libc::c_long], errno: i32, words: &[&str]) -> Ended {
    let mut command = Command::new(std::env::current_exe().expect("this file"));
    command.args([
        "--exact",
        "refused::helper",
        "--ignored",
        "--nocapture",
        "--quiet",
    ]);
    let mut numbers = errno.to_string();
    for call in calls {
        numbers.push_str(&format!(" {call}"));
    }
    let mut then = vec![env!("CARGO_BIN_EXE_switchboard")];
    then.extend(words);
    command.env(REFUSED, numbers).env(THEN, then.join("\x1f"));
    command.stdin(std::process::Stdio::null());
    let mut ended = output(command);
    // What the harness said before.
    if let Some(at) = ended.out.find("running 1 test\n") {
        let _ = ended.out.drain(..at + "running 1 test\n".len());
    }
    ended
}

/// Sockets, polled and read from: everything the supervisor needs from the kernel.
const TALK: &str = "socketpair my $a, my $b, AF_UNIX, SOCK_STREAM, 0 or die $!; syswrite $a, 'x' or die $!; \
    my $bits = ''; vec($bits, fileno $b, 1) = 1; select my $r = $bits, undef, undef, 9 or die; \
    sysread $b, my $c, 1 or die $!; select $r = $bits, undef, undef, 0.01 and die; print qq(talked\n)";

fn talks(calls: &[libc::c_long], errno: i32) -> Ended {
    without(calls, errno, &["run", "--", "perl", "-MSocket", "-e", TALK])
}

#[test]
fn seccomp_itself() {
    for errno in [libc::EPERM, libc::EACCES] {
        talks(&[libc::SYS_seccomp], errno).complains(125, "seccomp refused");
    }
    talks(&[libc::SYS_seccomp], libc::ENOSYS).complains(125, "no seccomp user notification");
    let doctor = without(&[libc::SYS_seccomp], libc::EPERM, &["doctor"]);
    assert_eq!(doctor.status, 1, "{doctor:?}");
    assert!(
        doctor
            .out
            .ends_with("Programs cannot be run here, for the reasons above.\n")
    );
}

#[test]
fn prctl() {
    talks(&[libc::SYS_prctl], libc::EPERM).complains(125, "");
}

#[test]
fn what_there_is_another_way_for() {
    for calls in [
        &[libc::SYS_process_vm_readv, libc::SYS_process_vm_writev][..],
        &[libc::SYS_kcmp],
        &[libc::SYS_ptrace],
        &[libc::SYS_bpf],
        &[libc::SYS_statx],
        &[libc::SYS_close_range],
        &[libc::SYS_io_uring_setup],
        &[libc::SYS_unshare, libc::SYS_setns],
        &[libc::SYS_inotify_init1],
        &[libc::SYS_inotify_add_watch],
    ] {
        for errno in [libc::EPERM, libc::ENOSYS] {
            let ended = talks(calls, errno);
            assert_eq!(
                (ended.status, &*ended.out, &*ended.err),
                (0, "talked\n", ""),
                "{calls:?} {errno}"
            );
            let doctor = without(calls, errno, &["doctor"]);
            assert_eq!(doctor.status, 0, "{calls:?} {errno}: {doctor:?}");
        }
    }
}

#[test]
fn clone3() {
    // ENOSYS, as containers do it: after EPERM libc makes no threads at all.
    let ended = talks(&[libc::SYS_clone3], libc::ENOSYS);
    assert_eq!(
        (ended.status, &*ended.out, &*ended.err),
        (0, "talked\n", "")
    );
    talks(&[libc::SYS_clone3], libc::EPERM).complains(125, "cannot start a thread");
}

/// What is seen of a close where it has to be looked for: by a child that is killed, by one that executes something else, after a listener's.
const CLOSES: &str = "use Socket; use IO::Socket::INET; $| = 1; \
    sub pair { my $l = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die $!; \
        my $c = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . $l->sockport) or die $!; (scalar $l->accept, $c) } \
    sub ends { my ($s, $what) = @_; my $bits = ''; vec($bits, fileno $s, 1) = 1; \
        select $bits, undef, undef, 5 or die $what; my $n = sysread $s, my $c, 1; die $what unless defined $n && $n == 0; print qq($what\n) } \
    my ($a, $b) = pair; close $b; ends($a, 'close'); \
    ($a, $b) = pair; my $kid = fork // die $!; if (!$kid) { close $a; sleep 60 } close $b; \
    vec(my $bits = '', fileno $a, 1) = 1; select $bits, undef, undef, 0.1 and die 'too early'; kill 9, $kid; ends($a, 'killed'); \
    ($a, $b) = pair; $kid = fork // die $!; if (!$kid) { close $a; exec 'sleep', 60 } close $b; ends($a, 'executed'); kill 9, $kid; \
    socketpair $a, $b, AF_UNIX, SOCK_DGRAM, 0 or die $!; my $port = do { my $l = IO::Socket::INET->new(Listen => 1, \
        LocalAddr => '127.0.0.1') or die $!; $l->sockport }; \
    IO::Socket::INET->new(Listen => 1, LocalAddr => qq(127.0.0.1:$port)) or die $!; print qq(port\n)";

const CLOSED: &str = "close\nkilled\nexecuted\nport\n";

/// A thread closes what the other threads have, too, and lives on; then the first thread ends, and another one goes on.
const THREAD: &str = r#"
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void must(int done, const char *what) { if (!done) { perror(what); exit(1); } }
static void *closes(void *fd) { close(*(int *)fd); pause(); return 0; }
static void *goes_on(void *pair) {
    int *end = pair;
    usleep(200000); // for a sweep
    must(write(end[0], "x", 1) == 1, "write");
    struct pollfd in = {end[1], POLLIN, 0};
    must(poll(&in, 1, 5000) == 1, "poll");
    puts("alone");
    exit(0);
}

int main(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0), ours = socket(AF_INET, SOCK_STREAM, 0), theirs;
    must(!bind(listener, (void *)&at, sizeof at) && !listen(listener, 1), "listen");
    must(!getsockname(listener, (void *)&at, &len) && !connect(ours, (void *)&at, len), "connect");
    must((theirs = accept(listener, 0, 0)) >= 0, "accept");
    pthread_t thread;
    must(!pthread_create(&thread, 0, closes, &theirs), "thread");
    struct pollfd in = {ours, POLLIN, 0};
    char byte;
    must(poll(&in, 1, 5000) == 1 && read(ours, &byte, 1) == 0, "end of file");
    puts("thread");
    static int pair[2];
    must(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair), "socketpair");
    must(!pthread_create(&thread, 0, goes_on, pair), "thread");
    pthread_exit(0);
}
"#;

const THREADS: &str = "thread\nalone\n";

#[test]
fn the_way_to_descriptors() {
    let scratch = Scratch::new("threads-refused");
    let thread = compiled(&scratch, "thread", THREAD);
    let program = [
        &["perl", "-MSocket", "-e", TALK][..],
        &["perl", "-e", CLOSES],
        &[thread.to_str().unwrap()],
    ];
    let words = program.map(|program| [&["run", "--"], program].concat());
    for call in [libc::SYS_pidfd_getfd, libc::SYS_pidfd_open] {
        for errno in [libc::EPERM, libc::ENOSYS] {
            for (words, said) in words.iter().zip(["talked\n", CLOSED, THREADS]) {
                let ended = without(&[call], errno, words);
                assert_eq!(
                    (ended.status, &*ended.out),
                    (0, said),
                    "{call} {errno}: {ended:?}"
                );
            }
            let doctor = without(&[call], errno, &["doctor"]);
            assert_eq!(doctor.status, 0, "{doctor:?}");
            assert!(doctor.out.contains("--cap-add SYS_PTRACE"), "{doctor:?}");
        }
    }
}

/// The same programs where nothing is refused.
#[test]
fn closes_are_told() {
    let scratch = Scratch::new("thread");
    let thread = compiled(&scratch, "thread", THREAD);
    for (program, said) in [
        (&["perl", "-e", CLOSES][..], CLOSED),
        (&[thread.to_str().unwrap()], THREADS),
    ] {
        let words = [&["run", "--"], program].concat();
        let ended = without(&[libc::SYS_kcmp], libc::EPERM, &words);
        assert_eq!((ended.status, &*ended.out), (0, said), "{ended:?}");
    }
}
