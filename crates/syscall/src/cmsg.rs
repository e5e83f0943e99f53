//! Control messages: cmsg(3), in from memory and out to it.

use crate::files::Files;
use crate::memory::{Fault, Memory, probe};
use alloc::vec;
use alloc::vec::Vec;
use smallvec::SmallVec;
use switchboard_abi::layout::read_i32;
use switchboard_abi::number::*;
use switchboard_abi::{Errno, Word};
use switchboard_socket::{ControlOut, Cred, IdMap, Right, SendControl, Ucred};

/// `sizeof(struct ucred)`: the same for both word sizes.
const UCRED_SIZE: usize = 12;

/// Which of a socket's control messages at `SOL_SOCKET` mean something to its family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Passes {
    /// AF_UNIX: rights and credentials.
    Both,
    /// AF_NETLINK: credentials; rights are `EINVAL` (__scm_send()).
    Credentials,
    /// Other families step over both.
    Neither,
}

/// The control part of ____sys_sendmsg(). The rights taken are the caller's to release. Messages of `limit`
/// bytes (net.core.optmem_max) or more are refused; `ids`: how the sender numbers users.
pub(crate) fn read_control(
    mem: &mut dyn Memory,
    files: &mut dyn Files,
    word: Word,
    (addr, len): (u64, u64),
    passes: Passes,
    limit: u32,
    ids: Option<&IdMap>,
) -> Result<SendControl, Errno> {
    let mut control = SendControl::default();
    // A kernel's msg_controllen is a long also when the caller's is not.
    if len >= u64::from(limit) {
        return Err(Errno::ENOBUFS);
    }
    if len == 0 {
        return Ok(control);
    }
    let mut bytes = vec![0; len as usize];
    mem.read(addr, &mut bytes)?;
    let result = parse(&bytes, files, word, passes, ids, &mut control);
    if let Err(errno) = result {
        release(files, &mut control.rights);
        // cmsghdr_from_user_compat_to_kern() looks at all of them first.
        if word == Word::Ilp32 {
            return Err(errno);
        }
        control.wrong = Some(errno);
    }
    Ok(control)
}

fn parse(
    bytes: &[u8],
    files: &mut dyn Files,
    word: Word,
    passes: Passes,
    ids: Option<&IdMap>,
    control: &mut SendControl,
) -> Result<(), Errno> {
    let header = word.cmsghdr_size();
    // cmsghdr_from_user_compat_to_kern() finds nothing to convert; a native caller is let pass.
    if word == Word::Ilp32 && bytes.len() < header {
        return Err(Errno::EINVAL);
    }
    let mut at = 0;
    while bytes.len() - at >= header {
        let rest = &bytes[at..];
        let len = word.read_ulong(rest, 0);
        if len < header as u64 || len > rest.len() as u64 {
            return Err(Errno::EINVAL);
        }
        let len = len as usize;
        let level = read_i32(rest, word.size());
        let kind = read_i32(rest, word.size() + 4);
        let data = &rest[header..len];
        match (level, kind) {
            (SOL_SOCKET, SCM_RIGHTS) if passes == Passes::Both => {
                read_rights(data, files, control)?;
            }
            (SOL_SOCKET, SCM_RIGHTS) if passes == Passes::Credentials => {
                return Err(Errno::EINVAL);
            }
            (SOL_SOCKET, SCM_CREDENTIALS) if passes != Passes::Neither => {
                if data.len() != UCRED_SIZE {
                    return Err(Errno::EINVAL);
                }
                let word = |n| read_i32(data, n) as u32;
                if let Some(former) = control.credentials.take() {
                    control.former.push((former, control.stranger));
                }
                control.stranger = !files.process_exists(word(0));
                // Of a namespace: what is no user there is (uid_t) -1, which nobody may give.
                let (uid, gid) = (word(4), word(8));
                control.credentials = Some(Ucred {
                    pid: word(0),
                    uid: ids.map_or(uid, |ids| ids.host_user(uid)),
                    gid: ids.map_or(gid, |ids| ids.host_group(gid)),
                });
            }
            // What comes after it is not looked at (__scm_send).
            (SOL_SOCKET, _) if passes != Passes::Neither => return Err(Errno::EINVAL),
            // Nobody reads them, but they are there: see SendControl::concerns_ip.
            (SOL_SOCKET, SCM_RIGHTS | SCM_CREDENTIALS) => {
                control.other.push((level, kind, Vec::new()))
            }
            _ => control.other.push((level, kind, data.to_vec())),
        }
        at = (at + word.align(len)).min(bytes.len());
    }
    // cmsg_compat_nxthdr() takes what is left for a header, a native caller's is let pass.
    if word == Word::Ilp32 && at < bytes.len() {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// scm_fp_copy(): at most `SCM_MAX_FD` files in all messages together.
fn read_rights(data: &[u8], files: &mut dyn Files, control: &mut SendControl) -> Result<(), Errno> {
    if data.len() / 4 + control.rights.len() > SCM_MAX_FD {
        return Err(Errno::EINVAL);
    }
    for fd in data.chunks_exact(4) {
        let fd = read_i32(fd, 0);
        if fd < 0 {
            return Err(Errno::EBADF);
        }
        control.rights.push(files.right(fd)?);
    }
    Ok(())
}

/// Gives rights that will not be sent back to the embedder.
pub(crate) fn release(files: &mut dyn Files, rights: &mut Vec<Right>) {
    for right in rights.drain(..) {
        files.release(right.token);
    }
}

/// Writes control messages to the caller's buffer, as put_cmsg() and scm_detach_fds() do: what does
/// not fit is cut and `MSG_CTRUNC` set; faults are passed over.
pub(crate) struct ControlWriter<'a> {
    pub(crate) word: Word,
    /// `msg_control`, moving forward.
    pub(crate) at: u64,
    /// Room left.
    pub(crate) left: usize,
    /// `msg_flags` gained.
    pub(crate) flags: i32,
    /// Bytes written, padding included.
    pub(crate) used: usize,
    /// `MSG_CMSG_CLOEXEC` was asked for.
    pub(crate) cloexec: bool,
    /// Who receives.
    pub(crate) reader: &'a Cred,
    /// Descriptors made.
    pub(crate) installed: &'a mut SmallVec<[i32; 4]>,
}

impl ControlWriter<'_> {
    pub(crate) fn put_all(
        &mut self,
        mem: &mut dyn Memory,
        files: &mut dyn Files,
        control: &[ControlOut],
    ) {
        for message in control {
            match message {
                ControlOut::Rights(rights) => self.put_rights(mem, files, rights),
                ControlOut::Credentials(cred) => {
                    let mut data = [0; UCRED_SIZE];
                    data[..4].copy_from_slice(&cred.pid.to_ne_bytes());
                    let uid = self.reader.user_seen(cred.uid);
                    let gid = self.reader.group_seen(cred.gid);
                    data[4..8].copy_from_slice(&uid.to_ne_bytes());
                    data[8..].copy_from_slice(&gid.to_ne_bytes());
                    self.put(mem, SOL_SOCKET, SCM_CREDENTIALS, &data);
                }
                ControlOut::Pidfd(pid) => self.put_pidfd(mem, files, *pid),
                ControlOut::Timestamp { at, new } => {
                    let (kind, data) = (
                        pick(*new, SO_TIMESTAMP_OLD, SO_TIMESTAMP_NEW),
                        self.time(at.as_secs(), at.subsec_micros(), *new),
                    );
                    self.put(mem, SOL_SOCKET, kind, &data);
                }
                ControlOut::TimestampNs { at, new } => {
                    let kind = pick(*new, SO_TIMESTAMPNS_OLD, SO_TIMESTAMPNS_NEW);
                    let data = self.time(at.as_secs(), at.subsec_nanos(), *new);
                    self.put(mem, SOL_SOCKET, kind, &data);
                }
                ControlOut::Timestamping { at, new } => {
                    let kind = pick(*new, SO_TIMESTAMPING_OLD, SO_TIMESTAMPING_NEW);
                    let mut data = self.time(at.as_secs(), at.subsec_nanos(), *new);
                    data.resize(3 * data.len(), 0);
                    self.put(mem, SOL_SOCKET, kind, &data);
                }
                ControlOut::Raw { level, kind, data } => self.put(mem, *level, *kind, data),
            }
        }
    }

    /// A `timeval` or `timespec`: old forms have the caller's word size.
    fn time(&self, seconds: u64, fraction: u32, new: bool) -> SmallVec<[u8; 64]> {
        let mut data = SmallVec::new();
        if new || self.word == Word::Lp64 {
            data.extend_from_slice(&seconds.to_ne_bytes());
            data.extend_from_slice(&u64::from(fraction).to_ne_bytes());
        } else {
            data.extend_from_slice(&(seconds as u32).to_ne_bytes());
            data.extend_from_slice(&fraction.to_ne_bytes());
        }
        data
    }

    fn header(&self, len: usize, level: i32, kind: i32) -> SmallVec<[u8; 64]> {
        let mut out = SmallVec::new();
        match self.word {
            Word::Lp64 => out.extend_from_slice(&(len as u64).to_ne_bytes()),
            Word::Ilp32 => out.extend_from_slice(&(len as u32).to_ne_bytes()),
        }
        out.extend_from_slice(&level.to_ne_bytes());
        out.extend_from_slice(&kind.to_ne_bytes());
        out
    }

    fn take(&mut self, space: usize) {
        let n = space.min(self.left);
        self.at += n as u64;
        self.left -= n;
        self.used += n;
    }

    /// put_cmsg()
    fn put(&mut self, mem: &mut dyn Memory, level: i32, kind: i32, data: &[u8]) {
        let header = self.word.cmsghdr_size();
        if self.at == 0 || self.left < header {
            self.flags |= MSG_CTRUNC;
            return;
        }
        let mut len = header + data.len();
        if self.left < len {
            self.flags |= MSG_CTRUNC;
            len = self.left;
        }
        let mut message = self.header(len, level, kind);
        message.extend_from_slice(&data[..len - header]);
        if mem.write(self.at, &message).is_ok() {
            self.take(self.word.cmsg_space(data.len()));
        }
    }

    /// scm_pidfd_recv(): all of it or nothing. Why there is no descriptor, it tells.
    fn put_pidfd(&mut self, mem: &mut dyn Memory, files: &mut dyn Files, pid: u32) {
        let header = self.word.cmsghdr_size();
        if self.at == 0 || self.left < header + 4 {
            self.flags |= MSG_CTRUNC;
            return;
        }
        let value = match files.open_pidfd(pid) {
            Ok(fd) => {
                self.installed.push(fd);
                fd
            }
            Err(errno) => errno.to_ret() as i32,
        };
        self.put(mem, SOL_SOCKET, SCM_PIDFD, &value.to_ne_bytes());
    }

    /// scm_detach_fds(): as many as fit, as can be written, and as the descriptor table takes.
    fn put_rights(&mut self, mem: &mut dyn Memory, files: &mut dyn Files, rights: &[Right]) {
        let header = self.word.cmsghdr_size();
        let fit = if self.at == 0 {
            0
        } else {
            self.left.saturating_sub(header) / 4
        };
        let mut made = 0;
        for right in rights.iter().take(fit) {
            let at = self.at.wrapping_add((header + 4 * made) as u64);
            // Before the descriptor is there: not every embedder can take one away again unseen.
            if probe(mem, at).is_err() {
                break;
            }
            let Ok(fd) = files.install_right(right, self.cloexec) else {
                break;
            };
            if mem.write(at, &fd.to_ne_bytes()).is_err() {
                files.uninstall(fd);
                break;
            }
            self.installed.push(fd);
            made += 1;
        }
        if made > 0 {
            let header = self.header(header + 4 * made, SOL_SOCKET, SCM_RIGHTS);
            let written: Result<(), Fault> = mem.write(self.at, &header);
            if written.is_ok() {
                self.take(self.word.cmsg_space(4 * made));
            }
        }
        if made < rights.len() {
            self.flags |= MSG_CTRUNC;
        }
    }
}

/// The number of an option in its old form, or in its new one.
fn pick(new: bool, old_form: i32, new_form: i32) -> i32 {
    if new { new_form } else { old_form }
}
