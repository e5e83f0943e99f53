//! Classic BPF programs, and what attaches them.

use crate::check::Got;
use crate::kernel::Kernel;
use crate::sys::Fd;
use libc::SOL_SOCKET;
use std::time::Duration;

/// `struct sock_filter`
pub(crate) type Insn = libc::sock_filter;

pub(crate) const fn insn(code: u16, jt: u8, jf: u8, k: u32) -> Insn {
    Insn { code, jt, jf, k }
}

/// An instruction that is no jump.
pub(crate) const fn stmt(code: u32, k: u32) -> Insn {
    insn(code as u16, 0, 0, k)
}

/// `ret #k`
pub(crate) const fn ret_k(k: u32) -> Insn {
    stmt(libc::BPF_RET | libc::BPF_K, k)
}

/// `ret a`
pub(crate) const RET_A: Insn = stmt(libc::BPF_RET | libc::BPF_A, 0);

/// `ld #k`
pub(crate) const fn ld_imm(k: u32) -> Insn {
    stmt(libc::BPF_LD | libc::BPF_IMM, k)
}

/// `ldb [k]`
pub(crate) const fn ldb(k: u32) -> Insn {
    stmt(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, k)
}

/// `ld [k]`
pub(crate) const fn ld(k: u32) -> Insn {
    stmt(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, k)
}

/// `struct sock_fprog` in bytes; it points to the program.
pub(crate) fn fprog(program: &[Insn]) -> Vec<u8> {
    let mut bytes = (program.len() as u16).to_ne_bytes().to_vec();
    bytes.resize(8, 0);
    bytes.extend((program.as_ptr() as u64).to_ne_bytes());
    bytes
}

impl<'k> dyn Kernel + 'k {
    /// `setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, ...)`
    pub(crate) fn attach(&mut self, fd: Fd, program: &[Insn]) -> i64 {
        self.attach_as(fd, libc::SO_ATTACH_FILTER, program)
    }

    /// The same for another option.
    pub(crate) fn attach_as(&mut self, fd: Fd, option: i32, program: &[Insn]) -> i64 {
        self.setsockopt(fd, SOL_SOCKET, option, &fprog(program))
    }

    /// `getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, ...)` with room for `room` instructions: the result, the count, and
    /// the bytes.
    pub(crate) fn get_filter(&mut self, fd: Fd, room: usize) -> (i64, u32, Vec<u8>) {
        let mut bytes = vec![0xaa; room * 8];
        let mut len = room as u32;
        let (at, len_at) = (bytes.as_mut_ptr() as u64, &raw mut len as u64);
        let got = self.getsockopt_raw(fd, SOL_SOCKET, libc::SO_GET_FILTER, at, len_at);
        (got, len, bytes)
    }

    /// Receives from a socket that gets something within a time, as the arm counts it.
    pub(crate) fn recv_now_within(&mut self, fd: Fd, time: Duration) -> Got<Vec<u8>> {
        let step = Duration::from_millis(20);
        for _ in 0..time.as_millis() / step.as_millis() {
            if self.poll_mask(fd) & libc::POLLIN != 0 {
                break;
            }
            self.pause(step);
        }
        self.recv_now(fd)
    }

    /// What `program` leaves in A for a message of 512 bytes from `from` to `to`; `None` when the message is dropped.
    /// The program has no return: it is asked for one byte of A at a time, by the length that it lets pass.
    /// `header` bytes of what it counts are not the message's.
    pub(crate) fn see(
        &mut self,
        from: Fd,
        to: Fd,
        header: u32,
        program: &[Insn],
    ) -> Got<Option<u32>> {
        let message: Vec<u8> = (0..512).map(|n| n as u8).collect();
        let mut value = 0;
        for shift in [24, 16, 8, 0] {
            let mut all = program.to_vec();
            all.extend([
                stmt(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K, shift),
                stmt(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0xff),
                stmt(libc::BPF_ALU | libc::BPF_ADD | libc::BPF_K, header + 1),
                RET_A,
            ]);
            crate::check::ret!(self.attach(to, &all), 0);
            crate::check::ret!(self.send(from, &message, 0), 512);
            let mut buf = [0; 600];
            match self.recv(to, &mut buf, libc::MSG_DONTWAIT) {
                n if n == -i64::from(libc::EAGAIN) => return Ok(None),
                n => value = value << 8 | (n - 1) as u32,
            }
        }
        Ok(Some(value))
    }
}
