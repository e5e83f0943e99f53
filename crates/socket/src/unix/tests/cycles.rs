//! Sockets that only messages in flight refer to.

use super::*;

impl World {
    fn collect(&mut self, held: &[SocketId]) -> usize {
        self.with(|h, cx| h.collect_cycles(cx, &mut |id| held.contains(&id)))
    }
}

#[test]
fn a_socket_sent_to_its_own_peer() {
    for ty in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let mut w = World::new();
        let (a, b) = w.pair(ty);
        assert!(!w.host.has_rights_in_flight());
        w.sendmsg(a, b"x", &socket_file(1, b)).unwrap();
        assert!(w.host.has_rights_in_flight());
        // A descriptor refers to b: it can be received.
        assert_eq!(w.collect(&[a, b]), 0);
        // b's last descriptor goes; the message in b keeps b.
        assert_eq!(w.collect(&[a]), 1);
        assert_eq!(w.released(), [1]);
        assert!(!w.host.has_rights_in_flight());
        if ty == SOCK_STREAM {
            // The collector empties the queue first: an end and no reset.
            assert_eq!(w.poll(a), IN | OUT | HUP | RDHUP);
        }
        assert_eq!(w.host.socket_count(), 1);
    }
}

#[test]
fn two_sockets_that_carry_each_other() {
    let mut w = World::new();
    let (a, b) = w.pair(SOCK_STREAM);
    let (c, d) = w.pair(SOCK_STREAM);
    w.sendmsg(a, b"x", &socket_file(1, d)).unwrap();
    w.sendmsg(c, b"x", &socket_file(2, b)).unwrap();
    // A third, in flight to nobody, and an ordinary file.
    w.sendmsg(a, b"x", &files(&[3])).unwrap();
    assert_eq!(w.collect(&[a, b, c]), 0);
    w.close(a);
    w.close(c);
    assert_eq!(w.collect(&[b]), 0);
    assert_eq!(w.collect(&[]), 2);
    assert_eq!(w.released(), [1, 2, 3]);
    assert_eq!(w.host.socket_count(), 0);
}

#[test]
fn a_socket_in_a_living_queue_is_alive_with_all_it_carries() {
    let mut w = World::new();
    let (a, b) = w.pair(SOCK_DGRAM);
    let (c, d) = w.pair(SOCK_DGRAM);
    w.sendmsg(a, b"x", &socket_file(1, d)).unwrap();
    w.sendmsg(c, b"y", &socket_file(2, d)).unwrap();
    w.close(a);
    w.close(c);
    assert_eq!(w.collect(&[b]), 0);
    assert_eq!(w.recv(b, 9).unwrap().control.len(), 1);
    // Now d has a descriptor again, and its own message waits in it.
    assert_eq!(w.collect(&[b, d]), 0);
    assert_eq!(w.recv(d, 9).unwrap().data, b"y");
    assert!(!w.host.has_rights_in_flight());
}

#[test]
fn connections_that_were_never_accepted() {
    let mut w = World::new();
    let listener = w.listener(SOCK_STREAM, b"\0x", 5);
    let client = w.client(SOCK_STREAM, b"\0x").unwrap();
    // The listener waits in its own queue.
    w.sendmsg(client, b"x", &socket_file(1, listener)).unwrap();
    assert_eq!(w.collect(&[listener, client]), 0);
    w.close(client);
    assert_eq!(w.collect(&[listener]), 0);
    assert_eq!(w.collect(&[]), 1);
    assert_eq!(w.released(), [1]);
    assert_eq!(w.host.socket_count(), 0);
}

#[test]
fn a_socket_that_no_message_carries_is_not_touched() {
    let mut w = World::new();
    let (a, b) = w.pair(SOCK_STREAM);
    let (c, d) = w.pair(SOCK_STREAM);
    w.sendmsg(a, b"x", &socket_file(1, d)).unwrap();
    // Nobody says that b is held, but it is in no message either: it has just been made, say.
    assert_eq!(w.collect(&[]), 0);
    assert_eq!(w.send(c, b"x"), Ok(1));
    assert_eq!(w.recv(b, 9).unwrap().control.len(), 1);
    assert_eq!(w.recv(d, 9), Ok(bytes(b"x")));
}
