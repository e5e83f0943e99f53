//! The ioctls that set something about interfaces. On the host they are only ever made in a network namespace of the
//! body's own.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::mem::BAD;
use crate::registry::tests;
use libc::{AF_INET, AF_INET6, AF_UNIX, SOCK_DGRAM};

tests! {
    down_and_up [ROOT],
    flags_that_are_kept [ROOT],
    mtu_and_queue [ROOT],
    rename [ROOT],
    address_and_netmask [ROOT],
    no_address [ROOT],
    address_of_ipv6 [ROOT],
    what_lo_refuses [ROOT],
    unknown_interfaces [ROOT],
    families_that_may_not [ROOT],
    ordinary_user [DROP],
    hardware_address [ROOT],
    what_lo_has_not [ROOT],
    what_lo_has_not_for_anyone [DROP],
    ethtool_of_lo,
    ethtool_for_anyone [DROP],
    map_is_empty,
    pointers [ROOT],
}

const SIOCGIFFLAGS: u64 = 0x8913;
const SIOCSIFFLAGS: u64 = 0x8914;
const SIOCGIFADDR: u64 = 0x8915;
const SIOCSIFADDR: u64 = 0x8916;
const SIOCGIFNETMASK: u64 = 0x891b;
const SIOCSIFNETMASK: u64 = 0x891c;
const SIOCSIFMETRIC: u64 = 0x891e;
const SIOCGIFMTU: u64 = 0x8921;
const SIOCSIFMTU: u64 = 0x8922;
const SIOCSIFNAME: u64 = 0x8923;
const SIOCSIFHWADDR: u64 = 0x8924;
const SIOCGIFHWADDR: u64 = 0x8927;
const SIOCDIFADDR: u64 = 0x8936;
const SIOCGIFTXQLEN: u64 = 0x8942;
const SIOCSIFTXQLEN: u64 = 0x8943;
const SIOCGIFMAP: u64 = 0x8970;
const SIOCSIFMAP: u64 = 0x8971;

/// A `struct ifreq` of this name and value: the result, and the value afterwards.
fn ifreq(k: &mut dyn Kernel, fd: i64, command: u64, name: &[u8], value: &[u8]) -> (i64, [u8; 24]) {
    let mut request = [0u8; 40];
    request[..name.len()].copy_from_slice(name);
    request[16..16 + value.len()].copy_from_slice(value);
    let got = k.ioctl_raw(fd, command, request.as_mut_ptr() as u64);
    let mut after = [0; 24];
    after.copy_from_slice(&request[16..]);
    (got, after)
}

fn set(k: &mut dyn Kernel, fd: i64, command: u64, value: &[u8]) -> i64 {
    ifreq(k, fd, command, b"lo", value).0
}

fn get(k: &mut dyn Kernel, fd: i64, command: u64) -> Got<[u8; 24]> {
    let (got, value) = ifreq(k, fd, command, b"lo", &[]);
    ret!(got, 0);
    Ok(value)
}

fn flags(k: &mut dyn Kernel, fd: i64) -> Got<u16> {
    let value = get(k, fd, SIOCGIFFLAGS)?;
    Ok(u16::from_ne_bytes([value[0], value[1]]))
}

fn number(value: [u8; 24]) -> i32 {
    i32::from_ne_bytes([value[0], value[1], value[2], value[3]])
}

/// A `sockaddr_in`.
fn address(ip: [u8; 4]) -> [u8; 16] {
    let mut out = [0; 16];
    out[..2].copy_from_slice(&(AF_INET as u16).to_ne_bytes());
    out[4..8].copy_from_slice(&ip);
    out
}

fn inet(k: &mut dyn Kernel) -> Got<i64> {
    k.own_network()?;
    Ok(ok!(k.socket(AF_INET, SOCK_DGRAM, 0)))
}

/// Whether 127.0.0.1 and ::1 can be bound.
fn local(k: &mut dyn Kernel) -> Got<(i64, i64)> {
    let four = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    let six = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    let bound = (k.bind(four, &Addr::lo4(0)), k.bind(six, &Addr::lo6(0)));
    k.close(four);
    k.close(six);
    Ok(bound)
}

fn down_and_up(k: &mut dyn Kernel) -> Outcome {
    const NOT_THERE: i64 = -(libc::EADDRNOTAVAIL as i64);
    let fd = inet(k)?;
    eq!(flags(k, fd)?, 0x49);
    eq!(local(k)?, (0, 0));
    ret!(set(k, fd, SIOCSIFFLAGS, &0u16.to_ne_bytes()), 0);
    eq!(flags(k, fd)?, 0x8);
    // IPv4's address stays the host's own, and what is sent to it is lost; IPv6 has none any more.
    eq!(local(k)?, (0, NOT_THERE));
    let (heard, addr) = (ok!(k.socket(AF_INET, SOCK_DGRAM, 0)), Addr::lo4(0));
    ret!(k.bind(heard, &addr), 0);
    let addr = k.sockname(heard)?;
    ret!(k.sendto(fd, b"x", 0, &addr), 1);
    let mut buf = [0; 4];
    err!(k.recv(heard, &mut buf, libc::MSG_DONTWAIT), EAGAIN);
    ret!(set(k, fd, SIOCSIFFLAGS, &1u16.to_ne_bytes()), 0);
    eq!(flags(k, fd)?, 0x49);
    eq!(local(k)?, (0, 0));
    Ok(())
}

fn flags_that_are_kept(k: &mut dyn Kernel) -> Outcome {
    let fd = inet(k)?;
    // IFF_DEBUG, IFF_NOARP, IFF_MULTICAST; IFF_LOOPBACK and IFF_POINTOPOINT are no one's to set.
    ret!(
        set(
            k,
            fd,
            SIOCSIFFLAGS,
            &(1u16 | 4 | 0x80 | 0x1000 | 0x10).to_ne_bytes()
        ),
        0
    );
    eq!(flags(k, fd)?, 0x49 | 4 | 0x80 | 0x1000);
    ret!(set(k, fd, SIOCSIFFLAGS, &1u16.to_ne_bytes()), 0);
    eq!(flags(k, fd)?, 0x49);
    Ok(())
}

fn mtu_and_queue(k: &mut dyn Kernel) -> Outcome {
    let fd = inet(k)?;
    for mtu in [1500, 1280, 68, 65_536] {
        ret!(set(k, fd, SIOCSIFMTU, &i32::to_ne_bytes(mtu)), 0);
        eq!(number(get(k, fd, SIOCGIFMTU)?), mtu);
    }
    // IPv6 wants 1280, and comes back when the interface does.
    eq!(local(k)?.1, -i64::from(libc::EADDRNOTAVAIL));
    ret!(set(k, fd, SIOCSIFFLAGS, &0u16.to_ne_bytes()), 0);
    ret!(set(k, fd, SIOCSIFFLAGS, &1u16.to_ne_bytes()), 0);
    eq!(local(k)?, (0, 0));
    err!(set(k, fd, SIOCSIFMTU, &i32::to_ne_bytes(-1)), EINVAL);
    ret!(set(k, fd, SIOCSIFTXQLEN, &i32::to_ne_bytes(5)), 0);
    eq!(number(get(k, fd, SIOCGIFTXQLEN)?), 5);
    err!(set(k, fd, SIOCSIFTXQLEN, &i32::to_ne_bytes(-1)), EINVAL);
    ret!(set(k, fd, SIOCSIFTXQLEN, &i32::to_ne_bytes(1000)), 0);
    Ok(())
}

fn rename(k: &mut dyn Kernel) -> Outcome {
    let fd = inet(k)?;
    for bad in [&b""[..], b"a/b", b".", b"..", b"a b", b"a:b"] {
        eq!(
            (bad, set(k, fd, SIOCSIFNAME, bad)),
            (bad, -i64::from(libc::EINVAL))
        );
    }
    ret!(set(k, fd, SIOCSIFNAME, b"lo"), 0);
    ret!(set(k, fd, SIOCSIFNAME, b"loop9"), 0);
    err!(ifreq(k, fd, SIOCGIFFLAGS, b"lo", &[]).0, ENODEV);
    ret!(ifreq(k, fd, SIOCGIFFLAGS, b"loop9", &[]).0, 0);
    eq!(local(k)?, (0, 0));
    ret!(ifreq(k, fd, SIOCSIFNAME, b"loop9", b"lo").0, 0);
    eq!(flags(k, fd)?, 0x49);
    Ok(())
}

fn address_and_netmask(k: &mut dyn Kernel) -> Outcome {
    let fd = inet(k)?;
    let mine = Addr::v4([10, 1, 2, 3], 0);
    let probe = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    err!(k.bind(probe, &mine), EADDRNOTAVAIL);
    // A class A address has a mask of eight bits.
    ret!(set(k, fd, SIOCSIFADDR, &address([10, 1, 2, 3])), 0);
    eq!(&get(k, fd, SIOCGIFADDR)?[..16], &address([10, 1, 2, 3]));
    eq!(&get(k, fd, SIOCGIFNETMASK)?[4..8], &[255, 0, 0, 0]);
    ret!(k.bind(probe, &mine), 0);
    ret!(set(k, fd, SIOCSIFNETMASK, &address([255, 255, 255, 0])), 0);
    eq!(&get(k, fd, SIOCGIFNETMASK)?[4..8], &[255, 255, 255, 0]);
    err!(
        set(k, fd, SIOCSIFNETMASK, &address([255, 0, 255, 0])),
        EINVAL
    );
    for (ip, mask) in [
        ([172, 16, 0, 1], [255, 255, 0, 0]),
        ([192, 168, 0, 1], [255, 255, 255, 0]),
    ] {
        ret!(set(k, fd, SIOCSIFADDR, &address(ip)), 0);
        eq!(
            (ip, get(k, fd, SIOCGIFNETMASK)?[4..8].to_vec()),
            (ip, mask.to_vec())
        );
    }
    err!(set(k, fd, SIOCSIFADDR, &address([224, 0, 0, 1])), EINVAL);
    let mut six = address([10, 1, 2, 3]);
    six[0] = AF_INET6 as u8;
    err!(set(k, fd, SIOCSIFADDR, &six), EINVAL);
    ret!(set(k, fd, SIOCSIFADDR, &address([127, 0, 0, 1])), 0);
    eq!(&get(k, fd, SIOCGIFNETMASK)?[4..8], &[255, 0, 0, 0]);
    eq!(local(k)?, (0, 0));
    Ok(())
}

fn no_address(k: &mut dyn Kernel) -> Outcome {
    let fd = inet(k)?;
    ret!(set(k, fd, SIOCSIFADDR, &address([0; 4])), 0);
    err!(ifreq(k, fd, SIOCGIFADDR, b"lo", &[]).0, EADDRNOTAVAIL);
    err!(
        set(k, fd, SIOCSIFNETMASK, &address([255, 0, 0, 0])),
        EADDRNOTAVAIL
    );
    ret!(set(k, fd, SIOCSIFADDR, &address([127, 0, 0, 1])), 0);
    eq!(&get(k, fd, SIOCGIFADDR)?[4..8], &[127, 0, 0, 1]);
    Ok(())
}

fn address_of_ipv6(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    let mut ip = [0u8; 16];
    ip[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    ip[15] = 1;
    // struct in6_ifreq
    let request = |prefix: u32, index: i32| {
        let mut bytes = [0u8; 24];
        bytes[..16].copy_from_slice(&ip);
        bytes[16..20].copy_from_slice(&prefix.to_ne_bytes());
        bytes[20..].copy_from_slice(&index.to_ne_bytes());
        bytes
    };
    let call = |k: &mut dyn Kernel, command: u64, prefix: u32, index: i32| {
        let bytes = request(prefix, index);
        k.ioctl_raw(fd, command, bytes.as_ptr() as u64)
    };
    let probe = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    err!(k.bind(probe, &Addr::v6(ip, 0)), EADDRNOTAVAIL);
    ret!(call(k, SIOCSIFADDR, 64, 1), 0);
    // Linux finds out a little later that no neighbour can have it.
    k.pause(std::time::Duration::from_millis(100));
    ret!(k.bind(probe, &Addr::v6(ip, 0)), 0);
    let text = k.file_text("/proc/net/if_inet6")?;
    check!(
        text.contains("20010db8000000000000000000000001 01 40 00 80       lo"),
        "{text}"
    );
    err!(call(k, SIOCSIFADDR, 64, 1), EEXIST);
    err!(call(k, SIOCSIFADDR, 129, 1), EINVAL);
    err!(call(k, SIOCSIFADDR, 64, 77), ENODEV);
    err!(call(k, SIOCDIFADDR, 64, 77), ENODEV);
    ret!(call(k, SIOCDIFADDR, 64, 1), 0);
    err!(call(k, SIOCDIFADDR, 64, 1), EADDRNOTAVAIL);
    Ok(())
}

fn what_lo_refuses(k: &mut dyn Kernel) -> Outcome {
    let fd = inet(k)?;
    err!(set(k, fd, SIOCSIFMETRIC, &0i32.to_ne_bytes()), EOPNOTSUPP);
    err!(set(k, fd, SIOCSIFMAP, &[]), EOPNOTSUPP);
    // That of a group, and one of Ethernet's kind.
    err!(
        set(k, fd, SIOCSIFHWADDR, &[4, 3, 1, 2, 3, 4, 5, 6]),
        EADDRNOTAVAIL
    );
    err!(set(k, fd, SIOCSIFHWADDR, &1u16.to_ne_bytes()), EINVAL);
    Ok(())
}

const SETTERS: &[u64] = &[
    SIOCSIFFLAGS,
    SIOCSIFADDR,
    SIOCSIFNETMASK,
    SIOCSIFMTU,
    SIOCSIFNAME,
    SIOCSIFHWADDR,
    SIOCSIFTXQLEN,
];

fn unknown_interfaces(k: &mut dyn Kernel) -> Outcome {
    let fd = inet(k)?;
    for command in SETTERS {
        let got = ifreq(k, fd, *command, b"nope", &address([10, 0, 0, 1])).0;
        eq!((command, got), (command, -i64::from(libc::ENODEV)));
    }
    err!(ifreq(k, fd, SIOCGIFADDR, b"lo:1", &[]).0, EADDRNOTAVAIL);
    ret!(ifreq(k, fd, SIOCGIFFLAGS, b"lo:1", &[]).0, 0);
    Ok(())
}

fn families_that_may_not(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let unix = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
    err!(set(k, unix, SIOCSIFADDR, &address([10, 0, 0, 1])), ENOTTY);
    // What is not about addresses any socket may.
    ret!(set(k, unix, SIOCSIFMTU, &65_536i32.to_ne_bytes()), 0);
    let six = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    err!(
        set(k, six, SIOCSIFNETMASK, &address([255, 0, 0, 0])),
        ENOTTY
    );
    ret!(set(k, six, SIOCSIFMTU, &65_536i32.to_ne_bytes()), 0);
    Ok(())
}

fn ordinary_user(k: &mut dyn Kernel) -> Outcome {
    k.drop_privileges();
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    // The right is looked at before the name, so that this changes nothing anywhere.
    for name in [&b"nope"[..], b"lo"] {
        for command in SETTERS.iter().chain(&[SIOCSIFMETRIC, SIOCSIFMAP]) {
            let got = ifreq(k, fd, *command, name, &address([127, 0, 0, 1])).0;
            eq!(
                (name, command, got),
                (name, command, -i64::from(libc::EPERM))
            );
        }
    }
    let six = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    err!(set(k, six, SIOCDIFADDR, &[]), EPERM);
    Ok(())
}

fn hardware_address(k: &mut dyn Kernel) -> Outcome {
    let fd = inet(k)?;
    eq!(&get(k, fd, SIOCGIFHWADDR)?[..8], &[4, 3, 0, 0, 0, 0, 0, 0]);
    // The one it has is no new one.
    ret!(set(k, fd, SIOCSIFHWADDR, &[4, 3]), 0);
    Ok(())
}

fn map_is_empty(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    let (got, map) = ifreq(k, fd, SIOCGIFMAP, b"lo", &[0xaa; 24]);
    ret!(got, 0);
    // Two longs, a short and three bytes; the rest is padding.
    eq!(&map[..21], &[0; 21]);
    Ok(())
}

fn pointers(k: &mut dyn Kernel) -> Outcome {
    let fd = inet(k)?;
    for command in SETTERS {
        eq!(
            (command, k.ioctl_raw(fd, *command, BAD)),
            (command, -i64::from(libc::EFAULT))
        );
    }
    Ok(())
}

/// SIOCGMIIPHY, SIOCGMIIREG, SIOCSMIIREG, SIOCSHWTSTAMP: for who may administer.
const OF_HARDWARE: [u64; 4] = [0x8947, 0x8948, 0x8949, SIOCSHWTSTAMP];
const SIOCSHWTSTAMP: u64 = 0x89b0;
/// SIOCGHWTSTAMP, SIOCDEVPRIVATE and the last of its kind: for anyone.
const FOR_ANYONE: [u64; 3] = [0x89b1, 0x89f0, 0x89ff];
const SIOCETHTOOL: u64 = 0x8946;

fn what_lo_has_not(k: &mut dyn Kernel) -> Outcome {
    let nothing = [0u8; 64];
    let at = (nothing.as_ptr() as u64).to_ne_bytes();
    for family in [AF_INET, AF_INET6, AF_UNIX] {
        let fd = ok!(k.socket(family, SOCK_DGRAM, 0));
        let all = OF_HARDWARE.into_iter().chain(FOR_ANYONE);
        for command in all.chain([SIOCETHTOOL]) {
            let on_lo = set(k, fd, command, &at);
            let on_none = ifreq(k, fd, command, b"none", &at).0;
            eq!(
                (command, on_lo, on_none),
                (
                    command,
                    -i64::from(libc::EOPNOTSUPP),
                    -i64::from(libc::ENODEV)
                )
            );
            err!(k.ioctl_raw(fd, command, BAD), EFAULT);
        }
        err!(set(k, fd, SIOCSHWTSTAMP, &[]), EFAULT);
        k.close(fd);
    }
    Ok(())
}

fn what_lo_has_not_for_anyone(k: &mut dyn Kernel) -> Outcome {
    k.drop_privileges();
    let nothing = [0u8; 64];
    let at = (nothing.as_ptr() as u64).to_ne_bytes();
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    for command in OF_HARDWARE {
        for name in [b"lo\0\0", b"none"] {
            err!(ifreq(k, fd, command, name, &at).0, EPERM);
        }
    }
    for command in FOR_ANYONE {
        err!(set(k, fd, command, &at), EOPNOTSUPP);
        err!(ifreq(k, fd, command, b"none", &at).0, ENODEV);
    }
    Ok(())
}

/// A command of linux/ethtool.h with room for its answer.
fn ethtool(k: &mut dyn Kernel, fd: i64, name: &[u8], command: u32) -> (i64, Vec<u32>) {
    let mut room = [0u32; 64];
    room[0] = command;
    let at = (room.as_mut_ptr() as u64).to_ne_bytes();
    let got = ifreq(k, fd, SIOCETHTOOL, name, &at).0;
    (got, room.to_vec())
}

const ETHTOOL_GSET: u32 = 0x1;
const ETHTOOL_SSET: u32 = 0x2;
const ETHTOOL_GDRVINFO: u32 = 0x3;
const ETHTOOL_GLINK: u32 = 0xa;
const ETHTOOL_GET_TS_INFO: u32 = 0x41;
const ETHTOOL_GLINKSETTINGS: u32 = 0x4c;

fn ethtool_of_lo(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6, AF_UNIX] {
        let fd = ok!(k.socket(family, SOCK_DGRAM, 0));
        let (got, answer) = ethtool(k, fd, b"lo", ETHTOOL_GLINK);
        eq!((got, &answer[..3]), (0, &[ETHTOOL_GLINK, 1, 0][..]));
        let (got, answer) = ethtool(k, fd, b"lo", ETHTOOL_GET_TS_INFO);
        // Stamps of the software, each way; no clock.
        let wanted = [
            ETHTOOL_GET_TS_INFO,
            0x1a,
            u32::MAX,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ];
        eq!((got, &answer[..12]), (0, &wanted[..]));
        for command in [ETHTOOL_GSET, ETHTOOL_GDRVINFO, ETHTOOL_GLINKSETTINGS] {
            eq!(
                (command, ethtool(k, fd, b"lo", command).0),
                (command, -i64::from(libc::EOPNOTSUPP))
            );
        }
        for command in [ETHTOOL_GLINK, ETHTOOL_SSET] {
            eq!(ethtool(k, fd, b"none", command).0, -i64::from(libc::ENODEV));
        }
        // The command is read before the name is looked for.
        for name in [&b"lo"[..], b"none"] {
            err!(ifreq(k, fd, SIOCETHTOOL, name, &[]).0, EFAULT);
        }
    }
    Ok(())
}

fn ethtool_for_anyone(k: &mut dyn Kernel) -> Outcome {
    k.drop_privileges();
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    eq!(ethtool(k, fd, b"lo", ETHTOOL_GLINK).0, 0);
    eq!(ethtool(k, fd, b"lo", ETHTOOL_GET_TS_INFO).0, 0);
    for command in [ETHTOOL_SSET, 0x4b, 0xffff] {
        eq!(
            (command, ethtool(k, fd, b"lo", command).0),
            (command, -i64::from(libc::EPERM))
        );
        eq!(ethtool(k, fd, b"none", command).0, -i64::from(libc::ENODEV));
    }
    eq!(
        ethtool(k, fd, b"lo", ETHTOOL_GDRVINFO).0,
        -i64::from(libc::EOPNOTSUPP)
    );
    Ok(())
}
