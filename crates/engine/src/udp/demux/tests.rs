use core::net::Ipv4Addr;

use super::*;
use crate::hash::Random;

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn socket(index: u32, local: &str) -> Registration {
    let local = addr(local);
    let family = if local.is_ipv4() {
        Family::V4
    } else {
        Family::V6
    };
    let id = UdpId {
        index,
        generation: 0,
    };
    let candidate = Candidate {
        only: None,
        id,
        family,
        device: None,
        reuse_port: false,
        shares: true,
        selects: false,
        prefers: false,
        uid: 0,
    };
    Registration {
        local,
        remote: None,
        v6only: false,
        candidate,
    }
}

fn demux(registrations: &[Registration]) -> Demux {
    let mut demux = Demux::new(Random::new([5; 32]).hash_state());
    registrations.iter().for_each(|r| demux.insert(r));
    demux
}

fn find(demux: &Demux, from: &str, to: &str) -> Option<u32> {
    demux
        .lookup(IfIndex::LO, addr(from), addr(to), None)
        .map(|id| id.index)
}

#[test]
fn connected_beats_bound_beats_wildcard() {
    let connected = Registration {
        remote: Some(addr("127.0.0.1:9")),
        ..socket(1, "127.0.0.1:53")
    };
    let demux = demux(&[
        connected,
        socket(2, "127.0.0.1:53"),
        socket(3, "0.0.0.0:53"),
    ]);
    assert_eq!(find(&demux, "127.0.0.1:9", "127.0.0.1:53"), Some(1));
    assert_eq!(find(&demux, "127.0.0.1:8", "127.0.0.1:53"), Some(2));
    assert_eq!(find(&demux, "127.0.0.1:9", "127.0.0.2:53"), Some(3));
    assert_eq!(find(&demux, "127.0.0.1:9", "127.0.0.1:54"), None);
}

#[test]
fn among_equals_the_newest_wins() {
    let mut demux = demux(&[socket(1, "127.0.0.1:53"), socket(2, "127.0.0.1:53")]);
    assert_eq!(find(&demux, "127.0.0.1:9", "127.0.0.1:53"), Some(2));
    demux.remove(&socket(2, "127.0.0.1:53"));
    assert_eq!(find(&demux, "127.0.0.1:9", "127.0.0.1:53"), Some(1));
}

#[test]
fn a_dual_stack_wildcard_takes_ipv4_but_an_ipv4_socket_is_preferred() {
    let only = Registration {
        v6only: true,
        ..socket(3, "[::]:54")
    };
    let both = demux(&[socket(1, "0.0.0.0:53"), socket(2, "[::]:53"), only]);
    assert_eq!(find(&both, "127.0.0.1:9", "127.0.0.1:53"), Some(1));
    assert_eq!(find(&both, "[::1]:9", "[::1]:53"), Some(2));
    assert_eq!(find(&both, "127.0.0.1:9", "127.0.0.1:54"), None);
    assert_eq!(find(&both, "[::1]:9", "[::1]:54"), Some(3));
    let six = demux(&[socket(2, "[::]:53")]);
    assert_eq!(find(&six, "127.0.0.1:9", "127.0.0.1:53"), Some(2));
}

#[test]
fn a_bound_device_wins_on_it_and_hears_nothing_else() {
    let eth0 = IfIndex::new(2).unwrap();
    let mut bound = socket(1, "0.0.0.0:53");
    bound.candidate.device = Some(eth0);
    let demux = demux(&[bound, socket(2, "0.0.0.0:53")]);
    let on = |interface| {
        let id = demux.lookup(interface, addr("10.0.0.2:9"), addr("10.0.0.1:53"), None);
        id.map(|id| id.index)
    };
    assert_eq!(on(eth0), Some(1));
    assert_eq!(on(IfIndex::LO), Some(2));
}

#[test]
fn a_reuse_port_group_shares_by_four_tuple() {
    let members: alloc::vec::Vec<_> = (0..4)
        .map(|index| {
            let mut member = socket(index, "127.0.0.1:53");
            member.candidate.reuse_port = true;
            member
        })
        .collect();
    let demux = demux(&members);
    let mut hits = [0; 4];
    for port in 1000..2000 {
        let from = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        let id = demux
            .lookup(IfIndex::LO, from, addr("127.0.0.1:53"), None)
            .unwrap();
        assert_eq!(
            demux.lookup(IfIndex::LO, from, addr("127.0.0.1:53"), None),
            Some(id)
        );
        hits[id.index as usize] += 1;
    }
    assert!(hits.iter().all(|&n| n > 150), "{hits:?}");
}

#[test]
fn a_broadcast_reaches_all_that_listen_to_it() {
    let connected = Registration {
        remote: Some(addr("127.0.0.1:9")),
        ..socket(5, "127.0.0.1:53")
    };
    let demux = demux(&[
        socket(1, "127.0.0.1:53"),
        socket(2, "0.0.0.0:53"),
        socket(3, "127.255.255.255:53"),
        socket(4, "[::]:53"),
        connected,
    ]);
    let mut found: alloc::vec::Vec<u32> = demux
        .lookup_all(IfIndex::LO, addr("127.0.0.1:9"), addr("127.255.255.255:53"))
        .iter()
        .map(|id| id.index)
        .collect();
    found.sort_unstable();
    assert_eq!(found, [2, 3, 4]);
}

#[test]
fn removing_all_leaves_nothing() {
    let all = [socket(1, "[::]:53"), socket(2, "127.0.0.1:53")];
    let mut demux = demux(&all);
    all.iter().for_each(|r| demux.remove(r));
    assert!(demux.bound.is_empty() && demux.connected.is_empty());
}
