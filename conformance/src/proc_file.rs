//! Files under /proc as bodies use them: by system calls of the kernel under test.

use crate::check::{Got, Outcome, skip, verdict::ok};
use crate::kernel::Kernel;
use crate::sys::Fd;
use std::ffi::CString;

/// A tunable's file.
pub(crate) fn path(name: &str) -> String {
    format!("/proc/sys/net/{name}")
}

impl<'k> dyn Kernel + 'k {
    /// `openat(AT_FDCWD, path, flags)`.
    pub(crate) fn open(&mut self, path: &str, flags: i32) -> i64 {
        let path = CString::new(path).unwrap_or_default();
        let at = libc::AT_FDCWD as u64;
        let flags = flags as u64;
        self.syscall(libc::SYS_openat, [at, path.as_ptr() as u64, flags, 0, 0, 0])
    }

    /// `lseek(fd, offset, whence)`.
    pub(crate) fn lseek(&mut self, fd: Fd, offset: i64, whence: i32) -> i64 {
        let args = [fd as u64, offset as u64, whence as u64, 0, 0, 0];
        self.syscall(libc::SYS_lseek, args)
    }

    /// What reading to the end gives.
    pub(crate) fn read_to_end(&mut self, fd: Fd) -> Got<String> {
        let mut text = Vec::new();
        let mut piece = [0; 4096];
        loop {
            match ok("read", "a file", self.read(fd, &mut piece))? {
                0 => return Ok(String::from_utf8_lossy(&text).into_owned()),
                n => text.extend_from_slice(&piece[..n as usize]),
            }
        }
    }

    /// The whole text of a file.
    pub(crate) fn file_text(&mut self, path: &str) -> Got<String> {
        let fd = ok("open", path, self.open(path, libc::O_RDONLY))?;
        let text = self.read_to_end(fd)?;
        self.close(fd);
        Ok(text)
    }

    /// A tunable's value, without its newline.
    pub(crate) fn get_tunable(&mut self, name: &str) -> Got<String> {
        Ok(self.file_text(&path(name))?.trim_end().to_string())
    }

    /// Opens a tunable, writes once, closes: what the write returned.
    pub(crate) fn set_tunable(&mut self, name: &str, value: &str) -> Got<i64> {
        let fd = ok("open", name, self.open(&path(name), libc::O_WRONLY))?;
        let written = self.write(fd, value.as_bytes());
        self.close(fd);
        Ok(written)
    }

    /// A network where tunables and interfaces may be changed, or the end of the body.
    pub(crate) fn own_network(&mut self) -> Got<()> {
        if !self.privileged() || !self.private_network() {
            skip!("the network is not this process's to change");
        }
        Ok(())
    }
}

/// Runs a part of a body and puts a tunable back as it was: the runner's host is there for the next body too.
pub(crate) fn restored(
    k: &mut dyn Kernel,
    name: &str,
    part: impl FnOnce(&mut dyn Kernel) -> Outcome,
) -> Outcome {
    let before = k.get_tunable(name)?;
    let outcome = part(k);
    let put_back = k.set_tunable(name, &before);
    outcome.and(put_back.map(drop))
}
