//! The ioctls that ask about interfaces: `lo`, which every host has. Nothing is ever set here.

use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::mem::{BAD, as_int};
use crate::registry::tests;
use crate::sys::Fd;
use libc::{AF_INET, AF_INET6, AF_UNIX, SOCK_DGRAM, SOCK_STREAM};

tests! {
    index_and_name,
    flags_mtu_and_the_rest_of_lo,
    addresses_of_lo,
    unknown_interface,
    any_socket_may_ask,
    bad_pointers,
    list_of_interfaces,
    list_with_little_room,
}

const SIOCGIFNAME: u64 = 0x8910;
const SIOCGIFCONF: u64 = 0x8912;
const SIOCGIFFLAGS: u64 = 0x8913;
const SIOCGIFADDR: u64 = 0x8915;
const SIOCGIFDSTADDR: u64 = 0x8917;
const SIOCGIFBRDADDR: u64 = 0x8919;
const SIOCGIFNETMASK: u64 = 0x891b;
const SIOCGIFMETRIC: u64 = 0x891d;
const SIOCGIFMTU: u64 = 0x8921;
const SIOCGIFHWADDR: u64 = 0x8927;
const SIOCGIFINDEX: u64 = 0x8933;
const SIOCGIFTXQLEN: u64 = 0x8942;

/// `struct ifreq`: a name and 24 bytes that mean what the command says.
const IFREQ: usize = 40;

fn ifreq(name: &[u8]) -> [u8; IFREQ] {
    let mut bytes = [0; IFREQ];
    bytes[..name.len()].copy_from_slice(name);
    bytes
}

/// Asks about `lo`; the 24 bytes of the answer.
fn ask(k: &mut dyn Kernel, fd: Fd, command: u64) -> Got<[u8; 24]> {
    let mut request = ifreq(b"lo");
    ret!(k.ioctl_raw(fd, command, request.as_mut_ptr() as u64), 0);
    let mut answer = [0; 24];
    answer.copy_from_slice(&request[16..]);
    Ok(answer)
}

fn index_and_name(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    let index = as_int(&ask(k, fd, SIOCGIFINDEX)?[..4]);
    check!(index > 0, "{index}");
    let mut request = [0u8; IFREQ];
    request[16..20].copy_from_slice(&index.to_ne_bytes());
    ret!(k.ioctl_raw(fd, SIOCGIFNAME, request.as_mut_ptr() as u64), 0);
    eq!(&request[..3], b"lo\0");
    request[16..20].copy_from_slice(&99_999i32.to_ne_bytes());
    let got = k.ioctl_raw(fd, SIOCGIFNAME, request.as_mut_ptr() as u64);
    ret!(got, -libc::ENODEV);
    Ok(())
}

fn flags_mtu_and_the_rest_of_lo(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    let flags = ask(k, fd, SIOCGIFFLAGS)?;
    let flags = i32::from(u16::from_ne_bytes([flags[0], flags[1]]));
    eq!(flags, libc::IFF_UP | libc::IFF_LOOPBACK | libc::IFF_RUNNING);
    eq!(as_int(&ask(k, fd, SIOCGIFMTU)?[..4]), 65_536);
    eq!(as_int(&ask(k, fd, SIOCGIFMETRIC)?[..4]), 0);
    eq!(as_int(&ask(k, fd, SIOCGIFTXQLEN)?[..4]), 1000);
    // ARPHRD_LOOPBACK and six zeroes.
    let hardware = ask(k, fd, SIOCGIFHWADDR)?;
    eq!(u16::from_ne_bytes([hardware[0], hardware[1]]), 772);
    eq!(&hardware[2..8], &[0; 6]);
    Ok(())
}

fn addresses_of_lo(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    for (command, ip) in [
        (SIOCGIFADDR, [127, 0, 0, 1]),
        (SIOCGIFDSTADDR, [127, 0, 0, 1]),
        (SIOCGIFNETMASK, [255, 0, 0, 0]),
        // There is none.
        (SIOCGIFBRDADDR, [0, 0, 0, 0]),
    ] {
        let answer = ask(k, fd, command)?;
        let family = i32::from(u16::from_ne_bytes([answer[0], answer[1]]));
        eq!((family, &answer[2..4]), (AF_INET, &[0, 0][..]));
        eq!(&answer[4..8], &ip[..]);
    }
    Ok(())
}

fn unknown_interface(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    for command in [
        SIOCGIFINDEX,
        SIOCGIFFLAGS,
        SIOCGIFADDR,
        SIOCGIFNETMASK,
        SIOCGIFMTU,
        SIOCGIFHWADDR,
    ] {
        for name in [&b"no-such-if"[..], b""] {
            let mut request = ifreq(name);
            let got = k.ioctl_raw(fd, command, request.as_mut_ptr() as u64);
            ret!(got, -libc::ENODEV);
        }
    }
    Ok(())
}

fn any_socket_may_ask(k: &mut dyn Kernel) -> Outcome {
    for (family, kind) in [
        (AF_INET, SOCK_STREAM),
        (AF_INET6, SOCK_DGRAM),
        (AF_UNIX, SOCK_STREAM),
        (AF_UNIX, SOCK_DGRAM),
    ] {
        let fd = ok!(k.socket(family, kind, 0));
        eq!(as_int(&ask(k, fd, SIOCGIFMTU)?[..4]), 65_536);
        check!(as_int(&ask(k, fd, SIOCGIFINDEX)?[..4]) > 0, "index");
    }
    Ok(())
}

fn bad_pointers(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    for command in [
        SIOCGIFNAME,
        SIOCGIFCONF,
        SIOCGIFFLAGS,
        SIOCGIFADDR,
        SIOCGIFINDEX,
    ] {
        err!(k.ioctl_raw(fd, command, 0), EFAULT);
        err!(k.ioctl_raw(fd, command, BAD), EFAULT);
    }
    Ok(())
}

/// `struct ifconf`: a length and where to put the requests.
fn list(k: &mut dyn Kernel, fd: Fd, room: Option<&mut [u8]>) -> Got<usize> {
    let (len, at) = room.map_or((0, 0), |r| (r.len() as u64, r.as_mut_ptr() as u64));
    let mut conf = [len, at];
    ret!(k.ioctl_raw(fd, SIOCGIFCONF, conf.as_mut_ptr() as u64), 0);
    Ok(conf[0] as u32 as usize)
}

fn list_of_interfaces(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    // Without a buffer it tells how much there is.
    let needed = list(k, fd, None)?;
    check!(needed >= IFREQ && needed.is_multiple_of(IFREQ), "{needed}");
    let mut room = vec![0xaa; needed + 2 * IFREQ];
    eq!(list(k, fd, Some(&mut room))?, needed);
    let lo = room[..needed]
        .chunks(IFREQ)
        .find(|entry| entry.starts_with(b"lo\0"));
    let Some(lo) = lo else {
        return crate::check::fail("SIOCGIFCONF", "lo is not there".to_string());
    };
    eq!(&lo[20..24], &[127, 0, 0, 1]);
    check!(
        room[needed..].iter().all(|b| *b == 0xaa),
        "more was written"
    );
    Ok(())
}

fn list_with_little_room(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    // Only whole entries.
    let mut room = [0xaa; IFREQ - 1];
    eq!(list(k, fd, Some(&mut room))?, 0);
    eq!(room, [0xaa; IFREQ - 1]);
    let mut room = [0xaa; IFREQ + 7];
    eq!(list(k, fd, Some(&mut room))?, IFREQ);
    eq!(&room[IFREQ..], &[0xaa; 7]);
    Ok(())
}
