//! Options for random sequences: every number of the tables, good values and bad ones, but for those whose answers
//! depend on time, chance or the machine.

use super::prng::Prng;
use crate::mem::int;
use libc::{IPPROTO_ICMPV6, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, IPPROTO_UDP, SOL_SOCKET};
use std::ops::RangeInclusive;

const SOL_RAW: i32 = 255;

/// The levels with their numbers; some stand twice, to come more often.
const LEVELS: &[(i32, RangeInclusive<i32>)] = &[
    (SOL_SOCKET, 1..=84),
    (SOL_SOCKET, 1..=84),
    (IPPROTO_IP, 1..=52),
    (IPPROTO_IPV6, 1..=80),
    (IPPROTO_TCP, 1..=45),
    (IPPROTO_UDP, 1..=1),
    (IPPROTO_UDP, 100..=105),
    (SOL_RAW, 1..=2),
    (IPPROTO_ICMPV6, 1..=1),
];

/// Neither set nor read.
const LEFT_OUT: &[(i32, &[i32])] = &[
    // What autotuning moves or memory is charged: SO_SNDBUF and SO_RCVBUF (there is a call of their own), and the
    // FORCE forms, SO_MEMINFO, SO_RESERVE_MEM. Of the machine: SO_PEERSEC and SO_PASSSEC, SO_INCOMING_CPU,
    // SO_INCOMING_NAPI_ID, SO_BUSY_POLL. Descriptors: SO_PASSPIDFD, SO_PEERPIDFD. Of the process: SO_PEERGROUPS.
    // Pointers: filters and programs. Numbers that never repeat: SO_COOKIE, SO_NETNS_COOKIE. The name in the peer's
    // memory: SO_PEERNAME. Time: SO_MAX_PACING_RATE.
    (
        SOL_SOCKET,
        &[
            7, 8, 26, 28, 31, 32, 33, 34, 46, 47, 49, 50, 51, 52, 55, 56, 57, 59, 71, 73, 76, 77,
            78, 79, 80, 84,
        ],
    ),
    // What the layer refuses: IP_OPTIONS and kin, IP_RECVERR_RFC4884, policies. IP_CHECKSUM and IP_PROTOCOL have ports in
    // them.
    (IPPROTO_IP, &[4, 6, 7, 9, 16, 17, 23, 26, 33, 52]),
    // UDP_ENCAP.
    (IPPROTO_UDP, &[100]),
    // The same, with the extension headers and anycast; IPV6_ADDRFORM; IPV6_MULTICAST_IF and _HOPS (an
    // accepted TCP socket has those of its SYN); and numbers of netfilter's modules.
    (
        IPPROTO_IPV6,
        &[
            1, 3, 4, 5, 6, 9, 10, 17, 18, 27, 28, 31, 32, 34, 35, 52, 53, 54, 55, 56, 57, 58, 59,
            64, 65, 68, 69, 80,
        ],
    ),
    // TCP_NODELAY, TCP_CORK, TCP_DEFER_ACCEPT, TCP_QUICKACK, TCP_TX_DELAY: time. TCP_MAXSEG and TCP_WINDOW_CLAMP.
    // TCP_NOTSENT_LOWAT, which counts the numbers of a closed connection.
    // TCP_INFO and TCP_CC_INFO, TCP_TIMESTAMP, TCP_SAVED_SYN: numbers. TCP_MD5SIG, TCP_AO, TCP_ULP, TCP_REPAIR,
    // TCP_ZEROCOPY_RECEIVE, Fast Open and its keys: the machine's, or pointers.
    (
        IPPROTO_TCP,
        &[
            1, 2, 3, 9, 10, 11, 12, 13, 14, 25, 19, 20, 21, 22, 23, 24, 26, 28, 29, 30, 31, 32, 33,
            35, 37, 38, 39, 40, 41, 42, 43,
        ],
    ),
];

/// Values that are no ints.
const STRUCTS: &[(i32, i32, &[&[u8]])] = &[
    (
        SOL_SOCKET,
        libc::SO_LINGER,
        &[&[0; 8], &[1, 0, 0, 0, 0, 0, 0, 0], &[1, 0, 0, 0]],
    ),
    (SOL_SOCKET, libc::SO_RCVTIMEO, TIMES),
    (SOL_SOCKET, libc::SO_SNDTIMEO, TIMES),
    (SOL_SOCKET, 66, TIMES),
    (SOL_SOCKET, 67, TIMES),
    (
        SOL_SOCKET,
        libc::SO_BINDTODEVICE,
        &[b"lo\0", b"lo", b"", b"nope"],
    ),
    (
        SOL_SOCKET,
        61,
        &[
            &[1, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, 4, 0, 0, 0],
            &[11, 0, 0, 0, 1, 0, 0, 0],
        ],
    ),
    (IPPROTO_IP, libc::IP_ADD_MEMBERSHIP, GROUPS),
    (IPPROTO_IP, libc::IP_DROP_MEMBERSHIP, GROUPS),
    (
        IPPROTO_IP,
        libc::IP_MULTICAST_IF,
        &[&[127, 0, 0, 1], &[0; 4], &[0; 12]],
    ),
    (IPPROTO_IP, 39, SOURCES),
    (IPPROTO_IP, 40, SOURCES),
    (IPPROTO_IP, 37, SOURCES),
    (IPPROTO_IP, 38, SOURCES),
    (IPPROTO_IPV6, 20, GROUPS6),
    (IPPROTO_IPV6, 21, GROUPS6),
];

/// `struct timeval`: a millisecond, none, and wrong ones.
const TIMES: &[&[u8]] = &[
    &[0, 0, 0, 0, 0, 0, 0, 0, 0xe8, 3, 0, 0, 0, 0, 0, 0],
    &[0; 16],
    &[0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0],
    &[0xff; 16],
];

/// `struct ip_mreq` and `struct ip_mreqn`, all of them over `lo`.
const GROUPS: &[&[u8]] = &[
    &[239, 1, 2, 3, 127, 0, 0, 1],
    &[239, 1, 2, 3, 0, 0, 0, 0, 1, 0, 0, 0],
    &[239, 1, 2, 4, 127, 0, 0, 1],
    &[10, 1, 2, 3, 127, 0, 0, 1],
];

/// `struct ip_mreq_source`: group, interface, source.
const SOURCES: &[&[u8]] = &[
    &[239, 1, 2, 3, 127, 0, 0, 1, 127, 0, 0, 1],
    &[239, 1, 2, 3, 127, 0, 0, 1, 127, 0, 0, 2],
    &[239, 1, 2, 4, 127, 0, 0, 1, 127, 0, 0, 2],
    &[10, 1, 2, 3, 127, 0, 0, 1, 127, 0, 0, 2],
];

/// `struct ipv6_mreq`
const GROUPS6: &[&[u8]] = &[
    &[
        0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1, 0, 0, 0,
    ],
    &[
        0xff, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1, 0, 0, 0,
    ],
    &[
        0x20, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1, 0, 0, 0,
    ],
    &[
        0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 77, 0, 0, 0,
    ],
];

fn left_out(level: i32, name: i32) -> bool {
    LEFT_OUT
        .iter()
        .any(|(of, names)| *of == level && names.contains(&name))
}

/// Those that sequences read and set often, since they show or change most.
const OFTEN: &[(i32, i32)] = &[
    (SOL_SOCKET, libc::SO_ERROR),
    (SOL_SOCKET, libc::SO_ERROR),
    (SOL_SOCKET, libc::SO_REUSEADDR),
    (SOL_SOCKET, libc::SO_OOBINLINE),
    (SOL_SOCKET, libc::SO_PASSCRED),
    (SOL_SOCKET, libc::SO_RCVLOWAT),
    (SOL_SOCKET, libc::SO_PEEK_OFF),
    (SOL_SOCKET, libc::SO_RXQ_OVFL),
    (SOL_SOCKET, libc::SO_ACCEPTCONN),
    (IPPROTO_IP, libc::IP_RECVERR),
    (IPPROTO_IP, libc::IP_PKTINFO),
    (IPPROTO_IP, libc::IP_RECVTTL),
    (IPPROTO_IP, libc::IP_RECVTOS),
    (IPPROTO_IPV6, libc::IPV6_RECVERR),
    (IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
    (IPPROTO_IPV6, libc::IPV6_V6ONLY),
    (IPPROTO_UDP, 1),
    (IPPROTO_UDP, 103),
];

/// Level and name of one.
pub(super) fn any(rng: &mut Prng) -> (i32, i32) {
    if rng.one_in(3) {
        return rng.of(OFTEN);
    }
    if rng.one_in(40) {
        return (rng.of(&[SOL_SOCKET, IPPROTO_IP, IPPROTO_TCP, 99]), 999);
    }
    loop {
        let (level, names) = &LEVELS[rng.below(LEVELS.len())];
        let many = (names.end() - names.start() + 1) as usize;
        let name = names.start() + rng.below(many) as i32;
        if !left_out(*level, name) {
            return (*level, name);
        }
    }
}

/// A value for it.
pub(super) fn value(rng: &mut Prng, level: i32, name: i32) -> Vec<u8> {
    let shape = STRUCTS.iter().find(|s| (s.0, s.1) == (level, name));
    if let Some((_, _, values)) = shape {
        return rng.of(values).to_vec();
    }
    if (level, name) != (SOL_SOCKET, 62) && rng.one_in(12) {
        return (0..rng.below(40)).map(|_| rng.next() as u8).collect();
    }
    let number = match (level, name) {
        // SO_BINDTOIFINDEX: which errno a device that is not there brings depends on the machine's routes.
        (SOL_SOCKET, 62) => rng.of(&[0, 0, 1, -1]),
        _ => rng.of(&[0, 1, 1, 1, 2, 5, 64, 200, -1, 70_000]),
    };
    let mut bytes = [int(number), int(number)].concat();
    bytes.truncate(if rng.one_in(12) { rng.below(9) } else { 4 });
    bytes
}
