//! Datagram sockets whose destination, way or memory is not what their last connect(2) says.

use crate::addr::Addr;
use crate::check::{Got, Outcome, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::msg::{Msg, cmsg};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, WB};
use libc::{AF_INET, AF_INET6, IPPROTO_IP, IPPROTO_UDP, MSG_MORE, POLLERR, SOCK_DGRAM, SOL_SOCKET};

const UDP_CORK: i32 = 1;
const SO_BINDTOIFINDEX: i32 = 62;
const SO_MARK: i32 = 36;

tests! {
    corked_destination_stays,
    what_makes_a_socket_look_again,
    mark_makes_a_socket_look_again [ROOT],
    what_does_not,
    errors_take_room_of_datagrams,
    second_fragment_needs_room,
    to_nobody_from_a_foreign_address [ROOT],
    longest_by_interface,
    longest_of_raw_ipv6 [ROOT],
}

/// A socket that is connected to the second, and whose last corked datagram went to the third.
struct Stray {
    fd: Fd,
    peer: Fd,
    other: Fd,
}

fn stray(k: &mut dyn Kernel) -> Got<Stray> {
    let (fd, _) = k.udp(AF_INET)?;
    let (peer, to) = k.udp(AF_INET)?;
    let (other, elsewhere) = k.udp(AF_INET)?;
    ok!(k.connect(fd, &to));
    ret!(k.sendto(fd, b"1", MSG_MORE, &elsewhere), 1);
    ret!(k.send(fd, b"2", 0), 1);
    ret!(k.recv(other, &mut [0; 9], 0), 2);
    Ok(Stray { fd, peer, other })
}

impl Stray {
    /// Who got what was sent: the peer, the other.
    fn arrived(&self, k: &mut dyn Kernel) -> (i64, i64) {
        let mut count = |fd| {
            (0..9)
                .take_while(|_| k.recv(fd, &mut [0; 9], 0) > 0)
                .count() as i64
        };
        (count(self.peer), count(self.other))
    }

    /// Sends once, plainly.
    fn send(&self, k: &mut dyn Kernel) -> Got<(i64, i64)> {
        ret!(k.send(self.fd, b"x", 0), 1);
        Ok(self.arrived(k))
    }
}

/// Who corked a datagram to another goes on sending there.
fn corked_destination_stays(k: &mut dyn Kernel) -> Outcome {
    let s = stray(k)?;
    for _ in 0..3 {
        eq!(s.send(k)?, (0, 1));
    }
    Ok(())
}

fn looks_again(k: &mut dyn Kernel, (level, name, value): (i32, i32, i32)) -> Outcome {
    let s = stray(k)?;
    ret!(k.set_int(s.fd, level, name, value), 0);
    // A message that is no plain one leaves it at that.
    let tos = cmsg(IPPROTO_IP, libc::IP_TOS, &4i32.to_ne_bytes());
    let mut msg = Msg::of(&[b"z"]).control(&tos);
    ret!(k.sendmsg(s.fd, &mut msg, 0), 1);
    eq!((name, s.arrived(k)), (name, (1, 0)));
    eq!((name, s.send(k)?), (name, (1, 0)));
    // The way is found, and what was corked counts again.
    eq!((name, s.send(k)?), (name, (0, 1)));
    Ok(())
}

fn what_makes_a_socket_look_again(k: &mut dyn Kernel) -> Outcome {
    looks_again(k, (SOL_SOCKET, SO_BINDTOIFINDEX, 1))?;
    looks_again(k, (IPPROTO_IP, libc::IP_TOS, 16))?;
    // Though nothing changes.
    looks_again(k, (SOL_SOCKET, libc::SO_DONTROUTE, 0))
}

fn mark_makes_a_socket_look_again(k: &mut dyn Kernel) -> Outcome {
    looks_again(k, (SOL_SOCKET, SO_MARK, 5))
}

fn what_does_not(k: &mut dyn Kernel) -> Outcome {
    let unchanged = [
        (IPPROTO_IP, libc::IP_TOS, 0),
        (IPPROTO_IP, libc::IP_TTL, 9),
        (IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO),
        (SOL_SOCKET, libc::SO_PRIORITY, 3),
    ];
    for (level, name, value) in unchanged {
        let s = stray(k)?;
        ret!(k.set_int(s.fd, level, name, value), 0);
        eq!((name, s.send(k)?), (name, (0, 1)));
    }
    Ok(())
}

/// What waits on the error queue is charged to the receive buffer, so fewer datagrams fit.
fn errors_take_room_of_datagrams(k: &mut dyn Kernel) -> Outcome {
    for errors in [0, 1] {
        let (fd, to) = k.udp(AF_INET)?;
        let (from, _) = k.udp(AF_INET)?;
        ret!(k.set_int(fd, IPPROTO_IP, libc::IP_RECVERR, 1), 0);
        for _ in 0..errors {
            // Too long for IP: an error of this host's own.
            err!(k.sendto(fd, &[0; 65530], 0, &to), EMSGSIZE);
            mask!(k, fd, WB | POLLERR);
        }
        // The smallest there is, 2304: two datagrams of 832 bytes with all they cost.
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_RCVBUF, 0), 0);
        for _ in 0..4 {
            ret!(k.sendto(from, b"a", 0, &to), 1);
        }
        let mut got = 0;
        while k.recv(fd, &mut [0; 9], 0) == 1 {
            got += 1;
        }
        eq!((errors, got), (errors, 2 - errors));
    }
    Ok(())
}

/// What is joined to a corked datagram of IPv6 and needs a second fragment finds no memory for it when twice SO_SNDBUF
/// is charged; all of it is lost.
fn second_fragment_needs_room(k: &mut dyn Kernel) -> Outcome {
    for (sndbuf, fails) in [(1000, true), (100_000, false)] {
        let (fd, _) = k.udp(AF_INET6)?;
        let (peer, to) = k.udp(AF_INET6)?;
        ok!(k.connect(fd, &to));
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_SNDBUF, sndbuf), 0);
        ret!(k.set_int(fd, IPPROTO_UDP, UDP_CORK, 1), 0);
        ret!(k.send(fd, &[0; 1500], 0), 1500);
        for _ in 0..15 {
            ret!(k.send(fd, &[0; 4000], 0), 4000);
        }
        // 65508 bytes with the header of UDP: they fit into a datagram, and not into a packet of 65536.
        let last = k.send(fd, &[0; 4000], 0);
        eq!(
            last,
            if fails {
                -i64::from(libc::ENOBUFS)
            } else {
                4000
            }
        );
        ret!(k.set_int(fd, IPPROTO_UDP, UDP_CORK, 0), 0);
        let got = k.recv(peer, &mut vec![0; 70_000], libc::MSG_TRUNC);
        eq!(
            got,
            if fails {
                -i64::from(libc::EAGAIN)
            } else {
                65500
            }
        );
    }
    Ok(())
}

/// The unspecified destination is the source; for IP_TRANSPARENT that may be nobody's address, and the datagram comes
/// back all the same.
fn to_nobody_from_a_foreign_address(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ok!(k.bind(fd, &Addr::any4(0)));
    let port = k.sockname(fd)?.port();
    let foreign = [192, 0, 2, 1];
    let mut info = vec![0; 4];
    info.extend(foreign);
    info.extend([0; 4]);
    let control = cmsg(IPPROTO_IP, libc::IP_PKTINFO, &info);
    let send = |k: &mut dyn Kernel| {
        let mut msg = Msg::of(&[b"back"]).to(&Addr::any4(port)).control(&control);
        k.sendmsg(fd, &mut msg, 0)
    };
    err!(send(k), ENETUNREACH);
    ret!(k.set_int(fd, IPPROTO_IP, libc::IP_TRANSPARENT, 1), 0);
    ret!(send(k), 4);
    let mut msg = Msg::room(&[9]).name_room(16);
    ret!(k.recvmsg(fd, &mut msg, 0), 4);
    eq!(msg.peer(), Addr::v4(foreign, port));
    Ok(())
}

/// IP_PMTUDISC_INTERFACE asks the interface alone how long a packet may be. `lo` takes one more byte than IP can tell, so the
/// packet is lost.
fn longest_by_interface(k: &mut dyn Kernel) -> Outcome {
    const INTERFACE: i32 = 4;
    for (discover, most) in [
        (libc::IP_PMTUDISC_DONT, 65507),
        (libc::IP_PMTUDISC_DO, 65507),
        (libc::IP_PMTUDISC_PROBE, 65507),
        (INTERFACE, 65508),
    ] {
        let (fd, _) = k.udp(AF_INET)?;
        let (peer, to) = k.udp(AF_INET)?;
        ret!(
            k.set_int(fd, IPPROTO_IP, libc::IP_MTU_DISCOVER, discover),
            0
        );
        ret!(k.set_int(fd, SOL_SOCKET, libc::SO_SNDBUF, 200_000), 0);
        ret!(k.sendto(fd, &vec![0; most], 0, &to), most);
        let arrived = k.recv(peer, &mut vec![0; 70_000], 0);
        let want = if most == 65507 {
            65507
        } else {
            -i64::from(libc::EAGAIN)
        };
        eq!((discover, arrived), (discover, want));
        err!(k.sendto(fd, &vec![0; most + 1], 0, &to), EMSGSIZE);
    }
    Ok(())
}

/// Who sends no fragments sends no more than the link takes, by a raw socket too; IPV6_DONTFRAG is for UDP and ICMPV6 alone.
fn longest_of_raw_ipv6(k: &mut dyn Kernel) -> Outcome {
    const IPV6_MTU_DISCOVER: i32 = 23;
    const IPV6_DONTFRAG: i32 = 62;
    let whole = 65536 - 40;
    for connected in [false, true] {
        for (protocol, name, value, most) in [
            (200, IPV6_DONTFRAG, 0, 65535),
            (200, IPV6_DONTFRAG, 1, 65535),
            (17, IPV6_DONTFRAG, 1, whole),
            (58, IPV6_DONTFRAG, 1, whole),
            (200, IPV6_MTU_DISCOVER, libc::IP_PMTUDISC_DO, whole),
            (200, IPV6_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE, whole),
        ] {
            let fd = ok!(k.socket(AF_INET6, libc::SOCK_RAW | NB, protocol));
            let to = Addr::lo6(0);
            ret!(k.set_int(fd, SOL_SOCKET, libc::SO_SNDBUF, 200_000), 0);
            ret!(k.set_int(fd, libc::IPPROTO_IPV6, name, value), 0);
            if connected {
                ok!(k.connect(fd, &to));
            }
            let mut send = |len: usize| match connected {
                true => k.send(fd, &vec![255; len], 0),
                false => k.sendto(fd, &vec![255; len], 0, &to),
            };
            let found = (send(most), send(most + 1));
            let want = (most as i64, -i64::from(libc::EMSGSIZE));
            eq!(
                (protocol, name, value, found),
                (protocol, name, value, want)
            );
        }
    }
    Ok(())
}
