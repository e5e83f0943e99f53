//! Options whose value leads to a program: in the caller's memory, or behind a descriptor.

use crate::effect::Reply;
use crate::files::FileRef;
use crate::memory::read_int;
use crate::pending::{Env, Pending, Step};
use alloc::vec;
use alloc::vec::Vec;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_bpf::classic::{Insn, MAX_LEN};
use switchboard_socket::{Attach, Caps, FanoutData, SocketId};

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

    /// fanout_set_data(): PACKET_FANOUT_DATA of a group that chooses by a program.
    pub(crate) fn fanout_data(
        &mut self,
        env: &mut Env<'_, '_>,
        id: SocketId,
        takes: FanoutData,
        value: u64,
        len: usize,
    ) -> Result<Step, Errno> {
        match takes {
            FanoutData::Classic => {
                let program = self.read_fprog(env, value, len)?;
                let insns = read_insns(env, program)?;
                env.host.set_fanout_classic(id, insns)?;
            }
            FanoutData::Extended => {
                if len != 4 {
                    return Err(Errno::EINVAL);
                }
                let fd = read_int(env.mem, value)?;
                let object = env.files.lookup(fd).map(|file| match file {
                    FileRef::Bpf(object) => Some(object),
                    _ => None,
                });
                env.host.set_fanout_bpf(id, object)?;
            }
        }
        Ok(Reply::happened(0).into())
    }

    /// copy_bpf_fprog_from_user(): how many instructions, and where they are.
    fn read_fprog(
        &self,
        env: &mut Env<'_, '_>,
        value: u64,
        len: usize,
    ) -> Result<(usize, u64), Errno> {
        // struct sock_fprog: a short, and a pointer at its own alignment.
        let word = self.word.size();
        if len != 2 * word {
            return Err(Errno::EINVAL);
        }
        let mut fprog = [0; 16];
        let fprog = &mut fprog[..2 * word];
        env.mem.read(value, fprog)?;
        let count = usize::from(u16::from_ne_bytes([fprog[0], fprog[1]]));
        Ok((count, self.word.read_ulong(fprog, word)))
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
        let program = self.read_fprog(env, value, len)?;
        if env.host.filter_is_locked(id)? {
            return Err(Errno::EPERM);
        }
        let insns = read_insns(env, program)?;
        let to = match name {
            SO_ATTACH_FILTER => Attach::Socket,
            _ => Attach::Group,
        };
        env.host.attach_classic(id, to, insns)?;
        Ok(Reply::happened(0).into())
    }
}

/// bpf_check_basics_ok(), and the instructions.
fn read_insns(env: &mut Env<'_, '_>, (count, at): (usize, u64)) -> Result<Vec<Insn>, Errno> {
    if at == 0 || count == 0 || count > MAX_LEN {
        return Err(Errno::EINVAL);
    }
    let mut bytes = vec![0; count * Insn::SIZE];
    env.mem.read(at, &mut bytes)?;
    let (insns, _) = bytes.as_chunks::<{ Insn::SIZE }>();
    Ok(insns.iter().copied().map(Insn::from_bytes).collect())
}
