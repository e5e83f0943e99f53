//! Socket options.

use super::Fd;
use crate::check::{Got, fail};
use crate::kernel::Kernel;
use crate::mem::{as_int, int};
use crate::names::ret_name;

impl<'k> dyn Kernel + 'k {
    /// `setsockopt(fd, level, name, value, len)`
    pub(crate) fn setsockopt(&mut self, fd: Fd, level: i32, name: i32, value: &[u8]) -> i64 {
        self.setsockopt_raw(fd, level, name, value.as_ptr() as u64, value.len() as u64)
    }

    /// `setsockopt` from any address.
    pub(crate) fn setsockopt_raw(
        &mut self,
        fd: Fd,
        level: i32,
        name: i32,
        value: u64,
        len: u64,
    ) -> i64 {
        self.call(
            libc::SYS_setsockopt,
            &[fd as u64, level as u64, name as u64, value, len],
        )
    }

    /// `getsockopt` to any addresses.
    pub(crate) fn getsockopt_raw(
        &mut self,
        fd: Fd,
        level: i32,
        name: i32,
        value: u64,
        len: u64,
    ) -> i64 {
        self.call(
            libc::SYS_getsockopt,
            &[fd as u64, level as u64, name as u64, value, len],
        )
    }

    /// `setsockopt` of an int.
    pub(crate) fn set_int(&mut self, fd: Fd, level: i32, name: i32, value: i32) -> i64 {
        self.setsockopt(fd, level, name, &int(value))
    }

    /// `getsockopt` with a buffer of `cap` bytes: the result, and the bytes it says it filled.
    pub(crate) fn getsockopt(
        &mut self,
        fd: Fd,
        level: i32,
        name: i32,
        cap: usize,
    ) -> (i64, Vec<u8>) {
        let mut value = vec![0xaau8; cap];
        let mut len = cap as u32;
        let got = self.getsockopt_raw(
            fd,
            level,
            name,
            value.as_mut_ptr() as u64,
            &raw mut len as u64,
        );
        if got == 0 {
            value.truncate(len as usize);
        }
        (got, value)
    }

    /// An int option; must succeed with four bytes.
    pub(crate) fn get_int(&mut self, fd: Fd, level: i32, name: i32) -> Got<i32> {
        let (got, value) = self.getsockopt(fd, level, name, 4);
        if got != 0 || value.len() != 4 {
            let text = format!(
                "level {level} name {name}: {} len {}",
                ret_name(got),
                value.len()
            );
            return fail("getsockopt", text);
        }
        Ok(as_int(&value))
    }

    /// SO_ERROR, which reading clears.
    pub(crate) fn so_error(&mut self, fd: Fd) -> Got<i32> {
        self.get_int(fd, libc::SOL_SOCKET, libc::SO_ERROR)
    }
}
