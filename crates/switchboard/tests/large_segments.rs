//! TCP segments that travel as one: what of it can be seen, and where it ends.
#![allow(missing_docs)]

#[path = "common/file.rs"]
mod file;
#[path = "common/transfer.rs"]
mod transfer;

use file::File;
use std::net::IpAddr;
use std::time::Duration;
use switchboard::{
    Cable, Delay, End, Host, Link, Loss, Net, PipeConfig, Rate, SegmentConfig, TcpStream,
};

/// The lengths of the frames of a capture.
fn frames(file: &File) -> Vec<usize> {
    let bytes = file.0.lock().unwrap();
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut frames) = (0, Vec::new());
    while at < bytes.len() {
        // An Enhanced Packet Block.
        if word(at) == 6 {
            frames.push(word(at + 20));
        }
        at += word(at + 4);
    }
    frames
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Both ends of a transfer, when what came after it has settled.
fn transfer(from: &Host, to: &Host, addr: &str, len: usize) -> [TcpStream; 2] {
    let ends = transfer::transfer(from, to, addr.parse().unwrap(), len);
    from.net().advance(Duration::from_secs(1));
    ends
}

/// A value of /proc/net/snmp.
fn snmp(host: &Host, group: &str, name: &str) -> u64 {
    let text = host.proc_read("/proc/net/snmp").unwrap();
    let mut lines = text.lines().filter(|line| line.starts_with(group));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let mut both = names.split(' ').zip(values.split(' '));
    let (_, value) = both.find(|(n, _)| *n == name).unwrap();
    value.parse().unwrap()
}

/// What an interface got and sent: packets and bytes.
fn dev(host: &Host, name: &str) -> [u64; 4] {
    let text = host.proc_read("/proc/net/dev").unwrap();
    let line = text.lines().find(|line| line.trim().starts_with(name));
    let numbers = line.unwrap().split_once(':').unwrap().1;
    let all: Vec<u64> = numbers
        .split_whitespace()
        .map(|n| n.parse().unwrap())
        .collect();
    [all[1], all[0], all[9], all[8]]
}

/// tcpi_segs_out, tcpi_segs_in, tcpi_data_segs_in, tcpi_data_segs_out, tcpi_rcv_mss.
fn segments(stream: &TcpStream) -> [u32; 5] {
    let info = stream.option(6, 11, 256).unwrap();
    [136, 140, 152, 156, 20].map(|at| u32::from_ne_bytes(info[at..at + 4].try_into().unwrap()))
}

fn pair(config: PipeConfig) -> (Net, Host, Host, Link) {
    let net = Net::virtual_time(1);
    let [a, b] = ["a", "b"].map(|name| net.host(name).build().unwrap());
    let link = net
        .link(&a, &b)
        .a(ip("10.0.0.1"), 24)
        .b(ip("10.0.0.2"), 24)
        .config(config)
        .build()
        .unwrap();
    net.know_neighbours();
    (net, a, b, link)
}

const LEN: usize = 4_000_000;
/// How many segments that is.
const SEGMENTS: u64 = (LEN as u64).div_ceil(1448);

#[test]
fn they_are_counted_as_on_linux() {
    let (_, a, b, link) = pair(PipeConfig::default());
    let [client, server] = transfer(&a, &b, "10.0.0.2:80", LEN);
    // By pieces of the writer: a little more than there would be at least.
    let [out, _, _, data_out, _] = segments(&client);
    let [_, input, data_in, _, rcv_mss] = segments(&server);
    assert!(
        (SEGMENTS..SEGMENTS * 11 / 10).contains(&data_out.into()),
        "{data_out}"
    );
    assert_eq!((data_in, rcv_mss), (data_out, 1448));
    assert_eq!(input, out);
    // MIB TCP: out they are segments, in they are packets.
    assert_eq!(snmp(&a, "Tcp:", "OutSegs"), out.into());
    let packets = snmp(&b, "Tcp:", "InSegs");
    assert!(packets < SEGMENTS / 10, "{packets}");
    assert_eq!(snmp(&a, "Ip:", "OutRequests"), packets);
    assert_eq!(snmp(&b, "Ip:", "InReceives"), packets);
    // Interfaces count what they carry, with one header for each.
    let [sent, received] = [dev(&a, "eth0"), dev(&b, "eth0")];
    assert_eq!(sent[2..], received[..2]);
    assert_eq!(sent[2], packets);
    let headers = (sent[3] - LEN as u64) / packets;
    assert!((66..=67).contains(&headers), "{headers}");
    // The link counts what a wire would have carried.
    let wire = link.counters_from(End::A);
    assert_eq!((wire.sent, wire.delivered), (out.into(), out.into()));
    assert_eq!(wire.dropped(), 0);
}

#[test]
fn captures_have_what_a_wire_would_carry() {
    let (_, a, b, link) = pair(PipeConfig::default());
    let files = [File::default(), File::default()];
    link.end(End::A).capture(files[0].clone()).unwrap();
    link.end(End::B).capture(files[1].clone()).unwrap();
    let [client, _] = transfer(&a, &b, "10.0.0.2:80", LEN);
    let carried = frames(&files[0]);
    assert_eq!(carried, frames(&files[1]));
    assert_eq!(carried.iter().max(), Some(&1514));
    let data = carried.iter().filter(|len| **len > 66).count();
    // The SYNs are longer, too.
    assert_eq!(data as u32, segments(&client)[3] + 2);
}

#[test]
fn on_a_link_that_loses_each_fares_alone() {
    let slow = PipeConfig {
        delay: Delay::fixed(Duration::from_millis(5)),
        ..PipeConfig::default()
    };
    let (_, a, b, link) = pair(slow);
    link.change_from(End::A, |pipe| pipe.loss = Loss::percent(2.0));
    let [client, server] = transfer(&a, &b, "10.0.0.2:80", LEN);
    let [out, ..] = segments(&client);
    let [_, input, ..] = segments(&server);
    let wire = link.counters_from(End::A);
    assert_eq!(wire.sent, u64::from(out));
    assert_eq!(wire.delivered, u64::from(input));
    assert!(
        (SEGMENTS / 100..SEGMENTS / 25).contains(&wire.lost),
        "{wire:?}"
    );
    // One acknowledgment for two at most.
    assert!(snmp(&b, "Tcp:", "OutSegs") > SEGMENTS / 3);
}

#[test]
fn behind_a_router_they_are_what_the_next_link_carries() {
    for (rate, mtu) in [
        (None, 1500),
        (None, 1300),
        (Some(Rate::bits(100_000_000)), 1500),
    ] {
        let net = Net::virtual_time(1);
        let [a, r, b] = ["a", "r", "b"].map(|name| net.host(name).build().unwrap());
        let near = net
            .link(&a, &r)
            .a(ip("10.0.0.1"), 24)
            .b(ip("10.0.0.254"), 24);
        let near = near.build().unwrap();
        let far = net
            .link(&r, &b)
            .a(ip("10.0.1.254"), 24)
            .b(ip("10.0.1.1"), 24);
        let config = PipeConfig {
            rate,
            mtu,
            ..PipeConfig::default()
        };
        let far = far.config(config).build().unwrap();
        a.default_route(ip("10.0.0.254")).unwrap();
        b.default_route(ip("10.0.1.254")).unwrap();
        // It takes more than it is sent: the router is who says what fits.
        far.end(End::B).set_mtu(1500);
        r.set_sysctl("net.ipv4.ip_forward", "1").unwrap();
        let file = File::default();
        far.end(End::B).capture(file.clone()).unwrap();
        let [_, server] = transfer(&a, &b, "10.0.1.1:80", LEN);
        let frames = frames(&file);
        assert_eq!(frames.iter().max(), Some(&(mtu as usize + 14)));
        let came = snmp(&b, "Tcp:", "InSegs");
        let [_, input, ..] = segments(&server);
        if rate.is_some() {
            // A transmitter takes them one by one.
            assert_eq!(came, input.into());
        } else {
            assert!(came < SEGMENTS / 10, "{came}");
        }
        // What did not fit came back.
        let lost = near.counters_from(End::A).sent - far.counters_from(End::A).sent;
        assert_eq!(lost > 2, mtu < 1500, "{lost}");
        assert_eq!(far.counters_from(End::A).dropped(), 0);
    }
}

#[test]
fn over_a_switch_each_cable_decides() {
    let net = Net::virtual_time(1);
    let lan = net.segment(SegmentConfig::default());
    let [a, b] = ["a", "b"].map(|name| net.host(name).build().unwrap());
    let _up = lan.join(&a, &[(ip("10.0.0.1"), 24)]).unwrap();
    let down = lan.join(&b, &[(ip("10.0.0.2"), 24)]).unwrap();
    let [_, server] = transfer(&a, &b, "10.0.0.2:80", LEN);
    let packets = snmp(&b, "Tcp:", "InSegs");
    assert!(packets < SEGMENTS / 10, "{packets}");
    let before = segments(&server)[1];
    assert!(u64::from(before) >= SEGMENTS);
    down.change(Cable::Down, |pipe| {
        pipe.rate = Some(Rate::bits(1_000_000_000))
    });
    let [_, server] = transfer(&a, &b, "10.0.0.2:81", LEN);
    let more = snmp(&b, "Tcp:", "InSegs") - packets;
    assert_eq!(more, segments(&server)[1].into());
}
