//! Loads and stores, and what a helper is handed.

use super::super::helper::{Arg, Helper};
use super::super::insn::*;
use super::super::map::MapKind;
use super::super::program::ProgramKind;
use super::context;
use super::scalar::Scalar;
use super::state::{Reg, State};
use super::{Bad, Verifier, access, inval, readable, write};
use alloc::format;

impl Verifier<'_> {
    /// What `size` bytes at `off` from a pointer are.
    pub(super) fn load(&self, state: &State, from: Reg, off: i64, size: usize) -> Result<Reg, Bad> {
        match from {
            Reg::Stack(base) => {
                let at = stack_place(base + off, size)?;
                match state.read_stack(at, size) {
                    Some(reg) => Ok(reg),
                    None => access(format!("invalid read from stack off {at} size {size}")),
                }
            }
            Reg::Context => match context::load(self.kind, off, size) {
                Some(reg) => Ok(reg),
                None => access(format!("invalid bpf_context access off={off} size={size}")),
            },
            Reg::Value(map, base) => {
                self.in_value(map, base, off, size)?;
                Ok(Reg::Number(Scalar::of_size(size)))
            }
            Reg::Packet {
                off: base, range, ..
            } => {
                in_packet(base + off, range, size)?;
                Ok(Reg::Number(Scalar::of_size(size)))
            }
            Reg::ValueOrNull(..) => access("invalid mem access 'map_value_or_null'"),
            Reg::Socket(which) if context::in_socket(which, off, size) => {
                Ok(Reg::Number(Scalar::of_size(size)))
            }
            Reg::Socket(_) => access(format!("invalid sock access off={off} size={size}")),
            Reg::SocketOrNull(_) => access("invalid mem access 'sock_common_or_null'"),
            _ => access("invalid mem access 'scalar'"),
        }
    }

    pub(super) fn store(
        &self,
        state: &mut State,
        to: Reg,
        off: i64,
        size: usize,
        value: Reg,
    ) -> Result<(), Bad> {
        match to {
            Reg::Stack(base) => {
                let at = stack_place(base + off, size)?;
                if value.is_pointer() && size != 8 {
                    return access("partial spill of a pointer");
                }
                state.write_stack(at, size, value);
                Ok(())
            }
            _ if value.is_pointer() => access("leaks addr into mem"),
            Reg::Context if context::may_store(self.kind, off, size) => Ok(()),
            Reg::Context => access(format!("invalid bpf_context access off={off} size={size}")),
            Reg::Value(map, base) => self.in_value(map, base, off, size),
            Reg::Packet { .. } => access("cannot write into packet"),
            Reg::ValueOrNull(..) => access("invalid mem access 'map_value_or_null'"),
            _ => access("invalid mem access 'scalar'"),
        }
    }

    pub(super) fn atomic(&self, state: &mut State, insn: Insn) -> Result<(), Bad> {
        let (off, size) = (i64::from(insn.off), insn.size());
        let to = readable(state, insn.dst)?;
        let value = readable(state, insn.src)?;
        if !matches!(to, Reg::Stack(_) | Reg::Value(..)) {
            return access("BPF_ATOMIC stores into this memory are not allowed");
        }
        if value.is_pointer() || (insn.imm == CMPXCHG && readable(state, 0)?.is_pointer()) {
            return access("leaks addr into mem");
        }
        if self.load(state, to, off, size)?.is_pointer() {
            return access("atomic operation on a pointer");
        }
        self.store(state, to, off, size, Reg::ANY)?;
        let old = Reg::Number(Scalar::of_size(size));
        match insn.imm {
            CMPXCHG => write(state, 0, old),
            op if op & FETCH != 0 => write(state, insn.src, old),
            _ => Ok(()),
        }
    }

    fn in_value(&self, map: usize, base: Scalar, off: i64, size: usize) -> Result<(), Bad> {
        let room = i64::from(self.maps[map].spec().value_size);
        if base.smin + off < 0 || base.smax + off + size as i64 > room {
            return access(format!(
                "invalid access to map value, value_size={room} off={off} size={size}"
            ));
        }
        Ok(())
    }

    /// Memory that a helper reads: all of it was written.
    fn readable_memory(&self, state: &State, from: Reg, size: usize) -> Result<(), Bad> {
        match from {
            Reg::Stack(off) if State::in_stack(off, size) => {
                if state.is_written(off, size) {
                    Ok(())
                } else {
                    access(format!(
                        "invalid indirect read from stack off {off} size {size}"
                    ))
                }
            }
            Reg::Stack(off) => access(format!("invalid stack access off={off} size={size}")),
            Reg::Value(map, base) => self.in_value(map, base, 0, size),
            Reg::Packet { off, range, .. } => in_packet(off, range, size),
            _ => access("type mismatch: expected memory"),
        }
    }

    /// Memory that a helper fills.
    fn writable_memory(&self, state: &mut State, to: Reg, size: usize) -> Result<(), Bad> {
        match to {
            Reg::Stack(off) if State::in_stack(off, size) => {
                state.fill_stack(off, size);
                Ok(())
            }
            Reg::Stack(off) => access(format!("invalid stack access off={off} size={size}")),
            Reg::Value(map, base) => self.in_value(map, base, 0, size),
            _ => access("type mismatch: expected memory to write to"),
        }
    }

    /// The map among the arguments, when there is one.
    pub(super) fn check_arguments(
        &self,
        state: &mut State,
        helper: Helper,
    ) -> Result<Option<usize>, Bad> {
        let mut map = None;
        // bpf_get_socket_ptr_cookie(): its argument is a socket or null, and no context.
        let by_socket = self.kind == ProgramKind::SkReuseport && helper == Helper::SocketCookie;
        let args = helper.args();
        for (n, arg) in args.iter().enumerate() {
            let number = n as u8 + 1;
            if *arg == Arg::Nothing {
                break;
            }
            let reg = readable(state, number)?;
            let spec = |map: Option<usize>| map.map(|map| *self.maps[map].spec());
            match (arg, reg) {
                (Arg::Context, Reg::Socket(_) | Reg::SocketOrNull(_)) if by_socket => {}
                (Arg::Context, Reg::Number(n)) if by_socket && n.value() == Some(0) => {}
                (Arg::Context, Reg::Context) if by_socket => {
                    return access(format!("R{number} type=ctx expected=sock_common"));
                }
                (Arg::Scalar, Reg::Number(_)) | (Arg::Context, Reg::Context) => {}
                (Arg::Map, Reg::Map(index)) => {
                    let sockets = self.maps[index].spec().kind == MapKind::ReuseportSockarray;
                    if sockets != (helper == Helper::SelectReuseport) {
                        return inval("cannot pass this map type into the helper");
                    }
                    map = Some(index);
                }
                (Arg::MapKey, reg) => {
                    let size = spec(map).map_or(0, |spec| spec.key_size);
                    self.readable_memory(state, reg, size as usize)?;
                }
                (Arg::MapValue, reg) => {
                    let size = spec(map).map_or(0, |spec| spec.value_size);
                    self.readable_memory(state, reg, size as usize)?;
                }
                (Arg::Output, to) => {
                    let Reg::Number(size) = readable(state, number + 1)? else {
                        return access(format!("R{} is not a size", number + 1));
                    };
                    if size.umin == 0 || size.umax > 1 << 20 {
                        return access(format!("R{} invalid zero-sized or unbounded", number + 1));
                    }
                    self.writable_memory(state, to, size.umax as usize)?;
                }
                (Arg::Size, Reg::Number(_)) => {}
                _ => return access(format!("R{number} type mismatch")),
            }
        }
        Ok(map)
    }
}

/// Where in the stack: aligned, as saved registers are.
fn stack_place(at: i64, size: usize) -> Result<i64, Bad> {
    if !State::in_stack(at, size) {
        return access(format!("invalid stack off={at} size={size}"));
    }
    if at % size as i64 != 0 {
        return access(format!("misaligned stack access off {at} size {size}"));
    }
    Ok(at)
}

fn in_packet(off: i64, range: i64, size: usize) -> Result<(), Bad> {
    if off < 0 || off + size as i64 > range {
        return access(format!(
            "invalid access to packet, off={off} size={size}, allowed {range}"
        ));
    }
    Ok(())
}
