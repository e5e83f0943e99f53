//! `struct bpf_insn`: one instruction of eight bytes (RFC 9669).

/// An instruction as it is encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Insn {
    /// Class, operation, source or size and mode.
    pub code: u8,
    /// The register that is written or compared.
    pub dst: u8,
    /// The register that is read, or what an immediate means.
    pub src: u8,
    /// A jump's distance, a load's displacement, a variant.
    pub off: i16,
    /// The operand.
    pub imm: i32,
}

impl Insn {
    /// sizeof(struct bpf_insn)
    pub const SIZE: usize = 8;

    /// From its bytes, in this machine's order (little endian, as every eBPF machine here is).
    pub fn from_bytes(b: [u8; 8]) -> Insn {
        Insn {
            code: b[0],
            dst: b[1] & 0xf,
            src: b[1] >> 4,
            off: i16::from_ne_bytes([b[2], b[3]]),
            imm: i32::from_ne_bytes([b[4], b[5], b[6], b[7]]),
        }
    }

    /// Its bytes.
    pub fn to_bytes(self) -> [u8; 8] {
        let (off, imm) = (self.off.to_ne_bytes(), self.imm.to_ne_bytes());
        let registers = self.dst & 0xf | self.src << 4;
        [
            self.code, registers, off[0], off[1], imm[0], imm[1], imm[2], imm[3],
        ]
    }

    pub(crate) fn class(self) -> u8 {
        self.code & 0x07
    }

    /// The operation of an ALU or jump instruction.
    pub(crate) fn op(self) -> u8 {
        self.code & 0xf0
    }

    /// The operand is a register.
    pub(crate) fn by_register(self) -> bool {
        self.code & 0x08 != 0
    }

    /// The mode of a load or store.
    pub(crate) fn mode(self) -> u8 {
        self.code & 0xe0
    }

    /// How many bytes a load or store moves.
    pub(crate) fn size(self) -> usize {
        match self.code & 0x18 {
            0x00 => 4,
            0x08 => 2,
            0x10 => 1,
            _ => 8,
        }
    }

    /// Whether it takes two places: a 64-bit immediate.
    pub(crate) fn is_wide(self) -> bool {
        self.code == LD_IMM64
    }
}

pub(crate) const LD: u8 = 0;
pub(crate) const LDX: u8 = 1;
pub(crate) const ST: u8 = 2;
pub(crate) const STX: u8 = 3;
pub(crate) const ALU: u8 = 4;
pub(crate) const JMP: u8 = 5;
pub(crate) const JMP32: u8 = 6;
pub(crate) const ALU64: u8 = 7;

pub(crate) const LD_IMM64: u8 = 0x18;

pub(crate) const ADD: u8 = 0x00;
pub(crate) const SUB: u8 = 0x10;
pub(crate) const MUL: u8 = 0x20;
pub(crate) const DIV: u8 = 0x30;
pub(crate) const OR: u8 = 0x40;
pub(crate) const AND: u8 = 0x50;
pub(crate) const LSH: u8 = 0x60;
pub(crate) const RSH: u8 = 0x70;
pub(crate) const NEG: u8 = 0x80;
pub(crate) const MOD: u8 = 0x90;
pub(crate) const XOR: u8 = 0xa0;
pub(crate) const MOV: u8 = 0xb0;
pub(crate) const ARSH: u8 = 0xc0;
pub(crate) const END: u8 = 0xd0;

pub(crate) const JA: u8 = 0x00;
pub(crate) const JEQ: u8 = 0x10;
pub(crate) const JGT: u8 = 0x20;
pub(crate) const JGE: u8 = 0x30;
pub(crate) const JSET: u8 = 0x40;
pub(crate) const JNE: u8 = 0x50;
pub(crate) const JSGT: u8 = 0x60;
pub(crate) const JSGE: u8 = 0x70;
pub(crate) const CALL: u8 = 0x80;
pub(crate) const EXIT: u8 = 0x90;
pub(crate) const JLT: u8 = 0xa0;
pub(crate) const JLE: u8 = 0xb0;
pub(crate) const JSLT: u8 = 0xc0;
pub(crate) const JSLE: u8 = 0xd0;

pub(crate) const MODE_ABS: u8 = 0x20;
pub(crate) const MODE_IND: u8 = 0x40;
pub(crate) const MODE_MEM: u8 = 0x60;
pub(crate) const MODE_MEMSX: u8 = 0x80;
pub(crate) const MODE_ATOMIC: u8 = 0xc0;

/// `BPF_FETCH`: an atomic operation gives the old value back.
pub(crate) const FETCH: i32 = 0x01;
pub(crate) const XCHG: i32 = 0xe1;
pub(crate) const CMPXCHG: i32 = 0xf1;

/// `src` of a 64-bit immediate: a map by its descriptor, or a place in its value.
pub(crate) const PSEUDO_MAP_FD: u8 = 1;
pub(crate) const PSEUDO_MAP_VALUE: u8 = 2;

/// The frame pointer.
pub(crate) const FP: usize = 10;
/// `MAX_BPF_STACK`
pub(crate) const STACK: usize = 512;
