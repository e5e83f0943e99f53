//! Random calls.

use super::control::Control;
use super::op::{Op, SLOTS, Waits};
use super::options;
use super::place::{Form, Where};
use super::prng::Prng;
use super::theme::Theme;
use crate::mem::int;
use libc::{
    AF_INET, AF_UNIX, IPPROTO_IP, IPPROTO_IPV6, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET,
};

const SO_BINDTOIFINDEX: i32 = 62;

const SEND_FLAGS: &[i32] = &[
    0,
    0,
    0,
    0,
    libc::MSG_DONTWAIT,
    libc::MSG_OOB,
    libc::MSG_EOR,
    libc::MSG_NOSIGNAL,
    libc::MSG_CONFIRM,
    libc::MSG_DONTROUTE,
    libc::MSG_MORE,
    libc::MSG_TRUNC,
    libc::MSG_ZEROCOPY,
];

const RECV_FLAGS: &[i32] = &[
    0,
    0,
    0,
    0,
    libc::MSG_PEEK,
    libc::MSG_TRUNC,
    libc::MSG_PEEK | libc::MSG_TRUNC,
    libc::MSG_WAITALL,
    libc::MSG_OOB,
    libc::MSG_OOB | libc::MSG_PEEK,
    libc::MSG_ERRQUEUE,
    libc::MSG_CMSG_CLOEXEC,
];

const LENGTHS: &[usize] = &[0, 1, 2, 5, 20, 100, 1500];

/// fcntl(2)'s numbers that libc lacks.
const F_SETSIG: i32 = 10;
const F_GETSIG: i32 = 11;

/// The ioctls that read: FIOASYNC, owners, SIOCGSTAMP and SIOCGSTAMPNS, and those of netdevice(7); and two numbers
/// that nobody has.
const REQUESTS: &[u64] = &[
    0x5452, 0x8901, 0x8902, 0x8903, 0x8904, 0x8906, 0x8907, 0x8910, 0x8913, 0x8915, 0x8917, 0x8919,
    0x891b, 0x891d, 0x8921, 0x8927, 0x8933, 0x8942, 0x8970, 0x894f, 0x7777,
];

impl Op {
    /// A random call.
    pub(super) fn random(rng: &mut Prng, theme: Theme) -> Op {
        let slot = rng.below(SLOTS);
        let unix = theme.is_unix(rng);
        if theme == Theme::Raw && rng.one_in(6) {
            return Op::Echo {
                slot,
                v6: rng.one_in(2),
                len: rng.of(&[4, 8, 8, 9, 20, 100]),
                to: Where::to_reach(rng, unix),
            };
        }
        if matches!(theme, Theme::Reuse(_)) {
            return Op::competing(rng, theme, slot);
        }
        if matches!(theme, Theme::Flight(_)) && rng.one_in(2) {
            return Op::flying(rng, slot);
        }
        match rng.below(100) {
            0..6 => Op::socket(rng, theme),
            6..8 => {
                let family = if rng.one_in(6) { AF_INET } else { AF_UNIX };
                Op::Pair {
                    family,
                    kind: rng.of(&[SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET]),
                }
            }
            8..13 => Op::Bind {
                slot,
                to: Where::to_bind(rng, unix),
            },
            13..21 => Op::Connect {
                slot,
                to: Where::to_reach(rng, unix),
            },
            21..25 => Op::Listen {
                slot,
                backlog: rng.of(&[-1, 0, 1, 2, 5]),
            },
            25..30 => {
                let flags = if rng.one_in(8) {
                    1
                } else {
                    rng.of(&[0, libc::SOCK_CLOEXEC])
                };
                Op::Accept {
                    slot,
                    flags,
                    room: rng.of(&[0, 2, 8, 16, 128]),
                }
            }
            30..40 => Op::Send {
                slot,
                len: rng.of(LENGTHS),
                flags: rng.of(SEND_FLAGS),
                bad: rng.one_in(15),
            },
            40..43 => Op::less_usual(rng, slot, unix),
            43..45 => Op::watching(rng, slot),
            45..53 => Op::SendTo {
                slot,
                len: rng.of(LENGTHS),
                flags: rng.of(SEND_FLAGS),
                to: Where::to_reach(rng, unix),
            },
            53..58 => Op::send_message(rng, slot, unix),
            58..67 => Op::Recv {
                slot,
                len: rng.of(LENGTHS),
                flags: Op::receive_flags(rng),
                bad: rng.one_in(15),
            },
            67..72 => Op::RecvFrom {
                slot,
                len: rng.of(LENGTHS),
                flags: Op::receive_flags(rng),
                room: rng.of(&[0, 4, 16, 28, 128]),
            },
            72..77 => Op::RecvMsg {
                slot,
                lens: (0..rng.below(3)).map(|_| rng.of(LENGTHS)).collect(),
                flags: Op::receive_flags(rng),
                control: rng.of(&[0, 8, 20, 24, 64, 200]),
            },
            77..79 => Op::Read {
                slot,
                len: rng.of(LENGTHS),
            },
            79..81 => Op::Write {
                slot,
                len: rng.of(LENGTHS),
            },
            81..83 => Op::Shutdown {
                slot,
                how: rng.of(&[0, 1, 1, 2, 3]),
            },
            83..84 => Op::Close { slot },
            84..85 => Op::less_usual(rng, slot, unix),
            85..86 => Op::Dup { slot },
            86..90 => Op::set_option(rng, slot),
            90..94 => {
                let (level, name) = options::any(rng);
                Op::GetOption {
                    slot,
                    level,
                    name,
                    room: rng.of(&[4, 4, 4, 0, 2, 16, 64]),
                }
            }
            94..95 => Op::Name {
                slot,
                room: rng.of(&[0, 3, 16, 28, 128]),
            },
            95..96 => Op::Peer {
                slot,
                room: rng.of(&[0, 3, 16, 28, 128]),
            },
            96..98 => Op::Readable { slot },
            98..99 => Op::Unsent { slot },
            _ => Op::other(rng, slot),
        }
    }

    /// An option that says with whom a port is shared.
    pub(super) fn sharing(rng: &mut Prng, slot: usize) -> Op {
        let (level, name) = rng.of(&[
            (SOL_SOCKET, libc::SO_REUSEADDR),
            (SOL_SOCKET, libc::SO_REUSEADDR),
            (SOL_SOCKET, libc::SO_REUSEPORT),
            (SOL_SOCKET, libc::SO_REUSEPORT),
            (IPPROTO_IPV6, libc::IPV6_V6ONLY),
            (SOL_SOCKET, SO_BINDTOIFINDEX),
            (IPPROTO_IP, libc::IP_FREEBIND),
        ]);
        // What a socket of TCP said when it was bound, its port remembers (inet_csk_update_fastreuse): nobody takes it back.
        let off = level != SOL_SOCKET && rng.one_in(3);
        Op::SetOption {
            slot,
            level,
            name,
            value: int(i32::from(!off)).to_vec(),
        }
    }

    /// What sockets do that want the same port.
    fn competing(rng: &mut Prng, theme: Theme, slot: usize) -> Op {
        match rng.below(20) {
            0..4 => {
                let (family, kind, protocol) = theme.socket(rng);
                Op::Socket {
                    family,
                    kind,
                    protocol,
                }
            }
            4..9 => Op::sharing(rng, slot),
            9..14 => Op::Bind {
                slot,
                to: match rng.one_in(8) {
                    true => Where::to_bind(rng, false),
                    false => Where::Beside(rng.below(SLOTS), rng.of(&Form::ALL)),
                },
            },
            14..16 => Op::Listen {
                slot,
                backlog: rng.of(&[0, 5]),
            },
            16 => Op::Close { slot },
            17 => Op::Connect {
                slot,
                to: rng.of(&[
                    Where::Unspec,
                    Where::Unspec,
                    Where::Closed(AF_INET),
                    Where::Closed(libc::AF_INET6),
                ]),
            },
            18 => Op::Shutdown {
                slot,
                how: rng.of(&[0, 1, 2]),
            },
            _ => Op::Name { slot, room: 128 },
        }
    }

    /// Sockets sent, received, closed.
    fn flying(rng: &mut Prng, slot: usize) -> Op {
        match rng.below(8) {
            0..3 => Op::SendMsg {
                slot,
                lens: (0..rng.below(3)).map(|_| rng.of(&[0, 1, 5])).collect(),
                flags: 0,
                rights: (0..=rng.below(3)).map(|_| rng.below(SLOTS)).collect(),
                control: Vec::new(),
                to: None,
            },
            3..6 => Op::RecvMsg {
                slot,
                lens: (0..rng.below(3)).map(|_| rng.of(&[1, 5, 20])).collect(),
                flags: rng.of(&[0, 0, 0, libc::MSG_PEEK, libc::MSG_CMSG_CLOEXEC]),
                control: rng.of(&[0, 16, 20, 24, 28, 64, 200]),
            },
            6 => Op::Close { slot },
            _ => Op::Dup { slot },
        }
    }

    /// epoll(7).
    fn watching(rng: &mut Prng, slot: usize) -> Op {
        let instance = rng.below(2);
        if rng.one_in(2) {
            return Op::Collect { instance };
        }
        let bits = [
            libc::EPOLLIN,
            libc::EPOLLOUT,
            libc::EPOLLPRI,
            libc::EPOLLRDHUP,
        ];
        let mut events: i32 = bits.iter().filter(|_| !rng.one_in(3)).sum();
        match rng.below(6) {
            0 => events |= libc::EPOLLET,
            1 => events |= libc::EPOLLONESHOT,
            2 => events |= libc::EPOLLEXCLUSIVE,
            _ => {}
        }
        Op::Watch {
            instance,
            command: rng.of(&[1, 1, 1, 2, 3, 3, 4]),
            slot,
            events: events as u32,
        }
    }

    /// What says something of the descriptor rather than of the socket, and what waits.
    fn other(rng: &mut Prng, slot: usize) -> Op {
        match rng.below(40) {
            0..12 => Op::AtMark { slot },
            12..24 => {
                let nonblocking = i64::from(libc::O_NONBLOCK);
                let (command, arg) = rng.of(&[
                    (libc::F_GETFL, 0),
                    (libc::F_GETFL, 0),
                    (libc::F_SETFL, nonblocking),
                    (libc::F_SETFL, nonblocking | libc::O_ASYNC as i64),
                    (libc::F_SETFL, nonblocking | libc::O_APPEND as i64),
                    (libc::F_SETFL, nonblocking | libc::O_DIRECT as i64),
                    (libc::F_GETOWN, 0),
                    (libc::F_SETOWN, 0),
                    (libc::F_SETOWN, 0x3fff_fff0),
                    (F_SETSIG, 0),
                    (F_SETSIG, 34),
                    (F_SETSIG, 65),
                    (F_SETSIG, -1),
                    (F_GETSIG, 0),
                    (libc::F_GETFD, 0),
                    (libc::F_SETFD, 1),
                ]);
                Op::Control { slot, command, arg }
            }
            24..39 => Op::Ioctl {
                slot,
                request: rng.of(REQUESTS),
                name: rng.of(&[b"lo", b"lo", b"lo", b"nope", b""]),
                value: rng.of(&[0, 0, 1, 1, 2, -1]),
            },
            _ => Op::Waiting {
                slot,
                call: rng.of(&[
                    Waits::Recv(0),
                    Waits::Recv(libc::MSG_WAITALL),
                    Waits::Recv(libc::MSG_PEEK),
                    Waits::Accept,
                    Waits::Send(1500),
                ]),
            },
        }
    }

    fn less_usual(rng: &mut Prng, slot: usize, unix: bool) -> Op {
        let lens = |rng: &mut Prng| (0..rng.below(4)).map(|_| rng.of(LENGTHS)).collect();
        match rng.below(8) {
            0 => Op::ReadV {
                slot,
                lens: lens(rng),
            },
            1 => Op::WriteV {
                slot,
                lens: lens(rng),
            },
            2 => Op::SendMany {
                slot,
                lens: lens(rng),
                flags: rng.of(SEND_FLAGS),
                to: rng.one_in(3).then(|| Where::to_reach(rng, unix)),
            },
            3 | 4 => Op::RecvMany {
                slot,
                lens: lens(rng),
                flags: Op::receive_flags(rng),
            },
            5 | 6 => Op::Burst {
                slot,
                len: rng.of(&[0, 1, 100, 1500, 4000, 9000, 30_000]),
                most: rng.of(&[20, 300]),
            },
            _ => Op::Buffer {
                slot,
                name: rng.of(&[libc::SO_SNDBUF, libc::SO_RCVBUF]),
                value: rng.of(&[0, 1000, 4608, 10_000, 100_000]),
            },
        }
    }

    /// Mostly usual ones; now and then any that mean something, together.
    fn receive_flags(rng: &mut Prng) -> i32 {
        if rng.one_in(12) {
            let most = RECV_FLAGS.iter().fold(0, |all, flag| all | flag);
            return rng.next() as i32 & most;
        }
        rng.of(RECV_FLAGS)
    }

    fn socket(rng: &mut Prng, theme: Theme) -> Op {
        let (family, kind, usual) = theme.socket(rng);
        let protocol = if rng.one_in(15) {
            rng.of(&[1, 6, 17, 300, -1])
        } else {
            usual
        };
        let (family, kind) = if rng.one_in(25) {
            (rng.of(&[family, 0, 99]), rng.of(&[0, 7, 11, kind]))
        } else {
            (family, kind)
        };
        Op::Socket {
            family,
            kind,
            protocol,
        }
    }

    fn send_message(rng: &mut Prng, slot: usize, unix: bool) -> Op {
        Op::SendMsg {
            slot,
            lens: (0..rng.below(4)).map(|_| rng.of(LENGTHS)).collect(),
            flags: rng.of(SEND_FLAGS),
            rights: if rng.one_in(2) {
                (0..rng.below(3)).map(|_| rng.below(SLOTS)).collect()
            } else {
                Vec::new()
            },
            control: if rng.one_in(3) {
                (0..=rng.below(2)).map(|_| Control::random(rng)).collect()
            } else {
                Vec::new()
            },
            to: rng.one_in(3).then(|| Where::to_reach(rng, unix)),
        }
    }

    fn set_option(rng: &mut Prng, slot: usize) -> Op {
        let (level, name) = options::any(rng);
        Op::SetOption {
            slot,
            level,
            name,
            value: options::value(rng, level, name),
        }
    }
}
