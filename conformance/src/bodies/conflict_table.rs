//! Which two sockets may have one port: every pair of an address, options, interface and state.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::sys::Fd;
use libc::{AF_INET, AF_INET6, SO_REUSEADDR, SO_REUSEPORT, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET};

tests! {
    every_pair_of_streams,
    every_pair_of_datagrams,
    options_count_when_the_second_comes,
    the_last_member_takes_the_place_of_a_closed_one,
    a_closed_listener_leaves_the_others,
    incoming_cpu_is_preferred,
}

const SO_INCOMING_CPU: i32 = 49;
const SO_BINDTOIFINDEX: i32 = 62;
/// No interface has it.
const NOWHERE: i32 = 100_000;

/// How a socket is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Any4,
    Lo4,
    /// Another address of the loopback interface.
    Other4,
    /// `::`, for IPv4 too.
    Any6,
    /// `::`, for IPv6 only.
    Only6,
    Lo6,
    /// `::ffff:127.0.0.1`
    Mapped,
}

#[derive(Clone, Copy, Debug)]
struct Socket {
    at: At,
    reuse_addr: bool,
    reuse_port: bool,
    /// Bound to an interface; 0 is none.
    device: i32,
    listens: bool,
}

impl Socket {
    fn all(stream: bool) -> Vec<Socket> {
        use At::{Any4, Any6, Lo4, Lo6, Mapped, Only6, Other4};
        let mut all = Vec::new();
        for at in [Any4, Lo4, Other4, Any6, Only6, Lo6, Mapped] {
            for bits in 0..16 {
                let is = |bit: i32| bits >> bit & 1 != 0;
                let device = i32::from(is(2));
                let (reuse_addr, reuse_port, listens) = (is(0), is(1), is(3));
                let socket = Socket {
                    at,
                    reuse_addr,
                    reuse_port,
                    device,
                    listens,
                };
                if stream || !listens {
                    all.push(socket);
                }
                // IPv6 does not bind to an interface that is not there.
                if device == 1 && matches!(at, Any4 | Lo4) && (stream || !listens) {
                    all.push(Socket {
                        device: NOWHERE,
                        ..socket
                    });
                }
            }
        }
        all
    }

    fn addr(&self, port: u16) -> Addr {
        match self.at {
            At::Any4 => Addr::any4(port),
            At::Lo4 => Addr::lo4(port),
            At::Other4 => Addr::v4([127, 0, 0, 2], port),
            At::Any6 | At::Only6 => Addr::any6(port),
            At::Lo6 => Addr::lo6(port),
            At::Mapped => Addr::mapped([127, 0, 0, 1], port),
        }
    }

    /// Opened, not yet bound.
    fn open(&self, k: &mut dyn Kernel, kind: i32) -> Got<Fd> {
        let family = match self.at {
            At::Any4 | At::Lo4 | At::Other4 => AF_INET,
            _ => AF_INET6,
        };
        let fd = ok!(k.socket(family, kind, 0));
        if self.at == At::Only6 {
            ret!(k.set_int(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1), 0);
        }
        for (on, name) in [
            (self.reuse_addr, SO_REUSEADDR),
            (self.reuse_port, SO_REUSEPORT),
        ] {
            if on {
                ret!(k.set_int(fd, SOL_SOCKET, name, 1), 0);
            }
        }
        if self.device != 0 {
            ret!(k.set_int(fd, SOL_SOCKET, SO_BINDTOIFINDEX, self.device), 0);
        }
        Ok(fd)
    }

    /// Whether a packet could be for both.
    fn meets(&self, other: &Socket) -> bool {
        use At::{Any4, Any6, Lo4, Lo6, Mapped, Only6, Other4};
        let devices = self.device == 0 || other.device == 0 || self.device == other.device;
        let place = |at| match at {
            Mapped => Lo4,
            at => at,
        };
        let addresses = match (place(self.at), place(other.at)) {
            (a, b) if a == b => true,
            (Any4, Lo4 | Other4 | Any6) | (Lo4 | Other4 | Any6, Any4) => true,
            (Any6, Lo4 | Other4 | Lo6 | Only6) | (Lo4 | Other4 | Lo6 | Only6, Any6) => true,
            (Only6, Lo6) | (Lo6, Only6) => true,
            _ => false,
        };
        devices && addresses
    }

    /// Whether `self` keeps `new` away, which is about to be bound, or to listen.
    fn refuses(&self, new: &Socket, stream: bool) -> bool {
        let addr = self.reuse_addr && new.reuse_addr;
        let port = self.reuse_port && new.reuse_port;
        let shared = match stream {
            // A listener shares its port with SO_REUSEPORT only.
            true => (addr && !self.listens) || port,
            false => addr || port,
        };
        self.meets(new) && !shared
    }
}

/// What happens to the second socket: `bind`, then `listen`.
fn second(
    k: &mut dyn Kernel,
    kind: i32,
    port: u16,
    first: &Socket,
    new: &Socket,
) -> Got<(bool, bool)> {
    let a = first.open(k, kind)?;
    ret!(k.bind(a, &first.addr(port)), 0);
    if first.listens {
        ret!(k.listen(a, 1), 0);
    }
    let b = new.open(k, kind)?;
    let bound = k.bind(b, &new.addr(port));
    let taken = -i64::from(libc::EADDRINUSE);
    check!(bound == 0 || bound == taken, "bind: {bound}");
    let mut listened = false;
    if bound == 0 && new.listens {
        let got = k.listen(b, 1);
        check!(got == 0 || got == taken, "listen: {got}");
        listened = got == 0;
    }
    k.close(a);
    k.close(b);
    Ok((bound == 0, listened))
}

fn every_pair(k: &mut dyn Kernel, kind: i32) -> Outcome {
    let stream = kind == SOCK_STREAM;
    let all = Socket::all(stream);
    let port = k.free_port()?;
    let mut wrong = Vec::new();
    for first in &all {
        for new in &all {
            let bound = !first.refuses(new, stream);
            let want = (bound, bound && new.listens);
            let got = second(k, kind, port, first, new)?;
            if got != want {
                wrong.push(format!("{first:?} then {new:?}: {got:?}, not {want:?}"));
            }
        }
    }
    let count = wrong.len();
    wrong.truncate(8);
    check!(
        wrong.is_empty(),
        "{count} of {}: {}",
        all.len().pow(2),
        wrong.join("; ")
    );
    Ok(())
}

fn every_pair_of_streams(k: &mut dyn Kernel) -> Outcome {
    every_pair(k, SOCK_STREAM)
}

fn every_pair_of_datagrams(k: &mut dyn Kernel) -> Outcome {
    every_pair(k, SOCK_DGRAM)
}

fn options_count_when_the_second_comes(k: &mut dyn Kernel) -> Outcome {
    // Not as they were when the first one was bound.
    for (kind, name) in [
        (SOCK_STREAM, SO_REUSEADDR),
        (SOCK_DGRAM, SO_REUSEADDR),
        (SOCK_DGRAM, SO_REUSEPORT),
    ] {
        let port = k.free_port()?;
        let a = ok!(k.socket(AF_INET, kind, 0));
        ret!(k.set_int(a, SOL_SOCKET, name, 1), 0);
        ret!(k.bind(a, &Addr::lo4(port)), 0);
        let b = ok!(k.socket(AF_INET, kind, 0));
        ret!(k.set_int(b, SOL_SOCKET, name, 1), 0);
        ret!(k.bind(b, &Addr::lo4(port)), 0);
        ret!(k.set_int(a, SOL_SOCKET, name, 0), 0);
        ret!(k.set_int(b, SOL_SOCKET, name, 0), 0);
        let c = ok!(k.socket(AF_INET, kind, 0));
        ret!(k.set_int(c, SOL_SOCKET, name, 1), 0);
        let got = k.bind(c, &Addr::lo4(port));
        let want = match kind {
            // A port whose sockets all allowed it once is shared from then on (tb->fastreuse).
            SOCK_STREAM => [0, -i64::from(libc::EADDRINUSE)],
            _ => [-i64::from(libc::EADDRINUSE); 2],
        };
        check!(want.contains(&got), "type {kind} option {name}: {got}");
    }
    Ok(())
}

/// A group of datagram sockets on one port.
fn group(k: &mut dyn Kernel, size: usize) -> Got<(Vec<Fd>, Addr)> {
    let addr = Addr::lo4(k.free_port()?);
    let mut members = Vec::new();
    for _ in 0..size {
        let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | crate::scene::NB, 0));
        ret!(k.set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1), 0);
        ret!(k.bind(fd, &addr), 0);
        members.push(fd);
    }
    Ok((members, addr))
}

/// Which of the members gets a datagram of each sender.
fn receivers(k: &mut dyn Kernel, members: &[Fd], senders: &[Fd], addr: &Addr) -> Got<Vec<usize>> {
    let mut all = Vec::new();
    for sender in senders {
        ret!(k.sendto(*sender, b"x", 0, addr), 1);
        let mut got = None;
        for _ in 0..50 {
            got = members
                .iter()
                .position(|fd| k.recv(*fd, &mut [0; 4], 0) == 1);
            if got.is_some() {
                break;
            }
            k.pause(std::time::Duration::from_millis(1));
        }
        match got {
            Some(index) => all.push(index),
            None => return crate::check::fail("recv", "nobody got it".to_string()),
        }
    }
    Ok(all)
}

fn the_last_member_takes_the_place_of_a_closed_one(k: &mut dyn Kernel) -> Outcome {
    let (members, addr) = group(k, 4)?;
    let mut senders = Vec::new();
    for _ in 0..40 {
        let (fd, _) = k.udp(AF_INET)?;
        senders.push(fd);
    }
    let before = receivers(k, &members, &senders, &addr)?;
    let mut seen = before.clone();
    seen.sort_unstable();
    seen.dedup();
    check!(seen.len() == 4, "{before:?}");
    // The same sender always goes to the same member.
    let again = receivers(k, &members, &senders, &addr)?;
    check!(again == before, "{before:?} then {again:?}");
    // One joins, one leaves: as many as before, and the new one stands where the old one stood.
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | crate::scene::NB, 0));
    ret!(k.set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1), 0);
    ret!(k.bind(fd, &addr), 0);
    k.close(members[1]);
    let now = [members[0], fd, members[2], members[3]];
    let after = receivers(k, &now, &senders, &addr)?;
    check!(after == before, "{before:?} then {after:?}");
    Ok(())
}

fn a_closed_listener_leaves_the_others(k: &mut dyn Kernel) -> Outcome {
    let addr = Addr::lo4(k.free_port()?);
    let mut listeners = Vec::new();
    for _ in 0..3 {
        let fd = k.tcp_socket(AF_INET, crate::scene::NB)?;
        ret!(k.set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1), 0);
        ret!(k.bind(fd, &addr), 0);
        ret!(k.listen(fd, 64), 0);
        listeners.push(fd);
    }
    k.close(listeners.remove(0));
    let mut clients = Vec::new();
    for _ in 0..40 {
        let c = k.tcp_socket(AF_INET, crate::scene::NB)?;
        k.connect_now(c, &addr)?;
        clients.push(c);
    }
    let mut counts = [0; 2];
    for (count, fd) in counts.iter_mut().zip(&listeners) {
        while k.accept(*fd) >= 0 {
            *count += 1;
        }
    }
    check!(
        counts[0] + counts[1] == 40 && counts[0] > 0 && counts[1] > 0,
        "{counts:?}"
    );
    Ok(())
}

fn incoming_cpu_is_preferred(k: &mut dyn Kernel) -> Outcome {
    // One member asks for each processor there may be but the others for none that there is: it
    // gets everything that is handled there.
    let (members, addr) = group(k, 3)?;
    for (i, fd) in members.iter().enumerate() {
        let cpu = if i == 1 { 0 } else { 4000 };
        ret!(k.set_int(*fd, SOL_SOCKET, SO_INCOMING_CPU, cpu), 0);
    }
    let mut senders = Vec::new();
    for _ in 0..20 {
        let (fd, _) = k.udp(AF_INET)?;
        senders.push(fd);
    }
    let got = receivers(k, &members, &senders, &addr)?;
    // What another processor handles has nobody who prefers it, and goes by the hash.
    let others = got.iter().filter(|index| **index != 1).count();
    if others > 0 && k.name() == "host" {
        crate::check::skip!("this ran on another processor");
    }
    check!(others == 0, "{got:?}");
    Ok(())
}
