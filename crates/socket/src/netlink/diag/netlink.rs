//! netlink_diag: AF_NETLINK sockets, the kernel's own of each protocol among them.

use super::{NO_COOKIE, cookie_bytes, cookie_of, read_word, start};
use crate::call::Cx;
use crate::host::Host;
use crate::netlink::message::{Answer, Refusal, Request};
use crate::netlink::serve::Asker;
use crate::netlink::{FRESH, MAX_LINKS, NetlinkFlags, NetlinkSocket, has_own};
use crate::table::SocketId;
use alloc::vec::Vec;
use switchboard_abi::Errno;
use switchboard_abi::number::*;

/// `sizeof(struct netlink_diag_req)`
const REQUEST: usize = 20;
/// NDIAG_PROTO_ALL
const EVERY: u8 = u8::MAX;

/// NDIAG_SHOW_*
const SHOW_MEMORY: u32 = 1;
const SHOW_GROUPS: u32 = 2;
const SHOW_FLAGS: u32 = 8;

/// NETLINK_DIAG_*
const MEMORY: u16 = 0;
const GROUPS: u16 = 1;
const FLAGS: u16 = 4;

/// NDIAG_FLAG_CB_RUNNING, and the others, whose bits follow it.
const RUNNING: u32 = 1;
const OTHERS: [NetlinkFlags; 5] = [
    NetlinkFlags::PKTINFO,
    NetlinkFlags::BROADCAST_ERROR,
    NetlinkFlags::NO_ENOBUFS,
    NetlinkFlags::LISTEN_ALL_NSID,
    NetlinkFlags::CAP_ACK,
];

impl Host {
    /// netlink_diag_handler_dump()
    pub(super) fn netlink_diag(
        &self,
        cx: &Cx<'_>,
        asker: &Asker,
        request: &Request<'_>,
    ) -> Result<Answer, Refusal> {
        let body: &[u8; REQUEST] = request.body().first_chunk().ok_or(Errno::EINVAL)?;
        if !request.is_dump() {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let (wanted, show) = (body[1], read_word(body, 8));
        if wanted != EVERY && i32::from(wanted) >= MAX_LINKS {
            return Ok(Answer::no_dump(Errno::ENOENT));
        }
        let mut messages = Vec::new();
        for protocol in 0..MAX_LINKS {
            if wanted != EVERY && i32::from(wanted) != protocol {
                continue;
            }
            if has_own(protocol) {
                messages.push(self.own_message(asker, request, show, protocol));
            }
            // Those that hear groups are in a list of their own, and told of once more.
            for by_port in [true, false] {
                let all = self.netlinks.iter();
                let all = all.filter_map(|id| Some((*id, self.netlink(*id).ok()?)));
                let shown = all.filter(|(_, s)| {
                    s.protocol == protocol && if by_port { s.port != 0 } else { s.groups != 0 }
                });
                let message = |(id, s)| self.netlink_message(cx, asker, request, show, id, s);
                messages.extend(shown.map(message));
            }
        }
        Ok(Answer::dump(messages))
    }

    /// sk_diag_fill()
    fn netlink_message(
        &self,
        cx: &Cx<'_>,
        asker: &Asker,
        request: &Request<'_>,
        show: u32,
        id: SocketId,
        s: &NetlinkSocket,
    ) -> Vec<u8> {
        let ty = self.get(id).map_or(0, |socket| socket.common.ty);
        let group = match s.peer.1 {
            0 => 0,
            groups => groups.trailing_zeros() + 1,
        };
        let mut head = Vec::with_capacity(28);
        head.extend([AF_NETLINK as u8, ty as u8, s.protocol as u8, s.state]);
        for word in [s.port, s.peer.0, group, self.socket_inode(id)] {
            head.extend(word.to_ne_bytes());
        }
        head.extend(cookie_bytes(cookie_of(id)));
        let mut m = start(request, asker.port, &head);
        let groups = s.memberships();
        if show & SHOW_GROUPS != 0 && !groups.is_empty() {
            m.put(GROUPS, &groups);
        }
        if show & SHOW_MEMORY != 0 {
            m.put(MEMORY, &self.option(cx, id, SOL_SOCKET, SO_MEMINFO));
        }
        if show & SHOW_FLAGS != 0 {
            m.put_u32(FLAGS, flags_of(s));
        }
        m.finish()
    }

    /// The kernel's own socket of a protocol, to which requests go: it has no file.
    fn own_message(
        &self,
        asker: &Asker,
        request: &Request<'_>,
        show: u32,
        protocol: i32,
    ) -> Vec<u8> {
        let mut head = [0; 28];
        head[..4].copy_from_slice(&[AF_NETLINK as u8, SOCK_DGRAM as u8, protocol as u8, FRESH]);
        head[20..].copy_from_slice(&cookie_bytes(NO_COOKIE - 1 - protocol as u64));
        let mut m = start(request, asker.port, &head);
        if show & SHOW_MEMORY != 0 {
            let sysctl = self.stack.sysctl();
            let words = [
                0,
                sysctl.rmem_default,
                0,
                sysctl.wmem_default,
                0,
                0,
                0,
                0,
                0,
            ];
            m.put(MEMORY, &words.map(u32::to_ne_bytes).concat());
        }
        if show & SHOW_FLAGS != 0 {
            m.put_u32(FLAGS, 0);
        }
        m.finish()
    }
}

fn flags_of(s: &NetlinkSocket) -> u32 {
    let mut flags = if s.is_dumping() { RUNNING } else { 0 };
    for (bit, flag) in OTHERS.into_iter().enumerate() {
        flags |= u32::from(s.flags.contains(flag)) << (bit + 1);
    }
    flags
}
