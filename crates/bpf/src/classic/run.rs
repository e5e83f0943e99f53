//! Running a program that is valid.

use super::Insn;
use super::code::*;
use crate::env::Env;
use crate::packet::Packet;

/// `None`: a load failed or something was divided by zero, which ends the program with 0.
pub(super) fn run(insns: &[Insn], env: &mut Env, packet: &dyn Packet) -> Option<u32> {
    let (mut a, mut x) = (0u32, 0u32);
    let mut memory = [0u32; MEMWORDS as usize];
    let mut at = 0;
    // Jumps go forward only: it ends. An instruction that is not there cannot be met.
    while let Some(insn) = insns.get(at) {
        at += 1;
        let (code, k) = (insn.code, insn.k);
        let word = |k: u32| (k % MEMWORDS) as usize;
        match class(code) {
            LD => {
                a = match mode(code) {
                    IMM => k,
                    MEM => memory[word(k)],
                    LEN => packet.len() as u32,
                    ABS => match ancillary(k) {
                        Some(what) => match load_ancillary(what, a, x, env, packet) {
                            Some(value) => value,
                            // No device: the program ends with what is in A.
                            None => return Some(a),
                        },
                        None => load(packet, k as i32, width(code))?,
                    },
                    // The sum is an int in Linux: it may become negative.
                    _ => load(packet, x.wrapping_add(k) as i32, width(code))?,
                }
            }
            LDX => {
                x = match mode(code) {
                    IMM => k,
                    MEM => memory[word(k)],
                    LEN => packet.len() as u32,
                    _ => (load(packet, k as i32, 1)? & 0xf) << 2,
                }
            }
            ST => memory[word(k)] = a,
            STX => memory[word(k)] = x,
            ALU => {
                let operand = if code & X != 0 { x } else { k };
                a = match op(code) {
                    ADD => a.wrapping_add(operand),
                    SUB => a.wrapping_sub(operand),
                    MUL => a.wrapping_mul(operand),
                    DIV => a.checked_div(operand)?,
                    MOD => a.checked_rem(operand)?,
                    OR => a | operand,
                    AND => a & operand,
                    // The processor looks at five bits of what X says.
                    LSH => a << (operand & 31),
                    RSH => a >> (operand & 31),
                    XOR => a ^ operand,
                    _ => a.wrapping_neg(),
                }
            }
            JMP => {
                if op(code) == JA {
                    at += k as usize;
                    continue;
                }
                let operand = if code & X != 0 { x } else { k };
                let holds = match op(code) {
                    JEQ => a == operand,
                    JGT => a > operand,
                    JGE => a >= operand,
                    _ => a & operand != 0,
                };
                at += usize::from(if holds { insn.jt } else { insn.jf });
            }
            RET => return Some(if code & A != 0 { a } else { k }),
            _ => {
                if code & TXA != 0 {
                    a = x;
                } else {
                    x = a;
                }
            }
        }
    }
    None
}

/// bpf_skb_load_helper_convert_offset() and what follows: the network's order.
pub(crate) fn load(packet: &dyn Packet, offset: i32, width: usize) -> Option<u32> {
    let at = if offset >= 0 {
        i64::from(offset)
    } else if offset >= SKF_NET_OFF {
        i64::from(offset - SKF_NET_OFF) + i64::from(packet.network_offset())
    } else if offset >= SKF_LL_OFF {
        i64::from(offset - SKF_LL_OFF) + i64::from(packet.link_offset()?)
    } else {
        return None;
    };
    let mut bytes = [0; 4];
    packet
        .load(at, &mut bytes[4 - width..])
        .then(|| u32::from_be_bytes(bytes))
}

/// `None`: the packet came in by no device.
fn load_ancillary(
    what: Ancillary,
    a: u32,
    x: u32,
    env: &mut Env,
    packet: &dyn Packet,
) -> Option<u32> {
    let meta = packet.meta();
    Some(match what {
        Ancillary::Protocol => meta.protocol.into(),
        Ancillary::PktType => meta.pkt_type.into(),
        Ancillary::IfIndex => meta.device?.0,
        Ancillary::HaType => meta.device?.1.into(),
        Ancillary::Mark => meta.mark,
        Ancillary::Queue => meta.queue.into(),
        Ancillary::RxHash => meta.hash,
        Ancillary::Cpu => env.cpu,
        Ancillary::AluXorX => a ^ x,
        // There are no virtual LANs here.
        Ancillary::VlanTag | Ancillary::VlanTagPresent | Ancillary::VlanTpid => 0,
        Ancillary::PayOffset => meta.payload_offset,
        Ancillary::Random => env.random(),
        Ancillary::NlAttr => find_attribute(packet, a.into(), packet.len() as i64, x),
        Ancillary::NlAttrNest => match attribute(packet, a.into(), packet.len() as i64) {
            Some((len, _)) => find_attribute(packet, i64::from(a) + 4, i64::from(a) + len, x),
            None => 0,
        },
    })
}

/// nla_ok(): the length and type of the netlink attribute at `at`, if it is all before `end`.
fn attribute(packet: &dyn Packet, at: i64, end: i64) -> Option<(i64, u32)> {
    let mut header = [0; 4];
    if end - at < 4 || !packet.load(at, &mut header) {
        return None;
    }
    let len = i64::from(u16::from_ne_bytes([header[0], header[1]]));
    let ty = u16::from_ne_bytes([header[2], header[3]]);
    (len >= 4 && len <= end - at).then_some((len, u32::from(ty) & 0x3fff))
}

/// nla_find(): where the first attribute of a type is; 0 when there is none.
fn find_attribute(packet: &dyn Packet, mut at: i64, end: i64, ty: u32) -> u32 {
    while let Some((len, found)) = attribute(packet, at, end) {
        if found == ty {
            return at as u32;
        }
        at += (len + 3) & !3;
    }
    0
}
