//! unix_diag: AF_UNIX sockets.

use super::{NO_COOKIE, cookie_bytes, cookie_of, read_cookie, read_word, start};
use crate::call::Cx;
use crate::host::Host;
use crate::netlink::message::{Answer, Refusal, Request};
use crate::netlink::serve::Asker;
use crate::socket::{Kind, Socket};
use crate::table::SocketId;
use crate::unix::UnixSocket;
use alloc::vec::Vec;
use switchboard_abi::Errno;
use switchboard_abi::number::*;

/// `sizeof(struct unix_diag_req)`
const REQUEST: usize = 24;

/// UDIAG_SHOW_*, whose attributes are numbered alike.
const SHOW_NAME: u32 = 1;
const SHOW_VFS: u32 = 2;
const SHOW_PEER: u32 = 4;
const SHOW_WAITING: u32 = 8;
const SHOW_QUEUES: u32 = 0x10;
const SHOW_MEMORY: u32 = 0x20;
const SHOW_UID: u32 = 0x40;

/// UNIX_DIAG_*
const NAME: u16 = 0;
const VFS: u16 = 1;
const PEER: u16 = 2;
const WAITING: u16 = 3;
const QUEUES: u16 = 4;
const MEMORY: u16 = 5;
const SHUTDOWN: u16 = 6;
const UID: u16 = 7;

/// TCP_ESTABLISHED, TCP_CLOSE, TCP_LISTEN
const CONNECTED: u8 = 1;
const CLOSED: u8 = 7;
const LISTENING: u8 = 10;

fn state_of(unix: &UnixSocket) -> u8 {
    let shown = unix.shown();
    match (shown.listening, shown.connected) {
        (true, _) => LISTENING,
        (false, true) => CONNECTED,
        (false, false) => CLOSED,
    }
}

/// A device number as the kernel keeps it: 12 bits of major, 20 of minor.
fn kernel_dev(dev: u64) -> u32 {
    let major = (dev >> 8 & 0xfff) as u32;
    let minor = (dev & 0xff | dev >> 12 & 0xfff00) as u32;
    major << 20 | minor
}

impl Host {
    /// unix_diag_handler_dump()
    pub(super) fn unix_diag(
        &self,
        cx: &Cx<'_>,
        asker: &Asker,
        request: &Request<'_>,
    ) -> Result<Answer, Refusal> {
        let body: &[u8; REQUEST] = request.body().first_chunk().ok_or(Errno::EINVAL)?;
        let (states, inode, show) = (read_word(body, 4), read_word(body, 8), read_word(body, 12));
        let cookie = read_cookie(body, 16);
        let mut all = self
            .sockets
            .iter()
            .filter_map(|(id, socket)| match &socket.kind {
                // Who is not accepted yet has no file.
                Kind::Unix(unix) if !unix.shown().embryo => Some((id, socket, &**unix)),
                _ => None,
            });
        if request.is_dump() {
            let shown = all.filter(|(_, _, unix)| states >> state_of(unix) & 1 == 1);
            let messages = shown.map(|(id, socket, unix)| {
                self.unix_message(cx, asker, request, show, id, socket, unix)
            });
            return Ok(Answer::dump(messages.collect()));
        }
        if inode == 0 {
            return Err(Errno::EINVAL.into());
        }
        let found = all.find(|(id, ..)| self.socket_inode(*id) == inode);
        let (id, socket, unix) = found.ok_or(Errno::ENOENT)?;
        // sock_diag_check_cookie()
        if cookie != NO_COOKIE && cookie != cookie_of(id) {
            return Err(Errno::ESTALE.into());
        }
        let message = self.unix_message(cx, asker, request, show, id, socket, unix);
        Ok(Answer::One(message))
    }

    /// sk_diag_fill()
    #[allow(clippy::too_many_arguments)] // They are one request and one socket.
    fn unix_message(
        &self,
        cx: &Cx<'_>,
        asker: &Asker,
        request: &Request<'_>,
        show: u32,
        id: SocketId,
        socket: &Socket,
        unix: &UnixSocket,
    ) -> Vec<u8> {
        let common = &socket.common;
        let state = state_of(unix);
        let mut head = Vec::with_capacity(16);
        head.extend([AF_UNIX as u8, common.ty as u8, state, 0]);
        head.extend(self.socket_inode(id).to_ne_bytes());
        head.extend(cookie_bytes(cookie_of(id)));
        let mut m = start(request, asker.port, &head);
        if let (Some(name), true) = (unix.shown().name, show & SHOW_NAME != 0) {
            m.put(NAME, name);
        }
        if let (Some(file), true) = (unix.file(), show & SHOW_VFS != 0) {
            let words = [file.ino as u32, kernel_dev(file.dev)];
            m.put(VFS, &words.map(u32::to_ne_bytes).concat());
        }
        if let (Some(peer), true) = (unix.peer_id(), show & SHOW_PEER != 0) {
            // One that is gone, or not accepted yet, has no inode.
            m.put_u32(PEER, self.unix_file_inode(peer));
        }
        let waiting = unix.waiting();
        if state == LISTENING && show & SHOW_WAITING != 0 {
            let clients = waiting.clone().map(|embryo| {
                let client = self.unix(embryo).and_then(UnixSocket::peer_id);
                client.map_or(0, |client| self.unix_file_inode(client))
            });
            let words: Vec<u8> = clients.flat_map(u32::to_ne_bytes).collect();
            m.put(WAITING, &words);
        }
        if show & SHOW_QUEUES != 0 {
            let count = |n: Result<i32, Errno>| n.unwrap_or(0) as u32;
            let queues = match unix.backlog() {
                Some(backlog) => [waiting.count() as u32, backlog],
                None => [count(self.unix_inq(id)), count(self.unix_outq(id))],
            };
            m.put(QUEUES, &queues.map(u32::to_ne_bytes).concat());
        }
        if show & SHOW_MEMORY != 0 {
            m.put(MEMORY, &self.option(cx, id, SOL_SOCKET, SO_MEMINFO));
        }
        m.put(SHUTDOWN, &[unix.shut_bits()]);
        if show & SHOW_UID != 0 {
            m.put_u32(UID, common.uid);
        }
        m.finish()
    }

    fn unix_file_inode(&self, id: SocketId) -> u32 {
        match self.unix(id) {
            Some(unix) if !unix.shown().embryo => self.socket_inode(id),
            _ => 0,
        }
    }
}
