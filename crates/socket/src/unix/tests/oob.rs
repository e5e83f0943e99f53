//! Out-of-band bytes. Each trace was seen on Linux 6.18 first.

use super::*;

const PRI: u16 = 0x2;

impl World {
    fn urgent(&mut self, id: SocketId, data: &[u8]) -> Result<usize, Errno> {
        let control = SendControl::default();
        match self.try_send(id, data, None, &control, MSG_OOB, true) {
            Ok(sent) => Ok(sent.expect("a last attempt does not block")),
            Err(fail) => self.fail(id, fail),
        }
    }

    fn at_mark(&self, id: SocketId) -> i32 {
        self.host.ioctl(id, SIOCATMARK).expect("a stream")
    }
}

/// What recv(MSG_OOB) returns.
fn oob(data: &[u8]) -> Got {
    Got {
        flags: MSG_OOB,
        ..bytes(data)
    }
}

#[test]
fn reads_stop_at_the_mark() {
    let mut w = World::new();
    let (a, b) = w.pair(SOCK_STREAM);
    assert_eq!(w.recvmsg(b, 1, MSG_OOB), Err(Errno::EINVAL));
    assert_eq!(w.urgent(a, b""), Err(Errno::EOPNOTSUPP));
    assert_eq!(w.urgent(a, b"ab!"), Ok(3));
    assert_eq!(w.poll(b), IN | OUT | PRI);
    assert_eq!(w.send(a, b"cd"), Ok(2));
    assert_eq!((w.inq(b), w.at_mark(b)), (5, 0));
    assert_eq!(w.recv(b, 10), Ok(bytes(b"ab")));
    assert_eq!((w.inq(b), w.at_mark(b)), (3, 1));
    assert_eq!(w.recvmsg(b, 1, MSG_OOB | MSG_PEEK), Ok(oob(b"!")));
    assert_eq!(w.recvmsg(b, 1, MSG_OOB), Ok(oob(b"!")));
    assert_eq!(w.poll(b), IN | OUT);
    assert_eq!((w.inq(b), w.at_mark(b)), (2, 1));
    assert_eq!(w.recv(b, 10), Ok(bytes(b"cd")));
    assert_eq!((w.inq(b), w.at_mark(b), w.outq(a)), (0, 0, 0));
}

#[test]
fn an_ordinary_read_loses_the_byte() {
    let mut w = World::new();
    let (a, b) = w.pair(SOCK_STREAM);
    assert_eq!(w.urgent(a, b"!"), Ok(1));
    // What was not told has not happened.
    let mut progress = RecvProgress::default();
    let attempt = w.try_recv(b, 4, 0, Skip::default(), &mut progress, true);
    assert!(attempt.is_err());
    assert_eq!(w.poll(b), IN | OUT | PRI);
    assert_eq!(w.recv(b, 4), Err(Errno::EAGAIN));
    assert_eq!((w.poll(b), w.outq(a)), (OUT, 0));
    assert_eq!(w.recvmsg(b, 4, MSG_OOB), Err(Errno::EINVAL));
    // The cached count of SIOCINQ is not told of it.
    assert_eq!(w.inq(b), 1);
}

#[test]
fn a_newer_byte_makes_the_older_ordinary() {
    let mut w = World::new();
    let (a, b) = w.pair(SOCK_STREAM);
    w.urgent(a, b"x1").unwrap();
    w.urgent(a, b"y2").unwrap();
    assert_eq!(w.recv(b, 10), Ok(bytes(b"x1y")));
    assert_eq!(w.recvmsg(b, 10, MSG_OOB), Ok(oob(b"2")));
    assert_eq!(w.at_mark(b), 1);
    assert_eq!(w.recv(b, 10), Err(Errno::EAGAIN));
}

#[test]
fn rights_that_ride_on_a_lost_byte_are_released() {
    let mut w = World::new();
    let (a, b) = w.pair(SOCK_STREAM);
    let control = files(&[5]);
    assert!(matches!(
        w.try_send(a, b"!", None, &control, MSG_OOB, true),
        Ok(Some(1))
    ));
    assert_eq!(w.recv(b, 4), Err(Errno::EAGAIN));
    assert_eq!(w.released(), [5]);
}
