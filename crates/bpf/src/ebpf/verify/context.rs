//! What a program may read of its context: `struct __sk_buff` or `struct sk_reuseport_md`.

use super::super::program::ProgramKind;
use super::scalar::Scalar;
use super::state::Reg;
use crate::packet::{SocketFields, Which};

/// A field that a program may read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum Field {
    Len,
    PktType,
    Mark,
    Queue,
    Protocol,
    Priority,
    IngressIfIndex,
    IfIndex,
    /// One of five words that are the program's, zero at first.
    Cb(u8),
    Hash,
    /// What is always zero here: VLANs, traffic control, what hardware has found.
    Zero,
    Data,
    DataEnd,
    IpProtocol,
    BindInany,
    /// `sk` and `migrating_sk`.
    Socket(Which),
}

/// The field at an offset, where it starts and how long it is.
fn field(kind: ProgramKind, off: i64) -> Option<(Field, i64, usize)> {
    use Field::*;
    Some(match kind {
        ProgramKind::SocketFilter => {
            let at = off & !3;
            let field = match at {
                0 => Len,
                4 => PktType,
                8 => Mark,
                12 => Queue,
                16 => Protocol,
                // vlan_present, vlan_tci, vlan_proto
                20 | 24 | 28 => Zero,
                32 => Priority,
                36 => IngressIfIndex,
                40 => IfIndex,
                44 => Zero,
                48 | 52 | 56 | 60 | 64 => Cb(((at - 48) / 4) as u8),
                68 => Hash,
                // napi_id, gso_segs, gso_size
                84 | 164 | 176 => Zero,
                _ => return None,
            };
            (field, at, 4)
        }
        ProgramKind::SkReuseport => match off {
            0..8 => (Data, 0, 8),
            8..16 => (DataEnd, 8, 8),
            40..48 => (Socket(Which::Found), 40, 8),
            48..56 => (Socket(Which::Migrating), 48, 8),
            _ => {
                let at = off & !3;
                let field = match at {
                    16 => Len,
                    20 => Protocol,
                    24 => IpProtocol,
                    28 => BindInany,
                    32 => Hash,
                    _ => return None,
                };
                (field, at, 4)
            }
        },
    })
}

/// What a load of the context gives; `None`: it may not be.
pub(super) fn load(kind: ProgramKind, off: i64, size: usize) -> Option<Reg> {
    if off < 0 || off % size as i64 != 0 {
        return None;
    }
    let (field, at, width) = field(kind, off)?;
    if off + size as i64 > at + width as i64 {
        return None;
    }
    match field {
        Field::Data | Field::DataEnd | Field::Socket(_) if size != 8 => None,
        Field::Data => Some(Reg::Packet {
            id: 0,
            off: 0,
            range: 0,
        }),
        Field::DataEnd => Some(Reg::PacketEnd),
        Field::Socket(Which::Found) => Some(Reg::Socket(Which::Found)),
        Field::Socket(Which::Migrating) => Some(Reg::SocketOrNull(0)),
        // sk_reuseport_is_valid_access()
        Field::Hash if kind == ProgramKind::SkReuseport && size != 4 => None,
        Field::Protocol if kind == ProgramKind::SkReuseport && size < 2 => None,
        _ => Some(Reg::Number(Scalar::of_size(size))),
    }
}

/// Whether a field of a socket may be read: bpf_sock_is_valid_access(), and of a `struct sock_common` what both have.
pub(super) fn in_socket(which: Which, off: i64, size: usize) -> bool {
    let (end, width) = (4 * SocketFields::WORDS as i64, size as i64);
    if off < 0 || off >= end || off % width != 0 {
        return false;
    }
    match off & !3 {
        // type, protocol, mark and priority are none of the common part.
        8..=20 if which == Which::Migrating => false,
        // bound_dev_if, mark, priority
        0 | 16 | 20 => size == 4,
        // Of addresses any part.
        24..=40 | 52..=68 => size <= 4,
        // dst_port has two bytes, behind which nothing is; a word reads both.
        48 => size == 4 || off + width <= 50,
        // The others from their start.
        _ => size == 4 || (size < 4 && off % 4 == 0),
    }
}

/// Whether the context may be written there.
pub(super) fn may_store(kind: ProgramKind, off: i64, size: usize) -> bool {
    kind == ProgramKind::SocketFilter && size == 4 && off % 4 == 0 && (48..68).contains(&off)
}

/// Where a load that was verified goes, for who runs it: the field, and the byte of it.
pub(in super::super) fn find(kind: ProgramKind, off: i64) -> Option<(Field, usize)> {
    let (field, at, _) = field(kind, off)?;
    usize::try_from(off - at).ok().map(|byte| (field, byte))
}
