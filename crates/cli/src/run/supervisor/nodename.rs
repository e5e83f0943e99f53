//! uname(2), sethostname(2): the name of a host that has one of its own.
//!
//! The kernel's name is a UTS namespace's, which nobody has here, so the call is answered: what the kernel says of itself,
//! with the host's name in it. Only a listener with such a host is told of these calls (filter.rs).

use switchboard_abi::Errno;
use switchboard_abi::sysno::Arch;
use switchboard_notify::{Notification, RemoteMemory};
use switchboard_socket::Caps;
use switchboard_syscall::Memory;

use super::super::memory::TargetMemory;
use super::{Supervisor, host_errno};

/// uname(2), sethostname(2).
pub(in super::super) const NAMES_X86_64: &[u32] = &[63, 170];
/// The same, and the uname(2) before setdomainname(2) was there.
pub(in super::super) const NAMES_I386: &[u32] = &[122, 74, 109];

/// A member of `struct new_utsname`.
const MEMBER: usize = 65;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NameCall {
    /// So many members are wanted.
    Uname(usize),
    Set,
}

/// Which call it is, if it is one of these.
pub(super) fn layout(arch: Arch, nr: u32) -> Option<NameCall> {
    match (arch, nr) {
        (Arch::X86_64, 63) | (Arch::I386, 122) => Some(NameCall::Uname(6)),
        (Arch::I386, 109) => Some(NameCall::Uname(5)),
        (Arch::X86_64, 170) | (Arch::I386, 74) => Some(NameCall::Set),
        _ => None,
    }
}

impl Supervisor {
    pub(super) fn name_call(&mut self, call: &Notification, which: NameCall) {
        if self.named.is_none() {
            return self.go_on(call);
        }
        let result = match which {
            NameCall::Uname(members) => self.uname(call, members),
            NameCall::Set => self.set_name(call),
        };
        let told = match result {
            Ok(()) => self.listener.reply_value(call.id, 0),
            Err(errno) => self.listener.reply_errno(call.id, host_errno(errno)),
        };
        if told.is_err() {
            self.stats.not_delivered += 1;
        }
    }

    fn uname(&mut self, call: &Notification, members: usize) -> Result<(), Errno> {
        let kernel = rustix::system::uname();
        let name = self.named.as_ref().map_or("", |named| &named.nodename);
        let texts = [
            kernel.sysname().to_bytes(),
            name.as_bytes(),
            kernel.release().to_bytes(),
            kernel.version().to_bytes(),
            kernel.machine().to_bytes(),
            kernel.domainname().to_bytes(),
        ];
        let mut out = [0; 6 * MEMBER];
        for (place, text) in out.chunks_mut(MEMBER).zip(texts) {
            let len = text.len().min(MEMBER - 1);
            place[..len].copy_from_slice(&text[..len]);
        }
        let mut memory = TargetMemory(RemoteMemory::new(call.tid));
        let out = &out[..members * MEMBER];
        memory
            .write(call.data.args[0], out)
            .map_err(|_| Errno::EFAULT)
    }

    fn set_name(&mut self, call: &Notification) -> Result<(), Errno> {
        let [address, len, ..] = call.data.args;
        if !self.cred(call.tid).caps.contains(Caps::SYS_ADMIN) {
            return Err(Errno::EPERM);
        }
        let len = usize::try_from(len as i32).map_err(|_| Errno::EINVAL)?;
        if len >= MEMBER {
            return Err(Errno::EINVAL);
        }
        let mut name = vec![0; len];
        let mut memory = TargetMemory(RemoteMemory::new(call.tid));
        memory.read(address, &mut name).map_err(|_| Errno::EFAULT)?;
        if let Some(named) = &mut self.named {
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(len);
            named.nodename = String::from_utf8_lossy(&name[..end]).into_owned();
        }
        Ok(())
    }
}
