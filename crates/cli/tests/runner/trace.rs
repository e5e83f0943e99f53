//! `--trace`: where it goes, and its shape.

use std::fs;
use std::process::Command;

use crate::support::{Scratch, output, switchboard};

const TALK: &str = "socket(my $l, AF_INET, SOCK_STREAM, 0) or die $!;
    bind $l, pack_sockaddr_in(7777, INADDR_LOOPBACK) or die $!;
    listen $l, 5 or die $!;
    socket(my $c, AF_INET, SOCK_STREAM, 0) or die $!;
    connect $c, getsockname $l or die $!;
    accept my $s, $l or die $!;
    syswrite $c, 'hello'; sysread $s, my $got, 100; print qq($got\n);
    connect $c, pack_sockaddr_in(1, INADDR_LOOPBACK) and die;
    close $c; sysread $s, $got, 1;";

fn traced(option: &str, program: &[&str]) -> Command {
    let mut command = switchboard();
    command.args(["run", option, "--"]).args(program);
    command
}

/// `[   PID] name(arguments) = result`, or what was closed.
fn has_the_shape(line: &str) -> bool {
    let Some((who, what)) = line
        .strip_prefix('[')
        .and_then(|rest| rest.split_once("] "))
    else {
        return false;
    };
    if who.trim().is_empty() {
        return what.starts_with("socket 0x") && what.ends_with(" closed");
    }
    let Some((call, result)) = what.rsplit_once(") = ") else {
        return false;
    };
    let name = call.split('(').next().unwrap_or_default();
    let value = result.split(' ').next().unwrap_or_default();
    who.trim().parse::<u32>().is_ok()
        && !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && call.contains('(')
        && value.parse::<i64>().is_ok()
        && (!value.starts_with('-') || result.starts_with("-1 E"))
}

#[track_caller]
fn check(trace: &str) {
    for line in trace.lines() {
        assert!(has_the_shape(line), "{line}");
    }
    let mut rest = trace;
    for wanted in [
        "socket(AF_INET, SOCK_STREAM",
        ", IPPROTO_IP) = ",
        "bind(",
        "sin_port=htons(7777), sin_addr=inet_addr(\"127.0.0.1\")}, 16) = 0\n",
        "listen(",
        ", 5) = 0\n",
        "connect(",
        "accept",
        "write(",
        "\"hello\", 5) = 5\n",
        "read(",
        "\"hello\", ",
        " = 5\n",
        "= -1 EISCONN (Transport endpoint is already connected)\n",
        " closed\n",
        "read(",
        " = 0\n",
    ] {
        let Some(at) = rest.find(wanted) else {
            panic!("{wanted:?} is not in the rest: {rest}");
        };
        rest = &rest[at + wanted.len()..];
    }
}

#[test]
fn to_a_file() {
    let scratch = Scratch::new("trace");
    let file = scratch.path().join("trace");
    let option = format!("--trace={}", file.display());
    let ended = output(traced(&option, &["perl", "-MSocket", "-e", TALK]));
    assert_eq!((ended.status, &*ended.out, &*ended.err), (0, "hello\n", ""));
    check(&fs::read_to_string(&file).expect("the trace"));
}

#[test]
fn to_standard_error() {
    let ended = output(traced("--trace", &["perl", "-MSocket", "-e", TALK]));
    assert_eq!((ended.status, &*ended.out), (0, "hello\n"));
    check(&ended.err);
}

#[test]
fn a_trace_that_cannot_be_opened_is_125_and_nothing_runs() {
    output(traced(
        "--trace=/nonexistent/trace",
        &["sh", "-c", "echo ran"],
    ))
    .complains(125, "cannot write the trace to /nonexistent/trace");
}

#[test]
fn a_trace_that_cannot_be_written_does_not_hurt_the_program() {
    let ended = output(traced(
        "--trace=/dev/full",
        &["perl", "-MSocket", "-e", TALK],
    ));
    assert_eq!((ended.status, &*ended.out), (0, "hello\n"));
    assert_eq!(
        ended.err,
        "switchboard: some of the trace could not be written: No space left on device (os error 28)\n"
    );
}
