use super::*;

const fn udp(index: u32, generation: u32) -> UdpId {
    UdpId { index, generation }
}

const TCP: TcpId = TcpId {
    index: 0,
    generation: 0,
};

/// The next event, as the stack hands it out.
fn next(queue: &mut EventQueue) -> Option<(UdpId, EventKind)> {
    while let Some(Queued::Udp(id)) = queue.pop() {
        let kind = queue.take_udp(id);
        if !kind.is_empty() {
            return Some((id, kind));
        }
    }
    None
}

#[test]
fn events_of_one_socket_merge_in_first_come_order() {
    let mut queue = EventQueue::default();
    queue.push_udp(udp(3, 1), EventKind::READABLE);
    queue.push_udp(udp(0, 1), EventKind::WRITABLE);
    queue.push_udp(udp(3, 1), EventKind::ERROR);
    let both = EventKind::READABLE | EventKind::ERROR;
    assert_eq!(next(&mut queue), Some((udp(3, 1), both)));
    assert_eq!(next(&mut queue), Some((udp(0, 1), EventKind::WRITABLE)));
    assert_eq!(next(&mut queue), None);
}

#[test]
fn tcp_and_udp_sockets_share_one_order() {
    let mut queue = EventQueue::default();
    queue.push(Queued::Tcp(TCP));
    queue.push_udp(udp(0, 0), EventKind::READABLE);
    assert!(matches!(queue.pop(), Some(Queued::Tcp(TCP))));
    assert!(matches!(queue.pop(), Some(Queued::Udp(id)) if id == udp(0, 0)));
}

#[test]
fn a_reused_slot_drops_its_first_owners_events() {
    let mut queue = EventQueue::default();
    queue.push_udp(udp(0, 1), EventKind::READABLE);
    queue.push_udp(udp(0, 2), EventKind::ERROR);
    assert_eq!(next(&mut queue), Some((udp(0, 2), EventKind::ERROR)));
    assert_eq!(next(&mut queue), None);
}
