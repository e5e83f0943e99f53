//! AF_NETLINK: netlink(7), of which NETLINK_ROUTE, NETLINK_SOCK_DIAG, NETLINK_USERSOCK, NETLINK_KOBJECT_UEVENT and
//! NETLINK_GENERIC are here.
//!
//! # Theory of operation
//! A socket has a port, which the kernel chooses when bind(2) does not. What it sends to port 0 is a list of requests,
//! each answered at once by messages in the socket's queue (`serve`); a dump is a list of them that `NLMSG_DONE` ends.
//! What it sends to another port or to a group goes to the sockets there, and what changes on the host is told to
//! rtnetlink's groups (`queue`).
//!
//! # Limits
//! A dump is cut into datagrams of [`DATAGRAM`] bytes, of which as many are queued as half of SO_RCVBUF takes; the
//! others follow as the reader reads. The queue is bounded by SO_RCVBUF: what does not fit is lost and
//! the reader gets ENOBUFS, as on Linux. No device comes or goes, so nothing is ever told by NETLINK_KOBJECT_UEVENT.
//!
//! See [netlink(7)] and [rtnetlink(7)].
//!
//! [netlink(7)]: https://man7.org/linux/man-pages/man7/netlink.7.html
//! [rtnetlink(7)]: https://man7.org/linux/man-pages/man7/rtnetlink.7.html

mod diag;
mod generic;
mod message;
mod policy;
mod queue;
mod route;
mod serve;

use crate::call::{Attempt, Blocked, Cx, Fail};
use crate::cred::Caps;
use crate::host::Host;
use crate::mask::PollMask;
use crate::message::{PlanKind, SendPlan, SendRequest, Ucred};
use crate::socket::{Kind, Socket};
use crate::table::SocketId;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bitflags::bitflags;
use bytes::Bytes;
pub(crate) use message::{CREATE, Refusal};
use queue::{Dump, Queued};
pub(crate) use route::{
    AddressKey, AddressNote, LINK, MAIN, NOWHERE, QdiscEntry, RouteWanted, Teller, UNICAST,
    USER_METRIC, network,
};
use switchboard_abi::number::*;
use switchboard_abi::sockaddr;
use switchboard_abi::{Errno, SockAddr};
use switchboard_wire::Payload;

/// `sizeof(struct sockaddr_nl)`.
const SOCKADDR_NL_SIZE: usize = 12;
/// `MAX_LINKS`: protocols are below it.
const MAX_LINKS: i32 = 32;
/// Those that are here.
const PROTOCOLS: [i32; 5] = [
    NETLINK_ROUTE,
    NETLINK_USERSOCK,
    NETLINK_SOCK_DIAG,
    NETLINK_KOBJECT_UEVENT,
    NETLINK_GENERIC,
];
/// TCP_CLOSE, which a socket has at first; NETLINK_UNCONNECTED, NETLINK_CONNECTED.
const FRESH: u8 = 7;
const UNCONNECTED: u8 = 0;
const CONNECTED: u8 = 1;
/// How much of a dump goes in one datagram at most: readers with a page of room are common.
const DATAGRAM: usize = 3584;
/// `RTNLGRP_MAX` of Linux 6.18; every other protocol has 32 groups.
const ROUTE_GROUPS: u32 = 39;
/// `RTNLGRP_IPV4_MROUTE_R` and `RTNLGRP_IPV6_MROUTE_R`: for CAP_NET_ADMIN.
const PRIVILEGED_GROUPS: u64 = 3 << 29;

pub(crate) struct NetlinkSocket {
    /// `NETLINK_*`
    protocol: i32,
    /// 0 until it is bound.
    port: u32,
    /// The groups that are joined, from 1 on.
    groups: u64,
    /// Room for groups was made (nlk->ngroups), so NETLINK_LIST_MEMBERSHIPS tells of them.
    grouped: bool,
    /// Its opener had CAP_NET_ADMIN.
    admin: bool,
    /// Something was lost and the queue not empty since (NETLINK_S_CONGESTED).
    congested: bool,
    /// How much was lost.
    drops: u32,
    /// Where send(2) goes: port and groups.
    peer: (u32, u32),
    /// `sk_state`, which only sock_diag(7) tells.
    state: u8,
    queue: VecDeque<Queued>,
    charged: usize,
    dump: Option<Box<Dump>>,
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
        const LISTEN_ALL_NSID = 1 << 6;
    }
}

/// Where a datagram goes.
#[derive(Debug)]
pub(crate) struct NetlinkSendPlan {
    port: u32,
    /// The first of the groups that were named, or 0.
    group: u32,
    /// The call named where it goes, so the socket's opener answers for it too (NETLINK_SKB_DST).
    named: bool,
    creds: Ucred,
}

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
        if !(0..MAX_LINKS).contains(&protocol) || !PROTOCOLS.contains(&protocol) {
            return Err(Errno::EPROTONOSUPPORT);
        }
        let common = self.new_common(cx, AF_NETLINK, ty, protocol);
        let kind = Kind::Netlink(Box::new(NetlinkSocket {
            protocol,
            port: 0,
            groups: 0,
            grouped: false,
            admin: cx.cred.caps.contains(Caps::NET_ADMIN),
            congested: false,
            drops: 0,
            peer: (0, 0),
            state: FRESH,
            queue: VecDeque::new(),
            charged: 0,
            dump: None,
            error: None,
            flags: NetlinkFlags::default(),
        }));
        let id = self.sockets.insert(Socket { common, kind });
        self.netlinks.insert(id);
        Ok(id)
    }

    pub(crate) fn netlink_close(&mut self, id: SocketId) {
        self.netlinks.remove(&id);
        drop(self.sockets.remove(id));
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

    /// Who has a port.
    fn netlink_at(&self, protocol: i32, port: u32) -> Option<SocketId> {
        let has = |id: &SocketId| {
            self.netlink(*id)
                .is_ok_and(|s| s.protocol == protocol && s.port == port)
        };
        self.netlinks.iter().copied().find(has)
    }

    fn netlink_port_is_taken(&self, protocol: i32, port: u32) -> bool {
        self.netlink_at(protocol, port).is_some()
    }

    /// netlink_allowed() of NL_CFG_F_NONROOT_RECV, and rtnetlink_bind(): whether these groups may be joined.
    fn netlink_may_join(cx: &Cx<'_>, protocol: i32, groups: u64) -> bool {
        cx.cred.caps.contains(Caps::NET_ADMIN)
            || match protocol {
                NETLINK_USERSOCK => groups == 0,
                NETLINK_ROUTE => groups & PRIVILEGED_GROUPS == 0,
                _ => true,
            }
    }

    /// NETLINK_ADD_MEMBERSHIP and NETLINK_DROP_MEMBERSHIP; groups count from 1.
    pub(crate) fn netlink_join(
        &mut self,
        cx: &Cx<'_>,
        id: SocketId,
        group: u32,
        on: bool,
    ) -> Result<(), Errno> {
        let protocol = self.netlink(id)?.protocol;
        if protocol == NETLINK_USERSOCK && !Host::netlink_may_join(cx, protocol, 1) {
            return Err(Errno::EPERM);
        }
        self.netlink_mut(id)?.grouped = true;
        if !(1..=group_count(protocol)).contains(&group) {
            return Err(Errno::EINVAL);
        }
        let bit = 1 << (group - 1);
        if on && !Host::netlink_may_join(cx, protocol, bit) {
            return Err(Errno::EPERM);
        }
        let s = self.netlink_mut(id)?;
        if on {
            s.groups |= bit;
        } else {
            s.groups &= !bit;
        }
        Ok(())
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

    /// netlink_bind()
    pub(crate) fn netlink_bind(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        raw: &[u8],
    ) -> Result<(), Errno> {
        let (port, groups) = own_address(raw)?;
        let s = self.netlink(id)?;
        let (bound, protocol) = (s.port, s.protocol);
        let left_out = |count| u32::MAX.checked_shr(32u32.saturating_sub(count));
        let groups = groups & left_out(group_count(protocol)).unwrap_or(0);
        if groups != 0 {
            // Room is made before the socket is asked what it may hear.
            if protocol != NETLINK_USERSOCK || Host::netlink_may_join(cx, protocol, 1) {
                self.netlink_mut(id)?.grouped = true;
            }
            if !Host::netlink_may_join(cx, protocol, groups.into()) {
                return Err(Errno::EPERM);
            }
        }
        if bound == 0 {
            self.netlink_claim(cx, id, port)?;
        } else if port != bound {
            return Err(Errno::EINVAL);
        }
        let s = self.netlink_mut(id)?;
        s.groups = s.groups & !u64::from(u32::MAX) | u64::from(groups);
        Ok(())
    }

    /// netlink_allowed() of NL_CFG_F_NONROOT_SEND.
    fn netlink_may_send(&self, cx: &Cx<'_>, id: SocketId, to: (u32, u32)) -> Result<(), Errno> {
        let free = self.netlink(id)?.protocol == NETLINK_USERSOCK;
        if to == (0, 0) || free || cx.cred.caps.contains(Caps::NET_ADMIN) {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
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
            let s = self.netlink_mut(id)?;
            (s.peer, s.state) = ((0, 0), UNCONNECTED);
            return Ok(());
        }
        let peer = own_address(raw)?;
        self.netlink_may_send(cx, id, peer)?;
        if self.netlink(id)?.port == 0 {
            self.netlink_claim(cx, id, 0)?;
        }
        let s = self.netlink_mut(id)?;
        (s.peer, s.state) = (peer, CONNECTED);
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
        crate::unix::check_control(cx, request.control)?;
        // __scm_send(): files go over AF_UNIX only.
        if !request.control.rights.is_empty() {
            return Err(Errno::EINVAL.into());
        }
        // A name without a length is none.
        let name = request.name.filter(|name| !name.is_empty());
        let to = match name {
            Some(raw) => {
                let to = own_address(raw)?;
                self.netlink_may_send(cx, id, to)?;
                to
            }
            None => self.netlink(id)?.peer,
        };
        let room = self.get(id)?.common.sndbuf as usize;
        if request.len > room.saturating_sub(32) {
            return Err(Errno::EMSGSIZE.into());
        }
        let s = self.netlink(id)?;
        let plan = NetlinkSendPlan {
            port: to.0,
            group: if to.1 == 0 {
                0
            } else {
                to.1.trailing_zeros() + 1
            },
            named: name.is_some(),
            creds: request.control.credentials.unwrap_or(Ucred {
                pid: cx.cred.pid,
                uid: cx.cred.ruid,
                gid: cx.cred.rgid,
            }),
        };
        if plan.group == 0 && (plan.port != 0 || s.protocol == NETLINK_USERSOCK) {
            // A socket that is not bound has port 0 and is not to be found.
            let receiver = self.netlink_at(s.protocol, plan.port);
            let Some(receiver) = receiver.filter(|_| plan.port != 0) else {
                return Err(Errno::ECONNREFUSED.into());
            };
            // NETLINK_CONNECTED: it hears only its peer.
            let heard = self.netlink(receiver)?;
            if heard.state == CONNECTED && heard.peer.0 != s.port {
                return Err(Errno::ECONNREFUSED.into());
            }
            if !self.netlink_has_room(receiver, request.len) {
                if request.last {
                    return Err(Errno::EAGAIN.into());
                }
                return Ok(Attempt::Blocked(Blocked {
                    interest: PollMask::OUT,
                    timeout: self.get(id)?.common.sndtimeo,
                }));
            }
        }
        Ok(Attempt::Ready(SendPlan {
            take: request.len,
            charge: 0,
            kind: PlanKind::Netlink(plan),
        }))
    }

    /// netlink_unicast() and netlink_broadcast(): to the kernel, to a port, to a group.
    pub(crate) fn netlink_commit_send(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        plan: NetlinkSendPlan,
        data: Payload,
    ) {
        if self.netlink(id).is_ok_and(|s| s.port == 0) && self.netlink_claim(cx, id, 0).is_err() {
            return;
        }
        let Ok(s) = self.netlink(id) else { return };
        let (protocol, from, opener) = (s.protocol, s.port, s.admin);
        let now = cx.now.as_nanos();
        let item = Queued {
            bytes: Bytes::from(data.to_vec()),
            from,
            group: plan.group,
            creds: plan.creds,
        };
        if plan.group != 0 {
            self.netlink_broadcast(now, protocol, Some(id), plan.port, &item);
        }
        if plan.port != 0 {
            if let Some(receiver) = self.netlink_at(protocol, plan.port) {
                self.netlink_queue(now, receiver, item);
            }
            return;
        }
        if protocol != NETLINK_USERSOCK {
            let admin = cx.cred.caps.contains(Caps::NET_ADMIN) && (!plan.named || opener);
            self.netlink_serve(cx, id, protocol, admin, &item.bytes);
        }
    }

    /// datagram_poll()
    pub(crate) fn netlink_poll(&self, id: SocketId) -> PollMask {
        let Ok(s) = self.netlink(id) else {
            return PollMask::empty();
        };
        PollMask::of_datagrams(s.error.is_some(), !s.queue.is_empty())
    }
}

/// Whether requests of this protocol go to somebody who answers them: a socket of the kernel's own.
pub(crate) fn has_own(protocol: i32) -> bool {
    PROTOCOLS.contains(&protocol) && protocol != NETLINK_USERSOCK
}

/// How many groups a protocol has.
fn group_count(protocol: i32) -> u32 {
    match protocol {
        NETLINK_ROUTE => ROUTE_GROUPS,
        _ => 32,
    }
}

impl NetlinkSocket {
    /// What /proc/net/netlink tells: protocol, port and the first groups.
    pub(crate) fn shown(&self) -> (i32, u32, u32) {
        (self.protocol, self.port, self.groups as u32)
    }

    /// Whether more of a dump follows.
    pub(crate) fn is_dumping(&self) -> bool {
        self.dump.is_some()
    }

    /// How many messages were lost.
    pub(crate) fn drops(&self) -> u32 {
        self.drops
    }

    /// NETLINK_LIST_MEMBERSHIPS: whole words, and none before there was talk of groups.
    pub(crate) fn memberships(&self) -> Vec<u8> {
        let bytes = self.groups.to_ne_bytes();
        let len = match (self.grouped, self.protocol) {
            (false, _) => 0,
            (true, NETLINK_ROUTE) => 8,
            _ => 4,
        };
        bytes[..len].to_vec()
    }
}
