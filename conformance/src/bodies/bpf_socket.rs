//! Extended BPF programs on sockets: SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_EBPF.

use super::bpf::{key, needed};
use super::filter_group::who;
use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::ebpf::{
    ARRAY, EXIT, REUSEPORT_SOCKARRAY, SK_REUSEPORT, SOCKET_FILTER, call, insn, map_fd, mov, mov_reg,
};
use crate::kernel::Kernel;
use crate::mem::int;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{AF_INET, AF_UNIX, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET};

tests! {
    attach_errors [ROOT],
    filter_truncates [ROOT],
    filter_counts_in_a_map [ROOT],
    filter_reads_the_packet [ROOT],
    filter_reads_its_context [ROOT],
    filter_outlives_its_descriptor [ROOT],
    get_filter_of_extended [ROOT],
    socket_filter_chooses_a_member [ROOT],
    reuseport_program_selects [ROOT],
    reuseport_program_drops [ROOT],
    reuseport_program_reads_headers [ROOT],
    sockarray_rules [ROOT],
    tcp_selects [ROOT],
}

const ATTACH: i32 = libc::SO_ATTACH_BPF;
/// SO_ATTACH_REUSEPORT_EBPF
const ATTACH_GROUP: i32 = libc::SO_ATTACH_REUSEPORT_EBPF;

fn attach_errors(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    let program = k.program(SOCKET_FILTER, &[mov(0, 0), EXIT])?;
    let select = k.program(SK_REUSEPORT, &[mov(0, 1), EXIT])?;
    let map = ok!(k.map_create(ARRAY, 4, 4, 1));
    for option in [ATTACH, ATTACH_GROUP] {
        err!(k.set_int(fd, SOL_SOCKET, option, -1), EBADF);
        err!(k.set_int(fd, SOL_SOCKET, option, fd as i32), EINVAL);
        err!(k.set_int(fd, SOL_SOCKET, option, map as i32), EINVAL);
        let value = i64::to_ne_bytes(program);
        err!(k.setsockopt(fd, SOL_SOCKET, option, &value), EINVAL);
        err!(k.setsockopt(fd, SOL_SOCKET, option, &value[..2]), EINVAL);
    }
    err!(k.set_int(fd, SOL_SOCKET, ATTACH, select as i32), EINVAL);
    err!(
        k.set_int(fd, SOL_SOCKET, ATTACH_GROUP, program as i32),
        EINVAL
    );
    err!(
        k.set_int(fd, SOL_SOCKET, ATTACH_GROUP, select as i32),
        EINVAL
    );
    let unix = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
    ret!(
        k.set_int(unix, SOL_SOCKET, ATTACH_GROUP, select as i32),
        -524
    );
    err!(
        k.set_int(unix, SOL_SOCKET, ATTACH_GROUP, program as i32),
        EINVAL
    );
    ret!(k.set_int(fd, SOL_SOCKET, ATTACH, program as i32), 0);
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_DETACH_BPF, 0), 0);
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_LOCK_FILTER, 1), 0);
    err!(k.set_int(fd, SOL_SOCKET, ATTACH, program as i32), EPERM);
    err!(k.set_int(fd, SOL_SOCKET, ATTACH, -1), EPERM);
    err!(k.set_int(fd, SOL_SOCKET, ATTACH_GROUP, -1), EPERM);
    Ok(())
}

fn filter_truncates(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let (a, b) = k.udp_pair(AF_INET)?;
    let mut buf = [0; 16];
    for (verdict, want) in [(0, None), (8, Some(0)), (10, Some(2)), (-1, Some(5))] {
        let program = k.program(SOCKET_FILTER, &[mov(0, verdict), EXIT])?;
        ret!(k.set_int(b, SOL_SOCKET, ATTACH, program as i32), 0);
        ret!(k.send(a, b"hello", 0), 5);
        match want {
            None => err!(k.recv(b, &mut buf, 0), EAGAIN),
            Some(n) => {
                ret!(k.recv(b, &mut buf, 0), n);
            }
        }
    }
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    let program = k.program(SOCKET_FILTER, &[mov(0, 2), EXIT])?;
    ret!(k.set_int(b, SOL_SOCKET, ATTACH, program as i32), 0);
    ret!(k.send(a, b"hello", 0), 5);
    ret!(k.recv(b, &mut buf, 0), 2);
    Ok(())
}

/// Counts packets in element 1, and passes them.
fn counting(map: Fd) -> Vec<[u8; 8]> {
    let [a, b] = map_fd(1, map);
    vec![
        insn(0x62, 10, 0, -4, 1),
        mov_reg(2, 10),
        insn(0x07, 2, 0, 0, -4),
        a,
        b,
        call(1),
        insn(0x15, 0, 0, 2, 0),
        mov(1, 1),
        insn(0xdb, 0, 1, 0, 0),
        mov(0, -1),
        EXIT,
    ]
}

fn count(k: &mut dyn Kernel, map: Fd) -> Got<u64> {
    let mut value = [0; 8];
    ret!(k.map_lookup(map, &key(1), &mut value), 0);
    Ok(u64::from_ne_bytes(value))
}

fn filter_counts_in_a_map(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let map = ok!(k.map_create(ARRAY, 4, 8, 4));
    let program = k.program(SOCKET_FILTER, &counting(map))?;
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.set_int(b, SOL_SOCKET, ATTACH, program as i32), 0);
    // One program may be at two sockets.
    let (c, d) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    ret!(k.set_int(d, SOL_SOCKET, ATTACH, program as i32), 0);
    for _ in 0..3 {
        ret!(k.send(a, b"x", 0), 1);
        ret!(k.recv(b, &mut [0; 4], 0), 1);
    }
    ret!(k.send(c, b"x", 0), 1);
    eq!(count(k, map)?, 4);
    ret!(k.map_update(map, &key(1), &100u64.to_ne_bytes(), 0), 0);
    ret!(k.send(a, b"x", 0), 1);
    eq!(count(k, map)?, 101);
    Ok(())
}

fn filter_reads_the_packet(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let (a, b) = k.udp_pair(AF_INET)?;
    let mut buf = [0; 16];
    // As long as the byte after the header says.
    let by_byte = [
        mov_reg(6, 1),
        insn(0x30, 0, 0, 0, 8),
        insn(0x07, 0, 0, 0, 8),
        EXIT,
    ];
    let program = k.program(SOCKET_FILTER, &by_byte)?;
    ret!(k.set_int(b, SOL_SOCKET, ATTACH, program as i32), 0);
    ret!(k.send(a, b"\x03bcdef", 0), 6);
    ret!(k.recv(b, &mut buf, 0), 3);
    // A load from beyond ends the program with 0.
    ret!(k.send(a, b"", 0), 0);
    err!(k.recv(b, &mut buf, 0), EAGAIN);
    // The same by bpf_skb_load_bytes().
    let by_helper = [
        mov(2, 8),
        mov_reg(3, 10),
        insn(0x07, 3, 0, 0, -4),
        mov(4, 1),
        call(26),
        insn(0x55, 0, 0, 3, 0),
        insn(0x71, 0, 10, -4, 0),
        insn(0x07, 0, 0, 0, 8),
        EXIT,
        mov(0, 9),
        EXIT,
    ];
    let program = k.program(SOCKET_FILTER, &by_helper)?;
    ret!(k.set_int(b, SOL_SOCKET, ATTACH, program as i32), 0);
    ret!(k.send(a, b"\x04bcdef", 0), 6);
    ret!(k.recv(b, &mut buf, 0), 4);
    // Not there: the helper fails, the program goes on.
    ret!(k.send(a, b"", 0), 0);
    ret!(k.recv(b, &mut buf, 0), 0);
    Ok(())
}

fn filter_reads_its_context(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let (a, b) = k.udp_pair(AF_INET)?;
    // Fields that are below 200: as many bytes pass, and one.
    for (what, want) in [
        // len, pkt_type, protocol's bytes, ingress_ifindex, ifindex, cb
        (insn(0x61, 0, 1, 0, 0), 28),
        (insn(0x61, 0, 1, 4, 0), 0),
        (insn(0x71, 0, 1, 16, 0), 8),
        (insn(0x71, 0, 1, 17, 0), 0),
        (insn(0x61, 0, 1, 36, 0), 1),
        (insn(0x61, 0, 1, 40, 0), 1),
        (insn(0x61, 0, 1, 48, 0), 0),
        (insn(0x61, 0, 1, 20, 0), 0),
    ] {
        let program = [what, insn(0x07, 0, 0, 0, 9), EXIT];
        let program = k.program(SOCKET_FILTER, &program)?;
        ret!(k.set_int(b, SOL_SOCKET, ATTACH, program as i32), 0);
        ret!(k.send(a, &[7; 20], 0), 20);
        let got = k.recv(b, &mut [0; 64], 0);
        check!(got == (want + 1).min(20), "{what:x?}: {got}");
    }
    // bpf_get_socket_uid(), which is who made it.
    let user = k.call(libc::SYS_geteuid, &[]);
    let program = [
        call(47),
        insn(0x15, 0, 0, 2, user as i32),
        mov(0, 0),
        EXIT,
        mov(0, 10),
        EXIT,
    ];
    let program = k.program(SOCKET_FILTER, &program)?;
    ret!(k.set_int(b, SOL_SOCKET, ATTACH, program as i32), 0);
    ret!(k.send(a, &[7; 20], 0), 20);
    ret!(k.recv(b, &mut [0; 64], 0), 2);
    Ok(())
}

fn filter_outlives_its_descriptor(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let map = ok!(k.map_create(ARRAY, 4, 8, 4));
    let again = ok!(k.dup(map));
    let program = k.program(SOCKET_FILTER, &counting(map))?;
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.set_int(b, SOL_SOCKET, ATTACH, program as i32), 0);
    ret!(k.close(program), 0);
    ret!(k.close(map), 0);
    ret!(k.send(a, b"x", 0), 1);
    ret!(k.recv(b, &mut [0; 4], 0), 1);
    eq!(count(k, again)?, 1);
    ret!(k.close(again), 0);
    ret!(k.send(a, b"x", 0), 1);
    ret!(k.recv(b, &mut [0; 4], 0), 1);
    Ok(())
}

fn get_filter_of_extended(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    let program = k.program(SOCKET_FILTER, &[mov(0, 0), EXIT])?;
    ret!(k.set_int(fd, SOL_SOCKET, ATTACH, program as i32), 0);
    eq!(k.get_filter(fd, 4).0, -i64::from(libc::EACCES));
    eq!(k.get_filter(fd, 0).0, -i64::from(libc::EACCES));
    Ok(())
}

/// `n` UDP sockets that share an address.
fn group(k: &mut dyn Kernel, n: usize) -> Got<(Vec<Fd>, Addr)> {
    let mut addr = Addr::lo4(0);
    let mut all = Vec::new();
    while all.len() < n {
        let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_REUSEPORT, 1), 0);
        ret!(k.bind(fd, &addr), 0);
        addr = k.sockname(fd)?;
        all.push(fd);
    }
    Ok((all, addr))
}

fn socket_filter_chooses_a_member(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let (all, addr) = group(k, 3)?;
    // It sees the data, and returns a number.
    let program = [mov_reg(6, 1), insn(0x30, 0, 0, 0, 0), EXIT];
    let program = k.program(SOCKET_FILTER, &program)?;
    ret!(
        k.set_int(all[0], SOL_SOCKET, ATTACH_GROUP, program as i32),
        0
    );
    for member in [2, 0, 1] {
        eq!(who(k, &all, &addr, member)?, vec![usize::from(member)]);
    }
    eq!(who(k, &all, &addr, 99)?.len(), 1);
    ret!(k.set_int(all[1], SOL_SOCKET, 68, 0), 0);
    err!(k.set_int(all[1], SOL_SOCKET, 68, 0), ENOENT);
    Ok(())
}

/// bpf_sk_select_reuseport(ctx, map, &key, 0), then `SK_PASS` when it did, else `SK_DROP`.
fn selecting(map: Fd, element: i32) -> Vec<[u8; 8]> {
    let [a, b] = map_fd(2, map);
    vec![
        insn(0x62, 10, 0, -4, element),
        a,
        b,
        mov_reg(3, 10),
        insn(0x07, 3, 0, 0, -4),
        mov(4, 0),
        call(82),
        insn(0x15, 0, 0, 2, 0),
        mov(0, 0),
        EXIT,
        mov(0, 1),
        EXIT,
    ]
}

fn put(k: &mut dyn Kernel, map: Fd, at: u32, fd: Fd) -> i64 {
    k.map_update(map, &key(at), &(fd as u64).to_ne_bytes(), 0)
}

fn reuseport_program_selects(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let (all, addr) = group(k, 3)?;
    let map = ok!(k.map_create(REUSEPORT_SOCKARRAY, 4, 8, 4));
    ret!(put(k, map, 0, all[2]), 0);
    ret!(put(k, map, 1, all[1]), 0);
    for (element, member) in [(0, 2), (1, 1)] {
        let program = k.program(SK_REUSEPORT, &selecting(map, element))?;
        ret!(
            k.set_int(all[0], SOL_SOCKET, ATTACH_GROUP, program as i32),
            0
        );
        eq!(who(k, &all, &addr, 7)?, vec![member]);
    }
    // An empty place: the helper fails, and the program drops it.
    let program = k.program(SK_REUSEPORT, &selecting(map, 3))?;
    ret!(
        k.set_int(all[0], SOL_SOCKET, ATTACH_GROUP, program as i32),
        0
    );
    eq!(who(k, &all, &addr, 7)?, vec![]);
    // A socket of another group.
    let (others, _) = group(k, 1)?;
    ret!(put(k, map, 3, others[0]), 0);
    eq!(who(k, &all, &addr, 7)?, vec![]);
    // What passes and selects nothing is the hash's.
    let program = k.program(SK_REUSEPORT, &[mov(0, 1), EXIT])?;
    ret!(
        k.set_int(all[0], SOL_SOCKET, ATTACH_GROUP, program as i32),
        0
    );
    eq!(who(k, &all, &addr, 7)?.len(), 1);
    Ok(())
}

/// What a program drops was for nobody: the sender hears of it.
fn reuseport_program_drops(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let (all, addr) = group(k, 2)?;
    let program = k.program(SK_REUSEPORT, &[mov(0, 0), EXIT])?;
    ret!(
        k.set_int(all[0], SOL_SOCKET, ATTACH_GROUP, program as i32),
        0
    );
    let (sender, _) = k.udp(AF_INET)?;
    ret!(k.connect(sender, &addr), 0);
    ret!(k.send(sender, b"x", 0), 1);
    eq!(k.so_error(sender)?, libc::ECONNREFUSED);
    err!(k.recv(all[0], &mut [0; 4], 0), EAGAIN);
    Ok(())
}

fn reuseport_program_reads_headers(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let (all, addr) = group(k, 1)?;
    // Passes what has 17 as its protocol, 0x0008 as eth_protocol, 11 bytes, and 7 after the header.
    let program = [
        mov(0, 0),
        insn(0x61, 2, 1, 24, 0),
        insn(0x55, 2, 0, 12, 17),
        insn(0x69, 2, 1, 20, 0),
        insn(0x55, 2, 0, 10, 8),
        insn(0x61, 2, 1, 16, 0),
        insn(0x55, 2, 0, 8, 11),
        insn(0x79, 2, 1, 0, 0),
        insn(0x79, 3, 1, 8, 0),
        mov_reg(4, 2),
        insn(0x07, 4, 0, 0, 9),
        insn(0x2d, 4, 3, 3, 0),
        insn(0x71, 4, 2, 8, 0),
        insn(0x55, 4, 0, 1, 7),
        mov(0, 1),
        EXIT,
    ];
    let program = k.program(SK_REUSEPORT, &program)?;
    ret!(
        k.set_int(all[0], SOL_SOCKET, ATTACH_GROUP, program as i32),
        0
    );
    eq!(who(k, &all, &addr, 7)?, vec![0]);
    eq!(who(k, &all, &addr, 8)?, vec![]);
    Ok(())
}

fn sockarray_rules(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let (all, _) = group(k, 2)?;
    let map = ok!(k.map_create(REUSEPORT_SOCKARRAY, 4, 8, 2));
    // Not bound, bound without a group, no socket at all, no internet socket.
    let unbound = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(k.set_int(unbound, SOL_SOCKET, libc::SO_REUSEPORT, 1), 0);
    ret!(put(k, map, 0, unbound), -i64::from(libc::EINVAL));
    let (alone, _) = k.udp(AF_INET)?;
    ret!(put(k, map, 0, alone), -i64::from(libc::EINVAL));
    ret!(put(k, map, 0, map), -i64::from(libc::ENOTSOCK));
    ret!(put(k, map, 0, 9999), -i64::from(libc::EBADF));
    ret!(put(k, map, 2, all[0]), -i64::from(libc::E2BIG));
    let unix = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
    ret!(put(k, map, 0, unix), -524);
    ret!(put(k, map, 0, all[0]), 0);
    // The place comes before the socket (reuseport_array_update_check()).
    let value = (unix as u64).to_ne_bytes();
    err!(k.map_update(map, &key(0), &value, 1), EEXIST);
    err!(k.map_update(map, &key(1), &value, 2), ENOENT);
    // One place for each socket.
    ret!(put(k, map, 1, all[0]), -i64::from(libc::EBUSY));
    let mut cookie = [0; 8];
    ret!(k.map_lookup(map, &key(0), &mut cookie), 0);
    let (_, own) = k.getsockopt(all[0], SOL_SOCKET, libc::SO_COOKIE, 8);
    eq!(cookie.to_vec(), own);
    err!(k.map_lookup(map, &key(1), &mut cookie), ENOENT);
    ret!(k.map_delete(map, &key(0)), 0);
    err!(k.map_delete(map, &key(0)), ENOENT);
    // Closed, it is gone from there.
    ret!(put(k, map, 1, all[1]), 0);
    k.close(all[1]);
    err!(k.map_lookup(map, &key(1), &mut cookie), ENOENT);
    // Of four bytes the value takes a descriptor and tells nothing.
    let narrow = ok!(k.map_create(REUSEPORT_SOCKARRAY, 4, 4, 2));
    ret!(k.map_update(narrow, &key(0), &int(all[0] as i32), 0), 0);
    err!(k.map_lookup(narrow, &key(0), &mut cookie), ENOSPC);
    Ok(())
}

fn tcp_selects(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let mut addr = Addr::lo4(0);
    let mut all = Vec::new();
    for _ in 0..3 {
        let fd = ok!(k.socket(AF_INET, SOCK_STREAM | NB, 0));
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_REUSEPORT, 1), 0);
        ret!(k.bind(fd, &addr), 0);
        ret!(k.listen(fd, 4), 0);
        addr = k.sockname(fd)?;
        all.push(fd);
    }
    let map = ok!(k.map_create(REUSEPORT_SOCKARRAY, 4, 8, 1));
    ret!(put(k, map, 0, all[1]), 0);
    let program = k.program(SK_REUSEPORT, &selecting(map, 0))?;
    ret!(
        k.set_int(all[0], SOL_SOCKET, ATTACH_GROUP, program as i32),
        0
    );
    for _ in 0..3 {
        let client = k.tcp_socket(AF_INET, NB)?;
        k.connect_now(client, &addr)?;
        let server = k.accept_now(all[1])?;
        k.close(server);
        k.close(client);
    }
    // Dropped: as if nobody listened.
    let program = k.program(SK_REUSEPORT, &[mov(0, 0), EXIT])?;
    ret!(
        k.set_int(all[0], SOL_SOCKET, ATTACH_GROUP, program as i32),
        0
    );
    let client = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    err!(k.connect(client, &addr), ECONNREFUSED);
    Ok(())
}
