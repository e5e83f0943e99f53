//! The error queue: IP_RECVERR, IPV6_RECVERR and MSG_ERRQUEUE.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::{BAD, as_int};
use crate::msg::{Batch, Cmsg, Msg};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R, W, WB};
use libc::{
    AF_INET, AF_INET6, IPPROTO_IP, IPPROTO_IPV6, MSG_ERRQUEUE, MSG_PEEK, MSG_TRUNC, POLLERR,
    SOCK_DGRAM, SOCK_RAW, SOCK_STREAM, SOL_SOCKET,
};

tests! {
    stamps_of_a_stream_are_bounded,
    default_and_set,
    empty_queue,
    refused_of_unconnected,
    refused_of_connected,
    refused_ipv6,
    refused_of_mapped,
    other_level_of_mapped,
    dequeue_hands_the_error_on,
    error_is_taken_and_entry_stays,
    switched_off_drops_what_waits,
    short_buffer,
    peek_takes,
    recvfrom_gives_name_and_data,
    faults_lose_the_entry,
    control_is_cut,
    bounded_by_the_receive_buffer,
    quoted_no_further,
    several_by_recvmmsg,
    of_a_stream_is_empty,
    sending_is_told_first,
    too_long_is_a_local_error,
    too_long_of_a_raw_socket_is_one [ROOT],
}

const RECVERR: [(i32, i32, i32); 2] = [
    (AF_INET, IPPROTO_IP, libc::IP_RECVERR),
    (AF_INET6, IPPROTO_IPV6, libc::IPV6_RECVERR),
];

/// A datagram socket with the option on.
fn socket(k: &mut dyn Kernel, family: i32) -> Got<Fd> {
    let fd = ok!(k.socket(family, SOCK_DGRAM | NB, 0));
    let (level, name) = if family == AF_INET {
        (IPPROTO_IP, libc::IP_RECVERR)
    } else {
        (IPPROTO_IPV6, libc::IPV6_RECVERR)
    };
    ret!(k.set_int(fd, level, name, 1), 0);
    Ok(fd)
}

/// One that has sent `data` to a port that nobody has.
fn refused(k: &mut dyn Kernel, family: i32, data: &[u8]) -> Got<(Fd, Addr)> {
    let addr = k.closed_port(family, SOCK_DGRAM)?;
    let fd = socket(k, family)?;
    ret!(k.sendto(fd, data, 0, &addr), data.len());
    mask!(k, fd, WB | POLLERR);
    Ok((fd, addr))
}

fn take(k: &mut dyn Kernel, fd: Fd, room: usize) -> (i64, Msg) {
    let mut msg = Msg::room(&[room]).name_room(28).control_room(256);
    let n = k.recvmsg(fd, &mut msg, MSG_ERRQUEUE);
    (n, msg)
}

/// `struct sock_extended_err`: errno, then origin, type, code, pad; info; data.
fn extended(cmsg: &Cmsg) -> (i32, [u8; 4], i32, i32) {
    let d = &cmsg.data;
    (
        as_int(&d[..4]),
        [d[4], d[5], d[6], d[7]],
        as_int(&d[8..12]),
        as_int(&d[12..16]),
    )
}

fn default_and_set(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_DGRAM, SOCK_STREAM] {
        for (family, level, name) in RECVERR {
            let fd = ok!(k.socket(family, kind | NB, 0));
            eq!(k.get_int(fd, level, name)?, 0);
            for (value, shown) in [(1, 1), (0, 0), (-7, 1), (256, 1)] {
                ret!(k.set_int(fd, level, name, value), 0);
                eq!(k.get_int(fd, level, name)?, shown);
            }
        }
        let fd = ok!(k.socket(AF_INET, kind | NB, 0));
        ret!(k.setsockopt(fd, IPPROTO_IP, libc::IP_RECVERR, &[1]), 0);
        eq!(
            k.getsockopt(fd, IPPROTO_IP, libc::IP_RECVERR, 1),
            (0, vec![1])
        );
        ret!(k.setsockopt(fd, IPPROTO_IP, libc::IP_RECVERR, &[]), 0);
        eq!(k.get_int(fd, IPPROTO_IP, libc::IP_RECVERR)?, 0);
        err!(
            k.set_int(fd, IPPROTO_IPV6, libc::IPV6_RECVERR, 1),
            ENOPROTOOPT
        );
        let fd = ok!(k.socket(AF_INET6, kind | NB, 0));
        err!(
            k.setsockopt(fd, IPPROTO_IPV6, libc::IPV6_RECVERR, &[1]),
            EINVAL
        );
        // The other level's option is one of its own.
        ret!(k.set_int(fd, IPPROTO_IP, libc::IP_RECVERR, 1), 0);
        eq!(k.get_int(fd, IPPROTO_IPV6, libc::IPV6_RECVERR)?, 0);
    }
    Ok(())
}

fn empty_queue(k: &mut dyn Kernel) -> Outcome {
    for (family, ..) in RECVERR {
        let fd = socket(k, family)?;
        let (n, _) = take(k, fd, 16);
        err!(n, EAGAIN);
        // Nor does it wait for one, nor take a datagram.
        let blocking = ok!(k.socket(family, SOCK_DGRAM, 0));
        let (n, _) = take(k, blocking, 16);
        err!(n, EAGAIN);
        let (a, b) = k.udp_pair(family)?;
        ret!(k.send(a, b"data", 0), 4);
        let (n, _) = take(k, b, 16);
        err!(n, EAGAIN);
        mask!(k, b, R | WB);
    }
    Ok(())
}

fn refused_of_unconnected(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = refused(k, AF_INET, b"hello")?;
    let (n, msg) = take(k, fd, 64);
    ret!(n, 5);
    eq!(msg.data(5), b"hello");
    eq!(msg.flags(), MSG_ERRQUEUE);
    eq!(msg.peer(), addr);
    let cmsgs = msg.cmsgs();
    eq!(cmsgs.len(), 1);
    eq!(
        (cmsgs[0].level, cmsgs[0].kind),
        (IPPROTO_IP, libc::IP_RECVERR)
    );
    eq!(cmsgs[0].data.len(), 32);
    // SO_EE_ORIGIN_ICMP, destination unreachable, port unreachable.
    eq!(
        extended(&cmsgs[0]),
        (libc::ECONNREFUSED, [2, 3, 3, 0], 0, 0)
    );
    eq!(cmsgs[0].data[16..].to_vec(), Addr::lo4(0).0);
    mask!(k, fd, WB);
    eq!(k.so_error(fd)?, 0);
    let (n, _) = take(k, fd, 64);
    err!(n, EAGAIN);
    Ok(())
}

fn refused_of_connected(k: &mut dyn Kernel) -> Outcome {
    let addr = k.closed_port(AF_INET, SOCK_DGRAM)?;
    let fd = socket(k, AF_INET)?;
    ret!(k.connect(fd, &addr), 0);
    ret!(k.send(fd, b"abc", 0), 3);
    mask!(k, fd, WB | POLLERR);
    err!(k.recv(fd, &mut [0; 8], 0), ECONNREFUSED);
    // The error is told; the entry waits.
    mask!(k, fd, WB | POLLERR);
    let (n, msg) = take(k, fd, 64);
    ret!(n, 3);
    eq!(msg.peer(), addr);
    mask!(k, fd, WB);
    Ok(())
}

fn refused_ipv6(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = refused(k, AF_INET6, b"six")?;
    let (n, msg) = take(k, fd, 64);
    ret!(n, 3);
    eq!(msg.data(3), b"six");
    eq!(msg.peer(), addr);
    let cmsgs = msg.cmsgs();
    eq!(cmsgs.len(), 1);
    eq!(
        (cmsgs[0].level, cmsgs[0].kind),
        (IPPROTO_IPV6, libc::IPV6_RECVERR)
    );
    // SO_EE_ORIGIN_ICMP6, type 1, code 4.
    eq!(
        extended(&cmsgs[0]),
        (libc::ECONNREFUSED, [3, 1, 4, 0], 0, 0)
    );
    eq!(cmsgs[0].data[16..].to_vec(), Addr::lo6(0).0);
    mask!(k, fd, WB);
    Ok(())
}

fn refused_of_mapped(k: &mut dyn Kernel) -> Outcome {
    let addr = k.closed_port(AF_INET, SOCK_DGRAM)?;
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.set_int(fd, IPPROTO_IP, libc::IP_RECVERR, 1), 0);
    let mapped = Addr::mapped([127, 0, 0, 1], addr.port());
    ret!(k.sendto(fd, b"four", 0, &mapped), 4);
    mask!(k, fd, WB | POLLERR);
    let (n, msg) = take(k, fd, 64);
    ret!(n, 4);
    eq!(msg.peer(), mapped);
    let cmsgs = msg.cmsgs();
    eq!(cmsgs.len(), 1);
    // In the IPv6 form, about an ICMP error of IPv4.
    eq!(
        (cmsgs[0].level, cmsgs[0].kind),
        (IPPROTO_IPV6, libc::IPV6_RECVERR)
    );
    eq!(
        extended(&cmsgs[0]),
        (libc::ECONNREFUSED, [2, 3, 3, 0], 0, 0)
    );
    eq!(
        cmsgs[0].data[16..].to_vec(),
        Addr::mapped([127, 0, 0, 1], 0).0
    );
    Ok(())
}

fn other_level_of_mapped(k: &mut dyn Kernel) -> Outcome {
    // IPV6_RECVERR is about errors of IPv6.
    let addr = k.closed_port(AF_INET, SOCK_DGRAM)?;
    let fd = socket(k, AF_INET6)?;
    ret!(
        k.sendto(fd, b"four", 0, &Addr::mapped([127, 0, 0, 1], addr.port())),
        4
    );
    mask!(k, fd, WB);
    let (n, _) = take(k, fd, 64);
    err!(n, EAGAIN);
    // Connected, it is the pending error and no more.
    ret!(k.connect(fd, &Addr::mapped([127, 0, 0, 1], addr.port())), 0);
    ret!(k.send(fd, b"four", 0), 4);
    mask!(k, fd, WB | POLLERR);
    let (n, _) = take(k, fd, 64);
    err!(n, EAGAIN);
    eq!(k.so_error(fd)?, libc::ECONNREFUSED);
    Ok(())
}

/// Two entries in the queue, the pending error taken.
fn two(k: &mut dyn Kernel) -> Got<Fd> {
    let (fd, addr) = refused(k, AF_INET, b"one")?;
    err!(k.sendto(fd, b"no", 0, &addr), ECONNREFUSED);
    ret!(k.sendto(fd, b"second", 0, &addr), 6);
    mask!(k, fd, WB | POLLERR);
    eq!(k.so_error(fd)?, libc::ECONNREFUSED);
    eq!(k.so_error(fd)?, 0);
    mask!(k, fd, WB | POLLERR);
    Ok(fd)
}

fn dequeue_hands_the_error_on(k: &mut dyn Kernel) -> Outcome {
    let fd = two(k)?;
    let (n, _) = take(k, fd, 64);
    ret!(n, 3);
    // The next entry's error is pending now.
    eq!(k.so_error(fd)?, libc::ECONNREFUSED);
    mask!(k, fd, WB | POLLERR);
    let (n, msg) = take(k, fd, 64);
    ret!(n, 6);
    eq!(msg.data(6), b"second");
    mask!(k, fd, WB);
    let fd = two(k)?;
    let (n, _) = take(k, fd, 64);
    ret!(n, 3);
    err!(k.recv(fd, &mut [0; 4], 0), ECONNREFUSED);
    err!(k.recv(fd, &mut [0; 4], 0), EAGAIN);
    // The last one takes the pending error along.
    let fd = two(k)?;
    ret!(take(k, fd, 64).0, 3);
    ret!(take(k, fd, 64).0, 6);
    err!(k.recv(fd, &mut [0; 4], 0), EAGAIN);
    Ok(())
}

fn error_is_taken_and_entry_stays(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = refused(k, AF_INET, b"x")?;
    eq!(k.so_error(fd)?, libc::ECONNREFUSED);
    eq!(k.so_error(fd)?, 0);
    mask!(k, fd, WB | POLLERR);
    ret!(take(k, fd, 64).0, 1);
    mask!(k, fd, WB);
    Ok(())
}

fn switched_off_drops_what_waits(k: &mut dyn Kernel) -> Outcome {
    for (family, level, name) in RECVERR {
        let (fd, _) = refused(k, family, b"x")?;
        ret!(k.set_int(fd, level, name, 0), 0);
        err!(take(k, fd, 64).0, EAGAIN);
        // The pending error is not of the queue.
        eq!(k.so_error(fd)?, libc::ECONNREFUSED);
        mask!(k, fd, WB);
    }
    Ok(())
}

fn short_buffer(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = refused(k, AF_INET, b"0123456789")?;
    let mut msg = Msg::room(&[4]).name_room(4).control_room(256);
    // Asking for the real length changes nothing here.
    ret!(k.recvmsg(fd, &mut msg, MSG_ERRQUEUE | MSG_TRUNC), 4);
    eq!(msg.data(4), b"0123");
    eq!(msg.flags(), MSG_ERRQUEUE | MSG_TRUNC);
    eq!(msg.hdr.msg_namelen, 16);
    err!(take(k, fd, 64).0, EAGAIN);
    let (fd, _) = refused(k, AF_INET, b"")?;
    let (n, msg) = take(k, fd, 64);
    ret!(n, 0);
    eq!(msg.flags(), MSG_ERRQUEUE);
    Ok(())
}

fn peek_takes(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = refused(k, AF_INET, b"x")?;
    let mut msg = Msg::room(&[4]).control_room(256);
    ret!(k.recvmsg(fd, &mut msg, MSG_ERRQUEUE | MSG_PEEK), 1);
    err!(take(k, fd, 64).0, EAGAIN);
    Ok(())
}

fn recvfrom_gives_name_and_data(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = refused(k, AF_INET, b"abcdef")?;
    let mut buf = [0; 32];
    let (n, from) = k.recvfrom(fd, &mut buf, MSG_ERRQUEUE);
    ret!(n, 6);
    eq!(&buf[..6], b"abcdef");
    eq!(from, addr);
    err!(k.recv(fd, &mut buf, MSG_ERRQUEUE), EAGAIN);
    mask!(k, fd, WB);
    Ok(())
}

fn faults_lose_the_entry(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = refused(k, AF_INET, b"abcdef")?;
    err!(k.recv_raw(fd, BAD, 8, MSG_ERRQUEUE), EFAULT);
    err!(take(k, fd, 64).0, EAGAIN);
    eq!(k.so_error(fd)?, 0);
    Ok(())
}

fn control_is_cut(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = refused(k, AF_INET, b"abc")?;
    let mut msg = Msg::room(&[8]).control_room(32);
    ret!(k.recvmsg(fd, &mut msg, MSG_ERRQUEUE), 3);
    eq!(msg.flags(), MSG_ERRQUEUE | libc::MSG_CTRUNC);
    let cmsgs = msg.cmsgs();
    eq!(cmsgs.len(), 1);
    eq!(extended(&cmsgs[0]).0, libc::ECONNREFUSED);
    let (fd, _) = refused(k, AF_INET, b"abc")?;
    let mut msg = Msg::room(&[8]);
    ret!(k.recvmsg(fd, &mut msg, MSG_ERRQUEUE), 3);
    eq!(msg.flags(), MSG_ERRQUEUE | libc::MSG_CTRUNC);
    Ok(())
}

fn bounded_by_the_receive_buffer(k: &mut dyn Kernel) -> Outcome {
    for (family, size, most) in [
        (AF_INET, 1, 12),
        (AF_INET, 300, 7),
        (AF_INET6, 1, 12),
        (AF_INET6, 600, 4),
    ] {
        let addr = k.closed_port(family, SOCK_DGRAM)?;
        let fd = socket(k, family)?;
        ret!(k.set_int(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, 5000), 0);
        for _ in 0..20 {
            ret!(k.sendto(fd, &vec![7; size], 0, &addr), size);
            // The pending error is set whether or not the entry fits.
            eq!(k.so_error(fd)?, libc::ECONNREFUSED);
        }
        let mut count = 0;
        while take(k, fd, 2000).0 >= 0 {
            count += 1;
        }
        eq!((family, size, count), (family, size, most));
    }
    Ok(())
}

fn quoted_no_further(k: &mut dyn Kernel) -> Outcome {
    // An ICMP error has 576 bytes, an ICMPv6 error 1280.
    for (family, most) in [(AF_INET, 520), (AF_INET6, 1184)] {
        let (fd, _) = refused(k, family, &[9; 3000])?;
        let (n, msg) = take(k, fd, 4000);
        ret!(n, most);
        eq!(msg.flags(), MSG_ERRQUEUE);
        check!(msg.data(n).iter().all(|b| *b == 9), "the bytes differ");
    }
    Ok(())
}

fn several_by_recvmmsg(k: &mut dyn Kernel) -> Outcome {
    // ip_recv_error() does not know MSG_PEEK.
    for peek in [0, MSG_PEEK] {
        let fd = two(k)?;
        let room = || Msg::room(&[16]).name_room(16).control_room(128);
        let mut batch = Batch::new(vec![room(), room(), room()]);
        let flags = MSG_ERRQUEUE | peek;
        ret!(k.recvmmsg_raw(fd, batch.ptr(), batch.len(), flags, 0), 2);
        batch.take_back();
        eq!(batch.lens()[..2].to_vec(), vec![3, 6]);
        eq!(batch.msgs[1].data(6), b"second");
        mask!(k, fd, WB);
    }
    Ok(())
}

fn of_a_stream_is_empty(k: &mut dyn Kernel) -> Outcome {
    // No ICMP comes on lo for a TCP segment.
    for (family, level, name) in RECVERR {
        let addr = k.closed_port(family, SOCK_STREAM)?;
        let fd = ok!(k.socket(family, SOCK_STREAM, 0));
        ret!(k.set_int(fd, level, name, 1), 0);
        err!(k.connect(fd, &addr), ECONNREFUSED);
        err!(take(k, fd, 64).0, EAGAIN);
        let tcp = k.tcp(family)?;
        ret!(k.send(tcp.client, b"data", 0), 4);
        err!(take(k, tcp.server, 64).0, EAGAIN);
        eq!(k.recv_now(tcp.server)?, b"data");
    }
    Ok(())
}

fn sending_is_told_first(k: &mut dyn Kernel) -> Outcome {
    // Also to another destination.
    let (fd, _) = refused(k, AF_INET, b"x")?;
    let (peer, there) = k.udp(AF_INET)?;
    err!(k.sendto(fd, b"y", 0, &there), ECONNREFUSED);
    ret!(k.sendto(fd, b"y", 0, &there), 1);
    eq!(k.recv_now(peer)?, b"y");
    mask!(k, fd, WB | POLLERR);
    Ok(())
}

fn too_long_is_a_local_error(k: &mut dyn Kernel) -> Outcome {
    // SO_EE_ORIGIN_LOCAL, with what the path takes. There is no offender, and no pending error.
    let fd = socket(k, AF_INET)?;
    let (_peer, addr) = k.udp(AF_INET)?;
    err!(k.sendto(fd, &vec![0; 65508], 0, &addr), EMSGSIZE);
    mask!(k, fd, WB | POLLERR);
    eq!(k.so_error(fd)?, 0);
    let (n, msg) = take(k, fd, 64);
    ret!(n, 0);
    eq!(msg.flags(), MSG_ERRQUEUE);
    // The port is that of a connection.
    eq!(msg.peer(), Addr::lo4(0));
    eq!(
        extended(&msg.cmsgs()[0]),
        (libc::EMSGSIZE, [1, 0, 0, 0], 0xffff, 0)
    );
    eq!(msg.cmsgs()[0].data[16..].to_vec(), vec![0; 16]);
    mask!(k, fd, WB);
    ret!(k.connect(fd, &addr), 0);
    err!(k.send(fd, &vec![0; 65508], 0), EMSGSIZE);
    eq!(take(k, fd, 64).1.peer(), addr);
    // What no datagram can hold is refused before the path is looked at.
    err!(k.send(fd, &vec![0; 65536], 0), EMSGSIZE);
    err!(take(k, fd, 64).0, EAGAIN);
    // IPv6 tells the port, and counts the header in the MTU of lo.
    let fd = socket(k, AF_INET6)?;
    let (_peer, addr) = k.udp(AF_INET6)?;
    err!(k.sendto(fd, &vec![0; 65528], 0, &addr), EMSGSIZE);
    let (n, msg) = take(k, fd, 64);
    ret!(n, 0);
    eq!(msg.peer(), addr);
    eq!(
        extended(&msg.cmsgs()[0]),
        (libc::EMSGSIZE, [1, 0, 0, 0], 0x10000, 0)
    );
    // Without the option nothing is queued.
    let (fd, _) = k.udp(AF_INET)?;
    let (_peer, addr) = k.udp(AF_INET)?;
    err!(k.sendto(fd, &vec![0; 65508], 0, &addr), EMSGSIZE);
    err!(take(k, fd, 64).0, EAGAIN);
    Ok(())
}

fn too_long_of_a_raw_socket_is_one(k: &mut dyn Kernel) -> Outcome {
    for (family, level, option, discover, len, addr) in [
        (
            AF_INET,
            IPPROTO_IP,
            libc::IP_RECVERR,
            libc::IP_MTU_DISCOVER,
            65516,
            Addr::lo4(0),
        ),
        (
            AF_INET6,
            IPPROTO_IPV6,
            libc::IPV6_RECVERR,
            libc::IPV6_MTU_DISCOVER,
            65536,
            Addr::lo6(0),
        ),
    ] {
        let fd = ok!(k.socket(family, SOCK_RAW | NB, 200));
        err!(k.sendto(fd, &vec![0; len], 0, &addr), EMSGSIZE);
        err!(take(k, fd, 64).0, EAGAIN);
        ret!(k.set_int(fd, level, option, 1), 0);
        // IP_PMTUDISC_WANT and IP_PMTUDISC_PROBE, which looks at the link.
        for (how, v4_mtu) in [(1, 0xffff), (3, 0x10000)] {
            ret!(k.set_int(fd, level, discover, how), 0);
            err!(k.sendto(fd, &vec![0; len + 1], 0, &addr), EMSGSIZE);
            eq!(k.so_error(fd)?, 0);
            let (n, msg) = take(k, fd, 64);
            ret!(n, 0);
            eq!(msg.peer(), addr.clone());
            let mtu = if family == AF_INET { v4_mtu } else { 0x10000 };
            eq!(
                extended(&msg.cmsgs()[0]),
                (libc::EMSGSIZE, [1, 0, 0, 0], mtu, 0)
            );
        }
    }
    Ok(())
}

/// sock_queue_err_skb(): what a stream is told of what it sent takes room of its receive buffer, and is lost where there is
/// none.
fn stamps_of_a_stream_are_bounded(k: &mut dyn Kernel) -> Outcome {
    /// SO_TIMESTAMPING: TX_SOFTWARE and SOFTWARE, and OPT_ID with OPT_TSONLY.
    const PLAIN: i32 = 2 | 16;
    const BARE: i32 = PLAIN | 1 << 7 | 1 << 11;
    for (flags, len, most) in [(BARE, 100, 48), (PLAIN, 100, 42), (PLAIN, 1000, 21)] {
        let t = k.tcp(AF_INET)?;
        ret!(k.set_int(t.client, SOL_SOCKET, libc::SO_RCVBUF, 20_000), 0);
        ret!(
            k.set_int(t.client, SOL_SOCKET, libc::SO_TIMESTAMPING, flags),
            0
        );
        ret!(
            k.set_int(t.client, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1),
            0
        );
        for _ in 0..most + 10 {
            ret!(k.send(t.client, &vec![0; len], 0), len as i64);
            mask!(k, t.server, R | W);
            ret!(k.recv(t.server, &mut vec![0; len], 0), len as i64);
        }
        let mut told = 0;
        loop {
            let mut msg = Msg::room(&[0]).control_room(512);
            match k.recvmsg(t.client, &mut msg, libc::MSG_ERRQUEUE) {
                got if got == -i64::from(libc::EAGAIN) => break,
                got => ret!(got, 0),
            }
            told += 1;
        }
        eq!(told, most);
    }
    Ok(())
}
