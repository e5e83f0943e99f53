//! What long runs of lockstep found: addresses that stand in for another, edges of reconnecting, and who takes an error.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::mem::int;
use crate::msg::{Batch, Msg, cmsg};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R, W};
use libc::{
    AF_INET, AF_INET6, AF_UNIX, IPPROTO_IPV6, MSG_WAITALL, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM,
    SOL_SOCKET,
};

tests! {
    a_connection_of_ipv6_stands_for_ipv4,
    a_kept_address_stands_for_ipv4,
    reconnecting_is_an_edge [EPOLL],
    a_sticky_interface_that_is_not_there,
    raw_asks_no_sticky_interface [ROOT],
    an_error_is_taken_once,
    device_memory_before_the_connection,
    bind_forgets_the_way,
}

const SCM_DEVMEM_DMABUF: i32 = 79;
/// An index that no interface has.
const NOWHERE: u32 = 123_456;
/// What a connection shows that was reset.
const GONE: i16 = R | W | libc::POLLERR | libc::POLLHUP | libc::POLLRDHUP;
const OUT: u32 = libc::EPOLLOUT as u32;

/// What bind(2) of a new IPv4 socket says.
fn binds(k: &mut dyn Kernel, kind: i32, ip: [u8; 4], port: u16) -> Got<i64> {
    let fd = ok!(k.socket(AF_INET, kind, 0));
    let got = k.bind(fd, &Addr::v4(ip, port));
    k.close(fd);
    Ok(got)
}

const IN_USE: i64 = -(libc::EADDRINUSE as i64);

/// LOOPBACK4_IPV6: of a socket whose IPv6 address connect(2) chose. What bind(2) is given speaks IPv6 only.
fn a_connection_of_ipv6_stands_for_ipv4(k: &mut dyn Kernel) -> Outcome {
    // The port that it got may be somebody's in IPv4 already, if only in TIME_WAIT: that is not so thrice.
    for last in [false, false, true] {
        let tcp = k.tcp(AF_INET6)?;
        let port = k.sockname(tcp.client)?.port();
        eq!(binds(k, SOCK_STREAM, [0; 4], port)?, IN_USE);
        let got = [
            binds(k, SOCK_STREAM, [127, 0, 0, 1], port)?,
            binds(k, SOCK_STREAM, [127, 0, 0, 6], port)?,
            binds(k, SOCK_STREAM, [0; 4], tcp.addr.port())?,
        ];
        if last || got == [0; 3] {
            eq!(got, [0; 3]);
            break;
        }
    }

    let (_, addr) = k.udp(AF_INET6)?;
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    ret!(k.connect(fd, &addr), 0);
    let port = k.sockname(fd)?.port();
    eq!(binds(k, SOCK_DGRAM, [0; 4], port)?, IN_USE);
    eq!(binds(k, SOCK_DGRAM, [127, 0, 0, 1], port)?, 0);
    eq!(binds(k, SOCK_DGRAM, [127, 0, 0, 6], port)?, IN_USE);
    eq!(binds(k, SOCK_DGRAM, [0; 4], addr.port())?, 0);
    Ok(())
}

/// bind(2) to port 0 leaves a socket its address when a disconnect takes the port, and then IPV6_V6ONLY can go.
fn a_kept_address_stands_for_ipv4(k: &mut dyn Kernel) -> Outcome {
    let (_, closed) = k.udp(AF_INET)?;
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    ret!(k.bind(fd, &Addr::lo6(0)), 0);
    eq!(k.get_int(fd, IPPROTO_IPV6, libc::IPV6_V6ONLY)?, 1);
    err!(k.set_int(fd, IPPROTO_IPV6, libc::IPV6_V6ONLY, 0), EINVAL);
    ret!(k.connect(fd, &Addr::unspec()), 0);
    ret!(k.set_int(fd, IPPROTO_IPV6, libc::IPV6_V6ONLY, 0), 0);
    ret!(k.connect(fd, &closed), 0);
    let own = k.sockname(fd)?;
    eq!(own.clone(), Addr::lo6(own.port()));
    eq!(binds(k, SOCK_DGRAM, [0; 4], own.port())?, IN_USE);
    eq!(binds(k, SOCK_DGRAM, [127, 0, 0, 6], own.port())?, IN_USE);
    eq!(binds(k, SOCK_DGRAM, [127, 0, 0, 1], own.port())?, 0);
    Ok(())
}

/// An edge-triggered instance, which has told what there is.
fn edges(k: &mut dyn Kernel, fd: Fd, events: u32) -> Got<Fd> {
    let ep = ok!(k.call(libc::SYS_epoll_create1, &[0]));
    let event = libc::epoll_event {
        events: events | libc::EPOLLET as u32,
        u64: fd as u64,
    };
    let args = [ep as u64, 1, fd as u64, &raw const event as u64];
    ret!(k.call(libc::SYS_epoll_ctl, &args), 0);
    eq!(edge(k, ep)?, OUT);
    Ok(ep)
}

fn edge(k: &mut dyn Kernel, ep: Fd) -> Got<u32> {
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    let args = [ep as u64, &raw mut event as u64, 1, 0];
    let count = ok!(k.call(libc::SYS_epoll_wait, &args));
    Ok(if count == 1 { event.events } else { 0 })
}

/// unix_dgram_peer_wake_disconnect_wakeup(): whoever had a peer may write again.
fn reconnecting_is_an_edge(k: &mut dyn Kernel) -> Outcome {
    let (_, first) = k.unix_bound(SOCK_DGRAM, "first")?;
    let (_, second) = k.unix_bound(SOCK_DGRAM, "second")?;
    let fd = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
    let ep = edges(k, fd, OUT)?;
    ret!(k.connect(fd, &first), 0);
    eq!(edge(k, ep)?, 0);
    for to in [&first, &second, &second, &first, &Addr::unspec()] {
        ret!(k.connect(fd, to), 0);
        eq!((to, edge(k, ep)?), (to, OUT));
        eq!(edge(k, ep)?, 0);
    }
    ret!(k.connect(fd, &Addr::unspec()), 0);
    eq!(edge(k, ep)?, 0);
    // And what it may read does not matter.
    let ep = ok!(k.call(libc::SYS_epoll_create1, &[0]));
    let event = libc::epoll_event {
        events: (libc::EPOLLIN | libc::EPOLLET) as u32,
        u64: 0,
    };
    let args = [ep as u64, 1, fd as u64, &raw const event as u64];
    ret!(k.call(libc::SYS_epoll_ctl, &args), 0);
    ret!(k.connect(fd, &first), 0);
    ret!(k.connect(fd, &first), 0);
    eq!(edge(k, ep)?, 0);
    Ok(())
}

/// `struct in6_pktinfo`
fn pktinfo(ip: [u8; 16], index: u32) -> Vec<u8> {
    [&ip[..], &index.to_ne_bytes()].concat()
}

fn with_info(k: &mut dyn Kernel, fd: Fd, info: &[u8], data: &[u8]) -> i64 {
    let control = cmsg(IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
    let mut msg = Msg::of(&[data]).control(&control);
    k.sendmsg(fd, &mut msg, 0)
}

/// The option takes any interface, and finds no way by it; a message names one that is there.
fn a_sticky_interface_that_is_not_there(k: &mut dyn Kernel) -> Outcome {
    let (_, addr) = k.udp(AF_INET6)?;
    let sticky = pktinfo([0; 16], NOWHERE);
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(
        k.setsockopt(fd, IPPROTO_IPV6, libc::IPV6_PKTINFO, &sticky),
        0
    );
    err!(k.sendto(fd, b"x", 0, &addr), ENETUNREACH);
    err!(k.connect(fd, &addr), ENETUNREACH);
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.connect(fd, &addr), 0);
    ret!(
        k.setsockopt(fd, IPPROTO_IPV6, libc::IPV6_PKTINFO, &sticky),
        0
    );
    err!(k.send(fd, b"x", 0), ENETUNREACH);
    err!(with_info(k, fd, &pktinfo([0; 16], 1), b"x"), EINVAL);
    err!(with_info(k, fd, &pktinfo([0; 16], 0), b"x"), ENODEV);
    Ok(())
}

/// rawv6_sendmsg()
fn raw_asks_no_sticky_interface(k: &mut dyn Kernel) -> Outcome {
    let sticky = pktinfo([0; 16], NOWHERE);
    let fd = ok!(k.socket(AF_INET6, SOCK_RAW | NB, 253));
    ret!(
        k.setsockopt(fd, IPPROTO_IPV6, libc::IPV6_PKTINFO, &sticky),
        0
    );
    ret!(k.sendto(fd, b"to one", 0, &Addr::lo6(0)), 6);
    err!(k.connect(fd, &Addr::lo6(0)), ENETUNREACH);
    let fd = ok!(k.socket(AF_INET6, SOCK_RAW | NB, 253));
    ret!(k.connect(fd, &Addr::lo6(0)), 0);
    ret!(
        k.setsockopt(fd, IPPROTO_IPV6, libc::IPV6_PKTINFO, &sticky),
        0
    );
    ret!(k.send(fd, b"x", 0), 1);
    ret!(with_info(k, fd, &pktinfo([0; 16], 1), b"x"), 1);
    ret!(with_info(k, fd, &pktinfo([0; 16], 0), b"x"), 1);
    // One whose header is its own gets as far as that.
    let fd = ok!(k.socket(AF_INET6, SOCK_RAW | NB, 255));
    ret!(
        k.setsockopt(fd, IPPROTO_IPV6, libc::IPV6_PKTINFO, &sticky),
        0
    );
    err!(k.sendto(fd, b"short", 0, &Addr::lo6(0)), EINVAL);
    Ok(())
}

/// A stream that was to be read whole takes the error of a peer that is gone, for what follows in the same call, too.
fn an_error_is_taken_once(k: &mut dyn Kernel) -> Outcome {
    let broken = |k: &mut dyn Kernel| {
        let (a, b) = k.pair(AF_UNIX, SOCK_STREAM)?;
        ret!(k.send(a, b"unread", 0), 6);
        ret!(k.send(b, b"last", 0), 4);
        k.close(b);
        Got::Ok(a)
    };
    let fd = broken(k)?;
    let mut buf = [0; 20];
    ret!(k.recv(fd, &mut buf, MSG_WAITALL), 4);
    ret!(k.recv(fd, &mut buf, MSG_WAITALL), 0);
    let fd = broken(k)?;
    ret!(k.recv(fd, &mut buf[..4], MSG_WAITALL), 4);
    err!(k.recv(fd, &mut buf, MSG_WAITALL), ECONNRESET);
    // recvmmsg(2) looks for an error first, but for MSG_ERRQUEUE, which a stream of AF_UNIX does not know.
    let fd = broken(k)?;
    let all = |lens: [usize; 3]| Batch::new(lens.iter().map(|len| Msg::room(&[*len])).collect());
    let mut batch = all([20, 1, 1]);
    let flags = MSG_WAITALL | libc::MSG_ERRQUEUE;
    ret!(k.recvmmsg_raw(fd, batch.ptr(), batch.len(), flags, 0), 3);
    batch.take_back();
    eq!(batch.lens(), vec![4, 0, 0]);
    eq!(k.so_error(fd)?, 0);
    let fd = broken(k)?;
    let mut batch = all([4, 1, 1]);
    ret!(k.recvmmsg_raw(fd, batch.ptr(), batch.len(), flags, 0), 1);
    eq!(k.so_error(fd)?, libc::ECONNRESET);
    Ok(())
}

/// tcp_sendmsg_locked() asks for the device's memory before anything else; what else is wrong waits for a connection.
fn device_memory_before_the_connection(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM | NB, 0));
    let named = cmsg(SOL_SOCKET, SCM_DEVMEM_DMABUF, &int(1));
    let none = cmsg(SOL_SOCKET, SCM_DEVMEM_DMABUF, &int(0));
    let wrong = cmsg(SOL_SOCKET, 99, &int(1));
    let pipe = -i64::from(libc::EPIPE);
    let invalid = -i64::from(libc::EINVAL);
    for (control, want) in [
        (named.clone(), invalid),
        (none.clone(), pipe),
        (wrong.clone(), pipe),
        ([&named[..], &none].concat(), pipe),
        ([&named[..], &wrong].concat(), pipe),
    ] {
        let mut msg = Msg::of(&[b"x"]).control(&control);
        eq!(k.sendmsg(fd, &mut msg, libc::MSG_NOSIGNAL), want);
    }
    Ok(())
}

/// sk_dst_reset(): IP_MTU outlives a connection that was reset, and not the next name.
fn bind_forgets_the_way(k: &mut dyn Kernel) -> Outcome {
    for portless in [0, 1] {
        let tcp = k.tcp(AF_INET)?;
        ret!(k.send(tcp.client, b"unread", 0), 6);
        mask!(k, tcp.server, R | W);
        k.close(tcp.server);
        mask!(k, tcp.client, GONE);
        eq!(k.so_error(tcp.client)?, libc::ECONNRESET);
        let no_port = (libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT);
        ret!(k.set_int(tcp.client, no_port.0, no_port.1, portless), 0);
        let before = k.get_int(tcp.client, libc::IPPROTO_IP, libc::IP_MTU)?;
        check!(before > 1000, "{before}");
        ret!(k.bind(tcp.client, &Addr::lo4(0)), 0);
        let (got, _) = k.getsockopt(tcp.client, libc::IPPROTO_IP, libc::IP_MTU, 4);
        eq!(got, -i64::from(libc::ENOTCONN));
    }
    Ok(())
}
