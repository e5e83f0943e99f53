//! Packets in pieces: raw sockets write the pieces, a datagram socket gets what they make.

use super::ipv6_headers::packet6;
use crate::addr::Addr;
use crate::check::{Got, Outcome, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{AF_INET, AF_INET6, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_RAW, SOCK_DGRAM, SOCK_RAW};

tests! {
    pieces_meet [ROOT],
    pieces_meet_in_any_order [ROOT],
    pieces_meet_in_ipv6 [ROOT],
    a_piece_that_is_all [ROOT],
    overlaps_are_refused [ROOT],
    repeats_are_passed_over [ROOT],
    contradictions_are_refused [ROOT],
    odd_lengths_are_told_of [ROOT],
    options_come_with_the_first [ROOT],
    long_datagrams_of_ipv6,
}

const HDRINCL: i32 = 36;

/// An address of this process alone.
fn own(which: u8) -> [u8; 4] {
    let id = std::process::id();
    [127, (id >> 8) as u8 | 128, id as u8, 80 + which]
}

struct Scene {
    raw: Fd,
    to: Fd,
    here: [u8; 4],
    port: u16,
}

/// A socket that is told of pieces, and one that writes them.
fn scene(k: &mut dyn Kernel, which: u8) -> Got<Scene> {
    let here = own(which);
    let to = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.bind(to, &Addr::v4(here, 0)), 0);
    ret!(k.set_int(to, IPPROTO_IP, libc::IP_RECVFRAGSIZE, 1), 0);
    let port = k.sockname(to)?.port();
    let raw = ok!(k.socket(AF_INET, SOCK_RAW | NB, IPPROTO_RAW));
    Ok(Scene {
        raw,
        to,
        here,
        port,
    })
}

/// A datagram of so many octets without a checksum, for this port.
fn datagram(port: u16, len: usize) -> Vec<u8> {
    let mut bytes = vec![0, 9];
    bytes.extend(port.to_be_bytes());
    bytes.extend((8 + len as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend((0..len).map(|at| at as u8));
    bytes
}

impl Scene {
    fn piece(&self, k: &mut dyn Kernel, id: u8, at: usize, bytes: &[u8], more: bool) -> Got<()> {
        self.piece_with(k, &[], id, at, bytes, more)
    }

    fn piece_with(
        &self,
        k: &mut dyn Kernel,
        options: &[u8],
        id: u8,
        at: usize,
        bytes: &[u8],
        more: bool,
    ) -> Got<()> {
        let place = (at as u16 / 8) | if more { 0x2000 } else { 0 };
        let words = 5 + options.len() as u8 / 4;
        let mut packet = vec![0x40 | words, 0, 0, 0, 0x77, id];
        packet.extend(place.to_be_bytes());
        packet.extend([64, 17, 0, 0]);
        packet.extend(self.here);
        packet.extend(self.here);
        packet.extend(options);
        packet.extend(bytes);
        let sent = k.sendto(self.raw, &packet, 0, &Addr::v4(self.here, 0));
        ret!(sent, packet.len());
        Ok(())
    }

    /// What came: the data, and the size of the largest piece.
    fn came(&self, k: &mut dyn Kernel) -> Got<(Vec<u8>, Option<Vec<u8>>)> {
        let mut msg = Msg::room(&[200]).control_room(128);
        let n = ok!(k.recvmsg(self.to, &mut msg, 0));
        let size = msg.cmsg(IPPROTO_IP, libc::IP_RECVFRAGSIZE);
        Ok((msg.data(n), size.map(|c| c.data)))
    }

    fn nothing(&self, k: &mut dyn Kernel) -> Outcome {
        let mut msg = Msg::room(&[200]);
        err!(k.recvmsg(self.to, &mut msg, 0), EAGAIN);
        Ok(())
    }
}

fn pieces_meet(k: &mut dyn Kernel) -> Outcome {
    let s = scene(k, 0)?;
    let all = datagram(s.port, 40);
    s.piece(k, 1, 0, &all[..32], true)?;
    s.nothing(k)?;
    s.piece(k, 1, 32, &all[32..], false)?;
    let size = 52i32.to_ne_bytes().to_vec();
    eq!(s.came(k)?, (all[8..].to_vec(), Some(size)));
    // What comes whole has no such size.
    let from = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.sendto(from, b"whole", 0, &Addr::v4(s.here, s.port)), 5);
    eq!(s.came(k)?, (b"whole".to_vec(), None));
    Ok(())
}

fn pieces_meet_in_any_order(k: &mut dyn Kernel) -> Outcome {
    let s = scene(k, 1)?;
    let all = datagram(s.port, 40);
    // Two packets at once, told apart by their numbers.
    s.piece(k, 1, 24, &all[24..], false)?;
    s.piece(k, 2, 8, &all[8..], false)?;
    s.piece(k, 1, 8, &all[8..24], true)?;
    s.piece(k, 1, 0, &all[..8], true)?;
    eq!(s.came(k)?.0, all[8..].to_vec());
    s.nothing(k)?;
    s.piece(k, 2, 0, &all[..8], true)?;
    eq!(s.came(k)?.0, all[8..].to_vec());
    Ok(())
}

/// A fragment header with this behind it.
fn piece6(next: u8, at: usize, bytes: &[u8], more: bool) -> Vec<u8> {
    let place = at as u16 | u16::from(more);
    let mut rest = vec![next, 0];
    rest.extend(place.to_be_bytes());
    rest.extend((std::process::id() ^ 0x5bad_0000).to_be_bytes());
    rest.extend(bytes);
    rest
}

struct Scene6 {
    raw: Fd,
    to: Fd,
    port: u16,
}

fn scene6(k: &mut dyn Kernel) -> Got<Scene6> {
    let (to, addr) = k.udp(AF_INET6)?;
    ret!(k.set_int(to, IPPROTO_IPV6, libc::IPV6_RECVFRAGSIZE, 1), 0);
    ret!(k.set_int(to, IPPROTO_IPV6, libc::IPV6_RECVDSTOPTS, 1), 0);
    // UDP_NO_CHECK6_RX: the pieces are written without a checksum.
    ret!(k.set_int(to, libc::IPPROTO_UDP, 102, 1), 0);
    let raw = ok!(k.socket(AF_INET6, SOCK_RAW | NB, IPPROTO_RAW));
    ret!(k.set_int(raw, IPPROTO_IPV6, HDRINCL, 1), 0);
    let port = addr.port();
    Ok(Scene6 { raw, to, port })
}

fn pieces_meet_in_ipv6(k: &mut dyn Kernel) -> Outcome {
    let s = scene6(k)?;
    let mut all = vec![17, 0, 1, 4, 0, 0, 0, 0];
    all.extend(datagram(s.port, 40));
    let first = packet6(44, &piece6(60, 0, &all[..32], true));
    let last = packet6(44, &piece6(60, 32, &all[32..], false));
    for bytes in [last, first] {
        let mut msg = Msg::room(&[200]);
        err!(k.recvmsg(s.to, &mut msg, 0), EAGAIN);
        ret!(k.sendto(s.raw, &bytes, 0, &Addr::lo6(0)), bytes.len());
    }
    let mut msg = Msg::room(&[200]).control_room(128);
    ret!(k.recvmsg(s.to, &mut msg, 0), 40);
    eq!(msg.data(40), all[16..].to_vec());
    let size = msg.cmsg(IPPROTO_IPV6, libc::IPV6_RECVFRAGSIZE);
    eq!(size.map(|c| c.data), Some(80i32.to_ne_bytes().to_vec()));
    let options = msg.cmsg(IPPROTO_IPV6, libc::IPV6_DSTOPTS);
    eq!(options.map(|c| c.data), Some(all[..8].to_vec()));
    Ok(())
}

fn a_piece_that_is_all(k: &mut dyn Kernel) -> Outcome {
    let s = scene6(k)?;
    let all = datagram(s.port, 5);
    let bytes = packet6(44, &piece6(17, 0, &all, false));
    ret!(k.sendto(s.raw, &bytes, 0, &Addr::lo6(0)), bytes.len());
    let mut msg = Msg::room(&[200]);
    ret!(k.recvmsg(s.to, &mut msg, 0), 5);
    Ok(())
}

fn overlaps_are_refused(k: &mut dyn Kernel) -> Outcome {
    let s = scene(k, 2)?;
    let all = datagram(s.port, 40);
    s.piece(k, 1, 0, &all[..32], true)?;
    s.piece(k, 1, 24, &all[24..], false)?;
    s.nothing(k)?;
    // Nothing of it is left: the end alone makes no packet.
    s.piece(k, 1, 32, &all[32..], false)?;
    s.nothing(k)?;
    s.piece(k, 1, 0, &all[..32], true)?;
    eq!(s.came(k)?.0, all[8..].to_vec());
    Ok(())
}

fn repeats_are_passed_over(k: &mut dyn Kernel) -> Outcome {
    let s = scene(k, 3)?;
    let all = datagram(s.port, 40);
    s.piece(k, 1, 0, &all[..32], true)?;
    // The same, and a part of it, whatever is in it.
    s.piece(k, 1, 0, &[0xff; 32], true)?;
    s.piece(k, 1, 8, &[0xff; 16], true)?;
    s.piece(k, 1, 32, &all[32..], false)?;
    eq!(s.came(k)?.0, all[8..].to_vec());
    Ok(())
}

fn contradictions_are_refused(k: &mut dyn Kernel) -> Outcome {
    let s = scene(k, 4)?;
    let all = datagram(s.port, 40);
    // Two ends; a piece behind the end; a piece of nothing.
    for (at, bytes, more) in [(40, 3, false), (48, 8, true), (8, 0, true)] {
        s.piece(k, 1, 32, &all[32..], false)?;
        s.piece(k, 1, at, &[1; 8][..bytes], more)?;
        s.piece(k, 1, 0, &all[..32], true)?;
        s.nothing(k)?;
        // The first of them waits for another end.
        s.piece(k, 1, 32, &all[32..], false)?;
        eq!(s.came(k)?.0, all[8..].to_vec());
    }
    Ok(())
}

fn odd_lengths_are_told_of(k: &mut dyn Kernel) -> Outcome {
    // IPv4 cuts them.
    let s = scene(k, 5)?;
    let all = datagram(s.port, 40);
    s.piece(k, 1, 0, &all[..37], true)?;
    s.piece(k, 1, 32, &all[32..], false)?;
    eq!(s.came(k)?.0, all[8..].to_vec());
    // IPv6 points at the length.
    let s = scene6(k)?;
    let icmp = ok!(k.socket(AF_INET6, SOCK_RAW | NB, libc::IPPROTO_ICMPV6));
    let bytes = packet6(44, &piece6(17, 0, &datagram(s.port, 13), true));
    ret!(k.sendto(s.raw, &bytes, 0, &Addr::lo6(0)), bytes.len());
    let mut found = None;
    for _ in 0..16 {
        let mut msg = Msg::room(&[256]);
        let n = ok!(k.recvmsg(icmp, &mut msg, 0));
        let told = msg.data(n);
        if told[0] == 4 && told.ends_with(&bytes) {
            found = Some((told[1], told[7]));
            break;
        }
    }
    eq!(found, Some((0, 4)));
    Ok(())
}

fn options_come_with_the_first(k: &mut dyn Kernel) -> Outcome {
    let s = scene(k, 6)?;
    ret!(k.set_int(s.to, IPPROTO_IP, 6, 1), 0);
    let all = datagram(s.port, 40);
    s.piece_with(k, &[1; 8], 1, 32, &all[32..], false)?;
    s.piece_with(k, &[148, 4, 0, 0], 1, 0, &all[..32], true)?;
    let mut msg = Msg::room(&[200]).control_room(128);
    ret!(k.recvmsg(s.to, &mut msg, 0), 40);
    let came = msg.cmsg(IPPROTO_IP, 6).map(|c| c.data);
    eq!(came, Some(vec![148, 4, 0, 0]));
    Ok(())
}

fn long_datagrams_of_ipv6(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.udp(AF_INET6)?;
    ret!(k.set_int(to, libc::SOL_SOCKET, libc::SO_RCVBUF, 400_000), 0);
    let from = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(
        k.set_int(from, libc::SOL_SOCKET, libc::SO_SNDBUF, 400_000),
        0
    );
    let data: Vec<u8> = (0..65_527).map(|at| (at % 251) as u8).collect();
    ret!(k.sendto(from, &data, 0, &addr), data.len());
    let mut msg = Msg::room(&[65_536]);
    ret!(k.recvmsg(to, &mut msg, 0), data.len());
    eq!(msg.data(65_527) == data, true);
    Ok(())
}
