use super::*;

const fn udp(index: u32, generation: u32) -> SocketHandle {
    SocketHandle::Udp(UdpId { index, generation })
}

#[test]
fn events_of_one_socket_merge_in_first_come_order() {
    let mut queue = EventQueue::default();
    queue.push(udp(3, 1), EventKind::READABLE);
    queue.push(udp(0, 1), EventKind::WRITABLE);
    queue.push(udp(3, 1), EventKind::ERROR);
    let both = EventKind::READABLE | EventKind::ERROR;
    assert_eq!(
        queue.pop(),
        Some(Event {
            socket: udp(3, 1),
            kind: both
        })
    );
    assert_eq!(
        queue.pop(),
        Some(Event {
            socket: udp(0, 1),
            kind: EventKind::WRITABLE
        })
    );
    assert_eq!(queue.pop(), None);
}

#[test]
fn tcp_and_udp_slots_are_apart() {
    let mut queue = EventQueue::default();
    let tcp = SocketHandle::Tcp(TcpId {
        index: 0,
        generation: 0,
    });
    queue.push(tcp, EventKind::READABLE);
    queue.push(udp(0, 0), EventKind::READABLE);
    assert_eq!(queue.pop().map(|e| e.socket), Some(tcp));
    assert_eq!(queue.pop().map(|e| e.socket), Some(udp(0, 0)));
}

#[test]
fn a_reused_slot_drops_its_first_owners_events() {
    let mut queue = EventQueue::default();
    queue.push(udp(0, 1), EventKind::READABLE);
    queue.push(udp(0, 2), EventKind::ERROR);
    assert_eq!(
        queue.pop(),
        Some(Event {
            socket: udp(0, 2),
            kind: EventKind::ERROR
        })
    );
    assert_eq!(queue.pop(), None);
}
