//! Running a program that was verified.
//!
//! # Theory of operation
//!
//! A register is a number. A pointer's highest byte names a region, the rest is a place in it; each
//! access looks the region up and is bounded. What is not there ends the program with 0, and so does
//! the [`BUDGET`]: neither happens to a program that was verified.

use super::Errno;
use super::helper::Helper;
use super::insn::*;
use super::program::Program;
use super::verify::context::{Field, find};
use crate::env::Env;
use crate::packet::{Packet, Which};

/// How many instructions one run takes at most.
const BUDGET: usize = 1 << 22;

const REGION: u64 = 0xff << 56;
const CONTEXT: u64 = 0x01 << 56;
const STACK_TOP: u64 = (0x02 << 56) + (1 << 20);
const STACK_REGION: u64 = 0x02 << 56;
const PACKET: u64 = 0x03 << 56;
const MAP: u64 = 0x04 << 56;
const SOCKET: u64 = 0x05 << 56;
const MIGRATING: u64 = 0x06 << 56;
/// Of the first map; the number of the map is added to the highest byte.
const VALUE: u64 = 0x40 << 56;
const PLACE: u64 = !REGION;

/// What a program decided.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// What it returned.
    pub value: u32,
    /// The socket that `bpf_sk_select_reuseport()` chose.
    pub selected: Option<u64>,
}

struct Machine<'a> {
    program: &'a Program,
    env: &'a mut Env,
    packet: &'a dyn Packet,
    /// Whether a socket may be selected.
    may_select: &'a dyn Fn(u64) -> bool,
    stack: [u8; STACK],
    cb: [u32; 5],
    selected: Option<u64>,
    /// A load from beyond the packet has ended it.
    short: bool,
}

impl Program {
    /// Runs it. `may_select` says whether a socket of a sockarray may be chosen for this packet.
    pub fn run(
        &self,
        env: &mut Env,
        packet: &dyn Packet,
        may_select: &dyn Fn(u64) -> bool,
    ) -> Verdict {
        let mut machine = Machine {
            program: self,
            env,
            packet,
            may_select,
            stack: [0; STACK],
            cb: [0; 5],
            selected: None,
            short: false,
        };
        let value = machine.run().unwrap_or(0);
        Verdict {
            value: value as u32,
            selected: machine.selected,
        }
    }
}

impl Program {
    /// Runs it and says whether it met what no verified program meets: memory that is not there, or
    /// the budget. A load of classic BPF from beyond the packet is none of that. For tests.
    #[doc(hidden)]
    pub fn went_wrong(&self, env: &mut Env, packet: &dyn Packet) -> bool {
        let mut machine = Machine {
            program: self,
            env,
            packet,
            may_select: &|_| false,
            stack: [0; STACK],
            cb: [0; 5],
            selected: None,
            short: false,
        };
        machine.run().is_none() && !machine.short
    }
}

impl Machine<'_> {
    fn run(&mut self) -> Option<u64> {
        let program = self.program;
        let insns = &program.insns[..];
        let mut regs = [0u64; 16];
        regs[1] = CONTEXT;
        regs[FP] = STACK_TOP;
        let mut at = 0usize;
        for _ in 0..BUDGET {
            let insn = *insns.get(at)?;
            at += 1;
            let (dst, src) = (usize::from(insn.dst & 0xf), usize::from(insn.src & 0xf));
            let operand = if insn.by_register() {
                regs[src]
            } else {
                insn.imm as i64 as u64
            };
            match insn.class() {
                ALU64 if insn.op() == END => {
                    regs[dst] = swapped(regs[dst], insn.imm);
                }
                ALU64 if insn.op() == MOV && insn.off != 0 => {
                    regs[dst] = sign_extend(operand, insn.off as u32);
                }
                ALU64 => regs[dst] = alu64(insn.op(), regs[dst], operand, insn.off == 1),
                ALU if insn.op() == END => {
                    // To big endian swaps here, to little endian only cuts.
                    regs[dst] = if insn.by_register() {
                        swapped(regs[dst], insn.imm)
                    } else {
                        cut(regs[dst], insn.imm)
                    };
                }
                ALU if insn.op() == MOV && insn.off != 0 => {
                    regs[dst] = sign_extend(operand, insn.off as u32) & 0xffff_ffff;
                }
                ALU => {
                    let (a, b) = (regs[dst] as u32, operand as u32);
                    regs[dst] = alu32(insn.op(), a, b, insn.off == 1).into();
                }
                LD if insn.is_wide() => {
                    let second = insns.get(at)?;
                    at += 1;
                    let index = u64::from(insn.imm as u32);
                    regs[dst] = match insn.src {
                        PSEUDO_MAP_FD => MAP | index,
                        PSEUDO_MAP_VALUE => VALUE + (index << 56) + u64::from(second.imm as u32),
                        _ => u64::from(second.imm as u32) << 32 | index,
                    };
                }
                LD => {
                    let base = if insn.mode() == MODE_IND {
                        regs[src] as u32
                    } else {
                        0
                    };
                    let offset = base.wrapping_add(insn.imm as u32) as i32;
                    let loaded = crate::classic::load(self.packet, offset, insn.size());
                    self.short = loaded.is_none();
                    let loaded = loaded?;
                    regs[0] = loaded.into();
                }
                LDX => {
                    let from = regs[src].wrapping_add(insn.off as i64 as u64);
                    let loaded = self.load(from, insn.size())?;
                    regs[dst] = if insn.mode() == MODE_MEMSX {
                        sign_extend(loaded, 8 * insn.size() as u32)
                    } else {
                        loaded
                    };
                }
                ST => {
                    let to = regs[dst].wrapping_add(insn.off as i64 as u64);
                    self.store(to, insn.size(), insn.imm as i64 as u64)?;
                }
                STX => {
                    let to = regs[dst].wrapping_add(insn.off as i64 as u64);
                    if insn.mode() == MODE_ATOMIC {
                        let (old, new) = self.atomic(insn, to, regs[src], regs[0])?;
                        if let Some(new) = new {
                            self.store(to, insn.size(), new)?;
                        }
                        match insn.imm {
                            CMPXCHG => regs[0] = old,
                            op if op & FETCH != 0 => regs[src] = old,
                            _ => {}
                        }
                    } else {
                        self.store(to, insn.size(), regs[src])?;
                    }
                }
                JMP if insn.op() == EXIT => return Some(regs[0]),
                JMP if insn.op() == CALL => {
                    let helper = Helper::from_number(insn.imm)?;
                    let args = [regs[1], regs[2], regs[3], regs[4], regs[5]];
                    regs[0] = self.call(helper, args)?;
                }
                JMP if insn.op() == JA => at = jump(at, insn.off.into())?,
                JMP32 if insn.op() == JA => at = jump(at, insn.imm.into())?,
                JMP => {
                    if holds64(insn.op(), regs[dst], operand) {
                        at = jump(at, insn.off.into())?;
                    }
                }
                _ => {
                    if holds32(insn.op(), regs[dst] as u32, operand as u32) {
                        at = jump(at, insn.off.into())?;
                    }
                }
            }
        }
        None
    }

    fn load(&self, at: u64, size: usize) -> Option<u64> {
        let mut bytes = [0; 8];
        let out = &mut bytes[..size];
        if at & REGION == CONTEXT {
            return self.context(at & PLACE, size);
        }
        self.read(at, out)?;
        Some(u64::from_le_bytes(bytes))
    }

    /// Copies memory that a program may read.
    fn read(&self, at: u64, out: &mut [u8]) -> Option<()> {
        let place = at & PLACE;
        match at & REGION {
            STACK_REGION => {
                let from = stack_place(at)?;
                out.copy_from_slice(self.stack.get(from..from + out.len())?);
            }
            PACKET => {
                if !self.packet.load(i64::try_from(place).ok()?, out) {
                    return None;
                }
            }
            region @ (SOCKET | MIGRATING) => {
                // What stands for no socket reads as zero.
                let fields = self
                    .packet
                    .socket(which(region))
                    .copied()
                    .unwrap_or_default();
                let word = fields.words.get(usize::try_from(place / 4).ok()?)?;
                let first = (place % 4) as usize;
                let bytes = word.to_le_bytes();
                out.copy_from_slice(bytes.get(first..first + out.len())?);
            }
            region if region >= VALUE => {
                let map = self.program.maps.get(((region - VALUE) >> 56) as usize)?;
                if !map.load(place, out) {
                    return None;
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn store(&mut self, at: u64, size: usize, value: u64) -> Option<()> {
        let bytes = value.to_le_bytes();
        self.write(at, bytes.get(..size)?)
    }

    fn write(&mut self, at: u64, data: &[u8]) -> Option<()> {
        let place = at & PLACE;
        match at & REGION {
            STACK_REGION => {
                let to = stack_place(at)?;
                self.stack
                    .get_mut(to..to + data.len())?
                    .copy_from_slice(data);
            }
            CONTEXT => {
                let Some((Field::Cb(n), 0)) = find(self.program.kind, i64::try_from(place).ok()?)
                else {
                    return None;
                };
                let value = u32::from_le_bytes(data.try_into().ok()?);
                *self.cb.get_mut(usize::from(n))? = value;
            }
            region if region >= VALUE => {
                let map = self.program.maps.get(((region - VALUE) >> 56) as usize)?;
                if !map.store(place, data) {
                    return None;
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn context(&self, at: u64, size: usize) -> Option<u64> {
        let (field, byte) = find(self.program.kind, i64::try_from(at).ok()?)?;
        let meta = self.packet.meta();
        let len = self.packet.len() as u64;
        let value = match field {
            Field::Data => return Some(PACKET),
            Field::DataEnd => return Some(PACKET + len),
            Field::Socket(Which::Found) => return Some(SOCKET),
            Field::Socket(Which::Migrating) => {
                let there = self.packet.socket(Which::Migrating).is_some();
                return Some(if there { MIGRATING } else { 0 });
            }
            Field::Len => len,
            Field::PktType => meta.pkt_type.into(),
            Field::Mark => meta.mark.into(),
            Field::Queue => meta.queue.into(),
            // As it stands in the header.
            Field::Protocol => meta.protocol.to_be().into(),
            Field::Priority => meta.priority.into(),
            Field::IfIndex | Field::IngressIfIndex => {
                meta.device.map_or(0, |(index, _)| index).into()
            }
            Field::Cb(n) => (*self.cb.get(usize::from(n))?).into(),
            Field::Hash => meta.hash.into(),
            Field::Zero => 0,
            Field::IpProtocol => meta.ip_protocol.into(),
            Field::BindInany => u64::from(meta.bind_any),
        };
        Some(cut(value >> (8 * byte), 8 * size as i32))
    }

    fn atomic(&self, insn: Insn, at: u64, by: u64, r0: u64) -> Option<(u64, Option<u64>)> {
        let bits = 8 * insn.size() as i32;
        let old = self.load(at, insn.size())?;
        let by = cut(by, bits);
        let new = match insn.imm {
            XCHG => Some(by),
            CMPXCHG => (cut(r0, bits) == old).then_some(by),
            op => Some(match (op & !FETCH) as u8 {
                AND => old & by,
                OR => old | by,
                XOR => old ^ by,
                _ => old.wrapping_add(by),
            }),
        };
        Some((old, new))
    }

    /// `None` ends the program: an argument that the verifier should have refused.
    fn call(&mut self, helper: Helper, args: [u64; 5]) -> Option<u64> {
        let program = self.program;
        let map = |reg: u64| {
            let index = reg.checked_sub(MAP).and_then(|n| usize::try_from(n).ok())?;
            Some((index, program.maps.get(index)?))
        };
        let done = |result: Result<(), Errno>| result.map_or_else(Errno::negated, |()| 0);
        let mut bytes = [0; STACK];
        Some(match helper {
            Helper::KtimeGetNs => self.env.now,
            Helper::PrandomU32 => self.env.random().into(),
            Helper::ProcessorId => self.env.cpu.into(),
            Helper::NumaNode => 0,
            Helper::SocketCookie => match args[0] {
                region @ (SOCKET | MIGRATING) => {
                    let fields = self.packet.socket(which(region));
                    fields.map_or(0, |fields| fields.cookie)
                }
                0 => 0,
                _ => self.packet.meta().cookie,
            },
            Helper::SocketUid => self.packet.meta().uid.into(),
            Helper::MapLookup => {
                let (index, map) = map(args[0])?;
                let key = bytes.get_mut(..map.spec().key_size as usize)?;
                self.read(args[1], key)?;
                match map.find(key) {
                    Some(place) => VALUE + ((index as u64) << 56) + place,
                    None => 0,
                }
            }
            Helper::MapDelete => {
                let (_, map) = map(args[0])?;
                let key = bytes.get_mut(..map.spec().key_size as usize)?;
                self.read(args[1], key)?;
                done(map.delete(key))
            }
            Helper::MapUpdate => {
                let (_, map) = map(args[0])?;
                let key = bytes.get_mut(..map.spec().key_size as usize)?;
                self.read(args[1], key)?;
                let mut value = alloc::vec![0; map.spec().value_size as usize];
                self.read(args[2], &mut value)?;
                done(map.update(key, &value, args[3]))
            }
            Helper::SkbLoadBytes => {
                let offset = args[1] as u32;
                self.load_bytes(
                    i64::from(offset),
                    offset <= i32::MAX as u32,
                    args[2],
                    args[3],
                )?
            }
            Helper::SkbLoadBytesRelative => {
                let start = match args[4] as u32 {
                    0 => self.packet.link_offset(),
                    1 => Some(self.packet.network_offset()),
                    _ => None,
                };
                let offset = args[1] as u32;
                let at = i64::from(start.unwrap_or(0)) + i64::from(offset);
                let good = start.is_some() && offset <= 0xffff;
                self.load_bytes(at, good, args[2], args[3])?
            }
            Helper::SelectReuseport => {
                let (_, map) = map(args[1])?;
                let key = bytes.get_mut(..map.spec().key_size as usize)?;
                self.read(args[2], key)?;
                self.select(map.socket(key), args[3])
            }
        })
    }

    /// Copies from the packet; what is not there is zero, and EFAULT.
    fn load_bytes(&mut self, at: i64, good: bool, to: u64, len: u64) -> Option<u64> {
        let mut data = alloc::vec![0; usize::try_from(len as u32).ok()?.min(1 << 20)];
        let loaded = good && self.packet.load(at, &mut data);
        if !loaded {
            data.fill(0);
        }
        self.write(to, &data)?;
        Some(if loaded { 0 } else { Errno::FAULT.negated() })
    }

    /// sk_select_reuseport()
    fn select(&mut self, socket: Option<u64>, flags: u64) -> u64 {
        /// `EBADFD`: a socket of another group.
        const OTHER_GROUP: Errno = Errno(77);
        match socket {
            _ if flags != 0 => Errno::INVAL.negated(),
            None => Errno::NO_ENTRY.negated(),
            Some(socket) if (self.may_select)(socket) => {
                self.selected = Some(socket);
                0
            }
            Some(_) => OTHER_GROUP.negated(),
        }
    }
}

fn which(region: u64) -> Which {
    match region {
        MIGRATING => Which::Migrating,
        _ => Which::Found,
    }
}

fn stack_place(at: u64) -> Option<usize> {
    let below = STACK_TOP.checked_sub(at)?;
    STACK.checked_sub(usize::try_from(below).ok()?)
}

fn jump(at: usize, distance: i64) -> Option<usize> {
    usize::try_from(at as i64 + distance).ok()
}

pub(super) fn sign_extend(value: u64, bits: u32) -> u64 {
    let by = 64 - bits.clamp(1, 64);
    ((value << by) as i64 >> by) as u64
}

/// The low `bits` bits.
fn cut(value: u64, bits: i32) -> u64 {
    match bits {
        8 => value as u8 as u64,
        16 => value as u16 as u64,
        32 => value as u32 as u64,
        _ => value,
    }
}

fn swapped(value: u64, bits: i32) -> u64 {
    match bits {
        16 => (value as u16).swap_bytes().into(),
        32 => (value as u32).swap_bytes().into(),
        _ => value.swap_bytes(),
    }
}

/// RFC 9669, 4.1: division by zero gives zero, its remainder what was divided; shifts count in six
/// bits.
pub(super) fn alu64(op: u8, a: u64, b: u64, signed: bool) -> u64 {
    match op {
        ADD => a.wrapping_add(b),
        SUB => a.wrapping_sub(b),
        MUL => a.wrapping_mul(b),
        DIV if b == 0 => 0,
        DIV if signed => (a as i64).wrapping_div(b as i64) as u64,
        DIV => a / b,
        MOD if b == 0 => a,
        MOD if signed => (a as i64).wrapping_rem(b as i64) as u64,
        MOD => a % b,
        OR => a | b,
        AND => a & b,
        LSH => a.wrapping_shl(b as u32),
        RSH => a.wrapping_shr(b as u32),
        ARSH => (a as i64).wrapping_shr(b as u32) as u64,
        NEG => a.wrapping_neg(),
        XOR => a ^ b,
        _ => b,
    }
}

/// The same in 32 bits, with shifts that count in five.
pub(super) fn alu32(op: u8, a: u32, b: u32, signed: bool) -> u32 {
    match op {
        DIV if signed && b != 0 => (a as i32).wrapping_div(b as i32) as u32,
        MOD if signed && b != 0 => (a as i32).wrapping_rem(b as i32) as u32,
        LSH => a.wrapping_shl(b),
        RSH => a.wrapping_shr(b),
        ARSH => (a as i32).wrapping_shr(b) as u32,
        op => alu64(op, a.into(), b.into(), false) as u32,
    }
}

pub(super) fn holds64(op: u8, a: u64, b: u64) -> bool {
    match op {
        JEQ => a == b,
        JNE => a != b,
        JGT => a > b,
        JGE => a >= b,
        JLT => a < b,
        JLE => a <= b,
        JSET => a & b != 0,
        JSGT => a as i64 > b as i64,
        JSGE => a as i64 >= b as i64,
        JSLT => (a as i64) < b as i64,
        _ => a as i64 <= b as i64,
    }
}

pub(super) fn holds32(op: u8, a: u32, b: u32) -> bool {
    match op {
        JSGT | JSGE | JSLT | JSLE => holds64(op, a as i32 as i64 as u64, b as i32 as i64 as u64),
        op => holds64(op, a.into(), b.into()),
    }
}
