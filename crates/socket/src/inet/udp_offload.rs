//! udp(7): datagrams held back, batches of them, and checksums left out.

use super::udp::UdpSocket;
use super::udp_plan::UdpSendPlan;
use crate::call::{Cx, Fail, FailEffect};
use crate::host::Host;
use crate::mask::PollMask;
use crate::table::SocketId;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_engine::Way;
use switchboard_wire::Payload;

/// The datagrams that one UDP_SEGMENT send may make (UDP_MAX_SEGMENTS).
const MAX_SEGMENTS: usize = 128;

/// `IPPROTO_UDP` options.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Offload {
    /// `UDP_CORK`
    pub(crate) cork: bool,
    /// `UDP_SEGMENT`; 0 is off.
    pub(crate) segment: u16,
    /// `UDP_GRO`
    pub(crate) gro: bool,
    /// `UDP_NO_CHECK6_TX`
    pub(crate) no_check_tx: bool,
    /// `UDP_NO_CHECK6_RX`
    pub(crate) no_check_rx: bool,
}

/// udp_cmsg_send(): UDP_SEGMENT is all it knows.
pub(super) fn control(kind: i32, data: &[u8], plan: &mut UdpSendPlan) -> Result<(), Errno> {
    match (kind, <[u8; 2]>::try_from(data)) {
        (UDP_SEGMENT, Ok(size)) => {
            plan.segment = u16::from_ne_bytes(size);
            Ok(())
        }
        _ => Err(Errno::EINVAL),
    }
}

impl UdpSocket {
    /// udp_send_skb(): what a batch of `len` bytes must keep to. `mtu`: of the path.
    pub(super) fn check_batch(
        &self,
        plan: &UdpSendPlan,
        len: usize,
        mtu: u32,
        lite: bool,
    ) -> Result<(), Fail> {
        let to = self.corked.as_ref().map_or(plan, |corked| &corked.to);
        let size = usize::from(to.segment);
        if size == 0 || plan.more {
            return Ok(());
        }
        let headers = 8 + if to.dst.is_ipv4() { 20 } else { 40 };
        let errno = if headers + len.min(size) > mtu as usize {
            Errno::EMSGSIZE
        } else if len > size * MAX_SEGMENTS || plan.unsummed {
            Errno::EINVAL
        } else if lite {
            Errno::EIO
        } else {
            return Ok(());
        };
        // udp_send_skb() has copied the message by then.
        Err(Fail::with(errno, FailEffect::UdpDropped).after_copy())
    }
}

impl Host {
    /// `UDP_CORK`: off sends what is held back (udp_push_pending_frames()).
    pub(crate) fn udp_set_cork(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        on: bool,
    ) -> Result<(), Errno> {
        let s = self.udp_mut(id)?;
        s.offload.cork = on;
        if on {
            return Ok(());
        }
        let handle = s.handle;
        let charged = s.charge();
        let Some(mut corked) = s.corked.take() else {
            return Ok(());
        };
        let common = &self.get(id)?.common;
        corked.to.unsummed = self.udp(id)?.is_unsummed(common, corked.to.dst);
        self.udp_let_go(id, charged);
        let len = corked.data.len();
        corked.to.src = corked.to.src.or(corked.from);
        let way = Way {
            device: None,
            mark: None,
            ..corked.to.way()
        };
        let route = self.stack.udp_route(handle, corked.to.dst.ip(), way);
        let mtu = route.map_or(0, |route| route.mtu);
        let lite = self.get(id)?.is_lite();
        let s = self.udp(id)?;
        // Nobody is told of what cannot be sent.
        if s.check_batch(&corked.to.pushed(), len, mtu, lite).is_ok() {
            let send = corked.to.pushed().into_send(corked.data);
            let _ = self.stack.udp_send(cx.now, handle, send);
            self.collect_stack_events();
        }
        self.zerocopies_done(id, corked.to.notices);
        Ok(())
    }

    /// A send failed: what was held back is lost (udp_flush_pending_frames()).
    pub(crate) fn udp_drop_corked(&mut self, id: SocketId) {
        if let Ok(s) = self.udp_mut(id) {
            let charged = s.charge();
            let notices = s.corked.take().map_or(0, |corked| corked.to.notices);
            self.udp_let_go(id, charged);
            self.zerocopies_done(id, notices);
        }
    }

    /// Joins data to what MSG_MORE held back. `None`: nothing is sent yet.
    pub(super) fn udp_cork(
        &mut self,
        id: SocketId,
        to: UdpSendPlan,
        data: Payload,
    ) -> Option<(UdpSendPlan, Payload)> {
        let s = self.udp(id).ok()?;
        let held = to.more && !s.held_back();
        let route = || (self.stack).udp_route(s.handle, to.via(), to.way());
        let from = held.then(route).and_then(Result::ok);
        let s = self.udp_mut(id).ok()?;
        let charged = s.charge();
        let whole = s.cork(to, data, from.map(|route| route.source));
        // What leaves and arrives nowhere gives its room back, too.
        if !s.held_back() {
            self.udp_let_go(id, charged);
        }
        whole
    }

    /// sock_def_write_space(): what was held back, and charged, is gone.
    pub(super) fn udp_let_go(&mut self, id: SocketId, charged: u32) {
        if charged > 0
            && let Ok(socket) = self.get(id)
            && charged >= socket.common.sndbuf / 2
        {
            self.wake(id, PollMask::WRITABLE);
        }
    }
}
