//! packet_diag: AF_PACKET sockets.

use super::{cookie_bytes, cookie_of, read_word, start};
use crate::call::Cx;
use crate::filter::FilterProgram;
use crate::host::Host;
use crate::netlink::message::{Answer, Message, Refusal, Request};
use crate::netlink::serve::Asker;
use crate::packet::{Membership, PacketSocket};
use crate::socket::Socket;
use crate::table::SocketId;
use alloc::vec::Vec;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_bpf::classic::Insn;

/// `sizeof(struct packet_diag_req)`
const REQUEST: usize = 20;

/// PACKET_SHOW_*
const SHOW_INFO: u32 = 1;
const SHOW_MEMBERSHIPS: u32 = 2;
const SHOW_FANOUT: u32 = 8;
const SHOW_MEMORY: u32 = 0x10;
const SHOW_FILTER: u32 = 0x20;

/// PACKET_DIAG_*
const INFO: u16 = 0;
const MEMBERSHIPS: u16 = 1;
const FANOUT: u16 = 4;
const UID: u16 = 5;
const MEMORY: u16 = 6;
const FILTER: u16 = 7;

/// `MAX_ADDR_LEN`
const ADDRESS: usize = 32;

impl Host {
    /// packet_diag_handler_dump()
    pub(super) fn packet_diag(
        &self,
        cx: &Cx<'_>,
        asker: &Asker,
        request: &Request<'_>,
    ) -> Result<Answer, Refusal> {
        let body: &[u8; REQUEST] = request.body().first_chunk().ok_or(Errno::EINVAL)?;
        // "Make it possible to support protocol filtering later"
        if body[1] != 0 {
            return Err(Errno::EINVAL.into());
        }
        if !request.is_dump() {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let show = read_word(body, 8);
        let all = self.packets.iter();
        let all = all.filter_map(|&id| Some((id, self.get(id).ok()?, self.packet(id).ok()?)));
        let messages = all.map(|(id, socket, s)| {
            let num = s.protocol();
            let mut head = Vec::with_capacity(16);
            head.extend([AF_PACKET as u8, socket.common.ty as u8]);
            head.extend(num.to_ne_bytes());
            head.extend(self.socket_inode(id).to_ne_bytes());
            head.extend(cookie_bytes(cookie_of(id)));
            let mut m = start(request, asker.port, &head);
            if show & SHOW_INFO != 0 {
                m.put(INFO, &self.packet_info(id, s));
                m.put_u32(UID, socket.common.uid);
            }
            if show & SHOW_MEMBERSHIPS != 0 {
                let all: Vec<u8> = s.memberships.iter().flat_map(membership).collect();
                m.put(MEMBERSHIPS, &all);
            }
            if show & SHOW_FANOUT != 0
                && let Some(member) = &s.fanout
            {
                // Without its flags.
                m.put_u32(FANOUT, member.told() & 0x00ff_ffff);
            }
            if show & SHOW_MEMORY != 0 {
                m.put(MEMORY, &self.option(cx, id, SOL_SOCKET, SO_MEMINFO));
            }
            if show & SHOW_FILTER != 0 {
                put_filter(&mut m, asker, socket);
            }
            m.finish()
        });
        Ok(Answer::dump(messages.collect()))
    }

    /// `struct packet_diag_info`
    fn packet_info(&self, id: SocketId, s: &PacketSocket) -> Vec<u8> {
        let o = &s.options;
        // PDI_RUNNING, PDI_AUXDATA, PDI_ORIGDEV, PDI_LOSS
        let flags = u32::from(self.packet_is_running(id))
            | u32::from(o.auxdata) << 1
            | u32::from(o.origdev) << 2
            | u32::from(o.loss) << 4;
        let words = [
            s.interface().map_or(0, |index| index.get()),
            o.version as u32,
            o.reserve,
            o.copy_thresh as u32,
            o.timestamp as u32,
            flags,
        ];
        words.map(u32::to_ne_bytes).concat()
    }
}

/// `struct packet_diag_mclist`
fn membership(m: &Membership) -> Vec<u8> {
    let mut out = Vec::with_capacity(12 + ADDRESS);
    out.extend(m.interface.to_ne_bytes());
    out.extend(m.count.to_ne_bytes());
    out.extend(m.kind.to_ne_bytes());
    out.extend(m.length.to_ne_bytes());
    out.extend(m.address);
    out.resize(12 + ADDRESS, 0);
    out
}

/// sock_diag_put_filterinfo(): whoever may not know gets an empty one.
fn put_filter(m: &mut Message, asker: &Asker, socket: &Socket) {
    if !asker.admin {
        return m.put(FILTER, &[]);
    }
    let state = socket.common.filter.as_ref();
    if let Some(FilterProgram::Classic(program)) = state.and_then(|s| s.program.as_deref()) {
        let insns = program.insns().iter().copied();
        m.put(FILTER, &insns.flat_map(Insn::to_bytes).collect::<Vec<u8>>());
    }
}
