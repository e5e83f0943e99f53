//! Random bytes into an interface, with Ethernet and without: nothing panics, and what the host remembers is bounded.
#![allow(missing_docs)]

use std::net::IpAddr;
use switchboard_engine::{Config, IfIndex, Instant, InterfaceConfig, Stack};
use switchboard_wire::{Frame, Mac, checksum, parse};

/// Fewer than the million of `cargo bench -p switchboard --bench world`: the tests shall end.
const COUNT: u64 = 60_000;

/// xorshift64*
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> usize {
        (self.next() >> 11) as usize % n as usize
    }
}

fn host(ethernet: bool) -> (Stack, IfIndex) {
    let mut stack = Stack::new(Config::default());
    let name = "eth0".to_owned();
    let config = InterfaceConfig { name, mtu: 1500 };
    let index = if ethernet {
        stack.add_ethernet(config, Mac([2, 0, 0, 0, 0, 1]))
    } else {
        stack.add_interface(config)
    };
    stack.add_address(index, IpAddr::from([10, 0, 0, 1]), 8);
    stack.add_address(index, "fd00::1".parse().unwrap(), 64);
    (stack, index)
}

/// Most garbage ends at the first header, so this leads further: an IPv4 header that is right, or a fixed IPv6 one.
fn aim(random: &mut Random, packet: &mut [u8]) {
    let len = packet.len();
    let protocols = [1, 2, 6, 17, 44, 58, 0, 136, 255];
    let protocol = protocols[random.below(9)];
    if random.below(2) == 0 && len >= 40 {
        packet[0] = 0x60;
        packet[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
        packet[6] = protocol;
        packet[7] = if random.below(2) == 0 { 255 } else { 64 };
        packet[8..10].copy_from_slice(&[0xfd, 0]);
        packet[10..23].fill(0);
        packet[24..26].copy_from_slice(&[0xfd, 0]);
        packet[26..40].fill(0);
        packet[39] = 1;
    } else if len >= 20 {
        packet[0] = 0x45;
        packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        packet[9] = protocol;
        packet[10..12].fill(0);
        packet[12] = 10;
        packet[16..20].copy_from_slice(&[10, 0, 0, 1]);
        let sum = checksum(None, &packet[..20]);
        packet[10..12].copy_from_slice(&sum);
    }
}

fn feed(ethernet: bool) {
    let (mut stack, index) = host(ethernet);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut bytes = [0; 300];
    let mut sent = 0;
    for n in 0..COUNT {
        let len = 20 + random.below(280);
        bytes[..len].fill_with(|| random.next() as u8);
        let link = if ethernet { 14 } else { 0 };
        if n % 4 != 0 {
            if ethernet {
                let to: [u8; 6] = if n % 8 == 1 {
                    [0xff; 6]
                } else {
                    [2, 0, 0, 0, 0, 1]
                };
                bytes[..6].copy_from_slice(&to);
                bytes[6] &= 0xfe;
            }
            aim(&mut random, &mut bytes[link..len]);
        }
        if ethernet && n % 4 != 0 {
            let version = bytes[14] >> 4;
            let kind = if version == 6 { [0x86, 0xdd] } else { [8, 0] };
            bytes[12..14].copy_from_slice(&kind);
            if n % 16 == 3 && len >= 42 {
                // ARP that asks for this host: each time somebody else.
                bytes[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 1 + (n % 2) as u8]);
                bytes[28] = 10;
                bytes[38..42].copy_from_slice(&[10, 0, 0, 1]);
            }
        }
        let now = Instant::from_micros(n * 100);
        if ethernet {
            if let Some(frame) = Frame::parse(&bytes[..len]) {
                stack.deliver_frame(now, index, frame);
            }
        } else if let Ok(packet) = parse(&bytes[..len]) {
            stack.deliver(now, index, packet);
        }
        if stack.poll_timeout().is_some_and(|at| at <= now) {
            stack.handle_timeout(now);
        }
        while stack.poll_frame(now).is_some() {
            sent += 1;
        }
        while stack.poll_event().is_some() {}
        while stack.poll_neighbour_change().is_some() {}
        while stack.poll_report().is_some() {}
    }
    assert!(sent > 100, "answers went out: {sent}");
    assert!(stack.counters().ip_in_receives > COUNT / 2);
    // gc_thresh3 for each version, and ipfrag_high_thresh.
    assert!(stack.neighbours().len() <= 2 * 1024);
    for v6 in [false, true] {
        let limit = if v6 {
            stack.sysctl().ip6frag_high_thresh
        } else {
            stack.sysctl().ipfrag_high_thresh
        };
        // The one that reaches the limit is let in whole.
        assert!(stack.fragments_held(v6).1 <= limit as usize + (1 << 17));
    }
    // Left alone, it comes to rest: nothing is asked for and nothing is held for ever.
    let mut steps = 0;
    while let Some(at) = stack.poll_timeout() {
        stack.handle_timeout(at);
        while stack.poll_frame(at).is_some() {}
        steps += 1;
        assert!(steps < 100_000, "it never rests");
    }
    assert_eq!(
        stack.fragments_held(false).0 + stack.fragments_held(true).0,
        0
    );
}

#[test]
fn garbage_in_frames() {
    feed(true);
}

#[test]
fn garbage_in_packets() {
    feed(false);
}
