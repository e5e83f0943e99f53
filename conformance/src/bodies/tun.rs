//! /dev/net/tun. On the host interfaces are only ever made in a network namespace of the body's own; each goes with its last
//! descriptor.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::registry::tests;
use crate::sys::Fd;
use libc::{AF_INET, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY, SOCK_DGRAM};
use std::time::Duration;

tests! {
    before_it_has_an_interface [ROOT | FILES],
    names_and_errors [ROOT | FILES],
    says_what_it_is [ROOT | FILES],
    shows_as_an_interface [ROOT | FILES],
    settings [ROOT | FILES],
    carrier [ROOT | FILES],
    ipv6_addresses_given_while_down [ROOT | FILES],
    stays_when_told [ROOT | FILES],
    of_an_ordinary_user [ROOT | FILES | DROP],
    packets_out_and_in [ROOT | FILES],
    what_is_no_packet [ROOT | FILES],
    information_before_packets [ROOT | FILES],
    frames [ROOT | FILES],
    is_no_socket [ROOT | FILES],
    modes [ROOT | FILES],
    pointers [ROOT | FILES],
}

const TUNSETNOCSUM: u64 = 0x4004_54c8;
const TUNSETDEBUG: u64 = 0x4004_54c9;
pub(super) const TUNSETIFF: u64 = 0x4004_54ca;
const TUNSETPERSIST: u64 = 0x4004_54cb;
const TUNSETOWNER: u64 = 0x4004_54cc;
const TUNSETLINK: u64 = 0x4004_54cd;
const TUNSETGROUP: u64 = 0x4004_54ce;
const TUNGETFEATURES: u64 = 0x8004_54cf;
pub(super) const TUNSETOFFLOAD: u64 = 0x4004_54d0;
const TUNSETTXFILTER: u64 = 0x4004_54d1;
pub(super) const TUNGETIFF: u64 = 0x8004_54d2;
const TUNGETSNDBUF: u64 = 0x8004_54d3;
const TUNSETSNDBUF: u64 = 0x4004_54d4;
pub(super) const TUNSETQUEUE: u64 = 0x4004_54d9;
const TUNSETCARRIER: u64 = 0x4004_54e2;

const SIOCGIFFLAGS: u64 = 0x8913;
pub(super) const SIOCSIFFLAGS: u64 = 0x8914;
pub(super) const SIOCSIFADDR: u64 = 0x8916;
pub(super) const SIOCSIFNETMASK: u64 = 0x891c;
pub(super) const SIOCGIFMTU: u64 = 0x8921;
const SIOCSIFHWADDR: u64 = 0x8924;
pub(super) const SIOCGIFHWADDR: u64 = 0x8927;
const SIOCGIFTXQLEN: u64 = 0x8942;

pub(super) const TUN: u16 = 1;
pub(super) const TAP: u16 = 2;
const NO_CARRIER: u16 = 0x40;
const PERSIST: u16 = 0x800;
pub(super) const NO_PI: u16 = 0x1000;
const ONE_QUEUE: u16 = 0x2000;
const EXCL: u16 = 0x8000;

/// IFF_UP, IFF_POINTOPOINT, IFF_RUNNING, IFF_NOARP, IFF_MULTICAST, as SIOCGIFFLAGS tells of a TUN interface.
const IDLE: u16 = 0x1090;
const UP: u16 = 0x1;
const RUNNING: u16 = 0x40;

pub(super) const OURS: [u8; 4] = [10, 9, 0, 1];
pub(super) const OTHER: [u8; 4] = [10, 9, 0, 2];

/// In a network of the body's own from here on.
fn open(k: &mut dyn Kernel) -> Got<Fd> {
    k.own_network()?;
    another(k)
}

pub(super) fn another(k: &mut dyn Kernel) -> Got<Fd> {
    Ok(ok!(k.open("/dev/net/tun", O_RDWR | O_NONBLOCK)))
}

/// A `struct ifreq` of this name and value: the result, and the whole afterwards.
pub(super) fn ifreq(
    k: &mut dyn Kernel,
    fd: Fd,
    command: u64,
    name: &str,
    value: &[u8],
) -> (i64, [u8; 40]) {
    let mut request = [0u8; 40];
    request[..name.len()].copy_from_slice(name.as_bytes());
    request[16..16 + value.len()].copy_from_slice(value);
    let got = k.ioctl_raw(fd, command, request.as_mut_ptr() as u64);
    (got, request)
}

fn name_of(request: &[u8; 40]) -> String {
    let end = request[..16].iter().position(|b| *b == 0).unwrap_or(16);
    String::from_utf8_lossy(&request[..end]).into_owned()
}

pub(super) fn half(request: &[u8; 40]) -> u16 {
    u16::from_ne_bytes([request[16], request[17]])
}

pub(super) fn set_iff(k: &mut dyn Kernel, fd: Fd, name: &str, flags: u16) -> (i64, String) {
    let (got, after) = ifreq(k, fd, TUNSETIFF, name, &flags.to_ne_bytes());
    (got, name_of(&after))
}

/// A TUN interface of this name.
pub(super) fn tun(k: &mut dyn Kernel, name: &str, flags: u16) -> Got<Fd> {
    let fd = open(k)?;
    eq!(set_iff(k, fd, name, flags), (0, name.to_string()));
    Ok(fd)
}

fn inet(k: &mut dyn Kernel) -> Got<Fd> {
    Ok(ok!(k.socket(AF_INET, SOCK_DGRAM, 0)))
}

pub(super) fn address(ip: [u8; 4]) -> [u8; 16] {
    let mut out = [0; 16];
    out[..2].copy_from_slice(&(AF_INET as u16).to_ne_bytes());
    out[4..8].copy_from_slice(&ip);
    out
}

/// 10.9.0.1/24, and up.
pub(super) fn set_up(k: &mut dyn Kernel, name: &str) -> Got<Fd> {
    let fd = inet(k)?;
    ret!(ifreq(k, fd, SIOCSIFADDR, name, &address(OURS)).0, 0);
    let mask = address([255, 255, 255, 0]);
    ret!(ifreq(k, fd, SIOCSIFNETMASK, name, &mask).0, 0);
    ret!(ifreq(k, fd, SIOCSIFFLAGS, name, &UP.to_ne_bytes()).0, 0);
    Ok(fd)
}

/// The next packet of IPv4, `head` bytes before it; Linux sends some of IPv6 by itself.
pub(super) fn packet(k: &mut dyn Kernel, fd: Fd, head: usize) -> Got<Vec<u8>> {
    let mut room = [0; 2048];
    for _ in 0..500 {
        let n = k.read(fd, &mut room);
        if n == -i64::from(libc::EAGAIN) {
            k.pause(Duration::from_millis(10));
            continue;
        }
        let n = ok!(n) as usize;
        if room[head] >> 4 == 4 {
            return Ok(room[..n].to_vec());
        }
    }
    check!(false, "no packet came");
    Ok(Vec::new())
}

/// The Internet checksum (RFC 1071) goes to `at`.
pub(super) fn sum(bytes: &mut [u8], at: usize) {
    bytes[at..at + 2].fill(0);
    let words = bytes
        .chunks(2)
        .map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    bytes[at..at + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

/// An echo request from the other end.
fn echo_request() -> Vec<u8> {
    let mut icmp = vec![8, 0, 0, 0, 1, 2, 0, 1];
    icmp.extend(b"ping");
    sum(&mut icmp, 2);
    let mut out = vec![0x45, 0, 0, 20 + icmp.len() as u8, 0, 1, 0, 0, 64, 1, 0, 0];
    out.extend(OTHER);
    out.extend(OURS);
    sum(&mut out, 10);
    out.extend(icmp);
    out
}

fn before_it_has_an_interface(k: &mut dyn Kernel) -> Outcome {
    let fd = open(k)?;
    let mut room = [0; 100];
    err!(k.read(fd, &mut room), EBADFD);
    err!(k.write(fd, &echo_request()), EBADFD);
    err!(ifreq(k, fd, TUNGETIFF, "", &[]).0, EBADFD);
    err!(k.ioctl_raw(fd, TUNSETPERSIST, 1), EBADFD);
    err!(k.ioctl_raw(fd, TUNSETOFFLOAD, 0), EBADFD);
    err!(
        ifreq(k, fd, TUNSETQUEUE, "", &0x200u16.to_ne_bytes()).0,
        EINVAL
    );
    err!(ifreq(k, fd, 0x4004_54c0, "", &[]).0, EBADFD);
    Ok(())
}

fn names_and_errors(k: &mut dyn Kernel) -> Outcome {
    let fd = open(k)?;
    for (name, flags) in [
        ("", 0),
        ("lo", TUN),
        ("a%d%d", TUN),
        ("a%s", TUN),
        ("a/b", TUN),
        ("a b", TUN),
        (".", TUN),
    ] {
        let got = set_iff(k, fd, name, flags).0;
        eq!((name, got), (name, -i64::from(libc::EINVAL)));
    }
    eq!(set_iff(k, fd, "", TUN | NO_PI), (0, "tun0".into()));
    err!(set_iff(k, fd, "", TUN | NO_PI).0, EEXIST);
    let other = ok!(k.open("/dev/net/tun", O_RDWR));
    err!(set_iff(k, other, "tun0", TUN | NO_PI).0, EBUSY);
    err!(set_iff(k, other, "tun0", TAP).0, EINVAL);
    err!(set_iff(k, other, "tun0", TUN | EXCL).0, EBUSY);
    eq!(set_iff(k, other, "tun%d", TUN), (0, "tun1".into()));
    let third = ok!(k.open("/dev/net/tun", O_RDWR));
    eq!(set_iff(k, third, "", TAP), (0, "tap0".into()));
    // The name is free again at the last close.
    k.close(other);
    let other = ok!(k.open("/dev/net/tun", O_RDWR));
    eq!(set_iff(k, other, "tun1", TAP | EXCL), (0, "tun1".into()));
    // fifteen characters, and what comes on top is cut off.
    let last = ok!(k.open("/dev/net/tun", O_RDWR));
    let long = set_iff(k, last, "abcdefghijklmnop", TUN);
    eq!(long, (0, "abcdefghijklmno".into()));
    for fd in [fd, other, third, last] {
        k.close(fd);
    }
    Ok(())
}

fn says_what_it_is(k: &mut dyn Kernel) -> Outcome {
    let fd = open(k)?;
    let mut features = [0u8; 4];
    ret!(
        k.ioctl_raw(fd, TUNGETFEATURES, features.as_mut_ptr() as u64),
        0
    );
    let wanted = u32::from(TUN | TAP | NO_CARRIER | NO_PI | ONE_QUEUE);
    eq!(u32::from_ne_bytes(features) & wanted, wanted);
    eq!(set_iff(k, fd, "what0", TUN | ONE_QUEUE).0, 0);
    let (got, after) = ifreq(k, fd, TUNGETIFF, "x", &[0xff; 24]);
    eq!((got, name_of(&after)), (0, "what0".into()));
    // IFF_NOFILTER is the bit of IFF_NO_PI.
    eq!(half(&after), TUN | ONE_QUEUE | NO_PI);
    eq!(&after[18..], &[0; 22][..]);
    ret!(k.ioctl_raw(fd, TUNSETPERSIST, 1), 0);
    eq!(
        half(&ifreq(k, fd, TUNGETIFF, "", &[]).1),
        TUN | ONE_QUEUE | NO_PI | PERSIST
    );
    ret!(k.ioctl_raw(fd, TUNSETPERSIST, 0), 0);
    k.close(fd);
    Ok(())
}

fn shows_as_an_interface(k: &mut dyn Kernel) -> Outcome {
    let fd = tun(k, "shown0", TUN | NO_PI)?;
    let s = inet(k)?;
    let number = |r: [u8; 40]| u32::from_ne_bytes([r[16], r[17], r[18], r[19]]);
    eq!(half(&ifreq(k, s, SIOCGIFFLAGS, "shown0", &[]).1), IDLE);
    eq!(number(ifreq(k, s, SIOCGIFMTU, "shown0", &[]).1), 1500);
    eq!(number(ifreq(k, s, SIOCGIFTXQLEN, "shown0", &[]).1), 500);
    // ARPHRD_NONE
    eq!(half(&ifreq(k, s, SIOCGIFHWADDR, "shown0", &[]).1), 0xfffe);
    eq!(half(&ifreq(k, fd, SIOCGIFHWADDR, "", &[]).1), 0xfffe);
    err!(
        ifreq(k, s, SIOCSIFHWADDR, "shown0", &1u16.to_ne_bytes()).0,
        EOPNOTSUPP
    );
    err!(ifreq(k, fd, SIOCGIFFLAGS, "shown0", &[]).0, EINVAL);
    check!(
        k.file_text("/proc/net/dev")?.contains("shown0:"),
        "in /proc/net/dev"
    );
    ret!(ifreq(k, s, SIOCSIFFLAGS, "shown0", &UP.to_ne_bytes()).0, 0);
    // IFF_NOARP and IFF_MULTICAST were not among them.
    let flags = half(&ifreq(k, s, SIOCGIFFLAGS, "shown0", &[]).1);
    eq!(flags & (IDLE | UP), UP | 0x10);
    k.close(fd);
    err!(ifreq(k, s, SIOCGIFFLAGS, "shown0", &[]).0, ENODEV);
    check!(
        !k.file_text("/proc/net/dev")?.contains("shown0:"),
        "still in /proc/net/dev"
    );
    Ok(())
}

fn settings(k: &mut dyn Kernel) -> Outcome {
    let fd = tun(k, "set0", TUN | NO_PI)?;
    for (command, arg, wanted) in [
        (TUNSETNOCSUM, 1, 0),
        (TUNSETDEBUG, 1, 0),
        (TUNSETOWNER, u64::from(u32::MAX), -libc::EINVAL),
        (TUNSETGROUP, u64::from(u32::MAX), -libc::EINVAL),
        (TUNSETGROUP, 1000, 0),
        (TUNSETOFFLOAD, 0, 0),
        (TUNSETOFFLOAD, 0x1000, -libc::EINVAL),
        (TUNSETTXFILTER, 0, -libc::EINVAL),
        (TUNSETLINK, 1, 0),
    ] {
        eq!(
            (command, k.ioctl_raw(fd, command, arg)),
            (command, i64::from(wanted))
        );
    }
    let s = inet(k)?;
    eq!(half(&ifreq(k, s, SIOCGIFHWADDR, "set0", &[]).1), 1);
    ret!(k.ioctl_raw(fd, TUNSETLINK, 0xfffe), 0);
    let mut size = 0i32;
    ret!(k.ioctl_int(fd, TUNGETSNDBUF, &mut size), 0);
    eq!(size, i32::MAX);
    size = 0;
    err!(k.ioctl_int(fd, TUNSETSNDBUF, &mut size), EINVAL);
    size = 100_000;
    ret!(k.ioctl_int(fd, TUNSETSNDBUF, &mut size), 0);
    size = 0;
    ret!(k.ioctl_int(fd, TUNGETSNDBUF, &mut size), 0);
    eq!(size, 100_000);
    ret!(ifreq(k, s, SIOCSIFFLAGS, "set0", &UP.to_ne_bytes()).0, 0);
    err!(k.ioctl_raw(fd, TUNSETLINK, 1), EBUSY);
    k.close(fd);
    Ok(())
}

fn carrier(k: &mut dyn Kernel) -> Outcome {
    let fd = tun(k, "carrier0", TUN | NO_PI | NO_CARRIER)?;
    let s = inet(k)?;
    ret!(
        ifreq(k, s, SIOCSIFFLAGS, "carrier0", &UP.to_ne_bytes()).0,
        0
    );
    let running = |k: &mut dyn Kernel| -> Got<u16> {
        // linkwatch_event() of Linux comes a little later.
        k.pause(Duration::from_millis(1200));
        Ok(half(&ifreq(k, s, SIOCGIFFLAGS, "carrier0", &[]).1) & (UP | RUNNING))
    };
    eq!(running(k)?, UP);
    let mut on = 1;
    ret!(k.ioctl_int(fd, TUNSETCARRIER, &mut on), 0);
    eq!(running(k)?, UP | RUNNING);
    on = 0;
    ret!(k.ioctl_int(fd, TUNSETCARRIER, &mut on), 0);
    eq!(running(k)?, UP);
    k.close(fd);
    Ok(())
}

/// As wg-quick(8) and many others do it: the address first, then the interface up. Going down takes it away.
fn ipv6_addresses_given_while_down(k: &mut dyn Kernel) -> Outcome {
    const SIOCGIFINDEX: u64 = 0x8933;
    let ours: [u8; 16] = [0xfd, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let first = tun(k, "early0", TUN | NO_PI)?;
    let second = another(k)?;
    eq!(
        set_iff(k, second, "early1", TAP | NO_PI),
        (0, "early1".to_string())
    );
    let (s, v6) = (inet(k)?, ok!(k.socket(libc::AF_INET6, SOCK_DGRAM, 0)));
    for name in ["early0", "early1"] {
        let index = ifreq(k, s, SIOCGIFINDEX, name, &[]).1;
        // struct in6_ifreq
        let mut request = [0u8; 24];
        request[..16].copy_from_slice(&ours);
        request[16] = 64;
        request[20..].copy_from_slice(&index[16..20]);
        let mut give =
            |k: &mut dyn Kernel| k.ioctl_raw(v6, SIOCSIFADDR, request.as_mut_ptr() as u64);
        let has_it = |k: &mut dyn Kernel| -> Got<bool> {
            let all = k.file_text("/proc/net/if_inet6")?;
            let its = |line: &str| line.starts_with("fd07") && line.ends_with(name);
            Ok(all.lines().any(its))
        };
        ret!(give(k), 0);
        check!(has_it(k)?, "{name}: given while down");
        ret!(ifreq(k, s, SIOCSIFFLAGS, name, &UP.to_ne_bytes()).0, 0);
        check!(has_it(k)?, "{name}: given before, now up");
        // Again what it is.
        ret!(ifreq(k, s, SIOCSIFFLAGS, name, &UP.to_ne_bytes()).0, 0);
        check!(has_it(k)?, "{name}: up again");
        if name == "early0" {
            let sender = ok!(k.socket(libc::AF_INET6, SOCK_DGRAM | O_NONBLOCK, 0));
            ret!(k.bind(sender, &Addr::v6(ours, 0)), 0);
            let mut other = ours;
            other[15] = 2;
            ret!(k.connect(sender, &Addr::v6(other, 9)), 0);
        }
        ret!(ifreq(k, s, SIOCSIFFLAGS, name, &[0, 0]).0, 0);
        check!(!has_it(k)?, "{name}: down");
        ret!(ifreq(k, s, SIOCSIFFLAGS, name, &UP.to_ne_bytes()).0, 0);
        check!(!has_it(k)?, "{name}: up without it");
    }
    k.close(first);
    k.close(second);
    Ok(())
}

fn stays_when_told(k: &mut dyn Kernel) -> Outcome {
    let fd = tun(k, "stays0", TUN | NO_PI)?;
    let s = set_up(k, "stays0")?;
    ret!(k.ioctl_raw(fd, TUNSETPERSIST, 1), 0);
    k.close(fd);
    eq!(half(&ifreq(k, s, SIOCGIFFLAGS, "stays0", &[]).1) & UP, UP);
    // What is sent meanwhile is nobody's.
    ret!(k.sendto(s, b"lost", 0, &Addr::v4(OTHER, 7)), 4);
    let fd = another(k)?;
    err!(set_iff(k, fd, "stays0", TAP | NO_PI).0, EINVAL);
    err!(set_iff(k, fd, "stays0", TUN | EXCL).0, EBUSY);
    eq!(set_iff(k, fd, "stays0", TUN | NO_PI).0, 0);
    // Linux drops what is sent before its link watch has seen that somebody is there again.
    let mut room = [0; 2048];
    let mut n = -i64::from(libc::EAGAIN);
    for _ in 0..500 {
        ret!(k.sendto(s, b"heard", 0, &Addr::v4(OTHER, 7)), 5);
        n = k.read(fd, &mut room);
        if n != -i64::from(libc::EAGAIN) && room[0] >> 4 == 4 {
            break;
        }
        k.pause(Duration::from_millis(10));
    }
    let n = ok!(n) as usize;
    eq!(&room[28..n], b"heard");
    ret!(k.ioctl_raw(fd, TUNSETPERSIST, 0), 0);
    k.close(fd);
    err!(ifreq(k, s, SIOCGIFFLAGS, "stays0", &[]).0, ENODEV);
    Ok(())
}

fn of_an_ordinary_user(k: &mut dyn Kernel) -> Outcome {
    let owned = tun(k, "owned0", TUN | NO_PI)?;
    ret!(k.ioctl_raw(owned, TUNSETOWNER, 65534), 0);
    let other = another(k)?;
    eq!(set_iff(k, other, "other0", TUN | NO_PI).0, 0);
    ret!(k.ioctl_raw(other, TUNSETOWNER, 1), 0);
    for fd in [owned, other] {
        ret!(k.ioctl_raw(fd, TUNSETPERSIST, 1), 0);
        k.close(fd);
    }
    // Opened before: who may open the file itself is the machine's.
    let (one, two, three) = (another(k)?, another(k)?, another(k)?);
    k.drop_privileges();
    err!(set_iff(k, one, "", TUN).0, EPERM);
    err!(set_iff(k, one, "", 0).0, EPERM);
    err!(set_iff(k, two, "other0", TUN | NO_PI).0, EPERM);
    eq!(set_iff(k, three, "owned0", TUN | NO_PI).0, 0);
    err!(set_iff(k, two, "owned0", TUN | NO_PI).0, EBUSY);
    // Whoever has it may let it go.
    ret!(k.ioctl_raw(three, TUNSETPERSIST, 0), 0);
    k.close(three);
    Ok(())
}

fn packets_out_and_in(k: &mut dyn Kernel) -> Outcome {
    let fd = tun(k, "pass0", TUN | NO_PI)?;
    let s = set_up(k, "pass0")?;
    let here = Addr::v4(OURS, 5555);
    ret!(k.bind(s, &here), 0);
    ret!(k.sendto(s, b"hello", 0, &Addr::v4(OTHER, 7)), 5);
    let mut out = packet(k, fd, 0)?;
    eq!(out.len(), 33);
    eq!(
        (out[0], out[9], &out[12..20]),
        (0x45, 17, &[10, 9, 0, 1, 10, 9, 0, 2][..])
    );
    eq!(&out[20..26], &[0x15, 0xb3, 0, 7, 0, 13][..]);
    eq!(&out[28..], b"hello");
    // Back from where it went: addresses and ports change places, which changes no checksum.
    out.copy_within(12..16, 16);
    out[12..16].copy_from_slice(&OTHER);
    out[20..24].copy_from_slice(&[0, 7, 0x15, 0xb3]);
    out[28..].copy_from_slice(b"HELLO");
    // UDP: none.
    out[26..28].fill(0);
    ret!(k.write(fd, &out), 33);
    let mut room = [0; 32];
    let (n, from) = k.recvfrom(s, &mut room, libc::MSG_DONTWAIT);
    ret!(n, 5);
    eq!(&room[..5], b"HELLO");
    eq!(from.port(), 7);
    ret!(k.write(fd, &echo_request()), 32);
    let back = packet(k, fd, 0)?;
    eq!((back[9], back[20], &back[28..]), (1, 0, &b"ping"[..]));
    // What does not fit is cut off; the next read has the next packet.
    ret!(k.sendto(s, b"one", 0, &Addr::v4(OTHER, 7)), 3);
    ret!(k.sendto(s, b"two", 0, &Addr::v4(OTHER, 7)), 3);
    ret!(k.read(fd, &mut room[..21]), 21);
    eq!(&packet(k, fd, 0)?[28..], b"two");
    err!(k.read(fd, &mut room), EAGAIN);
    // An interface that is down sends nothing.
    ret!(ifreq(k, s, SIOCSIFFLAGS, "pass0", &0u16.to_ne_bytes()).0, 0);
    err!(k.sendto(s, b"lost", 0, &Addr::v4(OTHER, 7)), ENETUNREACH);
    k.close(fd);
    Ok(())
}

fn what_is_no_packet(k: &mut dyn Kernel) -> Outcome {
    let fd = tun(k, "bad0", TUN | NO_PI)?;
    err!(k.write(fd, &echo_request()), EIO);
    err!(k.write(fd, &[0x15; 20]), EINVAL);
    err!(k.write(fd, &[]), EINVAL);
    set_up(k, "bad0")?;
    err!(k.write(fd, &[0x15; 20]), EINVAL);
    // What is wrong behind the first four bits is found later.
    ret!(k.write(fd, &[0x45; 3]), 3);
    let mut broken = echo_request();
    broken[10] ^= 1;
    ret!(k.write(fd, &broken), 32);
    ret!(k.write(fd, &echo_request()), 32);
    eq!(packet(k, fd, 0)?[20], 0);
    k.close(fd);
    Ok(())
}

fn information_before_packets(k: &mut dyn Kernel) -> Outcome {
    let fd = tun(k, "info0", TUN)?;
    let s = set_up(k, "info0")?;
    ret!(k.sendto(s, b"hello", 0, &Addr::v4(OTHER, 7)), 5);
    let out = packet(k, fd, 4)?;
    eq!((&out[..4], out.len()), (&[0, 0, 8, 0][..], 37));
    err!(k.write(fd, &[0, 0]), EINVAL);
    // Of a protocol that nobody has.
    ret!(k.write(fd, &[0, 0, 0x12, 0x34, 1, 2, 3]), 7);
    let mut request = vec![0, 0, 8, 0];
    request.extend(echo_request());
    ret!(k.write(fd, &request), 36);
    eq!(packet(k, fd, 4)?[24], 0);
    k.close(fd);
    Ok(())
}

fn frames(k: &mut dyn Kernel) -> Outcome {
    let fd = tun(k, "frames0", TAP | NO_PI)?;
    let s = set_up(k, "frames0")?;
    // IFF_UP, IFF_BROADCAST, IFF_RUNNING; not the IFF_MULTICAST that it had.
    eq!(half(&ifreq(k, s, SIOCGIFFLAGS, "frames0", &[]).1), 0x43);
    let own = ifreq(k, fd, SIOCGIFHWADDR, "", &[]).1;
    eq!(half(&own), 1);
    eq!(own[18] & 3, 2);
    eq!(
        &ifreq(k, s, SIOCGIFHWADDR, "frames0", &[]).1[16..24],
        &own[16..24]
    );
    err!(k.write(fd, &[0; 13]), EINVAL);
    ret!(k.write(fd, &[0; 14]), 14);
    // Who has 10.9.0.1?
    let mac = [2, 9, 9, 9, 9, 9];
    let mut ask = vec![0xff; 6];
    ask.extend(mac);
    ask.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    ask.extend(mac);
    ask.extend(OTHER);
    ask.extend([0; 6]);
    ask.extend(OURS);
    ret!(k.write(fd, &ask), 42);
    let mut room = [0; 2048];
    let mut answer = Vec::new();
    for _ in 0..50 {
        let n = k.read(fd, &mut room);
        // Linux sends some of IPv6 by itself.
        if n > 0 && room[12..14] == [8, 6] && room[21] == 2 {
            answer = room[..n as usize].to_vec();
            break;
        }
        k.pause(Duration::from_millis(10));
    }
    check!(answer.len() >= 42, "no answer");
    eq!(&answer[..6], &mac[..]);
    eq!(&answer[22..28], &own[18..24]);
    eq!(&answer[28..32], &OURS[..]);
    k.close(fd);
    Ok(())
}

fn is_no_socket(k: &mut dyn Kernel) -> Outcome {
    let fd = tun(k, "none0", TUN | NO_PI)?;
    let mut room = [0; 16];
    err!(k.recv(fd, &mut room, 0), ENOTSOCK);
    err!(k.sendto(fd, b"x", 0, &Addr::v4(OTHER, 7)), ENOTSOCK);
    err!(k.bind(fd, &Addr::v4(OURS, 7)), ENOTSOCK);
    err!(k.listen(fd, 1), ENOTSOCK);
    err!(k.shutdown(fd, 2), ENOTSOCK);
    err!(k.lseek(fd, 0, libc::SEEK_SET), ESPIPE);
    k.close(fd);
    Ok(())
}

fn modes(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = ok!(k.open("/dev/net/tun", O_RDONLY | O_NONBLOCK));
    eq!(set_iff(k, fd, "modes0", TUN | NO_PI).0, 0);
    err!(k.write(fd, &echo_request()), EBADF);
    k.close(fd);
    let fd = ok!(k.open("/dev/net/tun", O_WRONLY));
    eq!(set_iff(k, fd, "modes0", TUN | NO_PI).0, 0);
    let mut room = [0; 16];
    err!(k.read(fd, &mut room), EBADF);
    k.close(fd);
    Ok(())
}

fn pointers(k: &mut dyn Kernel) -> Outcome {
    let fd = open(k)?;
    err!(k.ioctl_raw(fd, TUNSETIFF, BAD), EFAULT);
    err!(k.ioctl_raw(fd, TUNGETFEATURES, BAD), EFAULT);
    eq!(set_iff(k, fd, "fault0", TUN | NO_PI).0, 0);
    err!(k.ioctl_raw(fd, TUNGETIFF, BAD), EFAULT);
    err!(k.ioctl_raw(fd, TUNSETSNDBUF, BAD), EFAULT);
    let args = [fd as u64, BAD, 40, 0, 0, 0];
    err!(k.syscall(libc::SYS_write, args), EFAULT);
    k.close(fd);
    Ok(())
}
