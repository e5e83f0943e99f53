//! The ioctls that are refused, and what is looked at before: the caller, its memory, the interface.

use crate::check::{Got, Outcome, eq, err, ok};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::registry::tests;
use libc::{
    AF_INET, AF_INET6, AF_UNIX, EFAULT, EINVAL, ENODEV, ENOTTY, EOPNOTSUPP, EPERM, SOCK_DGRAM,
};

tests! {
    other_families,
    nobodys,
    old_flags,
    absent_devices [ROOT],
    absent_devices_for_anyone [DROP],
    multicast_routers [ROOT],
    neighbours_for_anyone [DROP],
    ethtool_reads_first,
    compat_refuses_before_it_reads [INT80],
}

const SIOCGIFSLAVE: u64 = 0x8929;
const SIOCWANDEV: u64 = 0x894a;

/// A `struct ifreq` of this name.
fn named(k: &mut dyn Kernel, fd: i64, command: u64, name: &[u8]) -> i64 {
    let mut request = [0u8; 40];
    request[..name.len()].copy_from_slice(name);
    k.ioctl_raw(fd, command, request.as_mut_ptr() as u64)
}

/// Of memory that is not there, and of an interface that is not.
fn both(k: &mut dyn Kernel, fd: i64, command: u64) -> (i64, i64) {
    (
        k.ioctl_raw(fd, command, BAD),
        named(k, fd, command, b"none"),
    )
}

fn no(first: i32, second: i32) -> (i64, i64) {
    (-i64::from(first), -i64::from(second))
}

fn socket(k: &mut dyn Kernel, family: i32) -> Got<i64> {
    Ok(ok!(k.socket(family, SOCK_DGRAM, 0)))
}

fn other_families(k: &mut dyn Kernel) -> Outcome {
    let unix = socket(k, AF_UNIX)?;
    let six = socket(k, AF_INET6)?;
    // Addresses, neighbours.
    for command in [
        0x8915, 0x8917, 0x8919, 0x891a, 0x891b, 0x891c, 0x8953, 0x8954, 0x8955,
    ] {
        for fd in [unix, six] {
            eq!(
                (command, both(k, fd, command)),
                (command, no(EFAULT, ENOTTY))
            );
        }
    }
    // Routes, SIOCSIFADDR, SIOCSIFDSTADDR, SIOCDIFADDR.
    for command in [0x890b, 0x890c, 0x8916, 0x8918, 0x8936] {
        eq!(
            (command, both(k, unix, command)),
            (command, no(EFAULT, ENOTTY))
        );
    }
    // SIOCSIFDSTADDR is for tunnels; Linux without those does not read.
    err!(named(k, six, 0x8918, b"none"), ENODEV);
    // SIOCDIFADDR is IPv6's.
    let four = socket(k, AF_INET)?;
    eq!(both(k, four, 0x8936), no(EFAULT, ENOTTY));
    Ok(())
}

/// SIOCGETVIFCNT and SIOCGETSGCNT know raw sockets only, of which none is a router.
fn multicast_routers(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        for protocol in [libc::IPPROTO_IGMP, 253] {
            let fd = ok!(k.socket(family, libc::SOCK_RAW, protocol));
            let mut request = [0u8; 80];
            let at = request.as_mut_ptr() as u64;
            for (command, errno) in [
                (0x89e0, EINVAL),
                (0x89e1, libc::EADDRNOTAVAIL),
                (0x89e2, ENOTTY),
            ] {
                let got = k.ioctl_raw(fd, command, at);
                eq!((command, got), (command, -i64::from(errno)));
                eq!(k.ioctl_raw(fd, command, BAD), -i64::from(EFAULT));
            }
        }
        let fd = socket(k, family)?;
        for command in [0x89e0, 0x89e1] {
            eq!(both(k, fd, command), no(EFAULT, ENOTTY));
        }
    }
    Ok(())
}

fn nobodys(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6, AF_UNIX] {
        let fd = socket(k, family)?;
        // SIOCGIFMEM, SIOCSIFMEM, SIOCSIFLINK, and numbers without a name.
        for command in [0x891f, 0x8920, 0x8911, 0x8908, 0x8974, 0x89c0] {
            eq!(
                (command, both(k, fd, command)),
                (command, no(EFAULT, ENOTTY))
            );
        }
    }
    Ok(())
}

fn old_flags(k: &mut dyn Kernel) -> Outcome {
    let four = socket(k, AF_INET)?;
    let six = socket(k, AF_INET6)?;
    // SIOCSIFPFLAGS, SIOCGIFPFLAGS
    for command in [0x8934, 0x8935] {
        eq!(both(k, four, command), no(EFAULT, EINVAL));
        eq!(both(k, six, command), no(EFAULT, ENOTTY));
    }
    // SIOCRTMSG
    eq!(both(k, four, 0x890d), no(EINVAL, EINVAL));
    Ok(())
}

/// SIOCSIFSLAVE, SIOCADDMULTI, SIOCDELMULTI, SIOCSIFHWBROADCAST.
const OF_LINKS: [u64; 4] = [0x8930, 0x8931, 0x8932, 0x8937];
/// SIOCBONDENSLAVE, RELEASE, SETHWADDR, CHANGEACTIVE.
const OF_MASTERS: [u64; 4] = [0x8990, 0x8991, 0x8992, 0x8995];
/// SIOCBONDSLAVEINFOQUERY, SIOCBONDINFOQUERY.
const FOR_ANYONE: [u64; 3] = [0x8993, 0x8994, SIOCWANDEV];

fn absent_devices(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for family in [AF_INET, AF_INET6, AF_UNIX] {
        let fd = socket(k, family)?;
        let links = OF_LINKS.into_iter().chain([SIOCGIFSLAVE]);
        let masters = OF_MASTERS.into_iter().chain(FOR_ANYONE);
        for (command, on_lo) in links
            .map(|command| (command, EINVAL))
            .chain(masters.map(|command| (command, EOPNOTSUPP)))
        {
            eq!(
                (command, both(k, fd, command)),
                (command, no(EFAULT, ENODEV))
            );
            // A label is no part of the name.
            for name in [&b"lo"[..], b"lo:1"] {
                let got = named(k, fd, command, name);
                eq!((command, got), (command, -i64::from(on_lo)));
            }
        }
    }
    Ok(())
}

fn absent_devices_for_anyone(k: &mut dyn Kernel) -> Outcome {
    k.drop_privileges();
    let fd = socket(k, AF_INET)?;
    for command in OF_LINKS.into_iter().chain(OF_MASTERS) {
        eq!(
            (command, both(k, fd, command)),
            (command, no(EFAULT, EPERM))
        );
        err!(named(k, fd, command, b"lo"), EPERM);
    }
    for command in FOR_ANYONE {
        eq!(
            (command, both(k, fd, command)),
            (command, no(EFAULT, ENODEV))
        );
        err!(named(k, fd, command, b"lo"), EOPNOTSUPP);
    }
    eq!(both(k, fd, SIOCGIFSLAVE), no(EFAULT, ENODEV));
    err!(named(k, fd, SIOCGIFSLAVE, b"lo"), EINVAL);
    Ok(())
}

fn neighbours_for_anyone(k: &mut dyn Kernel) -> Outcome {
    k.drop_privileges();
    let fd = socket(k, AF_INET)?;
    // SIOCDARP and SIOCSARP ask who it is first.
    err!(k.ioctl_raw(fd, 0x8953, BAD), EPERM);
    err!(k.ioctl_raw(fd, 0x8955, BAD), EPERM);
    err!(k.ioctl_raw(fd, 0x8954, BAD), EFAULT);
    // SIOCGSKNS
    eq!(both(k, fd, 0x894c), no(EPERM, EPERM));
    Ok(())
}

fn ethtool_reads_first(k: &mut dyn Kernel) -> Outcome {
    let fd = socket(k, AF_INET)?;
    for name in [&b"none"[..], b"lo", b"lo:1"] {
        err!(named(k, fd, 0x8946, name), EFAULT);
    }
    Ok(())
}

fn compat_refuses_before_it_reads(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6, AF_UNIX] {
        let fd = socket(k, family)? as u32;
        // ioctl(2) is number 54 of i386. 0x10 is in no mapping.
        let mut ioctl = |command| k.call32(54, &[fd, command, 0x10]);
        // SIOCRTMSG, SIOCSIFLINK, SIOCGIFENCAP, SIOCSIFENCAP, SIOCGIFSLAVE, SIOCSIFSLAVE, and some without a name.
        for command in [
            0x890d, 0x8911, 0x8925, 0x8926, 0x8929, 0x8930, 0x8908, 0x8974, 0x89c0,
        ] {
            eq!((command, ioctl(command)?), (command, -i64::from(ENOTTY)));
        }
        // SIOCGIFMEM, SIOCGIFFLAGS, SIOCGIFADDR, SIOCGIFINDEX
        for command in [0x891f, 0x8913, 0x8915, 0x8933] {
            eq!((command, ioctl(command)?), (command, -i64::from(EFAULT)));
        }
    }
    Ok(())
}
