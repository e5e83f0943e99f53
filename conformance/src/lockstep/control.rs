//! Control messages to send.

use super::prng::Prng;
use crate::mem::int;
use crate::msg::{cmsg, creds};
use libc::{IPPROTO_IP, IPPROTO_IPV6, SOL_SOCKET};

const SOL_UDP: i32 = 17;
const UDP_SEGMENT: i32 = 103;
const SO_TIMESTAMPING: i32 = 37;
const SO_TXTIME: i32 = 61;

/// One control message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// These bytes of data.
    Plain {
        level: i32,
        kind: i32,
        data: Vec<u8>,
    },
    /// SCM_CREDENTIALS: this process, or one that is not there; uid and gid.
    Credentials { own: bool, uid: u32, gid: u32 },
    /// A header that says this length, and nothing more.
    Length(u64),
}

/// Level, kind, length of the data.
const INTS: &[(i32, i32, usize)] = &[
    (IPPROTO_IP, libc::IP_TOS, 1),
    (IPPROTO_IP, libc::IP_TOS, 4),
    (IPPROTO_IP, libc::IP_TTL, 4),
    (IPPROTO_IP, libc::IP_TTL, 4),
    (IPPROTO_IPV6, libc::IPV6_TCLASS, 4),
    (IPPROTO_IPV6, libc::IPV6_HOPLIMIT, 4),
    (IPPROTO_IPV6, libc::IPV6_DONTFRAG, 4),
    (IPPROTO_IP, 28, 4),
    (SOL_SOCKET, libc::SO_MARK, 4),
    (SOL_SOCKET, libc::SO_PRIORITY, 4),
    (SOL_SOCKET, SO_TIMESTAMPING, 4),
    (SOL_SOCKET, SO_TXTIME, 8),
    (SOL_UDP, UDP_SEGMENT, 2),
    (SOL_UDP, UDP_SEGMENT, 4),
];

impl Control {
    pub(super) fn random(rng: &mut Prng) -> Control {
        match rng.below(12) {
            0 => Control::Length(rng.of(&[0, 8, 15, 16, 17, 20, 1000, u64::MAX])),
            1 | 2 => Control::Credentials {
                own: !rng.one_in(6),
                uid: rng.of(&[0, 0, 0, 1000]),
                gid: rng.of(&[0, 0, 0, 1000]),
            },
            3 | 4 => Control::packet_info4(rng),
            5 => Control::packet_info6(rng),
            6 => {
                let data = (0..rng.below(24)).map(|_| rng.next() as u8).collect();
                let level = rng.of(&[SOL_SOCKET, 6, SOL_UDP, 99]);
                // Not a number that names files.
                let kind = 2 + rng.below(90) as i32;
                Control::Plain { level, kind, data }
            }
            _ => {
                let (level, kind, len) = rng.of(INTS);
                let value: i64 = rng.of(&[0, 1, 1, 2, 5, 64, 100, 255, 256, -1, 70_000]);
                let mut data = value.to_ne_bytes().to_vec();
                data.truncate(if rng.one_in(10) { rng.below(9) } else { len });
                Control::Plain { level, kind, data }
            }
        }
    }

    /// `struct in_pktinfo`
    fn packet_info4(rng: &mut Prng) -> Control {
        let mut data = int(rng.of(&[0, 0, 1, 7, -1])).to_vec();
        data.extend(rng.of(&[[0; 4], [127, 0, 0, 1], [127, 0, 0, 2], [192, 0, 2, 1]]));
        data.extend([0; 4]);
        let (level, kind) = (IPPROTO_IP, libc::IP_PKTINFO);
        Control::Plain { level, kind, data }
    }

    /// `struct in6_pktinfo`
    fn packet_info6(rng: &mut Prng) -> Control {
        let mut data = [0; 20];
        match rng.below(4) {
            0 => {}
            1 => data[0] = 0x20,
            _ => data[15] = 1,
        }
        data[16..].copy_from_slice(&int(rng.of(&[0, 0, 1, 7])));
        let (level, kind) = (IPPROTO_IPV6, libc::IPV6_PKTINFO);
        let data = data.to_vec();
        Control::Plain { level, kind, data }
    }

    /// Its bytes, for a process of this number.
    pub(super) fn bytes(&self, pid: [u8; 4]) -> Vec<u8> {
        match self {
            Control::Plain { level, kind, data } => cmsg(*level, *kind, data),
            Control::Credentials { own, uid, gid } => {
                let pid = if *own {
                    i32::from_ne_bytes(pid)
                } else {
                    i32::MAX
                };
                creds(pid, *uid, *gid)
            }
            Control::Length(len) => {
                let mut bytes = len.to_ne_bytes().to_vec();
                bytes.extend(int(SOL_SOCKET));
                bytes.extend(int(99));
                bytes
            }
        }
    }
}
