//! SO_SNDBUF, SO_RCVBUF and their kin.

use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::{NB, sysctl};
use crate::sys::{Fd, R, WB};
use libc::{
    AF_INET, AF_INET6, AF_UNIX, IPPROTO_TCP, SO_SNDBUF, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM,
    SOL_SOCKET,
};
use std::time::Duration;

tests! {
    sndbuf_doubles,
    sndbuf_minimum,
    sndbuf_maximum,
    sndbuf_negative,
    rcvbuf_doubles,
    rcvbuf_minimum,
    rcvbuf_maximum,
    rcvbuf_negative,
    buffer_defaults_come_from_sysctl,
    bufforce_needs_privilege [DROP],
    bufforce_as_root [ROOT],
    rcvlowat_values,
    rcvlowat_of_datagram,
    sndlowat_is_fixed,
    tcp_buffer_grows_with_its_reader,
    tcp_buffer_that_was_set_stays,
    tcp_takes_more_than_the_first_window,
    bbr_keeps_a_window_more,
}

fn each(k: &mut dyn Kernel) -> Result<Vec<(i32, i32, Fd)>, crate::check::Stop> {
    let mut all = Vec::new();
    for (family, kind) in [
        (AF_INET, SOCK_STREAM),
        (AF_INET, SOCK_DGRAM),
        (AF_INET6, SOCK_STREAM),
        (AF_INET6, SOCK_DGRAM),
        (AF_UNIX, SOCK_STREAM),
        (AF_UNIX, SOCK_DGRAM),
        (AF_UNIX, SOCK_SEQPACKET),
    ] {
        all.push((family, kind, ok!(k.socket(family, kind, 0))));
    }
    Ok(all)
}

fn sndbuf_doubles(k: &mut dyn Kernel) -> Outcome {
    for (_, _, fd) in each(k)? {
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_SNDBUF, 10_000), 0);
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_SNDBUF)?, 20_000);
    }
    Ok(())
}

fn sndbuf_minimum(k: &mut dyn Kernel) -> Outcome {
    for (_, _, fd) in each(k)? {
        for value in [0, 1, 100] {
            ret!(k.set_int(fd, SOL_SOCKET, libc::SO_SNDBUF, value), 0);
            // SOCK_MIN_SNDBUF: twice 2048 and the size of a buffer's head, 64-bit layout.
            eq!(k.get_int(fd, SOL_SOCKET, libc::SO_SNDBUF)?, 4608);
        }
    }
    Ok(())
}

fn sndbuf_maximum(k: &mut dyn Kernel) -> Outcome {
    let max = sysctl("net/core/wmem_max", 0).unwrap_or(212_992) as i32;
    for (_, _, fd) in each(k)? {
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_SNDBUF, i32::MAX), 0);
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_SNDBUF)?, 2 * max);
    }
    Ok(())
}

fn sndbuf_negative(k: &mut dyn Kernel) -> Outcome {
    // Compared as unsigned: a negative value is a large one.
    let max = sysctl("net/core/wmem_max", 0).unwrap_or(212_992) as i32;
    let fd = k.tcp_socket(AF_INET, 0)?;
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_SNDBUF, -1), 0);
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_SNDBUF)?, 2 * max);
    Ok(())
}

fn rcvbuf_doubles(k: &mut dyn Kernel) -> Outcome {
    for (_, _, fd) in each(k)? {
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_RCVBUF, 10_000), 0);
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_RCVBUF)?, 20_000);
    }
    Ok(())
}

fn rcvbuf_minimum(k: &mut dyn Kernel) -> Outcome {
    for (_, _, fd) in each(k)? {
        for value in [0, 1, 100] {
            ret!(k.set_int(fd, SOL_SOCKET, libc::SO_RCVBUF, value), 0);
            eq!(k.get_int(fd, SOL_SOCKET, libc::SO_RCVBUF)?, 2304);
        }
    }
    Ok(())
}

fn rcvbuf_maximum(k: &mut dyn Kernel) -> Outcome {
    let max = sysctl("net/core/rmem_max", 0).unwrap_or(212_992) as i32;
    for (_, _, fd) in each(k)? {
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_RCVBUF, i32::MAX), 0);
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_RCVBUF)?, 2 * max);
    }
    Ok(())
}

fn rcvbuf_negative(k: &mut dyn Kernel) -> Outcome {
    let max = sysctl("net/core/rmem_max", 0).unwrap_or(212_992) as i32;
    let fd = k.tcp_socket(AF_INET, 0)?;
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_RCVBUF, i32::MIN), 0);
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_RCVBUF)?, 2 * max);
    Ok(())
}

fn buffer_defaults_come_from_sysctl(k: &mut dyn Kernel) -> Outcome {
    let get = |path, index| sysctl(path, index).map(|n| n as i32);
    for (family, kind, fd) in each(k)? {
        let tcp = family != AF_UNIX && kind == SOCK_STREAM;
        let (snd, rcv) = if tcp {
            (get("net/ipv4/tcp_wmem", 1), get("net/ipv4/tcp_rmem", 1))
        } else {
            (
                get("net/core/wmem_default", 0),
                get("net/core/rmem_default", 0),
            )
        };
        if let (Some(snd), Some(rcv)) = (snd, rcv) {
            eq!(k.get_int(fd, SOL_SOCKET, libc::SO_SNDBUF)?, snd);
            eq!(k.get_int(fd, SOL_SOCKET, libc::SO_RCVBUF)?, rcv);
        }
    }
    Ok(())
}

fn bufforce_needs_privilege(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    let fd = k.tcp_socket(AF_INET, 0)?;
    err!(k.set_int(fd, SOL_SOCKET, libc::SO_SNDBUFFORCE, 1000), EPERM);
    err!(k.set_int(fd, SOL_SOCKET, libc::SO_RCVBUFFORCE, 1000), EPERM);
    Ok(())
}

fn bufforce_as_root(k: &mut dyn Kernel) -> Outcome {
    let max = sysctl("net/core/wmem_max", 0).unwrap_or(212_992) as i32;
    let fd = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    ret!(
        k.set_int(fd, SOL_SOCKET, libc::SO_SNDBUFFORCE, max + 1000),
        0
    );
    eq!(
        k.get_int(fd, SOL_SOCKET, libc::SO_SNDBUF)?,
        2 * (max + 1000)
    );
    // A negative value is 0 here.
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_SNDBUFFORCE, -5), 0);
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_SNDBUF)?, 4608);
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_RCVBUFFORCE, -5), 0);
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_RCVBUF)?, 2304);
    Ok(())
}

fn rcvlowat_values(k: &mut dyn Kernel) -> Outcome {
    for (_, _, fd) in each(k)? {
        for (value, want) in [(5, 5), (0, 1), (1, 1)] {
            ret!(k.set_int(fd, SOL_SOCKET, libc::SO_RCVLOWAT, value), 0);
            eq!(k.get_int(fd, SOL_SOCKET, libc::SO_RCVLOWAT)?, want);
        }
    }
    let unix = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    ret!(k.set_int(unix, SOL_SOCKET, libc::SO_RCVLOWAT, -1), 0);
    eq!(k.get_int(unix, SOL_SOCKET, libc::SO_RCVLOWAT)?, i32::MAX);
    // TCP bounds it by half of the receive buffer it may grow to.
    let tcp = k.tcp_socket(AF_INET, 0)?;
    ret!(k.set_int(tcp, SOL_SOCKET, libc::SO_RCVLOWAT, i32::MAX), 0);
    let got = k.get_int(tcp, SOL_SOCKET, libc::SO_RCVLOWAT)?;
    let max = sysctl("net/ipv4/tcp_rmem", 2).unwrap_or(6_291_456) as i32;
    check!(got == max / 2 || got == max, "{got}, tcp_rmem[2] is {max}");
    Ok(())
}

fn rcvlowat_of_datagram(k: &mut dyn Kernel) -> Outcome {
    // Datagrams are readable one by one, whatever the mark.
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.set_int(b, SOL_SOCKET, libc::SO_RCVLOWAT, 100), 0);
    ret!(k.send(a, b"x", 0), 1);
    mask!(k, b, R | WB);
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    // An AF_UNIX stream is polled readable as well: only blocking reads look at the mark.
    ret!(k.set_int(b, SOL_SOCKET, libc::SO_RCVLOWAT, 100), 0);
    ret!(k.send(a, b"x", 0), 1);
    mask!(k, b, R | WB);
    Ok(())
}

fn sndlowat_is_fixed(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    err!(k.set_int(fd, SOL_SOCKET, libc::SO_SNDLOWAT, 2), ENOPROTOOPT);
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_SNDLOWAT)?, 1);
    Ok(())
}

/// What a reader that takes all there is, eight times, leaves of SO_RCVBUF, tcpi_rcv_rtt and tcpi_rcv_space, before and after.
fn read_much(k: &mut dyn Kernel, buffer: Option<i32>) -> Got<[(i32, i32, i32); 2]> {
    let (listener, addr) = k.tcp_listener(AF_INET, 4)?;
    if let Some(size) = buffer {
        ret!(k.set_int(listener, SOL_SOCKET, libc::SO_RCVBUF, size), 0);
    }
    let client = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(client, &addr)?;
    let server = k.accept_now(listener)?;
    let now = |k: &mut dyn Kernel| -> Got<(i32, i32, i32)> {
        let (got, info) = k.getsockopt(server, libc::IPPROTO_TCP, libc::TCP_INFO, 104);
        eq!((got, info.len()), (0, 104));
        let word = |at: usize| crate::mem::as_int(&info[at..at + 4]);
        Ok((
            k.get_int(server, SOL_SOCKET, libc::SO_RCVBUF)?,
            word(92),
            word(96),
        ))
    };
    let before = now(k)?;
    for _ in 0..8 {
        k.fill(client, 1 << 16)?;
        // The clock of a virtual host stands still within a call.
        k.pause(std::time::Duration::from_millis(1));
        k.drain(server)?;
    }
    Ok([before, now(k)?])
}

fn tcp_buffer_grows_with_its_reader(k: &mut dyn Kernel) -> Outcome {
    let [(old, no_rtt, old_space), (new, rtt, space)] = read_much(k, None)?;
    // Nothing has come yet that could be measured; then windows have, microseconds after they were offered.
    eq!(no_rtt, 0);
    check!(rtt > 0, "rtt {rtt}");
    check!(space > old_space, "space {old_space}, {space}");
    check!(new > 2 * old, "buffer {old}, {new}");
    Ok(())
}

fn tcp_buffer_that_was_set_stays(k: &mut dyn Kernel) -> Outcome {
    let [(old, _, old_space), (new, rtt, space)] = read_much(k, Some(65_536))?;
    eq!((old, new), (131_072, 131_072));
    // It is measured all the same.
    check!(
        rtt > 0 && space > old_space,
        "rtt {rtt}, space {old_space}, {space}"
    );
    Ok(())
}

/// A packet takes at most half of the window (tcp_bound_to_half_wnd()), so the rest opens before it is full.
fn tcp_takes_more_than_the_first_window(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let tcp = k.tcp(family)?;
        ret!(k.send(tcp.client, &[7; 100_000], 0), 100_000);
        let mut waits = 0;
        while k.fionread(tcp.server)? < 100_000 && waits < 100 {
            k.pause(Duration::from_millis(1));
            waits += 1;
        }
        eq!(k.fionread(tcp.server)?, 100_000);
    }
    Ok(())
}

/// Its sndbuf_expand() is 3, where others have 2.
fn bbr_keeps_a_window_more(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.tcp_listener(AF_INET, 4)?;
    let mut room = [0; 2];
    for (name, room) in [&b"reno"[..], b"bbr"].iter().zip(&mut room) {
        let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
        let set = k.setsockopt(fd, IPPROTO_TCP, libc::TCP_CONGESTION, name);
        if set == -i64::from(libc::ENOENT) || set == -i64::from(libc::EPERM) {
            // The machine's kernel has no BBR, or not for everyone.
            return Ok(());
        }
        ret!(set, 0);
        ret!(k.connect(fd, &addr), 0);
        *room = k.get_int(fd, SOL_SOCKET, SO_SNDBUF)?;
    }
    check!(room[1] > room[0], "{room:?}");
    k.close(listener);
    Ok(())
}
