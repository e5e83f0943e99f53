//! The error queue: what recvmsg(2) with `MSG_ERRQUEUE` gives.
//!
//! An entry is a `struct sock_extended_err`, the address that the message had gone to, who found fault with it, what is
//! left of the message, and control messages. ICMP errors (`IP_RECVERR`), errors of the host itself, transmit timestamps
//! and `MSG_ZEROCOPY` notices all come this way; [`Host::queue_error`] takes them.
//!
//! Entries are charged to the receive buffer beside what waits to be read; what does not fit is lost (sock_queue_err_skb()).

use super::addr::present;
use super::recv_control::Facts;
use crate::call::{Attempt, Cx, Fail};
use crate::host::Host;
use crate::mask::PollMask;
use crate::message::{ControlOut, Received, RecvEffect, RecvRequest};
use crate::options::control;
use crate::socket::Kind;
use crate::table::SocketId;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::SocketAddr;
use switchboard_abi::number::*;
use switchboard_abi::{Errno, SockAddr};
use switchboard_engine::{Instant, UdpSet};
use switchboard_wire::Payload;

/// `SO_EE_ORIGIN_*`: who noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Origin {
    Local = 1,
    Icmp = 2,
    Icmp6 = 3,
    Timestamping = 4,
    Zerocopy = 5,
}

impl Origin {
    /// Whether the entry stands for a pending error (is_icmp_err_skb()).
    fn is_icmp(self) -> bool {
        matches!(self, Origin::Icmp | Origin::Icmp6)
    }
}

/// `struct sock_extended_err`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ExtendedError {
    /// `ee_errno`
    pub(crate) errno: Errno,
    /// `ee_origin`
    pub(crate) origin: Origin,
    /// `ee_type`
    pub(crate) kind: u8,
    /// `ee_code`
    pub(crate) code: u8,
    /// `ee_info`
    pub(crate) info: u32,
    /// `ee_data`
    pub(crate) data: u32,
}

impl ExtendedError {
    /// The first part of the control message.
    pub(crate) fn bytes(&self) -> [u8; 16] {
        let mut out = [0; 16];
        out[..4].copy_from_slice(&u32::from(self.errno.0).to_ne_bytes());
        out[4..7].copy_from_slice(&[self.origin as u8, self.kind, self.code]);
        out[8..12].copy_from_slice(&self.info.to_ne_bytes());
        out[12..].copy_from_slice(&self.data.to_ne_bytes());
        out
    }
}

/// An entry of the error queue.
#[derive(Debug)]
pub(crate) struct QueuedError {
    pub(crate) error: ExtendedError,
    /// `SO_EE_OFFENDER`: who found fault; nobody for what this host noticed.
    pub(crate) offender: Option<SocketAddr>,
    /// What recvmsg(2) tells as the name: where the message had gone.
    pub(crate) name: Option<SocketAddr>,
    /// What is left of the message.
    pub(crate) payload: Payload,
    /// Control messages that come before that of the error itself.
    pub(crate) control: Vec<ControlOut>,
    /// What it costs of the receive buffer.
    pub(crate) charge: u32,
    /// What IP says of the packet that brought it.
    pub(crate) facts: Option<Facts>,
    /// When what it tells of happened, if that is told.
    pub(crate) stamped: Option<Instant>,
}

/// A socket's error queue; most sockets never have one.
#[derive(Debug, Default)]
pub(crate) struct ErrorQueue(Option<Box<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<QueuedError>,
    charged: u32,
}

impl Clone for ErrorQueue {
    /// A connection has its listener's options and none of its errors (sk_clone()).
    fn clone(&self) -> ErrorQueue {
        ErrorQueue::default()
    }
}

impl ErrorQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|queue| queue.entries.is_empty())
    }

    fn get(&self, index: usize) -> Option<&QueuedError> {
        self.0.as_ref()?.entries.get(index)
    }

    /// Memory charged to the receive buffer.
    pub(crate) fn charged(&self) -> u32 {
        self.0.as_ref().map_or(0, |queue| queue.charged)
    }

    /// Whether nothing is left behind so many entries, nor a pending error that none of them stood for.
    pub(crate) fn is_last(&self, taken: usize, pending: bool) -> bool {
        let last = taken.checked_sub(1).and_then(|index| self.get(index));
        let stood = last.is_some_and(|entry| entry.error.origin.is_icmp());
        self.get(taken).is_none() && (stood || !pending)
    }

    /// The entry that was queued last, to extend it.
    pub(crate) fn last_mut(&mut self) -> Option<&mut QueuedError> {
        self.0.as_mut()?.entries.back_mut()
    }

    pub(super) fn push(&mut self, entry: QueuedError) {
        let queue = self.0.get_or_insert_default();
        queue.charged += entry.charge;
        queue.entries.push_back(entry);
    }

    fn pop(&mut self) -> Option<QueuedError> {
        let queue = self.0.as_mut()?;
        let entry = queue.entries.pop_front()?;
        queue.charged -= entry.charge;
        if queue.entries.is_empty() {
            self.0 = None;
        }
        Some(entry)
    }

    /// skb_errqueue_purge(): what an application did not ask for any more.
    pub(crate) fn purge(&mut self) {
        let Some(queue) = &mut self.0 else { return };
        queue
            .entries
            .retain(|entry| !(entry.error.origin.is_icmp() || entry.error.origin == Origin::Local));
        queue.charged = queue.entries.iter().map(|entry| entry.charge).sum();
        if queue.entries.is_empty() {
            self.0 = None;
        }
    }
}

/// An error of the queue was told.
#[derive(Debug)]
pub(crate) struct ErrorRecvEffect;

impl Host {
    /// sock_queue_err_skb(): puts an entry on the socket's error queue, unless its receive buffer is full.
    pub(crate) fn queue_error(&mut self, id: SocketId, entry: QueuedError) -> bool {
        let Ok(socket) = self.get(id) else {
            return false;
        };
        let (waiting, limit) = match &socket.kind {
            Kind::Tcp(s) => (
                self.stack.tcp_recv_available(s.handle),
                self.stack.tcp_buffers(s.handle).1,
            ),
            Kind::Udp(s) => (
                self.stack.udp_receive_memory(s.handle) as usize,
                socket.common.rcvbuf,
            ),
            Kind::Unix(_) | Kind::Netlink(_) | Kind::Packet(_) => return false,
        };
        let Ok(options) = self.inet_options_mut(id) else {
            return false;
        };
        let charged = waiting + options.errors.charged() as usize + entry.charge as usize;
        if charged >= limit as usize {
            return false;
        }
        options.errors.push(entry);
        self.errors_changed(id);
        self.wake(id, PollMask::ERR);
        true
    }

    /// sk_rmem_alloc counts what waits on the error queue, too.
    pub(super) fn errors_changed(&mut self, id: SocketId) {
        if let Ok(s) = self.udp(id) {
            let (handle, bytes) = (s.handle, s.inet.errors.charged());
            (self.stack).udp_set(handle, UdpSet::ChargedBeside(bytes));
        }
    }

    /// ip_recv_error() and ipv6_recv_error(): never waits, and does not know `MSG_PEEK`.
    pub(crate) fn attempt_recv_error(
        &self,
        cx: &Cx<'_>,
        id: SocketId,
        request: &RecvRequest<'_>,
    ) -> Result<Attempt<Received>, Fail> {
        let v6 = i32::from(self.get(id)?.common.domain) == AF_INET6;
        let options = self.inet_options(id)?;
        let entry = options
            .errors
            .get(request.skip.messages)
            .ok_or(Errno::EAGAIN)?;
        let n = request.len.min(entry.payload.len());
        let cut = n < entry.payload.len();
        let mut control = Vec::new();
        if let Some(at) = entry.stamped {
            let at = cx.realtime.saturating_sub(cx.now.saturating_sub(at));
            control::stamps(cx, &self.get(id)?.common, Some(at), true, &mut control);
        }
        control.extend(entry.control.iter().cloned());
        if let Some(facts) = &entry.facts {
            facts.tell(options, v6, &mut control);
        }
        control.push(told(entry, v6));
        Ok(Attempt::Ready(Received {
            data: entry.payload.slice(..n),
            // Not the message's length, whatever MSG_TRUNC says.
            ret: n,
            msg_flags: MSG_ERRQUEUE | if cut { MSG_TRUNC } else { 0 },
            name: entry.name.map(|name| SockAddr::Inet(present(name, v6))),
            control,
            effect: RecvEffect::Error(ErrorRecvEffect),
        }))
    }

    /// sock_dequeue_err_skb(): the next entry's error becomes the pending one.
    pub(crate) fn commit_recv_error(&mut self, cx: &Cx<'_>, id: SocketId, _: ErrorRecvEffect) {
        let Ok(options) = self.inet_options_mut(id) else {
            return;
        };
        let Some(entry) = options.errors.pop() else {
            return;
        };
        // sock_recv_timestamp() of ip_recv_error(): an entry is received as a datagram is.
        self.note_stamp(cx, id, entry.stamped.unwrap_or(cx.now));
        let Ok(options) = self.inet_options_mut(id) else {
            return;
        };
        let next = options.errors.get(0).map(|entry| entry.error);
        match next {
            Some(next) if next.origin.is_icmp() => self.set_pending_error(id, next.errno),
            _ if entry.error.origin.is_icmp() => drop(self.take_pending_error(id)),
            _ => {}
        }
        self.errors_changed(id);
        if next.is_some() {
            self.wake(id, PollMask::ERR);
        }
    }
}

/// `struct sock_extended_err` with the offender behind it, as a socket of the family gets it.
fn told(entry: &QueuedError, v6: bool) -> ControlOut {
    let mut data = entry.error.bytes().to_vec();
    let (level, kind, size) = match v6 {
        false => (SOL_IP, IP_RECVERR, 16),
        true => (SOL_IPV6, IPV6_RECVERR, 28),
    };
    let at = data.len();
    data.resize(at + size, 0);
    if let Some(offender) = entry.offender {
        let mut bytes = [0; switchboard_abi::sockaddr::SOCKADDR_STORAGE_SIZE];
        let n = SockAddr::Inet(present(offender, v6)).encode(&mut bytes);
        data[at..].copy_from_slice(&bytes[..n.min(size)]);
    }
    ControlOut::Raw { level, kind, data }
}
