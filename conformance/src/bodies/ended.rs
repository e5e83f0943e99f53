//! Sends on sockets that cannot send any more, and what is looked at before that is found.

use super::netlink::nl;
use crate::addr::Addr;
use crate::check::{Got, Outcome, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{
    AF_INET, AF_INET6, AF_NETLINK, MSG_NOSIGNAL, MSG_OOB, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM,
};
use libc::{MSG_CONFIRM, MSG_MORE, SHUT_WR, SOL_IP};

tests! {
    datagrams_end_without_a_signal [SIGPIPE],
    headers_end_without_a_signal [SIGPIPE | ROOT],
    a_stream_ends_before_a_name_is_looked_at [SIGPIPE],
    a_message_finds_the_end_too [SIGPIPE],
    a_header_is_no_longer_than_the_device [ROOT],
    a_probe_is_not_sent,
    headers_that_name_another_host_come_in [ROOT],
    who_is_connected_to_the_kernel_hears_nobody_else,
}

/// sock_alloc_send_pskb()
fn datagrams_end_without_a_signal(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (to, to_addr) = k.udp(family)?;
        let fd = ok!(k.socket(family, SOCK_DGRAM | NB, 0));
        ok!(k.connect(fd, &to_addr));
        ok!(k.shutdown(fd, SHUT_WR));
        k.take_sigpipe();
        err!(k.send(fd, b"x", 0), EPIPE);
        err!(k.send(fd, b"", 0), EPIPE);
        err!(k.write(fd, b"x"), EPIPE);
        err!(k.sendto(fd, b"x", 0, &to_addr), EPIPE);
        let mut msg = Msg::of(&[b"x"]);
        err!(k.sendmsg(fd, &mut msg, 0), EPIPE);
        eq!(k.take_sigpipe(), Some(false));
        err!(k.recv(to, &mut [0; 4], 0), EAGAIN);
        // Nothing is found wrong with the socket itself, and it is told who it is.
        eq!(k.so_error(fd)?, 0);
        // Without a peer the end is told as an error, and is one all the same.
        let fd = ok!(k.socket(family, SOCK_DGRAM | NB, 0));
        err!(k.shutdown(fd, SHUT_WR), ENOTCONN);
        err!(k.sendto(fd, b"x", 0, &to_addr), EPIPE);
        eq!(k.take_sigpipe(), Some(false));
    }
    Ok(())
}

fn headers_end_without_a_signal(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_RAW | NB, 253));
    ok!(k.connect(fd, &Addr::lo4(0)));
    ok!(k.set_int(fd, SOL_IP, libc::IP_HDRINCL, 1));
    ok!(k.shutdown(fd, SHUT_WR));
    k.take_sigpipe();
    let mut header = [0; 28];
    header[0] = 0x45;
    err!(k.send(fd, &header, 0), EPIPE);
    eq!(k.take_sigpipe(), Some(false));
    Ok(())
}

/// tcp_sendmsg_locked() does not look at the name or at an empty urgent message; the end comes with its signal.
fn a_stream_ends_before_a_name_is_looked_at(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = ok!(k.socket(family, SOCK_STREAM | NB, 0));
        let to = Addr::lo(family, 9);
        let signalled = |k: &mut dyn Kernel, ret: i64| (ret, k.take_sigpipe());
        let pipe = -i64::from(libc::EPIPE);
        k.take_sigpipe();
        let ret = k.sendto(fd, b"x", 0, &to);
        eq!(signalled(k, ret), (pipe, Some(true)));
        let ret = k.sendto(fd, b"", 0, &to);
        eq!(signalled(k, ret), (pipe, Some(true)));
        let ret = k.sendto(fd, b"x", 0, &to.cut(1));
        eq!(signalled(k, ret), (pipe, Some(true)));
        let ret = k.send(fd, b"", MSG_OOB);
        eq!(signalled(k, ret), (pipe, Some(true)));
        let ret = k.sendto(fd, b"x", MSG_NOSIGNAL, &to);
        eq!(signalled(k, ret), (pipe, Some(false)));
    }
    let tcp = k.tcp(AF_INET)?;
    ok!(k.shutdown(tcp.client, SHUT_WR));
    let to = Addr::lo4(9);
    err!(k.sendto(tcp.client, b"x", 0, &to), EPIPE);
    eq!(k.take_sigpipe(), Some(true));
    Ok(())
}

/// By sendmsg(2), with control messages and a name.
fn a_message_finds_the_end_too(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM | NB, 0));
    k.take_sigpipe();
    let mut msg = Msg::of(&[b"x"]).to(&Addr::lo4(9));
    err!(k.sendmsg(fd, &mut msg, 0), EPIPE);
    eq!(k.take_sigpipe(), Some(true));
    let mut msg = Msg::of(&[b"x"]).control(&[0; 32]);
    err!(k.sendmsg(fd, &mut msg, 0), EPIPE);
    eq!(k.take_sigpipe(), Some(true));
    let mut msg = Msg::of(&[b"x"]);
    err!(k.sendmsg(fd, &mut msg, MSG_NOSIGNAL), EPIPE);
    eq!(k.take_sigpipe(), Some(false));
    Ok(())
}

/// raw_send_hdrinc(), rawv6_send_hdrinc(): of a connected socket too.
fn a_header_is_no_longer_than_the_device(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET6, SOCK_RAW | NB, 255));
    ok!(k.connect(fd, &Addr::lo6(0)));
    let mut packet = vec![0; 70000];
    packet[0] = 0x60;
    err!(k.send(fd, &packet[..39], 0), EINVAL);
    ret!(k.send(fd, &packet[..65536], 0), 65536);
    err!(k.send(fd, &packet[..65537], 0), EMSGSIZE);
    err!(k.send(fd, &packet, 0), EMSGSIZE);
    Ok(())
}

/// "Do not send. Only probe path": MSG_PROBE, 0x10. What was held back goes.
fn a_probe_is_not_sent(k: &mut dyn Kernel) -> Outcome {
    const PROBE: i32 = 0x10;
    for family in [AF_INET, AF_INET6] {
        let (to, to_addr) = k.udp(family)?;
        let fd = ok!(k.socket(family, SOCK_DGRAM | NB, 0));
        let mut buf = [0; 8];
        ret!(k.sendto(fd, b"abc", PROBE, &to_addr), 3);
        err!(k.recv(to, &mut buf, 0), EAGAIN);
        ok!(k.connect(fd, &to_addr));
        ret!(k.send(fd, b"abc", PROBE | MSG_CONFIRM), 3);
        ret!(k.send(fd, &[0; 65535], PROBE), 65535);
        err!(k.recv(to, &mut buf, 0), EAGAIN);
        ret!(k.send(fd, b"ab", MSG_MORE), 2);
        ret!(k.send(fd, b"cd", MSG_MORE | PROBE), 2);
        err!(k.recv(to, &mut buf, 0), EAGAIN);
        ret!(k.send(fd, b"ef", PROBE), 2);
        ret!(k.recv(to, &mut buf, 0), 2);
        eq!(&buf[..2], b"ab");
        // Nobody looks whether it may be sent.
        ok!(k.shutdown(fd, SHUT_WR));
        ret!(k.send(fd, b"abc", PROBE), 3);
    }
    Ok(())
}

/// raw_send_hdrinc(): the route is the one of sendto(2)'s address, and on `lo` nobody looks for another.
fn headers_that_name_another_host_come_in(k: &mut dyn Kernel) -> Outcome {
    let protocol = 200 + (std::process::id() % 50) as u8;
    let hears = ok!(k.socket(AF_INET, SOCK_RAW | NB, protocol.into()));
    let sender = ok!(k.socket(AF_INET, SOCK_RAW | NB, 255));
    let own = [127, 0, 0, 1];
    let sources = [own, [192, 0, 2, 1], [224, 0, 0, 5], [255; 4]];
    for dst in [[0; 4], [192, 0, 2, 7], own] {
        for src in sources {
            let mut packet = vec![0x45, 0, 0, 0, 0, 7, 0, 0, 64, protocol, 0, 0];
            packet.extend(src);
            packet.extend(dst);
            packet.extend(b"data");
            ret!(k.sendto(sender, &packet, 0, &Addr::v4(own, 0)), 24);
            let mut buf = [0; 64];
            ret!(k.recv(hears, &mut buf, 0), 24);
            eq!(&buf[12..24], &packet[12..24]);
            // MSG_PROBE
            ret!(k.sendto(sender, &packet, 0x10, &Addr::v4(own, 0)), 24);
            err!(k.recv(hears, &mut buf, 0), EAGAIN);
        }
    }
    Ok(())
}

/// netlink_getsockbyportid()
fn who_is_connected_to_the_kernel_hears_nobody_else(k: &mut dyn Kernel) -> Outcome {
    let open = |k: &mut dyn Kernel| -> Got<(Fd, Addr)> {
        let fd = ok!(k.socket(AF_NETLINK, SOCK_RAW | NB, libc::NETLINK_USERSOCK));
        ok!(k.bind(fd, &nl(0, 0)));
        let own = k.sockname(fd)?;
        Ok((fd, own))
    };
    let (a, a_addr) = open(k)?;
    let (b, _) = open(k)?;
    ret!(k.sendto(b, b"one", 0, &a_addr), 3);
    ret!(k.recv(a, &mut [0; 8], 0), 3);
    ok!(k.connect(a, &nl(0, 0)));
    err!(k.sendto(b, b"two", 0, &a_addr), ECONNREFUSED);
    err!(k.sendto(a, b"two", 0, &a_addr), ECONNREFUSED);
    ok!(k.connect(a, &Addr::unspec()));
    ret!(k.sendto(b, b"three", 0, &a_addr), 5);
    ret!(k.recv(a, &mut [0; 8], 0), 5);
    Ok(())
}
