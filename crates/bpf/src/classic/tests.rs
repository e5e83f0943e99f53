use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::packet::{Bytes, Meta};

fn insn(code: u16, jt: u8, jf: u8, k: u32) -> Insn {
    Insn { code, jt, jf, k }
}

fn stmt(code: u16, k: u32) -> Insn {
    insn(code, 0, 0, k)
}

fn run(insns: Vec<Insn>, bytes: &[u8]) -> u32 {
    let program = Program::new(insns).expect("valid");
    program.run(&mut Env::default(), &Bytes::new(bytes))
}

const RET_A: Insn = Insn {
    code: 0x16,
    jt: 0,
    jf: 0,
    k: 0,
};

#[test]
fn loads_are_big_endian_and_bounded() {
    let bytes = [1, 2, 3, 4, 5];
    assert_eq!(run(vec![stmt(0x20, 1), RET_A], &bytes), 0x0203_0405);
    assert_eq!(run(vec![stmt(0x28, 3), RET_A], &bytes), 0x0405);
    assert_eq!(run(vec![stmt(0x30, 4), RET_A], &bytes), 5);
    assert_eq!(run(vec![stmt(0x20, 2), RET_A], &bytes), 0);
    assert_eq!(run(vec![stmt(0x80, 0), RET_A], &bytes), 5);
    // X by the header length of an IP packet: 4 * (byte & 0xf).
    let msh = vec![stmt(0xb1, 4), stmt(0x87, 0), RET_A];
    assert_eq!(run(msh, &bytes), 20);
}

#[test]
fn a_load_that_fails_ends_with_zero_whatever_follows() {
    let program = vec![stmt(0x30, 9), stmt(0x06, 7)];
    assert_eq!(run(program, &[0; 9]), 0);
}

#[test]
fn arithmetic_wraps_and_division_by_zero_is_zero() {
    let with = |code: u16, a: u32, x: u32| {
        run(
            vec![stmt(0x00, a), stmt(0x01, x), stmt(code, 0), RET_A],
            &[0],
        )
    };
    assert_eq!(with(0x0c, u32::MAX, 2), 1);
    assert_eq!(with(0x1c, 1, 2), u32::MAX);
    assert_eq!(with(0x2c, 0x8000_0001, 2), 2);
    assert_eq!(with(0x3c, 9, 2), 4);
    assert_eq!(with(0x3c, 9, 0), 0);
    assert_eq!(with(0x9c, 9, 0), 0);
    assert_eq!(with(0x6c, 1, 33), 2);
    assert_eq!(with(0x84, 1, 0), u32::MAX);
}

#[test]
fn ancillary_loads_tell_of_the_packet() {
    let meta = Meta {
        protocol: 0x0800,
        mark: 7,
        payload_offset: 8,
        ..Meta::default()
    };
    let packet = Bytes {
        meta,
        ..Bytes::new(&[0; 8])
    };
    let load = |off: i32| {
        let insns = vec![stmt(0x00, 0x55), stmt(0x20, (-0x1000 + off) as u32), RET_A];
        Program::new(insns)
            .expect("valid")
            .run(&mut Env::default(), &packet)
    };
    assert_eq!(load(0), 0x0800);
    assert_eq!(load(20), 7);
    assert_eq!(load(52), 8);
    // No device: A is what ends the program.
    assert_eq!(load(8), 0x55);
    assert_eq!(load(40), 0x55);
}

#[test]
fn headers_are_before_the_data() {
    let bytes: Vec<u8> = (0..50).collect();
    let packet = Bytes {
        bytes: &bytes,
        start: 34,
        network: 14,
        link: true,
        meta: Meta::default(),
    };
    let load = |k: i32| {
        let program = Program::new(vec![stmt(0x30, k as u32), RET_A]).expect("valid");
        program.run(&mut Env::default(), &packet)
    };
    assert_eq!(load(0), 34);
    assert_eq!(load(-0x10_0000), 14);
    assert_eq!(load(-0x20_0000 + 1), 1);
    assert_eq!(load(-0x20_0000 - 1), 0);
}

#[test]
fn netlink_attributes_are_found() {
    // One of type 1 that holds one of type 5.
    let mut bytes = Vec::new();
    for (len, ty) in [(4u16, 9u16), (12, 1), (8, 5)] {
        bytes.extend_from_slice(&len.to_ne_bytes());
        bytes.extend_from_slice(&ty.to_ne_bytes());
    }
    bytes.extend_from_slice(&[0; 4]);
    let find = |what: i32, at: u32, ty: u32| {
        let insns = vec![
            stmt(0x01, ty),
            stmt(0x00, at),
            stmt(0x20, (-0x1000 + what) as u32),
            RET_A,
        ];
        run(insns, &bytes)
    };
    assert_eq!(find(12, 0, 1), 4);
    assert_eq!(find(12, 0, 5), 0);
    assert_eq!(find(16, 4, 5), 8);
    assert_eq!(find(16, 4, 1), 0);
    assert_eq!(find(12, 100, 1), 0);
}

#[test]
fn what_is_not_valid_is_refused() {
    let ret = stmt(0x06, 1);
    for (insns, why) in [
        (vec![], Invalid::Length),
        (vec![ret; MAX_LEN + 1], Invalid::Length),
        (vec![stmt(0x0e, 0)], Invalid::Code(0)),
        (vec![stmt(0xff, 0), ret], Invalid::Code(0)),
        (vec![stmt(0x34, 0), ret], Invalid::Operand(0)),
        (vec![stmt(0x64, 32), ret], Invalid::Operand(0)),
        (vec![stmt(0x02, 16), ret], Invalid::Operand(0)),
        (vec![stmt(0x20, 0xffff_f040), ret], Invalid::Operand(0)),
        (vec![stmt(0x05, 1), ret], Invalid::Jump(0)),
        (vec![insn(0x15, 0, 1, 0), ret], Invalid::Jump(0)),
        (vec![stmt(0x05, u32::MAX), ret], Invalid::Jump(0)),
        (vec![ret, stmt(0x00, 0)], Invalid::End),
        (vec![stmt(0x60, 3), ret], Invalid::Uninitialized(0)),
        // Written on one way only.
        (
            vec![insn(0x15, 1, 0, 0), stmt(0x02, 3), stmt(0x60, 3), ret],
            Invalid::Uninitialized(2),
        ),
    ] {
        assert_eq!(Program::new(insns.clone()), Err(why), "{insns:?}");
    }
    assert!(Program::new(vec![ret; MAX_LEN]).is_ok());
    assert!(Program::new(vec![stmt(0x02, 3), stmt(0x60, 3), ret]).is_ok());
}

#[test]
fn every_code_that_linux_has_and_no_other() {
    // linux/filter.h as chk_code_allowed() lists it: 25 of ALU and NEG's one, and so on.
    let valid = (0..=u16::MAX).filter(|&code| {
        let first = Insn {
            code,
            jt: 0,
            jf: 0,
            k: 1,
        };
        let second = stmt(0x06, 0);
        !matches!(
            Program::new(vec![stmt(0x02, 1), first, second]),
            Err(Invalid::Code(_))
        )
    });
    // ALU 10 * 2 + NEG; loads: 3 ABS, LEN, 3 IND, IMM, MEM; LDX: LEN, MSH, IMM, MEM; ST, STX; TAX,
    // TXA; RET K, A; jumps: 1 + 4 * 2.
    assert_eq!(valid.count(), 21 + 9 + 4 + 2 + 2 + 2 + 9);
}

#[test]
fn the_charge_is_linuxs() {
    // Found on Linux 6.18: how many of an instruction fit optmem_max's default, with one return.
    for (insn, fits) in [
        (stmt(0x30, 4), 1258),
        (stmt(0x20, 4), 1168),
        (stmt(0x20, 0), 1258),
        (stmt(0x20, 40_000), 1022),
        (stmt(0x40, 4), 1818),
        (stmt(0x40, 0), 2045),
        (stmt(0xb1, 0), 909),
        (stmt(0x3c, 0), 3273),
    ] {
        let charge = |n: usize| {
            let mut insns = vec![insn; n];
            insns.push(stmt(0x06, 1));
            Program::new(insns).expect("valid").charge()
        };
        assert!(charge(fits) < 131_072, "{insn:?}");
        assert!(charge(fits + 1) >= 131_072, "{insn:?}");
    }
}
