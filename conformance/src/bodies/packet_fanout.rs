//! PACKET_FANOUT on `lo`: packet(7). Options by number, as in linux/if_packet.h: PACKET_FANOUT 18, PACKET_ROLLOVER_STATS 21,
//! PACKET_FANOUT_DATA 22.

use super::packet::{ALL, IP, LO, OWN, frame, ll, next, open};
use crate::cbpf::{self, fprog, ldb, ret_k};
use crate::check::{Got, Outcome, check, eq, err, ret};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::registry::tests;
use crate::sys::Fd;
use libc::{AF_INET, SOCK_DGRAM, SOCK_RAW, SOL_SOCKET};

tests! {
    who_may_join [ROOT],
    what_is_told [ROOT],
    as_many_as_were_said [ROOT],
    bound_for_good [ROOT],
    in_turn [ROOT],
    by_flow [ROOT],
    each_frame_once [ROOT],
    by_a_program [ROOT],
    program_errors [ROOT],
    rolling_over [ROOT],
    rolling_over_by_flag [ROOT],
    own_frames_unseen [ROOT],
    leaving [ROOT],
    outgoing_ignored_by_the_group [ROOT],
    fragments_are_joined [ROOT],
}

const SOL_PACKET: i32 = 263;
const FANOUT: i32 = 18;
const ROLLOVER_STATS: i32 = 21;
const FANOUT_DATA: i32 = 22;

const HASH: u16 = 0;
const LB: u16 = 1;
const CPU: u16 = 2;
const ROLLOVER: u16 = 3;
const RND: u16 = 4;
const QM: u16 = 5;
const CBPF: u16 = 6;
const EBPF: u16 = 7;
const FLAG_ROLLOVER: u16 = 0x1000;
const FLAG_UNIQUEID: u16 = 0x2000;
const FLAG_IGNORE_OUTGOING: u16 = 0x4000;

fn join(k: &mut dyn Kernel, fd: Fd, id: u16, kind: u16) -> i64 {
    let value = i32::from(id) | i32::from(kind) << 16;
    k.set_int(fd, SOL_PACKET, FANOUT, value)
}

/// So many members of a group that hears our own protocol.
fn group(k: &mut dyn Kernel, id: u16, kind: u16, members: usize) -> Got<Vec<Fd>> {
    let mut all = vec![];
    for _ in 0..members {
        let fd = open(k, SOCK_RAW, OWN)?;
        ret!(join(k, fd, id, kind), 0);
        all.push(fd);
    }
    Ok(all)
}

fn send(k: &mut dyn Kernel, data: &[u8]) -> Outcome {
    let fd = open(k, SOCK_RAW, 0)?;
    let bytes = frame(OWN, data);
    ret!(k.sendto(fd, &bytes, 0, &ll(OWN, LO)), bytes.len() as i64);
    k.close(fd);
    Ok(())
}

/// Who of them has how many frames.
fn counts(k: &mut dyn Kernel, all: &[Fd]) -> Vec<usize> {
    let count = |k: &mut dyn Kernel, fd| std::iter::from_fn(|| next(k, fd)).count();
    all.iter().map(|fd| count(k, *fd)).collect()
}

fn who_may_join(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let deaf = open(k, SOCK_RAW, 0)?;
    err!(join(k, deaf, 1, HASH), EINVAL);
    let fd = open(k, SOCK_RAW, OWN)?;
    for kind in [8, 9, 255, ROLLOVER | FLAG_ROLLOVER] {
        eq!(
            (kind, join(k, fd, 1, kind)),
            (kind, -i64::from(libc::EINVAL))
        );
    }
    for len in [0, 1, 3, 5, 7, 9, 12] {
        let got = k.setsockopt(fd, SOL_PACKET, FANOUT, &[0; 12][..len]);
        eq!((len, got), (len, -i64::from(libc::EINVAL)));
    }
    err!(k.setsockopt_raw(fd, SOL_PACKET, FANOUT, BAD, 4), EFAULT);
    ret!(join(k, fd, 1, LB), 0);
    err!(join(k, fd, 1, LB), EALREADY);
    err!(join(k, fd, 2, 99), EINVAL);
    // The others must choose as the first, and hear as it.
    for (ty, protocol) in [(SOCK_RAW, ALL), (SOCK_DGRAM, IP)] {
        let other = open(k, ty, protocol)?;
        err!(join(k, other, 1, LB), EINVAL);
    }
    let other = open(k, SOCK_DGRAM, OWN)?;
    err!(join(k, other, 1, HASH), EINVAL);
    err!(join(k, other, 1, LB | FLAG_ROLLOVER), EINVAL);
    err!(join(k, other, 7, LB | FLAG_UNIQUEID), EINVAL);
    ret!(k.bind(other, &ll(OWN, LO)), 0);
    err!(join(k, other, 1, LB), EINVAL);
    // Another group takes it.
    ret!(join(k, other, 2, LB), 0);
    // Not a packet socket.
    let (udp, _) = k.udp(AF_INET)?;
    err!(join(k, udp, 1, LB), ENOPROTOOPT);
    Ok(())
}

fn what_is_told(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for kind in [
        HASH,
        LB,
        CPU,
        ROLLOVER,
        RND,
        QM,
        CBPF,
        EBPF,
        LB | FLAG_ROLLOVER,
    ] {
        let fd = open(k, SOCK_RAW, OWN)?;
        eq!(k.get_int(fd, SOL_PACKET, FANOUT)?, 0);
        ret!(join(k, fd, 0x1234, kind), 0);
        let want = 0x1234 | i32::from(kind) << 16;
        eq!((kind, k.get_int(fd, SOL_PACKET, FANOUT)?), (kind, want));
        let (got, value) = k.getsockopt(fd, SOL_PACKET, FANOUT, 2);
        eq!((got, value), (0, vec![0x34, 0x12]));
        let (got, stats) = k.getsockopt(fd, SOL_PACKET, ROLLOVER_STATS, 32);
        if kind == ROLLOVER || kind & FLAG_ROLLOVER != 0 {
            eq!((got, stats), (0, vec![0; 24]));
        } else {
            eq!((kind, got), (kind, -i64::from(libc::EINVAL)));
        }
        k.close(fd);
    }
    // A number that nobody has: the flag is not kept.
    let fd = open(k, SOCK_RAW, OWN)?;
    ret!(join(k, fd, 0, LB | FLAG_UNIQUEID), 0);
    let told = k.get_int(fd, SOL_PACKET, FANOUT)?;
    check!(told & 0xffff != 0, "{told:#x}");
    eq!(told >> 16, i32::from(LB));
    err!(k.set_int(fd, SOL_PACKET, ROLLOVER_STATS, 0), ENOPROTOOPT);
    Ok(())
}

fn as_many_as_were_said(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let args = |most: u32| {
        [1u32 | u32::from(LB) << 16, most]
            .map(u32::to_ne_bytes)
            .concat()
    };
    let mut all = vec![];
    for _ in 0..4 {
        all.push(open(k, SOCK_RAW, OWN)?);
    }
    err!(
        k.setsockopt(all[0], SOL_PACKET, FANOUT, &args(0x10001)),
        EINVAL
    );
    ret!(k.setsockopt(all[0], SOL_PACKET, FANOUT, &args(2)), 0);
    err!(k.setsockopt(all[1], SOL_PACKET, FANOUT, &args(3)), EINVAL);
    // Who says nothing, joins.
    ret!(join(k, all[1], 1, LB), 0);
    err!(join(k, all[2], 1, LB), ENOSPC);
    err!(k.setsockopt(all[2], SOL_PACKET, FANOUT, &args(2)), ENOSPC);
    k.close(all[0]);
    ret!(join(k, all[2], 1, LB), 0);
    Ok(())
}

fn bound_for_good(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let all = group(k, 1, LB, 1)?;
    err!(k.bind(all[0], &ll(OWN, LO)), EINVAL);
    err!(k.bind(all[0], &ll(OWN, 99)), EINVAL);
    Ok(())
}

fn in_turn(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let all = group(k, 1, LB, 3)?;
    // The second is the first.
    for want in [[0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]] {
        send(k, b"abc")?;
        eq!(counts(k, &all), want);
    }
    // Filters come after the choice.
    ret!(k.attach(all[2], &[ret_k(0)]), 0);
    for want in [[0, 0, 0], [1, 0, 0], [0, 1, 0]] {
        send(k, b"abc")?;
        eq!(counts(k, &all), want);
    }
    Ok(())
}

fn by_flow(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let mut all = vec![];
    for _ in 0..4 {
        let fd = open(k, SOCK_RAW, IP)?;
        ret!(join(k, fd, 1, HASH), 0);
        all.push(fd);
    }
    let mut seen = [false; 4];
    for _ in 0..64 {
        let (a, a_addr) = k.udp(AF_INET)?;
        let (b, b_addr) = k.udp(AF_INET)?;
        ret!(k.sendto(a, b"one", 0, &b_addr), 3);
        let there = counts(k, &all);
        eq!(there.iter().sum::<usize>(), 1);
        ret!(k.sendto(a, b"another", 0, &b_addr), 7);
        eq!(&counts(k, &all), &there);
        ret!(k.sendto(b, b"back", 0, &a_addr), 4);
        eq!(&counts(k, &all), &there);
        k.close(a);
        k.close(b);
        seen.iter_mut().zip(&there).for_each(|(s, n)| *s |= *n > 0);
    }
    eq!(seen, [true; 4]);
    Ok(())
}

fn each_frame_once(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for kind in [HASH, CPU, RND, QM, CBPF, EBPF] {
        let all = group(k, 1, kind, 3)?;
        for _ in 0..9 {
            send(k, b"abc")?;
        }
        let got = counts(k, &all);
        eq!((kind, got.iter().sum::<usize>()), (kind, 9));
        if kind >= CBPF {
            // Without a program it is the first.
            eq!(got, [9, 0, 0]);
        }
        for fd in all {
            k.close(fd);
        }
    }
    Ok(())
}

fn by_a_program(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let all = group(k, 1, CBPF, 3)?;
    // The first byte behind the link's header, modulo their number.
    let program = [ldb(0), cbpf::RET_A];
    ret!(
        k.setsockopt(all[1], SOL_PACKET, FANOUT_DATA, &fprog(&program)),
        0
    );
    for (byte, want) in [
        (0, [1, 0, 0]),
        (1, [0, 1, 0]),
        (2, [0, 0, 1]),
        (4, [0, 1, 0]),
    ] {
        send(k, &[byte, 9, 9])?;
        eq!(counts(k, &all), want);
    }
    // Another takes its place.
    ret!(
        k.setsockopt(all[0], SOL_PACKET, FANOUT_DATA, &fprog(&[ret_k(2)])),
        0
    );
    send(k, &[0])?;
    eq!(counts(k, &all), [0, 0, 1]);
    Ok(())
}

fn program_errors(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let program = [ret_k(0)];
    let alone = open(k, SOCK_RAW, OWN)?;
    err!(
        k.setsockopt(alone, SOL_PACKET, FANOUT_DATA, &fprog(&program)),
        EINVAL
    );
    ret!(join(k, alone, 1, LB), 0);
    err!(
        k.setsockopt(alone, SOL_PACKET, FANOUT_DATA, &fprog(&program)),
        EINVAL
    );
    let fd = group(k, 2, CBPF, 1)?[0];
    for len in [0, 4, 8, 15, 17] {
        let mut bytes = fprog(&program);
        bytes.resize(len, 0);
        err!(k.setsockopt(fd, SOL_PACKET, FANOUT_DATA, &bytes), EINVAL);
    }
    err!(
        k.setsockopt_raw(fd, SOL_PACKET, FANOUT_DATA, BAD, 16),
        EFAULT
    );
    err!(
        k.setsockopt(fd, SOL_PACKET, FANOUT_DATA, &fprog(&[])),
        EINVAL
    );
    err!(
        k.setsockopt(fd, SOL_PACKET, FANOUT_DATA, &fprog(&[ldb(0)])),
        EINVAL
    );
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_LOCK_FILTER, 1), 0);
    err!(
        k.setsockopt(fd, SOL_PACKET, FANOUT_DATA, &fprog(&program)),
        EPERM
    );
    let fd = group(k, 3, EBPF, 1)?[0];
    err!(k.set_int(fd, SOL_PACKET, FANOUT_DATA, 999), EBADF);
    err!(k.set_int(fd, SOL_PACKET, FANOUT_DATA, fd as i32), EINVAL);
    err!(
        k.setsockopt(fd, SOL_PACKET, FANOUT_DATA, &fprog(&program)),
        EINVAL
    );
    Ok(())
}

/// A buffer that a few frames fill to more than three quarters.
fn small(k: &mut dyn Kernel, fd: Fd) -> Outcome {
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_RCVBUF, 8192), 0);
    Ok(())
}

fn stats(k: &mut dyn Kernel, fd: Fd) -> Got<Vec<u8>> {
    let (got, stats) = k.getsockopt(fd, SOL_PACKET, ROLLOVER_STATS, 24);
    ret!(got, 0);
    Ok([stats[0], stats[8], stats[16]].to_vec())
}

fn rolling_over(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let all = group(k, 1, ROLLOVER, 3)?;
    for fd in &all {
        small(k, *fd)?;
    }
    // Each takes what leaves it less than a quarter of its buffer; then it is the next one's turn.
    let mut filled = vec![];
    for _ in 0..12 {
        send(k, &[0; 1000])?;
        let readable = |k: &mut dyn Kernel, fd| k.poll_mask(fd) & libc::POLLIN != 0;
        filled.push([0, 1, 2].map(|n| readable(k, all[n])));
    }
    eq!(filled[0], [true, false, false]);
    eq!(filled[11], [true, true, true]);
    check!(filled.contains(&[true, true, false]), "{filled:?}");
    let first = stats(k, all[0])?;
    let got = counts(k, &all);
    eq!((first, got), (vec![12, 0, 0], vec![5, 5, 2]));
    Ok(())
}

fn rolling_over_by_flag(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let all = group(k, 1, CBPF | FLAG_ROLLOVER, 2)?;
    small(k, all[0])?;
    // The program says the first, until it is full.
    let mut order = vec![];
    for _ in 0..8 {
        send(k, &[0; 1000])?;
        order.push(k.poll_mask(all[1]) & libc::POLLIN);
    }
    eq!(order[0], 0);
    eq!(order[7], libc::POLLIN);
    let got = counts(k, &all);
    eq!(got.iter().sum::<usize>(), 8);
    eq!(stats(k, all[0])?, [got[1] as u8, 0, 0]);
    eq!(stats(k, all[1])?, [0, 0, 0]);
    Ok(())
}

fn own_frames_unseen(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let mut all = vec![];
    for _ in 0..2 {
        let fd = open(k, SOCK_RAW, ALL)?;
        ret!(join(k, fd, 1, LB), 0);
        all.push(fd);
    }
    // A frame of another leaves and comes; one of a member only comes.
    send(k, b"abc")?;
    eq!(counts(k, &all).iter().sum::<usize>(), 2);
    let bytes = frame(OWN, b"abc");
    ret!(k.sendto(all[0], &bytes, 0, &ll(OWN, LO)), 17);
    eq!(counts(k, &all).iter().sum::<usize>(), 1);
    Ok(())
}

fn leaving(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let mut all = group(k, 1, CBPF, 3)?;
    ret!(
        k.setsockopt(all[0], SOL_PACKET, FANOUT_DATA, &fprog(&[ret_k(0)])),
        0
    );
    // The last takes the place of who goes.
    k.close(all.remove(0));
    send(k, b"abc")?;
    eq!(counts(k, &all), [0, 1]);
    k.close(all.remove(1));
    send(k, b"abc")?;
    eq!(counts(k, &all), [1]);
    k.close(all.remove(0));
    // The group is gone: its number is free for another kind.
    group(k, 1, LB, 1)?;
    Ok(())
}

fn outgoing_ignored_by_the_group(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for (flag, want) in [(0, 2), (FLAG_IGNORE_OUTGOING, 1)] {
        let fd = open(k, SOCK_RAW, ALL)?;
        ret!(join(k, fd, 1, LB | flag), 0);
        send(k, b"abc")?;
        eq!((flag, counts(k, &[fd])), (flag, vec![want]));
        k.close(fd);
    }
    // Its own option does not count in a group.
    let fd = open(k, SOCK_RAW, ALL)?;
    ret!(join(k, fd, 1, LB), 0);
    ret!(k.set_int(fd, SOL_PACKET, 23, 1), 0);
    send(k, b"abc")?;
    eq!(counts(k, &[fd]), [2]);
    Ok(())
}

/// An IPv4 packet from 127.0.0.1 to itself of a protocol that nobody has: a piece of another.
fn piece(id: u16, at: u16, more: bool, options: &[u8], data: &[u8]) -> Vec<u8> {
    let header = 20 + options.len();
    let mut bytes = vec![0x40 | (header / 4) as u8, 0];
    bytes.extend((header as u16 + data.len() as u16).to_be_bytes());
    bytes.extend(id.to_be_bytes());
    bytes.extend(((at / 8) | (u16::from(more) << 13)).to_be_bytes());
    bytes.extend([64, 253, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
    bytes.extend(options);
    let sum: u32 = bytes
        .chunks_exact(2)
        .map(|half| u32::from(u16::from_be_bytes([half[0], half[1]])))
        .sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes.extend(data);
    bytes
}

/// PACKET_FANOUT_FLAG_DEFRAG: who is chosen gets the whole packet, in the place of its last piece.
fn fragments_are_joined(k: &mut dyn Kernel) -> Outcome {
    const FLAG_DEFRAG: u16 = 0x8000;
    const NOTHING: [Vec<u8>; 0] = [];
    k.own_network()?;
    for ty in [SOCK_RAW, SOCK_DGRAM] {
        let mut all = vec![];
        for _ in 0..2 {
            let fd = open(k, ty, IP)?;
            ret!(join(k, fd, 7, LB | FLAG_DEFRAG), 0);
            all.push(fd);
        }
        let plain = open(k, ty, IP)?;
        err!(join(k, plain, 7, LB), EINVAL);
        let told = k.get_int(all[0], SOL_PACKET, FANOUT)?;
        eq!(told as u32, 0x8001_0007);
        let sender = open(k, SOCK_RAW, 0)?;
        let send = |k: &mut dyn Kernel, packet: Vec<u8>| {
            let bytes = frame(IP, &packet);
            let sent = k.sendto(sender, &bytes, 0, &ll(IP, LO));
            eq!(sent, bytes.len() as i64);
            let frames = all.iter().filter_map(|fd| next(k, *fd));
            let found: Vec<Vec<u8>> = frames.map(|(data, _)| data).collect();
            Ok::<_, crate::check::Stop>(found)
        };
        let shown = |packet: Vec<u8>| match ty {
            SOCK_RAW => vec![frame(IP, &packet)],
            _ => vec![packet],
        };
        let (a, b, both) = (
            [b'a'; 16],
            [b'b'; 9],
            [&[b'a'; 16][..], &[b'b'; 9]].concat(),
        );
        eq!(send(k, piece(1, 0, true, &[], &a))?, NOTHING);
        eq!(
            send(k, piece(1, 16, false, &[], &b))?,
            shown(piece(1, 0, false, &[], &both))
        );
        // In whatever order; the options are the first piece's.
        let options = [1, 1, 1, 0];
        eq!(send(k, piece(2, 16, false, &[], &b))?, NOTHING);
        let whole = piece(2, 0, false, &options, &both);
        eq!(send(k, piece(2, 0, true, &options, &a))?, shown(whole));
        // What is whole is shown as it is.
        let whole = piece(3, 0, false, &[], b"whole");
        eq!(send(k, whole.clone())?, shown(whole));
        // The same again is passed over, and what overlaps is the end of all of them.
        eq!(send(k, piece(4, 0, true, &[], &a))?, NOTHING);
        eq!(send(k, piece(4, 0, true, &[], &a))?, NOTHING);
        eq!(send(k, piece(4, 8, true, &[], &a))?, NOTHING);
        eq!(send(k, piece(4, 16, false, &[], &b))?, NOTHING);
        eq!(
            send(k, piece(4, 0, true, &[], &a))?,
            shown(piece(4, 0, false, &[], &both))
        );
        let bytes = k.recv(plain, &mut [0; 100], 0);
        let link = if ty == SOCK_RAW { 14 } else { 0 };
        eq!(bytes, link + 36);
        all.push(plain);
        all.push(sender);
        for fd in all {
            k.close(fd);
        }
    }
    Ok(())
}
