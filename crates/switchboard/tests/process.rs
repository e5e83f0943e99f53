//! Processes: descriptors, system calls by number, poll and epoll.
#![allow(missing_docs)]

use std::sync::Arc;
use std::time::Duration;
use switchboard::epoll::{EDGE, ONESHOT};
use switchboard::{
    Arch, EpollEvent, EpollOp, Errno, FdFlags, GuestMemory, Host, Net, PollFd, PollMask, Process,
};

const BASE: u64 = 0x1_0000;
const SOCKET: u32 = 41;
const SOCKETPAIR: u32 = 53;
const READ: u32 = 0;
const WRITE: u32 = 1;
const SENDMSG: u32 = 46;
const RECVMSG: u32 = 47;
const IN: u16 = 1;
const OUT: u16 = 4;
const HUP: u16 = 0x10;
const NVAL: u16 = 0x20;

fn memory() -> GuestMemory {
    GuestMemory::new(BASE, 0x1000)
}

fn host() -> Host {
    Net::virtual_time(1).host("h").build().unwrap()
}

fn pair(p: &Process, ty: u64) -> (i32, i32) {
    let mut m = memory();
    assert_eq!(p.syscall(SOCKETPAIR, [1, ty, 0, BASE, 0, 0], &mut m), 0);
    let fd = |at| i32::from_ne_bytes(m.get(BASE + at, 4).unwrap().try_into().unwrap());
    (fd(0), fd(4))
}

fn write(p: &Process, fd: i32, data: &[u8]) -> i64 {
    let mut m = memory();
    m.get_mut(BASE, data.len()).unwrap().copy_from_slice(data);
    p.syscall(WRITE, [fd as u64, BASE, data.len() as u64, 0, 0, 0], &mut m)
}

fn read(p: &Process, fd: i32) -> Result<Vec<u8>, Errno> {
    let mut m = memory();
    match p.syscall(READ, [fd as u64, BASE, 0x1000, 0, 0, 0], &mut m) {
        n if n < 0 => Err(Errno(-n as u16)),
        n => Ok(m.get(BASE, n as usize).unwrap().to_vec()),
    }
}

#[test]
fn descriptors() {
    let host = host();
    let p = host.process();
    let (a, b) = pair(&p, 1);
    assert_eq!((a, b), (0, 1));
    assert_eq!(p.dup(a), Ok(2));
    assert_eq!(p.dup_from(a, 10, true), Ok(10));
    assert_eq!(p.fd_flags(10), Ok(FdFlags { cloexec: true }));
    assert_eq!(p.dup2(a, 5), Ok(5));
    assert_eq!(p.dup2(a, a), Ok(a));
    assert_eq!(p.dup2(99, 5), Err(Errno::EBADF));
    assert_eq!(p.dup2(a, 1024), Err(Errno::EBADF));
    assert_eq!(p.dup_from(a, 1024, false), Err(Errno::EINVAL));
    assert_eq!(p.descriptors(), [0, 1, 2, 5, 10]);
    // O_NONBLOCK is the open file's: every descriptor of it has it.
    p.set_status_flags(a, 0o4000).unwrap();
    assert_eq!(p.status_flags(2), Ok(0o4002));
    assert_eq!(p.status_flags(b), Ok(2));
    assert_eq!(read(&p, 5), Err(Errno::EAGAIN));
    // The peer sees the end when the last of them is closed.
    p.set_status_flags(b, 0o4000).unwrap();
    for fd in [a, 2, 5] {
        p.close(fd).unwrap();
        assert_eq!(p.close(fd), Err(Errno::EBADF));
        assert_eq!(read(&p, b), Err(Errno::EAGAIN));
    }
    p.exec();
    assert_eq!(p.descriptors(), [1]);
    assert_eq!(read(&p, b), Ok(vec![]));
    assert_eq!(host.socket_count(), 1);
    drop(p);
    assert_eq!(host.socket_count(), 0);
}

#[test]
fn fork_shares_open_files() {
    let host = host();
    let p = host.process();
    let (a, b) = pair(&p, 1);
    let child = p.fork();
    assert_ne!(child.pid(), p.pid());
    p.close(a).unwrap();
    child.close(b).unwrap();
    assert_eq!(write(&child, a, b"hello"), 5);
    assert_eq!(read(&p, b).unwrap(), b"hello");
    drop(child);
    assert_eq!(read(&p, b).unwrap(), b"");
    assert_eq!(write(&p, b, b"x"), Errno::EPIPE.to_ret());
    assert_eq!(p.take_signals(), 1 << 13);
    assert_eq!(p.take_signals(), 0);
}

#[test]
fn limits_and_unknown_calls() {
    let host = host();
    let p = host.process_builder().nofile(2).user(1000, 1000).build();
    let mut m = memory();
    let socket = |m: &mut GuestMemory| p.syscall(SOCKET, [1, 1, 0, 0, 0, 0], m);
    assert_eq!((socket(&mut m), socket(&mut m)), (0, 1));
    assert_eq!(socket(&mut m), Errno::EMFILE.to_ret());
    assert_eq!(p.dup(0), Err(Errno::EMFILE));
    assert_eq!(host.socket_count(), 2);
    assert_eq!(p.syscall(39, [0; 6], &mut m), Errno::ENOSYS.to_ret());
    // close(2) by number.
    assert_eq!(p.syscall(3, [0; 6], &mut m), 0);
    assert_eq!(p.syscall(3, [0; 6], &mut m), Errno::EBADF.to_ret());
    let p = host.process_builder().arch(Arch::I386).build();
    assert_eq!(p.socketcall(21, BASE, &mut m), Errno::EINVAL.to_ret());
    assert_eq!(p.socketcall(1, 8, &mut m), Errno::EFAULT.to_ret());
}

#[test]
fn poll_masks_and_timeouts() {
    let host = host();
    let p = host.process();
    let (a, b) = pair(&p, 1);
    let fd = |fd, events| PollFd {
        fd,
        events,
        revents: 0xffff,
    };
    let mut fds = [fd(a, IN | OUT), fd(b, IN), fd(-1, IN), fd(77, 0)];
    assert_eq!(p.poll(&mut fds, None), Ok(2));
    assert_eq!(fds.map(|fd| fd.revents), [OUT, 0, 0, NVAL]);
    let before = host.net().now();
    assert_eq!(
        p.poll(&mut [fd(b, IN)], Some(Duration::from_millis(20))),
        Ok(0)
    );
    assert_eq!(host.net().now() - before, Duration::from_millis(20));
    assert_eq!(p.poll(&mut [fd(b, IN)], None), Err(Errno::EDEADLK));
    p.close(a).unwrap();
    let mut fds = [fd(b, 0)];
    assert_eq!(p.poll(&mut fds, None), Ok(1));
    assert_eq!(fds[0].revents, HUP);
    assert!(
        p.readiness(b)
            .unwrap()
            .contains(PollMask::HUP | PollMask::RDHUP | PollMask::IN)
    );
}

#[test]
fn epoll_level_edge_and_oneshot() {
    let host = host();
    let p = host.process();
    let epoll = p.epoll_create(false).unwrap();
    let (level, x) = pair(&p, 1);
    let (edge, y) = pair(&p, 1);
    let (once, z) = pair(&p, 1);
    let event = |events, data| EpollEvent { events, data };
    let add = |fd, events| p.epoll_control(epoll, EpollOp::Add(event(events, fd as u64)), fd);
    add(level, IN.into()).unwrap();
    add(edge, u32::from(IN) | EDGE).unwrap();
    add(once, u32::from(IN) | ONESHOT).unwrap();
    assert_eq!(add(level, 0), Err(Errno::EEXIST));
    assert_eq!(
        p.epoll_control(epoll, EpollOp::Delete, x),
        Err(Errno::ENOENT)
    );
    assert_eq!(
        p.epoll_control(epoll, EpollOp::Delete, 99),
        Err(Errno::EBADF)
    );
    assert_eq!(
        p.epoll_control(epoll, EpollOp::Add(event(1, 0)), epoll),
        Err(Errno::EINVAL)
    );
    let wait = || {
        let mut out = [EpollEvent::default(); 8];
        let n = p.epoll_wait(epoll, &mut out, Some(Duration::ZERO)).unwrap();
        let mut got: Vec<(u64, u32)> = out[..n].iter().map(|e| (e.data, e.events)).collect();
        got.sort_unstable();
        got
    };
    assert_eq!(wait(), []);
    for fd in [x, y, z] {
        assert_eq!(write(&p, fd, b"1"), 1);
    }
    assert!(p.readiness(epoll).unwrap().contains(PollMask::IN));
    let (l, e, o) = (level as u64, edge as u64, once as u64);
    assert_eq!(wait(), [(l, 1), (e, 1), (o, 1)]);
    assert_eq!(wait(), [(l, 1)]);
    for fd in [x, y, z] {
        assert_eq!(write(&p, fd, b"2"), 1);
    }
    assert_eq!(wait(), [(l, 1), (e, 1)]);
    assert_eq!(read(&p, level).unwrap(), b"12");
    assert_eq!(wait(), []);
    // Arming it again finds what is there.
    let again = EpollOp::Modify(event(u32::from(IN) | ONESHOT, 7));
    p.epoll_control(epoll, again, once).unwrap();
    assert_eq!(wait(), [(7, 1)]);
    assert_eq!(wait(), []);
    // Closing takes it off the list.
    p.close(x).unwrap();
    assert_eq!(wait(), [(l, u32::from(IN | HUP))]);
    p.close(level).unwrap();
    assert_eq!(wait(), []);
    // A wait that times out in virtual time.
    let before = host.net().now();
    let mut out = [EpollEvent::default(); 1];
    assert_eq!(
        p.epoll_wait(epoll, &mut out, Some(Duration::from_secs(3))),
        Ok(0)
    );
    assert_eq!(host.net().now() - before, Duration::from_secs(3));
    assert_eq!(p.epoll_wait(epoll, &mut [], None), Err(Errno::EINVAL));
}

/// A `msghdr` of LP64 with one byte of data and a control buffer for `count` descriptors.
fn message(m: &mut GuestMemory, fds: &[i32]) {
    let control = 16 + 4 * fds.len();
    for (at, value) in [
        (16, BASE + 0x100),
        (24, 1),
        (32, BASE + 0x200),
        (40, (control as u64).next_multiple_of(8)),
        (0x100, BASE + 0x300),
        (0x108, 1),
        (0x200, control as u64),
        (0x208, 1 | 1 << 32),
    ] {
        m.get_mut(BASE + at, 8)
            .unwrap()
            .copy_from_slice(&value.to_ne_bytes());
    }
    for (i, fd) in fds.iter().enumerate() {
        m.get_mut(BASE + 0x210 + 4 * i as u64, 4)
            .unwrap()
            .copy_from_slice(&fd.to_ne_bytes());
    }
}

#[test]
fn open_files_pass_between_processes() {
    let host = host();
    let (p, q) = (host.process(), host.process());
    let (a, b) = pair(&p, 1);
    let q2 = p.fork();
    p.close(b).unwrap();
    q2.close(a).unwrap();
    let (x, y) = pair(&p, 1);
    let mut m = memory();
    message(&mut m, &[x]);
    assert_eq!(p.syscall(SENDMSG, [a as u64, BASE, 0, 0, 0, 0], &mut m), 1);
    p.close(x).unwrap();
    // It is in flight only, and open.
    assert_eq!(write(&p, y, b"ping"), 4);
    let mut m = memory();
    message(&mut m, &[-1]);
    assert_eq!(q2.syscall(RECVMSG, [b as u64, BASE, 0, 0, 0, 0], &mut m), 1);
    let fd = i32::from_ne_bytes(m.get(BASE + 0x210, 4).unwrap().try_into().unwrap());
    assert_eq!(read(&q2, fd).unwrap(), b"ping");
    q2.close(fd).unwrap();
    assert_eq!(read(&p, y).unwrap(), b"");
    drop(q);
}

#[test]
fn cycles_of_sockets_in_flight_are_collected() {
    let host = host();
    let p = host.process();
    for _ in 0..3 {
        let (a, b) = pair(&p, 1);
        for (to, passed) in [(a, a), (b, b), (a, b)] {
            let mut m = memory();
            message(&mut m, &[passed]);
            assert_eq!(p.syscall(SENDMSG, [to as u64, BASE, 0, 0, 0, 0], &mut m), 1);
        }
        p.close(a).unwrap();
        assert_eq!(host.socket_count(), 2);
        p.close(b).unwrap();
        assert_eq!(host.socket_count(), 0);
    }
    // One that can still be received stays.
    let (a, b) = pair(&p, 1);
    let (x, y) = pair(&p, 1);
    let mut m = memory();
    message(&mut m, &[x]);
    assert_eq!(p.syscall(SENDMSG, [a as u64, BASE, 0, 0, 0, 0], &mut m), 1);
    p.close(x).unwrap();
    p.close(y).unwrap();
    assert_eq!(host.socket_count(), 3);
    p.close(b).unwrap();
    assert_eq!(host.socket_count(), 1);
}

#[test]
fn threads_block_and_wake_in_real_time() {
    let net = Net::real_time().unwrap();
    let host = net.host("h").build().unwrap();
    let p = Arc::new(host.process());
    let (a, b) = pair(&p, 5);
    let epoll = p.epoll_create(true).unwrap();
    let event = EpollEvent {
        events: u32::from(IN),
        data: 1,
    };
    p.epoll_control(epoll, EpollOp::Add(event), b).unwrap();
    let waiting = {
        let p = p.clone();
        std::thread::spawn(move || {
            let mut out = [EpollEvent::default(); 4];
            assert_eq!(p.epoll_wait(epoll, &mut out, None), Ok(1));
            let mut fds = [PollFd {
                fd: b,
                events: IN,
                revents: 0,
            }];
            assert_eq!(p.poll(&mut fds, None), Ok(1));
            let first = read(&p, b).unwrap();
            (first, read(&p, b).unwrap(), read(&p, b).unwrap())
        })
    };
    while !waiting.is_finished() && p.readiness(b).unwrap().contains(PollMask::IN) {}
    assert_eq!(write(&p, a, b"one"), 3);
    assert_eq!(write(&p, a, b"two"), 3);
    p.close(a).unwrap();
    let (first, second, end) = waiting.join().unwrap();
    assert_eq!(
        (&first[..], &second[..], &end[..]),
        (&b"one"[..], &b"two"[..], &b""[..])
    );
}
