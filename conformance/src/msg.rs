//! `struct msghdr` with its name, vectors and control messages, LP64.

use crate::addr::Addr;
use crate::mem::aligned;
use crate::sys::Fd;

/// Size of `struct cmsghdr`, LP64.
pub(crate) const CMSG_HDR: usize = 16;

/// CMSG_ALIGN.
pub(crate) fn cmsg_align(len: usize) -> usize {
    len.next_multiple_of(8)
}

/// CMSG_SPACE.
pub(crate) fn cmsg_space(data: usize) -> usize {
    CMSG_HDR + cmsg_align(data)
}

/// CMSG_LEN.
pub(crate) fn cmsg_len(data: usize) -> usize {
    CMSG_HDR + data
}

/// One control message as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cmsg {
    pub(crate) level: i32,
    pub(crate) kind: i32,
    pub(crate) data: Vec<u8>,
}

impl Cmsg {
    /// The data as ints, for SCM_RIGHTS.
    pub(crate) fn ints(&self) -> Vec<i32> {
        self.data.chunks_exact(4).map(crate::mem::as_int).collect()
    }
}

/// The bytes of one control message with its padding.
pub(crate) fn cmsg(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
    let mut bytes = (cmsg_len(data.len()) as u64).to_ne_bytes().to_vec();
    bytes.extend(level.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(data);
    bytes.resize(cmsg_space(data.len()), 0);
    bytes
}

/// A SCM_RIGHTS message.
pub(crate) fn rights(fds: &[Fd]) -> Vec<u8> {
    let data: Vec<u8> = fds
        .iter()
        .flat_map(|fd| (*fd as i32).to_ne_bytes())
        .collect();
    cmsg(libc::SOL_SOCKET, libc::SCM_RIGHTS, &data)
}

/// A SCM_CREDENTIALS message.
pub(crate) fn creds(pid: i32, uid: u32, gid: u32) -> Vec<u8> {
    cmsg(
        libc::SOL_SOCKET,
        libc::SCM_CREDENTIALS,
        &ucred(pid, uid, gid),
    )
}

/// `struct ucred`.
pub(crate) fn ucred(pid: i32, uid: u32, gid: u32) -> Vec<u8> {
    let mut data = pid.to_ne_bytes().to_vec();
    data.extend(uid.to_ne_bytes());
    data.extend(gid.to_ne_bytes());
    data
}

/// A message header that owns what it points to.
pub(crate) struct Msg {
    /// The header as it is passed; a body may spoil it on purpose.
    pub(crate) hdr: libc::msghdr,
    /// The vectors; a body may spoil them too.
    pub(crate) iov: Vec<libc::iovec>,
    buffers: Vec<Vec<u8>>,
    name: Vec<u8>,
    control: Vec<u64>,
}

impl Msg {
    fn empty() -> Msg {
        // SAFETY: msghdr is integers and pointers, for which zero is a value.
        let hdr = unsafe { std::mem::zeroed() };
        Msg {
            hdr,
            iov: Vec::new(),
            buffers: Vec::new(),
            name: Vec::new(),
            control: Vec::new(),
        }
    }

    /// A message to send, one vector per part.
    pub(crate) fn of(parts: &[&[u8]]) -> Msg {
        let mut msg = Msg::empty();
        msg.buffers = parts.iter().map(|part| part.to_vec()).collect();
        msg.link()
    }

    /// A message to receive into, one vector per length.
    pub(crate) fn room(lengths: &[usize]) -> Msg {
        let mut msg = Msg::empty();
        msg.buffers = lengths.iter().map(|len| vec![0; *len]).collect();
        msg.link()
    }

    /// With a destination.
    pub(crate) fn to(mut self, addr: &Addr) -> Msg {
        self.name = addr.0.clone();
        self.link()
    }

    /// With room for a name.
    pub(crate) fn name_room(mut self, len: usize) -> Msg {
        self.name = vec![0xaa; len];
        self.link()
    }

    /// With these control messages.
    pub(crate) fn control(mut self, bytes: &[u8]) -> Msg {
        self.control = aligned(bytes.len());
        for (word, chunk) in self.control.iter_mut().zip(bytes.chunks(8)) {
            let mut full = [0; 8];
            full[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_ne_bytes(full);
        }
        let mut msg = self.link();
        msg.hdr.msg_controllen = bytes.len();
        msg
    }

    /// With room for control messages.
    pub(crate) fn control_room(mut self, len: usize) -> Msg {
        self.control = aligned(len);
        let mut msg = self.link();
        msg.hdr.msg_controllen = len;
        msg
    }

    /// Points the header at the parts.
    fn link(mut self) -> Msg {
        self.iov = self
            .buffers
            .iter_mut()
            .map(|b| libc::iovec {
                iov_base: b.as_mut_ptr().cast(),
                iov_len: b.len(),
            })
            .collect();
        self.hdr.msg_iov = self.iov.as_mut_ptr();
        self.hdr.msg_iovlen = self.iov.len();
        if !self.name.is_empty() {
            self.hdr.msg_name = self.name.as_mut_ptr().cast();
            self.hdr.msg_namelen = self.name.len() as u32;
        }
        if !self.control.is_empty() {
            let len = self.hdr.msg_controllen;
            self.hdr.msg_control = self.control.as_mut_ptr().cast();
            self.hdr.msg_controllen = if len == 0 {
                self.control.len() * 8
            } else {
                len
            };
        }
        self
    }

    /// Points one vector somewhere else.
    pub(crate) fn aim(&mut self, index: usize, base: u64, len: usize) {
        self.iov[index] = libc::iovec {
            iov_base: base as *mut libc::c_void,
            iov_len: len,
        };
    }

    /// The header's address.
    pub(crate) fn ptr(&mut self) -> u64 {
        &raw mut self.hdr as u64
    }

    /// msg_flags after a receive.
    pub(crate) fn flags(&self) -> i32 {
        self.hdr.msg_flags
    }

    /// The first `n` bytes received, over all vectors.
    pub(crate) fn data(&self, n: i64) -> Vec<u8> {
        let mut all = self.buffers.concat();
        all.truncate(n.max(0) as usize);
        all
    }

    /// The name received.
    pub(crate) fn peer(&self) -> Addr {
        let len = (self.hdr.msg_namelen as usize).min(self.name.len());
        Addr(self.name[..len].to_vec())
    }

    /// The control messages received, walked as CMSG_NXTHDR does.
    pub(crate) fn cmsgs(&self) -> Vec<Cmsg> {
        let bytes: Vec<u8> = self
            .control
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        let end = self.hdr.msg_controllen.min(bytes.len());
        let mut found = Vec::new();
        let mut at = 0;
        while at + CMSG_HDR <= end {
            let word = |from: usize, n: usize| &bytes[at + from..at + from + n];
            let mut len8 = [0; 8];
            len8.copy_from_slice(word(0, 8));
            let len = u64::from_ne_bytes(len8) as usize;
            if len < CMSG_HDR || at + len > end {
                break;
            }
            found.push(Cmsg {
                level: crate::mem::as_int(word(8, 4)),
                kind: crate::mem::as_int(word(12, 4)),
                data: word(CMSG_HDR, len - CMSG_HDR).to_vec(),
            });
            at += cmsg_align(len);
        }
        found
    }

    /// The one control message there is of this level and type.
    pub(crate) fn cmsg(&self, level: i32, kind: i32) -> Option<Cmsg> {
        self.cmsgs()
            .into_iter()
            .find(|c| c.level == level && c.kind == kind)
    }

    /// The descriptors received.
    pub(crate) fn fds(&self) -> Vec<Fd> {
        self.cmsg(libc::SOL_SOCKET, libc::SCM_RIGHTS)
            .map(|c| c.ints().into_iter().map(i64::from).collect())
            .unwrap_or_default()
    }
}

/// `struct mmsghdr[]` over messages.
pub(crate) struct Batch {
    /// The messages.
    pub(crate) msgs: Vec<Msg>,
    /// What is passed.
    pub(crate) vec: Vec<libc::mmsghdr>,
}

impl Batch {
    /// Over these messages.
    pub(crate) fn new(msgs: Vec<Msg>) -> Batch {
        let vec = msgs
            .iter()
            .map(|m| libc::mmsghdr {
                msg_hdr: m.hdr,
                msg_len: 0xdead,
            })
            .collect();
        Batch { msgs, vec }
    }

    /// The address of the array.
    pub(crate) fn ptr(&mut self) -> u64 {
        self.vec.as_mut_ptr() as u64
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u32 {
        self.vec.len() as u32
    }

    /// msg_len of each.
    pub(crate) fn lens(&self) -> Vec<u32> {
        self.vec.iter().map(|m| m.msg_len).collect()
    }

    /// Copies the headers back, so that the messages' accessors see what was received.
    pub(crate) fn take_back(&mut self) {
        for (msg, entry) in self.msgs.iter_mut().zip(&self.vec) {
            msg.hdr = entry.msg_hdr;
        }
    }
}
