use super::program::ProgramKind::{SkReuseport, SocketFilter};
use super::*;
use crate::env::Env;
use crate::packet::{Bytes, Meta};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

fn i(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn {
        code,
        dst,
        src,
        off,
        imm,
    }
}

fn mov(dst: u8, imm: i32) -> Insn {
    i(0xb7, dst, 0, 0, imm)
}

fn mov_reg(dst: u8, src: u8) -> Insn {
    i(0xbf, dst, src, 0, 0)
}

fn call(helper: i32) -> Insn {
    i(0x85, 0, 0, 0, helper)
}

const EXIT: Insn = Insn {
    code: 0x95,
    dst: 0,
    src: 0,
    off: 0,
    imm: 0,
};

/// The first map of the test.
fn map_fd(dst: u8) -> [Insn; 2] {
    [i(0x18, dst, 1, 0, 0), Insn::default()]
}

fn array(value_size: u32, max_entries: u32) -> Arc<Map> {
    Arc::new(map_of(MapKind::Array, 4, value_size, max_entries))
}

fn map_of(kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> Map {
    Map::new(MapSpec {
        kind,
        key_size,
        value_size,
        max_entries,
        flags: 0,
        cpus: 1,
    })
    .expect("a map")
}

fn load(kind: ProgramKind, insns: Vec<Insn>, map: Option<Arc<Map>>) -> Result<Program, Rejected> {
    Program::load(kind, insns, &mut |_| {
        map.clone().ok_or(Errno::BAD_DESCRIPTOR)
    })
}

fn run_on(insns: Vec<Insn>, map: Option<Arc<Map>>, bytes: &[u8]) -> u32 {
    let program = load(SocketFilter, insns, map).unwrap_or_else(|r| panic!("{}", r.log));
    let mut env = Env::default();
    program.run(&mut env, &Bytes::new(bytes), &|_| true).value
}

fn run(insns: Vec<Insn>) -> u32 {
    run_on(insns, None, &[1, 2, 3, 4])
}

#[track_caller]
fn refused(insns: Vec<Insn>, map: Option<Arc<Map>>, errno: Errno, why: &str) {
    let rejected = load(SocketFilter, insns, map).expect_err("refused");
    assert_eq!(rejected.errno, errno, "{}", rejected.log);
    assert!(rejected.log.contains(why), "{}", rejected.log);
}

#[test]
fn arithmetic() {
    let with = |code: u8, a: i32, b: i32| {
        run(vec![mov(0, a), mov(1, b), i(code, 0, 1, 0, 0), EXIT]) as i32
    };
    assert_eq!(with(0x0f, 7, 5), 12);
    assert_eq!(with(0x1f, 5, 7), -2);
    assert_eq!(with(0x2f, -3, 7), -21);
    assert_eq!(with(0x3f, 7, 0), 0);
    assert_eq!(with(0x9f, 7, 0), 7);
    assert_eq!(with(0x3c, 7, 2), 3);
    assert_eq!(with(0xcf, -8, 1), -4);
    assert_eq!(with(0x6c, 1, 33), 2);
    // Signed division, swaps, sign extension.
    assert_eq!(run(vec![mov(0, -7), i(0x37, 0, 0, 1, 2), EXIT]) as i32, -3);
    assert_eq!(
        run(vec![mov(0, 0x1234), i(0xdc, 0, 0, 0, 16), EXIT]),
        0x3412
    );
    assert_eq!(
        run(vec![mov(0, 0x1234), i(0xd4, 0, 0, 0, 16), EXIT]),
        0x1234
    );
    assert_eq!(
        run(vec![mov(0, 0x1234), i(0xd7, 0, 0, 0, 32), EXIT]),
        0x3412_0000
    );
    let extended = vec![mov(1, 0xff), i(0xbf, 0, 1, 8, 0), EXIT];
    assert_eq!(run(extended) as i32, -1);
}

#[test]
fn the_stack_keeps_what_was_written() {
    let program = vec![
        mov(1, 0x1122_3344),
        i(0x7b, 10, 1, -8, 0),
        i(0x71, 0, 10, -7, 0),
        EXIT,
    ];
    assert_eq!(run(program), 0x33);
    let atomic = vec![
        i(0x7a, 10, 0, -8, 40),
        mov(1, 2),
        i(0xdb, 10, 1, -8, 0x01),
        i(0x79, 0, 10, -8, 0),
        i(0x0f, 0, 1, 0, 0),
        EXIT,
    ];
    assert_eq!(run(atomic), 82);
}

#[test]
fn classic_loads_look_into_the_packet() {
    let at = |code: u8, k: i32| {
        vec![
            mov_reg(6, 1),
            mov(2, 1),
            i(code, 0, if code & 0x40 != 0 { 2 } else { 0 }, 0, k),
            EXIT,
        ]
    };
    assert_eq!(run(at(0x28, 1)), 0x0203);
    assert_eq!(run(at(0x48, 1)), 0x0304);
    // Beyond the packet the program is over, with 0.
    assert_eq!(run(at(0x28, 3)), 0);
}

#[test]
fn context_and_helpers() {
    let program = vec![i(0x61, 0, 1, 0, 0), EXIT];
    assert_eq!(run(program), 4);
    let cb = vec![mov(2, 9), i(0x63, 1, 2, 52, 0), i(0x61, 0, 1, 52, 0), EXIT];
    assert_eq!(run(cb), 9);
    let bytes = vec![
        mov(2, 1),
        mov_reg(3, 10),
        i(0x07, 3, 0, 0, -4),
        mov(4, 2),
        call(26),
        i(0x69, 0, 10, -4, 0),
        EXIT,
    ];
    assert_eq!(run(bytes), 0x0302);
    let meta = Meta {
        protocol: 0x0800,
        ..Meta::default()
    };
    let packet = Bytes {
        meta,
        ..Bytes::new(&[0])
    };
    let program = load(SocketFilter, vec![i(0x61, 0, 1, 16, 0), EXIT], None).expect("valid");
    let got = program.run(&mut Env::default(), &packet, &|_| true);
    assert_eq!(got.value, u32::from(0x0800u16.to_be()));
}

fn count_in_map() -> Vec<Insn> {
    let [a, b] = map_fd(1);
    vec![
        i(0x62, 10, 0, -4, 1),
        mov_reg(2, 10),
        i(0x07, 2, 0, 0, -4),
        a,
        b,
        call(1),
        i(0x55, 0, 0, 2, 0),
        mov(0, 0),
        EXIT,
        mov(1, 1),
        i(0xdb, 0, 1, 0, 0),
        i(0x79, 0, 0, 0, 0),
        EXIT,
    ]
}

#[test]
fn a_map_counts() {
    let map = array(8, 4);
    let program = load(SocketFilter, count_in_map(), Some(map.clone())).expect("valid");
    for n in 1..=3 {
        let got = program.run(&mut Env::default(), &Bytes::new(&[]), &|_| true);
        assert_eq!(got.value, n);
    }
    let value = map.lookup(&1u32.to_ne_bytes()).expect("there");
    assert_eq!(value, 3u64.to_ne_bytes());
    // Of a hash it is not there until somebody puts it there.
    let hash = Arc::new(map_of(MapKind::Hash, 4, 8, 4));
    assert_eq!(run_on(count_in_map(), Some(hash.clone()), &[]), 0);
    hash.update(&1u32.to_ne_bytes(), &[7, 0, 0, 0, 0, 0, 0, 0], 0)
        .expect("room");
    assert_eq!(run_on(count_in_map(), Some(hash), &[]), 8);
}

#[test]
fn what_is_not_safe_is_refused() {
    use Errno as E;
    refused(vec![EXIT], None, E::ACCESS, "R0 !read_ok");
    refused(vec![mov(0, 0)], None, E::INVAL, "jump out of range");
    refused(vec![], None, E::TOO_BIG, "");
    refused(vec![mov(0, 0), EXIT, EXIT], None, E::INVAL, "unreachable");
    refused(vec![mov(11, 0), EXIT], None, E::INVAL, "register");
    refused(vec![mov(10, 0), EXIT], None, E::ACCESS, "read only");
    refused(vec![i(0x05, 0, 0, -1, 0)], None, E::INVAL, "infinite loop");
    refused(vec![i(0x05, 0, 0, 5, 0), EXIT], None, E::INVAL, "jump");
    refused(vec![mov_reg(0, 1), EXIT], None, E::ACCESS, "leaks");
    refused(
        vec![i(0x79, 0, 10, -8, 0), EXIT],
        None,
        E::ACCESS,
        "invalid read from stack",
    );
    refused(
        vec![i(0x7a, 10, 0, -520, 0), mov(0, 0), EXIT],
        None,
        E::ACCESS,
        "invalid stack",
    );
    refused(
        vec![i(0x7a, 10, 0, -7, 0), mov(0, 0), EXIT],
        None,
        E::ACCESS,
        "",
    );
    refused(
        vec![mov(0, 7), i(0x79, 0, 0, 0, 0), EXIT],
        None,
        E::ACCESS,
        "scalar",
    );
    // data is not for socket filters, nor is writing to most fields.
    refused(
        vec![i(0x61, 0, 1, 76, 0), EXIT],
        None,
        E::ACCESS,
        "bpf_context",
    );
    refused(
        vec![mov(0, 0), i(0x63, 1, 0, 8, 0), EXIT],
        None,
        E::ACCESS,
        "bpf_context",
    );
    refused(vec![call(9999), EXIT], None, E::INVAL, "invalid func");
    refused(vec![call(82), EXIT], None, E::INVAL, "program of this type");
    refused(
        vec![i(0x37, 0, 0, 0, 0), EXIT],
        None,
        E::INVAL,
        "div by zero",
    );
    refused(
        vec![i(0x20, 0, 0, 0, 0), EXIT],
        None,
        E::ACCESS,
        "R6 !read_ok",
    );
    let [a, b] = map_fd(1);
    refused(vec![a, b, mov(0, 0), EXIT], None, E::BAD_DESCRIPTOR, "fd 0");
    // No null check.
    let mut unchecked = count_in_map();
    unchecked[6] = mov(3, 0);
    unchecked[7] = mov(3, 0);
    unchecked[8] = mov(3, 0);
    refused(unchecked, Some(array(8, 1)), E::ACCESS, "are not allowed");
    // The value is too short for eight bytes.
    refused(
        count_in_map(),
        Some(array(4, 1)),
        E::ACCESS,
        "invalid access to map value",
    );
    // The key was not written.
    let mut unwritten = count_in_map();
    unwritten[0] = mov(3, 0);
    refused(
        unwritten,
        Some(array(8, 1)),
        E::ACCESS,
        "invalid indirect read",
    );
}

/// An index from the packet into an array of words.
fn indexed(limit: Option<i32>) -> Vec<Insn> {
    let [a, b] = map_fd(1);
    let mut program = vec![
        mov_reg(6, 1),
        i(0x30, 0, 0, 0, 0),
        mov_reg(7, 0),
        i(0x62, 10, 0, -4, 0),
        mov_reg(2, 10),
        i(0x07, 2, 0, 0, -4),
        a,
        b,
        call(1),
        i(0x55, 0, 0, 2, 0),
        mov(0, 0),
        EXIT,
    ];
    if let Some(limit) = limit {
        program.extend([i(0x25, 7, 0, 3, limit), i(0x0f, 0, 7, 0, 0)]);
        program.extend([i(0x71, 0, 0, 0, 0), EXIT, mov(0, 99), EXIT]);
    } else {
        program.extend([i(0x0f, 0, 7, 0, 0), i(0x71, 0, 0, 0, 0), EXIT]);
    }
    program
}

#[test]
fn an_index_needs_a_bound() {
    let map = array(16, 1);
    map.update(&[0; 4], &(0..16).collect::<Vec<u8>>(), 0)
        .expect("there");
    assert_eq!(run_on(indexed(Some(15)), Some(map.clone()), &[5]), 5);
    assert_eq!(run_on(indexed(Some(15)), Some(map.clone()), &[16]), 99);
    refused(
        indexed(Some(16)),
        Some(map.clone()),
        Errno::ACCESS,
        "invalid access to map value",
    );
    refused(indexed(None), Some(map), Errno::ACCESS, "unbounded");
}

/// Adds up what a loop of so many turns counts.
fn summing(turns: i32) -> Vec<Insn> {
    vec![
        mov(0, 0),
        mov(1, 0),
        i(0x0f, 0, 1, 0, 0),
        i(0x07, 1, 0, 0, 1),
        i(0xa5, 1, 0, -3, turns),
        EXIT,
    ]
}

#[test]
fn loops_end_or_are_refused() {
    assert_eq!(run(summing(10)), 45);
    assert_eq!(run(summing(1000)), 499_500);
    refused(
        summing(1_000_000),
        None,
        Errno::TOO_BIG,
        "BPF program is too large",
    );
    // It goes nowhere.
    let still = vec![mov(0, 0), i(0x57, 0, 0, 0, 1), i(0x15, 0, 0, -2, 0), EXIT];
    refused(still, None, Errno::INVAL, "infinite loop");
}

#[test]
fn branches_that_meet_are_not_walked_twice() {
    // Sixteen conditions on numbers that are not known: 65536 ways, if each were walked.
    let mut program = vec![mov_reg(6, 1)];
    for _ in 0..16 {
        program.extend([i(0x61, 0, 6, 0, 0), i(0x15, 0, 0, 1, 7), mov(0, 1)]);
    }
    program.extend([mov(0, 1), EXIT]);
    let program = load(SocketFilter, program, None).expect("valid");
    assert!(program.steps() < 1000, "{}", program.steps());
}

/// Returns the byte at 2 from the packet, found to be there or not.
fn direct(checked: i32, op: u8) -> Vec<Insn> {
    vec![
        i(0x79, 2, 1, 0, 0),
        i(0x79, 3, 1, 8, 0),
        mov_reg(4, 2),
        i(0x07, 4, 0, 0, checked),
        i(op, 4, 3, 2, 0),
        i(0x71, 0, 2, 2, 0),
        EXIT,
        mov(0, 77),
        EXIT,
    ]
}

#[test]
fn packets_are_read_within_what_was_checked() {
    let go = |program: Vec<Insn>, bytes: &[u8]| -> Result<u32, String> {
        let program = load(SkReuseport, program, None).map_err(|r| r.log)?;
        let got = program.run(&mut Env::default(), &Bytes::new(bytes), &|_| true);
        Ok(got.value)
    };
    // if (data + 3 > data_end) return 77;
    assert_eq!(go(direct(3, 0x2d), &[1, 2, 3]), Ok(3));
    assert_eq!(go(direct(3, 0x2d), &[1, 2]), Ok(77));
    assert!(go(direct(2, 0x2d), &[1, 2, 3]).is_err());
    // if (data + 2 >= data_end) return 77;
    assert_eq!(go(direct(2, 0x3d), &[1, 2, 3]), Ok(3));
    assert_eq!(go(direct(2, 0x3d), &[1, 2]), Ok(77));
    // The wrong way round tells nothing.
    assert!(go(direct(3, 0xad), &[1, 2, 3]).is_err());
}

#[test]
fn a_socket_is_selected() {
    let map = Arc::new(map_of(MapKind::ReuseportSockarray, 4, 8, 2));
    let socket = SocketRef { id: 42, cookie: 7 };
    map.set_socket(&1u32.to_ne_bytes(), socket, 0)
        .expect("room");
    assert_eq!(
        map.lookup(&1u32.to_ne_bytes()),
        Ok(7u64.to_ne_bytes().to_vec())
    );
    let [a, b] = map_fd(2);
    let program = |key: i32| {
        vec![
            i(0x62, 10, 0, -4, key),
            a,
            b,
            mov_reg(3, 10),
            i(0x07, 3, 0, 0, -4),
            mov(4, 0),
            call(82),
            mov(0, 1),
            EXIT,
        ]
    };
    let go = |key: i32, may: bool| {
        let program = load(SkReuseport, program(key), Some(map.clone())).expect("valid");
        let got = program.run(&mut Env::default(), &Bytes::new(&[]), &|_| may);
        (got.value, got.selected)
    };
    assert_eq!(go(1, true), (1, Some(42)));
    assert_eq!(go(1, false), (1, None));
    assert_eq!(go(0, true), (1, None));
    // Such a map is for nothing else.
    refused(
        count_in_map(),
        Some(map.clone()),
        Errno::INVAL,
        "cannot pass this map type",
    );
    map.forget_socket(42);
    assert_eq!(go(1, true), (1, None));
}

#[test]
fn maps_keep_to_their_rules() {
    let spec = MapSpec {
        kind: MapKind::Hash,
        key_size: 4,
        value_size: 4,
        max_entries: 2,
        flags: 0,
        cpus: 1,
    };
    let hash = Map::new(spec).expect("a map");
    let (a, b, c) = ([1; 4], [2; 4], [3; 4]);
    assert_eq!(hash.lookup(&a), Err(Errno::NO_ENTRY));
    assert_eq!(hash.update(&a, &[1; 4], 2), Err(Errno::NO_ENTRY));
    assert_eq!(hash.update(&a, &[1; 4], 1), Ok(()));
    assert_eq!(hash.update(&a, &[1; 4], 1), Err(Errno::EXISTS));
    assert_eq!(hash.update(&b, &[2; 4], 0), Ok(()));
    assert_eq!(hash.update(&c, &[3; 4], 0), Err(Errno::TOO_BIG));
    assert_eq!(hash.update(&a, &[1; 4], 3), Err(Errno::INVAL));
    assert_eq!(hash.next_key(None), Ok(a.to_vec()));
    assert_eq!(hash.next_key(Some(&a)), Ok(b.to_vec()));
    assert_eq!(hash.next_key(Some(&b)), Err(Errno::NO_ENTRY));
    assert_eq!(hash.delete(&a), Ok(()));
    assert_eq!(hash.delete(&a), Err(Errno::NO_ENTRY));
    assert_eq!(hash.update(&c, &[3; 4], 0), Ok(()));
    assert_eq!(hash.lookup(&c), Ok(vec![3; 4]));

    let lru = Map::new(MapSpec {
        kind: MapKind::LruHash,
        ..spec
    })
    .expect("a map");
    for key in [a, b] {
        lru.update(&key, &key, 0).expect("room");
    }
    lru.lookup(&a).expect("there");
    lru.update(&c, &c, 0).expect("the oldest goes");
    assert_eq!(lru.lookup(&b), Err(Errno::NO_ENTRY));
    assert!(lru.lookup(&a).is_ok());

    let percpu = Map::new(MapSpec {
        kind: MapKind::PercpuArray,
        cpus: 2,
        ..spec
    })
    .expect("a map");
    assert_eq!(percpu.user_value_size(), 16);
    assert_eq!(percpu.lookup(&[0; 4]).map(|v| v.len()), Ok(16));

    let array = array(4, 2);
    assert_eq!(
        array.update(&2u32.to_ne_bytes(), &[0; 4], 0),
        Err(Errno::TOO_BIG)
    );
    assert_eq!(array.update(&[0; 4], &[0; 4], 1), Err(Errno::EXISTS));
    assert_eq!(array.delete(&[0; 4]), Err(Errno::INVAL));
    assert_eq!(array.next_key(None), Ok(vec![0; 4]));
    assert_eq!(array.next_key(Some(&[9; 4])), Ok(vec![0; 4]));
    assert_eq!(
        array.next_key(Some(&1u32.to_ne_bytes())),
        Err(Errno::NO_ENTRY)
    );

    for bad in [
        MapSpec {
            max_entries: 0,
            ..spec
        },
        MapSpec {
            key_size: 0,
            ..spec
        },
        MapSpec {
            value_size: 0,
            ..spec
        },
        MapSpec {
            flags: 0x8000,
            ..spec
        },
        MapSpec {
            kind: MapKind::Array,
            key_size: 8,
            ..spec
        },
    ] {
        assert_eq!(Map::new(bad).err(), Some(Errno::INVAL), "{bad:?}");
    }
    let large = MapSpec {
        max_entries: u32::MAX,
        ..spec
    };
    assert_eq!(Map::new(large).err(), Some(Errno::NO_MEMORY));
}
