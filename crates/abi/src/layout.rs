//! Layouts of the structures a socket call takes, for both word sizes.
//!
//! A [`Word`] is the caller's: LP64 (x86-64) or ILP32 (i386). Offsets and sizes are data, so a
//! decoder is written once. Sources: sendmsg(2), recvmsg(2), cmsg(3), readv(2), recvmmsg(2).

/// The caller's word size.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Word {
    /// 64-bit pointers and longs: x86-64.
    Lp64,
    /// 32-bit pointers and longs: i386.
    Ilp32,
}

impl Word {
    /// Bytes of a pointer, of `long` and of `size_t`.
    pub const fn size(self) -> usize {
        match self {
            Word::Lp64 => 8,
            Word::Ilp32 => 4,
        }
    }

    /// Rounds up to the alignment of `long`, as `CMSG_ALIGN` does.
    pub const fn align(self, n: usize) -> usize {
        (n + self.size() - 1) & !(self.size() - 1)
    }

    /// `sizeof(struct iovec)`: a base pointer, then a length.
    pub const fn iovec_size(self) -> usize {
        2 * self.size()
    }

    /// The layout of `struct msghdr`.
    pub const fn msghdr(self) -> MsghdrLayout {
        match self {
            Word::Lp64 => MsghdrLayout {
                name: 0,
                namelen: 8,
                iov: 16,
                iovlen: 24,
                control: 32,
                controllen: 40,
                flags: 48,
                size: 56,
            },
            Word::Ilp32 => MsghdrLayout {
                name: 0,
                namelen: 4,
                iov: 8,
                iovlen: 12,
                control: 16,
                controllen: 20,
                flags: 24,
                size: 28,
            },
        }
    }

    /// `sizeof(struct mmsghdr)`: a `msghdr`, then `msg_len` (an `unsigned int`), padded.
    pub const fn mmsghdr_size(self) -> usize {
        match self {
            Word::Lp64 => 64,
            Word::Ilp32 => 32,
        }
    }

    /// `sizeof(struct cmsghdr)`: `cmsg_len` (a `size_t`), `cmsg_level` and `cmsg_type` (`int`s).
    pub const fn cmsghdr_size(self) -> usize {
        self.size() + 8
    }

    /// `CMSG_LEN(len)`.
    pub const fn cmsg_len(self, len: usize) -> usize {
        self.align(self.cmsghdr_size()) + len
    }

    /// `CMSG_SPACE(len)`.
    pub const fn cmsg_space(self, len: usize) -> usize {
        self.align(self.cmsghdr_size()) + self.align(len)
    }

    /// `sizeof(struct timeval)` and `sizeof(struct timespec)` in their old, `long`-wide form.
    pub const fn old_time_size(self) -> usize {
        2 * self.size()
    }

    /// Reads an unsigned `long` or a pointer at `offset`. Panics when `bytes` is too short: the
    /// caller has sized the buffer from this layout.
    pub fn read_ulong(self, bytes: &[u8], offset: usize) -> u64 {
        match self {
            Word::Lp64 => u64::from_ne_bytes(array(bytes, offset)),
            Word::Ilp32 => u64::from(u32::from_ne_bytes(array(bytes, offset))),
        }
    }

    /// Reads a signed `long` at `offset`. Panics as [`Word::read_ulong`] does.
    pub fn read_long(self, bytes: &[u8], offset: usize) -> i64 {
        match self {
            Word::Lp64 => i64::from_ne_bytes(array(bytes, offset)),
            Word::Ilp32 => i64::from(i32::from_ne_bytes(array(bytes, offset))),
        }
    }
}

/// Offsets of the members of `struct msghdr`, and its size, in bytes.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct MsghdrLayout {
    pub name: usize,
    pub namelen: usize,
    pub iov: usize,
    pub iovlen: usize,
    pub control: usize,
    pub controllen: usize,
    pub flags: usize,
    pub size: usize,
}

/// Reads an `int` at `offset`. Panics when `bytes` is too short.
pub fn read_i32(bytes: &[u8], offset: usize) -> i32 {
    i32::from_ne_bytes(array(bytes, offset))
}

/// Reads a `long long` at `offset`. Panics when `bytes` is too short.
pub fn read_i64(bytes: &[u8], offset: usize) -> i64 {
    i64::from_ne_bytes(array(bytes, offset))
}

fn array<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[offset..offset + N]);
    out
}

#[cfg(test)]
mod tests;
