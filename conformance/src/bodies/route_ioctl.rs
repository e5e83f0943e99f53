//! Routes, neighbours and labelled addresses by ioctl(2): netdevice(7), arp(7). On the host in a network namespace of the
//! body's own.

use super::netlink::{attribute, dump};
use super::netlink_route::{
    CREATE, DELADDR, GETADDR, NEWADDR, added, alone, change, has_route, ifaddr, routes,
};
use crate::addr::Addr;
use crate::check::{Outcome, check, eq, ok};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::sys::Fd;
use libc::{AF_INET, SOCK_DGRAM};

tests! {
    routes_by_ioctl [ROOT],
    routes_of_ipv6 [ROOT],
    routes_by_a_user [DROP],
    neighbours,
    neighbours_are_not_made [ROOT],
    labels [ROOT],
    broadcast_and_destination [ROOT],
}

const SIOCADDRT: u64 = 0x890b;
const SIOCDELRT: u64 = 0x890c;
const SIOCDARP: u64 = 0x8953;
const SIOCGARP: u64 = 0x8954;
const SIOCSARP: u64 = 0x8955;

/// A `sockaddr_in`.
fn address(ip: [u8; 4]) -> [u8; 16] {
    let mut out = [0; 16];
    out[0] = AF_INET as u8;
    out[4..8].copy_from_slice(&ip);
    out
}

/// A `struct rtentry` with a mask of 24 bits.
fn entry(ip: [u8; 4], via: [u8; 4], flags: u16) -> [u8; 120] {
    let mut out = [0; 120];
    out[8..24].copy_from_slice(&address(ip));
    out[24..40].copy_from_slice(&address(via));
    out[40..56].copy_from_slice(&address([255, 255, 255, 0]));
    out[56..58].copy_from_slice(&flags.to_ne_bytes());
    out
}

fn ioctl(k: &mut dyn Kernel, fd: Fd, command: u64, data: &[u8]) -> i64 {
    let mut data = data.to_vec();
    k.ioctl_raw(fd, command, data.as_mut_ptr() as u64)
}

fn routes_by_ioctl(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
        let net = [10, 5, 0, 0];
        let minus = |errno: i32| -i64::from(errno);
        eq!(
            ioctl(k, fd, SIOCADDRT, &entry(net, [0; 4], 1)),
            minus(libc::ENODEV)
        );
        let via = entry(net, [127, 0, 0, 1], 3);
        eq!(ioctl(k, fd, SIOCADDRT, &via), 0);
        eq!(ioctl(k, fd, SIOCADDRT, &via), minus(libc::EEXIST));
        eq!(has_route(k, net, 24)?, 1);
        eq!(ioctl(k, fd, SIOCDELRT, &entry(net, [0; 4], 1)), 0);
        eq!(
            ioctl(k, fd, SIOCDELRT, &entry(net, [0; 4], 1)),
            minus(libc::ESRCH)
        );
        let mut metric = via;
        metric[80] = 8;
        eq!(ioctl(k, fd, SIOCADDRT, &metric), 0);
        let all = routes(k, 2)?;
        let mine = all.iter().find(|r| r.0 == net);
        eq!(
            mine.and_then(|r| r.4.clone()),
            Some(7u32.to_ne_bytes().to_vec())
        );
        let mut mask = via;
        mask[45] = 0;
        eq!(ioctl(k, fd, SIOCADDRT, &mask), minus(libc::EINVAL));
        eq!(
            ioctl(k, fd, SIOCADDRT, &entry([10, 5, 0, 1], [127, 0, 0, 1], 3)),
            minus(libc::EINVAL)
        );
        eq!(
            ioctl(k, fd, SIOCADDRT, &entry(net, [0; 4], 3)),
            minus(libc::EINVAL)
        );
        eq!(
            ioctl(k, fd, SIOCADDRT, &entry(net, [9, 9, 9, 9], 3)),
            minus(libc::ENETUNREACH)
        );
        let mut family = via;
        family[8] = 1;
        eq!(ioctl(k, fd, SIOCADDRT, &family), minus(libc::EAFNOSUPPORT));
        let mut family = via;
        family[40] = 1;
        eq!(ioctl(k, fd, SIOCADDRT, &family), minus(libc::EAFNOSUPPORT));
        // One host, by a device that it names.
        let name = *b"lo\0";
        let mut host = entry([10, 5, 0, 9], [0; 4], 5);
        host[88..96].copy_from_slice(&(name.as_ptr() as u64).to_ne_bytes());
        eq!(ioctl(k, fd, SIOCADDRT, &host), 0);
        eq!(has_route(k, [10, 5, 0, 9], 32)?, 1);
        // A label is an address.
        let label = *b"lo:7\0";
        host[88..96].copy_from_slice(&(label.as_ptr() as u64).to_ne_bytes());
        eq!(ioctl(k, fd, SIOCADDRT, &host), minus(libc::ENODEV));
        let name = *b"none0\0";
        host[88..96].copy_from_slice(&(name.as_ptr() as u64).to_ne_bytes());
        eq!(ioctl(k, fd, SIOCADDRT, &host), minus(libc::ENODEV));
        host[88..96].copy_from_slice(&1u64.to_ne_bytes());
        eq!(ioctl(k, fd, SIOCADDRT, &host), minus(libc::EFAULT));
        eq!(k.ioctl_raw(fd, SIOCADDRT, 1), minus(libc::EFAULT));
        let unix = ok!(k.socket(libc::AF_UNIX, SOCK_DGRAM, 0));
        eq!(ioctl(k, unix, SIOCADDRT, &via), minus(libc::ENOTTY));
        Ok(())
    })
}

fn routes_of_ipv6(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        let minus = |errno: i32| -i64::from(errno);
        // IPv6: struct in6_rtmsg.
        let six = ok!(k.socket(libc::AF_INET6, SOCK_DGRAM, 0));
        let mut entry6 = [0; 80];
        entry6[..16].copy_from_slice(&[0xfd, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        entry6[52] = 64;
        eq!(ioctl(k, six, SIOCADDRT, &entry6), minus(libc::ENODEV));
        entry6[76] = 1;
        eq!(ioctl(k, six, SIOCADDRT, &entry6), 0);
        eq!(ioctl(k, six, SIOCDELRT, &entry6), 0);
        eq!(ioctl(k, six, SIOCDELRT, &entry6), minus(libc::ESRCH));
        entry6[52] = 129;
        eq!(ioctl(k, six, SIOCADDRT, &entry6), minus(libc::EINVAL));
        Ok(())
    })
}

fn routes_by_a_user(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    for family in [AF_INET, libc::AF_INET6] {
        let fd = ok!(k.socket(family, SOCK_DGRAM, 0));
        for command in [SIOCADDRT, SIOCDELRT] {
            eq!(
                ioctl(k, fd, command, &entry([10, 5, 0, 0], [127, 0, 0, 1], 3)),
                -i64::from(libc::EPERM)
            );
        }
    }
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    for command in [SIOCSARP, SIOCDARP] {
        eq!(ioctl(k, fd, command, &[0; 68]), -i64::from(libc::EPERM));
    }
    Ok(())
}

fn neighbours(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    let mut arp = [0; 68];
    eq!(ioctl(k, fd, SIOCGARP, &arp), -i64::from(libc::EPFNOSUPPORT));
    arp[..16].copy_from_slice(&address([127, 0, 0, 1]));
    eq!(ioctl(k, fd, SIOCGARP, &arp), -i64::from(libc::ENODEV));
    arp[52..54].copy_from_slice(b"lo");
    eq!(ioctl(k, fd, SIOCGARP, &arp), -i64::from(libc::ENXIO));
    arp[52..57].copy_from_slice(b"none0");
    eq!(ioctl(k, fd, SIOCGARP, &arp), -i64::from(libc::ENODEV));
    eq!(k.ioctl_raw(fd, SIOCGARP, 1), -i64::from(libc::EFAULT));
    let unix = ok!(k.socket(libc::AF_UNIX, SOCK_DGRAM, 0));
    eq!(ioctl(k, unix, SIOCGARP, &arp), -i64::from(libc::ENOTTY));
    Ok(())
}

/// Only ever in a network of the body's own: on the machine's lo this could break it.
fn neighbours_are_not_made(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
        let mut arp = [0; 68];
        arp[..16].copy_from_slice(&address([10, 9, 9, 9]));
        // ARPHRD_ETHER, which lo is not.
        arp[16] = 1;
        arp[52..54].copy_from_slice(b"lo");
        eq!(ioctl(k, fd, SIOCSARP, &arp), -i64::from(libc::EINVAL));
        eq!(ioctl(k, fd, SIOCDARP, &arp), -i64::from(libc::ENXIO));
        Ok(())
    })
}

/// An ioctl with a `struct ifreq` of an address: the result and the address afterwards.
fn ifreq(k: &mut dyn Kernel, fd: Fd, command: u64, name: &[u8], ip: [u8; 4]) -> (i64, [u8; 4]) {
    let mut request = [0u8; 40];
    request[..name.len()].copy_from_slice(name);
    request[16..32].copy_from_slice(&address(ip));
    let got = k.ioctl_raw(fd, command, request.as_mut_ptr() as u64);
    (got, [request[20], request[21], request[22], request[23]])
}

fn labels(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
        let gone = -i64::from(libc::EADDRNOTAVAIL);
        eq!(ifreq(k, fd, 0x8915, b"lo:1", [0; 4]).0, gone);
        // SIOCSIFADDR makes it, with its class's mask.
        eq!(ifreq(k, fd, 0x8916, b"lo:1", [10, 3, 0, 1]).0, 0);
        eq!(ifreq(k, fd, 0x8915, b"lo:1", [0; 4]), (0, [10, 3, 0, 1]));
        eq!(ifreq(k, fd, 0x891b, b"lo:1", [0; 4]), (0, [255, 0, 0, 0]));
        eq!(ifreq(k, fd, 0x8915, b"lo", [0; 4]), (0, [127, 0, 0, 1]));
        // Netlink tells the label.
        let all = dump(k, GETADDR, &[2, 0, 0, 0, 0, 0, 0, 0])?;
        let label = all
            .iter()
            .find(|m| m.attribute(8, 2) == Some(vec![10, 3, 0, 1]));
        eq!(
            label.and_then(|m| m.attribute(8, 3)),
            Some(b"lo:1\0".to_vec())
        );
        // And SIOCGIFCONF has it for a name.
        let mut list = [0u8; 200];
        let mut conf = [0u8; 16];
        conf[0] = 200;
        conf[8..].copy_from_slice(&(list.as_mut_ptr() as u64).to_ne_bytes());
        eq!(k.ioctl_raw(fd, 0x8912, conf.as_mut_ptr() as u64), 0);
        eq!((conf[0], &list[40..45]), (80, &b"lo:1\0"[..]));
        // One given by netlink.
        let mut body = ifaddr([10, 4, 0, 1], 24);
        body.extend(attribute(3, b"lo:net\0"));
        eq!(change(k, NEWADDR, CREATE, &body)?, 0);
        eq!(ifreq(k, fd, 0x8915, b"lo:net", [0; 4]), (0, [10, 4, 0, 1]));
        let mut wrong = ifaddr([10, 4, 0, 1], 24);
        wrong.extend(attribute(3, b"lo:tex\0"));
        eq!(change(k, DELADDR, 0, &wrong)?, libc::EADDRNOTAVAIL);
        // What a label's flags say is whether it stays.
        let mut up = [0u8; 40];
        up[..4].copy_from_slice(b"lo:1");
        up[16] = 1;
        eq!(k.ioctl_raw(fd, 0x8914, up.as_mut_ptr() as u64), 0);
        up[16] = 0;
        eq!(k.ioctl_raw(fd, 0x8914, up.as_mut_ptr() as u64), 0);
        eq!(k.ioctl_raw(fd, 0x8914, up.as_mut_ptr() as u64), gone);
        eq!(ifreq(k, fd, 0x8915, b"lo:1", [0; 4]).0, gone);
        Ok(())
    })
}

fn broadcast_and_destination(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
        added(k, [10, 7, 0, 1], 24)?;
        eq!(ifreq(k, fd, 0x8916, b"lo:1", [10, 3, 0, 1]).0, 0);
        // SIOCGIFBRDADDR, SIOCSIFBRDADDR, SIOCGIFDSTADDR, SIOCSIFDSTADDR.
        eq!(ifreq(k, fd, 0x8919, b"lo:1", [0; 4]), (0, [0; 4]));
        eq!(ifreq(k, fd, 0x891a, b"lo:1", [10, 3, 7, 255]).0, 0);
        eq!(ifreq(k, fd, 0x8919, b"lo:1", [0; 4]), (0, [10, 3, 7, 255]));
        eq!(has_route(k, [10, 3, 7, 255], 32)?, 1);
        let to = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
        eq!(
            k.connect(to, &Addr::v4([10, 3, 7, 255], 9)),
            -i64::from(libc::EACCES)
        );
        eq!(ifreq(k, fd, 0x8917, b"lo:1", [0; 4]), (0, [10, 3, 0, 1]));
        eq!(ifreq(k, fd, 0x8918, b"lo:1", [11, 0, 0, 1]).0, 0);
        eq!(ifreq(k, fd, 0x8917, b"lo:1", [0; 4]), (0, [11, 0, 0, 1]));
        eq!(has_route(k, [11, 0, 0, 0], 8)?, 1);
        eq!(has_route(k, [10, 0, 0, 0], 8)?, 0);
        eq!(
            ifreq(k, fd, 0x891a, b"none0", [0; 4]).0,
            -i64::from(libc::ENODEV)
        );
        eq!(
            ifreq(k, fd, 0x891a, b"lo:9", [0; 4]).0,
            -i64::from(libc::EADDRNOTAVAIL)
        );
        eq!(
            ifreq(k, fd, 0x8918, b"lo:1", [224, 0, 0, 1]).0,
            -i64::from(libc::EINVAL)
        );
        let mut family = [0u8; 40];
        family[..2].copy_from_slice(b"lo");
        eq!(
            k.ioctl_raw(fd, 0x891a, family.as_mut_ptr() as u64),
            -i64::from(libc::EINVAL)
        );
        Ok(())
    })
}
