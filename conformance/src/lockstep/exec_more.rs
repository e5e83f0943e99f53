//! The less usual calls: vectors, many messages at once, bursts that fill buffers.

use super::exec::{Exec, Output, STORAGE};
use super::frame;
use super::op::Op;
use crate::msg::{Batch, Msg};
use crate::sys::Fd;

impl Exec {
    pub(super) fn less_usual(&mut self, op: &Op, out: &mut Output) -> i64 {
        match op {
            Op::ReadV { slot, lens } => {
                let mut msg = Msg::room(lens);
                let (at, n) = (msg.iov.as_mut_ptr() as u64, msg.iov.len() as u64);
                let got = self.kernel.readv_raw(self.fd(*slot), at, n);
                out.data = msg.data(i64::MAX);
                got
            }
            Op::WriteV { slot, lens } => {
                let parts: Vec<Vec<u8>> = lens.iter().map(|len| self.bytes(*len)).collect();
                let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
                let msg = Msg::of(&parts);
                let (at, n) = (msg.iov.as_ptr() as u64, msg.iov.len() as u64);
                self.kernel.writev_raw(self.fd(*slot), at, n)
            }
            Op::SendMany {
                slot,
                lens,
                flags,
                to,
            } => {
                let fd = self.fd(*slot);
                if self.leaves(fd, *to) {
                    return 0;
                }
                let place = to.map(|place| (place, self.address(place)));
                let mut list = Vec::new();
                for len in lens {
                    let data = self.bytes(*len);
                    let mut msg = Msg::of(&[&data]);
                    if let Some((place, addr)) = &place {
                        let (ptr, len) = Exec::pointer(*place, addr);
                        msg.hdr.msg_name = ptr as *mut libc::c_void;
                        msg.hdr.msg_namelen = len as u32;
                    }
                    list.push(msg);
                }
                let mut many = Batch::new(list);
                let flags = self.timeless(fd, *flags);
                let got = self
                    .kernel
                    .sendmmsg_raw(fd, many.ptr(), lens.len() as u32, flags);
                out.more.push(format!("{:?}", many.lens()));
                got
            }
            Op::RecvMany { slot, lens, flags } => {
                let list = lens.iter().map(|len| Msg::room(&[*len]).name_room(STORAGE));
                let mut many = Batch::new(list.collect());
                let fd = self.fd(*slot);
                let got = self
                    .kernel
                    .recvmmsg_raw(fd, many.ptr(), lens.len() as u32, *flags, 0);
                many.take_back();
                for (i, msg) in many.msgs.iter().enumerate() {
                    let mut text = format!("len {} flags {:#x}", many.vec[i].msg_len, msg.flags());
                    if (i as i64) < got {
                        let len = msg.hdr.msg_namelen;
                        text += &format!(" {}", self.name(&msg.peer().0, STORAGE as u32, len));
                    }
                    out.more.push(text);
                    let mut data = msg.data(i64::MAX);
                    frame::hide(&mut data);
                    out.data.extend(data);
                }
                got
            }
            Op::Burst { slot, len, most } => {
                let fd = self.fd(*slot);
                if self.is_tcp(fd) || self.is_raw(fd) {
                    return 0;
                }
                let data = self.bytes(*len);
                for n in 0..*most {
                    let got = self.kernel.send(fd, &data, libc::MSG_NOSIGNAL);
                    if got != *len as i64 {
                        out.more.push(format!("after {n}"));
                        return got;
                    }
                }
                *most as i64
            }
            Op::Buffer { slot, name, value } => {
                let fd = self.fd(*slot);
                if self.is_tcp(fd) || self.is_raw(fd) {
                    return 0;
                }
                self.kernel.set_int(fd, libc::SOL_SOCKET, *name, *value)
            }
            _ => self.of_the_descriptor(op, out),
        }
    }

    fn is_raw(&mut self, fd: Fd) -> bool {
        let kind = self.kernel.get_int(fd, libc::SOL_SOCKET, libc::SO_TYPE);
        kind.is_ok_and(|kind| kind == libc::SOCK_RAW)
    }

    pub(super) fn is_tcp(&mut self, fd: Fd) -> bool {
        let protocol = self.kernel.get_int(fd, libc::SOL_SOCKET, libc::SO_PROTOCOL);
        protocol.is_ok_and(|p| p == libc::IPPROTO_TCP)
    }
}
