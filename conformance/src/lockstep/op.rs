//! What a sequence is made of.

use super::options;
use super::prng::Prng;
use libc::{AF_INET, AF_INET6, AF_UNIX, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET};

/// How many slots the pool has.
pub(super) const SLOTS: usize = 10;

/// What a sequence is mostly about, so that its sockets can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Theme {
    Unix(i32),
    Udp,
    Tcp,
    Mixed,
}

impl Theme {
    pub(super) fn pick(rng: &mut Prng) -> Theme {
        match rng.below(8) {
            0 => Theme::Unix(SOCK_STREAM),
            1 => Theme::Unix(SOCK_DGRAM),
            2 => Theme::Unix(SOCK_SEQPACKET),
            3 | 4 => Theme::Udp,
            5 | 6 => Theme::Tcp,
            _ => Theme::Mixed,
        }
    }

    fn socket(self, rng: &mut Prng) -> (i32, i32) {
        if rng.one_in(12) {
            return (
                rng.of(&[AF_INET, AF_INET6, AF_UNIX]),
                rng.of(&[SOCK_STREAM, SOCK_DGRAM]),
            );
        }
        match self {
            Theme::Unix(kind) => (AF_UNIX, kind),
            Theme::Udp => (rng.of(&[AF_INET, AF_INET, AF_INET6]), SOCK_DGRAM),
            Theme::Tcp => (rng.of(&[AF_INET, AF_INET, AF_INET6]), SOCK_STREAM),
            Theme::Mixed => {
                let family = rng.of(&[AF_INET, AF_INET6, AF_UNIX]);
                let kind = rng.of(&[SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET]);
                (family, kind)
            }
        }
    }

    fn is_unix(self, rng: &mut Prng) -> bool {
        matches!(self, Theme::Unix(_)) || (self == Theme::Mixed && rng.one_in(3))
    }
}

/// An address that each kernel has in its own way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// What getsockname says of this slot.
    Slot(usize),
    /// Loopback and port 0.
    Loopback(i32),
    /// The wildcard and port 0.
    Wildcard(i32),
    /// 127.0.0.2, port 0.
    Other,
    /// ::ffff:127.0.0.1, port 0.
    Mapped,
    /// Loopback, port 1, where nobody listens.
    Closed(i32),
    /// An abstract name.
    Abstract(usize),
    /// The family of AF_UNIX alone.
    Unnamed,
    /// AF_UNSPEC.
    Unspec,
    /// The address of this slot, cut to a length.
    Cut(usize, usize),
    /// A null pointer with a length.
    Null(u32),
    /// An address of no memory.
    Bad,
}

impl Where {
    fn to_bind(rng: &mut Prng, unix: bool) -> Where {
        if rng.one_in(12) {
            return Where::odd(rng);
        }
        if unix {
            return match rng.below(4) {
                0 => Where::Unnamed,
                1 => Where::Slot(rng.below(SLOTS)),
                _ => Where::Abstract(rng.below(4)),
            };
        }
        match rng.below(7) {
            6 => Where::Other,
            0 => Where::Slot(rng.below(SLOTS)),
            1 => Where::Wildcard(rng.of(&[AF_INET, AF_INET6])),
            2 => Where::Mapped,
            _ => Where::Loopback(rng.of(&[AF_INET, AF_INET, AF_INET6])),
        }
    }

    fn to_reach(rng: &mut Prng, unix: bool) -> Where {
        if rng.one_in(12) {
            return Where::odd(rng);
        }
        match rng.below(10) {
            0 if unix => Where::Abstract(rng.below(4)),
            0 => Where::Closed(rng.of(&[AF_INET, AF_INET, AF_INET6])),
            1 => Where::Unspec,
            _ => Where::Slot(rng.below(SLOTS)),
        }
    }

    fn odd(rng: &mut Prng) -> Where {
        match rng.below(5) {
            0 => Where::Cut(rng.below(SLOTS), rng.below(20)),
            1 => Where::Null(rng.of(&[0, 16, 200])),
            2 => Where::Bad,
            3 => Where::Unspec,
            _ => Where::Unnamed,
        }
    }
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Socket {
        family: i32,
        kind: i32,
        protocol: i32,
    },
    Pair {
        family: i32,
        kind: i32,
    },
    Bind {
        slot: usize,
        to: Where,
    },
    Connect {
        slot: usize,
        to: Where,
    },
    Listen {
        slot: usize,
        backlog: i32,
    },
    Accept {
        slot: usize,
        flags: i32,
        room: u32,
    },
    Send {
        slot: usize,
        len: usize,
        flags: i32,
        bad: bool,
    },
    SendTo {
        slot: usize,
        len: usize,
        flags: i32,
        to: Where,
    },
    SendMsg {
        slot: usize,
        lens: Vec<usize>,
        flags: i32,
        rights: Vec<usize>,
        to: Option<Where>,
    },
    Recv {
        slot: usize,
        len: usize,
        flags: i32,
        bad: bool,
    },
    RecvFrom {
        slot: usize,
        len: usize,
        flags: i32,
        room: u32,
    },
    RecvMsg {
        slot: usize,
        lens: Vec<usize>,
        flags: i32,
        control: usize,
    },
    Read {
        slot: usize,
        len: usize,
    },
    Write {
        slot: usize,
        len: usize,
    },
    ReadV {
        slot: usize,
        lens: Vec<usize>,
    },
    WriteV {
        slot: usize,
        lens: Vec<usize>,
    },
    /// sendmmsg, one vector each.
    SendMany {
        slot: usize,
        lens: Vec<usize>,
        flags: i32,
        to: Option<Where>,
    },
    /// recvmmsg.
    RecvMany {
        slot: usize,
        lens: Vec<usize>,
        flags: i32,
    },
    /// The same send again and again, until nothing more is taken; not on TCP.
    Burst {
        slot: usize,
        len: usize,
        most: usize,
    },
    /// SO_SNDBUF or SO_RCVBUF; not on TCP, where autotuning moves them.
    Buffer {
        slot: usize,
        name: i32,
        value: i32,
    },
    Shutdown {
        slot: usize,
        how: i32,
    },
    Close {
        slot: usize,
    },
    Dup {
        slot: usize,
    },
    SetOption {
        slot: usize,
        level: i32,
        name: i32,
        value: i32,
        len: usize,
    },
    GetOption {
        slot: usize,
        level: i32,
        name: i32,
        room: u32,
    },
    Name {
        slot: usize,
        room: u32,
    },
    Peer {
        slot: usize,
        room: u32,
    },
    Readable {
        slot: usize,
    },
    Unsent {
        slot: usize,
    },
    AtMark {
        slot: usize,
    },
}

/// Options whose answers depend on neither time nor machine: level, name, whether set as well.
const OPTIONS: &[(i32, i32, bool)] = &[
    (SOL_SOCKET, libc::SO_TYPE, false),
    (SOL_SOCKET, libc::SO_DOMAIN, false),
    (SOL_SOCKET, libc::SO_PROTOCOL, false),
    (SOL_SOCKET, libc::SO_ERROR, false),
    (SOL_SOCKET, libc::SO_ERROR, false),
    (SOL_SOCKET, libc::SO_ACCEPTCONN, false),
    (SOL_SOCKET, libc::SO_REUSEADDR, true),
    (SOL_SOCKET, libc::SO_KEEPALIVE, true),
    (SOL_SOCKET, libc::SO_BROADCAST, true),
    (SOL_SOCKET, libc::SO_OOBINLINE, true),
    (SOL_SOCKET, libc::SO_PASSCRED, true),
    (SOL_SOCKET, libc::SO_RCVLOWAT, true),
    (SOL_SOCKET, libc::SO_SNDLOWAT, true),
    (SOL_SOCKET, libc::SO_LINGER, false),
    (SOL_SOCKET, libc::SO_PRIORITY, false),
    (SOL_SOCKET, libc::SO_PEERCRED, false),
    (SOL_SOCKET, 999, true),
    (libc::IPPROTO_TCP, libc::TCP_NODELAY, false),
    (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, true),
    (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, true),
    (libc::IPPROTO_TCP, libc::TCP_SYNCNT, true),
    (libc::IPPROTO_TCP, libc::TCP_LINGER2, true),
    (libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, false),
    (libc::IPPROTO_TCP, 999, true),
    (libc::IPPROTO_IP, libc::IP_TTL, true),
    (libc::IPPROTO_IP, libc::IP_TOS, true),
    (libc::IPPROTO_IP, libc::IP_PKTINFO, true),
    (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, true),
    (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, true),
    (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, true),
];

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

impl Op {
    /// Calls that bring the theme's sockets together, so that most sequences start from something.
    pub(super) fn prelude(rng: &mut Prng, theme: Theme) -> Vec<Op> {
        let family = rng.of(&[AF_INET, AF_INET, AF_INET6]);
        let protocol = 0;
        match theme {
            Theme::Unix(kind) if rng.one_in(2) || kind == SOCK_DGRAM => {
                let mut ops = vec![Op::Pair {
                    family: AF_UNIX,
                    kind,
                }];
                if kind == SOCK_DGRAM {
                    for n in 0..2 {
                        ops.push(Op::Socket {
                            family: AF_UNIX,
                            kind,
                            protocol,
                        });
                        ops.push(Op::Bind {
                            slot: 2 + n,
                            to: Where::Abstract(n),
                        });
                    }
                    ops.push(Op::Connect {
                        slot: 2,
                        to: Where::Abstract(1),
                    });
                }
                ops
            }
            Theme::Unix(kind) => vec![
                Op::Socket {
                    family: AF_UNIX,
                    kind,
                    protocol,
                },
                Op::Bind {
                    slot: 0,
                    to: Where::Abstract(0),
                },
                Op::Listen {
                    slot: 0,
                    backlog: rng.of(&[0, 1, 5]),
                },
                Op::Socket {
                    family: AF_UNIX,
                    kind,
                    protocol,
                },
                Op::Connect {
                    slot: 1,
                    to: Where::Abstract(0),
                },
                Op::Accept {
                    slot: 0,
                    flags: 0,
                    room: 128,
                },
            ],
            Theme::Udp => {
                let mut ops = Vec::new();
                for slot in 0..3 {
                    ops.push(Op::Socket {
                        family,
                        kind: SOCK_DGRAM,
                        protocol,
                    });
                    ops.push(Op::Bind {
                        slot,
                        to: Where::Loopback(family),
                    });
                }
                ops.push(Op::Connect {
                    slot: 0,
                    to: Where::Slot(1),
                });
                ops
            }
            Theme::Tcp | Theme::Mixed => {
                let mut ops = vec![
                    Op::Socket {
                        family,
                        kind: SOCK_STREAM,
                        protocol,
                    },
                    Op::Bind {
                        slot: 0,
                        to: Where::Loopback(family),
                    },
                    Op::Listen {
                        slot: 0,
                        backlog: rng.of(&[0, 1, 5]),
                    },
                ];
                for slot in 1..=1 + rng.below(2) {
                    ops.push(Op::Socket {
                        family,
                        kind: SOCK_STREAM,
                        protocol,
                    });
                    ops.push(Op::Connect {
                        slot,
                        to: Where::Slot(0),
                    });
                }
                ops.push(Op::Accept {
                    slot: 0,
                    flags: 0,
                    room: 128,
                });
                if theme == Theme::Mixed {
                    ops.push(Op::Pair {
                        family: AF_UNIX,
                        kind: SOCK_STREAM,
                    });
                }
                ops
            }
        }
    }

    /// The call's name.
    pub(super) fn name(&self) -> String {
        let text = format!("{self:?}");
        text.split(' ').next().unwrap_or_default().to_string()
    }

    /// A random call.
    pub(super) fn random(rng: &mut Prng, theme: Theme) -> Op {
        let slot = rng.below(SLOTS);
        let unix = theme.is_unix(rng);
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
            30..42 => Op::Send {
                slot,
                len: rng.of(LENGTHS),
                flags: rng.of(SEND_FLAGS),
                bad: rng.one_in(15),
            },
            42..45 => Op::less_usual(rng, slot, unix),
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
                flags: rng.of(RECV_FLAGS),
                bad: rng.one_in(15),
            },
            67..72 => Op::RecvFrom {
                slot,
                len: rng.of(LENGTHS),
                flags: rng.of(RECV_FLAGS),
                room: rng.of(&[0, 4, 16, 28, 128]),
            },
            72..77 => Op::RecvMsg {
                slot,
                lens: (0..rng.below(3)).map(|_| rng.of(LENGTHS)).collect(),
                flags: rng.of(RECV_FLAGS),
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
            86..90 => Op::set_option(rng, slot, unix),
            90..94 => {
                let (level, name, _) = Op::option(rng, unix);
                Op::GetOption {
                    slot,
                    level,
                    name,
                    room: rng.of(&[4, 4, 4, 0, 2, 16]),
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
            _ => Op::AtMark { slot },
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
                flags: rng.of(RECV_FLAGS),
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

    fn socket(rng: &mut Prng, theme: Theme) -> Op {
        let (family, kind) = theme.socket(rng);
        let protocol = if rng.one_in(15) {
            rng.of(&[1, 6, 17, 300, -1])
        } else {
            0
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
            to: rng.one_in(3).then(|| Where::to_reach(rng, unix)),
        }
    }

    fn option(rng: &mut Prng, unix: bool) -> (i32, i32, bool) {
        if rng.one_in(2) {
            options::any(rng, unix)
        } else {
            rng.of(OPTIONS)
        }
    }

    fn set_option(rng: &mut Prng, slot: usize, unix: bool) -> Op {
        loop {
            let (level, name, set) = Op::option(rng, unix);
            if set || rng.one_in(10) {
                let value = match name {
                    // SO_BINDTOIFINDEX: which errno a device that is not there brings depends on the
                    // machine's routes.
                    62 => rng.of(&[0, 0, 1, -1]),
                    _ => rng.of(&[0, 1, 1, 2, 5, 64, 200, -1, 70_000]),
                };
                let len = if rng.one_in(10) { rng.below(8) } else { 4 };
                return Op::SetOption {
                    slot,
                    level,
                    name,
                    value,
                    len,
                };
            }
        }
    }
}
