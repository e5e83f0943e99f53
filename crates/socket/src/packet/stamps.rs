//! Time stamps of what a packet socket sends (SO_TIMESTAMPING): its error queue, which has nothing else in it.

use crate::call::{Attempt, Cx, Fail};
use crate::host::Host;
use crate::inet::errqueue::{ExtendedError, Origin};
use crate::mask::PollMask;
use crate::message::{ControlOut, Received, RecvEffect, RecvRequest};
use crate::options::control::{self, Cookie};
use crate::options::timestamping::Sof;
use crate::table::SocketId;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_engine::Instant;
use switchboard_wire::Payload;

/// `SCM_TSTAMP_SND` and `SCM_TSTAMP_SCHED`.
const SND: u32 = 0;
const SCHED: u32 = 1;

/// A moment that the sender asked for.
#[derive(Debug)]
pub(super) struct Stamped {
    kind: u32,
    key: u32,
    at: Instant,
    /// The frame, or nothing of it (SOF_TIMESTAMPING_OPT_TSONLY).
    frame: Payload,
    charge: u32,
}

/// What waits to be read.
#[derive(Debug, Default)]
pub(super) struct Stamps(VecDeque<Stamped>);

impl Stamps {
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[derive(Debug)]
pub(crate) struct StampRecvEffect;

impl Host {
    /// skb_setup_tx_timestamp() of a frame on its way: its number, if they are counted.
    fn stamp_key(&mut self, id: SocketId, cookie: &Cookie) -> u32 {
        if !cookie.stamps.contains(Sof::OPT_ID) || !cookie.stamps.intersects(Sof::TX_RECORD) {
            return 0;
        }
        let Ok(socket) = self.get_mut(id) else {
            return 0;
        };
        cookie.stamp_id.unwrap_or_else(|| {
            let next = &mut socket.common.rare_mut().stamping.key;
            let key = *next;
            *next = key.wrapping_add(1);
            key
        })
    }

    /// A frame has left: __skb_tstamp_tx() of the moments that were asked for. A frame that passes by the queueing discipline
    /// (PACKET_QDISC_BYPASS) has not been scheduled.
    pub(super) fn packet_sent(
        &mut self,
        id: SocketId,
        at: Instant,
        cookie: &Cookie,
        frame: impl FnOnce() -> Payload,
    ) {
        if !cookie.stamps.intersects(Sof::TX_SCHED | Sof::TX_SOFTWARE) {
            return;
        }
        let key = self.stamp_key(id, cookie);
        let frame = match cookie.stamps.contains(Sof::OPT_TSONLY) {
            true => Payload::new(),
            false => frame(),
        };
        let Ok(socket) = self.get(id) else { return };
        let rcvbuf = socket.common.rcvbuf;
        let Ok(s) = self.packet_mut(id) else { return };
        let bypass = s.options.qdisc_bypass;
        for (asked, kind) in [(Sof::TX_SCHED, SCHED), (Sof::TX_SOFTWARE, SND)] {
            if !cookie.stamps.contains(asked) || kind == SCHED && bypass {
                continue;
            }
            let charge = super::receive::charge(frame.len());
            // sock_queue_err_skb()
            if s.charged + charge >= rcvbuf {
                continue;
            }
            s.charged += charge;
            s.stamps.0.push_back(Stamped {
                kind,
                key,
                at,
                frame: frame.clone(),
                charge,
            });
        }
        self.wake(id, PollMask::ERR);
    }

    /// sock_recv_errqueue(): the frame, its time, and a `struct sock_extended_err` without an address.
    pub(super) fn packet_recv_stamp(
        &self,
        cx: &Cx<'_>,
        id: SocketId,
        request: &RecvRequest<'_>,
    ) -> Result<Attempt<Received>, Fail> {
        let queue = &self.packet(id)?.stamps.0;
        let entry = queue.get(request.skip.messages).ok_or(Errno::EAGAIN)?;
        let n = request.len.min(entry.frame.len());
        let cut = n < entry.frame.len();
        let mut control = Vec::new();
        let at = cx.realtime.saturating_sub(cx.now.saturating_sub(entry.at));
        control::stamps(cx, &self.get(id)?.common, Some(at), true, &mut control);
        let error = ExtendedError {
            errno: Errno::ENOMSG,
            origin: Origin::Timestamping,
            kind: 0,
            code: 0,
            info: entry.kind,
            data: entry.key,
        };
        control.push(ControlOut::Raw {
            level: SOL_PACKET,
            kind: PACKET_TX_TIMESTAMP,
            data: error.bytes().to_vec(),
        });
        Ok(Attempt::Ready(Received {
            data: entry.frame.slice(..n),
            ret: n,
            msg_flags: MSG_ERRQUEUE | if cut { MSG_TRUNC } else { 0 },
            name: None,
            control,
            effect: RecvEffect::PacketStamp(StampRecvEffect),
        }))
    }

    pub(crate) fn packet_commit_stamp(&mut self, id: SocketId, _: StampRecvEffect) {
        let Ok(s) = self.packet_mut(id) else { return };
        if let Some(entry) = s.stamps.0.pop_front() {
            s.charged -= entry.charge;
        }
        if !s.stamps.is_empty() {
            self.wake(id, PollMask::ERR);
        }
    }
}
