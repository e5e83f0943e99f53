//! `struct msghdr` and I/O vectors, in from memory and the results out to it.

use crate::memory::{Fault, IoVec, Memory, read_int, write_int};
use smallvec::SmallVec;
use switchboard_abi::number::{MAX_RW_COUNT, UIO_MAXIOV};
use switchboard_abi::sockaddr::SOCKADDR_STORAGE_SIZE;
use switchboard_abi::{Errno, SockAddr, Word};

/// An I/O vector in our memory; Linux keeps eight on the stack too (`UIO_FASTIOV`).
pub(crate) type IoVecs = SmallVec<[IoVec; 8]>;

/// A `sockaddr` copied from the guest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    bytes: [u8; SOCKADDR_STORAGE_SIZE],
    len: u8,
}

impl Name {
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// move_addr_to_kernel(): `EINVAL` for a length that no address has, then `EFAULT`.
pub(crate) fn read_name(mem: &mut dyn Memory, addr: u64, len: i32) -> Result<Name, Errno> {
    let len = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
    if len > SOCKADDR_STORAGE_SIZE {
        return Err(Errno::EINVAL);
    }
    let mut name = Name {
        bytes: [0; SOCKADDR_STORAGE_SIZE],
        len: len as u8,
    };
    if len > 0 {
        mem.read(addr, &mut name.bytes[..len])?;
    }
    Ok(name)
}

/// move_addr_to_user(): the address cut to `*addrlen`, and its real length there. No address
/// counts as one of length zero.
pub(crate) fn write_name(
    mem: &mut dyn Memory,
    name: Option<&SockAddr>,
    addr: u64,
    addrlen: u64,
) -> Result<(), Errno> {
    let mut bytes = [0; SOCKADDR_STORAGE_SIZE];
    let full = name.map_or(0, |name| name.encode(&mut bytes));
    let room = usize::try_from(read_int(mem, addrlen)?).map_err(|_| Errno::EINVAL)?;
    let n = room.min(full);
    if n > 0 {
        mem.write(addr, &bytes[..n])?;
    }
    write_int(mem, addrlen, full as i32)?;
    Ok(())
}

/// import_iovec(): at most `UIO_MAXIOV` elements, none negative, all of them possibly the guest's,
/// in all no more than one call may move.
pub(crate) fn import_iovec(
    mem: &mut dyn Memory,
    word: Word,
    addr: u64,
    count: u64,
) -> Result<IoVecs, Errno> {
    if count > UIO_MAXIOV as u64 {
        return Err(Errno::EINVAL);
    }
    let count = count as usize;
    let size = word.iovec_size();
    let mut iov = IoVecs::with_capacity(count);
    // 16 elements at a time: most vectors are read at once, without an allocation.
    let mut bytes = [0; 16 * 16];
    let mut at = addr;
    while iov.len() < count {
        let n = (count - iov.len()).min(16);
        let bytes = &mut bytes[..n * size];
        mem.read(at, bytes)?;
        at = at.wrapping_add(bytes.len() as u64);
        for element in bytes.chunks_exact(size) {
            if word.read_long(element, word.size()) < 0 {
                return Err(Errno::EINVAL);
            }
            let len = word.read_ulong(element, word.size()) as usize;
            iov.push(IoVec {
                addr: word.read_ulong(element, 0),
                len,
            });
        }
    }
    let mut left = MAX_RW_COUNT;
    // Of more than one element each is looked at as long as it claims to be, before it is cut.
    let whole = count > 1;
    for element in &mut iov {
        if whole && !mem.access_ok(element.addr, element.len) {
            return Err(Errno::EFAULT);
        }
        element.len = element.len.min(left);
        if !mem.access_ok(element.addr, element.len) {
            return Err(Errno::EFAULT);
        }
        left -= element.len;
    }
    Ok(iov)
}

/// Bytes of an I/O vector.
pub(crate) fn total(iov: &[IoVec]) -> usize {
    iov.iter().map(|element| element.len).sum()
}

/// The part of an I/O vector after its first `skip` bytes.
pub(crate) fn advance(iov: &[IoVec], skip: usize) -> IoVecs {
    let mut skip = skip;
    let mut out = IoVecs::new();
    for element in iov {
        let n = skip.min(element.len);
        skip -= n;
        if element.len > n {
            out.push(IoVec {
                addr: element.addr + n as u64,
                len: element.len - n,
            });
        }
    }
    out
}

/// A `msghdr`, read.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// Where the header lies.
    pub(crate) at: u64,
    pub(crate) word: Word,
    /// `msg_name`, as a pointer.
    pub(crate) name: u64,
    pub(crate) iov: IoVecs,
    pub(crate) control: u64,
    pub(crate) controllen: u64,
    /// `msg_flags`, of which sendmmsg(2) takes `MSG_EOR`.
    pub(crate) flags: i32,
}

impl Header {
    /// copy_msghdr_from_user(). When sending, `name` is read before the vector is looked at.
    pub(crate) fn read(
        mem: &mut dyn Memory,
        word: Word,
        at: u64,
        sending: bool,
    ) -> Result<(Header, Option<Name>), Errno> {
        let layout = word.msghdr();
        let mut bytes = [0; 56];
        let bytes = &mut bytes[..layout.size];
        mem.read(at, bytes)?;
        let name = word.read_ulong(bytes, layout.name);
        let mut namelen = switchboard_abi::layout::read_i32(bytes, layout.namelen);
        if name == 0 {
            namelen = 0;
        }
        if namelen < 0 {
            return Err(Errno::EINVAL);
        }
        // Cut, not refused: the msghdr calls are lenient where sendto(2) is not.
        namelen = namelen.min(SOCKADDR_STORAGE_SIZE as i32);
        let sent_name = if sending && name != 0 && namelen > 0 {
            Some(read_name(mem, name, namelen)?)
        } else {
            None
        };
        let iovlen = word.read_ulong(bytes, layout.iovlen);
        if iovlen > UIO_MAXIOV as u64 {
            return Err(Errno::EMSGSIZE);
        }
        let header = Header {
            at,
            word,
            name,
            iov: import_iovec(mem, word, word.read_ulong(bytes, layout.iov), iovlen)?,
            control: word.read_ulong(bytes, layout.control),
            controllen: word.read_ulong(bytes, layout.controllen),
            flags: switchboard_abi::layout::read_i32(bytes, layout.flags),
        };
        Ok((header, sent_name))
    }

    /// Where `msg_namelen` lies.
    pub(crate) fn namelen_at(&self) -> u64 {
        self.at + self.word.msghdr().namelen as u64
    }

    /// The last writes of recvmsg(2): `msg_flags`, then `msg_controllen`.
    pub(crate) fn write_results(
        &self,
        mem: &mut dyn Memory,
        flags: i32,
        control_used: usize,
    ) -> Result<(), Fault> {
        let layout = self.word.msghdr();
        write_int(mem, self.at + layout.flags as u64, flags)?;
        let at = self.at + layout.controllen as u64;
        match self.word {
            Word::Lp64 => mem.write(at, &(control_used as u64).to_ne_bytes()),
            Word::Ilp32 => mem.write(at, &(control_used as u32).to_ne_bytes()),
        }
    }
}
