//! The event table of socket(7): what poll, select and epoll (level, edge, one-shot) say of a socket in
//! each state, and which edge tells of the way there.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, IN, OUT, PRI, R, W, WB};
use libc::{AF_INET, AF_INET6, AF_UNIX, POLLERR, POLLHUP, POLLRDHUP, SHUT_RD, SHUT_RDWR, SHUT_WR};
use libc::{SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM, SOL_SOCKET};
use std::time::Duration;

tests! {
    arrival [EPOLL],
    connection_set_up [EPOLL],
    connection_to_accept [EPOLL],
    half_close [EPOLL],
    own_half_close [EPOLL],
    hang_up [EPOLL],
    hang_up_of_shut_down [EPOLL],
    reset [EPOLL],
    reset_by_unread_data [EPOLL],
    refused [EPOLL],
    refused_datagram [EPOLL],
    urgent [EPOLL],
    room_again [EPOLL],
    low_water_mark [EPOLL],
    backlog_of_one [EPOLL],
    each_connection_is_an_edge [EPOLL],
    each_segment_is_an_edge [EPOLL],
    peer_of_a_datagram_socket_closes [EPOLL],
    unbound_and_listening [EPOLL],
    exceptional_set [FILES],
    disarmed_until_modified [EPOLL],
    added_when_ready_is_an_edge [EPOLL],
}

const STREAMS: [(i32, i32); 4] = [
    (AF_INET, SOCK_STREAM),
    (AF_INET6, SOCK_STREAM),
    (AF_UNIX, SOCK_STREAM),
    (AF_UNIX, SOCK_SEQPACKET),
];

const ET: u32 = libc::EPOLLET as u32;
const ONESHOT: u32 = libc::EPOLLONESHOT as u32;
/// What epoll tells of here: poll's bits without the *NORM and *BAND ones.
const BITS: i16 = IN | OUT | PRI | POLLERR | POLLHUP | POLLRDHUP;

/// Two connected stream or record sockets, and the OUT that they show.
fn connected(k: &mut dyn Kernel, (family, kind): (i32, i32)) -> Got<(Fd, Fd, i16)> {
    if family == AF_UNIX {
        let (client, server, listener, _) = k.unix_connected(kind)?;
        k.close(listener);
        return Ok((client, server, WB));
    }
    let t = k.tcp(family)?;
    k.close(t.listener);
    Ok((t.client, t.server, W))
}

fn instance(k: &mut dyn Kernel, fd: Fd, flags: u32) -> Got<Fd> {
    let ep = ok!(k.call(libc::SYS_epoll_create1, &[0]));
    ret!(control(k, ep, libc::EPOLL_CTL_ADD, fd, flags), 0);
    Ok(ep)
}

fn control(k: &mut dyn Kernel, ep: Fd, op: i32, fd: Fd, flags: u32) -> i64 {
    let event = libc::epoll_event {
        events: BITS as u32 & 0xffff | flags,
        u64: fd as u64,
    };
    let args = [ep as u64, op as u64, fd as u64, &raw const event as u64];
    k.call(libc::SYS_epoll_ctl, &args)
}

/// The bits that epoll_wait(2) tells now; none.
fn wait(k: &mut dyn Kernel, ep: Fd) -> Got<i16> {
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    let args = [ep as u64, &raw mut event as u64, 1, 0];
    match ok!(k.call(libc::SYS_epoll_wait, &args)) {
        0 => Ok(0),
        _ => Ok(event.events as i16),
    }
}

/// A socket that is watched for edges.
struct Watched {
    fd: Fd,
    edges: Fd,
}

impl Watched {
    /// From now on; what is there already is the first edge, and taken.
    fn new(k: &mut dyn Kernel, fd: Fd) -> Got<Watched> {
        let edges = instance(k, fd, ET)?;
        wait(k, edges)?;
        Ok(Watched { fd, edges })
    }

    /// The socket's mask, in each way to ask for it, and that an edge has come with it.
    fn becomes(&self, k: &mut dyn Kernel, want: i16) -> Outcome {
        mask!(k, self.fd, want);
        let shown = k.shown(self.fd, want) & BITS;
        let mut told = wait(k, self.edges)?;
        for _ in 0..50 {
            if told == shown {
                break;
            }
            // What happens in several steps may have been told in several edges.
            k.pause(Duration::from_millis(2));
            told = wait(k, self.edges)?;
        }
        eq!(told, shown);
        self.quiet(k)?;
        levels(k, self.fd, want)
    }

    fn quiet(&self, k: &mut dyn Kernel) -> Outcome {
        k.pause(Duration::from_millis(3));
        eq!(wait(k, self.edges)?, 0);
        Ok(())
    }
}

/// Level-triggered epoll tells it again and again, one-shot once, poll only what was asked for.
fn levels(k: &mut dyn Kernel, fd: Fd, want: i16) -> Outcome {
    let shown = k.shown(fd, want) & BITS;
    let level = instance(k, fd, 0)?;
    eq!(wait(k, level)?, shown);
    eq!(wait(k, level)?, shown);
    let once = instance(k, fd, ONESHOT)?;
    eq!(wait(k, once)?, shown);
    eq!(wait(k, once)?, 0);
    for ask in [IN, OUT, PRI, POLLRDHUP] {
        let mut fds = [libc::pollfd {
            fd: fd as i32,
            events: ask,
            revents: 0,
        }];
        let told = shown & (ask | POLLERR | POLLHUP);
        ret!(k.poll(&mut fds, 0), i64::from(told != 0));
        eq!(fds[0].revents, told);
    }
    k.close(level);
    k.close(once);
    Ok(())
}

fn arrival(k: &mut dyn Kernel) -> Outcome {
    for stream in STREAMS {
        let (a, b, out) = connected(k, stream)?;
        let watched = Watched::new(k, b)?;
        ret!(k.send(a, b"x", 0), 1);
        watched.becomes(k, R | out)?;
        ret!(k.recv(b, &mut [0; 4], 0), 1);
        mask!(k, b, out);
        watched.quiet(k)?;
    }
    for family in [AF_INET, AF_INET6, AF_UNIX] {
        let (a, b) = if family == AF_UNIX {
            k.pair(AF_UNIX, SOCK_DGRAM | NB)?
        } else {
            k.udp_pair(family)?
        };
        let watched = Watched::new(k, b)?;
        ret!(k.send(a, b"", 0), 0);
        watched.becomes(k, R | WB)?;
        ret!(k.recv(b, &mut [0; 4], 0), 0);
        mask!(k, b, WB);
        watched.quiet(k)?;
    }
    Ok(())
}

fn connection_set_up(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (listener, addr) = k.tcp_listener(family, 0)?;
        let first = k.tcp_socket(family, NB)?;
        k.connect_now(first, &addr)?;
        // The queue is full: the second one's SYN is dropped, and sent again a second later.
        let second = k.tcp_socket(family, NB)?;
        let watched = Watched::new(k, second)?;
        err!(k.connect(second, &addr), EINPROGRESS);
        mask!(k, second, 0);
        levels(k, second, 0)?;
        ok!(k.accept(listener));
        for _ in 0..40 {
            if k.poll_mask(second) != 0 {
                break;
            }
            k.pause(Duration::from_millis(100));
        }
        watched.becomes(k, W)?;
    }
    Ok(())
}

fn listeners(k: &mut dyn Kernel, backlog: i32) -> Got<Vec<(Fd, Addr, i32, i32)>> {
    let mut all = Vec::new();
    for (family, kind) in STREAMS {
        let (fd, addr) = if family == AF_UNIX {
            k.unix_listener(kind, backlog)?
        } else {
            k.tcp_listener(family, backlog)?
        };
        all.push((fd, addr, family, kind));
    }
    Ok(all)
}

fn connection_to_accept(k: &mut dyn Kernel) -> Outcome {
    for (listener, addr, family, kind) in listeners(k, 4)? {
        mask!(k, listener, 0);
        let watched = Watched::new(k, listener)?;
        let client = ok!(k.socket(family, kind, 0));
        ret!(k.connect(client, &addr), 0);
        watched.becomes(k, R)?;
        ok!(k.accept(listener));
        mask!(k, listener, 0);
        watched.quiet(k)?;
    }
    Ok(())
}

fn half_close(k: &mut dyn Kernel) -> Outcome {
    for stream in STREAMS {
        let (a, b, out) = connected(k, stream)?;
        let watched = Watched::new(k, b)?;
        ret!(k.shutdown(a, SHUT_WR), 0);
        watched.becomes(k, R | out | POLLRDHUP)?;
        mask!(k, a, out);
    }
    Ok(())
}

fn own_half_close(k: &mut dyn Kernel) -> Outcome {
    for stream in STREAMS {
        let (a, _b, out) = connected(k, stream)?;
        let watched = Watched::new(k, a)?;
        ret!(k.shutdown(a, SHUT_RD), 0);
        watched.becomes(k, R | out | POLLRDHUP)?;
        ret!(k.shutdown(a, SHUT_WR), 0);
        let want = R | out | POLLRDHUP | POLLHUP;
        if stream.0 == AF_UNIX {
            watched.becomes(k, want)?;
        } else {
            // Another edge tells when the peer has acknowledged the FIN.
            mask!(k, a, want);
            levels(k, a, want)?;
        }
    }
    Ok(())
}

fn hang_up(k: &mut dyn Kernel) -> Outcome {
    for stream in STREAMS {
        let (a, b, out) = connected(k, stream)?;
        let watched = Watched::new(k, b)?;
        k.close(a);
        let hup = if stream.0 == AF_UNIX { POLLHUP } else { 0 };
        watched.becomes(k, R | out | POLLRDHUP | hup)?;
    }
    Ok(())
}

fn hang_up_of_shut_down(k: &mut dyn Kernel) -> Outcome {
    for stream in STREAMS {
        let (a, b, out) = connected(k, stream)?;
        ret!(k.shutdown(b, SHUT_WR), 0);
        mask!(k, a, R | out | POLLRDHUP);
        let watched = Watched::new(k, b)?;
        k.close(a);
        watched.becomes(k, R | out | POLLRDHUP | POLLHUP)?;
    }
    Ok(())
}

fn reset(k: &mut dyn Kernel) -> Outcome {
    let linger = [1i32, 0].map(i32::to_ne_bytes).concat();
    for family in [AF_INET, AF_INET6] {
        let t = k.tcp(family)?;
        let watched = Watched::new(k, t.server)?;
        ret!(
            k.setsockopt(t.client, SOL_SOCKET, libc::SO_LINGER, &linger),
            0
        );
        k.close(t.client);
        let gone = R | W | POLLRDHUP | POLLHUP;
        watched.becomes(k, gone | POLLERR)?;
        eq!(k.so_error(t.server)?, libc::ECONNRESET);
        mask!(k, t.server, gone);
        levels(k, t.server, gone)?;
    }
    Ok(())
}

fn reset_by_unread_data(k: &mut dyn Kernel) -> Outcome {
    for stream in STREAMS {
        let (a, b, out) = connected(k, stream)?;
        ret!(k.send(b, b"unread", 0), 6);
        mask!(k, a, R | out);
        let watched = Watched::new(k, b)?;
        k.close(a);
        watched.becomes(k, R | out | POLLRDHUP | POLLHUP | POLLERR)?;
    }
    Ok(())
}

fn refused(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let nobody = k.closed_port(family, SOCK_STREAM)?;
        let fd = k.tcp_socket(family, NB)?;
        let watched = Watched::new(k, fd)?;
        err!(k.connect(fd, &nobody), EINPROGRESS);
        let gone = R | W | POLLRDHUP | POLLHUP;
        watched.becomes(k, gone | POLLERR)?;
        err!(k.connect(fd, &nobody), ECONNREFUSED);
    }
    Ok(())
}

fn refused_datagram(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let nobody = k.closed_port(family, SOCK_DGRAM)?;
        let (fd, _) = k.udp(family)?;
        ret!(k.connect(fd, &nobody), 0);
        let watched = Watched::new(k, fd)?;
        ret!(k.send(fd, b"x", 0), 1);
        watched.becomes(k, WB | POLLERR)?;
        err!(k.recv(fd, &mut [0; 4], 0), ECONNREFUSED);
        mask!(k, fd, WB);
        levels(k, fd, WB)?;
    }
    Ok(())
}

fn urgent(k: &mut dyn Kernel) -> Outcome {
    for stream in [STREAMS[0], STREAMS[1], STREAMS[2]] {
        let (a, b, out) = connected(k, stream)?;
        let watched = Watched::new(k, b)?;
        ret!(k.send(a, b"a!", libc::MSG_OOB), 2);
        watched.becomes(k, R | PRI | out)?;
        ret!(k.recv(b, &mut [0; 4], libc::MSG_OOB), 1);
        mask!(k, b, R | out);
        levels(k, b, R | out)?;
    }
    Ok(())
}

fn room_again(k: &mut dyn Kernel) -> Outcome {
    for stream in STREAMS {
        let (a, b, out) = connected(k, stream)?;
        let watched = Watched::new(k, a)?;
        let chunk = if stream.0 == AF_UNIX { 4096 } else { 65536 };
        k.fill(a, chunk)?;
        mask!(k, a, 0);
        levels(k, a, 0)?;
        watched.quiet(k)?;
        while k.poll_mask(a) & OUT == 0 {
            k.drain(b)?;
            k.pause(Duration::from_millis(1));
        }
        mask!(k, a, out);
        let mut told = wait(k, watched.edges)?;
        for _ in 0..50 {
            if told != 0 {
                break;
            }
            k.pause(Duration::from_millis(2));
            told = wait(k, watched.edges)?;
        }
        eq!(told, OUT);
    }
    Ok(())
}

fn low_water_mark(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(
        k.set_int(t.client, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1),
        0
    );
    ret!(k.set_int(t.server, SOL_SOCKET, libc::SO_RCVLOWAT, 4), 0);
    let watched = Watched::new(k, t.server)?;
    ret!(k.send(t.client, b"abc", 0), 3);
    k.wait_sent(t.client)?;
    mask!(k, t.server, W);
    levels(k, t.server, W)?;
    watched.quiet(k)?;
    ret!(k.send(t.client, b"d", 0), 1);
    watched.becomes(k, R | W)?;
    // Lowered, what lies there is enough: an edge on TCP.
    ret!(k.recv(t.server, &mut [0; 2], 0), 2);
    mask!(k, t.server, W);
    ret!(k.set_int(t.server, SOL_SOCKET, libc::SO_RCVLOWAT, 2), 0);
    watched.becomes(k, R | W)?;
    // Others do not look at it.
    for (a, b) in [k.pair(AF_UNIX, SOCK_STREAM | NB)?, k.udp_pair(AF_INET)?] {
        ret!(k.set_int(b, SOL_SOCKET, libc::SO_RCVLOWAT, 4), 0);
        ret!(k.send(a, b"x", 0), 1);
        mask!(k, b, R | WB);
    }
    Ok(())
}

fn backlog_of_one(k: &mut dyn Kernel) -> Outcome {
    // A non-blocking connect to a full AF_UNIX queue fails at once, and the socket shows no change.
    let (listener, addr) = k.unix_listener(SOCK_STREAM, 0)?;
    let first = ok!(k.socket(AF_UNIX, SOCK_STREAM | NB, 0));
    ret!(k.connect(first, &addr), 0);
    let second = ok!(k.socket(AF_UNIX, SOCK_STREAM | NB, 0));
    err!(k.connect(second, &addr), EAGAIN);
    mask!(k, second, WB | POLLHUP);
    mask!(k, first, WB);
    ok!(k.accept(listener));
    mask!(k, listener, 0);
    ret!(k.connect(second, &addr), 0);
    mask!(k, second, WB);
    mask!(k, listener, R);
    Ok(())
}

fn each_connection_is_an_edge(k: &mut dyn Kernel) -> Outcome {
    for (listener, addr, family, kind) in listeners(k, 8)? {
        let watched = Watched::new(k, listener)?;
        for _ in 0..3 {
            let client = ok!(k.socket(family, kind, 0));
            ret!(k.connect(client, &addr), 0);
            watched.becomes(k, R)?;
        }
        for left in [true, true, false] {
            ok!(k.accept(listener));
            mask!(k, listener, if left { R } else { 0 });
            watched.quiet(k)?;
        }
    }
    Ok(())
}

fn each_segment_is_an_edge(k: &mut dyn Kernel) -> Outcome {
    for stream in STREAMS {
        let (a, b, out) = connected(k, stream)?;
        if stream.0 != AF_UNIX {
            ret!(k.set_int(a, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1), 0);
        }
        let watched = Watched::new(k, b)?;
        for _ in 0..5 {
            ret!(k.send(a, b"x", 0), 1);
            watched.becomes(k, R | out)?;
        }
        // A part that is taken is none.
        ret!(k.recv(b, &mut [0; 1], 0), 1);
        watched.quiet(k)?;
        check!(k.poll_mask(b) & IN != 0, "IN is gone");
    }
    Ok(())
}

fn peer_of_a_datagram_socket_closes(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    k.close(a);
    mask!(k, b, WB);
    levels(k, b, WB)?;
    let (a, b) = k.udp_pair(AF_INET)?;
    let watched = Watched::new(k, b)?;
    k.close(a);
    mask!(k, b, WB);
    watched.quiet(k)?;
    ret!(k.shutdown(b, SHUT_RDWR), 0);
    watched.becomes(k, R | WB | POLLRDHUP | POLLHUP)
}

fn unbound_and_listening(k: &mut dyn Kernel) -> Outcome {
    for (family, kind) in STREAMS {
        let fd = ok!(k.socket(family, kind | NB, 0));
        let out = if family == AF_UNIX { WB } else { W };
        mask!(k, fd, out | POLLHUP);
        levels(k, fd, out | POLLHUP)?;
        if family == AF_UNIX {
            ret!(k.bind(fd, &Addr::fresh_abstract("listening")), 0);
        }
        ret!(k.listen(fd, 1), 0);
        mask!(k, fd, 0);
        levels(k, fd, 0)?;
        // A TCP listener that is shut down is as new; one of AF_UNIX is hung up.
        ret!(k.shutdown(fd, SHUT_RDWR), 0);
        if family == AF_UNIX {
            mask!(k, fd, R | POLLRDHUP | POLLHUP);
        } else {
            eq!(k.polled(fd, W), W | POLLHUP);
        }
    }
    Ok(())
}

/// select(2)'s three sets of one descriptor, as bits 1, 2 and 4.
fn select(k: &mut dyn Kernel, fd: Fd) -> Got<u8> {
    check!(fd < 1000, "descriptor {fd}");
    let mut sets = [[0u64; 16]; 3];
    for set in &mut sets {
        set[fd as usize / 64] = 1 << (fd % 64);
    }
    let timeout = [0i64; 2];
    let [r, w, x] = &mut sets;
    let args = [
        fd as u64 + 1,
        r.as_mut_ptr() as u64,
        w.as_mut_ptr() as u64,
        x.as_mut_ptr() as u64,
        timeout.as_ptr() as u64,
    ];
    let count = ok!(k.call(libc::SYS_select, &args));
    let bits = sets.map(|set| u8::from(set[fd as usize / 64] != 0));
    let [r, w, x] = bits;
    eq!(count, i64::from(r + w + x));
    Ok(r | w << 1 | x << 2)
}

fn exceptional_set(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    eq!(select(k, t.listener)?, 0);
    eq!(select(k, t.server)?, 2);
    ret!(k.send(t.client, b"a!", libc::MSG_OOB), 2);
    mask!(k, t.server, R | PRI | W);
    eq!(select(k, t.server)?, 7);
    ret!(k.recv(t.server, &mut [0; 1], libc::MSG_OOB), 1);
    eq!(select(k, t.server)?, 3);
    // An end and an error are readable, not exceptional.
    k.close(t.client);
    mask!(k, t.server, R | W | POLLRDHUP);
    eq!(select(k, t.server)?, 3);
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    ret!(k.send(b, b"unread", 0), 6);
    k.close(a);
    mask!(k, b, R | WB | POLLRDHUP | POLLHUP | POLLERR);
    eq!(select(k, b)?, 3);
    Ok(())
}

fn disarmed_until_modified(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    let once = instance(k, b, ONESHOT | ET)?;
    eq!(wait(k, once)?, OUT);
    ret!(k.send(a, b"x", 0), 1);
    eq!(wait(k, once)?, 0);
    // Not even a hang-up is told.
    k.close(a);
    mask!(k, b, R | WB | POLLRDHUP | POLLHUP);
    eq!(wait(k, once)?, 0);
    ret!(control(k, once, libc::EPOLL_CTL_MOD, b, ONESHOT | ET), 0);
    eq!(wait(k, once)?, IN | OUT | POLLRDHUP | POLLHUP);
    eq!(wait(k, once)?, 0);
    Ok(())
}

fn added_when_ready_is_an_edge(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"x", 0), 1);
    mask!(k, t.server, R | W);
    let edges = instance(k, t.server, ET)?;
    eq!(wait(k, edges)?, IN | OUT);
    eq!(wait(k, edges)?, 0);
    ret!(control(k, edges, libc::EPOLL_CTL_MOD, t.server, ET), 0);
    eq!(wait(k, edges)?, IN | OUT);
    eq!(wait(k, edges)?, 0);
    ret!(
        control(k, edges, libc::EPOLL_CTL_ADD, t.server, ET),
        -libc::EEXIST
    );
    ret!(control(k, edges, libc::EPOLL_CTL_DEL, t.server, 0), 0);
    ret!(
        control(k, edges, libc::EPOLL_CTL_DEL, t.server, 0),
        -libc::ENOENT
    );
    ret!(
        control(k, edges, libc::EPOLL_CTL_MOD, t.server, 0),
        -libc::ENOENT
    );
    Ok(())
}
