//! Moving data: vectors, lengths, faults at every position, many messages at once, files and pipes.
#![allow(missing_docs)]

mod common;

use common::{BASE, Guest, Msg, SIZE, err, sockaddr_in};
use std::time::Duration;
use switchboard_abi::number::*;
use switchboard_abi::{Errno, Word};
use switchboard_socket::PollMask;
use switchboard_syscall::{Abandoned, Call, MsgTimeout, Offset, Pending, Progress};

const MSG: u64 = BASE + 0x1000;
const IOV: u64 = BASE + 0x2000;
const CTL: u64 = BASE + 0x3000;
const NAME: u64 = BASE + 0x4000;
const DATA: u64 = BASE + 0x5000;
const END: u64 = BASE + SIZE as u64;

#[test]
fn vectors_are_gathered_and_scattered() {
    for mut g in Guest::both() {
        let (a, b) = g.pair(SOCK_STREAM);
        g.poke(DATA, b"abcdefghij");
        g.poke_words(IOV, &[DATA, 3, 8, 0, DATA + 5, 4]);
        assert_eq!(g.writev(a, IOV, 3), 7);
        g.poke_words(IOV, &[DATA + 0x100, 2, DATA + 0x200, 100]);
        assert_eq!(
            g.call(Call::Readv {
                fd: b,
                iov: IOV,
                iovlen: 2,
                offset: None,
                flags: 0
            }),
            7
        );
        assert_eq!(
            (g.peek(DATA + 0x100, 3), g.peek(DATA + 0x200, 6)),
            (&b"ab\0"[..], &b"cfghi\0"[..])
        );
        let readv = |iovlen, offset, flags| Call::Readv {
            fd: b,
            iov: IOV,
            iovlen,
            offset,
            flags,
        };
        assert_eq!(g.call(readv(1025, None, 0)), err(Errno::EINVAL));
        assert_eq!(g.call(readv(1, Some(0), 0)), err(Errno::ESPIPE));
        assert_eq!(g.call(readv(1, Some(-2), 0)), err(Errno::EINVAL));
        assert_eq!(g.call(readv(1, None, 0x1_0000)), err(Errno::EOPNOTSUPP));
        // RWF_NOWAIT
        assert_eq!(g.call(readv(1, None, 8)), err(Errno::EAGAIN));
        g.poke_words(IOV, &[DATA, u64::MAX]);
        assert_eq!(g.call(readv(1, None, 0)), err(Errno::EINVAL));
        g.poke_words(IOV, &[DATA, 0]);
        assert_eq!(g.call(readv(1, None, 0)), 0);
        assert_eq!(
            g.call(Call::Read {
                fd: b,
                buf: 8,
                len: 0
            }),
            0
        );
    }
}

#[test]
fn write_of_nothing_sends_a_datagram_and_writev_does_not() {
    for mut g in Guest::both() {
        let (a, b) = g.pair(SOCK_DGRAM);
        g.poke_words(IOV, &[DATA, 0]);
        assert_eq!(g.writev(a, IOV, 1), 0);
        assert_eq!(g.recv(b), Err(Errno::EAGAIN));
        assert_eq!(
            g.call(Call::Write {
                fd: a,
                buf: DATA,
                len: 0
            }),
            0
        );
        assert_eq!(g.recv(b), Ok(vec![]));
    }
}

/// A sendmsg(2) whose structures lie one behind another up to `END`: every position is made the
/// first that cannot be read.
#[test]
fn a_fault_anywhere_in_sendmsg() {
    for mut g in Guest::both() {
        let (to, from) = (g.socket(AF_INET, SOCK_DGRAM), g.socket(AF_INET, SOCK_DGRAM));
        g.poke(NAME, &sockaddr_in(7002));
        assert_eq!(g.bind(to, NAME), 0);
        let word = g.word;
        let mut at = END;
        let mut place = |size: usize| {
            at -= size as u64;
            at
        };
        let data = place(10);
        let control = place(word.cmsg_space(4));
        let name = place(16);
        let iov = place(2 * word.iovec_size());
        let msg = place(word.msghdr().size);
        g.poke(data, b"0123456789");
        // Not of a level that UDP reads: stepped over.
        let _ = g.poke_cmsg(control, 999, 1, &[0; 4]);
        g.poke(name, &sockaddr_in(7002));
        g.poke_words(iov, &[data, 4, data + 4, 6]);
        let controllen = word.cmsg_space(4) as u64;
        let header = Msg {
            name,
            namelen: 16,
            iov,
            iovlen: 2,
            control,
            controllen,
            flags: 0,
        };
        g.poke_msghdr(msg, header);
        let send = Call::Sendmsg {
            fd: from,
            msg,
            flags: 0,
        };
        for readable in msg..END {
            g.ram.readable = readable;
            assert_eq!(
                g.call(send),
                err(Errno::EFAULT),
                "readable to {:#x}",
                readable - msg
            );
            g.ram.readable = u64::MAX;
            assert_eq!(g.recv(to), Err(Errno::EAGAIN));
        }
        assert_eq!(g.call(send), 10);
        assert_eq!(g.recv(to).unwrap(), b"0123456789");
    }
}

/// The same for recvmsg(2), with every position the first that cannot be written.
#[test]
fn a_fault_anywhere_in_recvmsg() {
    for mut g in Guest::both() {
        let (to, from) = (g.socket(AF_INET, SOCK_DGRAM), g.socket(AF_INET, SOCK_DGRAM));
        g.poke(NAME, &sockaddr_in(7003));
        assert_eq!(g.bind(to, NAME), 0);
        g.poke_int(DATA, 1);
        let stamp = Call::Setsockopt {
            fd: to,
            level: 1,
            name: SO_TIMESTAMP_OLD,
            value: DATA,
            len: 4,
        };
        assert_eq!(g.call(stamp), 0);
        let word = g.word;
        let mut at = END;
        let mut place = |size: usize| {
            at -= size as u64;
            at
        };
        let header = place(word.msghdr().size);
        let name = place(16);
        let controllen = word.cmsg_space(2 * word.size());
        let control = place(controllen);
        let data = place(10);
        for writable in data..=END {
            g.poke_words(IOV, &[data, 4, data + 4, 6]);
            let controllen = controllen as u64;
            let m = Msg {
                name,
                namelen: 16,
                iov: IOV,
                iovlen: 2,
                control,
                controllen,
                flags: 0,
            };
            g.poke_msghdr(header, m);
            g.poke(BASE, &sockaddr_in(7003));
            g.poke(BASE + 16, b"0123456789");
            let send = Call::Sendto {
                fd: from,
                buf: BASE + 16,
                len: 10,
                flags: 0,
                addr: BASE,
                addrlen: 16,
            };
            assert_eq!(g.call(send), 10);
            g.ram.writable = writable;
            let value = g.call(Call::Recvmsg {
                fd: to,
                msg: header,
                flags: 0,
            });
            g.ram.writable = u64::MAX;
            let layout = word.msghdr();
            // The last word written is msg_flags on LP64 (with padding behind it) or on ILP32.
            let needed = header + layout.flags as u64 + 4;
            if writable < needed {
                assert_eq!(
                    value,
                    err(Errno::EFAULT),
                    "writable to {:#x}",
                    writable - data
                );
            } else {
                assert_eq!(value, 10);
                assert_eq!(g.peek(data, 10), b"0123456789");
                assert_eq!(g.word_at(header + layout.controllen as u64), controllen);
            }
            // Whatever failed, the datagram is taken.
            assert_eq!(g.recv(to), Err(Errno::EAGAIN));
        }
    }
}

#[test]
fn a_stream_keeps_what_could_not_be_copied_whole() {
    for mut g in Guest::both() {
        let (a, b) = g.pair(SOCK_STREAM);
        assert_eq!(g.send(a, b"abc"), 3);
        assert_eq!(g.send(a, b"def"), 3);
        // "abc" fits, "def" does not.
        assert_eq!(
            g.call(Call::Recv {
                fd: b,
                buf: END - 4,
                len: 100,
                flags: 0
            }),
            3
        );
        assert_eq!(g.peek(END - 4, 3), b"abc");
        assert_eq!(
            g.call(Call::Recv {
                fd: b,
                buf: END - 2,
                len: 100,
                flags: 0
            }),
            err(Errno::EFAULT)
        );
        assert_eq!(g.recv(b).unwrap(), b"def");
        // Sending: in the steps in which Linux copies.
        let send = |fd, good: u64| Call::Send {
            fd,
            buf: END - good,
            len: good + 10,
            flags: 0,
        };
        assert_eq!(g.call(send(a, 20_000)), err(Errno::EFAULT));
        assert_eq!(g.call(send(a, 40_000)), 36_544);
        assert_eq!(g.recv(b).unwrap().len(), 32_768);
    }
}

#[test]
fn lengths_of_messages() {
    for mut g in Guest::both() {
        let fd = g.socket(AF_INET, SOCK_DGRAM);
        g.poke(NAME, &sockaddr_in(7004));
        assert_eq!(
            g.call(Call::Bind {
                fd,
                addr: NAME,
                len: 16
            }),
            0
        );
        let mut send = |m: Msg| {
            g.poke_msghdr(MSG, m);
            g.call(Call::Sendmsg {
                fd,
                msg: MSG,
                flags: 0,
            })
        };
        let good = Msg {
            name: NAME,
            namelen: 16,
            ..Msg::default()
        };
        assert_eq!(send(good), 0);
        assert_eq!(
            send(Msg {
                iovlen: 1025,
                ..good
            }),
            err(Errno::EMSGSIZE)
        );
        assert_eq!(
            send(Msg {
                namelen: -1,
                ..good
            }),
            err(Errno::EINVAL)
        );
        // Cut to the size of an address, not refused.
        assert_eq!(
            send(Msg {
                namelen: 500,
                ..good
            }),
            0
        );
        // Without a name its length does not count.
        assert_eq!(
            send(Msg {
                name: 0,
                namelen: -1,
                ..good
            }),
            err(Errno::EDESTADDRREQ)
        );
        assert_eq!(
            send(Msg {
                control: CTL,
                controllen: 131_072,
                ..good
            }),
            err(Errno::ENOBUFS)
        );
        assert_eq!(
            send(Msg {
                control: CTL,
                controllen: 0x8000_0000,
                ..good
            }),
            err(Errno::ENOBUFS)
        );
        // A control message of zero bytes; shorter than a header counts as none, but not from a
        // 32-bit program.
        assert_eq!(
            send(Msg {
                control: CTL,
                controllen: 32,
                ..good
            }),
            err(Errno::EINVAL)
        );
        let short = if g.word == Word::Lp64 {
            0
        } else {
            err(Errno::EINVAL)
        };
        g.poke_msghdr(
            MSG,
            Msg {
                control: CTL,
                controllen: 8,
                ..good
            },
        );
        assert_eq!(
            g.call(Call::Sendmsg {
                fd,
                msg: MSG,
                flags: 0
            }),
            short
        );
        let compat = g.call(Call::Sendmsg {
            fd,
            msg: MSG,
            flags: MSG_CMSG_COMPAT,
        });
        assert_eq!(compat, err(Errno::EINVAL));
    }
}

fn messages(g: &mut Guest, vec: u64, count: usize, len: u64) {
    let word = g.word;
    for i in 0..count as u64 {
        g.poke_words(IOV + 0x20 * i, &[DATA + 0x100 * i, len]);
        let m = Msg {
            iov: IOV + 0x20 * i,
            iovlen: 1,
            ..Msg::default()
        };
        g.poke_msghdr(vec + word.mmsghdr_size() as u64 * i, m);
    }
}

fn msg_len(g: &Guest, vec: u64, i: usize) -> i32 {
    g.int(vec + (g.word.mmsghdr_size() * i + g.word.msghdr().size) as u64)
}

#[test]
fn many_messages_at_once() {
    for mut g in Guest::both() {
        let (a, b) = g.pair(SOCK_DGRAM);
        g.poke(DATA, b"first");
        g.poke(DATA + 0x100, b"second");
        messages(&mut g, MSG, 2, 6);
        let sendmmsg = |vlen| Call::Sendmmsg {
            fd: a,
            vec: MSG,
            vlen,
            flags: 0,
        };
        let recvmmsg = |vlen, flags, timeout| Call::Recvmmsg {
            fd: b,
            vec: MSG,
            vlen,
            flags,
            timeout,
        };
        assert_eq!(g.call(sendmmsg(0)), 0);
        assert_eq!(g.call(sendmmsg(2)), 2);
        assert_eq!((msg_len(&g, MSG, 0), msg_len(&g, MSG, 1)), (6, 6));
        messages(&mut g, MSG, 3, 50);
        // Not delivered, then delivered.
        let call = recvmmsg(3, MSG_DONTWAIT, None);
        let Progress::Ready(reply) = g.attempt(&mut Pending::new(call, g.word)) else {
            panic!()
        };
        assert_eq!((reply.value, g.abandon(reply)), (2, Abandoned::Undone));
        assert_eq!(g.call(call), 2);
        assert_eq!(
            (g.peek(DATA, 7), g.peek(DATA + 0x100, 7)),
            (&b"first\0\0"[..], &b"second\0"[..])
        );
        assert_eq!(g.call(call), err(Errno::EAGAIN));
        // A call that waits for more holds nothing back from others.
        assert_eq!(g.send(a, b"1"), 1);
        let (mut pending, _) = g.park(recvmmsg(2, 0, None));
        assert_eq!(g.recv(b).unwrap(), b"1");
        assert_eq!(g.send(a, b"2"), 1);
        assert!(g.go_on(&mut pending).is_err());
        assert_eq!(g.send(a, b"3"), 1);
        assert_eq!(g.go_on(&mut pending), Ok(2));
        assert_eq!(
            (g.peek(DATA, 1), g.peek(DATA + 0x100, 1)),
            (&b"2"[..], &b"3"[..])
        );
        // MSG_WAITFORONE
        let (mut pending, _) = g.park(recvmmsg(2, MSG_WAITFORONE, None));
        assert_eq!(g.send(a, b"4"), 1);
        assert_eq!(g.go_on(&mut pending), Ok(1));
        // The timeout is looked at when a message has come, and what is left of it is told.
        let wide = g.word == Word::Lp64;
        let timeout = Some(MsgTimeout { addr: CTL, wide });
        g.poke_words(CTL, &[5, 0]);
        let (mut pending, _) = g.park(recvmmsg(3, 0, timeout));
        g.now += Duration::from_secs(3);
        assert_eq!(g.send(a, b"5"), 1);
        assert!(g.go_on(&mut pending).is_err());
        g.now += Duration::from_secs(3);
        assert!(g.go_on(&mut pending).is_err());
        assert_eq!(g.send(a, b"6"), 1);
        assert_eq!(g.go_on(&mut pending), Ok(2));
        assert_eq!(
            (g.word_at(CTL), g.word_at(CTL + g.word.size() as u64)),
            (0, 0)
        );
        g.poke_words(CTL, &[0, 1_000_000_000]);
        assert_eq!(g.call(recvmmsg(1, 0, timeout)), err(Errno::EINVAL));
        let timeout = Some(MsgTimeout { addr: 8, wide });
        assert_eq!(g.call(recvmmsg(1, 0, timeout)), err(Errno::EFAULT));
        // An error after the first message does not count.
        messages(&mut g, MSG, 1, 6);
        g.poke(MSG + g.word.mmsghdr_size() as u64, &[0xff; 56]);
        assert_eq!(g.call(sendmmsg(2)), 1);
        assert_eq!(g.recv(b).unwrap().len(), 6);
        assert_eq!(
            g.call(Call::Sendmmsg {
                fd: a,
                vec: 8,
                vlen: 1,
                flags: 0
            }),
            err(Errno::EFAULT)
        );
    }
}

#[test]
fn a_sendmmsg_waits_between_its_messages() {
    let mut g = Guest::new(Word::Lp64);
    let (a, b) = g.pair(SOCK_SEQPACKET);
    g.poke_int(DATA, 3000);
    assert_eq!(
        g.call(Call::Setsockopt {
            fd: a,
            level: 1,
            name: SO_SNDBUF,
            value: DATA,
            len: 4
        }),
        0
    );
    messages(&mut g, MSG, 8, 0x100);
    for i in 0..8 {
        g.poke(DATA + 0x100 * i, &[i as u8]);
    }
    let (mut pending, parked) = g.park(Call::Sendmmsg {
        fd: a,
        vec: MSG,
        vlen: 8,
        flags: 0,
    });
    assert!(parked.interest.contains(PollMask::OUT));
    let mut all = Vec::new();
    let value = loop {
        while let Ok(message) = g.recv(b) {
            all.push(message[0]);
        }
        if let Ok(value) = g.go_on(&mut pending) {
            break value;
        }
    };
    while let Ok(message) = g.recv(b) {
        all.push(message[0]);
    }
    assert_eq!((value, all), (8, (0..8).collect()));
}

#[test]
fn files_and_pipes() {
    use switchboard_syscall::FileRef;
    for mut g in Guest::both() {
        let (a, b) = g.pair(SOCK_STREAM);
        let other = common::File {
            what: FileRef::Other,
            nonblocking: false,
            cloexec: false,
        };
        let (file, pipe) = (g.table.add(other).unwrap(), g.table.add(other).unwrap());
        g.table.regular = Some((file, (0..=255).collect(), 10));
        g.table.pipe = Some((pipe, Vec::new(), 16));
        let sendfile = |in_fd, offset, count| Call::Sendfile {
            out_fd: a,
            in_fd,
            offset,
            count,
        };
        assert_eq!(g.call(sendfile(file, None, 20)), 20);
        assert_eq!(g.recv(b).unwrap(), (10..30).collect::<Vec<u8>>());
        assert_eq!(g.table.regular.as_ref().unwrap().2, 30);
        for wide in [true, false] {
            g.poke(DATA, &250u64.to_ne_bytes());
            let offset = Some(Offset { addr: DATA, wide });
            assert_eq!(g.call(sendfile(file, offset, 20)), 6);
            assert_eq!(g.recv(b).unwrap(), (250..=255).collect::<Vec<u8>>());
            assert_eq!(g.int(DATA), 256);
            assert_eq!(g.table.regular.as_ref().unwrap().2, 30);
        }
        assert_eq!(g.call(sendfile(b, None, 1)), err(Errno::EINVAL));
        assert_eq!(g.call(sendfile(pipe, None, 1)), err(Errno::EINVAL));
        assert_eq!(g.call(sendfile(99, None, 1)), err(Errno::EBADF));
        let bad = Some(Offset {
            addr: 8,
            wide: true,
        });
        assert_eq!(g.call(sendfile(file, bad, 1)), err(Errno::EFAULT));

        let splice = |fd_in, fd_out, len, flags| Call::Splice {
            fd_in,
            off_in: 0,
            fd_out,
            off_out: 0,
            len,
            flags,
        };
        assert_eq!(g.call(splice(pipe, a, 10, 2)), err(Errno::EAGAIN));
        let (mut pending, parked) = g.park(splice(pipe, a, 10, 0));
        assert_eq!(parked.file, Some(pipe));
        g.table.pipe.as_mut().unwrap().1 = b"through".to_vec();
        assert_eq!(g.go_on(&mut pending), Ok(7));
        assert_eq!(g.call(splice(b, pipe, 4, 0)), 4);
        assert_eq!(g.table.pipe.as_ref().unwrap().1, b"thro");
        assert_eq!(g.recv(b).unwrap(), b"ugh");
        assert_eq!(g.call(splice(b, a, 4, 0)), err(Errno::EINVAL));
        assert_eq!(g.call(splice(pipe, a, 4, 0x10)), err(Errno::EINVAL));
        let offset = Call::Splice {
            fd_in: pipe,
            off_in: DATA,
            fd_out: a,
            off_out: 0,
            len: 1,
            flags: 0,
        };
        assert_eq!(g.call(offset), err(Errno::ESPIPE));
    }
}
