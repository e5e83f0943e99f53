//! `SO_PEEK_OFF`, socket(7): where the next MSG_PEEK begins. A peek moves it on, a receive back.

use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::host::Host;
use crate::inet::raw::Datagram;
use crate::message::Skip;
use crate::socket::{Common, Kind};
use crate::table::SocketId;
use switchboard_abi::Errno;
use switchboard_abi::number::MSG_PEEK;
use switchboard_engine::Instant;

/// What a peek at an offset leaves behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PeekEffect {
    /// How far the offset moves.
    pub(crate) by: usize,
    /// An empty datagram, by its place in the queue, which the next peek passes over.
    pub(crate) empty: Option<usize>,
    /// When the datagram came, for SIOCGSTAMP.
    pub(crate) at: Option<Instant>,
}

impl PeekEffect {
    /// Of a stream.
    pub(crate) fn of_bytes(by: usize) -> PeekEffect {
        PeekEffect {
            by,
            empty: None,
            at: None,
        }
    }
}

impl Common {
    /// sk_peek_offset(): where a receive with these flags begins, when it peeks at an offset.
    pub(crate) fn peek_offset(&self, flags: i32, skip: Skip) -> Option<usize> {
        if flags & MSG_PEEK == 0 {
            return None;
        }
        let offset = usize::try_from(self.rare().peek_off).ok()?;
        Some(offset.saturating_add(skip.peeked))
    }

    /// sk_peek_offset_bwd(): bytes in front of the offset were taken.
    pub(crate) fn peek_back(&mut self, n: usize) {
        if self.rare().peek_off >= 0 {
            let off = &mut self.rare_mut().peek_off;
            *off = off
                .saturating_sub(i32::try_from(n).unwrap_or(i32::MAX))
                .max(0);
        }
    }

    /// sk_peek_offset_fwd()
    fn peek_forward(&mut self, n: usize) {
        if self.rare().peek_off >= 0 {
            let off = &mut self.rare_mut().peek_off;
            *off = off.saturating_add(i32::try_from(n).unwrap_or(i32::MAX));
        }
    }
}

/// Which datagram a peek at an offset is about (__skb_try_recv_from_queue()).
pub(crate) struct PeekWalk {
    /// Where in the datagram that is not passed over it begins.
    pub(crate) offset: usize,
    /// Empty ones that earlier messages of the same recvmmsg(2) have shown, and that are marked later.
    shown: usize,
}

impl PeekWalk {
    pub(crate) fn new(at: Option<usize>, skip: Skip) -> PeekWalk {
        PeekWalk {
            offset: at.unwrap_or(0),
            shown: skip.empty,
        }
    }

    /// Whether this one is passed over: it lies before the offset, or is empty and was shown before.
    pub(crate) fn passes(&mut self, len: usize, peeked: bool) -> bool {
        let marked = peeked || (len == 0 && self.offset == 0 && self.shown > 0);
        self.shown -= usize::from(marked && !peeked);
        let before = self.offset >= len && (len > 0 || self.offset > 0 || marked);
        if before {
            self.offset -= len;
        }
        before
    }
}

impl Host {
    /// A peek was delivered.
    pub(crate) fn commit_peek(&mut self, cx: &Cx<'_>, id: SocketId, effect: PeekEffect) {
        if let Some(at) = effect.at {
            self.note_stamp(cx, id, at);
        }
        let Ok(socket) = self.get_mut(id) else { return };
        socket.common.peek_forward(effect.by);
        match &mut socket.kind {
            Kind::Udp(s) => {
                let handle = s.handle;
                self.stack.udp_batch(handle);
                if let Some(index) = effect.empty {
                    self.stack.udp_mark_peeked(handle, index);
                }
            }
            Kind::Unix(s) => {
                if let Some(index) = effect.empty {
                    s.mark_peeked(index);
                }
            }
            _ => {}
        }
    }
}

/// sk_set_peek_off(): any value; what is negative is off.
pub(super) fn set_peek_off(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = a.int()?;
    check_peeker(h, id)?;
    let common = &mut h.get_mut(id)?.common;
    if value != common.rare().peek_off {
        common.rare_mut().peek_off = value;
    }
    Ok(())
}

pub(super) fn get_peek_off(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    check_peeker(h, id)?;
    Ok(OptValue::int(h.get(id)?.common.rare().peek_off, a))
}

/// Raw, ping, netlink and packet sockets have no set_peek_off().
fn check_peeker(h: &Host, id: SocketId) -> Result<(), Errno> {
    match h.kind(id)? {
        Kind::Netlink(_) | Kind::Packet(_) => Err(Errno::EOPNOTSUPP),
        Kind::Udp(_) if h.datagram(id) != Datagram::Udp => Err(Errno::EOPNOTSUPP),
        _ => Ok(()),
    }
}
