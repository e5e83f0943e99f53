//! SO_ATTACH_FILTER and kin: the options themselves, and what a filter does on each type of socket.

use crate::cbpf::{Insn, RET_A, fprog, insn, ld, ld_imm, ldb, ret_k, stmt};
use crate::check::{Outcome, check, eq, err, ok, ret};
use crate::compat::Low;
use crate::kernel::{Kernel, SocketCall as C};
use crate::mem::BAD;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{AF_INET, AF_INET6, AF_UNIX, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET};
use std::time::Duration;

tests! {
    attach_lengths_and_pointers,
    attach_invalid_programs,
    attach_on_every_type [ROOT],
    attach_in_ilp32 [INT80],
    longest_program_that_fits,
    detach,
    get_filter_counts_instructions,
    lock_filter,
    bpf_extensions,
    udp_drops_and_truncates,
    udp_sees_the_transport_header,
    udp_headers_by_negative_offsets,
    ancillary_loads_udp,
    ancillary_loads_unix,
    ancillary_mark [ROOT],
    division_by_zero_drops,
    indirect_loads,
    netlink_attributes,
    unix_messages_are_filtered,
    unix_stream_is_not,
    tcp_listener_filters_the_syn [ROOT],
    tcp_child_inherits [ROOT],
    tcp_truncated_data_comes_again [ROOT],
    multicast_and_connected_alike,
}

/// `SKF_AD_OFF`
const AD: u32 = libc::SKF_AD_OFF as u32;
/// `SKF_NET_OFF`
const NET: u32 = libc::SKF_NET_OFF as u32;
/// `SKF_LL_OFF`
const LL: u32 = libc::SKF_LL_OFF as u32;

const ATTACH: i32 = libc::SO_ATTACH_FILTER;

fn attach_lengths_and_pointers(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    let program = [ret_k(1)];
    let good = fprog(&program);
    for len in [0, 3, 4, 8, 15, 17] {
        let mut value = good.clone();
        value.resize(len, 0);
        err!(k.setsockopt(fd, SOL_SOCKET, ATTACH, &value), EINVAL);
    }
    err!(k.setsockopt_raw(fd, SOL_SOCKET, ATTACH, BAD, 16), EFAULT);
    err!(k.setsockopt_raw(fd, SOL_SOCKET, ATTACH, BAD, 17), EFAULT);
    err!(k.setsockopt_raw(fd, SOL_SOCKET, ATTACH, BAD, 3), EINVAL);
    let with = |len: u16, at: u64| {
        let mut value = len.to_ne_bytes().to_vec();
        value.resize(8, 0x55);
        value.extend(at.to_ne_bytes());
        value
    };
    err!(k.setsockopt(fd, SOL_SOCKET, ATTACH, &with(1, 0)), EINVAL);
    err!(k.setsockopt(fd, SOL_SOCKET, ATTACH, &with(1, BAD)), EFAULT);
    err!(k.setsockopt(fd, SOL_SOCKET, ATTACH, &with(0, BAD)), EINVAL);
    err!(
        k.setsockopt(fd, SOL_SOCKET, ATTACH, &with(4097, BAD)),
        EINVAL
    );
    let at = program.as_ptr() as u64;
    ret!(k.setsockopt(fd, SOL_SOCKET, ATTACH, &with(1, at)), 0);
    // What fails leaves the one that is there.
    err!(k.attach(fd, &[ld_imm(0)]), EINVAL);
    eq!(k.get_filter(fd, 0).1, 1);
    Ok(())
}

fn attach_invalid_programs(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    let last = ret_k(1);
    let all: &[&[Insn]] = &[
        &[],
        &[ld_imm(0)],
        // There is no ret x.
        &[insn(0x0e, 0, 0, 0)],
        &[insn(0xff, 0, 0, 0), last],
        &[insn(0x100, 0, 0, 0), last],
        // Divided by zero, shifted by 32.
        &[insn(0x34, 0, 0, 0), last],
        &[insn(0x94, 0, 0, 0), last],
        &[insn(0x64, 0, 0, 32), last],
        &[insn(0x74, 0, 0, 32), last],
        // Memory that is not there, or was not written on every way.
        &[insn(0x02, 0, 0, 16), last],
        &[insn(0x60, 0, 0, 0), last],
        &[
            insn(0x15, 0, 1, 0),
            insn(0x02, 0, 0, 3),
            insn(0x60, 0, 0, 3),
            last,
        ],
        // Jumps past the end.
        &[insn(0x05, 0, 0, 1), last],
        &[insn(0x05, 0, 0, u32::MAX), last],
        &[insn(0x15, 1, 0, 0), last],
        &[insn(0x1d, 0, 1, 0), last],
        // Ancillary data that there is not.
        &[ld(AD + 1), last],
        &[ld(AD + 64), last],
        &[ldb(0xffff_ffff), last],
    ];
    for program in all {
        let got = k.attach(fd, program);
        check!(got == -i64::from(libc::EINVAL), "{program:?}: {got}");
    }
    err!(k.attach(fd, &vec![last; 4097]), EINVAL);
    for program in [
        &[insn(0x02, 0, 0, 15), insn(0x61, 0, 0, 15), last][..],
        &[insn(0x15, 0, 0, 0), last],
        &[ld(AD + 60), ld(NET - 1), ld(LL - 1), last],
        &[insn(0x48, 0, 0, AD + 1), last],
        &vec![last; 4096],
    ] {
        ret!(k.attach(fd, program), 0);
    }
    Ok(())
}

fn attach_on_every_type(k: &mut dyn Kernel) -> Outcome {
    for (family, kind) in [
        (AF_INET, SOCK_STREAM),
        (AF_INET6, SOCK_STREAM),
        (AF_INET, SOCK_DGRAM),
        (AF_INET6, SOCK_DGRAM),
        (AF_UNIX, SOCK_STREAM),
        (AF_UNIX, SOCK_DGRAM),
        (AF_UNIX, SOCK_SEQPACKET),
    ] {
        let fd = ok!(k.socket(family, kind, 0));
        ret!(k.attach(fd, &[ret_k(7)]), 0);
        eq!(k.get_filter(fd, 0).1, 1);
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_DETACH_FILTER, 0), 0);
        eq!(k.get_filter(fd, 0).1, 0);
    }
    Ok(())
}

fn attach_in_ilp32(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0)) as u32;
    let program = low.words(&[0x06, 9]);
    let fprog = low.words(&[1, program]);
    let (level, name) = (SOL_SOCKET as u32, ATTACH as u32);
    for (len, want) in [(16, -i64::from(libc::EINVAL)), (8, 0)] {
        let args = [fd, level, name, fprog, len];
        ret!(k.socketcall32(&mut low, C::Setsockopt, &args)?, want);
    }
    let (out, room) = (low.words(&[0; 4]), low.words(&[2]));
    let args = [fd, level, name, out, room];
    ret!(k.socketcall32(&mut low, C::Getsockopt, &args)?, 0);
    eq!(
        (low.word(room), low.word(out), low.word(out + 4)),
        (1, 6, 9)
    );
    Ok(())
}

/// net.core.optmem_max bounds what a filter takes, which is the length of what Linux makes of it.
fn longest_program_that_fits(k: &mut dyn Kernel) -> Outcome {
    let room = k.tunable("net/core/optmem_max");
    if room.as_deref().map(str::trim) != Some("131072") {
        crate::check::skip!("net.core.optmem_max is {room:?}");
    }
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    for (insn, fits) in [
        (ld(4), 1168),
        (ld(0), 1258),
        (ldb(4), 1258),
        (ld(40_000), 1022),
        (stmt(0x40, 4), 1818),
        (stmt(0xb1, 0), 909),
        (stmt(0x3c, 0), 3273),
        (ld(AD + 8), 4091),
    ] {
        let of = |n: usize| {
            let mut program = vec![insn; n];
            program.push(ret_k(1));
            program
        };
        ret!(k.attach(fd, &of(fits)), 0);
        // The new one is charged before the old one is let go.
        err!(k.attach(fd, &of(fits)), ENOMEM);
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_DETACH_FILTER, 0), 0);
        err!(k.attach(fd, &of(fits + 1)), ENOMEM);
    }
    Ok(())
}

fn detach(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    const DETACH: i32 = libc::SO_DETACH_FILTER;
    // One number: SO_DETACH_BPF.
    eq!(DETACH, libc::SO_DETACH_BPF);
    err!(k.set_int(b, SOL_SOCKET, DETACH, 0), ENOENT);
    err!(k.setsockopt(b, SOL_SOCKET, DETACH, &[0; 3]), EINVAL);
    ret!(k.attach(b, &[ret_k(0)]), 0);
    ret!(k.send(a, b"x", 0), 1);
    let mut buf = [0; 8];
    err!(k.recv(b, &mut buf, 0), EAGAIN);
    ret!(k.set_int(b, SOL_SOCKET, DETACH, 7), 0);
    err!(k.set_int(b, SOL_SOCKET, DETACH, 0), ENOENT);
    ret!(k.send(a, b"y", 0), 1);
    ret!(k.recv(b, &mut buf, 0), 1);
    let (got, _) = k.getsockopt(b, SOL_SOCKET, DETACH, 4);
    eq!(got, -i64::from(libc::ENOPROTOOPT));
    Ok(())
}

fn get_filter_counts_instructions(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    eq!(k.get_filter(fd, 0), (0, 0, vec![]));
    eq!(k.get_filter(fd, 2), (0, 0, vec![0xaa; 16]));
    let program = [ldb(3), insn(0x15, 0, 1, 7), ret_k(5), ret_k(0)];
    ret!(k.attach(fd, &program), 0);
    eq!(k.get_filter(fd, 0), (0, 4, vec![]));
    let einval = -i64::from(libc::EINVAL);
    eq!(k.get_filter(fd, 3), (einval, 3, vec![0xaa; 24]));
    let (got, count, bytes) = k.get_filter(fd, 5);
    eq!((got, count), (0, 4));
    let want: Vec<u8> = program
        .iter()
        .flat_map(|i| {
            let mut bytes = i.code.to_ne_bytes().to_vec();
            bytes.extend([i.jt, i.jf]);
            bytes.extend(i.k.to_ne_bytes());
            bytes
        })
        .collect();
    eq!(bytes[..32].to_vec(), want);
    eq!(bytes[32..].to_vec(), vec![0xaa; 8]);
    let mut len = 4u32;
    let len_at = &raw mut len as u64;
    err!(
        k.getsockopt_raw(fd, SOL_SOCKET, libc::SO_GET_FILTER, BAD, len_at),
        EFAULT
    );
    Ok(())
}

fn lock_filter(k: &mut dyn Kernel) -> Outcome {
    const LOCK: i32 = libc::SO_LOCK_FILTER;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    eq!(k.get_int(fd, SOL_SOCKET, LOCK)?, 0);
    ret!(k.set_int(fd, SOL_SOCKET, LOCK, 0), 0);
    ret!(k.attach(fd, &[ret_k(1)]), 0);
    ret!(k.set_int(fd, SOL_SOCKET, LOCK, 5), 0);
    eq!(k.get_int(fd, SOL_SOCKET, LOCK)?, 1);
    ret!(k.set_int(fd, SOL_SOCKET, LOCK, 1), 0);
    err!(k.set_int(fd, SOL_SOCKET, LOCK, 0), EPERM);
    err!(k.attach(fd, &[ret_k(2)]), EPERM);
    // It is asked before the program is looked at, but after its place is.
    err!(k.attach(fd, &[]), EPERM);
    err!(k.setsockopt(fd, SOL_SOCKET, ATTACH, &[0; 8]), EINVAL);
    err!(
        k.attach_as(fd, libc::SO_ATTACH_REUSEPORT_CBPF, &[ret_k(2)]),
        EPERM
    );
    err!(k.set_int(fd, SOL_SOCKET, libc::SO_DETACH_FILTER, 0), EPERM);
    eq!(k.get_filter(fd, 0).1, 1);
    // Without a filter: none can come.
    let other = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
    ret!(k.set_int(other, SOL_SOCKET, LOCK, 1), 0);
    err!(k.attach(other, &[ret_k(1)]), EPERM);
    err!(
        k.set_int(other, SOL_SOCKET, libc::SO_DETACH_FILTER, 0),
        EPERM
    );
    Ok(())
}

fn bpf_extensions(k: &mut dyn Kernel) -> Outcome {
    for (family, kind) in [(AF_INET, SOCK_DGRAM), (AF_UNIX, SOCK_STREAM)] {
        let fd = ok!(k.socket(family, kind, 0));
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_BPF_EXTENSIONS)?, 64);
        err!(
            k.set_int(fd, SOL_SOCKET, libc::SO_BPF_EXTENSIONS, 1),
            ENOPROTOOPT
        );
    }
    Ok(())
}

fn udp_drops_and_truncates(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = k.udp_pair(family)?;
        let mut buf = [0; 16];
        for (verdict, want) in [
            (0, None),
            // The header stays whatever the filter says.
            (1, Some(0)),
            (8, Some(0)),
            (9, Some(1)),
            (13, Some(5)),
            (18, Some(10)),
            (19, Some(10)),
            (u32::MAX, Some(10)),
        ] {
            ret!(k.attach(b, &[ret_k(verdict)]), 0);
            ret!(k.send(a, b"0123456789", 0), 10);
            match want {
                None => err!(k.recv(b, &mut buf, libc::MSG_TRUNC), EAGAIN),
                Some(n) => {
                    eq!(k.fionread(b)?, n as i32);
                    ret!(k.recv(b, &mut buf, libc::MSG_TRUNC), n);
                    eq!(&buf[..n], &b"0123456789"[..n]);
                }
            }
        }
        // By content: the first byte after the header.
        let only_a = [ldb(8), insn(0x15, 0, 1, b'a'.into()), ret_k(100), ret_k(0)];
        ret!(k.attach(b, &only_a), 0);
        for text in [&b"no"[..], b"aye", b"", b"b"] {
            ret!(k.send(a, text, 0), text.len());
        }
        ret!(k.recv(b, &mut buf, 0), 3);
        err!(k.recv(b, &mut buf, 0), EAGAIN);
    }
    Ok(())
}

fn udp_sees_the_transport_header(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = k.udp_pair(family)?;
        let ports = u32::from(k.sockname(a)?.port()) << 16 | u32::from(k.sockname(b)?.port());
        eq!(k.see(a, b, 8, &[ld(0)])?, Some(ports));
        eq!(k.see(a, b, 8, &[stmt(0x28, 4)])?, Some(520));
        eq!(k.see(a, b, 8, &[ld(8)])?, Some(0x0001_0203));
        eq!(k.see(a, b, 8, &[ld(516)])?, Some(0xfcfd_feff));
        eq!(k.see(a, b, 8, &[ld(517)])?, None);
        eq!(k.see(a, b, 8, &[stmt(0x80, 0)])?, Some(520));
        eq!(k.see(a, b, 8, &[stmt(0x81, 0), stmt(0x87, 0)])?, Some(520));
        // The checksum is left to the interface, so it is that of the pseudo header.
        if family == AF_INET {
            eq!(k.see(a, b, 8, &[stmt(0x28, 6)])?, Some(0x001c));
        }
        // X by an IP header's length, of whatever byte it is.
        eq!(k.see(a, b, 8, &[stmt(0xb1, 13), stmt(0x87, 0)])?, Some(20));
    }
    Ok(())
}

fn udp_headers_by_negative_offsets(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    eq!(k.see(a, b, 8, &[ld(NET)])?, Some(0x4500_021c));
    eq!(k.see(a, b, 8, &[stmt(0x28, NET + 8)])?, Some(0x4011));
    eq!(k.see(a, b, 8, &[ld(NET + 12)])?, Some(0x7f00_0001));
    eq!(k.see(a, b, 8, &[ld(NET + 28)])?, Some(0x0001_0203));
    eq!(k.see(a, b, 8, &[stmt(0xb1, NET), stmt(0x87, 0)])?, Some(20));
    eq!(k.see(a, b, 8, &[ld(LL)])?, Some(0));
    eq!(k.see(a, b, 8, &[stmt(0x28, LL + 12)])?, Some(0x0800));
    eq!(k.see(a, b, 8, &[stmt(0x28, LL + 14)])?, Some(0x4500));
    eq!(k.see(a, b, 8, &[ld(LL - 4)])?, None);
    let (a, b) = k.udp_pair(AF_INET6)?;
    eq!(k.see(a, b, 8, &[ldb(NET)])?, Some(0x60));
    eq!(k.see(a, b, 8, &[ld(NET + 4)])?, Some(0x0208_1140));
    eq!(k.see(a, b, 8, &[ld(NET + 20)])?, Some(1));
    eq!(k.see(a, b, 8, &[stmt(0x28, LL + 12)])?, Some(0x86dd));
    Ok(())
}

/// Ancillary loads whose values are the same on every machine: (offset, UDP over IPv4, AF_UNIX).
const ANCILLARY: [(u32, u32, u32); 12] = [
    (0, 0x0800, 0),
    (4, 0, 0),
    (8, 1, 0x55),
    (12, 0, 0),
    (16, 0, 0),
    (20, 0, 0),
    (24, 0, 0),
    (28, 772, 0x55),
    (40, 0x55, 0x55),
    (44, 0, 0),
    (48, 0, 0),
    (52, 8, 0),
];

fn ancillary_loads_udp(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    for (offset, want, _) in ANCILLARY {
        for size in [0x20, 0x28, 0x30] {
            // A is what XOR works on, and where attributes are looked for: none of type 0 there.
            let program = [ld_imm(0x55), stmt(size, AD + offset)];
            let got = k.see(a, b, 8, &program)?;
            check!(got == Some(want), "offset {offset}: {got:x?}");
        }
    }
    let (a, b) = k.udp_pair(AF_INET6)?;
    eq!(k.see(a, b, 8, &[ld(AD)])?, Some(0x86dd));
    eq!(k.see(a, b, 8, &[ld(AD + 52)])?, Some(8));
    // Random numbers differ, and the processor is one there is.
    ret!(
        k.attach(b, &[ld(AD + 56), insn(0x15, 0, 1, 0), ret_k(0), ret_k(9)]),
        0
    );
    ret!(k.send(a, b"xy", 0), 2);
    ret!(k.recv(b, &mut [0; 8], 0), 1);
    ret!(
        k.attach(
            b,
            &[ld(AD + 36), insn(0x25, 0, 1, 4096), ret_k(0), ret_k(9)]
        ),
        0
    );
    ret!(k.send(a, b"xy", 0), 2);
    ret!(k.recv(b, &mut [0; 8], 0), 1);
    Ok(())
}

/// A packet keeps the mark of its sender over `lo`.
fn ancillary_mark(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.set_int(a, SOL_SOCKET, libc::SO_MARK, 0x1234), 0);
    eq!(k.see(a, b, 8, &[ld(AD + 20)])?, Some(0x1234));
    Ok(())
}

fn ancillary_loads_unix(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_DGRAM, SOCK_SEQPACKET] {
        let (a, b) = k.pair(AF_UNIX, kind | NB)?;
        for (offset, _, want) in ANCILLARY {
            // No device: the program ends with A, which lets 0x55 bytes pass.
            let program = [ld_imm(0x55), ld(AD + offset)];
            let got = k.see(a, b, 0, &program)?;
            let want = match offset {
                8 | 28 => 0x5454_5454,
                _ => want,
            };
            check!(got == Some(want), "offset {offset}: {got:x?}");
        }
        eq!(k.see(a, b, 0, &[stmt(0x80, 0)])?, Some(512));
        eq!(k.see(a, b, 0, &[ld(0)])?, Some(0x0001_0203));
        eq!(k.see(a, b, 0, &[ld(NET + 4)])?, Some(0x0405_0607));
        eq!(k.see(a, b, 0, &[ldb(LL)])?, None);
        eq!(k.see(a, b, 0, &[ldb(511)])?, Some(255));
        eq!(k.see(a, b, 0, &[ldb(512)])?, None);
    }
    Ok(())
}

fn division_by_zero_drops(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let with = |code: u16, x: u32| [ld_imm(1000), stmt(0x01, x), stmt(code.into(), 0)];
    for code in [0x3c, 0x9c] {
        eq!(k.see(a, b, 0, &with(code, 0))?, None);
    }
    eq!(k.see(a, b, 0, &with(0x3c, 7))?, Some(142));
    eq!(k.see(a, b, 0, &with(0x9c, 7))?, Some(6));
    // A shift looks at five bits.
    eq!(k.see(a, b, 0, &with(0x6c, 33))?, Some(2000));
    eq!(k.see(a, b, 0, &with(0x7c, 34))?, Some(250));
    eq!(k.see(a, b, 0, &with(0x2c, 0x8000_0001))?, Some(1000));
    eq!(k.see(a, b, 0, &[ld_imm(1), stmt(0x84, 0)])?, Some(u32::MAX));
    Ok(())
}

fn indirect_loads(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    let at = |x: u32, k: u32| [stmt(0x01, x), stmt(0x48, k)];
    eq!(k.see(a, b, 8, &at(8, 4))?, Some(0x0405));
    eq!(k.see(a, b, 8, &at(u32::MAX, 9))?, Some(0x0001));
    eq!(k.see(a, b, 8, &at(u32::MAX, 0))?, None);
    eq!(k.see(a, b, 8, &at(NET, 0))?, Some(0x4500));
    eq!(k.see(a, b, 8, &at(16, NET - 4))?, Some(0x7f00));
    eq!(k.see(a, b, 8, &at(AD, 0))?, None);
    eq!(k.see(a, b, 8, &at(519, 0))?, None);
    Ok(())
}

fn netlink_attributes(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    // One of type 9, one of type 1 that holds one of type 5.
    let mut message = Vec::new();
    for (len, ty) in [(4u16, 9u16), (12, 1), (8, 5)] {
        message.extend(len.to_ne_bytes());
        message.extend(ty.to_ne_bytes());
    }
    message.extend([0; 4]);
    for (what, start, ty, want) in [
        (12, 0, 9, 0),
        (12, 0, 1, 4),
        (12, 0, 5, 0),
        (12, 8, 5, 8),
        (16, 4, 5, 8),
        (16, 4, 1, 0),
        (16, 13, 1, 0),
        (12, 100, 1, 0),
    ] {
        let program = [
            stmt(0x01, ty),
            ld_imm(start),
            ld(AD + what),
            stmt(0x04, 1),
            RET_A,
        ];
        ret!(k.attach(b, &program), 0);
        ret!(k.send(a, &message, 0), 16);
        let got = k.recv(b, &mut [0; 32], 0);
        check!(got == want + 1, "{what} {start} {ty}: {got}");
    }
    Ok(())
}

fn unix_messages_are_filtered(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_DGRAM, SOCK_SEQPACKET] {
        let (a, b) = k.pair(AF_UNIX, kind | NB)?;
        let mut buf = [0; 16];
        for (verdict, want) in [(0, None), (1, Some(1)), (4, Some(4)), (99, Some(10))] {
            ret!(k.attach(b, &[ret_k(verdict)]), 0);
            // The sender hears nothing of it.
            ret!(k.send(a, b"0123456789", 0), 10);
            match want {
                None => err!(k.recv(b, &mut buf, libc::MSG_TRUNC), EAGAIN),
                Some(n) => {
                    ret!(k.recv(b, &mut buf, libc::MSG_TRUNC), n);
                }
            }
        }
        // The sender's own filter is not asked.
        ret!(k.attach(a, &[ret_k(0)]), 0);
        ret!(k.send(a, b"0123456789", 0), 10);
        ret!(k.recv(b, &mut buf, 0), 10);
    }
    Ok(())
}

fn unix_stream_is_not(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.attach(b, &[ret_k(0)]), 0);
    ret!(k.send(a, b"hello", 0), 5);
    ret!(k.recv(b, &mut [0; 16], 0), 5);
    // What is connected to a listener does not have its filter.
    let (listener, addr) = k.unix_listener(SOCK_SEQPACKET, 1)?;
    ret!(k.attach(listener, &[ret_k(0)]), 0);
    let client = ok!(k.socket(AF_UNIX, SOCK_SEQPACKET | NB, 0));
    ret!(k.connect(client, &addr), 0);
    let server = ok!(k.accept(listener));
    eq!(k.get_filter(server, 0).1, 0);
    ret!(k.send(client, b"hello", 0), 5);
    ret!(k.recv(server, &mut [0; 16], 0), 5);
    Ok(())
}

/// Passes what comes from this port.
fn from_port(port: u16) -> [Insn; 4] {
    [
        stmt(0x28, 0),
        insn(0x15, 0, 1, port.into()),
        ret_k(u32::MAX),
        ret_k(0),
    ]
}

fn bound_client(k: &mut dyn Kernel, family: i32) -> crate::check::Got<(Fd, u16)> {
    let fd = k.tcp_socket(family, NB)?;
    ok!(k.bind(fd, &crate::addr::Addr::lo(family, 0)));
    let port = k.sockname(fd)?.port();
    Ok((fd, port))
}

fn tcp_listener_filters_the_syn(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (listener, addr) = k.tcp_listener(family, 8)?;
        let (welcome, port) = bound_client(k, family)?;
        let (stranger, _) = bound_client(k, family)?;
        ret!(k.attach(listener, &from_port(port)), 0);
        err!(k.connect(stranger, &addr), EINPROGRESS);
        k.connect_now(welcome, &addr)?;
        let server = k.accept_now(listener)?;
        eq!(k.peername(server)?.port(), port);
        err!(k.accept(listener), EAGAIN);
        // No answer: neither a connection nor a reset.
        eq!(k.so_error(stranger)?, 0);
        err!(k.send(stranger, b"x", libc::MSG_NOSIGNAL), EAGAIN);
        // Nothing in the way any more: the SYN comes again.
        ret!(
            k.set_int(listener, SOL_SOCKET, libc::SO_DETACH_FILTER, 0),
            0
        );
        for _ in 0..40 {
            if k.poll_mask(stranger) & libc::POLLOUT != 0 {
                break;
            }
            k.pause(Duration::from_millis(100));
        }
        ret!(k.send(stranger, b"x", libc::MSG_NOSIGNAL), 1);
    }
    Ok(())
}

fn tcp_child_inherits(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.tcp_listener(AF_INET, 8)?;
    ret!(k.attach(listener, &[ret_k(u32::MAX), ret_k(0)]), 0);
    ret!(k.set_int(listener, SOL_SOCKET, libc::SO_LOCK_FILTER, 1), 0);
    let client = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(client, &addr)?;
    let server = k.accept_now(listener)?;
    eq!(k.get_filter(server, 0).1, 2);
    eq!(k.get_int(server, SOL_SOCKET, libc::SO_LOCK_FILTER)?, 1);
    err!(k.attach(server, &[ret_k(1)]), EPERM);
    eq!(k.get_filter(client, 0).1, 0);
    Ok(())
}

/// Data that a filter cuts off has not come for TCP.
fn tcp_truncated_data_comes_again(k: &mut dyn Kernel) -> Outcome {
    let tcp = k.tcp(AF_INET)?;
    // The header has 32 bytes, with timestamps.
    ret!(k.attach(tcp.server, &[ret_k(36)]), 0);
    ret!(k.send(tcp.client, b"0123456789", 0), 10);
    let mut buf = [0; 16];
    ret!(k.recv(tcp.server, &mut buf, 0), 4);
    err!(k.recv(tcp.server, &mut buf, libc::MSG_DONTWAIT), EAGAIN);
    ret!(
        k.set_int(tcp.server, SOL_SOCKET, libc::SO_DETACH_FILTER, 0),
        0
    );
    let rest = k.recv_now_within(tcp.server, Duration::from_secs(3))?;
    eq!(rest, b"456789".to_vec());
    // Dropped altogether: the same.
    ret!(k.attach(tcp.server, &[ret_k(0)]), 0);
    ret!(k.send(tcp.client, b"more", 0), 4);
    k.pause(Duration::from_millis(20));
    err!(k.recv(tcp.server, &mut buf, libc::MSG_DONTWAIT), EAGAIN);
    ret!(
        k.set_int(tcp.server, SOL_SOCKET, libc::SO_DETACH_FILTER, 0),
        0
    );
    let rest = k.recv_now_within(tcp.server, Duration::from_secs(3))?;
    eq!(rest, b"more".to_vec());
    Ok(())
}

/// A filter belongs to a socket: another one that hears the same is not asked.
fn multicast_and_connected_alike(k: &mut dyn Kernel) -> Outcome {
    let (a, a_addr) = k.udp(AF_INET)?;
    let (b, b_addr) = k.udp(AF_INET)?;
    ret!(k.attach(a, &[ret_k(9)]), 0);
    ret!(k.sendto(b, b"abc", 0, &a_addr), 3);
    ret!(k.sendto(a, b"abc", 0, &b_addr), 3);
    ret!(k.recv(a, &mut [0; 8], 0), 1);
    ret!(k.recv(b, &mut [0; 8], 0), 3);
    // What is queued was let in: a filter that comes later does not take it out.
    ret!(k.sendto(b, b"abc", 0, &a_addr), 3);
    ret!(k.attach(a, &[ret_k(0)]), 0);
    ret!(k.recv(a, &mut [0; 8], 0), 1);
    Ok(())
}
