//! bpf(2), as far as sockets have a use for it: programs, maps, and what is in maps.
//!
//! No privilege is asked for: a program is verified, and what it may reach is this layer's.

use crate::effect::{Effect, Install, Installed, Kind, Reply};
use crate::files::FileRef;
use crate::memory::Memory;
use crate::pending::{Env, Pending, Step};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use switchboard_abi::Errno;
use switchboard_bpf::ebpf::{self, Insn, Map, MapKind, MapSpec, Program, ProgramKind};
use switchboard_socket::{BpfId, BpfObject};

const MAP_CREATE: i32 = 0;
const MAP_LOOKUP_ELEM: i32 = 1;
const MAP_UPDATE_ELEM: i32 = 2;
const MAP_DELETE_ELEM: i32 = 3;
const MAP_GET_NEXT_KEY: i32 = 4;
const PROG_LOAD: i32 = 5;
const OBJ_GET_INFO_BY_FD: i32 = 15;

/// sizeof(union bpf_attr) of Linux 6.18: what is beyond must be zero.
const ATTR: usize = 168;

/// The bytes at the caller's `attr`, and zeros where there were none.
struct Attr([u8; ATTR]);

impl Attr {
    /// bpf_check_uarg_tail_zero(), then a copy.
    fn read(mem: &mut dyn Memory, addr: u64, size: u32) -> Result<Attr, Errno> {
        // "silly large"
        if size > 4096 {
            return Err(Errno::E2BIG);
        }
        let mut bytes = vec![0; size as usize];
        mem.read(addr, &mut bytes)?;
        if bytes.iter().skip(ATTR).any(|byte| *byte != 0) {
            return Err(Errno::E2BIG);
        }
        let mut attr = Attr([0; ATTR]);
        let n = bytes.len().min(ATTR);
        attr.0[..n].copy_from_slice(&bytes[..n]);
        Ok(attr)
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_ne_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from(self.u32(at)) | u64::from(self.u32(at + 4)) << 32
    }

    /// CHECK_ATTR(): EINVAL for what the command does not have, or the layer has not of it.
    fn only(&self, end: usize) -> Result<(), Errno> {
        if self.0[end..].iter().all(|byte| *byte == 0) {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }

    /// bpf_obj_name_cpy(): letters, digits, `_` and `.`, ended by a zero.
    fn name(&self, at: usize) -> Result<[u8; 16], Errno> {
        let mut name = [0; 16];
        for (n, byte) in self.0[at..at + 16].iter().enumerate() {
            match byte {
                0 => return Ok(name),
                b'_' | b'.' => name[n] = *byte,
                byte if byte.is_ascii_alphanumeric() => name[n] = *byte,
                _ => return Err(Errno::EINVAL),
            }
        }
        Err(Errno::EINVAL)
    }
}

fn map_errno(errno: ebpf::Errno) -> Errno {
    Errno(errno.0)
}

impl Pending {
    /// __sys_bpf()
    pub(crate) fn bpf(
        &mut self,
        env: &mut Env<'_, '_>,
        cmd: i32,
        addr: u64,
        size: u32,
    ) -> Result<Step, Errno> {
        let attr = Attr::read(env.mem, addr, size)?;
        match cmd {
            MAP_CREATE => map_create(env, &attr),
            MAP_LOOKUP_ELEM => map_lookup(env, &attr),
            MAP_UPDATE_ELEM => map_update(env, &attr),
            MAP_DELETE_ELEM => map_delete(env, &attr),
            MAP_GET_NEXT_KEY => map_next_key(env, &attr),
            PROG_LOAD => prog_load(env, &attr),
            OBJ_GET_INFO_BY_FD => info(env, &attr, addr),
            // What the rest of the kernel's BPF is made of: pinning, attaching, enumerating, BTF.
            6..=14 | 16..=20 | 23 | 28..=36 => Err(Errno::EPERM),
            _ => Err(Errno::EINVAL),
        }
    }
}

fn installed(env: &mut Env<'_, '_>, id: BpfId) -> Result<Step, Errno> {
    if let Err(errno) = env.files.reserve(1) {
        env.host.bpf_close(id);
        return Err(errno);
    }
    Ok(Step::Done(Reply {
        install: Some(Install {
            // The kernel's own are too.
            cloexec: true,
            nonblocking: false,
            what: Installed::Bpf(id),
        }),
        effect: Effect(Kind::CreatedBpf(id)),
        ..Reply::value(0)
    }))
}

fn object(env: &mut Env<'_, '_>, fd: i32) -> Result<BpfObject, Errno> {
    let FileRef::Bpf(id) = env.files.lookup(fd)? else {
        return Err(Errno::EINVAL);
    };
    env.host.bpf_object(id).cloned().ok_or(Errno::EBADF)
}

fn map_of(env: &mut Env<'_, '_>, fd: i32) -> Result<Arc<Map>, Errno> {
    match object(env, fd)? {
        BpfObject::Map(map, _) => Ok(map),
        BpfObject::Program(_) => Err(Errno::EINVAL),
    }
}

fn map_create(env: &mut Env<'_, '_>, attr: &Attr) -> Result<Step, Errno> {
    // inner_map_fd, and what follows the name: other devices, types, tokens.
    if attr.u32(20) != 0 || attr.u32(24) != 0 {
        return Err(Errno::EINVAL);
    }
    attr.only(44)?;
    let kind = MapKind::from_number(attr.u32(0)).ok_or(Errno::EINVAL)?;
    let spec = MapSpec {
        kind,
        key_size: attr.u32(4),
        value_size: attr.u32(8),
        max_entries: attr.u32(12),
        flags: attr.u32(16),
        cpus: 1,
    };
    let name = attr.name(28)?;
    let id = env.host.bpf_new_map(spec, name)?;
    installed(env, id)
}

fn read_key(env: &mut Env<'_, '_>, map: &Map, addr: u64) -> Result<Vec<u8>, Errno> {
    let mut key = vec![0; map.spec().key_size as usize];
    env.mem.read(addr, &mut key)?;
    Ok(key)
}

fn map_lookup(env: &mut Env<'_, '_>, attr: &Attr) -> Result<Step, Errno> {
    attr.only(32)?;
    if attr.u64(24) != 0 {
        return Err(Errno::EINVAL);
    }
    let map = map_of(env, attr.u32(0) as i32)?;
    let key = read_key(env, &map, attr.u64(8))?;
    let value = map.lookup(&key).map_err(map_errno)?;
    env.mem.write(attr.u64(16), &value)?;
    Ok(Reply::value(0).into())
}

fn map_update(env: &mut Env<'_, '_>, attr: &Attr) -> Result<Step, Errno> {
    attr.only(32)?;
    let flags = attr.u64(24);
    let map = map_of(env, attr.u32(0) as i32)?;
    let key = read_key(env, &map, attr.u64(8))?;
    let mut value = vec![0; map.user_value_size()];
    env.mem.read(attr.u64(16), &mut value)?;
    if map.spec().kind == MapKind::ReuseportSockarray {
        return set_socket(env, &map, &key, &value, flags);
    }
    map.update(&key, &value, flags).map_err(map_errno)?;
    Ok(Reply::happened(0).into())
}

/// bpf_fd_reuseport_array_update_elem(): the value is a descriptor.
fn set_socket(
    env: &mut Env<'_, '_>,
    map: &Map,
    key: &[u8],
    value: &[u8],
    flags: u64,
) -> Result<Step, Errno> {
    // BPF_EXIST is the largest.
    if flags > 2 {
        return Err(Errno::EINVAL);
    }
    let index = u32::from_ne_bytes(key.try_into().unwrap_or_default());
    if index >= map.spec().max_entries {
        return Err(Errno::E2BIG);
    }
    let mut wide = [0; 8];
    wide[..value.len().min(8)].copy_from_slice(&value[..value.len().min(8)]);
    let fd = i32::try_from(u64::from_le_bytes(wide));
    let fd = match fd {
        Ok(fd) => fd,
        Err(_) if value.len() == 8 => return Err(Errno::EINVAL),
        // A negative int.
        Err(_) => return Err(Errno::EBADF),
    };
    let FileRef::Socket(socket) = env.files.lookup(fd)? else {
        return Err(Errno::ENOTSOCK);
    };
    env.host.bpf_set_socket(map, key, socket, flags)?;
    Ok(Reply::happened(0).into())
}

fn map_delete(env: &mut Env<'_, '_>, attr: &Attr) -> Result<Step, Errno> {
    attr.only(16)?;
    let map = map_of(env, attr.u32(0) as i32)?;
    let key = read_key(env, &map, attr.u64(8))?;
    map.delete(&key).map_err(map_errno)?;
    Ok(Reply::happened(0).into())
}

fn map_next_key(env: &mut Env<'_, '_>, attr: &Attr) -> Result<Step, Errno> {
    attr.only(24)?;
    let map = map_of(env, attr.u32(0) as i32)?;
    let key = match attr.u64(8) {
        0 => None,
        at => Some(read_key(env, &map, at)?),
    };
    let next = map.next_key(key.as_deref()).map_err(map_errno)?;
    env.mem.write(attr.u64(16), &next)?;
    Ok(Reply::value(0).into())
}

fn prog_load(env: &mut Env<'_, '_>, attr: &Attr) -> Result<Step, Errno> {
    let (insn_cnt, flags) = (attr.u32(4), attr.u32(44));
    let (log_level, log_size, log_at) = (attr.u32(24), attr.u32(28), attr.u64(32));
    // prog_ifindex, and what follows expected_attach_type: types of functions, other programs.
    if attr.u32(64) != 0 {
        return Err(Errno::EINVAL);
    }
    attr.only(72)?;
    // BPF_F_STRICT_ALIGNMENT, BPF_F_ANY_ALIGNMENT and testing flags: those that make a difference
    // are not there.
    const ANY_ALIGNMENT: u32 = 1 << 1;
    if flags & !ANY_ALIGNMENT != 0 {
        return Err(Errno::EINVAL);
    }
    // The license says nothing here, but it has to be there.
    env.mem.read(attr.u64(16), &mut [0])?;
    if insn_cnt == 0 || insn_cnt as usize > ebpf::MAX_LEN {
        return Err(Errno::E2BIG);
    }
    let kind = ProgramKind::from_number(attr.u32(0)).ok_or(Errno::EINVAL)?;
    let migrates = check_attach_type(kind, attr.u32(68))?;
    let name = attr.name(48)?;
    let mut bytes = vec![0; insn_cnt as usize * Insn::SIZE];
    env.mem.read(attr.u64(8), &mut bytes)?;
    // bpf_verifier_log_attr_valid()
    let wants_log = log_level != 0 || log_size != 0 || log_at != 0;
    if wants_log && (log_level == 0 || log_level > 15 || (log_size == 0) != (log_at == 0)) {
        return Err(Errno::EINVAL);
    }
    let (insns, _) = bytes.as_chunks::<{ Insn::SIZE }>();
    let insns: Vec<Insn> = insns.iter().copied().map(Insn::from_bytes).collect();
    let mut find = |fd: i32| map_of(env, fd).map_err(|errno| ebpf::Errno(errno.0));
    let loaded = Program::load(kind, insns, &mut find);
    let log = match &loaded {
        Ok(program) => alloc::format!("processed {} insns\n", program.steps()),
        Err(rejected) => rejected.log.clone(),
    };
    if log_level != 0 && log_at != 0 {
        let mut log = log.into_bytes();
        log.push(0);
        let fits = log.len() <= log_size as usize;
        if !fits {
            log.truncate(log_size as usize);
            log.pop();
            log.push(0);
        }
        env.mem.write(log_at, &log)?;
        if !fits {
            return Err(Errno::ENOSPC);
        }
    }
    let program = loaded.map_err(|rejected| Errno(rejected.errno.0))?;
    let id = env.host.bpf_new_program(program, name, migrates);
    installed(env, id)
}

/// bpf_prog_load_check_attach(): whether it is asked for what goes to another listener too.
fn check_attach_type(kind: ProgramKind, attach: u32) -> Result<bool, Errno> {
    /// `BPF_SK_REUSEPORT_SELECT`
    const SELECT: u32 = 39;
    /// `BPF_SK_REUSEPORT_SELECT_OR_MIGRATE`
    const SELECT_OR_MIGRATE: u32 = 40;
    match (kind, attach) {
        (ProgramKind::SocketFilter, _) => Ok(false),
        (ProgramKind::SkReuseport, 0 | SELECT) => Ok(false),
        (ProgramKind::SkReuseport, SELECT_OR_MIGRATE) => Ok(true),
        (ProgramKind::SkReuseport, _) => Err(Errno::EINVAL),
    }
}

/// bpf_obj_get_info_by_fd(): what is known, as far as there is room for it.
fn info(env: &mut Env<'_, '_>, attr: &Attr, addr: u64) -> Result<Step, Errno> {
    attr.only(16)?;
    let (fd, len, to) = (attr.u32(0) as i32, attr.u32(4), attr.u64(8));
    let mut info = [0u8; 96];
    let mut put = |at: usize, value: u32| info[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    let found = object(env, fd).map_err(|errno| match errno {
        // It has one of its own for this.
        Errno::EBADF => Errno::EBADFD,
        errno => errno,
    });
    let size = match found? {
        BpfObject::Map(map, name) => {
            let spec = map.spec();
            put(0, spec.kind.number());
            put(8, spec.key_size);
            put(12, spec.value_size);
            put(16, spec.max_entries);
            put(20, spec.flags);
            info[24..40].copy_from_slice(&name);
            80
        }
        BpfObject::Program(named) => {
            put(0, named.program.kind().number());
            put(20, (named.program.len() * Insn::SIZE) as u32);
            put(52, named.program.maps().len() as u32);
            info[64..80].copy_from_slice(&named.name);
            96
        }
    };
    let size = size.min(len as usize);
    env.mem.write(to, &info[..size])?;
    env.mem.write(addr + 4, &(size as u32).to_ne_bytes())?;
    Ok(Reply::happened(0).into())
}
