//! Control messages of `SOL_SOCKET`: what comes with a message (sock_recv_cmsgs()), and what a message
//! may say for itself (__sock_cmsg_send()).

use super::timestamping::Sof;
use crate::call::Cx;
use crate::cred::Caps;
use crate::message::{ControlOut, SendControl};
use crate::socket::{Common, CommonFlags};
use alloc::vec::Vec;
use core::time::Duration;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_engine::Tag;

/// What a queue keeps of a message beside the message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrival {
    /// When it came, since the epoch; `None` when nobody had asked by then.
    pub(crate) at: Option<Duration>,
    /// How many were dropped before it, when `SO_RXQ_OVFL` was set.
    pub(crate) drops: u32,
    /// What its sender's packet was marked with.
    pub(crate) tag: Tag,
}

/// __sock_recv_cmsgs(), in its order.
pub(crate) fn received(cx: &Cx<'_>, common: &Common, arrival: &Arrival, out: &mut Vec<ControlOut>) {
    stamps(cx, common, arrival.at, false, out);
    let mut word = |kind, value: u32| {
        out.push(ControlOut::Raw {
            level: SOL_SOCKET,
            kind,
            data: value.to_ne_bytes().to_vec(),
        });
    };
    if common.has(CommonFlags::RXQ_OVFL) && arrival.drops > 0 {
        word(SO_RXQ_OVFL, arrival.drops);
    }
    if common.has(CommonFlags::RCVMARK) {
        word(SO_MARK, arrival.tag.mark);
    }
    if common.has(CommonFlags::RCVPRIORITY) {
        word(SO_PRIORITY, arrival.tag.priority);
    }
}

/// __sock_recv_timestamp() of a message that came in, or of the error queue.
pub(crate) fn stamps(
    cx: &Cx<'_>,
    common: &Common,
    at: Option<Duration>,
    of_error: bool,
    out: &mut Vec<ControlOut>,
) {
    let new = common.has(CommonFlags::TIMESTAMP_NEW);
    let mut at = at;
    if common.has(CommonFlags::TIMESTAMP) {
        // "Race occurred between timestamp enabling and packet receiving. Fill in the current time."
        let stamp = *at.get_or_insert(cx.realtime);
        out.push(if common.has(CommonFlags::TIMESTAMPNS) {
            ControlOut::TimestampNs { at: stamp, new }
        } else {
            ControlOut::Timestamp { at: stamp, new }
        });
    }
    let flags = common.rare().stamping.flags;
    let wanted = flags.contains(Sof::SOFTWARE)
        && (of_error || flags.contains(Sof::RX_SOFTWARE) || !flags.contains(Sof::OPT_RX_FILTER));
    if wanted && let Some(at) = at {
        out.push(ControlOut::Timestamping { at, new });
    }
}

/// `struct sockcm_cookie`: what a message says for itself, or its socket for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cookie {
    /// `SO_MARK` and `SO_PRIORITY`.
    pub(crate) tag: Tag,
    /// The stamps that were asked for.
    pub(crate) stamps: Sof,
    /// `SCM_TS_OPT_ID`
    pub(crate) stamp_id: Option<u32>,
    /// `SCM_DEVMEM_DMABUF` names a buffer, where no socket here has one.
    pub(crate) of_device: bool,
}

impl Cookie {
    /// sockcm_init()
    pub(crate) fn new(common: &Common) -> Cookie {
        let rare = common.rare();
        Cookie {
            tag: Tag {
                mark: rare.mark,
                priority: common.priority,
                paged: false,
            },
            stamps: rare.stamping.flags,
            stamp_id: None,
            of_device: false,
        }
    }
}

/// sk_set_prio_allowed()
pub(crate) fn may_prioritize(caps: Caps, priority: u32) -> bool {
    priority <= 6 || may_mark(caps)
}

pub(crate) fn may_mark(caps: Caps) -> bool {
    caps.intersects(Caps::NET_ADMIN | Caps::NET_RAW)
}

fn word(data: &[u8]) -> Result<u32, Errno> {
    let raw: [u8; 4] = data.try_into().map_err(|_| Errno::EINVAL)?;
    Ok(u32::from_ne_bytes(raw))
}

impl Cookie {
    /// __sock_cmsg_send(): one control message of `SOL_SOCKET`.
    pub(crate) fn apply(
        &mut self,
        caps: Caps,
        common: &Common,
        kind: i32,
        data: &[u8],
    ) -> Result<(), Errno> {
        match kind {
            SO_MARK => {
                if !may_mark(caps) {
                    return Err(Errno::EPERM);
                }
                self.tag.mark = word(data)?;
            }
            SO_TIMESTAMPING_OLD | SO_TIMESTAMPING_NEW => {
                let asked = Sof::from_bits(word(data)?).ok_or(Errno::EINVAL)?;
                if !Sof::TX_RECORD.contains(asked) {
                    return Err(Errno::EINVAL);
                }
                self.stamps = self.stamps.difference(Sof::TX_RECORD) | asked;
            }
            SCM_TXTIME => {
                // The time is for a packet scheduler that no interface here has.
                if !common.has(CommonFlags::TXTIME) || data.len() != 8 {
                    return Err(Errno::EINVAL);
                }
            }
            SCM_TS_OPT_ID => {
                let stream = i32::from(common.ty) == SOCK_STREAM;
                if stream || !common.rare().stamping.flags.contains(Sof::OPT_ID) {
                    return Err(Errno::EINVAL);
                }
                self.stamp_id = Some(word(data)?);
            }
            SO_PRIORITY => {
                let value = word(data)?;
                if !may_prioritize(caps, value) {
                    return Err(Errno::EPERM);
                }
                self.tag.priority = value;
            }
            // A buffer of a device's memory, which only TCP looks for.
            SCM_DEVMEM_DMABUF => self.of_device = word(data)? != 0,
            SCM_RIGHTS | SCM_CREDENTIALS => {}
            _ => return Err(Errno::EINVAL),
        }
        Ok(())
    }

    /// sock_cmsg_send(): all of them; other levels are not for it.
    pub(crate) fn apply_all(
        &mut self,
        caps: Caps,
        common: &Common,
        control: &SendControl,
    ) -> Result<(), Errno> {
        for (level, kind, data) in &control.other {
            if *level == SOL_SOCKET {
                self.apply(caps, common, *kind, data)?;
            }
        }
        Ok(())
    }
}
