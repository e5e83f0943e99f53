//! NETLINK_SOCK_DIAG (sock_diag(7)): the sockets of the host, as ss(8) asks for them.
//!
//! # Limits
//! TCP, UDP, AF_UNIX, AF_NETLINK and AF_PACKET. Raw sockets are ENOENT, as on a kernel without that module, and ss(8) reads
//! /proc/net/raw. A request or a TIME_WAIT entry has the cookie 0. Packet sockets show no rings and no fan-out.

mod bytecode;
mod inet;
mod netlink;
mod packet;
mod unix;

use super::message::{Answer, Message, Refusal, Request};
use super::serve::Asker;
use crate::call::Cx;
use crate::host::Host;
use crate::table::SocketId;
use alloc::vec::Vec;
use switchboard_abi::number::*;
use switchboard_abi::{Errno, Word};

/// TCPDIAG_GETSOCK, which was before the others and is of TCP alone; collectd(1) still asks by it.
const GET_SOCK: u16 = 18;
/// SOCK_DIAG_BY_FAMILY and SOCK_DESTROY.
const BY_FAMILY: u16 = 20;
const DESTROY: u16 = 21;

/// INET_DIAG_NOCOOKIE
const NO_COOKIE: u64 = u64::MAX;

impl Host {
    /// sock_diag_rcv_msg()
    pub(super) fn sock_diag(
        &mut self,
        cx: &mut Cx<'_>,
        asker: &Asker,
        request: &Request<'_>,
        dumping: bool,
    ) -> Result<Answer, Refusal> {
        if !matches!(request.kind, GET_SOCK | BY_FAMILY | DESTROY) {
            return Err(Errno::EINVAL.into());
        }
        // struct sock_diag_req
        let &[family, protocol, ..] = request.body() else {
            return Err(Errno::EINVAL.into());
        };
        let destroys = request.kind == DESTROY;
        if request.is_dump() && dumping {
            return Err(Errno::EBUSY.into());
        }
        if request.kind == GET_SOCK {
            return self.inet_diag(cx, asker, request, IPPROTO_TCP as u8);
        }
        match i32::from(family) {
            AF_INET | AF_INET6 if destroys => self.inet_destroy(cx, asker, request, protocol),
            AF_INET | AF_INET6 => self.inet_diag(cx, asker, request, protocol),
            AF_UNIX | AF_NETLINK | AF_PACKET if destroys => Err(Errno::EOPNOTSUPP.into()),
            AF_UNIX => self.unix_diag(cx, asker, request),
            AF_NETLINK => self.netlink_diag(cx, asker, request),
            AF_PACKET => self.packet_diag(cx, asker, request),
            family if family >= AF_MAX => Err(Errno::EINVAL.into()),
            _ => Err(Errno::ENOENT.into()),
        }
    }

    /// The inode of the file that stands for a socket: the embedder's, or a number that no other has.
    pub(crate) fn socket_inode(&self, id: SocketId) -> u32 {
        match self.get(id).map(|socket| socket.common.inode) {
            Ok(0) => id.to_u64() as u32 + 1,
            Ok(inode) => inode,
            Err(_) => 0,
        }
    }

    /// Names the inode of the file that stands for a socket.
    pub fn set_inode(&mut self, id: SocketId, inode: u64) {
        if let Ok(socket) = self.get_mut(id) {
            // Those of sockets have 32 bits (get_next_ino()).
            socket.common.inode = inode as u32;
        }
    }

    /// An option's value, as getsockopt(2) would tell it.
    fn option(&self, cx: &Cx<'_>, id: SocketId, level: i32, name: i32) -> Vec<u8> {
        let value = self.getsockopt(cx, id, level, name, 512, Word::Lp64);
        value.map_or(Vec::new(), |value| value.bytes)
    }
}

fn cookie_of(id: SocketId) -> u64 {
    id.to_u64() + 1
}

/// Two words, the lower one first.
fn cookie_bytes(cookie: u64) -> [u8; 8] {
    let mut out = [0; 8];
    out[..4].copy_from_slice(&(cookie as u32).to_ne_bytes());
    out[4..].copy_from_slice(&((cookie >> 32) as u32).to_ne_bytes());
    out
}

fn read_word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    u32::from_ne_bytes(word.unwrap_or([0; 4]))
}

fn read_cookie(bytes: &[u8], at: usize) -> u64 {
    u64::from(read_word(bytes, at)) | u64::from(read_word(bytes, at + 4)) << 32
}

fn start(request: &Request<'_>, port: u32, head: &[u8]) -> Message {
    Message::new(
        request.kind,
        request.reply_flags(),
        request.sequence,
        port,
        head,
    )
}
