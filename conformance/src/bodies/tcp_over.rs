//! What is still told of a connection that is over.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{AF_INET, AF_INET6, IPPROTO_IPV6, IPPROTO_TCP, SHUT_RDWR};

tests! {
    a_refused_syn_is_never_acknowledged,
    disconnecting_moves_the_numbers_on,
    what_was_not_acknowledged_stays_so,
    info_of_a_refused_connection,
    the_way_of_a_bound_socket_stays,
}

const SIOCOUTQNSD: u64 = 0x894b;

/// SIOCOUTQ and SIOCOUTQNSD.
fn left(k: &mut dyn Kernel, fd: Fd) -> Got<(i32, i32)> {
    let mut unsent = -1;
    ret!(k.ioctl_int(fd, SIOCOUTQNSD, &mut unsent), 0);
    Ok((k.outq(fd)?, unsent))
}

/// A socket whose SYN was refused.
fn refused(k: &mut dyn Kernel, family: i32) -> Got<(Fd, Addr)> {
    // A port that is bound, and listens not.
    let closed = k.tcp_socket(family, NB)?;
    ret!(k.bind(closed, &Addr::lo(family, 0)), 0);
    let addr = k.sockname(closed)?;
    let fd = k.tcp_socket(family, NB)?;
    err!(k.connect(fd, &addr), EINPROGRESS);
    let mut fds = [libc::pollfd {
        fd: fd as i32,
        events: libc::POLLOUT,
        revents: 0,
    }];
    k.poll(&mut fds, 1000);
    check!(fds[0].revents & libc::POLLHUP != 0, "{}", fds[0].revents);
    Ok((fd, addr))
}

fn a_refused_syn_is_never_acknowledged(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (fd, addr) = refused(k, family)?;
        eq!(left(k, fd)?, (1, 0));
        // tcp_disconnect(): two numbers are left out.
        err!(k.connect(fd, &addr), ECONNREFUSED);
        eq!(left(k, fd)?, (3, 2));
        // Another connection begins anew.
        err!(k.connect(fd, &addr), EINPROGRESS);
        let (listener, there) = k.tcp_listener(family, 1)?;
        let fd = k.tcp_socket(family, NB)?;
        k.connect_now(fd, &there)?;
        eq!(left(k, fd)?, (0, 0));
        k.close(listener);
    }
    Ok(())
}

fn disconnecting_moves_the_numbers_on(k: &mut dyn Kernel) -> Outcome {
    let nobody = Addr::unspec();
    let fd = k.tcp_socket(AF_INET, NB)?;
    eq!(left(k, fd)?, (0, 0));
    ret!(k.connect(fd, &nobody), 0);
    eq!(left(k, fd)?, (2, 2));
    ret!(k.connect(fd, &nobody), 0);
    eq!(left(k, fd)?, (4, 4));
    let (listener, _) = k.tcp_listener(AF_INET, 1)?;
    err!(
        k.outq(listener).map_or(-i64::from(libc::EINVAL), i64::from),
        EINVAL
    );
    ret!(k.shutdown(listener, SHUT_RDWR), 0);
    eq!(left(k, listener)?, (2, 2));
    // By the peer's window, too.
    let t = k.tcp(AF_INET)?;
    ret!(k.connect(t.client, &nobody), 0);
    let (all, unsent) = left(k, t.client)?;
    check!(all == unsent && all > 0x7fff, "{all} {unsent}");
    Ok(())
}

fn what_was_not_acknowledged_stays_so(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let data = [7; 65_536];
    while k.send(t.client, &data, 0) > 0 {}
    let before = left(k, t.client)?;
    check!(before.0 >= before.1 && before.1 > 0, "{before:?}");
    // What is not read is a reset.
    ret!(k.close(t.server), 0);
    eq!(k.so_error(t.client)?, libc::ECONNRESET);
    eq!(left(k, t.client)?, before);
    Ok(())
}

fn info_of_a_refused_connection(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = refused(k, AF_INET)?;
    let (got, info) = k.getsockopt(fd, IPPROTO_TCP, libc::TCP_INFO, 104);
    ret!(got, 0);
    let word = |at: usize| u32::from_ne_bytes(info[at..at + 4].try_into().unwrap_or_default());
    // tcpi_state, tcpi_options and the scales; tcpi_unacked.
    eq!((info[0], info[5], info[6], word(24)), (7, 0, 0, 0));
    Ok(())
}

/// __inet6_bind() does not forget it, as __inet_bind() does.
fn the_way_of_a_bound_socket_stays(k: &mut dyn Kernel) -> Outcome {
    for (family, level, name, stays) in [
        (AF_INET6, IPPROTO_IPV6, libc::IPV6_MTU, true),
        (AF_INET, libc::IPPROTO_IP, libc::IP_MTU, false),
    ] {
        let (fd, addr) = refused(k, family)?;
        eq!(
            k.get_int(fd, level, name)?,
            65_536.min(if stays { 65_536 } else { 65_535 })
        );
        ret!(k.bind(fd, &Addr::lo(family, 0)), 0);
        let (got, bytes) = k.getsockopt(fd, level, name, 0);
        if stays {
            eq!((got, bytes.len()), (0, 0));
        } else {
            err!(got, ENOTCONN);
        }
        // A connection that fails forgets it.
        err!(k.connect(fd, &addr), ECONNREFUSED);
        err!(k.getsockopt(fd, level, name, 4).0, ENOTCONN);
        ok!(k.close(fd));
    }
    Ok(())
}
