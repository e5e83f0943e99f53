//! bpf(2): programs and maps. Without a privilege Linux may refuse all of it, as kernel.unprivileged_bpf_disabled says;
//! the layer does not.

use crate::check::{Outcome, check, eq, err, ok, ret, skip};
use crate::ebpf::{
    ARRAY, EXIT, HASH, REUSEPORT_SOCKARRAY, SK_REUSEPORT, SOCKET_FILTER, attr, call, insn, map_fd,
    mov, mov_reg,
};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::registry::tests;
use crate::sys::Fd;
use libc::{AF_INET, SOCK_DGRAM};

tests! {
    array_elements [ROOT],
    hash_elements [ROOT],
    map_create_errors [ROOT],
    attribute_sizes [ROOT],
    next_keys [ROOT],
    programs_that_load [ROOT],
    programs_that_do_not [ROOT],
    load_errors [ROOT],
    log_is_there [ROOT],
    info_of_objects [ROOT],
    descriptors_are_close_on_exec [ROOT],
}

pub(super) fn key(n: u32) -> [u8; 4] {
    n.to_ne_bytes()
}

pub(super) fn needed(k: &mut dyn Kernel) -> Outcome {
    if !k.bpf_is_there() {
        skip!("bpf(2) is refused");
    }
    Ok(())
}

fn array_elements(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let map = ok!(k.map_create(ARRAY, 4, 6, 2));
    let mut value = [9; 6];
    ret!(k.map_lookup(map, &key(1), &mut value), 0);
    eq!(value, [0; 6]);
    ret!(k.map_update(map, &key(1), b"abcdef", 0), 0);
    ret!(k.map_update(map, &key(0), b"ghijkl", 2), 0);
    ret!(k.map_lookup(map, &key(1), &mut value), 0);
    eq!(&value, b"abcdef");
    err!(k.map_lookup(map, &key(2), &mut value), ENOENT);
    err!(k.map_update(map, &key(2), b"abcdef", 0), E2BIG);
    err!(k.map_update(map, &key(0), b"abcdef", 1), EEXIST);
    err!(k.map_update(map, &key(0), b"abcdef", 8), EINVAL);
    err!(k.map_delete(map, &key(0)), EINVAL);
    let mut words = attr(&[map as u32, 0]);
    words.extend(BAD.to_ne_bytes());
    words.extend(BAD.to_ne_bytes());
    words.extend([0; 8]);
    err!(k.bpf(1, &mut words), EFAULT);
    err!(k.bpf(2, &mut words), EFAULT);
    Ok(())
}

fn hash_elements(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let map = ok!(k.map_create(HASH, 3, 2, 2));
    let mut value = [0; 2];
    err!(k.map_lookup(map, b"one", &mut value), ENOENT);
    err!(k.map_update(map, b"one", b"11", 2), ENOENT);
    ret!(k.map_update(map, b"one", b"11", 1), 0);
    err!(k.map_update(map, b"one", b"11", 1), EEXIST);
    err!(k.map_update(map, b"one", b"11", 3), EINVAL);
    ret!(k.map_update(map, b"two", b"22", 0), 0);
    err!(k.map_update(map, b"six", b"66", 0), E2BIG);
    ret!(k.map_update(map, b"one", b"33", 2), 0);
    ret!(k.map_lookup(map, b"one", &mut value), 0);
    eq!(&value, b"33");
    ret!(k.map_delete(map, b"one"), 0);
    err!(k.map_delete(map, b"one"), ENOENT);
    ret!(k.map_update(map, b"six", b"66", 0), 0);
    Ok(())
}

fn map_create_errors(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    for (kind, key, value, max) in [
        (ARRAY, 4, 4, 0),
        (ARRAY, 4, 0, 1),
        (ARRAY, 8, 4, 1),
        (HASH, 0, 4, 1),
        (HASH, 4, 0, 1),
        (HASH, 4, 4, 0),
        (REUSEPORT_SOCKARRAY, 4, 2, 1),
        (REUSEPORT_SOCKARRAY, 8, 4, 1),
        (999, 4, 4, 1),
    ] {
        let got = k.map_create(kind, key, value, max);
        check!(
            got == -i64::from(libc::EINVAL),
            "{kind} {key} {value} {max}: {got}"
        );
    }
    // An unknown flag; a name with a letter that may not be; one that does not end.
    err!(k.bpf(0, &mut attr(&[ARRAY, 4, 4, 1, 1 << 30])), EINVAL);
    let named = |name: &[u8; 16]| {
        let mut bytes = attr(&[ARRAY, 4, 4, 1, 0, 0, 0]);
        bytes.extend(name);
        bytes
    };
    err!(k.bpf(0, &mut named(b"a name\0\0\0\0\0\0\0\0\0\0")), EINVAL);
    err!(k.bpf(0, &mut named(b"0123456789abcdef")), EINVAL);
    ok!(k.bpf(0, &mut named(b"a_name.2\0\0\0\0\0\0\0\0")));
    Ok(())
}

fn attribute_sizes(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    // More than there is may be, if it is zero.
    let mut bytes = attr(&[ARRAY, 4, 4, 1, 0]);
    bytes.resize(1024, 0);
    ok!(k.bpf(0, &mut bytes));
    bytes[1000] = 1;
    err!(k.bpf(0, &mut bytes), E2BIG);
    let mut long = vec![0; 4097];
    err!(k.bpf(0, &mut long), E2BIG);
    // Nothing at all is a map without a kind.
    err!(k.bpf(0, &mut []), EINVAL);
    err!(k.call(libc::SYS_bpf, &[0, BAD, 20]), EFAULT);
    err!(k.bpf(1000, &mut [0; 20]), EINVAL);
    // What follows the fields of a command has to be zero.
    let map = ok!(k.map_create(ARRAY, 4, 4, 1));
    let mut value = [0; 4];
    let first = key(0);
    let at = [first.as_ptr() as u64, value.as_mut_ptr() as u64];
    let mut words = attr(&[map as u32, 0]);
    words.extend(at[0].to_ne_bytes());
    words.extend(at[1].to_ne_bytes());
    words.extend([0; 8]);
    words.extend([0, 1, 0, 0]);
    err!(k.bpf(1, &mut words), EINVAL);
    // Not a map, and not a descriptor.
    let socket = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    err!(k.map_lookup(socket, &key(0), &mut value), EINVAL);
    err!(k.map_lookup(-1, &key(0), &mut value), EBADF);
    let program = k.program(SOCKET_FILTER, &[mov(0, 0), EXIT])?;
    err!(k.map_lookup(program, &key(0), &mut value), EINVAL);
    Ok(())
}

fn next_keys(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let array = ok!(k.map_create(ARRAY, 4, 4, 2));
    let mut next = [9; 4];
    ret!(k.map_next(array, None, &mut next), 0);
    eq!(next, key(0));
    ret!(k.map_next(array, Some(&key(0)), &mut next), 0);
    eq!(next, key(1));
    err!(k.map_next(array, Some(&key(1)), &mut next), ENOENT);
    ret!(k.map_next(array, Some(&key(77)), &mut next), 0);
    eq!(next, key(0));
    let hash = ok!(k.map_create(HASH, 4, 4, 8));
    err!(k.map_next(hash, None, &mut next), ENOENT);
    for n in 0..3 {
        ret!(k.map_update(hash, &key(n), &[1; 4], 0), 0);
    }
    let mut seen = Vec::new();
    let mut from: Option<[u8; 4]> = None;
    while k.map_next(hash, from.as_ref().map(|key| &key[..]), &mut next) == 0 {
        seen.push(u32::from_ne_bytes(next));
        from = Some(next);
    }
    seen.sort_unstable();
    eq!(seen, vec![0, 1, 2]);
    Ok(())
}

fn programs_that_load(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let map = ok!(k.map_create(ARRAY, 4, 8, 4));
    let [a, b] = map_fd(1, map);
    let all: &[&[[u8; 8]]] = &[
        &[mov(0, 1), EXIT],
        // A loop that ends.
        &[
            mov(0, 0),
            insn(0x07, 0, 0, 0, 1),
            insn(0xa5, 0, 0, -2, 50),
            EXIT,
        ],
        // Looked up, and found not to be null.
        &[
            insn(0x62, 10, 0, -4, 1),
            mov_reg(2, 10),
            insn(0x07, 2, 0, 0, -4),
            a,
            b,
            call(1),
            insn(0x15, 0, 0, 1, 0),
            insn(0x79, 0, 0, 0, 0),
            insn(0x57, 0, 0, 0, 0xff),
            EXIT,
        ],
        // The packet, by the loads of classic programs.
        &[mov_reg(6, 1), insn(0x28, 0, 0, 0, 4), EXIT],
        // A register saved on the stack.
        &[
            insn(0x7b, 10, 1, -8, 0),
            insn(0x79, 1, 10, -8, 0),
            insn(0x61, 0, 1, 0, 0),
            EXIT,
        ],
    ];
    for program in all {
        let fd = k.program(SOCKET_FILTER, program)?;
        ret!(k.close(fd), 0);
    }
    // if (data + 8 > data_end) return 0; return data[7];
    k.program(
        SK_REUSEPORT,
        &[
            insn(0x79, 2, 1, 0, 0),
            insn(0x79, 3, 1, 8, 0),
            mov_reg(4, 2),
            insn(0x07, 4, 0, 0, 8),
            mov(0, 0),
            insn(0x2d, 4, 3, 2, 0),
            insn(0x71, 0, 2, 7, 0),
            insn(0x57, 0, 0, 0, 1),
            EXIT,
        ],
    )?;
    Ok(())
}

/// What is refused, and how: EACCES for what may not be reached, EINVAL for what there is not.
fn programs_that_do_not(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let map = ok!(k.map_create(ARRAY, 4, 8, 4));
    let [a, b] = map_fd(1, map);
    let acces = -i64::from(libc::EACCES);
    let inval = -i64::from(libc::EINVAL);
    let all: &[(&[[u8; 8]], i64)] = &[
        // No value to return; a register that was not written.
        (&[EXIT], acces),
        (&[mov_reg(0, 3), EXIT], acces),
        // No end; an instruction that nothing leads to; jumps to nowhere.
        (&[mov(0, 0)], inval),
        (&[mov(0, 0), EXIT, mov(0, 1), EXIT], inval),
        (&[insn(0x05, 0, 0, 9, 0), EXIT], inval),
        (&[mov(0, 0), insn(0x05, 0, 0, -1, 0), EXIT], inval),
        // Registers and operations there are not.
        (&[mov(11, 0), EXIT], inval),
        (&[insn(0xe7, 0, 0, 0, 0), EXIT], inval),
        (&[mov(0, 0), insn(0x37, 0, 0, 0, 0), EXIT], inval),
        (&[mov(0, 0), insn(0x67, 0, 0, 0, 64), EXIT], inval),
        (&[mov(10, 0), mov(0, 0), EXIT], acces),
        // The stack: not written, too deep, above its top.
        (
            &[mov(1, 0), insn(0x7a, 10, 0, -520, 0), mov(0, 0), EXIT],
            acces,
        ),
        (&[insn(0x7a, 10, 0, 0, 0), mov(0, 0), EXIT], acces),
        // Memory by a number, by null, and beyond the value.
        (&[mov(1, 7), insn(0x79, 0, 1, 0, 0), EXIT], acces),
        (
            &[
                insn(0x62, 10, 0, -4, 1),
                mov_reg(2, 10),
                insn(0x07, 2, 0, 0, -4),
                a,
                b,
                call(1),
                insn(0x79, 0, 0, 0, 0),
                EXIT,
            ],
            acces,
        ),
        (
            &[
                insn(0x62, 10, 0, -4, 1),
                mov_reg(2, 10),
                insn(0x07, 2, 0, 0, -4),
                a,
                b,
                call(1),
                insn(0x15, 0, 0, 1, 0),
                insn(0x79, 0, 0, 8, 0),
                mov(0, 0),
                EXIT,
            ],
            acces,
        ),
        // The context: a field there is not, one that may not be written, one for other programs.
        (&[insn(0x61, 0, 1, 4096, 0), EXIT], acces),
        (&[mov(0, 0), insn(0x63, 1, 0, 0, 0), EXIT], acces),
        (&[insn(0x61, 0, 1, 76, 0), mov(0, 0), EXIT], acces),
        // Helpers: none of that number, not for this kind, with wrong arguments.
        (&[call(9999), EXIT], inval),
        (&[call(82), EXIT], inval),
        (&[mov(1, 0), call(1), EXIT], acces),
        // The loads of classic programs look through R6.
        (&[mov(6, 0), insn(0x28, 0, 0, 0, 4), EXIT], inval),
    ];
    for (program, want) in all {
        let (got, log) = k.prog_load(SOCKET_FILTER, program);
        check!(got == *want, "{program:x?}: {got}, want {want}: {log}");
        check!(!log.is_empty(), "{program:x?}: no log");
    }
    let [a, b] = map_fd(1, 9999);
    let (got, log) = k.prog_load(SOCKET_FILTER, &[a, b, mov(0, 0), EXIT]);
    check!(got == -i64::from(libc::EBADF), "{got}: {log}");
    Ok(())
}

fn load_errors(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let (got, _) = k.prog_load(SOCKET_FILTER, &[]);
    eq!(got, -i64::from(libc::E2BIG));
    let (got, _) = k.prog_load(999, &[mov(0, 0), EXIT]);
    eq!(got, -i64::from(libc::EINVAL));
    let program = [mov(0, 0), EXIT].concat();
    let with = |license: u64, insns: u64, tail: &[u32]| {
        let mut bytes = attr(&[SOCKET_FILTER, 2]);
        bytes.extend(insns.to_ne_bytes());
        bytes.extend(license.to_ne_bytes());
        bytes.extend(attr(tail));
        bytes
    };
    let (gpl, at) = (c"GPL".as_ptr() as u64, program.as_ptr() as u64);
    err!(k.bpf(5, &mut with(BAD, at, &[])), EFAULT);
    err!(k.bpf(5, &mut with(gpl, BAD, &[])), EFAULT);
    ok!(k.bpf(5, &mut with(gpl, at, &[])));
    // A log without a buffer, a buffer without a log, an unknown flag.
    err!(k.bpf(5, &mut with(gpl, at, &[1, 10])), EINVAL);
    err!(k.bpf(5, &mut with(gpl, at, &[0, 10, 1, 0])), EINVAL);
    err!(
        k.bpf(5, &mut with(gpl, at, &[0, 0, 0, 0, 0, 1 << 30])),
        EINVAL
    );
    Ok(())
}

fn log_is_there(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let (got, log) = k.prog_load(SOCKET_FILTER, &[mov(0, 0), EXIT]);
    check!(got >= 0 && log.contains("processed"), "{got}: {log}");
    let (got, log) = k.prog_load(SOCKET_FILTER, &[mov_reg(0, 7), EXIT]);
    check!(got < 0 && log.contains("R7 !read_ok"), "{got}: {log}");
    Ok(())
}

fn info_of_objects(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let mut bytes = attr(&[HASH, 4, 8, 16, 0, 0, 0]);
    bytes.extend(b"counts\0\0\0\0\0\0\0\0\0\0");
    let map = ok!(k.bpf(0, &mut bytes));
    let ask = |k: &mut dyn Kernel, fd: Fd, room: u32| {
        let mut info = [0u8; 256];
        let mut bytes = attr(&[fd as u32, room]);
        bytes.extend((info.as_mut_ptr() as u64).to_ne_bytes());
        let got = k.bpf(15, &mut bytes);
        (got, info)
    };
    let (got, info) = ask(k, map, 40);
    eq!(got, 0);
    eq!(info[0..4].to_vec(), HASH.to_ne_bytes().to_vec());
    eq!(info[8..20].to_vec(), attr(&[4, 8, 16]));
    eq!(&info[24..31], b"counts\0");
    let program = k.program(SOCKET_FILTER, &[mov(0, 0), EXIT])?;
    let (got, info) = ask(k, program, 4);
    eq!(
        (got, info[..4].to_vec()),
        (0, SOCKET_FILTER.to_ne_bytes().to_vec())
    );
    let socket = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    eq!(ask(k, socket, 40).0, -i64::from(libc::EINVAL));
    eq!(ask(k, -1, 40).0, -i64::from(libc::EBADFD));
    Ok(())
}

fn descriptors_are_close_on_exec(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let map = ok!(k.map_create(ARRAY, 4, 4, 1));
    let program = k.program(SOCKET_FILTER, &[mov(0, 0), EXIT])?;
    for fd in [map, program] {
        ret!(k.fcntl(fd, libc::F_GETFD, 0), libc::FD_CLOEXEC);
        let copy = ok!(k.dup(fd));
        ret!(k.close(fd), 0);
        // It is no socket, and nothing to read.
        err!(k.listen(copy, 1), ENOTSOCK);
        err!(k.read(copy, &mut [0; 4]), EINVAL);
        if fd == map {
            ret!(k.map_lookup(copy, &key(0), &mut [0; 4]), 0);
        }
        ret!(k.close(copy), 0);
        err!(k.map_lookup(copy, &key(0), &mut [0; 4]), EBADF);
    }
    Ok(())
}
