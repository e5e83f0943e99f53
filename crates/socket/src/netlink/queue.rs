//! What netlink sockets have to read: queued, filtered, told to groups, received.

use super::{NetlinkFlags, NetlinkRecvEffect, NetlinkSocket};
use crate::call::{Attempt, Blocked, Fail};
use crate::host::Host;
use crate::mask::PollMask;
use crate::message::{ControlOut, Received, RecvEffect, RecvRequest, Ucred};
use crate::socket::CommonFlags;
use crate::table::SocketId;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::Bytes;
use switchboard_abi::number::*;
use switchboard_abi::{Errno, SockAddr};
use switchboard_wire::Payload;

/// What the kernel's messages tell of their sender.
const KERNEL: Ucred = Ucred {
    pid: 0,
    uid: 0,
    gid: 0,
};

/// A datagram, and what recvmsg(2) tells with it (`struct netlink_skb_parms`).
#[derive(Clone, Debug)]
pub(super) struct Queued {
    pub(super) bytes: Bytes,
    /// The sender's port; the kernel's is 0.
    pub(super) from: u32,
    /// The group that it was sent to, or 0.
    pub(super) group: u32,
    pub(super) creds: Ucred,
}

impl Queued {
    /// From the kernel, to one socket.
    pub(super) fn answer(bytes: Vec<u8>) -> Queued {
        Queued {
            bytes: bytes.into(),
            from: 0,
            group: 0,
            creds: KERNEL,
        }
    }

    /// What it is charged: an sk_buff, and its data with the shared info. Small ones come from a cache, large ones from
    /// netlink_alloc_large_skb().
    fn charge(&self) -> usize {
        Queued::charge_of(self.bytes.len())
    }

    /// The same of a message of `len` bytes.
    fn charge_of(len: usize) -> usize {
        const SKB: usize = 256;
        const SHARED_INFO: usize = 320;
        const SMALL_HEAD: usize = 576;
        const GOOD_SIZE: usize = 4096 - SHARED_INFO;
        let size = len.next_multiple_of(64) + SHARED_INFO;
        SKB + match size {
            0..=SMALL_HEAD => SMALL_HEAD,
            _ if len > GOOD_SIZE => size,
            _ => size.next_power_of_two(),
        }
    }
}

/// The datagrams of a dump that wait for the reader.
pub(super) struct Dump {
    rest: VecDeque<Bytes>,
}

impl Host {
    /// netlink_attachskb() and netlink_broadcast_deliver(): whether the socket had room.
    pub(super) fn netlink_queue(&mut self, now: u64, id: SocketId, mut item: Queued) -> bool {
        // sk_filter(): what it drops was taken, as far as the sender knows.
        match self.unix_filtered(now, id, &Payload::from(item.bytes.clone())) {
            Some(len) => item.bytes.truncate(len),
            None => return true,
        }
        if !self.netlink_has_room(id, item.bytes.len()) {
            self.netlink_overrun(id);
            return false;
        }
        let Ok(s) = self.netlink_mut(id) else {
            return false;
        };
        s.charged += item.charge();
        s.queue.push_back(item);
        self.wake(id, PollMask::READABLE);
        true
    }

    /// Whether a message of `len` bytes fits.
    pub(super) fn netlink_has_room(&self, id: SocketId, len: usize) -> bool {
        let (Ok(socket), Ok(s)) = (self.get(id), self.netlink(id)) else {
            return false;
        };
        let limit = socket.common.rcvbuf as usize;
        !s.congested && (s.charged == 0 || s.charged + Queued::charge_of(len) <= limit)
    }

    /// netlink_overrun(): told once until the queue is empty again.
    fn netlink_overrun(&mut self, id: SocketId) {
        let Ok(s) = self.netlink_mut(id) else { return };
        s.drops = s.drops.wrapping_add(1);
        if !s.flags.contains(NetlinkFlags::NO_ENOBUFS) && !s.congested {
            s.congested = true;
            s.error = Some(Errno::ENOBUFS);
            self.wake(id, PollMask::ERR);
        }
    }

    /// netlink_broadcast(): to every member of the group, but `except` and whoever has the port `not`.
    pub(super) fn netlink_broadcast(
        &mut self,
        now: u64,
        protocol: i32,
        except: Option<SocketId>,
        not: u32,
        item: &Queued,
    ) {
        let Some(bit) = item.group.checked_sub(1).filter(|n| *n < 64) else {
            return;
        };
        let hears = |id: &SocketId| {
            Some(*id) != except
                && self.netlink(*id).is_ok_and(|s| {
                    s.protocol == protocol && s.port != not && s.groups >> bit & 1 == 1
                })
        };
        let members: Vec<SocketId> = self.netlinks.iter().copied().filter(hears).collect();
        for id in members {
            self.netlink_queue(now, id, item.clone());
        }
    }

    /// The kernel tells a group of rtnetlink's something (rtnl_notify()).
    pub(super) fn netlink_tell(&mut self, now: u64, group: u32, message: Vec<u8>) {
        let item = Queued {
            group,
            ..Queued::answer(message)
        };
        self.netlink_broadcast(now, NETLINK_ROUTE, None, 0, &item);
    }

    /// __netlink_dump_start(): the datagrams of a dump, of which the first are queued at once.
    pub(super) fn netlink_start_dump(&mut self, now: u64, id: SocketId, datagrams: Vec<Vec<u8>>) {
        let Ok(s) = self.netlink_mut(id) else { return };
        s.dump = Some(Box::new(Dump {
            rest: datagrams.into_iter().map(Bytes::from).collect(),
        }));
        self.netlink_go_on(now, id);
    }

    /// netlink_dump(): on while not more than half of the receive buffer is used.
    fn netlink_go_on(&mut self, now: u64, id: SocketId) {
        loop {
            let Ok(limit) = self.get(id).map(|s| s.common.rcvbuf as usize / 2) else {
                return;
            };
            let Ok(s) = self.netlink_mut(id) else { return };
            if s.charged > limit {
                return;
            }
            let Some(dump) = &mut s.dump else { return };
            let next = dump.rest.pop_front();
            if dump.rest.is_empty() {
                s.dump = None;
            }
            let Some(bytes) = next else { return };
            let mut item = Queued::answer(Vec::new());
            item.bytes = bytes;
            // A dump asks the filter, but never finds the queue too full.
            if let Some(len) = self.unix_filtered(now, id, &Payload::from(item.bytes.clone())) {
                item.bytes.truncate(len);
                let Ok(s) = self.netlink_mut(id) else { return };
                s.charged += item.charge();
                s.queue.push_back(item);
                self.wake(id, PollMask::READABLE);
            }
        }
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
        let common = &self.get(id)?.common;
        let (timeout, passcred) = (common.rcvtimeo, common.has(CommonFlags::PASSCRED));
        let s = self.netlink(id)?;
        if let (Some(errno), 0) = (s.error, request.skip.messages) {
            return Err(Fail::pending(errno));
        }
        let Some(item) = s.queue.get(request.skip.messages) else {
            if request.last {
                return Err(Errno::EAGAIN.into());
            }
            return Ok(Attempt::Blocked(Blocked {
                interest: PollMask::IN,
                timeout,
            }));
        };
        let whole = item.bytes.len();
        let n = request.len.min(whole);
        let mut control = Vec::new();
        if s.flags.contains(NetlinkFlags::PKTINFO) {
            // struct nl_pktinfo: the group.
            control.push(ControlOut::Raw {
                level: SOL_NETLINK,
                kind: NETLINK_PKTINFO,
                data: item.group.to_ne_bytes().to_vec(),
            });
        }
        if passcred {
            control.push(ControlOut::Credentials(item.creds));
        }
        let peek = request.flags & MSG_PEEK != 0;
        Ok(Attempt::Ready(Received {
            data: Payload::from(item.bytes.slice(..n)),
            ret: if request.flags & MSG_TRUNC != 0 {
                whole
            } else {
                n
            },
            msg_flags: if n < whole { MSG_TRUNC } else { 0 },
            name: Some(SockAddr::Netlink {
                port: item.from,
                groups: group_mask(item.group),
            }),
            control,
            effect: if peek {
                RecvEffect::None
            } else {
                RecvEffect::Netlink(NetlinkRecvEffect)
            },
        }))
    }

    pub(crate) fn netlink_commit_recv(&mut self, now: u64, id: SocketId, _: NetlinkRecvEffect) {
        let Ok(limit) = self.get(id).map(|s| s.common.rcvbuf as usize) else {
            return;
        };
        let Ok(s) = self.netlink_mut(id) else { return };
        let before = s.charged;
        if let Some(item) = s.queue.pop_front() {
            s.charged -= item.charge();
        }
        // netlink_rcv_wake()
        if s.queue.is_empty() {
            s.congested = false;
        }
        // A sender may wait for this.
        let relieved = 2 * before > limit && !s.congested && s.protocol == NETLINK_USERSOCK;
        self.netlink_go_on(now, id);
        if relieved {
            let others: Vec<SocketId> = self.netlinks.iter().copied().collect();
            for other in others {
                self.wake(other, PollMask::OUT);
            }
        }
    }
}

/// netlink_group_mask(): only the first 32 have a bit in `nl_groups`.
fn group_mask(group: u32) -> u32 {
    match group {
        1..=32 => 1 << (group - 1),
        _ => 0,
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
        if self.queue.is_empty() {
            self.congested = false;
        }
    }

    /// NETLINK_NO_ENOBUFS
    pub(crate) fn forget_overrun(&mut self) {
        self.congested = false;
    }

    /// Whether something is left to read behind this many messages.
    pub(crate) fn readable_after(&self, messages: usize) -> bool {
        self.queue.len() > messages || self.dump.is_some()
    }
}
