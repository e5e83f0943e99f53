//! io_submit(2), which libaio makes: a read or a write of a socket would be one of its placeholder, so it is refused. A poll
//! (IOCB_CMD_POLL) finds there what it looks for.

use switchboard_abi::Word;
use switchboard_abi::sysno::Arch;
use switchboard_notify::{Notification, RemoteMemory};

use super::super::files::AtHand;
use super::Supervisor;

/// io_submit(2), on x86-64 and i386.
pub(in super::super) const IO_SUBMIT_X86_64: u32 = 209;
pub(in super::super) const IO_SUBMIT_I386: u32 = 248;
/// `IOCB_CMD_POLL`
const POLL: u16 = 5;
/// What is looked at of a call: the kernel takes no more than a context has events, and few contexts have as many.
const MOST: u64 = 1 << 16;
/// `struct iocb`, and where it has aio_lio_opcode and aio_fildes.
const IOCB: usize = 64;
const OPCODE: usize = 16;
const FILDES: usize = 20;

/// The word size of its pointers, if it is the call.
pub(super) fn submits(arch: Arch, nr: u32) -> Option<Word> {
    match (arch, nr) {
        (Arch::X86_64, IO_SUBMIT_X86_64) => Some(Word::Lp64),
        (Arch::I386, IO_SUBMIT_I386) => Some(Word::Ilp32),
        _ => None,
    }
}

impl Supervisor {
    /// EINVAL, as for a file that cannot be read or written so, if any of them names a socket; otherwise it is the kernel's.
    pub(super) fn submit(&mut self, call: &Notification, word: Word) {
        if self.names_a_socket(call, word) {
            let errno = switchboard_notify::Errno(libc::EINVAL);
            let _ = self.listener.reply_errno(call.id, errno);
            return;
        }
        self.go_on(call);
    }

    fn names_a_socket(&self, call: &Notification, word: Word) -> bool {
        let memory = RemoteMemory::new(call.tid);
        let [_, count, list, ..] = call.data.args;
        let size = word.size();
        // What cannot be read the kernel cannot read either.
        let read = |at: u64, bytes: &mut [u8]| memory.read(at, bytes) == Ok(bytes.len());
        for index in 0..count.min(MOST) {
            let mut pointer = [0; 8];
            let at = list.wrapping_add(index * size as u64);
            let mut iocb = [0; IOCB];
            if !read(at, &mut pointer[..size]) || !read(word.read_ulong(&pointer, 0), &mut iocb) {
                return false;
            }
            let fd = switchboard_abi::layout::read_i32(&iocb, FILDES);
            let opcode = u16::from_ne_bytes([iocb[OPCODE], iocb[OPCODE + 1]]);
            let look = || {
                let mut processes = self.processes.borrow_mut();
                AtHand::look(&mut processes, &self.mirror, call.tid, fd).ok()
            };
            if opcode != POLL && look().is_some_and(|hand| self.mirror.find(hand.file()).is_some())
            {
                return true;
            }
        }
        false
    }
}
