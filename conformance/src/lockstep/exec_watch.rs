//! Calls about the descriptor: fcntl(2), ioctl(2), epoll(7); and those that wait.

use super::exec::{Exec, Output};
use super::op::{Op, Waits};
use crate::mem::int;
use crate::sys::Fd;

/// How long a call waits: SO_RCVTIMEO and SO_SNDTIMEO, in microseconds.
const PATIENCE: i64 = 4000;
const SIOCGSTAMP: u64 = 0x8906;
const SIOCGSTAMPNS: u64 = 0x8907;

impl Exec {
    pub(super) fn of_the_descriptor(&mut self, op: &Op, out: &mut Output) -> i64 {
        match op {
            Op::Echo { slot, v6, len, to } => {
                let (fd, addr) = (self.fd(*slot), self.address(*to));
                if self.leaves(fd, Some(*to)) {
                    return 0;
                }
                let mut data = self.bytes(*len);
                let head = [if *v6 { 128 } else { 8 }, 0, 0, 0, 0, 0, 0, 1];
                for (byte, wanted) in data.iter_mut().zip(head) {
                    *byte = wanted;
                }
                let (ptr, n) = Exec::pointer(*to, &addr);
                let flags = libc::MSG_NOSIGNAL;
                self.kernel
                    .sendto_raw(fd, data.as_ptr() as u64, *len as u64, flags, ptr, n)
            }
            Op::Control { slot, command, arg } => {
                let fd = self.fd(*slot);
                self.kernel.fcntl(fd, *command, *arg)
            }
            Op::Ioctl {
                slot,
                request,
                name,
                value,
            } => self.request(*slot, *request, name, *value, out),
            Op::Watch {
                instance,
                command,
                slot,
                events,
            } => {
                let fd = self.fd(*slot);
                let mut event = libc::epoll_event {
                    events: *events,
                    u64: *slot as u64,
                };
                let ep = self.instance(*instance);
                let args = [ep as u64, *command as u64, fd as u64, &raw mut event as u64];
                self.kernel.call(libc::SYS_epoll_ctl, &args)
            }
            Op::Collect { instance } => self.collect(*instance, out),
            Op::Waiting { slot, call } => self.wait(*slot, *call, out),
            _ => unreachable!("an op of call()"),
        }
    }

    /// The instance, which is made when it is asked for first.
    fn instance(&mut self, which: usize) -> Fd {
        if self.instances[which].is_none() {
            let made = self.kernel.call(libc::SYS_epoll_create1, &[0]);
            self.instances[which] = Some(made);
        }
        self.instances[which].unwrap_or(-1)
    }

    /// What is ready, in no order.
    fn collect(&mut self, which: usize, out: &mut Output) -> i64 {
        let ep = self.instance(which);
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; 32];
        let args = [ep as u64, events.as_mut_ptr() as u64, 32, 0];
        let got = self.kernel.call(libc::SYS_epoll_wait, &args);
        let mut told: Vec<(u64, u32)> = events[..got.clamp(0, 32) as usize]
            .iter()
            .map(|event| (event.u64, event.events))
            .collect();
        told.sort_unstable();
        out.more
            .extend(told.iter().map(|told| format!("{told:x?}")));
        got
    }

    fn request(
        &mut self,
        slot: usize,
        request: u64,
        name: &[u8],
        value: i32,
        out: &mut Output,
    ) -> i64 {
        let fd = self.fd(slot);
        let mut argument = [0u8; 64];
        // Owners and FIOASYNC are ints; nobody is made an owner.
        if matches!(request, 0x5452 | 0x8901..=0x8904) {
            let value = if request == 0x5452 { value } else { 0 };
            argument[..4].copy_from_slice(&int(value));
        } else {
            argument[..name.len()].copy_from_slice(name);
            argument[16..20].copy_from_slice(&int(value));
        }
        let got = self
            .kernel
            .ioctl_raw(fd, request, argument.as_mut_ptr() as u64);
        if !matches!(request, SIOCGSTAMP | SIOCGSTAMPNS) {
            out.more.push(format!("{argument:?}"));
        }
        got
    }

    /// Makes the socket wait for a little while, makes the call, and makes it non-blocking again.
    fn wait(&mut self, slot: usize, call: Waits, out: &mut Output) -> i64 {
        let fd = self.fd(slot);
        let time = [0i64.to_ne_bytes(), PATIENCE.to_ne_bytes()].concat();
        let none = [0; 16];
        let flags = self.kernel.fcntl(fd, libc::F_GETFL, 0);
        if flags < 0 {
            return flags;
        }
        for option in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
            self.kernel.setsockopt(fd, libc::SOL_SOCKET, option, &time);
        }
        self.kernel
            .fcntl(fd, libc::F_SETFL, flags & !i64::from(libc::O_NONBLOCK));
        let got = match call {
            Waits::Recv(flags) => {
                let mut data = vec![0; 20];
                let got = self.kernel.recv(fd, &mut data, flags);
                out.data = data;
                got
            }
            Waits::Accept => self.accepted(fd),
            Waits::Send(len) => {
                let data = self.bytes(len);
                self.kernel.send(fd, &data, libc::MSG_NOSIGNAL)
            }
        };
        self.kernel.fcntl(fd, libc::F_SETFL, flags);
        for option in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
            self.kernel.setsockopt(fd, libc::SOL_SOCKET, option, &none);
        }
        got
    }
}
