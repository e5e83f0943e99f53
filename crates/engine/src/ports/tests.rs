//! Expectations are what Linux 6.18 answered to the same bind and listen calls.

use alloc::string::String;
use alloc::vec::Vec;

use super::*;

const RANGE: (u16, u16) = (32_768, 60_999);

fn table(transport: Transport) -> (BindTable, Random) {
    let mut random = Random::new([3; 32]);
    let hash = random.hash_state();
    (BindTable::new(transport, hash, &mut random), random)
}

fn request(addr: &str, port: u16) -> BindRequest {
    let addr: IpAddr = addr.parse().unwrap();
    BindRequest {
        addr,
        port,
        family: if addr.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        },
        v6only: false,
        device: None,
        reuse_addr: false,
        reuse_port: false,
        uid: 0,
    }
}

/// Family, address, IPV6_V6ONLY: rows bind first, columns second; X is EADDRINUSE. TCP and UDP agree.
#[test]
fn address_overlap_is_linuxs() {
    let sockets = [
        (4, "0.0.0.0", false, "XXXXX...XX"),
        (4, "127.0.0.1", false, "XX..X...XX"),
        (4, "127.0.0.2", false, "X.X.X....X"),
        (4, "127.0.0.6", false, "X..XX....X"),
        (6, "::", false, "XXXXXXXXXX"),
        (6, "::", true, "....XXXX.."),
        (6, "::1", false, "....XXXX.."),
        (6, "::1", true, "....XXXX.."),
        (6, "::ffff:127.0.0.1", false, "XX..X...XX"),
        (6, "::ffff:0.0.0.0", false, "XXXXX...XX"),
    ];
    let make = |(_, addr, v6only, _)| BindRequest {
        // __inet6_bind() sets it.
        v6only: v6only || addr == "::1",
        ..request(addr, 80)
    };
    for transport in [Transport::Tcp, Transport::Udp] {
        for first in sockets {
            let found: String = sockets
                .iter()
                .map(|&second| {
                    let (mut table, mut random) = table(transport);
                    table.bind(&make(first), RANGE, &mut random).unwrap();
                    match table.bind(&make(second), RANGE, &mut random) {
                        Ok(_) => '.',
                        Err(_) => 'X',
                    }
                })
                .collect();
            assert_eq!(found, first.3, "{transport:?} {first:?}");
        }
    }
}

/// inet_rcv_saddr: an IPv6 address that connect(2) gave leaves the socket one of IPv4, too.
#[test]
fn an_ipv6_address_stands_for_one_of_ipv4_unless_bind_gave_it() {
    for (transport, addr, meets) in [
        (Transport::Tcp, "0.0.0.0", true),
        (Transport::Udp, "0.0.0.0", true),
        (Transport::Tcp, "127.0.0.6", false),
        (Transport::Udp, "127.0.0.6", true),
        (Transport::Tcp, "127.0.0.1", false),
        (Transport::Udp, "127.0.0.1", false),
    ] {
        for v6only in [false, true] {
            let (mut table, mut random) = table(transport);
            let connected = BindRequest {
                v6only,
                ..request("::1", 80)
            };
            table.insert(BindKey::new(&connected, 80));
            let bound = table.bind(&request(addr, 80), RANGE, &mut random);
            assert_eq!(
                bound.is_err(),
                meets && !v6only,
                "{transport:?} {addr} {v6only}"
            );
        }
    }
}

/// Bit 0: first has SO_REUSEADDR, 1: first has SO_REUSEPORT, 2: first listens, 3 to 5: the same of the second.
#[test]
fn tcp_reuse_options_are_linuxs() {
    let linux = "XXXXXXXX\
                 X.X.XXXX\
                 XX..XX..\
                 X...XX..";
    let found: String = (0..64u32)
        .filter(|bits| bits & 1 << 5 == 0)
        .map(|bits| {
            let bit = |n: u32| bits & 1 << n != 0;
            let (mut table, mut random) = table(Transport::Tcp);
            let first = BindRequest {
                reuse_addr: bit(0),
                reuse_port: bit(1),
                ..request("0.0.0.0", 80)
            };
            let mut key = table.bind(&first, RANGE, &mut random).unwrap();
            if bit(2) {
                table.listen(&mut key, false).unwrap();
            }
            let second = BindRequest {
                reuse_addr: bit(3),
                reuse_port: bit(4),
                ..request("127.0.0.1", 80)
            };
            match table.bind(&second, RANGE, &mut random) {
                // Linux lets all that could bind listen, too.
                Ok(mut key) => table.listen(&mut key, false).map_or('L', |()| '.'),
                Err(_) => 'X',
            }
        })
        .collect();
    assert_eq!(found, linux);
}

#[test]
fn udp_reuse_options_are_linuxs() {
    let linux = "XXXXX.X.XX..X...";
    let found: String = (0..16u32)
        .map(|bits| {
            let bit = |n: u32| bits & 1 << n != 0;
            let (mut table, mut random) = table(Transport::Udp);
            let bind = |addr, reuse_addr, reuse_port| BindRequest {
                reuse_addr,
                reuse_port,
                ..request(addr, 80)
            };
            table
                .bind(&bind("0.0.0.0", bit(0), bit(1)), RANGE, &mut random)
                .unwrap();
            match table.bind(&bind("127.0.0.1", bit(2), bit(3)), RANGE, &mut random) {
                Ok(_) => '.',
                Err(_) => 'X',
            }
        })
        .collect();
    assert_eq!(found, linux);
}

#[test]
fn two_reusing_sockets_bind_but_only_one_listens() {
    let (mut table, mut random) = table(Transport::Tcp);
    let reuse = BindRequest {
        reuse_addr: true,
        ..request("0.0.0.0", 80)
    };
    let mut first = table.bind(&reuse, RANGE, &mut random).unwrap();
    let mut second = table.bind(&reuse, RANGE, &mut random).unwrap();
    assert_eq!(table.listen(&mut first, false), Ok(()));
    assert_eq!(table.listen(&mut second, false), Err(BindError::InUse));
    table.remove(&first);
    assert_eq!(table.listen(&mut second, false), Ok(()));
    table.remove(&second);
    assert!(table.buckets.is_empty());
}

#[test]
fn reuse_port_is_for_one_user_and_time_wait_does_not_count() {
    let (mut table, mut random) = table(Transport::Tcp);
    let mine = BindRequest {
        reuse_port: true,
        uid: 1,
        ..request("0.0.0.0", 80)
    };
    let theirs = BindRequest { uid: 2, ..mine };
    let key = table.bind(&mine, RANGE, &mut random).unwrap();
    assert_eq!(
        table.bind(&theirs, RANGE, &mut random),
        Err(BindError::InUse)
    );
    table.replace(
        &key,
        BindKey {
            state: BindState::TimeWait,
            ..key
        },
    );
    assert!(table.bind(&theirs, RANGE, &mut random).is_ok());
}

#[test]
fn devices_keep_sockets_apart() {
    let (mut table, mut random) = table(Transport::Udp);
    let on = |n| BindRequest {
        device: IfIndex::new(n),
        ..request("0.0.0.0", 80)
    };
    table.bind(&on(1), RANGE, &mut random).unwrap();
    assert!(table.bind(&on(2), RANGE, &mut random).is_ok());
    assert_eq!(
        table.bind(&on(2), RANGE, &mut random),
        Err(BindError::InUse)
    );
    assert_eq!(
        table.bind(&on(0), RANGE, &mut random),
        Err(BindError::InUse)
    );
}

#[test]
fn a_million_children_are_one_entry() {
    let (mut table, mut random) = table(Transport::Tcp);
    let mut key = table
        .bind(&request("0.0.0.0", 80), RANGE, &mut random)
        .unwrap();
    table.listen(&mut key, false).unwrap();
    let child = BindKey {
        addr: "127.0.0.1".parse().unwrap(),
        state: BindState::Bound,
        ..key
    };
    for _ in 0..1000 {
        table.insert(child);
    }
    assert_eq!(table.buckets[&80].owners.len(), 2);
    for _ in 0..1000 {
        table.remove(&child);
    }
    assert_eq!(table.buckets[&80].owners.len(), 1);
}

#[test]
fn ephemeral_tcp_ports_are_odd_first_and_all_get_used() {
    let (mut table, mut random) = table(Transport::Tcp);
    let range = (1000, 1009);
    let any = request("127.0.0.1", 0);
    let ports: Vec<u16> = (0..10)
        .map(|_| table.bind(&any, range, &mut random).unwrap().port)
        .collect();
    assert!(ports[..5].iter().all(|port| port % 2 == 1), "{ports:?}");
    let mut sorted = ports.clone();
    sorted.sort_unstable();
    assert!(sorted.into_iter().eq(1000..=1009));
    assert_eq!(
        table.bind(&any, range, &mut random),
        Err(BindError::PortsExhausted)
    );
    // Another address has the ports to itself.
    assert!(
        table
            .bind(&request("127.0.0.2", 0), range, &mut random)
            .is_ok()
    );
}

#[test]
fn an_ephemeral_tcp_port_is_not_shared_though_options_would_allow_it() {
    let (mut table, mut random) = table(Transport::Tcp);
    let any = BindRequest {
        reuse_addr: true,
        reuse_port: true,
        ..request("127.0.0.1", 0)
    };
    for _ in 0..4 {
        table.bind(&any, (1000, 1003), &mut random).unwrap();
    }
    assert_eq!(
        table.bind(&any, (1000, 1003), &mut random),
        Err(BindError::PortsExhausted)
    );
}

#[test]
fn reserved_ports_are_for_who_names_them() {
    let reserved = [(1000, 1003), (1005, 1005), (1008, 2000)];
    let range = Choice::new(1000, 1009, &reserved);
    for transport in [Transport::Tcp, Transport::Udp] {
        let mut random = Random::new([7; 32]);
        let hash = random.hash_state();
        let mut table = BindTable::new(transport, hash, &mut random);
        let any = request("127.0.0.1", 0);
        let mut ports: Vec<u16> = (0..3)
            .map(|_| table.bind(&any, range, &mut random).unwrap().port)
            .collect();
        ports.sort_unstable();
        assert_eq!(ports, [1004, 1006, 1007]);
        let full = table.bind(&any, range, &mut random);
        assert_eq!(full, Err(BindError::PortsExhausted));
        let named = request("127.0.0.1", 1005);
        assert!(table.bind(&named, range, &mut random).is_ok());
    }
}

#[test]
fn ephemeral_udp_ports_all_get_used() {
    let (mut table, mut random) = table(Transport::Udp);
    let any = request("0.0.0.0", 0);
    let mut ports: Vec<u16> = (0..10)
        .map(|_| table.bind(&any, (1000, 1009), &mut random).unwrap().port)
        .collect();
    ports.sort_unstable();
    assert!(ports.into_iter().eq(1000..=1009));
    assert_eq!(
        table.bind(&any, (1000, 1009), &mut random),
        Err(BindError::PortsExhausted)
    );
}

#[test]
fn degenerate_ranges() {
    let any = request("0.0.0.0", 0);
    for transport in [Transport::Tcp, Transport::Udp] {
        let (mut table, mut random) = table(transport);
        assert_eq!(
            table
                .bind(&any, (65_535, 65_535), &mut random)
                .map(|k| k.port),
            Ok(65_535)
        );
        let full = table.bind(&any, (65_535, 65_535), &mut random);
        assert_eq!(full, Err(BindError::PortsExhausted));
        let empty = table.bind(&any, (10, 9), &mut random);
        assert_eq!(empty, Err(BindError::PortsExhausted));
    }
}

#[test]
fn connect_prefers_even_ports_and_shares_only_with_connect() {
    let (mut table, mut random) = table(Transport::Tcp);
    let key = table
        .bind(&request("127.0.0.1", 1000), RANGE, &mut random)
        .unwrap();
    let template = BindKey { port: 0, ..key };
    let mut ports: Vec<u16> = (0..5)
        .map(|_| {
            table
                .connect_port(template, (1000, 1005), 77, |_| false)
                .unwrap()
                .port
        })
        .collect();
    assert!(ports[..2].iter().all(|port| port % 2 == 0), "{ports:?}");
    ports.sort_unstable();
    assert_eq!(ports, [1001, 1002, 1003, 1004, 1005]);
    // All are taken: by connect(2), so a free four-tuple will do; 1000 belongs to bind(2).
    assert_eq!(
        table.connect_port(template, (1000, 1005), 77, |_| false),
        None
    );
    let again = table.connect_port(template, (1000, 1005), 77, |port| port == 1004);
    assert_eq!(again.map(|key| key.port), Some(1004));
    assert_eq!(
        table.connect_port(template, (1000, 1000), 77, |_| true),
        None
    );
}

#[test]
fn the_same_seed_gives_the_same_ports() {
    let ports = || {
        let (mut table, mut random) = table(Transport::Tcp);
        let any = request("127.0.0.1", 0);
        (0..20)
            .map(|_| table.bind(&any, RANGE, &mut random).unwrap().port)
            .collect::<Vec<_>>()
    };
    assert_eq!(ports(), ports());
}
