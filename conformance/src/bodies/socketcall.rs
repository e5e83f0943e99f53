//! `socketcall(2)` itself and ILP32 layouts, through the i386 entry of the kernel.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::compat::Low;
use crate::kernel::{Kernel, SocketCall as C};
use crate::mem::{Edge, int};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{AF_INET, AF_UNIX, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET};

tests! {
    unknown_calls [INT80],
    argument_block_faults [INT80],
    argument_block_half_mapped [INT80],
    unknown_call_before_fault [INT80],
    socket_and_names [INT80],
    stream_connection [INT80],
    accept4_and_flags [INT80],
    socketpair_and_shutdown [INT80],
    send_and_recv [INT80],
    sendto_and_recvfrom [INT80],
    options [INT80],
    direct_numbers [INT80],
    errors_are_the_same [INT80],
    high_call_bits [INT80],
}

/// An address that no 32-bit mapping has.
const BAD: u32 = 0x10;

fn pair32(k: &mut dyn Kernel, low: &mut Low, kind: i32) -> Got<(u32, u32)> {
    let sv = low.words(&[0, 0]);
    let args = [AF_UNIX as u32, (kind | NB) as u32, 0, sv];
    ret!(k.socketcall32(low, C::Socketpair, &args)?, 0);
    Ok((low.word(sv), low.word(sv + 4)))
}

fn unknown_calls(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    let block = low.words(&[0; 6]);
    for call in [0, 21, 22, 100, 1 << 16, u32::MAX, i32::MIN as u32] {
        err!(k.socketcall32_at(call, block)?, EINVAL);
    }
    Ok(())
}

fn argument_block_faults(k: &mut dyn Kernel) -> Outcome {
    for call in 1..=20 {
        for block in [0, BAD, 0xffff_f000] {
            err!(k.socketcall32_at(call, block)?, EFAULT);
        }
    }
    Ok(())
}

fn argument_block_half_mapped(k: &mut dyn Kernel) -> Outcome {
    // As many words are read as the call has arguments: a block may end at the edge of a page.
    for (call, count) in [
        (C::Socket, 3u64),
        (C::Listen, 2),
        (C::Sendto, 6),
        (C::Setsockopt, 5),
    ] {
        let edge = Edge::low();
        let words: Vec<u8> = [int(-1), int(1), int(0), int(0), int(0), int(0)]
            .concat()
            .into_iter()
            .take(4 * count as usize)
            .collect();
        let at = edge.put(&words) as u32;
        let got = k.socketcall32_at(call as u32, at)?;
        check!(
            got < 0 && got != -i64::from(libc::EFAULT),
            "{call:?}: {got}"
        );
        err!(k.socketcall32_at(call as u32, at + 4)?, EFAULT);
    }
    Ok(())
}

fn unknown_call_before_fault(k: &mut dyn Kernel) -> Outcome {
    err!(k.socketcall32_at(21, BAD)?, EINVAL);
    err!(k.socketcall32_at(0, BAD)?, EINVAL);
    Ok(())
}

fn socket_and_names(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    let args = [AF_INET as u32, SOCK_STREAM as u32, 0];
    let fd = ok!(k.socketcall32(&mut low, C::Socket, &args)?) as u32;
    let addr = low.put(&Addr::lo4(0).0);
    ret!(k.socketcall32(&mut low, C::Bind, &[fd, addr, 16])?, 0);
    let name = low.put(&[0; 16]);
    let len = low.words(&[16]);
    ret!(
        k.socketcall32(&mut low, C::Getsockname, &[fd, name, len])?,
        0
    );
    let got = Addr(low.read(name, 16));
    eq!(got.clone(), k.sockname(Fd::from(fd))?);
    check!(got.port() != 0, "{got:?}");
    err!(
        k.socketcall32(&mut low, C::Getpeername, &[fd, name, len])?,
        ENOTCONN
    );
    Ok(())
}

fn stream_connection(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    let (listener, addr) = k.tcp_listener(AF_INET, 4)?;
    let fd = k.tcp_socket(AF_INET, 0)? as u32;
    let to = low.put(&addr.0);
    ret!(k.socketcall32(&mut low, C::Connect, &[fd, to, 16])?, 0);
    let name = low.put(&[0; 16]);
    let len = low.words(&[16]);
    let s = ok!(k.socketcall32(&mut low, C::Accept, &[listener as u32, name, len])?);
    eq!(Addr(low.read(name, 16)), k.sockname(Fd::from(fd))?);
    ret!(
        k.socketcall32(&mut low, C::Getpeername, &[fd, name, len])?,
        0
    );
    eq!(Addr(low.read(name, 16)), addr);
    ret!(k.send(Fd::from(fd), b"x", 0), 1);
    eq!(k.recv_now(s)?, b"x");
    Ok(())
}

fn accept4_and_flags(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    let (listener, addr) = k.unix_listener(SOCK_STREAM, 4)?;
    let c = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    ret!(k.connect(c, &addr), 0);
    let args = [listener as u32, 0, 0, 1];
    err!(k.socketcall32(&mut low, C::Accept4, &args)?, EINVAL);
    let args = [listener as u32, 0, 0, (NB | libc::SOCK_CLOEXEC) as u32];
    let s = ok!(k.socketcall32(&mut low, C::Accept4, &args)?);
    ret!(k.fcntl(s, libc::F_GETFD, 0), libc::FD_CLOEXEC);
    ret!(
        k.fcntl(s, libc::F_GETFL, 0),
        libc::O_RDWR | libc::O_NONBLOCK
    );
    let other = ok!(k.socket(AF_INET, SOCK_STREAM, 0)) as u32;
    ret!(k.socketcall32(&mut low, C::Listen, &[other, 5])?, 0);
    Ok(())
}

fn socketpair_and_shutdown(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    let (a, b) = pair32(k, &mut low, SOCK_STREAM)?;
    ret!(
        k.socketcall32(&mut low, C::Shutdown, &[a, libc::SHUT_WR as u32])?,
        0
    );
    ret!(k.recv(Fd::from(b), &mut [0; 4], 0), 0);
    err!(k.socketcall32(&mut low, C::Shutdown, &[a, 9])?, EINVAL);
    let args = [AF_UNIX as u32, SOCK_STREAM as u32, 0, BAD];
    err!(k.socketcall32(&mut low, C::Socketpair, &args)?, EFAULT);
    Ok(())
}

fn send_and_recv(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    let (a, b) = pair32(k, &mut low, SOCK_DGRAM)?;
    let data = low.put(b"hello");
    ret!(k.socketcall32(&mut low, C::Send, &[a, data, 5, 0])?, 5);
    let buf = low.put(&[0; 8]);
    ret!(
        k.socketcall32(&mut low, C::Recv, &[b, buf, 8, libc::MSG_PEEK as u32])?,
        5
    );
    eq!(low.read(buf, 5), b"hello");
    ret!(
        k.socketcall32(&mut low, C::Recv, &[b, buf, 2, libc::MSG_TRUNC as u32])?,
        5
    );
    err!(k.socketcall32(&mut low, C::Recv, &[b, buf, 8, 0])?, EAGAIN);
    err!(k.socketcall32(&mut low, C::Send, &[a, BAD, 5, 0])?, EFAULT);
    Ok(())
}

fn sendto_and_recvfrom(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    let (to, addr) = k.udp(AF_INET)?;
    let (from, from_addr) = k.udp(AF_INET)?;
    let data = low.put(b"hello");
    let dest = low.put(&addr.0);
    ret!(
        k.socketcall32(&mut low, C::Sendto, &[from as u32, data, 5, 0, dest, 16])?,
        5
    );
    let buf = low.put(&[0; 8]);
    let name = low.put(&[0; 32]);
    let len = low.words(&[32]);
    ret!(
        k.socketcall32(&mut low, C::Recvfrom, &[to as u32, buf, 8, 0, name, len])?,
        5
    );
    eq!(low.word(len), 16);
    eq!(Addr(low.read(name, 16)), from_addr);
    err!(
        k.socketcall32(&mut low, C::Sendto, &[from as u32, data, 5, 0, BAD, 16])?,
        EFAULT
    );
    Ok(())
}

fn options(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0)) as u32;
    let level = SOL_SOCKET as u32;
    let on = low.words(&[1]);
    let args = [fd, level, libc::SO_KEEPALIVE as u32, on, 4];
    ret!(k.socketcall32(&mut low, C::Setsockopt, &args)?, 0);
    let value = low.words(&[0]);
    let len = low.words(&[4]);
    let args = [fd, level, libc::SO_KEEPALIVE as u32, value, len];
    ret!(k.socketcall32(&mut low, C::Getsockopt, &args)?, 0);
    eq!((low.word(value), low.word(len)), (1, 4));
    let args = [fd, level, 999, on, 4];
    err!(k.socketcall32(&mut low, C::Setsockopt, &args)?, ENOPROTOOPT);
    let args = [fd, level, libc::SO_TYPE as u32, BAD, len];
    err!(k.socketcall32(&mut low, C::Getsockopt, &args)?, EFAULT);
    // SO_SNDBUF's minimum is a matter of the kernel, not of the caller.
    let zero = low.words(&[0]);
    let args = [fd, level, libc::SO_SNDBUF as u32, zero, 4];
    ret!(k.socketcall32(&mut low, C::Setsockopt, &args)?, 0);
    eq!(k.get_int(Fd::from(fd), SOL_SOCKET, libc::SO_SNDBUF)?, 4608);
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

fn direct_numbers(k: &mut dyn Kernel) -> Outcome {
    // Since Linux 4.3 i386 has numbers of its own for the calls, 359 to 373.
    let mut low = Low::new();
    let fd = ok!(k.call32(359, &[AF_INET as u32, SOCK_STREAM as u32, 0])?) as u32;
    let sv = low.words(&[0, 0]);
    ret!(
        k.call32(360, &[AF_UNIX as u32, SOCK_DGRAM as u32, 0, sv])?,
        0
    );
    let addr = low.put(&Addr::lo4(0).0);
    ret!(k.call32(361, &[fd, addr, 16])?, 0);
    ret!(k.call32(363, &[fd, 1])?, 0);
    let name = low.put(&[0; 16]);
    let len = low.words(&[16]);
    ret!(k.call32(367, &[fd, name, len])?, 0);
    let client = k.tcp_socket(AF_INET, NB)? as u32;
    err!(k.call32(362, &[client, name, 16])?, EINPROGRESS);
    let s = ok!(k.call32(364, &[fd, 0, 0, NB as u32])?) as u32;
    ret!(k.call32(368, &[s, name, len])?, 0);
    let data = low.put(b"data");
    ret!(k.call32(369, &[client, data, 4, 0, 0, 0])?, 4);
    let buf = low.put(&[0; 8]);
    let mut got = k.call32(371, &[s, buf, 8, 0, 0, 0])?;
    if got == -i64::from(libc::EAGAIN) {
        k.pause(std::time::Duration::from_millis(20));
        got = k.call32(371, &[s, buf, 8, 0, 0, 0])?;
    }
    ret!(got, 4);
    let msg = msghdr(&mut low, (0, 0), &[(data, 4)], (0, 0));
    ret!(k.call32(370, &[low.word(sv), msg, 0])?, 4);
    ret!(k.call32(372, &[low.word(sv + 4), msg, 0])?, 4);
    let on = low.words(&[1]);
    ret!(
        k.call32(
            366,
            &[fd, SOL_SOCKET as u32, libc::SO_KEEPALIVE as u32, on, 4]
        )?,
        0
    );
    let one = low.words(&[4]);
    let level = SOL_SOCKET as u32;
    ret!(
        k.call32(365, &[fd, level, libc::SO_KEEPALIVE as u32, on, one])?,
        0
    );
    ret!(k.call32(373, &[s, libc::SHUT_WR as u32])?, 0);
    Ok(())
}

fn errors_are_the_same(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    err!(
        k.socketcall32(&mut low, C::Socket, &[4711, 1, 0])?,
        EAFNOSUPPORT
    );
    err!(
        k.socketcall32(&mut low, C::Socket, &[AF_INET as u32, 0x11, 0])?,
        EINVAL
    );
    let minus_one = u32::MAX;
    for (call, args) in [
        (C::Bind, vec![minus_one, 0, 0]),
        (C::Listen, vec![minus_one, 0]),
        (C::Accept, vec![minus_one, 0, 0]),
        (C::Getsockname, vec![minus_one, 0, 0]),
        (C::Send, vec![minus_one, 0, 0, 0]),
        (C::Recvfrom, vec![minus_one, 0, 0, 0, 0, 0]),
        (C::Shutdown, vec![minus_one, 0]),
        (C::Setsockopt, vec![minus_one, 1, 1, 0, 4]),
        (C::Getsockopt, vec![minus_one, 1, 1, 0, 0]),
        (C::Sendmsg, vec![minus_one, 0, 0]),
        (C::Sendmmsg, vec![minus_one, 0, 1, 0]),
    ] {
        let got = k.socketcall32(&mut low, call, &args)?;
        check!(got == -i64::from(libc::EBADF), "{call:?}: {got}");
    }
    Ok(())
}

fn high_call_bits(k: &mut dyn Kernel) -> Outcome {
    let mut low = Low::new();
    let block = low.words(&[AF_INET as u32, SOCK_STREAM as u32, 0]);
    err!(k.socketcall32_at(1 | 1 << 31, block)?, EINVAL);
    ok!(k.socketcall32_at(1, block)?);
    Ok(())
}
