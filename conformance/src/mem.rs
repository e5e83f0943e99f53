//! Memory with edges: pages that end where a kernel must stop.

/// An address where nothing is mapped, below `mmap_min_addr`.
pub(crate) const BAD: u64 = 0x10;

/// An address that is not the user's at all: `access_ok` refuses it before anything else is looked at.
pub(crate) const KERNEL_SPACE: u64 = 0xffff_8000_0000_1000;

const PAGE: usize = 4096;

/// Two pages of zeroes, then a page that may not be touched; the middle page may be read-only.
pub(crate) struct Edge {
    base: *mut u8,
}

impl Edge {
    /// Readable and writable up to the edge.
    pub(crate) fn new() -> Edge {
        Edge::map(0)
    }

    /// The same below 4 GiB, for ILP32 layouts.
    pub(crate) fn low() -> Edge {
        Edge::map(libc::MAP_32BIT)
    }

    fn map(flags: i32) -> Edge {
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches no memory of ours.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                3 * PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags,
                -1,
                0,
            )
        };
        assert!(base != libc::MAP_FAILED, "mmap");
        let edge = Edge { base: base.cast() };
        edge.protect(2, libc::PROT_NONE);
        edge
    }

    fn protect(&self, page: usize, prot: i32) {
        // SAFETY: the page is part of this mapping, which nothing else refers to.
        let done = unsafe { libc::mprotect(self.base.add(page * PAGE).cast(), PAGE, prot) };
        assert_eq!(done, 0, "mprotect");
    }

    /// Makes the second page read-only.
    pub(crate) fn read_only(self) -> Edge {
        self.protect(1, libc::PROT_READ);
        self
    }

    /// Makes the second page write-only.
    pub(crate) fn write_only(self) -> Edge {
        self.protect(1, libc::PROT_WRITE);
        self
    }

    /// The address `before` bytes before the edge.
    pub(crate) fn at(&self, before: usize) -> u64 {
        assert!(before <= 2 * PAGE);
        self.base as u64 + (2 * PAGE - before) as u64
    }

    /// The first address of the mapping.
    pub(crate) fn start(&self) -> u64 {
        self.base as u64
    }

    /// Writes just before the edge: the last byte of `bytes` is the last one accessible.
    pub(crate) fn put(&self, bytes: &[u8]) -> u64 {
        let at = self.at(bytes.len());
        self.write(at, bytes);
        at
    }

    /// Writes at an address inside the two pages.
    pub(crate) fn write(&self, at: u64, bytes: &[u8]) {
        let offset = (at - self.base as u64) as usize;
        assert!(offset + bytes.len() <= 2 * PAGE);
        // SAFETY: the range was checked to lie in the accessible pages of this mapping.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.base.add(offset), bytes.len()) }
    }

    /// Reads at an address inside the two pages.
    pub(crate) fn read(&self, at: u64, len: usize) -> Vec<u8> {
        let offset = (at - self.base as u64) as usize;
        assert!(offset + len <= 2 * PAGE);
        let mut bytes = vec![0; len];
        // SAFETY: the range was checked to lie in the accessible pages of this mapping.
        unsafe { std::ptr::copy_nonoverlapping(self.base.add(offset), bytes.as_mut_ptr(), len) }
        bytes
    }

    /// Reads a little-endian word.
    pub(crate) fn read_u32(&self, at: u64) -> u32 {
        let b = self.read(at, 4);
        u32::from_ne_bytes([b[0], b[1], b[2], b[3]])
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and no address of it is used after this.
        unsafe { libc::munmap(self.base.cast(), 3 * PAGE) };
    }
}

/// The bytes of an int, as options are passed.
pub(crate) fn int(value: i32) -> [u8; 4] {
    value.to_ne_bytes()
}

/// Decodes an int option; short buffers are padded with zeroes.
pub(crate) fn as_int(bytes: &[u8]) -> i32 {
    let mut word = [0; 4];
    let n = bytes.len().min(4);
    word[..n].copy_from_slice(&bytes[..n]);
    i32::from_ne_bytes(word)
}

/// An array whose words are 8-aligned, for control buffers.
pub(crate) fn aligned(len: usize) -> Vec<u64> {
    vec![0; len.div_ceil(8)]
}
