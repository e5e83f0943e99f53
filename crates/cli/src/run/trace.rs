//! `--trace`: each socket call with its arguments and result, in strace's manner.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use switchboard_notify::{Notification, Processes, RemoteMemory};
use switchboard_socket::SocketId;
use switchboard_syscall::Pending;

use super::memory::TargetMemory;

pub(super) struct Trace {
    out: Box<dyn Write>,
}

impl Trace {
    /// `-` is standard error.
    pub(super) fn open(path: &Path) -> io::Result<Trace> {
        let out: Box<dyn Write> =
            if path == Path::new("-") { Box::new(io::stderr()) } else { Box::new(File::create(path)?) };
        Ok(Trace { out })
    }

    /// A call that was answered.
    pub(super) fn call(
        &mut self,
        call: &Notification,
        pending: &Pending,
        value: i64,
        _processes: &RefCell<Processes>,
    ) {
        let mut memory = TargetMemory(RemoteMemory::new(call.tid));
        let _ = &mut memory;
        let text = format!("{:?} = {value}", pending.call());
        // One write a line, so that lines of several runs into one file stay whole. A trace that
        // cannot be written is not the program's trouble.
        let _ = self.out.write_all(format!("[{:>6}] {text}\n", call.tid).as_bytes());
    }

    /// The last descriptor of a socket is gone.
    pub(super) fn closed(&mut self, id: SocketId) {
        let _ = self.out.write_all(format!("[      ] socket {:#x} closed\n", id.to_u64()).as_bytes());
    }
}
