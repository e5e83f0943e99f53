//! The numbers of linux/bpf_common.h and linux/filter.h.

pub(super) const LD: u16 = 0x00;
pub(super) const LDX: u16 = 0x01;
pub(super) const ST: u16 = 0x02;
pub(super) const STX: u16 = 0x03;
pub(super) const ALU: u16 = 0x04;
pub(super) const JMP: u16 = 0x05;
pub(super) const RET: u16 = 0x06;
pub(super) const MISC: u16 = 0x07;

pub(super) const W: u16 = 0x00;
pub(super) const H: u16 = 0x08;
pub(super) const B: u16 = 0x10;

pub(super) const IMM: u16 = 0x00;
pub(super) const ABS: u16 = 0x20;
pub(super) const IND: u16 = 0x40;
pub(super) const MEM: u16 = 0x60;
pub(super) const LEN: u16 = 0x80;
pub(super) const MSH: u16 = 0xa0;

pub(super) const ADD: u16 = 0x00;
pub(super) const SUB: u16 = 0x10;
pub(super) const MUL: u16 = 0x20;
pub(super) const DIV: u16 = 0x30;
pub(super) const OR: u16 = 0x40;
pub(super) const AND: u16 = 0x50;
pub(super) const LSH: u16 = 0x60;
pub(super) const RSH: u16 = 0x70;
pub(super) const NEG: u16 = 0x80;
pub(super) const MOD: u16 = 0x90;
pub(super) const XOR: u16 = 0xa0;

pub(super) const JA: u16 = 0x00;
pub(super) const JEQ: u16 = 0x10;
pub(super) const JGT: u16 = 0x20;
pub(super) const JGE: u16 = 0x30;
pub(super) const JSET: u16 = 0x40;

pub(super) const K: u16 = 0x00;
pub(super) const X: u16 = 0x08;
pub(super) const A: u16 = 0x10;

pub(super) const TAX: u16 = 0x00;
pub(super) const TXA: u16 = 0x80;

/// BPF_MEMWORDS
pub(super) const MEMWORDS: u32 = 16;

/// Offsets from here on are ancillary data.
pub(super) const SKF_AD_OFF: u32 = -0x1000_i32 as u32;
/// Offsets from here on count from the network header.
pub(super) const SKF_NET_OFF: i32 = -0x10_0000;
/// Offsets from here on count from the link header.
pub(super) const SKF_LL_OFF: i32 = -0x20_0000;

/// An ancillary load.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ancillary {
    Protocol,
    PktType,
    IfIndex,
    NlAttr,
    NlAttrNest,
    Mark,
    Queue,
    HaType,
    RxHash,
    Cpu,
    AluXorX,
    VlanTag,
    VlanTagPresent,
    PayOffset,
    Random,
    VlanTpid,
}

/// bpf_anc_helper(): what an absolute load at `k` means; `None`: the packet.
pub(super) fn ancillary(k: u32) -> Option<Ancillary> {
    use Ancillary::*;
    Some(match k.wrapping_sub(SKF_AD_OFF) {
        0 => Protocol,
        4 => PktType,
        8 => IfIndex,
        12 => NlAttr,
        16 => NlAttrNest,
        20 => Mark,
        24 => Queue,
        28 => HaType,
        32 => RxHash,
        36 => Cpu,
        40 => AluXorX,
        44 => VlanTag,
        48 => VlanTagPresent,
        52 => PayOffset,
        56 => Random,
        60 => VlanTpid,
        _ => return None,
    })
}

/// The class of an instruction.
pub(super) fn class(code: u16) -> u16 {
    code & 0x07
}

/// The width of a load, in bytes.
pub(super) fn width(code: u16) -> usize {
    match code & 0x18 {
        W => 4,
        H => 2,
        _ => 1,
    }
}

/// The mode of a load.
pub(super) fn mode(code: u16) -> u16 {
    code & 0xe0
}

/// The operation of an ALU or jump instruction.
pub(super) fn op(code: u16) -> u16 {
    code & 0xf0
}
