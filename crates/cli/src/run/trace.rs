//! `--trace`: each socket call with its arguments and result, in strace's manner.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use switchboard_notify::{Notification, RemoteMemory};
use switchboard_socket::SocketId;
use switchboard_syscall::{Pending, trace};

use super::memory::TargetMemory;

pub(super) struct Trace {
    out: Box<dyn Write>,
    /// Why some of it is missing.
    failed: Option<io::Error>,
}

impl Trace {
    /// `-` is standard error.
    pub(super) fn open(path: &Path) -> io::Result<Trace> {
        let out: Box<dyn Write> = if path == Path::new("-") {
            Box::new(io::stderr())
        } else {
            Box::new(File::create(path)?)
        };
        Ok(Trace { out, failed: None })
    }

    /// The call as it is about to be answered: its memory is the caller's again afterwards.
    pub(super) fn prepare(call: &Notification, pending: &Pending, value: i64) -> String {
        let mut memory = TargetMemory(RemoteMemory::new(call.tid));
        trace::arguments(pending.call(), pending.word(), value, &mut memory)
    }

    /// The call was answered with this.
    pub(super) fn answered(&mut self, call: &Notification, arguments: &str, value: i64) {
        let result = trace::result(value);
        self.line(&format!("[{:>6}] {arguments} = {result}\n", call.tid));
    }

    /// The last descriptor of a socket is gone.
    pub(super) fn closed(&mut self, id: SocketId) {
        self.line(&format!("[      ] socket {:#x} closed\n", id.to_u64()));
    }

    /// One write a line, so that lines of several runs into one file stay whole. A trace that
    /// cannot be written is not the program's trouble: the run goes on.
    fn line(&mut self, line: &str) {
        if let Err(error) = self.out.write_all(line.as_bytes()) {
            self.failed.get_or_insert(error);
        }
    }

    /// Why some of it is missing, if it is.
    pub(super) fn failed(&self) -> Option<&io::Error> {
        self.failed.as_ref()
    }
}
