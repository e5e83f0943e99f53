//! How long a program is for Linux, which does not run it as it is: it translates it to extended
//! BPF (bpf_convert_filter()) and charges the socket for that. `SO_ATTACH_FILTER` fails with ENOMEM
//! when the charge does not fit net.core.optmem_max.

use super::Insn;
use super::code::*;

/// sizeof(struct bpf_prog) of Linux 6.18, found by looking for the longest program that fits.
const HEADER: usize = 96;

/// bpf_prog_size() of the translation.
pub(super) fn charge(insns: &[Insn]) -> usize {
    let loads = insns.iter().any(loads_packet);
    // Clears A and X and keeps the context; then caches where the packet is.
    let prologue = if loads { 7 } else { 3 };
    let body: usize = insns.iter().map(length).sum();
    HEADER + 8 * (prologue + body)
}

fn loads_packet(insn: &Insn) -> bool {
    match class(insn.code) {
        LD => match mode(insn.code) {
            ABS => ancillary(insn.k).is_none(),
            IND => true,
            _ => false,
        },
        LDX => mode(insn.code) == MSH,
        _ => false,
    }
}

fn length(insn: &Insn) -> usize {
    let (code, k) = (insn.code, insn.k);
    match class(code) {
        LD if mode(code) == ABS => match ancillary(k) {
            Some(what) => ancillary_length(what),
            None => absolute(k, width(code) > 1),
        },
        // The call of a helper that may fail, and an offset to add.
        LD if mode(code) == IND => 8 + usize::from(k != 0),
        LDX if mode(code) == MSH => 6 + absolute(k, false),
        // A check for zero, which returns 0.
        ALU if code == (ALU | DIV | X) || code == (ALU | MOD | X) => 5,
        JMP if op(code) != JA => jump(insn),
        RET if code == (RET | K) => 2,
        _ => 1,
    }
}

/// convert_bpf_ld_abs(): a look at the linear part where that is enough, and always a helper.
fn absolute(k: u32, swaps: bool) -> usize {
    let helper = 8;
    if (k as i32) < 0 {
        return helper;
    }
    let far = if k > i16::MAX as u32 { 2 } else { 0 };
    helper + 4 + usize::from(k != 0) + usize::from(swaps) + far
}

fn ancillary_length(what: Ancillary) -> usize {
    match what {
        Ancillary::Protocol | Ancillary::PktType | Ancillary::VlanTpid => 2,
        Ancillary::VlanTagPresent => 3,
        Ancillary::IfIndex
        | Ancillary::HaType
        | Ancillary::NlAttr
        | Ancillary::NlAttrNest
        | Ancillary::PayOffset
        | Ancillary::Cpu
        | Ancillary::Random => 4,
        Ancillary::Mark
        | Ancillary::Queue
        | Ancillary::RxHash
        | Ancillary::AluXorX
        | Ancillary::VlanTag => 1,
    }
}

/// Jumps of extended BPF have one target; some conditions can be turned round.
fn jump(insn: &Insn) -> usize {
    let immediate = insn.code & X == 0 && (insn.k as i32) < 0;
    let turned = insn.jt == 0 && op(insn.code) != JSET;
    1 + usize::from(immediate) + usize::from(insn.jf != 0 && !turned)
}
