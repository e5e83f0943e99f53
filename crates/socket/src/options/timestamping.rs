//! Time stamps, socket(7) and the kernel's timestamping text: `SO_TIMESTAMP`, `SO_TIMESTAMPNS` and
//! `SO_TIMESTAMPING`, each in an old form that follows the caller's word and a new one that does not.

use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::host::Host;
use crate::socket::{Common, CommonFlags, Kind};
use crate::table::SocketId;
use bitflags::bitflags;
use switchboard_abi::Errno;
use switchboard_engine::{State, UdpSet};

bitflags! {
    /// `SOF_TIMESTAMPING_*` of linux/net_tstamp.h.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub(crate) struct Sof: u32 {
        const TX_HARDWARE = 1 << 0;
        const TX_SOFTWARE = 1 << 1;
        const RX_HARDWARE = 1 << 2;
        const RX_SOFTWARE = 1 << 3;
        const SOFTWARE = 1 << 4;
        const SYS_HARDWARE = 1 << 5;
        const RAW_HARDWARE = 1 << 6;
        const OPT_ID = 1 << 7;
        const TX_SCHED = 1 << 8;
        const TX_ACK = 1 << 9;
        const OPT_CMSG = 1 << 10;
        const OPT_TSONLY = 1 << 11;
        const OPT_STATS = 1 << 12;
        const OPT_PKTINFO = 1 << 13;
        const OPT_TX_SWHW = 1 << 14;
        const BIND_PHC = 1 << 15;
        const OPT_ID_TCP = 1 << 16;
        const OPT_RX_FILTER = 1 << 17;
        const TX_COMPLETION = 1 << 18;
    }
}

impl Sof {
    /// SOF_TIMESTAMPING_TX_RECORD_MASK: what one message may ask for in a control message.
    pub(crate) const TX_RECORD: Sof = Sof::TX_HARDWARE
        .union(Sof::TX_SOFTWARE)
        .union(Sof::TX_SCHED)
        .union(Sof::TX_ACK)
        .union(Sof::TX_COMPLETION);
}

/// `struct so_timestamping`, and the number of the next message that is stamped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamping {
    pub(crate) flags: Sof,
    /// `sk_tskey`: of a stream the sequence number that its bytes are counted from.
    pub(crate) key: u32,
}

impl Stamping {
    pub(crate) const NONE: Stamping = Stamping {
        flags: Sof::empty(),
        key: 0,
    };
}

impl Common {
    /// Whether what comes in is stamped (sock_enable_timestamp()).
    pub(crate) fn stamps(&self) -> bool {
        self.has(CommonFlags::TIMESTAMP) || self.rare().stamping.flags.contains(Sof::RX_SOFTWARE)
    }

    /// SK_FLAGS_TIMESTAMP: whether the socket has everything stamped that comes in, for whomever it is. `SO_TIMESTAMP`
    /// and kin do for as long as the socket is open, `SO_TIMESTAMPING` until it is switched off.
    pub(crate) fn enables_stamps(&self) -> bool {
        self.has(CommonFlags::STAMPED) || self.rare().stamping.flags.contains(Sof::RX_SOFTWARE)
    }
}

/// __sock_set_timestamps(). Which of the forms it is stays known when the option is switched off.
fn set_stamp(
    h: &mut Host,
    cx: &Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
    new: bool,
    nanos: bool,
) -> Result<(), Errno> {
    let on = a.bool()?;
    change_stamps(h, cx, id, |common| {
        let flags = &mut common.flags;
        flags.set(CommonFlags::TIMESTAMP, on);
        flags.set(CommonFlags::TIMESTAMPNS, on && nanos);
        if on {
            flags.set(CommonFlags::TIMESTAMP_NEW, new);
            flags.insert(CommonFlags::STAMPED);
        }
    })
}

/// Changes what a socket says of time stamps, with what follows from it.
pub(crate) fn change_stamps(
    h: &mut Host,
    cx: &Cx<'_>,
    id: SocketId,
    change: impl FnOnce(&mut Common),
) -> Result<(), Errno> {
    if h.sockets.change_stamps(id, change) {
        h.stamped_since = cx.now;
        if let Kind::Tcp(s) = h.kind(id)? {
            let handle = s.handle;
            h.stack.tcp_forget_receive(handle);
        }
    }
    let socket = h.get(id)?;
    if let Kind::Udp(s) = &socket.kind {
        // Who takes them tells of those, too, that another socket has made.
        let takes = socket.common.rare().stamping.flags.contains(Sof::SOFTWARE);
        let (handle, on) = (s.handle, socket.common.stamps() || takes);
        h.stack.udp_set(handle, UdpSet::Stamps(on));
    }
    Ok(())
}

macro_rules! stamp {
    ($get:ident, $set:ident, $new:literal, $nanos:literal, $is:expr) => {
        pub(super) fn $set(
            h: &mut Host,
            cx: &mut Cx<'_>,
            id: SocketId,
            a: &SetArg<'_>,
        ) -> Result<(), Errno> {
            set_stamp(h, cx, id, a, $new, $nanos)
        }

        pub(super) fn $get(
            h: &Host,
            _: &Cx<'_>,
            id: SocketId,
            a: &GetArg,
        ) -> Result<OptValue, Errno> {
            let common = &h.get(id)?.common;
            let is: fn(stamp: bool, nanos: bool, new: bool) -> bool = $is;
            let on = is(
                common.has(CommonFlags::TIMESTAMP),
                common.has(CommonFlags::TIMESTAMPNS),
                common.has(CommonFlags::TIMESTAMP_NEW),
            );
            Ok(OptValue::bool(on, a))
        }
    };
}

// An old form is on when it was the last one asked for; SO_TIMESTAMP_NEW does not look at the
// fraction.
stamp!(
    get_timestamp_old,
    set_timestamp_old,
    false,
    false,
    |stamp, nanos, new| stamp && !nanos && !new
);
stamp!(
    get_timestamp_new,
    set_timestamp_new,
    true,
    false,
    |stamp, _, new| stamp && new
);
stamp!(
    get_timestampns_old,
    set_timestampns_old,
    false,
    true,
    |_, nanos, new| nanos && !new
);
stamp!(
    get_timestampns_new,
    set_timestampns_new,
    true,
    true,
    |_, nanos, new| nanos && new
);

/// sock_set_timestamping(): an `int` of flags, or a whole `struct so_timestamping`.
fn set_timestamping(
    h: &mut Host,
    cx: &Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
    new: bool,
) -> Result<(), Errno> {
    let value = a.int()?;
    if a.len == 8 {
        // The clock of a device, which counts with BIND_PHC only.
        a.bytes(8)?;
    }
    let flags = Sof::from_bits(value as u32).ok_or(Errno::EINVAL)?;
    if flags.contains(Sof::OPT_ID_TCP) && !flags.contains(Sof::OPT_ID) {
        return Err(Errno::EINVAL);
    }
    let socket = h.get(id)?;
    let mut key = socket.common.rare().stamping.key;
    if flags.contains(Sof::OPT_ID) && !socket.common.rare().stamping.flags.contains(Sof::OPT_ID) {
        // Messages are counted from now on, bytes from what has been acknowledged or written.
        key = match &socket.kind {
            Kind::Tcp(s) => {
                if matches!(h.stack.tcp_state(s.handle), State::Close | State::Listen) {
                    return Err(Errno::EINVAL);
                }
                let (unacknowledged, written) = h.stack.tcp_send_sequence(s.handle);
                if flags.contains(Sof::OPT_ID_TCP) {
                    written
                } else {
                    unacknowledged
                }
            }
            _ => 0,
        };
    }
    if flags.contains(Sof::OPT_STATS)
        && (!flags.contains(Sof::OPT_TSONLY) || matches!(h.kind(id)?, Kind::Tcp(_)))
    {
        // Statistics of a connection (tcp_get_timestamping_opt_stats()) are not told; of others Linux has none.
        return Err(Errno::EINVAL);
    }
    if flags.contains(Sof::BIND_PHC) {
        // sock_timestamping_bind_phc(): a clock of the device that the socket is bound to, of which
        // there is none here.
        let device = socket.common.device();
        return Err(match device.and_then(|device| h.stack.interface(device)) {
            None => Errno::EOPNOTSUPP,
            Some(_) => Errno::EINVAL,
        });
    }
    change_stamps(h, cx, id, |common| {
        common.flags.set(CommonFlags::TIMESTAMP_NEW, new);
        common.rare_mut().stamping = Stamping { flags, key };
    })
}

pub(super) fn set_timestamping_old(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    set_timestamping(h, cx, id, a, false)
}

pub(super) fn set_timestamping_new(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    set_timestamping(h, cx, id, a, true)
}

fn get_timestamping(h: &Host, id: SocketId, a: &GetArg, new: bool) -> Result<OptValue, Errno> {
    let common = &h.get(id)?.common;
    let mut bytes = [0; 8];
    // The new form tells only what was set by a new form, the old one tells all.
    if !new || common.has(CommonFlags::TIMESTAMP_NEW) {
        let flags = common.rare().stamping.flags;
        bytes[..4].copy_from_slice(&flags.bits().to_ne_bytes());
    }
    Ok(OptValue::bytes(&bytes, a))
}

pub(super) fn get_timestamping_old(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    get_timestamping(h, id, a, false)
}

pub(super) fn get_timestamping_new(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    get_timestamping(h, id, a, true)
}
