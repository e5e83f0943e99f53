//! What a sequence is mostly about, and what it starts from.

use super::op::Op;
use super::place::Where;
use super::prng::Prng;
use libc::{AF_INET, AF_INET6, AF_UNIX, SOCK_DGRAM, SOCK_RAW, SOCK_SEQPACKET, SOCK_STREAM};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Theme {
    Unix(i32),
    Udp,
    Tcp,
    Mixed,
    /// Raw and ping sockets.
    Raw,
    /// Sockets of this type that compete for a port, of both families: nobody sends, since of a group of SO_REUSEPORT each
    /// kernel chooses another.
    Reuse(i32),
    /// Sockets of AF_UNIX that send each other.
    Flight(i32),
}

impl Theme {
    pub(super) fn pick(rng: &mut Prng) -> Theme {
        match rng.below(12) {
            8 => Theme::Raw,
            9 => Theme::Reuse(rng.of(&[SOCK_STREAM, SOCK_DGRAM])),
            10 => Theme::Flight(rng.of(&[SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET])),
            0 => Theme::Unix(SOCK_STREAM),
            1 => Theme::Unix(SOCK_DGRAM),
            2 => Theme::Unix(SOCK_SEQPACKET),
            3 | 4 => Theme::Udp,
            5 | 6 => Theme::Tcp,
            _ => Theme::Mixed,
        }
    }

    /// Family, type and protocol of one more socket.
    pub(super) fn socket(self, rng: &mut Prng) -> (i32, i32, i32) {
        if self == Theme::Raw {
            return Theme::raw(rng);
        }
        let (family, kind) = self.plain(rng);
        (family, kind, 0)
    }

    /// A ping socket, or a raw one of a protocol that nobody else on the host sends.
    fn raw(rng: &mut Prng) -> (i32, i32, i32) {
        match rng.below(7) {
            0 | 1 => (AF_INET, SOCK_DGRAM, libc::IPPROTO_ICMP),
            2 | 3 => (AF_INET6, SOCK_DGRAM, libc::IPPROTO_ICMPV6),
            4 => (AF_INET, SOCK_DGRAM, 0),
            5 => (AF_INET, SOCK_RAW, rng.of(&[253, 254])),
            _ => (AF_INET6, SOCK_RAW, rng.of(&[253, 253, 254, 255])),
        }
    }

    fn plain(self, rng: &mut Prng) -> (i32, i32) {
        if let Theme::Reuse(kind) = self {
            return (rng.of(&[AF_INET, AF_INET6]), kind);
        }
        if rng.one_in(12) {
            return (
                rng.of(&[AF_INET, AF_INET6, AF_UNIX]),
                rng.of(&[SOCK_STREAM, SOCK_DGRAM]),
            );
        }
        match self {
            Theme::Unix(kind) | Theme::Flight(kind) => (AF_UNIX, kind),
            Theme::Udp => (rng.of(&[AF_INET, AF_INET, AF_INET6]), SOCK_DGRAM),
            Theme::Tcp => (rng.of(&[AF_INET, AF_INET, AF_INET6]), SOCK_STREAM),
            Theme::Mixed | Theme::Raw | Theme::Reuse(_) => {
                let family = rng.of(&[AF_INET, AF_INET6, AF_UNIX]);
                let kind = rng.of(&[SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET]);
                (family, kind)
            }
        }
    }

    pub(super) fn is_unix(self, rng: &mut Prng) -> bool {
        matches!(self, Theme::Unix(_) | Theme::Flight(_)) || (self == Theme::Mixed && rng.one_in(3))
    }
}

impl Theme {
    /// Calls that bring the theme's sockets together, so that most sequences start from something.
    pub(super) fn prelude(self, rng: &mut Prng) -> Vec<Op> {
        let family = rng.of(&[AF_INET, AF_INET, AF_INET6]);
        let protocol = 0;
        match self {
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
            Theme::Flight(kind) => {
                let family = AF_UNIX;
                vec![Op::Pair { family, kind }, Op::Pair { family, kind }]
            }
            Theme::Reuse(_) => {
                let (family, kind, protocol) = self.socket(rng);
                let mut ops = vec![Op::Socket {
                    family,
                    kind,
                    protocol,
                }];
                ops.extend((0..rng.below(3)).map(|_| Op::sharing(rng, 0)));
                ops.push(Op::Bind {
                    slot: 0,
                    to: match rng.one_in(2) {
                        true => Where::Wildcard(family),
                        false => Where::Loopback(family),
                    },
                });
                ops
            }
            Theme::Raw => {
                let mut ops = Vec::new();
                for slot in 0..3 {
                    let (family, kind, protocol) = Theme::raw(rng);
                    ops.push(Op::Socket {
                        family,
                        kind,
                        protocol,
                    });
                    ops.push(Op::Bind {
                        slot,
                        to: Where::Loopback(family),
                    });
                }
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
                if self == Theme::Mixed {
                    ops.push(Op::Pair {
                        family: AF_UNIX,
                        kind: SOCK_STREAM,
                    });
                }
                ops
            }
        }
    }
}
