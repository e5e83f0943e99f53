//! ILP32 layouts of messages, through the i386 entry of the kernel.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::compat::Low;
use crate::kernel::{Kernel, SocketCall as C};
use crate::mem::{Edge, as_int, int};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{AF_INET, AF_UNIX, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET};

tests! {
    timeouts_in_ilp32 [INT80],
    message_header_ilp32 [INT80],
    rights_in_ilp32 [INT80],
    credentials_in_ilp32 [INT80],
    timestamp_in_ilp32 [INT80],
    vectors_fault_in_ilp32 [INT80],
    control_length_errors_in_ilp32 [INT80],
    mmsg_in_ilp32 [INT80],
    recvmmsg_timeout_in_ilp32 [INT80],
    linger_in_ilp32 [INT80],
    msghdr_has_28_bytes [INT80],
    policies_in_ilp32 [INT80 | ROOT],
    packet_options_in_ilp32 [INT80],
}

/// An address that no 32-bit mapping has.
const BAD: u32 = 0x10;

fn pair32(k: &mut dyn Kernel, low: &mut Low, kind: i32) -> Got<(u32, u32)> {
    let sv = low.words(&[0, 0]);
    let args = [AF_UNIX as u32, (kind | NB) as u32, 0, sv];
    ret!(k.socketcall32(low, C::Socketpair, &args)?, 0);
    Ok((low.word(sv), low.word(sv + 4)))
}

fn timeouts_in_ilp32(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0)) as u32;
    // struct timeval of two 32-bit words.
    let value = low.words(&[3, 500_000]);
    let level = SOL_SOCKET as u32;
    let name = libc::SO_RCVTIMEO as u32;
    ret!(
        k.socketcall32(&mut low, C::Setsockopt, &[fd, level, name, value, 8])?,
        0
    );
    let out = low.words(&[9; 6]);
    let len = low.words(&[24]);
    ret!(
        k.socketcall32(&mut low, C::Getsockopt, &[fd, level, name, out, len])?,
        0
    );
    eq!(
        (low.word(out), low.word(out + 4), low.word(len)),
        (3, 500_000, 8)
    );
    err!(
        k.socketcall32(&mut low, C::Setsockopt, &[fd, level, name, value, 7])?,
        EINVAL
    );
    // The same timeout in 64 bits, from both sides.
    let wide = [3i64.to_ne_bytes(), 500_000i64.to_ne_bytes()].concat();
    let fd64 = Fd::from(fd);
    eq!(
        k.getsockopt(fd64, SOL_SOCKET, libc::SO_RCVTIMEO, 16),
        (0, wide.clone())
    );
    let new = 66;
    ret!(
        k.socketcall32(&mut low, C::Getsockopt, &[fd, level, new, out, len])?,
        0
    );
    // The length had become 8, and that is all there is room for.
    eq!(low.word(len), 8);
    eq!(low.read(out, 8), wide[..8].to_vec());
    let bad = low.words(&[0, 1_000_000]);
    err!(
        k.socketcall32(&mut low, C::Setsockopt, &[fd, level, name, bad, 8])?,
        EDOM
    );
    Ok(())
}

/// struct msghdr of ILP32: seven words.
fn msghdr(low: &mut Low, name: (u32, u32), iov: &[(u32, u32)], control: (u32, u32)) -> u32 {
    let flat: Vec<u32> = iov.iter().flat_map(|(base, len)| [*base, *len]).collect();
    let vector = low.words(&flat);
    low.words(&[
        name.0,
        name.1,
        vector,
        iov.len() as u32,
        control.0,
        control.1,
        0,
    ])
}

/// One control message of ILP32: a header of three words, data aligned to four bytes.
fn cmsg32(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
    let mut bytes = (12 + data.len() as u32).to_ne_bytes().to_vec();
    bytes.extend(level.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn message_header_ilp32(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    let (to, addr) = k.udp(AF_INET)?;
    let (from, from_addr) = k.udp(AF_INET)?;
    let dest = low.put(&addr.0);
    let (x, y) = (low.put(b"hel"), low.put(b"lo"));
    let msg = msghdr(&mut low, (dest, 16), &[(x, 3), (y, 2)], (0, 0));
    ret!(
        k.socketcall32(&mut low, C::Sendmsg, &[from as u32, msg, 0])?,
        5
    );
    let name = low.put(&[0; 40]);
    let buf = low.put(&[0; 8]);
    let control = low.put(&[0; 40]);
    let msg = msghdr(&mut low, (name, 40), &[(buf, 4)], (control, 40));
    ret!(
        k.socketcall32(&mut low, C::Recvmsg, &[to as u32, msg, 0])?,
        4
    );
    eq!(low.read(buf, 4), b"hell");
    eq!(Addr(low.read(name, 16)), from_addr);
    // msg_namelen, msg_controllen, msg_flags.
    eq!((low.word(msg + 4), low.word(msg + 20)), (16, 0));
    eq!(low.word(msg + 24), libc::MSG_TRUNC as u32);
    Ok(())
}

fn rights_in_ilp32(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    let (a, b) = pair32(k, &mut low, SOCK_STREAM)?;
    let fds = [int(a as i32), int(b as i32), int(a as i32)].concat();
    let control_bytes = cmsg32(SOL_SOCKET, libc::SCM_RIGHTS, &fds);
    eq!(control_bytes.len(), 24);
    let control = low.put(&control_bytes);
    let data = low.put(b"p");
    let msg = msghdr(&mut low, (0, 0), &[(data, 1)], (control, 24));
    ret!(k.socketcall32(&mut low, C::Sendmsg, &[a, msg, 0])?, 1);
    let room = low.put(&[0; 64]);
    let msg = msghdr(&mut low, (0, 0), &[(data, 1)], (room, 64));
    ret!(k.socketcall32(&mut low, C::Recvmsg, &[b, msg, 0])?, 1);
    eq!(low.word(msg + 20), 24);
    let got = low.read(room, 24);
    eq!(got[..12].to_vec(), control_bytes[..12].to_vec());
    for i in 0..3 {
        let fd = Fd::from(as_int(&got[12 + 4 * i..]));
        eq!(k.get_int(fd, SOL_SOCKET, libc::SO_DOMAIN)?, AF_UNIX);
    }
    // MSG_CMSG_CLOEXEC does not come back as MSG_CMSG_COMPAT.
    eq!(low.word(msg + 24), 0);
    // Room for one of three.
    let msg = msghdr(&mut low, (0, 0), &[(data, 1)], (control, 24));
    ret!(k.socketcall32(&mut low, C::Sendmsg, &[a, msg, 0])?, 1);
    let msg = msghdr(&mut low, (0, 0), &[(data, 1)], (room, 16));
    ret!(k.socketcall32(&mut low, C::Recvmsg, &[b, msg, 0])?, 1);
    eq!(
        (low.word(msg + 20), low.word(msg + 24)),
        (16, libc::MSG_CTRUNC as u32)
    );
    Ok(())
}

fn credentials_in_ilp32(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    let (a, b) = pair32(k, &mut low, SOCK_DGRAM)?;
    ret!(k.set_int(Fd::from(b), SOL_SOCKET, libc::SO_PASSCRED, 1), 0);
    ret!(k.send(Fd::from(a), b"x", 0), 1);
    let buf = low.put(&[0; 8]);
    let room = low.put(&[0; 64]);
    let msg = msghdr(&mut low, (0, 0), &[(buf, 8)], (room, 64));
    ret!(k.socketcall32(&mut low, C::Recvmsg, &[b, msg, 0])?, 1);
    eq!(low.word(msg + 20), 24);
    eq!(
        (low.word(room), low.word(room + 8)),
        (24, libc::SCM_CREDENTIALS as u32)
    );
    let pid = k.call(libc::SYS_getpid, &[]) as u32;
    eq!(low.word(room + 12), pid);
    Ok(())
}

fn timestamp_in_ilp32(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.set_int(b, SOL_SOCKET, libc::SO_TIMESTAMP, 1), 0);
    ret!(k.send(a, b"x", 0), 1);
    let buf = low.put(&[0; 8]);
    let room = low.put(&[0; 64]);
    let msg = msghdr(&mut low, (0, 0), &[(buf, 8)], (room, 64));
    ret!(
        k.socketcall32(&mut low, C::Recvmsg, &[b as u32, msg, 0])?,
        1
    );
    // A timeval of two 32-bit words.
    eq!(
        (low.word(room), low.word(room + 4)),
        (20, SOL_SOCKET as u32)
    );
    check!(
        low.word(room + 16) < 1_000_000,
        "{} microseconds",
        low.word(room + 16)
    );
    Ok(())
}

fn vectors_fault_in_ilp32(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    let (a, _b) = pair32(k, &mut low, SOCK_DGRAM)?;
    let msg = msghdr(&mut low, (0, 0), &[(BAD, 1)], (0, 0));
    err!(k.socketcall32(&mut low, C::Sendmsg, &[a, msg, 0])?, EFAULT);
    err!(k.socketcall32(&mut low, C::Sendmsg, &[a, BAD, 0])?, EFAULT);
    // A negative length.
    let data = low.put(b"x");
    let msg = msghdr(&mut low, (0, 0), &[(data, u32::MAX)], (0, 0));
    err!(k.socketcall32(&mut low, C::Sendmsg, &[a, msg, 0])?, EINVAL);
    let msg = msghdr(&mut low, (0, 0), &[(data, 1)], (BAD, 24));
    err!(k.socketcall32(&mut low, C::Sendmsg, &[a, msg, 0])?, EFAULT);
    let msg = msghdr(&mut low, (BAD, 16), &[(data, 1)], (0, 0));
    err!(k.socketcall32(&mut low, C::Sendmsg, &[a, msg, 0])?, EFAULT);
    Ok(())
}

fn control_length_errors_in_ilp32(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    let (a, _b) = pair32(k, &mut low, SOCK_DGRAM)?;
    let data = low.put(b"x");
    for len in [0u32, 11, 17, 1000] {
        let mut bytes = cmsg32(SOL_SOCKET, libc::SCM_RIGHTS, &int(a as i32));
        bytes[..4].copy_from_slice(&len.to_ne_bytes());
        let control = low.put(&bytes);
        let msg = msghdr(&mut low, (0, 0), &[(data, 1)], (control, 16));
        err!(k.socketcall32(&mut low, C::Sendmsg, &[a, msg, 0])?, EINVAL);
    }
    // What is left after the last is taken for another, and is too short.
    for rest in 1..12u32 {
        let mut bytes = cmsg32(SOL_SOCKET, libc::SCM_RIGHTS, &int(a as i32));
        bytes.extend([0; 24]);
        let control = low.put(&bytes);
        let msg = msghdr(&mut low, (0, 0), &[(data, 1)], (control, 16 + rest));
        err!(k.socketcall32(&mut low, C::Sendmsg, &[a, msg, 0])?, EINVAL);
    }
    Ok(())
}

fn mmsg_in_ilp32(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    let (a, b) = pair32(k, &mut low, SOCK_DGRAM)?;
    let (x, y) = (low.put(b"one"), low.put(b"three"));
    let (vx, vy) = (low.words(&[x, 3]), low.words(&[y, 5]));
    // struct mmsghdr: seven words and the length.
    let vec = low.words(&[0, 0, vx, 1, 0, 0, 0, 99, 0, 0, vy, 1, 0, 0, 0, 99]);
    ret!(k.socketcall32(&mut low, C::Sendmmsg, &[a, vec, 2, 0])?, 2);
    eq!((low.word(vec + 28), low.word(vec + 60)), (3, 5));
    let (bx, by) = (low.put(&[0; 8]), low.put(&[0; 8]));
    let (vx, vy) = (low.words(&[bx, 8]), low.words(&[by, 2]));
    let vec = low.words(&[0, 0, vx, 1, 0, 0, 0, 99, 0, 0, vy, 1, 0, 0, 0, 99]);
    ret!(
        k.socketcall32(&mut low, C::Recvmmsg, &[b, vec, 2, 0, 0])?,
        2
    );
    eq!((low.word(vec + 28), low.word(vec + 60)), (3, 2));
    eq!(
        (low.word(vec + 24), low.word(vec + 56)),
        (0, libc::MSG_TRUNC as u32)
    );
    eq!(low.read(bx, 3), b"one");
    Ok(())
}

fn recvmmsg_timeout_in_ilp32(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    let (a, b) = pair32(k, &mut low, SOCK_DGRAM)?;
    let buf = low.put(&[0; 8]);
    let vector = low.words(&[buf, 8]);
    let vec = low.words(&[0, 0, vector, 1, 0, 0, 0, 99]);
    // A timespec of two 32-bit words.
    let bad = low.words(&[0, 1_000_000_000]);
    err!(
        k.socketcall32(&mut low, C::Recvmmsg, &[b, vec, 1, 0, bad])?,
        EINVAL
    );
    err!(
        k.socketcall32(&mut low, C::Recvmmsg, &[b, vec, 1, 0, BAD])?,
        EFAULT
    );
    ret!(k.send(Fd::from(a), b"x", 0), 1);
    let timeout = low.words(&[9, 0]);
    ret!(
        k.socketcall32(&mut low, C::Recvmmsg, &[b, vec, 1, 0, timeout])?,
        1
    );
    check!(low.word(timeout) <= 9, "{}", low.word(timeout));
    // recvmmsg_time64 (417) takes the 64-bit one.
    ret!(k.send(Fd::from(a), b"x", 0), 1);
    let timeout = low.words(&[9, 0, 0, 0]);
    ret!(k.call32(417, &[b, vec, 1, 0, timeout])?, 1);
    Ok(())
}

fn linger_in_ilp32(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0)) as u32;
    let value = low.words(&[1, 7]);
    let level = SOL_SOCKET as u32;
    let args = [fd, level, libc::SO_LINGER as u32, value, 8];
    ret!(k.socketcall32(&mut low, C::Setsockopt, &args)?, 0);
    let wide = [int(1), int(7)].concat();
    eq!(
        k.getsockopt(Fd::from(fd), SOL_SOCKET, libc::SO_LINGER, 8),
        (0, wide)
    );
    Ok(())
}

fn msghdr_has_28_bytes(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    let (a, _b) = pair32(k, &mut low, SOCK_DGRAM)?;
    let edge = Edge::low();
    err!(
        k.socketcall32(&mut low, C::Sendmsg, &[a, edge.at(27) as u32, 0])?,
        EFAULT
    );
    ret!(
        k.socketcall32(&mut low, C::Sendmsg, &[a, edge.at(28) as u32, 0])?,
        0
    );
    Ok(())
}

/// xfrm_user_policy(): there is no translator for them.
fn policies_in_ilp32(k: &mut dyn Kernel) -> Outcome {
    const IP_XFRM_POLICY: u32 = 17;
    const IPV6_XFRM_POLICY: u32 = 35;
    let mut low = Low::new();
    let value = low.words(&[0; 64]);
    for (family, level, name) in [
        (AF_INET, libc::IPPROTO_IP, IP_XFRM_POLICY),
        (libc::AF_INET6, libc::IPPROTO_IPV6, IPV6_XFRM_POLICY),
    ] {
        let fd = ok!(k.socket(family, SOCK_DGRAM, 0)) as u32;
        let level = level as u32;
        for len in [1, 12, 164, 168, 232] {
            let args = [fd, level, name, value, len];
            err!(k.socketcall32(&mut low, C::Setsockopt, &args)?, EOPNOTSUPP);
            let native = k.setsockopt(fd.into(), level as i32, name as i32, &vec![0; len as usize]);
            err!(native, EINVAL);
        }
        let args = [fd, level, name, BAD, 168];
        err!(k.socketcall32(&mut low, C::Setsockopt, &args)?, EFAULT);
        let args = [fd, level, name, value, 5000];
        err!(k.socketcall32(&mut low, C::Setsockopt, &args)?, EMSGSIZE);
    }
    Ok(())
}

/// IPV6_2292PKTOPTIONS: its messages are those of the kernel's own word, for everyone.
fn packet_options_in_ilp32(k: &mut dyn Kernel) -> Outcome {
    const IPV6_2292PKTOPTIONS: u32 = 6;
    const IPV6_2292HOPLIMIT: u32 = 8;
    let mut low = Low::new();
    let fd = ok!(k.socket(libc::AF_INET6, SOCK_DGRAM, 0)) as u32;
    let level = libc::IPPROTO_IPV6 as u32;
    // What looks like a message of 16 bytes in 32 bits; less than 16 bytes hold none in 64.
    let value = low.words(&[16, level, IPV6_2292HOPLIMIT, 9]);
    for (len, want) in [(0, 0), (4, 0), (12, 0), (15, 0), (16, -libc::EINVAL)] {
        let args = [fd, level, IPV6_2292PKTOPTIONS, value, len];
        let got = k.socketcall32(&mut low, C::Setsockopt, &args)?;
        eq!((len, got), (len, want as i64));
    }
    Ok(())
}
