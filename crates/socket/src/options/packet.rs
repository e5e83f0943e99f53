//! `SOL_PACKET`, packet(7).

use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::host::Host;
use crate::packet::fanout::Wanted;
use crate::packet::ring::{BLOCKS, HEADERS, Request, Ring};
use crate::packet::vnet::{HEADER, MERGED};
use crate::packet::{Membership, PacketOptions, Stats};
use crate::table::SocketId;
use alloc::vec::Vec;
use switchboard_abi::Errno;
use switchboard_abi::layout::read_i32;
use switchboard_abi::number::SOCK_RAW;

/// `PACKET_MR_*`: a group's address, everything, every group, one more address.
const MR_MULTICAST: u16 = 0;
const MR_UNICAST: u16 = 3;
/// The length of a link's address, and of `struct packet_mreq` without and with its own.
const ADDRESS: usize = 6;
const MREQ_HEAD: usize = 8;
const MREQ: usize = 16;

/// An option that packet_setsockopt() reads as an `int` of exactly that size.
fn exact(a: &SetArg<'_>) -> Result<i32, Errno> {
    if a.len != 4 {
        return Err(Errno::EINVAL);
    }
    a.int()
}

/// packet_getsockopt() cuts what it tells to the room there is.
fn told(value: i32, a: &GetArg) -> OptValue {
    OptValue::bytes(&value.to_ne_bytes()[..a.len.min(4)], a)
}

macro_rules! option {
    ($get:ident, $set:ident, $read:ident, $field:ident, $to:expr, $from:expr $(, $may:ident)?) => {
        pub(super) fn $get(
            h: &Host,
            _: &Cx<'_>,
            id: SocketId,
            a: &GetArg,
        ) -> Result<OptValue, Errno> {
            let get: fn(&PacketOptions) -> i32 = $to;
            Ok(told(get(&h.packet(id)?.options), a))
        }

        pub(super) fn $set(
            h: &mut Host,
            _: &mut Cx<'_>,
            id: SocketId,
            a: &SetArg<'_>,
        ) -> Result<(), Errno> {
            let from: fn(i32) -> Result<_, Errno> = $from;
            let value = from($read(a)?)?;
            $($may(h, id)?;)?
            h.packet_mut(id)?.options.$field = value;
            Ok(())
        }
    };
}

/// An `int` at least, of which the first four bytes count.
fn at_least(a: &SetArg<'_>) -> Result<i32, Errno> {
    a.int()
}

option!(
    get_auxdata,
    set_auxdata,
    at_least,
    auxdata,
    |o| o.auxdata.into(),
    |v| Ok(v != 0)
);
option!(
    get_origdev,
    set_origdev,
    at_least,
    origdev,
    |o| o.origdev.into(),
    |v| Ok(v != 0)
);
option!(
    get_loss,
    set_loss,
    exact,
    loss,
    |o| o.loss.into(),
    |v| Ok(v != 0),
    without_ring
);
option!(
    get_tx_has_off,
    set_tx_has_off,
    exact,
    tx_has_off,
    |o| o.tx_has_off.into(),
    |v| Ok(v != 0)
);
option!(
    get_qdisc_bypass,
    set_qdisc_bypass,
    exact,
    qdisc_bypass,
    |o| o.qdisc_bypass.into(),
    |v| Ok(v != 0)
);
option!(
    get_copy_thresh,
    set_copy_thresh,
    exact,
    copy_thresh,
    |o| o.copy_thresh,
    Ok
);
option!(
    get_timestamp,
    set_timestamp,
    exact,
    timestamp,
    |o| o.timestamp,
    Ok
);
option!(
    get_ignore_outgoing,
    set_ignore_outgoing,
    exact,
    ignore_outgoing,
    |o| o.ignore_outgoing.into(),
    |v| match v {
        0 | 1 => Ok(v != 0),
        _ => Err(Errno::EINVAL),
    }
);
option!(
    get_version,
    set_version,
    exact,
    version,
    |o| o.version,
    |v| match v {
        0..=BLOCKS => Ok(v),
        _ => Err(Errno::EINVAL),
    },
    without_ring
);
option!(
    get_reserve,
    set_reserve,
    exact,
    reserve,
    |o| o.reserve as i32,
    |v| match u32::try_from(v) {
        Ok(v) => Ok(v),
        Err(_) => Err(Errno::EINVAL),
    },
    without_ring
);

/// The version stands where the answer will.
pub(super) fn get_hdrlen(_: &Host, _: &Cx<'_>, _: SocketId, a: &GetArg) -> Result<OptValue, Errno> {
    let version = read_i32(a.given(4)?, 0);
    let length = usize::try_from(version).ok().and_then(|v| HEADERS.get(v));
    Ok(told(*length.ok_or(Errno::EINVAL)? as i32, a))
}

/// `struct tpacket_stats`, where what was dropped counts as a packet too; it begins anew.
pub(super) fn get_statistics(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let s = h.packet(id)?;
    let Stats { packets, drops } = s.stats;
    let mut bytes = Vec::with_capacity(12);
    bytes.extend_from_slice(&packets.wrapping_add(drops).to_ne_bytes());
    bytes.extend_from_slice(&drops.to_ne_bytes());
    if s.options.version == BLOCKS {
        // `struct tpacket_stats_v3`
        let freezes = s.ring.as_ref().map_or(0, |ring| ring.freezes());
        bytes.extend_from_slice(&freezes.to_ne_bytes());
    }
    Ok(OptValue {
        takes: true,
        ..OptValue::bytes(&bytes, a)
    })
}

/// packet_set_ring(): what is asked for, `None` for no ring.
fn ring_request(
    h: &Host,
    id: SocketId,
    a: &SetArg<'_>,
    has_one: bool,
) -> Result<Option<Request>, Errno> {
    let version = h.packet(id)?.options.version;
    let len = if version == BLOCKS { 28 } else { 16 };
    // copy_safe_from_sockptr(), whose EFAULT is not passed on.
    let raw = a.bytes(len).map_err(|_| Errno::EINVAL)?;
    let word = |at: usize| match raw.get(4 * at..4 * at + 4) {
        Some(bytes) => u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
        None => 0,
    };
    let request = Request {
        block_size: word(0),
        blocks: word(1),
        frame_size: word(2),
        frames: word(3),
        retire: word(4),
        private: word(5),
        features: word(6),
    };
    match (request.blocks, request.frames) {
        (0, 0) => Ok(None),
        (0, _) => Err(Errno::EINVAL),
        _ if has_one => Err(Errno::EBUSY),
        _ => Ok(Some(request)),
    }
}

/// Of what comes.
pub(super) fn set_rx_ring(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let has_one = h.packet(id)?.ring.is_some();
    let request = ring_request(h, id, a, has_one)?;
    without_header(h, id, request.as_ref())?;
    let make = h.make_ring;
    let s = h.packet_mut(id)?;
    let ring = match request {
        None => None,
        Some(request) => {
            let PacketOptions {
                version, reserve, ..
            } = s.options;
            let clock = (cx.now, cx.realtime);
            let room = |len| s.ring_with_room_behind(len, make);
            Some(Ring::new(&request, version, reserve, clock, room)?)
        }
    };
    s.set_ring(ring);
    Ok(())
}

/// A virtio header and a ring are not to be had together, here.
fn without_header(h: &Host, id: SocketId, request: Option<&Request>) -> Result<(), Errno> {
    match request {
        Some(_) if h.packet(id)?.options.vnet > 0 => Err(Errno::EINVAL),
        _ => Ok(()),
    }
}

pub(super) fn get_vnet_hdr(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(told((h.packet(id)?.options.vnet > 0).into(), a))
}

pub(super) fn get_vnet_hdr_sz(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(told(h.packet(id)?.options.vnet.into(), a))
}

/// `PACKET_VNET_HDR`, and with `SIZE` `PACKET_VNET_HDR_SZ`, which says how long the header is.
pub(super) fn set_vnet_hdr<const SIZE: bool>(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if i32::from(h.get(id)?.common.ty) != SOCK_RAW {
        return Err(Errno::EINVAL);
    }
    let value = a.int()?;
    let size = match (value, u8::try_from(value)) {
        (0, _) => 0,
        _ if !SIZE => HEADER,
        (_, Ok(size @ (HEADER | MERGED))) => size,
        _ => return Err(Errno::EINVAL),
    };
    without_ring(h, id)?;
    h.packet_mut(id)?.options.vnet = size;
    Ok(())
}

/// Of what is sent.
pub(super) fn set_tx_ring(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let has_one = h.packet(id)?.sending.is_some();
    let request = ring_request(h, id, a, has_one)?;
    without_header(h, id, request.as_ref())?;
    let make = h.make_ring;
    h.packet_mut(id)?.set_tx_ring(request.as_ref(), make)
}

/// `struct fanout_args`, or the first half of it.
pub(super) fn set_fanout(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if a.len != 4 && a.len != 8 {
        return Err(Errno::EINVAL);
    }
    let raw = a.bytes(a.len)?;
    let most = raw.get(4..8).map_or(0, |raw| read_i32(raw, 0) as u32);
    let wanted = Wanted {
        id: u16::from_ne_bytes([raw[0], raw[1]]),
        kind: raw[2],
        flags: raw[3],
        most,
    };
    h.fanout_join(id, &wanted)
}

pub(super) fn get_fanout(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let member = h.packet(id)?.fanout.as_ref();
    Ok(told(member.map_or(0, |member| member.told()) as i32, a))
}

/// fanout_set_data() of a socket that has nothing to choose by a program. The others' is read by the call itself.
pub(super) fn set_fanout_data(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    _: &SetArg<'_>,
) -> Result<(), Errno> {
    h.packet(id)?;
    Err(Errno::EINVAL)
}

/// `struct tpacket_rollover_stats`
pub(super) fn get_rollover_stats(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let member = h.packet(id)?.fanout.as_ref();
    let stats = member.and_then(|member| member.rollover_stats());
    let bytes = stats.ok_or(Errno::EINVAL)?.map(u64::to_ne_bytes).concat();
    Ok(OptValue::bytes(&bytes[..a.len.min(24)], a))
}

/// Where there is a ring, the option is taken and stays as it is.
pub(super) fn set_tx_has_off_before_rings(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    exact(a)?;
    match without_ring(h, id) {
        Ok(()) => set_tx_has_off(h, cx, id, a),
        Err(_) => Ok(()),
    }
}

/// What a ring is made by stays while there is one.
fn without_ring(h: &Host, id: SocketId) -> Result<(), Errno> {
    let s = h.packet(id)?;
    match s.ring.is_some() || s.sending.is_some() {
        true => Err(Errno::EBUSY),
        false => Ok(()),
    }
}

/// `struct packet_mreq`, whose address may be longer than its own field.
fn membership(a: &SetArg<'_>) -> Result<Membership, Errno> {
    if a.len < MREQ {
        return Err(Errno::EINVAL);
    }
    let raw = a.bytes(MREQ)?;
    let length = u16::from_ne_bytes([raw[6], raw[7]]);
    if a.len < MREQ_HEAD + usize::from(length) {
        return Err(Errno::EINVAL);
    }
    let mut address = [0; ADDRESS];
    let known = usize::from(length).min(ADDRESS);
    address[..known].copy_from_slice(&raw[MREQ_HEAD..MREQ_HEAD + known]);
    Ok(Membership {
        interface: read_i32(raw, 0) as u32,
        kind: u16::from_ne_bytes([raw[4], raw[5]]),
        address,
        length,
        count: 1,
    })
}

fn same(a: &Membership, b: &Membership) -> bool {
    Membership { count: 0, ..*a } == Membership { count: 0, ..*b }
}

/// packet_mc_add()
pub(super) fn set_add(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let wanted = membership(a)?;
    h.link(wanted.interface as i32).ok_or(Errno::ENODEV)?;
    if usize::from(wanted.length) > ADDRESS {
        return Err(Errno::EINVAL);
    }
    // What all are limited to by net.core.optmem_max.
    let most = h.stack.sysctl().optmem_max as usize / core::mem::size_of::<Membership>();
    let list = &mut h.packet_mut(id)?.memberships;
    if let Some(member) = list.iter_mut().find(|member| same(member, &wanted)) {
        member.count += 1;
        return Ok(());
    }
    if matches!(wanted.kind, MR_MULTICAST | MR_UNICAST) && usize::from(wanted.length) != ADDRESS {
        return Err(Errno::EINVAL);
    }
    if list.len() >= most {
        return Err(Errno::ENOBUFS);
    }
    list.push(wanted);
    Ok(())
}

/// packet_mc_drop(): one that there is not is nothing to complain of.
pub(super) fn set_drop(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let gone = membership(a)?;
    let list = &mut h.packet_mut(id)?.memberships;
    if let Some(at) = list.iter().position(|member| same(member, &gone)) {
        list[at].count -= 1;
        if list[at].count == 0 {
            list.swap_remove(at);
        }
    }
    Ok(())
}
