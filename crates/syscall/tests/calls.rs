//! Calls from numbers and argument blocks, for both word sizes.
#![allow(missing_docs)]

mod common;

use common::{BASE, File, Guest, SIZE, err, sockaddr_in};
use switchboard_abi::number::*;
use switchboard_abi::sysno::Arch;
use switchboard_abi::{Errno, Word};
use switchboard_syscall::{Call, FileRef, decode, decode_socketcall};

const NAME: u64 = BASE + 0x1000;
const LEN: u64 = BASE + 0x2000;
const DATA: u64 = BASE + 0x3000;

/// Socket, bind, listen, connect, accept, send, receive, by way of `call(number of socketcall(2),
/// arguments)`.
fn conversation(g: &mut Guest, call: impl Fn(&mut Guest, i32, &[u64]) -> i64) {
    g.poke(NAME, &sockaddr_in(7000));
    g.poke_int(LEN, 16);
    g.poke(DATA, b"hello");
    assert_eq!(call(g, 1, &[2, 1, 0]), 0);
    assert_eq!(call(g, 2, &[0, NAME, 16]), 0);
    assert_eq!(call(g, 4, &[0, 5]), 0);
    assert_eq!(call(g, 1, &[2, 1 | SOCK_NONBLOCK as u64, 6]), 1);
    assert_eq!(call(g, 3, &[1, NAME, 16]), err(Errno::EINPROGRESS));
    assert_eq!(call(g, 18, &[0, NAME + 0x100, LEN, SOCK_CLOEXEC as u64]), 2);
    assert!(g.table.get(2).unwrap().cloexec);
    assert_eq!(g.int(LEN), 16);
    assert_eq!(call(g, 6, &[1, NAME + 0x200, LEN]), 0);
    assert_eq!(g.peek(NAME + 0x100, 16), g.peek(NAME + 0x200, 16));
    assert_eq!(call(g, 7, &[1, NAME + 0x200, LEN]), 0);
    assert_eq!(g.peek(NAME + 0x200, 16), sockaddr_in(7000));
    assert_eq!(call(g, 11, &[1, DATA, 5, 0, 0, 0]), 5);
    assert_eq!(
        call(g, 12, &[2, DATA + 0x100, 100, MSG_PEEK as u64, 0, 0]),
        5
    );
    assert_eq!(call(g, 12, &[2, DATA + 0x200, 100, 0, 0, 0]), 5);
    assert_eq!(g.peek(DATA + 0x100, 6), b"hello\0");
    assert_eq!(g.peek(DATA + 0x200, 6), b"hello\0");
    assert_eq!(
        call(g, 12, &[2, DATA, 1, MSG_DONTWAIT as u64, 0, 0]),
        err(Errno::EAGAIN)
    );
    g.poke_int(DATA, 1);
    assert_eq!(call(g, 14, &[1, 6, TCP_NODELAY as u64, DATA, 4]), 0);
    g.poke_int(LEN, 4);
    assert_eq!(
        call(g, 15, &[1, 6, TCP_NODELAY as u64, DATA + 0x10, LEN]),
        0
    );
    assert_eq!((g.int(DATA + 0x10), g.int(LEN)), (1, 4));
    assert_eq!(call(g, 13, &[1, 1]), 0);
    assert_eq!(call(g, 12, &[2, DATA, 1, 0, 0, 0]), 0);
    assert_eq!(call(g, 11, &[1, DATA, 5, 0, 0, 0]), err(Errno::EPIPE));
    assert_eq!(g.signals, 1);
    assert_eq!(
        call(g, 11, &[1, DATA, 5, MSG_NOSIGNAL as u64, 0, 0]),
        err(Errno::EPIPE)
    );
    assert_eq!(g.signals, 1);
    assert_eq!(call(g, 8, &[1, 5, 0, LEN]), 0);
    assert_eq!((g.int(LEN), g.int(LEN + 4)), (3, 4));
}

#[test]
fn a_conversation_through_socketcall() {
    for mut g in Guest::both() {
        conversation(&mut g, Guest::socketcall);
    }
}

#[test]
fn a_conversation_through_direct_numbers() {
    fn args(list: &[u64]) -> [u64; 6] {
        let mut args = [0xdead_beef_dead_beef; 6];
        args[..list.len()].copy_from_slice(list);
        args
    }
    let numbers64 = [
        0, 41, 49, 42, 50, 43, 51, 52, 53, 0, 0, 44, 45, 48, 54, 55, 46, 47, 288,
    ];
    conversation(&mut Guest::new(Word::Lp64), |g, call, list| {
        g.syscall(numbers64[call as usize], args(list))
    });
    let numbers32 = [
        0, 359, 361, 362, 363, 0, 367, 368, 360, 0, 0, 369, 371, 373, 366, 365, 370,
    ];
    conversation(&mut Guest::new(Word::Ilp32), |g, call, list| {
        let nr = if call == 18 {
            364
        } else {
            numbers32[call as usize]
        };
        // Whatever lies above 32 bits is not the program's.
        let list: Vec<u64> = list.iter().map(|arg| arg | 0x5555_5555 << 32).collect();
        g.syscall(nr, args(&list))
    });
}

#[test]
fn socketcall_checks_the_number_before_the_block() {
    for mut g in Guest::both() {
        for call in [0, -1, 21, i32::MAX, i32::MIN] {
            assert_eq!(
                decode_socketcall(g.word, call, 8, &mut g.ram),
                Err(Errno::EINVAL)
            );
        }
        for call in 1..=20 {
            assert_eq!(
                decode_socketcall(g.word, call, 8, &mut g.ram),
                Err(Errno::EFAULT)
            );
            // A block that ends with the memory is read to its last byte, and no further.
            let nargs = switchboard_abi::socketcall::SocketCall::from_number(call as u64).unwrap();
            let bytes = (nargs.args() * g.word.size()) as u64;
            let end = BASE + SIZE as u64;
            assert!(decode_socketcall(g.word, call, end - bytes, &mut g.ram).is_ok());
            let short = decode_socketcall(g.word, call, end - bytes + 1, &mut g.ram);
            assert_eq!(short, Err(Errno::EFAULT));
        }
    }
}

#[test]
fn arguments_are_as_wide_as_their_types() {
    let mut g = Guest::new(Word::Lp64);
    let high = 0xffff_ffff_0000_0000;
    let decoded = decode(
        Arch::X86_64,
        44,
        [high | 3, high, high | 7, 0, 0, high | 16],
        &mut g.ram,
    );
    let expected = Call::Sendto {
        fd: 3,
        buf: high,
        len: high | 7,
        flags: 0,
        addr: 0,
        addrlen: 16,
    };
    assert_eq!(decoded, Ok(Some(expected)));
    let decoded = decode(
        Arch::I386,
        369,
        [high | 3, high | 9, high | 7, 0, 0, 16],
        &mut g.ram,
    );
    let expected = Call::Sendto {
        fd: 3,
        buf: 9,
        len: 7,
        flags: 0,
        addr: 0,
        addrlen: 16,
    };
    assert_eq!(decoded, Ok(Some(expected)));
    // preadv2(2): -1 is no offset, in one register or in two.
    for (arch, nr, low, high) in [
        (Arch::X86_64, 327, u64::MAX, 0),
        (Arch::I386, 378, 0xffff_ffff, 0xffff_ffff),
    ] {
        let decoded = decode(arch, nr, [3, 4, 5, low, high, 8], &mut g.ram);
        let expected = Call::Readv {
            fd: 3,
            iov: 4,
            iovlen: 5,
            offset: None,
            flags: 8,
        };
        assert_eq!(decoded, Ok(Some(expected)));
    }
    assert_eq!(decode(Arch::X86_64, 39, [0; 6], &mut g.ram), Ok(None));
}

#[test]
fn what_is_checked_first() {
    for mut g in Guest::both() {
        let fd = g.socket(AF_INET, SOCK_DGRAM);
        let file = File {
            what: FileRef::Other,
            nonblocking: false,
            cloexec: false,
        };
        let other = g.table.add(file).unwrap();
        let bad = 8;
        // connect(2) reads the address before it looks at the kind of file, bind(2) after.
        let call = |g: &mut Guest, call| g.call(call);
        assert_eq!(
            call(
                &mut g,
                Call::Connect {
                    fd: other,
                    addr: bad,
                    len: 16
                }
            ),
            err(Errno::EFAULT)
        );
        assert_eq!(
            call(
                &mut g,
                Call::Connect {
                    fd: other,
                    addr: NAME,
                    len: 16
                }
            ),
            err(Errno::ENOTSOCK)
        );
        assert_eq!(
            call(
                &mut g,
                Call::Connect {
                    fd: 99,
                    addr: bad,
                    len: 16
                }
            ),
            err(Errno::EBADF)
        );
        assert_eq!(
            call(
                &mut g,
                Call::Bind {
                    fd: other,
                    addr: bad,
                    len: 16
                }
            ),
            err(Errno::ENOTSOCK)
        );
        for len in [-1, 129, i32::MIN] {
            assert_eq!(
                call(&mut g, Call::Bind { fd, addr: bad, len }),
                err(Errno::EINVAL)
            );
        }
        // accept4(2): flags before the kind of file.
        let accept = |fd, flags| Call::Accept {
            fd,
            addr: 0,
            addrlen: 0,
            flags: Some(flags),
        };
        assert_eq!(call(&mut g, accept(other, 1)), err(Errno::EINVAL));
        assert_eq!(call(&mut g, accept(99, 1)), err(Errno::EBADF));
        assert_eq!(call(&mut g, accept(other, 0)), err(Errno::ENOTSOCK));
        assert_eq!(call(&mut g, accept(fd, 0)), err(Errno::EOPNOTSUPP));
        for ty in [SOCK_DGRAM | 0x10, SOCK_DGRAM | 0x4000_0000] {
            let socket = Call::Socket {
                domain: 99,
                ty,
                protocol: 0,
            };
            assert_eq!(call(&mut g, socket), err(Errno::EINVAL));
        }
        // socketpair(2) finds out that it cannot tell the numbers before the family is asked.
        let pair = |domain, sv| Call::Socketpair {
            domain,
            ty: SOCK_STREAM,
            protocol: 0,
            sv,
        };
        assert_eq!(call(&mut g, pair(AF_INET, bad)), err(Errno::EFAULT));
        assert_eq!(call(&mut g, pair(AF_INET, NAME)), err(Errno::EOPNOTSUPP));
        // No room for a descriptor.
        g.table.limit = 2;
        assert_eq!(
            call(
                &mut g,
                Call::Socket {
                    domain: 99,
                    ty: 1,
                    protocol: 0
                }
            ),
            err(Errno::EAFNOSUPPORT)
        );
        assert_eq!(
            call(
                &mut g,
                Call::Socket {
                    domain: 1,
                    ty: 1,
                    protocol: 0
                }
            ),
            err(Errno::EMFILE)
        );
        assert_eq!(call(&mut g, pair(AF_UNIX, bad)), err(Errno::EMFILE));
        assert_eq!(call(&mut g, accept(other, 0)), err(Errno::EMFILE));
        assert_eq!(g.host.socket_count(), 1);
    }
}

#[test]
fn names_out() {
    for mut g in Guest::both() {
        let fd = g.socket(AF_INET, SOCK_DGRAM);
        g.poke(NAME, &sockaddr_in(7001));
        assert_eq!(
            g.call(Call::Bind {
                fd,
                addr: NAME,
                len: 16
            }),
            0
        );
        let ask = Call::Getsockname {
            fd,
            addr: NAME,
            addrlen: LEN,
        };
        g.poke(NAME, &[0xee; 32]);
        g.poke_int(LEN, 4);
        assert_eq!(g.call(ask), 0);
        assert_eq!(
            (g.peek(NAME, 5), g.int(LEN)),
            (&[2, 0, 27, 89, 0xee][..], 16)
        );
        g.poke_int(LEN, 200);
        assert_eq!(g.call(ask), 0);
        assert_eq!((g.peek(NAME, 16), g.int(LEN)), (&sockaddr_in(7001)[..], 16));
        g.poke_int(LEN, -1);
        assert_eq!(g.call(ask), err(Errno::EINVAL));
        g.poke_int(LEN, 0);
        assert_eq!(
            g.call(Call::Getsockname {
                fd,
                addr: 8,
                addrlen: LEN
            }),
            0
        );
        assert_eq!(g.int(LEN), 16);
        assert_eq!(
            g.call(Call::Getsockname {
                fd,
                addr: 8,
                addrlen: LEN
            }),
            err(Errno::EFAULT)
        );
        assert_eq!(
            g.call(Call::Getsockname {
                fd,
                addr: NAME,
                addrlen: 8
            }),
            err(Errno::EFAULT)
        );
    }
}

#[test]
fn options_and_their_faults() {
    for mut g in Guest::both() {
        let fd = g.socket(AF_INET, SOCK_STREAM);
        let set = |level, name, value, len| Call::Setsockopt {
            fd,
            level,
            name,
            value,
            len,
        };
        g.poke_int(DATA, 1);
        assert_eq!(g.call(set(1, SO_KEEPALIVE, DATA, 4)), 0);
        // Longer than an int, and unreadable behind it: the int is all that is read.
        let end = BASE + SIZE as u64;
        assert_eq!(g.call(set(1, SO_KEEPALIVE, end - 4, 100)), 0);
        assert_eq!(g.call(set(1, SO_KEEPALIVE, end - 3, 4)), err(Errno::EFAULT));
        assert_eq!(g.call(set(1, SO_KEEPALIVE, DATA, 3)), err(Errno::EINVAL));
        assert_eq!(g.call(set(1, SO_KEEPALIVE, DATA, -1)), err(Errno::EINVAL));
        assert_eq!(g.call(set(1, 9999, 8, 4)), err(Errno::EFAULT));
        assert_eq!(g.call(set(1, 9999, DATA, 4)), err(Errno::ENOPROTOOPT));
        assert_eq!(g.call(set(777, 1, 8, 4)), err(Errno::ENOPROTOOPT));
        let get = |level, name, value, len| Call::Getsockopt {
            fd,
            level,
            name,
            value,
            len,
        };
        g.poke_int(LEN, 100);
        assert_eq!(g.call(get(1, SO_TYPE, DATA, LEN)), 0);
        assert_eq!((g.int(DATA), g.int(LEN)), (SOCK_STREAM, 4));
        g.poke_int(LEN, -1);
        assert_eq!(g.call(get(1, 9999, DATA, LEN)), err(Errno::EINVAL));
        assert_eq!(g.call(get(1, 9999, DATA, 8)), err(Errno::EFAULT));
        // SOL_SOCKET writes the value first, the protocols the length.
        for (level, name, told) in [(1, SO_TYPE, 100), (0, IP_TTL, 4)] {
            g.poke_int(LEN, 100);
            assert_eq!(g.call(get(level, name, 8, LEN)), err(Errno::EFAULT));
            assert_eq!(g.int(LEN), told);
        }
    }
}

#[test]
fn ioctls() {
    for mut g in Guest::both() {
        let (a, b) = g.pair(SOCK_STREAM);
        assert_eq!(g.send(a, b"12345"), 5);
        let ioctl = |fd, cmd, arg| Call::Ioctl { fd, cmd, arg };
        assert_eq!(g.call(ioctl(b, FIONREAD, DATA)), 0);
        assert_eq!(g.int(DATA), 5);
        assert_eq!(g.call(ioctl(b, FIONREAD, 8)), err(Errno::EFAULT));
        assert_eq!(g.call(ioctl(b, 0x1234_5678, DATA)), err(Errno::ENOTTY));
        g.poke_int(DATA, 1);
        assert_eq!(g.call(ioctl(a, FIONBIO, DATA)), 0);
        assert!(g.table.get(a).unwrap().nonblocking);
        assert_eq!(
            g.call(Call::Read {
                fd: a,
                buf: DATA,
                len: 1
            }),
            err(Errno::EAGAIN)
        );
        assert_eq!(g.call(ioctl(a, FIONBIO, 8)), err(Errno::EFAULT));
        assert_eq!(g.call(ioctl(99, FIONBIO, DATA)), err(Errno::EBADF));
    }
}
