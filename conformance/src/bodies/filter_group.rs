//! SO_ATTACH_REUSEPORT_CBPF and SO_DETACH_REUSEPORT_BPF: a program chooses who of a group gets a packet.

use crate::addr::Addr;
use crate::cbpf::{Insn, RET_A, insn, ldb, ret_k, stmt};
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{AF_INET, AF_INET6, AF_UNIX, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET};

tests! {
    needs_a_group,
    detach_errors,
    one_program_for_the_group,
    udp_choice_by_content,
    no_such_member_falls_back,
    last_member_takes_the_place_of_one_that_closes,
    founder_cannot_join,
    program_before_bind,
    invalid_programs,
    tcp_choice,
    tcp_program_before_listen,
    tcp_child_has_none,
}

const ATTACH: i32 = libc::SO_ATTACH_REUSEPORT_CBPF;
/// Not in libc for every target.
const DETACH: i32 = 68;

/// The first byte of the data is the member.
const BY_FIRST_BYTE: [Insn; 2] = [ldb(0), RET_A];

fn reuseport(k: &mut dyn Kernel, family: i32, kind: i32) -> Got<Fd> {
    let fd = ok!(k.socket(family, kind | NB, 0));
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_REUSEPORT, 1), 0);
    Ok(fd)
}

/// `n` UDP sockets that share an address, in the order of their binding.
fn group(k: &mut dyn Kernel, family: i32, n: usize) -> Got<(Vec<Fd>, Addr)> {
    let first = reuseport(k, family, SOCK_DGRAM)?;
    ret!(k.bind(first, &Addr::lo(family, 0)), 0);
    let addr = k.sockname(first)?;
    let mut all = vec![first];
    while all.len() < n {
        let fd = reuseport(k, family, SOCK_DGRAM)?;
        ret!(k.bind(fd, &addr), 0);
        all.push(fd);
    }
    Ok((all, addr))
}

/// Who of them got a datagram that begins with `byte`.
pub(super) fn who(k: &mut dyn Kernel, members: &[Fd], addr: &Addr, byte: u8) -> Got<Vec<usize>> {
    let (sender, _) = k.udp(if addr.0.len() == 16 {
        AF_INET
    } else {
        AF_INET6
    })?;
    ret!(k.sendto(sender, &[byte, 1, 2], 0, addr), 3);
    k.close(sender);
    let mut got = Vec::new();
    for (at, fd) in members.iter().enumerate() {
        if k.recv(*fd, &mut [0; 8], libc::MSG_DONTWAIT) == 3 {
            got.push(at);
        }
    }
    Ok(got)
}

fn needs_a_group(k: &mut dyn Kernel) -> Outcome {
    for (family, kind) in [
        (AF_INET, SOCK_DGRAM),
        (AF_INET6, SOCK_STREAM),
        (AF_UNIX, SOCK_DGRAM),
    ] {
        let fd = ok!(k.socket(family, kind, 0));
        err!(k.attach_as(fd, ATTACH, &[ret_k(0)]), EINVAL);
    }
    // Bound without: it is in no group, whatever is set later.
    let (fd, _) = k.udp(AF_INET)?;
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_REUSEPORT, 1), 0);
    err!(k.attach_as(fd, ATTACH, &[ret_k(0)]), EINVAL);
    // Bound with: it stays in one.
    let (all, _) = group(k, AF_INET, 1)?;
    ret!(k.set_int(all[0], SOL_SOCKET, libc::SO_REUSEPORT, 0), 0);
    ret!(k.attach_as(all[0], ATTACH, &[ret_k(0)]), 0);
    Ok(())
}

fn detach_errors(k: &mut dyn Kernel) -> Outcome {
    let plain = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    err!(k.set_int(plain, SOL_SOCKET, DETACH, 0), EINVAL);
    let unix = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
    err!(k.set_int(unix, SOL_SOCKET, DETACH, 0), EINVAL);
    let fd = reuseport(k, AF_INET, SOCK_DGRAM)?;
    err!(k.set_int(fd, SOL_SOCKET, DETACH, 0), ENOENT);
    err!(k.setsockopt(fd, SOL_SOCKET, DETACH, &[0; 3]), EINVAL);
    let (all, addr) = group(k, AF_INET, 2)?;
    err!(k.set_int(all[0], SOL_SOCKET, DETACH, 0), ENOENT);
    ret!(k.attach_as(all[0], ATTACH, &[ret_k(1)]), 0);
    eq!(who(k, &all, &addr, 0)?, vec![1]);
    // A lock does not keep it.
    ret!(k.set_int(all[1], SOL_SOCKET, libc::SO_LOCK_FILTER, 1), 0);
    err!(k.attach_as(all[1], ATTACH, &[ret_k(0)]), EPERM);
    ret!(k.set_int(all[1], SOL_SOCKET, DETACH, 0), 0);
    err!(k.set_int(all[0], SOL_SOCKET, DETACH, 0), ENOENT);
    let (got, _) = k.getsockopt(all[0], SOL_SOCKET, ATTACH, 4);
    eq!(got, -i64::from(libc::ENOPROTOOPT));
    let (got, _) = k.getsockopt(all[0], SOL_SOCKET, DETACH, 4);
    eq!(got, -i64::from(libc::ENOPROTOOPT));
    Ok(())
}

fn one_program_for_the_group(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (mut all, addr) = group(k, family, 2)?;
        ret!(k.attach_as(all[1], ATTACH, &[ret_k(1)]), 0);
        eq!(who(k, &all, &addr, 0)?, vec![1]);
        ret!(k.attach_as(all[0], ATTACH, &[ret_k(0)]), 0);
        eq!(who(k, &all, &addr, 0)?, vec![0]);
        // Who comes later is under it too.
        let late = reuseport(k, family, SOCK_DGRAM)?;
        ret!(k.bind(late, &addr), 0);
        all.push(late);
        eq!(who(k, &all, &addr, 0)?, vec![0]);
        ret!(k.attach_as(late, ATTACH, &[ret_k(2)]), 0);
        eq!(who(k, &all, &addr, 0)?, vec![2]);
        // It is no filter of the socket's own.
        eq!(k.get_filter(all[0], 0).1, 0);
        ret!(k.attach(all[2], &[ret_k(0)]), 0);
        eq!(who(k, &all, &addr, 0)?, vec![]);
    }
    Ok(())
}

fn udp_choice_by_content(k: &mut dyn Kernel) -> Outcome {
    let (all, addr) = group(k, AF_INET, 4)?;
    ret!(k.attach_as(all[0], ATTACH, &BY_FIRST_BYTE), 0);
    for member in [2, 0, 3, 1, 1] {
        eq!(who(k, &all, &addr, member)?, vec![usize::from(member)]);
    }
    // It sees the data and how long it is; the headers are before it.
    ret!(k.attach_as(all[0], ATTACH, &[stmt(0x80, 0), RET_A]), 0);
    eq!(who(k, &all, &addr, 0)?, vec![3]);
    let net = libc::SKF_NET_OFF as u32;
    let by_protocol = [ldb(net + 9), insn(0x15, 0, 1, 17), ret_k(2), ret_k(1)];
    ret!(k.attach_as(all[0], ATTACH, &by_protocol), 0);
    eq!(who(k, &all, &addr, 0)?, vec![2]);
    Ok(())
}

/// A number that no member has leaves it to the hash: somebody gets it, and the same one each time for one sender.
fn no_such_member_falls_back(k: &mut dyn Kernel) -> Outcome {
    let (all, addr) = group(k, AF_INET, 3)?;
    ret!(k.attach_as(all[0], ATTACH, &BY_FIRST_BYTE), 0);
    for byte in [3, 200] {
        let got = who(k, &all, &addr, byte)?;
        check!(got.len() == 1, "{got:?}");
    }
    ret!(k.attach_as(all[0], ATTACH, &[ret_k(u32::MAX)]), 0);
    let got = who(k, &all, &addr, 0)?;
    check!(got.len() == 1, "{got:?}");
    // A load from beyond the data returns 0, which is a member.
    ret!(k.attach_as(all[0], ATTACH, &[ldb(100), ret_k(2)]), 0);
    eq!(who(k, &all, &addr, 2)?, vec![0]);
    Ok(())
}

fn last_member_takes_the_place_of_one_that_closes(k: &mut dyn Kernel) -> Outcome {
    let (mut all, addr) = group(k, AF_INET, 4)?;
    ret!(k.attach_as(all[0], ATTACH, &BY_FIRST_BYTE), 0);
    k.close(all[1]);
    let last = all.remove(3);
    all[1] = last;
    for member in 0..3 {
        eq!(who(k, &all, &addr, member)?, vec![usize::from(member)]);
    }
    k.close(all[0]);
    let last = all.remove(2);
    all[0] = last;
    for member in 0..2 {
        eq!(who(k, &all, &addr, member)?, vec![usize::from(member)]);
    }
    k.close(all[1]);
    all.truncate(1);
    eq!(who(k, &all, &addr, 0)?, vec![0]);
    eq!(who(k, &all, &addr, 1)?, vec![0]);
    Ok(())
}

/// A program before bind(2) founds a group: its socket can be joined, and can join no other.
fn founder_cannot_join(k: &mut dyn Kernel) -> Outcome {
    let (_, addr) = group(k, AF_INET, 2)?;
    let late = reuseport(k, AF_INET, SOCK_DGRAM)?;
    ret!(k.attach_as(late, ATTACH, &[ret_k(0)]), 0);
    err!(k.bind(late, &addr), EADDRINUSE);
    let (_, addr) = listeners(k, AF_INET, 1)?;
    let late = reuseport(k, AF_INET, SOCK_STREAM)?;
    ret!(k.attach_as(late, ATTACH, &[ret_k(0)]), 0);
    err!(k.bind(late, &addr), EADDRINUSE);
    Ok(())
}

fn program_before_bind(k: &mut dyn Kernel) -> Outcome {
    let first = reuseport(k, AF_INET, SOCK_DGRAM)?;
    ret!(k.attach_as(first, ATTACH, &[ret_k(1)]), 0);
    ret!(k.bind(first, &Addr::lo4(0)), 0);
    let addr = k.sockname(first)?;
    let second = reuseport(k, AF_INET, SOCK_DGRAM)?;
    ret!(k.bind(second, &addr), 0);
    eq!(who(k, &[first, second], &addr, 0)?, vec![1]);
    Ok(())
}

fn invalid_programs(k: &mut dyn Kernel) -> Outcome {
    let fd = reuseport(k, AF_INET, SOCK_DGRAM)?;
    err!(k.attach_as(fd, ATTACH, &[]), EINVAL);
    err!(k.attach_as(fd, ATTACH, &[ldb(0)]), EINVAL);
    err!(k.setsockopt(fd, SOL_SOCKET, ATTACH, &[0; 4]), EINVAL);
    err!(k.setsockopt(fd, SOL_SOCKET, ATTACH, &[0; 15]), EINVAL);
    // The program is looked at before the socket.
    let unix = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    err!(k.attach_as(unix, ATTACH, &[ldb(0)]), EINVAL);
    Ok(())
}

/// `n` listeners that share an address.
fn listeners(k: &mut dyn Kernel, family: i32, n: usize) -> Got<(Vec<Fd>, Addr)> {
    let first = reuseport(k, family, SOCK_STREAM)?;
    ret!(k.bind(first, &Addr::lo(family, 0)), 0);
    ret!(k.listen(first, 8), 0);
    let addr = k.sockname(first)?;
    let mut all = vec![first];
    while all.len() < n {
        let fd = reuseport(k, family, SOCK_STREAM)?;
        ret!(k.bind(fd, &addr), 0);
        ret!(k.listen(fd, 8), 0);
        all.push(fd);
    }
    Ok((all, addr))
}

/// Which listener gets a connection.
fn which(k: &mut dyn Kernel, all: &[Fd], addr: &Addr) -> Got<Vec<usize>> {
    let client = k.tcp_socket(
        if addr.0.len() == 16 {
            AF_INET
        } else {
            AF_INET6
        },
        NB,
    )?;
    k.connect_now(client, addr)?;
    let mut got = Vec::new();
    for (at, fd) in all.iter().enumerate() {
        let server = k.accept(*fd);
        if server >= 0 {
            got.push(at);
            k.close(server);
        }
    }
    k.close(client);
    Ok(got)
}

fn tcp_choice(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (mut all, addr) = listeners(k, family, 3)?;
        for member in [1, 2, 0] {
            ret!(k.attach_as(all[0], ATTACH, &[ret_k(member)]), 0);
            eq!(which(k, &all, &addr)?, vec![member as usize]);
        }
        // A SYN has no data, so that a load of its first byte fails: 0.
        ret!(k.attach_as(all[0], ATTACH, &[ldb(0), ret_k(2)]), 0);
        eq!(which(k, &all, &addr)?, vec![0]);
        ret!(k.attach_as(all[0], ATTACH, &[ret_k(7)]), 0);
        eq!(which(k, &all, &addr)?.len(), 1);
        // The last takes the place of the one that closes.
        ret!(k.attach_as(all[0], ATTACH, &[ret_k(0)]), 0);
        k.close(all[0]);
        let last = all.remove(2);
        all[0] = last;
        eq!(which(k, &all, &addr)?, vec![0]);
        ret!(k.set_int(all[1], SOL_SOCKET, DETACH, 0), 0);
        eq!(which(k, &all, &addr)?.len(), 1);
    }
    Ok(())
}

fn tcp_program_before_listen(k: &mut dyn Kernel) -> Outcome {
    let first = reuseport(k, AF_INET, SOCK_STREAM)?;
    ret!(k.attach_as(first, ATTACH, &[ret_k(1)]), 0);
    ret!(k.bind(first, &Addr::lo4(0)), 0);
    ret!(k.attach_as(first, ATTACH, &[ret_k(1)]), 0);
    ret!(k.listen(first, 8), 0);
    let addr = k.sockname(first)?;
    let second = reuseport(k, AF_INET, SOCK_STREAM)?;
    ret!(k.bind(second, &addr), 0);
    ret!(k.listen(second, 8), 0);
    eq!(which(k, &[first, second], &addr)?, vec![1]);
    // A socket joins when it listens: one that has founded a group by then cannot.
    let third = reuseport(k, AF_INET, SOCK_STREAM)?;
    ret!(k.bind(third, &addr), 0);
    ret!(k.attach_as(third, ATTACH, &[ret_k(0)]), 0);
    err!(k.listen(third, 8), EADDRINUSE);
    Ok(())
}

fn tcp_child_has_none(k: &mut dyn Kernel) -> Outcome {
    let (all, addr) = listeners(k, AF_INET, 1)?;
    ret!(k.attach_as(all[0], ATTACH, &[ret_k(0)]), 0);
    let client = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(client, &addr)?;
    let server = k.accept_now(all[0])?;
    err!(k.set_int(server, SOL_SOCKET, DETACH, 0), ENOENT);
    err!(k.attach_as(server, ATTACH, &[ret_k(0)]), EINVAL);
    Ok(())
}
