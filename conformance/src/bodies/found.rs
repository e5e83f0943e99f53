//! What lockstep found: a body for each kind of difference, where no other file has its subject.

use crate::addr::Addr;
use crate::check::{Outcome, check, eq, err, ret};
use crate::kernel::Kernel;
use crate::mem::{BAD, int};
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{AF_INET, AF_INET6, SO_RXQ_OVFL, SOCK_DGRAM, SOL_SOCKET};
use std::time::Duration;

tests! {
    an_address_once_named_is_kept,
    a_read_of_nothing_is_stamped,
    a_datagram_lost_to_a_fault_is_counted,
    a_look_makes_a_batch,
    peek_offset_behind_an_urgent_byte,
    control_messages_come_after_the_state,
    credentials_are_looked_at_in_order,
    no_direct_io,
    flags_that_mean_nothing_are_kept,
    short_options_of_raw_ipv6 [ROOT],
    interface_name_ends_where_it_ends,
    exclusive_items,
}

const SO_TIMESTAMP_NEW: i32 = 63;

/// Waits until there is something to read.
fn arrived(k: &mut dyn Kernel, fd: Fd) {
    for _ in 0..100 {
        if k.poll_mask(fd) & libc::POLLIN != 0 {
            return;
        }
        k.pause(Duration::from_millis(1));
    }
}

/// A later wildcard does not take it back (SOCK_BINDADDR_LOCK).
fn an_address_once_named_is_kept(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (fd, _) = k.udp(family)?;
        ret!(k.connect(fd, &Addr::unspec()), 0);
        ret!(k.bind(fd, &Addr::any(family, 0)), 0);
        let own = k.sockname(fd)?;
        let port = own.port();
        eq!(own, Addr::any(family, port));
        ret!(k.connect(fd, &Addr::lo(family, port)), 0);
        ret!(k.connect(fd, &Addr::unspec()), 0);
        eq!(k.sockname(fd)?, Addr::lo(family, 0));
        // One that never was named is given up.
        let other = k.socket(family, SOCK_DGRAM | NB, 0);
        ret!(k.bind(other, &Addr::any(family, 0)), 0);
        let port = k.sockname(other)?.port();
        ret!(k.connect(other, &Addr::lo(family, port)), 0);
        ret!(k.connect(other, &Addr::unspec()), 0);
        eq!(k.sockname(other)?, Addr::any(family, 0));
    }
    Ok(())
}

/// tcp_recvmsg() looks at the first packet before it finds that nothing was asked for.
fn a_read_of_nothing_is_stamped(k: &mut dyn Kernel) -> Outcome {
    let tcp = k.tcp(AF_INET)?;
    ret!(k.set_int(tcp.server, SOL_SOCKET, SO_TIMESTAMP_NEW, 1), 0);
    // Linux begins to stamp packets a little later (net_enable_timestamp()).
    k.pause(Duration::from_millis(50));
    let stamps = |k: &mut dyn Kernel, lens: &[usize]| {
        let mut msg = Msg::room(lens).control_room(200);
        let got = k.recvmsg(tcp.server, &mut msg, 0);
        let kinds: Vec<i32> = msg.cmsgs().iter().map(|c| c.kind).collect();
        (got, kinds)
    };
    eq!(stamps(k, &[]).0, -i64::from(libc::EAGAIN));
    ret!(k.send(tcp.client, b"abc", 0), 3);
    arrived(k, tcp.server);
    eq!(stamps(k, &[]), (0, vec![SO_TIMESTAMP_NEW]));
    eq!(stamps(k, &[0]), (0, vec![SO_TIMESTAMP_NEW]));
    eq!(stamps(k, &[8]), (3, vec![SO_TIMESTAMP_NEW]));
    eq!(stamps(k, &[]).0, -i64::from(libc::EAGAIN));
    Ok(())
}

/// A datagram that could not be handed over is gone, and SO_RXQ_OVFL tells with the next one.
fn a_datagram_lost_to_a_fault_is_counted(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = k.udp_pair(family)?;
        ret!(k.set_int(b, SOL_SOCKET, SO_RXQ_OVFL, 1), 0);
        let told = |k: &mut dyn Kernel| {
            let mut msg = Msg::room(&[8]).control_room(64);
            let got = k.recvmsg(b, &mut msg, 0);
            let data: Vec<Vec<u8>> = msg.cmsgs().into_iter().map(|c| c.data).collect();
            (got, data)
        };
        for (lost, sent) in [b"first", b"other"].into_iter().enumerate() {
            ret!(k.send(a, sent, 0), 5);
            arrived(k, b);
            // A look does no harm.
            err!(k.recv_raw(b, BAD, 5, libc::MSG_PEEK), EFAULT);
            err!(k.recv_raw(b, BAD, 5, 0), EFAULT);
            err!(k.recv(b, &mut [0; 8], 0), EAGAIN);
            ret!(k.send(a, b"next", 0), 4);
            arrived(k, b);
            eq!(told(k), (4, vec![int(lost as i32 + 1).to_vec()]));
        }
    }
    // A stream loses nothing.
    let tcp = k.tcp(AF_INET)?;
    ret!(k.send(tcp.client, b"abc", 0), 3);
    arrived(k, tcp.server);
    err!(k.recv_raw(tcp.server, BAD, 3, 0), EFAULT);
    ret!(k.recv(tcp.server, &mut [0; 8], 0), 3);
    Ok(())
}

/// A datagram that was read is charged until its batch is empty; a look makes a batch of what is there.
fn a_look_makes_a_batch(k: &mut dyn Kernel) -> Outcome {
    for (look, fits) in [(None, false), (Some(false), true), (Some(true), true)] {
        let (a, b) = k.udp_pair(AF_INET)?;
        ret!(k.send(a, b"first", 0), 5);
        arrived(k, b);
        match look {
            Some(true) => ret!(k.recv(b, &mut [0; 8], libc::MSG_PEEK), 5),
            Some(false) => eq!(k.fionread(b)?, 5),
            None => {}
        }
        ret!(k.send(a, b"second", 0), 6);
        arrived(k, b);
        k.pause(Duration::from_millis(5));
        ret!(k.recv(b, &mut [0; 8], 0), 5);
        // Room for two small ones, and not for three.
        ret!(k.set_int(b, SOL_SOCKET, libc::SO_RCVBUF, 0), 0);
        ret!(k.send(a, b"third", 0), 5);
        k.pause(Duration::from_millis(5));
        ret!(k.recv(b, &mut [0; 8], 0), 6);
        match fits {
            true => ret!(k.recv(b, &mut [0; 8], 0), 5),
            false => err!(k.recv(b, &mut [0; 8], 0), EAGAIN),
        }
    }
    Ok(())
}

/// SO_PEEK_OFF counts an urgent byte that it has passed.
fn peek_offset_behind_an_urgent_byte(k: &mut dyn Kernel) -> Outcome {
    let tcp = k.tcp(AF_INET)?;
    ret!(k.set_int(tcp.server, SOL_SOCKET, libc::SO_PEEK_OFF, 1), 0);
    ret!(k.send(tcp.client, b"!", libc::MSG_OOB), 1);
    ret!(k.send(tcp.client, b"ab", 0), 2);
    k.pause(Duration::from_millis(5));
    arrived(k, tcp.server);
    let mut buf = [0; 8];
    ret!(k.recv(tcp.server, &mut buf, libc::MSG_PEEK), 2);
    eq!(&buf[..2], b"ab");
    eq!(k.get_int(tcp.server, SOL_SOCKET, libc::SO_PEEK_OFF)?, 3);
    err!(k.recv(tcp.server, &mut buf, libc::MSG_PEEK), EAGAIN);
    ret!(k.recv(tcp.server, &mut buf, 0), 2);
    Ok(())
}

/// A header that says it is shorter than a header.
fn short_header() -> Vec<u8> {
    let mut bytes = 8u64.to_ne_bytes().to_vec();
    bytes.extend(int(SOL_SOCKET));
    bytes.extend(int(99));
    bytes
}

/// What is wrong with a control message counts where the protocol looks at them.
fn control_messages_come_after_the_state(k: &mut dyn Kernel) -> Outcome {
    let send = |k: &mut dyn Kernel, fd: Fd| {
        let mut msg = Msg::of(&[b"x"]).control(&short_header());
        k.sendmsg(fd, &mut msg, libc::MSG_NOSIGNAL)
    };
    let tcp = k.tcp_socket(AF_INET, NB)?;
    err!(send(k, tcp), EPIPE);
    let made = k.tcp(AF_INET)?;
    err!(send(k, made.client), EINVAL);
    let udp = k.socket(AF_INET, SOCK_DGRAM, 0);
    err!(send(k, udp), EDESTADDRREQ);
    let (a, _) = k.udp_pair(AF_INET)?;
    err!(send(k, a), EINVAL);
    let packets = k.socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | NB, 0);
    err!(send(k, packets), ENOTCONN);
    for kind in [libc::SOCK_STREAM, SOCK_DGRAM] {
        let unix = k.socket(libc::AF_UNIX, kind | NB, 0);
        err!(send(k, unix), EINVAL);
    }
    Ok(())
}

/// A stranger's credentials are refused before what is wrong behind them.
fn credentials_are_looked_at_in_order(k: &mut dyn Kernel) -> Outcome {
    let (a, _) = k.pair(libc::AF_UNIX, libc::SOCK_STREAM)?;
    let own = k.call(libc::SYS_getpid, &[]) as i32;
    let ids = [libc::SYS_getuid, libc::SYS_getgid].map(|nr| k.call(nr, &[]) as u32);
    let of = |pid| crate::msg::creds(pid, ids[0], ids[1]);
    let send = |k: &mut dyn Kernel, control: &[Vec<u8>]| {
        let mut msg = Msg::of(&[b"x"]).control(&control.concat());
        k.sendmsg(a, &mut msg, 0)
    };
    let unknown = crate::msg::cmsg(SOL_SOCKET, 52, &[0; 4]);
    err!(send(k, &[unknown.clone(), of(0x3fff_fff0)]), EINVAL);
    let stranger = send(k, &[of(0x3fff_fff0)]);
    check!([-3, -1].contains(&stranger), "{stranger}");
    ret!(send(k, &[of(0x3fff_fff0), unknown]), stranger);
    ret!(send(k, &[of(0x3fff_fff0), of(own)]), stranger);
    ret!(send(k, &[of(own), of(own)]), 1);
    Ok(())
}

fn no_direct_io(k: &mut dyn Kernel) -> Outcome {
    for (family, kind) in [(AF_INET, SOCK_DGRAM), (libc::AF_UNIX, libc::SOCK_STREAM)] {
        let fd = k.socket(family, kind, 0);
        let both = libc::O_DIRECT | libc::O_NONBLOCK;
        err!(k.fcntl(fd, libc::F_SETFL, both.into()), EINVAL);
        eq!(k.fcntl(fd, libc::F_GETFL, 0) & i64::from(both), 0);
    }
    Ok(())
}

fn flags_that_mean_nothing_are_kept(k: &mut dyn Kernel) -> Outcome {
    let fd = k.socket(AF_INET, SOCK_DGRAM, 0);
    for flags in [libc::O_APPEND, libc::O_NOATIME | libc::O_NONBLOCK, 0] {
        ret!(k.fcntl(fd, libc::F_SETFL, flags.into()), 0);
        eq!(
            k.fcntl(fd, libc::F_GETFL, 0),
            i64::from(libc::O_RDWR | flags)
        );
    }
    // Others are neither taken nor refused.
    ret!(
        k.fcntl(fd, libc::F_SETFL, (libc::O_CREAT | libc::O_APPEND).into()),
        0
    );
    eq!(
        k.fcntl(fd, libc::F_GETFL, 0),
        i64::from(libc::O_RDWR | libc::O_APPEND)
    );
    Ok(())
}

/// do_rawv6_setsockopt() reads an int before it looks at the name.
fn short_options_of_raw_ipv6(k: &mut dyn Kernel) -> Outcome {
    let fd = k.socket(libc::AF_INET6, libc::SOCK_RAW, 253);
    err!(k.setsockopt(fd, libc::IPPROTO_RAW, 2, &[1, 0, 0]), EINVAL);
    err!(
        k.setsockopt(fd, libc::IPPROTO_RAW, 2, &[1, 0, 0, 0]),
        ENOPROTOOPT
    );
    Ok(())
}

/// SIOCGIFNAME leaves what stands behind the name.
fn interface_name_ends_where_it_ends(k: &mut dyn Kernel) -> Outcome {
    const SIOCGIFNAME: u64 = 0x8910;
    let fd = k.socket(AF_INET, SOCK_DGRAM, 0);
    let mut request = [0x55u8; 40];
    request[16..20].copy_from_slice(&int(1));
    ret!(k.ioctl_raw(fd, SIOCGIFNAME, request.as_mut_ptr() as u64), 0);
    eq!(&request[..4], b"lo\0\x55");
    eq!(request[14], 0x55);
    // dev_ioctl() ends every name.
    eq!(request[15], 0);
    const SIOCGIFFLAGS: u64 = 0x8913;
    request[..4].copy_from_slice(b"lo\0\0");
    request[16..].fill(0x55);
    ret!(
        k.ioctl_raw(fd, SIOCGIFFLAGS, request.as_mut_ptr() as u64),
        0
    );
    eq!(&request[18..22], &[0x55; 4]);
    Ok(())
}

/// EPOLLEXCLUSIVE: only when it is added, and beside few others.
fn exclusive_items(k: &mut dyn Kernel) -> Outcome {
    const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;
    let (a, b) = k.pair(libc::AF_UNIX, libc::SOCK_STREAM)?;
    let ep = k.call(libc::SYS_epoll_create1, &[0]);
    let control = |k: &mut dyn Kernel, op: i32, fd: Fd, events: u32| {
        let event = libc::epoll_event { events, u64: 7 };
        let args = [ep as u64, op as u64, fd as u64, &raw const event as u64];
        k.call(libc::SYS_epoll_ctl, &args)
    };
    let (add, change, delete) = (
        libc::EPOLL_CTL_ADD,
        libc::EPOLL_CTL_MOD,
        libc::EPOLL_CTL_DEL,
    );
    for beside in [libc::EPOLLPRI, libc::EPOLLRDHUP, libc::EPOLLONESHOT] {
        err!(control(k, add, a, EXCLUSIVE | beside as u32), EINVAL);
    }
    ret!(control(k, add, a, EXCLUSIVE | libc::EPOLLIN as u32), 0);
    err!(control(k, change, a, libc::EPOLLIN as u32), EINVAL);
    err!(control(k, add, a, EXCLUSIVE | libc::EPOLLIN as u32), EEXIST);
    ret!(control(k, add, b, libc::EPOLLIN as u32), 0);
    err!(
        control(k, change, b, EXCLUSIVE | libc::EPOLLIN as u32),
        EINVAL
    );
    err!(control(k, 4, b, 0), EINVAL);
    err!(control(k, 4, -1, 0), EBADF);
    ret!(k.send(b, b"x", 0), 1);
    arrived(k, a);
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    let args = [ep as u64, &raw mut event as u64, 1, 0];
    ret!(k.call(libc::SYS_epoll_wait, &args), 1);
    let (events, data) = (event.events, event.u64);
    eq!((events, data), (libc::EPOLLIN as u32, 7));
    ret!(control(k, delete, a, 0), 0);
    err!(control(k, delete, a, 0), ENOENT);
    Ok(())
}
