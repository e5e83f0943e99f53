//! Captures: the same seed gives the same file, and tshark reads it.
#![allow(missing_docs)]

#[path = "common/file.rs"]
mod file;
#[path = "common/transfer.rs"]
mod transfer;

use file::File;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;
use switchboard::{Chance, Delay, Distribution, End, Link, Loss, Net, PipeConfig, UdpSocket};
use transfer::transfer;

const BAD: PipeConfig = PipeConfig {
    delay: Delay {
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(4),
        correlation: switchboard::Probability::NEVER,
        distribution: Distribution::ParetoNormal,
    },
    loss: Loss::NONE,
    loss_marks: false,
    duplicate: Chance::NEVER,
    corrupt: Chance::NEVER,
    reorder: switchboard::Reorder {
        chance: Chance::NEVER,
        gap: 0,
    },
    rate: None,
    queue: switchboard::QueueConfig::Fifo(switchboard::FifoConfig {
        packets: 1000,
        bytes: u64::MAX,
    }),
    limit: 20_000,
    mtu: 1500,
    up: true,
};

/// A TCP transfer over a link with all that can happen to a packet; the captures of both ends.
fn captured(seed: u64, corrupt: f64) -> [Vec<u8>; 2] {
    let net = Net::virtual_time(seed);
    let [a, b] = ["a", "b"].map(|name| net.host(name).build().unwrap());
    let link: Link = net
        .link(&a, &b)
        .a("10.0.0.1".parse().unwrap(), 24)
        .a("fd00::1".parse().unwrap(), 64)
        .b("10.0.0.2".parse().unwrap(), 24)
        .b("fd00::2".parse().unwrap(), 64)
        .config(PipeConfig {
            loss: Loss::percent(3.0),
            duplicate: Chance::percent(1.0),
            corrupt: Chance::percent(corrupt),
            ..BAD
        })
        .build()
        .unwrap();
    let files = [File::default(), File::default()];
    link.end(End::A).capture(files[0].clone()).unwrap();
    link.end(End::B).capture(files[1].clone()).unwrap();
    for at in ["10.0.0.2:80", "[fd00::2]:80"] {
        let at: SocketAddr = at.parse().unwrap();
        drop(transfer(&a, &b, at, 60_000));
        // And a refusal, by ICMP.
        let any = if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let udp = UdpSocket::bind(&a, any.parse().unwrap()).unwrap();
        udp.send_to(b"anybody?", SocketAddr::new(at.ip(), 9))
            .unwrap();
    }
    net.advance(Duration::from_secs(5));
    link.end(End::A).stop_capture().unwrap();
    link.end(End::B).stop_capture().unwrap();
    files.map(|file| file.0.lock().unwrap().clone())
}

#[test]
fn a_hundred_replays_give_the_same_bytes() {
    let first = captured(1, 1.0);
    assert!(first.iter().all(|file| file.len() > 100_000));
    for n in 1..100 {
        assert!(captured(1, 1.0) == first, "replay {n} differs");
    }
    assert!(captured(2, 1.0) != first);
}

/// What tshark says of a file, line by line; `None` where it is not installed.
fn tshark(file: &[u8], args: &[&str]) -> Option<Vec<String>> {
    let path = std::env::temp_dir().join(format!(
        "switchboard-capture-{}-{}.pcapng",
        std::process::id(),
        args.len()
    ));
    std::fs::write(&path, file).unwrap();
    let output = Command::new("tshark")
        .arg("-r")
        .arg(&path)
        .args(args)
        .output();
    std::fs::remove_file(&path).unwrap();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound);
            return None;
        }
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().map(str::to_owned).collect())
}

#[test]
fn tshark_finds_every_checksum_right() {
    let checks = [
        "-o",
        "ip.check_checksum:TRUE",
        "-o",
        "tcp.check_checksum:TRUE",
        "-o",
        "udp.check_checksum:TRUE",
        "-Y",
    ];
    let wrong = "ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 \
         || icmp.checksum.status == 0 || icmpv6.checksum.status == 0 || _ws.malformed";
    let right = "tcp.checksum.status == 1 || udp.checksum.status == 1 || icmp.checksum.status == 1 \
         || icmpv6.checksum.status == 1";
    let show = |file: &[u8], filter| tshark(file, &[&checks[..], &[filter]].concat());
    for file in captured(3, 0.0) {
        let Some(bad) = show(&file, wrong) else {
            // Not installed: the parser of the layer has the same opinion, see the replays.
            return;
        };
        assert_eq!(bad, [""; 0]);
        let all = show(&file, "!arp").unwrap().len();
        assert_eq!(show(&file, "arp").unwrap().len(), 4);
        assert_eq!(show(&file, right).unwrap().len(), all);
        assert!(all > 150);
        assert_eq!(show(&file, "eth").unwrap().len(), all + 4);
        let icmp = show(&file, "icmp.type == 3 || icmpv6.type == 1").unwrap();
        assert!(icmp.len() <= 4, "{icmp:?}");
    }
    // Of a link that corrupts, the receiver's capture shows it.
    let [_, received] = captured(4, 5.0);
    let bad = show(&received, "tcp.checksum.status == 0").unwrap();
    assert!(!bad.is_empty());
}
