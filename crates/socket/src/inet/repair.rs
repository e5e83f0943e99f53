//! tcp(7): send(2) and recv(2) of a socket under TCP_REPAIR.

use super::tcp::{SendInto, TcpSendPlan};
use crate::call::{Attempt, Fail};
use crate::host::Host;
use crate::message::{PlanKind, Received, RecvEffect, RecvRequest, SendPlan, SendRequest};
use crate::table::SocketId;
use alloc::vec::Vec;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_engine::{RepairQueue, State};
use switchboard_wire::Payload;

impl Host {
    /// Fills one of the queues, as far as its buffer goes (tcp_send_rcvq(), tcp_sendmsg_locked()).
    pub(super) fn tcp_attempt_repair_send(
        &self,
        id: SocketId,
        request: &SendRequest<'_>,
    ) -> Result<Attempt<SendPlan>, Fail> {
        let handle = self.tcp(id)?.handle;
        let (sndbuf, rcvbuf) = self.stack.tcp_buffers(handle);
        let connected = matches!(
            self.stack.tcp_state(handle),
            State::Established | State::CloseWait
        );
        let room = match self.stack.tcp_repair_queue(handle) {
            RepairQueue::None => return Err(Errno::EINVAL.into()),
            RepairQueue::Receive => {
                (rcvbuf as usize).saturating_sub(self.stack.tcp_recv_available(handle))
            }
            RepairQueue::Send if !connected => return Err(Fail::PIPE),
            RepairQueue::Send => (sndbuf as usize).saturating_sub(self.stack.tcp_outq(handle)),
        };
        let left = request.len - request.done;
        if room == 0 && left > 0 {
            return Err(Errno::ENOMEM.into());
        }
        let plan = TcpSendPlan {
            more: false,
            oob: false,
            eor: false,
            into: SendInto::Repaired,
            moments: switchboard_engine::Moments::empty(),
            notice: false,
        };
        Ok(Attempt::Ready(SendPlan {
            take: left.min(room),
            charge: 0,
            kind: PlanKind::Tcp(plan),
        }))
    }

    /// Only peeks. `None`: at the receive queue, as ever.
    pub(super) fn tcp_attempt_repair_recv(
        &mut self,
        id: SocketId,
        request: &RecvRequest<'_>,
    ) -> Result<Option<Attempt<Received>>, Fail> {
        let handle = self.tcp(id)?.handle;
        if request.flags & MSG_PEEK == 0 {
            return Err(Errno::EPERM.into());
        }
        let data = match self.stack.tcp_repair_queue(handle) {
            RepairQueue::None => return Err(Errno::EINVAL.into()),
            RepairQueue::Receive => return Ok(None),
            RepairQueue::Send => self.stack.tcp_repair_peek(handle, request.len),
        };
        let ret = data.len();
        let data = if request.flags & MSG_TRUNC != 0 {
            Payload::new()
        } else {
            data
        };
        Ok(Some(Attempt::Ready(Received {
            data,
            ret,
            msg_flags: 0,
            name: None,
            control: Vec::new(),
            effect: RecvEffect::None,
        })))
    }
}
