//! `--pcap`, `--delay`, `--loss` and `--rate`.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use crate::support::{Ended, Scratch, output, switchboard};

fn perl(options: &[&str], program: &str) -> Ended {
    let mut command = switchboard();
    command
        .arg("run")
        .args(options)
        .args(["--", "perl", "-MSocket", "-e", program]);
    output(command)
}

/// The clock is asked by number: Time::HiRes is not in every perl.
const NOW: &str = "sub now { my $t = pack 'qq', 0, 0; syscall $ENV{CLOCK_GETTIME}, 1, $t;
    my ($s, $n) = unpack 'qq', $t; $s + $n / 1e9 }";

/// A connection, a few bytes of data, and how long that took.
const TALK: &str = "socket(my $l, AF_INET, SOCK_STREAM, 0) or die $!;
    bind $l, pack_sockaddr_in(7777, INADDR_LOOPBACK) or die $!;
    listen $l, 5 or die $!;
    socket(my $c, AF_INET, SOCK_STREAM, 0) or die $!;
    my $begin = now;
    connect $c, getsockname $l or die $!;
    my $connected = now;
    accept my $s, $l or die $!;
    syswrite $c, 'x' x $ENV{BYTES};
    my ($all, $n) = 0;
    $all += $n while $all < $ENV{BYTES} and $n = sysread $s, my $got, 65536;
    printf '%d %.3f %.3f', $all, $connected - $begin, now() - $connected;";

/// A program that may ask for `now`.
fn timed(program: &str) -> String {
    let now = NOW.replace("$ENV{CLOCK_GETTIME}", &libc::SYS_clock_gettime.to_string());
    format!("{now} {program}")
}

fn talk(options: &[&str], bytes: usize) -> (f64, f64) {
    let program = timed(TALK).replace("$ENV{BYTES}", &bytes.to_string());
    let ended = perl(options, &program);
    assert_eq!((ended.status, &*ended.err), (0, ""), "{ended:?}");
    let words: Vec<f64> = ended.out.split(' ').map(|w| w.parse().unwrap()).collect();
    assert_eq!(words[0] as usize, bytes);
    (words[1], words[2])
}

#[test]
fn a_delay_is_one_way() {
    let (connected, arrived) = talk(&["--delay", "60ms"], 10);
    // There and back; then there.
    assert!((0.119..5.0).contains(&connected), "{connected}");
    assert!((0.059..5.0).contains(&arrived), "{arrived}");
}

/// `eth0` is as bad as `lo`.
#[test]
fn a_delay_is_on_the_way_out_too() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = server.local_addr().unwrap().port();
    let program = timed(&format!(
        "socket(my $s, AF_INET, SOCK_STREAM, 0) or die $!; my $begin = now;
        connect $s, pack_sockaddr_in({port}, inet_aton '10.0.2.4') or die $!; print now() - $begin"
    ));
    let took = |options: &[&str]| -> f64 {
        let way = ["--net", "nat", "--host-loopback", "10.0.2.4"];
        let ended = perl(&[&way, options].concat(), &program);
        assert_eq!((ended.status, &*ended.err), (0, ""), "{ended:?}");
        ended.out.parse().unwrap()
    };
    let there_and_back = took(&["--delay", "100ms"]);
    assert!((0.2..5.0).contains(&there_and_back), "{there_and_back}");
    // The rate is each direction's: 40 bytes or more at 2000 bits a second, twice.
    let slow = took(&["--rate", "2kbit"]);
    assert!((0.32..10.0).contains(&slow), "{slow}");
}

#[test]
fn a_rate_slows_down() {
    // 800,000 bits at a million a second.
    let (_, arrived) = talk(&["--rate", "1mbit"], 100_000);
    assert!((0.75..20.0).contains(&arrived), "{arrived}");
}

const DATAGRAMS: &str = "socket(my $b, AF_INET, SOCK_DGRAM, 0) or die $!;
    bind $b, pack_sockaddr_in(7777, INADDR_LOOPBACK) or die $!;
    socket(my $a, AF_INET, SOCK_DGRAM, 0) or die $!;
    send $a, $_, 0, getsockname $b or die $! for 1 .. 100;
    my $n = 0; my $got;
    while (defined recv $b, $got, 10, MSG_DONTWAIT) { print qq($got ) }";

#[test]
fn losses_are_the_seeds() {
    let lost = |options: &[&str]| {
        let ended = perl(options, DATAGRAMS);
        assert_eq!((ended.status, &*ended.err), (0, ""), "{ended:?}");
        ended.out
    };
    let none: Vec<String> = (1..=100).map(|n| format!("{n} ")).collect();
    assert_eq!(lost(&["--loss", "0%"]), none.concat());
    assert_eq!(lost(&["--loss", "100%"]), "");
    let some = lost(&["--loss", "30%", "--seed", "7"]);
    assert!((40..95).contains(&some.split(' ').count()), "{some}");
    assert_eq!(lost(&["--loss", "30%", "--seed", "7"]), some);
    assert_ne!(lost(&["--loss", "30%", "--seed", "8"]), some);
}

#[test]
fn tcp_gets_through_losses() {
    talk(&["--loss", "10%", "--seed", "1"], 300_000);
}

#[test]
fn a_capture_has_every_packet() {
    let scratch = Scratch::new("pcap");
    let path = scratch.path().join("lo.pcapng");
    let name = path.to_str().unwrap();
    talk(&["--pcap", name], 100_000);
    let file = fs::read(&path).unwrap();
    // A section header, and the data in full.
    assert_eq!(file[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
    assert!(file.iter().filter(|byte| **byte == b'x').count() >= 100_000);
    // Next to each packet whose it is.
    let name_and_pid = file.windows(5).filter(|bytes| *bytes == b"perl[").count();
    assert!(name_and_pid >= 5, "{name_and_pid}");
    let tshark = Command::new("tshark")
        .args(["-r", name, "-o", "tcp.check_checksum:TRUE", "-T", "fields"])
        .args([
            "-e",
            "tcp.flags",
            "-e",
            "tcp.checksum.status",
            "-e",
            "tcp.dstport",
        ])
        .output();
    let Ok(tshark) = tshark else {
        // Not installed.
        return;
    };
    let text = String::from_utf8(tshark.stdout).unwrap();
    assert!(
        tshark.status.success(),
        "{}",
        String::from_utf8_lossy(&tshark.stderr)
    );
    let lines: Vec<Vec<&str>> = text.lines().map(|l| l.split('\t').collect()).collect();
    assert_eq!(lines[0], ["0x0002", "1", "7777"], "{text}");
    assert_eq!(lines[1][..2], ["0x0012", "1"], "{text}");
    assert!(
        lines.len() >= 5 && lines.iter().all(|line| line[1] == "1"),
        "{text}"
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (option, value, about) in [
        ("--delay", "20", "a time has a unit"),
        ("--delay", "-1ms", "a number of 0 or more"),
        ("--loss", "101%", "a percentage"),
        ("--rate", "10", "a rate has a unit"),
        ("--rate", "0bit", "at least 1 bit"),
    ] {
        let mut command = switchboard();
        command.args(["run", &format!("{option}={value}"), "--", "true"]);
        let ended = output(command);
        assert_eq!(ended.status, 125, "{ended:?}");
        assert!(ended.err.contains(about), "{ended:?}");
    }
    let mut command = switchboard();
    command.args(["run", "--pcap", "/nonexistent/lo", "--", "true"]);
    output(command).complains(125, "cannot write the capture to /nonexistent/lo");
}

#[test]
fn the_options_are_explained() {
    let mut command = switchboard();
    command.args(["run", "--help"]);
    let ended = output(command);
    for option in [
        "--pcap <FILE>",
        "--delay <TIME>",
        "--loss <PERCENT>",
        "--rate <RATE>",
    ] {
        assert!(ended.out.contains(option), "{option}: {}", ended.out);
    }
}
