//! Options whose value leads to a program: in the caller's memory, or behind a descriptor.

use crate::effect::Reply;
use crate::files::FileRef;
use crate::memory::read_int;
use crate::pending::{Env, Pending, Step};
use alloc::vec;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_bpf::classic::{Insn, MAX_LEN};
use switchboard_socket::{Attach, Caps, SocketId};

/// Whether the option's value is a `struct sock_fprog`.
pub(crate) fn points_to_program(name: i32) -> bool {
    matches!(name, SO_ATTACH_FILTER | SO_ATTACH_REUSEPORT_CBPF)
}

/// Whether the option's value is a descriptor of a program.
pub(crate) fn names_program(name: i32) -> bool {
    matches!(name, SO_ATTACH_BPF | SO_ATTACH_REUSEPORT_EBPF)
}

impl Pending {
    /// sk_attach_bpf() and sk_reuseport_attach_bpf()
    pub(crate) fn attach_bpf(
        &mut self,
        env: &mut Env<'_, '_>,
        id: SocketId,
        name: i32,
        value: u64,
        len: usize,
    ) -> Result<Step, Errno> {
        if len < 4 {
            return Err(Errno::EINVAL);
        }
        let fd = read_int(env.mem, value)?;
        if len != 4 {
            return Err(Errno::EINVAL);
        }
        let object = env.files.lookup(fd).map(|file| match file {
            FileRef::Bpf(object) => Some(object),
            _ => None,
        });
        let to = match name {
            SO_ATTACH_BPF => Attach::Socket,
            _ => Attach::Group,
        };
        env.host.attach_bpf(id, to, object)?;
        Ok(Reply::happened(0).into())
    }

    /// copy_bpf_fprog_from_user() and __get_filter()
    pub(crate) fn attach_filter(
        &mut self,
        env: &mut Env<'_, '_>,
        id: SocketId,
        name: i32,
        value: u64,
        len: usize,
    ) -> Result<Step, Errno> {
        // sk_setsockopt() reads an int before it looks at the name.
        if len < 4 {
            return Err(Errno::EINVAL);
        }
        read_int(env.mem, value)?;
        // Linux 6.18 lets only who administers the network filter what TCP gets.
        let tcp = self
            .target
            .is_some_and(|target| target.stream && !target.unix);
        if name == SO_ATTACH_FILTER && tcp && !env.cx.cred.caps.contains(Caps::NET_ADMIN) {
            return Err(Errno::EPERM);
        }
        // struct sock_fprog: a short, and a pointer at its own alignment.
        let word = self.word.size();
        if len != 2 * word {
            return Err(Errno::EINVAL);
        }
        let mut fprog = [0; 16];
        let fprog = &mut fprog[..2 * word];
        env.mem.read(value, fprog)?;
        let count = usize::from(u16::from_ne_bytes([fprog[0], fprog[1]]));
        let filter = self.word.read_ulong(fprog, word);
        if env.host.filter_is_locked(id)? {
            return Err(Errno::EPERM);
        }
        if filter == 0 || count == 0 || count > MAX_LEN {
            return Err(Errno::EINVAL);
        }
        let mut bytes = vec![0; count * Insn::SIZE];
        env.mem.read(filter, &mut bytes)?;
        let (insns, _) = bytes.as_chunks::<{ Insn::SIZE }>();
        let insns = insns.iter().copied().map(Insn::from_bytes).collect();
        let to = match name {
            SO_ATTACH_FILTER => Attach::Socket,
            _ => Attach::Group,
        };
        env.host.attach_classic(id, to, insns)?;
        Ok(Reply::happened(0).into())
    }
}
