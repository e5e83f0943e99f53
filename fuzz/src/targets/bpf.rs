//! Programs of both kinds, over packets: what the check lets pass runs, ends and does no harm, and what
//! it refuses it refuses with a reason. A program that was verified never meets one of the interpreter's
//! own limits, as far as that can be seen: what it may return is bounded by what it was found to do.

use crate::{Source, note, trace};
use std::sync::Arc;
use switchboard_bpf::ebpf::{
    Errno, Insn, MAX_LEN, Map, MapKind, MapSpec, Program, ProgramKind, SocketRef,
};
use switchboard_bpf::{Bytes, Env, Meta, classic};

pub(crate) fn target(data: &[u8]) {
    let mut s = Source::new(data);
    if s.one_in(3) {
        classic_target(&mut s);
    } else {
        extended_target(&mut s);
    }
}

fn packet_bytes(s: &mut Source<'_>) -> Vec<u8> {
    let n = s.below(80);
    let mut bytes = s.bytes(n).to_vec();
    bytes.resize(n, 7);
    bytes
}

fn packet<'a>(s: &mut Source<'_>, bytes: &'a [u8]) -> Bytes<'a> {
    let start = s.below(bytes.len() + 1);
    Bytes {
        bytes,
        start,
        network: s.below(start + 1),
        link: s.one_in(2),
        meta: Meta {
            protocol: s.u16(),
            device: s.one_in(2).then_some((1, 772)),
            mark: s.u32(),
            hash: s.u32(),
            ..Meta::default()
        },
    }
}

fn env(s: &mut Source<'_>) -> Env {
    Env {
        now: s.u64(),
        seed: s.u64(),
        cpu: 0,
    }
}

fn classic_target(s: &mut Source<'_>) {
    const CODES: &[u16] = &[
        0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x00, 0x60, 0x80, 0x01, 0x61, 0x81, 0xb1, 0x02, 0x03,
        0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x44, 0x4c, 0x54, 0x5c, 0x64, 0x6c, 0x74,
        0x7c, 0x84, 0x94, 0x9c, 0xa4, 0xac, 0x05, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d,
        0x06, 0x16, 0x07, 0x87,
    ];
    let bytes = packet_bytes(s);
    let packet = packet(s, &bytes);
    let mut env = env(s);
    let mut insns = Vec::new();
    while !s.done() && insns.len() < 100 {
        let code = if s.one_in(40) { s.u16() } else { s.pick(CODES) };
        let k = match s.u8() {
            0..100 => u32::from(s.u8()) % 40,
            100..140 => 0xffff_f000_u32.wrapping_add(u32::from(s.u8())),
            140..160 => 0xfff0_0000_u32.wrapping_add(u32::from(s.u8())),
            160..170 => 0xffe0_0000_u32.wrapping_add(u32::from(s.u8())),
            _ => s.int() as u32,
        };
        insns.push(classic::Insn {
            code,
            jt: s.u8() % 6,
            jf: s.u8() % 6,
            k,
        });
    }
    if !s.one_in(20) {
        insns.push(classic::Insn {
            code: s.pick(&[0x06, 0x16]),
            jt: 0,
            jf: 0,
            k: s.u32(),
        });
    }
    trace(|| format!("{insns:?}"));
    let len = insns.len();
    let Ok(program) = classic::Program::new(insns) else {
        return;
    };
    // Linux's translation is longer than the program, but for what it leaves out: nothing.
    assert!(program.charge() >= 96 + 8 * len);
    let first = program.run(&mut env.clone(), &packet);
    assert_eq!(first, program.run(&mut env, &packet), "the same twice");
}

fn maps() -> Vec<Arc<Map>> {
    let spec = MapSpec {
        kind: MapKind::Array,
        key_size: 4,
        value_size: 16,
        max_entries: 3,
        flags: 0,
        cpus: 1,
    };
    let made = [
        spec,
        MapSpec {
            kind: MapKind::Hash,
            key_size: 8,
            ..spec
        },
        MapSpec {
            kind: MapKind::LruHash,
            value_size: 3,
            ..spec
        },
        MapSpec {
            max_entries: 1,
            value_size: 64,
            ..spec
        },
        MapSpec {
            kind: MapKind::ReuseportSockarray,
            value_size: 8,
            ..spec
        },
    ];
    let maps: Vec<_> = made
        .into_iter()
        .map(|spec| Arc::new(Map::new(spec).expect("a map")))
        .collect();
    let socket = SocketRef { id: 5, cookie: 6 };
    maps[4]
        .set_socket(&1u32.to_ne_bytes(), socket, 0)
        .expect("room");
    maps
}

const CODES: &[u8] = &[
    0x07, 0x0f, 0x17, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x47, 0x4f, 0x57, 0x5f, 0x67, 0x6f, 0x77, 0x7f,
    0x87, 0x97, 0x9f, 0xa7, 0xaf, 0xb7, 0xbf, 0xc7, 0xcf, 0xd7, 0x04, 0x0c, 0x14, 0x1c, 0x24, 0x34,
    0x44, 0x54, 0x5c, 0x64, 0x74, 0x84, 0x94, 0xa4, 0xb4, 0xbc, 0xc4, 0xd4, 0xdc, 0x61, 0x69, 0x71,
    0x79, 0x81, 0x89, 0x91, 0x62, 0x6a, 0x72, 0x7a, 0x63, 0x6b, 0x73, 0x7b, 0xc3, 0xdb, 0x20, 0x28,
    0x30, 0x40, 0x50, 0x05, 0x06, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x55, 0x5d, 0x65, 0x6d,
    0x75, 0xa5, 0xad, 0xb5, 0xbd, 0xc5, 0xcd, 0xd5, 0x16, 0x1e, 0x26, 0x2e, 0x56, 0xa6, 0xc6, 0x85,
    0x95,
];

fn one(s: &mut Source<'_>) -> Insn {
    let code = if s.one_in(50) { s.u8() } else { s.pick(CODES) };
    let registers = code & 0x08 != 0 || matches!(code & 7, 1 | 3);
    Insn {
        code,
        dst: s.u8() % 11,
        src: if registers || s.one_in(60) {
            s.u8() % 11
        } else {
            0
        },
        off: match s.u8() {
            0..60 if code & 7 != 5 && code & 7 != 6 => -8 * (i16::from(s.u8()) % 6),
            60..120 => i16::from(s.u8()) % 8,
            120..150 => -(i16::from(s.u8()) % 10),
            150..155 => s.u16() as i16,
            _ => 0,
        },
        imm: match s.u8() {
            0..80 => i32::from(s.u8()) % 16,
            80..120 => -8 * (i32::from(s.u8()) % 6),
            120..140 => s.int(),
            140..160 if code == 0x85 => s.pick(&[1, 2, 3, 5, 7, 8, 26, 42, 46, 47, 68, 82]),
            160..165 => s.pick(&[0x40, 0x50, 0xa0, 0x01, 0xe1, 0xf1]),
            165..170 => s.pick(&[16, 32, 64]),
            _ => 0,
        },
    }
}

/// Pieces that random instructions would hardly come to.
fn piece(s: &mut Source<'_>, out: &mut Vec<Insn>) {
    let i = |code, dst, src, off, imm| Insn {
        code,
        dst,
        src,
        off,
        imm,
    };
    let map = i32::from(s.u8() % 6);
    match s.below(8) {
        // A key on the stack, looked up, and perhaps found not to be null.
        0 => {
            out.extend([
                i(0x7a, 10, 0, -8, s.int() % 4),
                i(0xbf, 2, 10, 0, 0),
                i(0x07, 2, 0, 0, -8),
                i(0x18, 1, 1, 0, map),
                Insn::default(),
                i(0x85, 0, 0, 0, 1),
            ]);
            if !s.one_in(4) {
                out.extend([
                    i(0x55, 0, 0, 2, 0),
                    i(0xb7, 0, 0, 0, 0),
                    i(0x95, 0, 0, 0, 0),
                ]);
            }
        }
        // Packet pointers and a check.
        1 => out.extend([
            i(0x79, 2, 1, 0, 0),
            i(0x79, 3, 1, 8, 0),
            i(0xbf, 4, 2, 0, 0),
            i(0x07, 4, 0, 0, s.int() % 40),
            i(
                s.pick(&[0x2d, 0x3d, 0xad, 0xbd]),
                4,
                3,
                i16::from(s.u8() % 4),
                0,
            ),
        ]),
        // A number that is not known, cut to what is.
        2 => out.extend([
            i(0x61, 7, 6, 0, 0),
            i(
                s.pick(&[0x57, 0x77, 0x97, 0x25, 0xa5]),
                7,
                0,
                1,
                s.int() % 64,
            ),
        ]),
        3 => out.push(i(0xbf, 6, 1, 0, 0)),
        4 => out.extend([i(0x18, s.u8() % 10, 2, 0, 3), i(0, 0, 0, 0, s.int() % 70)]),
        // A loop of some turns.
        5 => {
            let reg = s.u8() % 10;
            out.push(i(0xb7, reg, 0, 0, 0));
            let body = one(s);
            out.extend([
                body,
                i(0x07, reg, 0, 0, 1),
                i(0xa5, reg, 0, -3, s.int() % 300),
            ]);
        }
        6 => out.push(i(0x7b, 10, s.u8() % 10, -8 * i16::from(1 + s.u8() % 4), 0)),
        _ => out.push(i(0x79, s.u8() % 10, 10, -8 * i16::from(1 + s.u8() % 4), 0)),
    }
}

fn extended_target(s: &mut Source<'_>) {
    let kind = s.pick(&[ProgramKind::SocketFilter, ProgramKind::SkReuseport]);
    let bytes = packet_bytes(s);
    let packet = packet(s, &bytes);
    let mut env = env(s);
    let i = |code, dst, src, off, imm| Insn {
        code,
        dst,
        src,
        off,
        imm,
    };
    let mut insns = vec![i(0xbf, 6, 1, 0, 0)];
    if !s.one_in(5) {
        // Most registers hold something.
        insns.extend((0..10).filter(|n| !matches!(n, 1 | 6)).map(|n| {
            let at = i32::from(n);
            i(0xb7, n, 0, 0, at)
        }));
    }
    while !s.done() && insns.len() < 120 {
        if s.one_in(3) {
            piece(s, &mut insns);
        } else {
            insns.push(one(s));
        }
    }
    if s.one_in(2) {
        insns.push(i(0xb7, 0, 0, 0, 1));
    }
    insns.push(i(0x95, 0, 0, 0, 0));
    trace(|| format!("{kind:?} {insns:?}"));
    assert!(insns.len() <= MAX_LEN);
    let maps = maps();
    let mut find = |fd: i32| {
        let at = usize::try_from(fd).map_err(|_| Errno::BAD_DESCRIPTOR)?;
        maps.get(at).cloned().ok_or(Errno::BAD_DESCRIPTOR)
    };
    match Program::load(kind, insns, &mut find) {
        Ok(program) => {
            note(("steps", program.steps().ilog2()));
            for _ in 0..2 {
                let verdict = program.run(&mut env, &packet, &|socket| socket == 5);
                assert!(verdict.selected.is_none_or(|socket| socket == 5));
                assert!(!program.went_wrong(&mut env.clone(), &packet));
            }
        }
        Err(rejected) => {
            assert!(!rejected.log.is_empty(), "no reason");
            let reason = rejected.log.split(": ").nth(1).unwrap_or_default();
            note(reason);
            assert!(matches!(rejected.errno.0, 7 | 9 | 13 | 22), "{rejected:?}");
        }
    }
}
