//! AF_NETLINK: netlink(7), of which NETLINK_ROUTE is here, to read.
//!
//! # Theory of operation
//! A socket has a port, which the kernel chooses when bind(2) does not. What it sends to port 0 is a list of requests,
//! each answered at once by messages in the socket's queue; a dump is a list of them that `NLMSG_DONE` ends. Nothing
//! on a virtual host changes by itself, so no group has anything to tell; membership is kept all the same.
//!
//! # Limits
//! A dump is cut into datagrams of [`DATAGRAM`] bytes. The queue is bounded by SO_RCVBUF: what does not fit is lost and
//! the reader gets ENOBUFS, as on Linux. Messages that change something are EPERM without CAP_NET_ADMIN and EOPNOTSUPP
//! with it.
//!
//! See [netlink(7)] and [rtnetlink(7)].
//!
//! [netlink(7)]: https://man7.org/linux/man-pages/man7/netlink.7.html
//! [rtnetlink(7)]: https://man7.org/linux/man-pages/man7/rtnetlink.7.html

mod message;
mod route;

use crate::call::{Attempt, Blocked, Cx, Fail};
use crate::cred::Caps;
use crate::host::Host;
use crate::mask::PollMask;
use crate::message::{
    ControlOut, PlanKind, Received, RecvEffect, RecvRequest, SendPlan, SendRequest,
};
use crate::socket::{Kind, Socket};
use crate::table::SocketId;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bitflags::bitflags;
use bytes::Bytes;
use message::{ACK, DUMP, MIN_TYPE, REQUEST};
use switchboard_abi::number::*;
use switchboard_abi::sockaddr;
use switchboard_abi::{Errno, SockAddr};
use switchboard_wire::Payload;

/// `sizeof(struct sockaddr_nl)`.
const SOCKADDR_NL_SIZE: usize = 12;
/// `MAX_LINKS`: protocols are below it.
const MAX_LINKS: i32 = 32;
/// How much of a dump goes in one datagram at most: readers with a page of room are common.
const DATAGRAM: usize = 3584;
/// What a queued datagram is charged beside its bytes: sizeof(struct sk_buff) with its shared info.
const OVERHEAD: usize = 256 + 320;

pub(crate) struct NetlinkSocket {
    /// `NETLINK_*`
    protocol: i32,
    /// 0 until it is bound.
    port: u32,
    /// The groups that are joined, from 1 on.
    groups: u64,
    /// Where send(2) goes: port and groups.
    peer: (u32, u32),
    queue: VecDeque<Bytes>,
    charged: usize,
    error: Option<Errno>,
    pub(crate) flags: NetlinkFlags,
}

bitflags! {
    /// Boolean options of `SOL_NETLINK`.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(crate) struct NetlinkFlags: u8 {
        const PKTINFO = 1 << 0;
        const BROADCAST_ERROR = 1 << 1;
        const NO_ENOBUFS = 1 << 2;
        const CAP_ACK = 1 << 3;
        const EXT_ACK = 1 << 4;
        const STRICT = 1 << 5;
    }
}

#[derive(Debug)]
pub(crate) struct NetlinkSendPlan;

#[derive(Debug)]
pub(crate) struct NetlinkRecvEffect;

/// Port and groups of a `struct sockaddr_nl`.
fn read_address(raw: &[u8]) -> Option<(u32, u32)> {
    let raw = raw.get(..SOCKADDR_NL_SIZE)?;
    let word = |at: usize| u32::from_ne_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
    Some((word(4), word(8)))
}

/// Reads an address that has to be a whole one of the family.
fn own_address(raw: &[u8]) -> Result<(u32, u32), Errno> {
    match read_address(raw) {
        Some(address) if sockaddr::family(raw) == Some(AF_NETLINK) => Ok(address),
        _ => Err(Errno::EINVAL),
    }
}

impl Host {
    /// netlink_create()
    pub(crate) fn netlink_socket(
        &mut self,
        cx: &mut Cx<'_>,
        ty: i32,
        protocol: i32,
    ) -> Result<SocketId, Errno> {
        if ty != SOCK_RAW && ty != SOCK_DGRAM {
            return Err(Errno::ESOCKTNOSUPPORT);
        }
        if !(0..MAX_LINKS).contains(&protocol) || protocol != NETLINK_ROUTE {
            return Err(Errno::EPROTONOSUPPORT);
        }
        let common = self.new_common(cx, AF_NETLINK, ty, protocol);
        let kind = Kind::Netlink(Box::new(NetlinkSocket {
            protocol,
            port: 0,
            groups: 0,
            peer: (0, 0),
            queue: VecDeque::new(),
            charged: 0,
            error: None,
            flags: NetlinkFlags::default(),
        }));
        Ok(self.sockets.insert(Socket { common, kind }))
    }

    pub(crate) fn netlink(&self, id: SocketId) -> Result<&NetlinkSocket, Errno> {
        match self.kind(id)? {
            Kind::Netlink(s) => Ok(s),
            _ => Err(Errno::ENOTSOCK),
        }
    }

    pub(crate) fn netlink_mut(&mut self, id: SocketId) -> Result<&mut NetlinkSocket, Errno> {
        match &mut self.get_mut(id)?.kind {
            Kind::Netlink(s) => Ok(s),
            _ => Err(Errno::ENOTSOCK),
        }
    }

    fn netlink_port_is_taken(&self, protocol: i32, port: u32) -> bool {
        self.sockets.iter().any(|(_, socket)| match &socket.kind {
            Kind::Netlink(s) => s.protocol == protocol && s.port == port,
            _ => false,
        })
    }

    /// netlink_insert(): `port`, or with 0 the process's own number, or one that nobody has.
    fn netlink_claim(&mut self, cx: &Cx<'_>, id: SocketId, port: u32) -> Result<(), Errno> {
        let protocol = self.netlink(id)?.protocol;
        let port = match port {
            0 => {
                // netlink_autobind(): then from -4097 downwards.
                let own = core::iter::once(cx.cred.pid);
                let others = (0..=i32::MAX as u32).map(|n| (-4097i32 as u32).wrapping_sub(n));
                own.chain(others)
                    .find(|port| *port != 0 && !self.netlink_port_is_taken(protocol, *port))
                    .ok_or(Errno::EADDRINUSE)?
            }
            port if self.netlink_port_is_taken(protocol, port) => return Err(Errno::EADDRINUSE),
            port => port,
        };
        self.netlink_mut(id)?.port = port;
        Ok(())
    }

    /// netlink_bind(). Anyone may hear rtnetlink's groups (NL_CFG_F_NONROOT_RECV).
    pub(crate) fn netlink_bind(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        raw: &[u8],
    ) -> Result<(), Errno> {
        let (port, groups) = own_address(raw)?;
        let bound = self.netlink(id)?.port;
        if bound == 0 {
            self.netlink_claim(cx, id, port)?;
        } else if port != bound {
            return Err(Errno::EINVAL);
        }
        let s = self.netlink_mut(id)?;
        s.groups = s.groups & !u64::from(u32::MAX) | u64::from(groups);
        Ok(())
    }

    /// netlink_connect()
    pub(crate) fn netlink_connect(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        raw: &[u8],
    ) -> Result<(), Errno> {
        let family = sockaddr::family(raw).ok_or(Errno::EINVAL)?;
        if family == AF_UNSPEC {
            self.netlink_mut(id)?.peer = (0, 0);
            return Ok(());
        }
        let peer = own_address(raw)?;
        if peer != (0, 0) && !cx.cred.caps.contains(Caps::NET_ADMIN) {
            return Err(Errno::EPERM);
        }
        if self.netlink(id)?.port == 0 {
            self.netlink_claim(cx, id, 0)?;
        }
        self.netlink_mut(id)?.peer = peer;
        Ok(())
    }

    pub(crate) fn netlink_getsockname(&self, id: SocketId) -> Result<SockAddr, Errno> {
        let s = self.netlink(id)?;
        let (port, groups) = (s.port, s.groups as u32);
        Ok(SockAddr::Netlink { port, groups })
    }

    /// netlink_getname() of the peer: zeros without one.
    pub(crate) fn netlink_getpeername(&self, id: SocketId) -> Result<SockAddr, Errno> {
        let (port, groups) = self.netlink(id)?.peer;
        Ok(SockAddr::Netlink { port, groups })
    }

    /// netlink_sendmsg()
    pub(crate) fn netlink_attempt_send(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        request: &SendRequest<'_>,
    ) -> Result<Attempt<SendPlan>, Fail> {
        if request.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        if request.len == 0 {
            return Err(Errno::ENODATA.into());
        }
        crate::error::check_control(request.control)?;
        let to = match request.name {
            Some(raw) => {
                let to = own_address(raw)?;
                if to != (0, 0) && !cx.cred.caps.contains(Caps::NET_ADMIN) {
                    return Err(Errno::EPERM.into());
                }
                to
            }
            None => self.netlink(id)?.peer,
        };
        let room = self.get(id)?.common.sndbuf as usize;
        if request.len > room.saturating_sub(32) {
            return Err(Errno::EMSGSIZE.into());
        }
        // Only the kernel listens; nobody hears a group.
        if to.0 != 0 {
            return Err(Errno::ECONNREFUSED.into());
        }
        Ok(Attempt::Ready(SendPlan {
            take: request.len,
            charge: 0,
            kind: PlanKind::Netlink(NetlinkSendPlan),
        }))
    }

    /// netlink_rcv_skb(): answers each request of the datagram.
    pub(crate) fn netlink_commit_send(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        _: NetlinkSendPlan,
        data: Payload,
    ) {
        if self.netlink(id).is_ok_and(|s| s.port == 0) && self.netlink_claim(cx, id, 0).is_err() {
            return;
        }
        let Ok(s) = self.netlink(id) else { return };
        let (port, capped) = (s.port, s.flags.contains(NetlinkFlags::CAP_ACK));
        let data = data.to_vec();
        for request in message::requests(&data) {
            let answered = if request.flags & REQUEST == 0 || request.kind < MIN_TYPE {
                Ok(Vec::new())
            } else {
                self.rtnetlink(cx.cred.caps, &request, port)
            };
            let dumped = request.flags & DUMP != 0
                && request.flags & REQUEST != 0
                && request.kind >= MIN_TYPE
                && request.kind & 3 == 2
                && !request.body().is_empty();
            match answered {
                Ok(messages) => {
                    let mut datagram = Vec::new();
                    for message in messages {
                        if !datagram.is_empty() && datagram.len() + message.len() > DATAGRAM {
                            self.netlink_queue(id, core::mem::take(&mut datagram));
                        }
                        datagram.extend_from_slice(&message);
                    }
                    if !datagram.is_empty() {
                        self.netlink_queue(id, datagram);
                    }
                    // A dump ends with NLMSG_DONE and has no acknowledgment.
                    if dumped {
                        self.netlink_queue(id, message::done(&request, port));
                    } else if request.flags & ACK != 0 {
                        self.netlink_queue(id, message::ack(&request, port, 0, capped));
                    }
                }
                Err(errno) => {
                    let errno = -i32::from(errno.0);
                    self.netlink_queue(id, message::ack(&request, port, errno, capped));
                }
            }
        }
    }

    fn netlink_queue(&mut self, id: SocketId, bytes: Vec<u8>) {
        let Ok(limit) = self.get(id).map(|s| s.common.rcvbuf as usize) else {
            return;
        };
        let Ok(s) = self.netlink_mut(id) else { return };
        if s.charged > 0 && s.charged + bytes.len() + OVERHEAD > limit {
            // netlink_overrun()
            if !s.flags.contains(NetlinkFlags::NO_ENOBUFS) {
                s.error = Some(Errno::ENOBUFS);
            }
            return self.wake(id, PollMask::ERR);
        }
        s.charged += bytes.len() + OVERHEAD;
        s.queue.push_back(bytes.into());
        self.wake(id, PollMask::READABLE);
    }

    /// netlink_recvmsg()
    pub(crate) fn netlink_attempt_recv(
        &mut self,
        id: SocketId,
        request: &mut RecvRequest<'_>,
    ) -> Result<Attempt<Received>, Fail> {
        if request.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let timeout = self.get(id)?.common.rcvtimeo;
        let s = self.netlink(id)?;
        if let (Some(errno), 0) = (s.error, request.skip.messages) {
            return Err(Fail::pending(errno));
        }
        let Some(message) = s.queue.get(request.skip.messages) else {
            if request.last {
                return Err(Errno::EAGAIN.into());
            }
            return Ok(Attempt::Blocked(Blocked {
                interest: PollMask::IN,
                timeout,
            }));
        };
        let whole = message.len();
        let n = request.len.min(whole);
        let mut control = Vec::new();
        if s.flags.contains(NetlinkFlags::PKTINFO) {
            // struct nl_pktinfo: the group, which is none.
            control.push(ControlOut::Raw {
                level: SOL_NETLINK,
                kind: NETLINK_PKTINFO,
                data: alloc::vec![0; 4],
            });
        }
        let peek = request.flags & MSG_PEEK != 0;
        Ok(Attempt::Ready(Received {
            data: Payload::from(message.slice(..n)),
            ret: if request.flags & MSG_TRUNC != 0 {
                whole
            } else {
                n
            },
            msg_flags: if n < whole { MSG_TRUNC } else { 0 },
            name: Some(SockAddr::Netlink { port: 0, groups: 0 }),
            control,
            effect: if peek {
                RecvEffect::None
            } else {
                RecvEffect::Netlink(NetlinkRecvEffect)
            },
        }))
    }

    pub(crate) fn netlink_commit_recv(&mut self, id: SocketId, _: NetlinkRecvEffect) {
        let Ok(s) = self.netlink_mut(id) else { return };
        if let Some(message) = s.queue.pop_front() {
            s.charged -= message.len() + OVERHEAD;
        }
    }

    /// datagram_poll()
    pub(crate) fn netlink_poll(&self, id: SocketId) -> PollMask {
        let Ok(s) = self.netlink(id) else {
            return PollMask::empty();
        };
        let mut mask = PollMask::WRITABLE;
        if s.error.is_some() {
            mask |= PollMask::ERR;
        }
        if !s.queue.is_empty() {
            mask |= PollMask::READABLE;
        }
        mask
    }
}

impl NetlinkSocket {
    /// SO_MEMINFO's rmem_alloc.
    pub(crate) fn charged(&self) -> u32 {
        self.charged as u32
    }

    pub(crate) fn error(&self) -> Option<Errno> {
        self.error
    }

    pub(crate) fn set_error(&mut self, error: Option<Errno>) {
        self.error = error;
    }

    /// Whether something is left to read behind this many messages.
    pub(crate) fn readable_after(&self, messages: usize) -> bool {
        self.queue.len() > messages
    }

    /// NETLINK_ADD_MEMBERSHIP and NETLINK_DROP_MEMBERSHIP; groups count from 1, and rtnetlink has 38 of them
    /// (RTNLGRP_MAX of Linux 6.18), rounded up to a word.
    pub(crate) fn join(&mut self, group: u32, on: bool) -> Result<(), Errno> {
        if !(1..=64).contains(&group) {
            return Err(Errno::EINVAL);
        }
        let bit = 1 << (group - 1);
        if on {
            self.groups |= bit;
        } else {
            self.groups &= !bit;
        }
        Ok(())
    }

    /// NETLINK_LIST_MEMBERSHIPS
    pub(crate) fn memberships(&self) -> [u8; 8] {
        self.groups.to_ne_bytes()
    }
}
