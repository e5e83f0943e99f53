//! poll(2), answered for a process's own descriptors.

use super::Process;
use super::open::{Kind, OpenFile};
use std::sync::Arc;
use std::time::Duration;
use switchboard_abi::Errno;
use switchboard_abi::number::{POLLERR, POLLHUP, POLLNVAL};
use switchboard_socket::{PollMask, SocketId};

/// `struct pollfd` of poll(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct PollFd {
    /// The descriptor; a negative one is passed over.
    pub fd: i32,
    /// The `POLL*` bits asked for.
    pub events: u16,
    /// The bits that are set: of those asked for, and `POLLERR`, `POLLHUP` and `POLLNVAL`.
    pub revents: u16,
}

impl Process {
    /// poll(2) and ppoll(2): how many descriptors have something. `None` waits for ever.
    #[doc(alias = "ppoll")]
    pub fn poll(&self, fds: &mut [PollFd], timeout: Option<Duration>) -> Result<usize, Errno> {
        let files: Vec<Option<Arc<OpenFile>>> = {
            let table = self.table();
            fds.iter().map(|fd| table.get(fd.fd).ok()).collect()
        };
        let net = &self.host.net;
        let index = self.host.index;
        let mut world = net.lock();
        let deadline = timeout.map(|timeout| world.now() + timeout);
        let ready = loop {
            let mut ready = 0;
            for (fd, file) in fds.iter_mut().zip(&files) {
                fd.revents = match file {
                    _ if fd.fd < 0 => 0,
                    None => POLLNVAL,
                    Some(file) => {
                        let mask = file.poll(&mut world.hosts[index]).bits();
                        mask & (fd.events | POLLERR | POLLHUP | POLLNVAL)
                    }
                };
                ready += usize::from(fd.revents != 0);
            }
            if ready > 0 || deadline.is_some_and(|deadline| deadline <= world.now()) {
                break ready;
            }
            let mut sockets: Vec<(SocketId, PollMask)> = Vec::new();
            for (fd, file) in fds.iter().zip(&files) {
                match file.as_ref().map(|file| file.kind) {
                    Some(Kind::Socket(id)) if fd.fd >= 0 => {
                        sockets.push((id, PollMask::from_bits_retain(fd.events)));
                    }
                    Some(Kind::Epoll(id)) if fd.fd >= 0 => {
                        sockets.extend(world.hosts[index].epolls.sockets(id));
                    }
                    _ => {}
                }
            }
            world = net.wait(world, index, &sockets, deadline)?;
        };
        net.unlock(world);
        Ok(ready)
    }
}
