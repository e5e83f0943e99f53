//! TCP_MD5SIG and TCP_MD5SIG_EXT (RFC 2385): tcp(7).

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{AF_INET, AF_INET6, IPPROTO_TCP, SOCK_STREAM};
use std::time::Duration;

// Of linux/tcp.h.
const TCP_MD5SIG: i32 = 14;
const TCP_MD5SIG_EXT: i32 = 32;
const FLAG_PREFIX: u8 = 1;
const FLAG_IFINDEX: u8 = 2;
const KEY_MAX: usize = 80;

tests! {
    set_and_removed,
    never_read,
    lengths,
    wrong_family,
    prefixes,
    interfaces,
    mapped_addresses,
    too_many_keys,
    same_key_talks,
    key_of_a_prefix_talks,
    other_key_is_ignored,
    unsigned_is_ignored,
    unexpected_signature_is_ignored,
    closed_port_is_silent,
    key_on_a_connection,
    timestamps_make_room,
    longest_prefix_wins,
}

/// struct tcp_md5sig
#[derive(Clone)]
struct Sig {
    addr: Addr,
    flags: u8,
    prefix: u8,
    interface: i32,
    key: Vec<u8>,
}

impl Sig {
    fn new(addr: Addr, key: &[u8]) -> Sig {
        Sig {
            addr,
            flags: 0,
            prefix: 0,
            interface: 0,
            key: key.to_vec(),
        }
    }

    fn prefix(self, prefix: u8) -> Sig {
        Sig {
            flags: FLAG_PREFIX,
            prefix,
            ..self
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut all = self.addr.0.clone();
        all.resize(128, 0);
        all.extend([self.flags, self.prefix]);
        all.extend((self.key.len() as u16).to_ne_bytes());
        all.extend(self.interface.to_ne_bytes());
        all.extend(&self.key);
        all.resize(136 + KEY_MAX, 0);
        all
    }

    fn set(&self, k: &mut dyn Kernel, fd: Fd) -> i64 {
        let name = if self.flags == 0 {
            TCP_MD5SIG
        } else {
            TCP_MD5SIG_EXT
        };
        k.setsockopt(fd, IPPROTO_TCP, name, &self.bytes())
    }
}

fn lo(family: i32, key: &[u8]) -> Sig {
    Sig::new(Addr::lo(family, 0), key)
}

fn set_and_removed(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let fd = k.tcp_socket(family, 0)?;
        err!(lo(family, b"").set(k, fd), ENOENT);
        ret!(lo(family, b"a secret").set(k, fd), 0);
        ret!(lo(family, b"another").set(k, fd), 0);
        ret!(lo(family, &[7; KEY_MAX]).set(k, fd), 0);
        ret!(lo(family, b"").set(k, fd), 0);
        err!(lo(family, b"").set(k, fd), ENOENT);
        let mut long = lo(family, b"x").bytes();
        long[130..132].copy_from_slice(&81u16.to_ne_bytes());
        err!(k.setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &long), EINVAL);
    }
    let (udp, _) = k.udp(AF_INET)?;
    err!(lo(AF_INET, b"x").set(k, udp), ENOPROTOOPT);
    Ok(())
}

fn never_read(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    ret!(lo(AF_INET, b"a secret").set(k, fd), 0);
    for name in [TCP_MD5SIG, TCP_MD5SIG_EXT] {
        let (got, _) = k.getsockopt(fd, IPPROTO_TCP, name, 216);
        eq!((name, got), (name, -i64::from(libc::ENOPROTOOPT)));
    }
    Ok(())
}

fn lengths(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    let whole = lo(AF_INET, b"a secret").bytes();
    for name in [TCP_MD5SIG, TCP_MD5SIG_EXT] {
        for len in [0, 3, 4, 16, 215] {
            let got = k.setsockopt(fd, IPPROTO_TCP, name, &whole[..len]);
            eq!((len, got), (len, -i64::from(libc::EINVAL)));
        }
        let mut longer = whole.clone();
        longer.extend([1, 2, 3]);
        ret!(k.setsockopt(fd, IPPROTO_TCP, name, &longer), 0);
    }
    Ok(())
}

fn wrong_family(k: &mut dyn Kernel) -> Outcome {
    let four = k.tcp_socket(AF_INET, 0)?;
    let six = k.tcp_socket(AF_INET6, 0)?;
    err!(lo(AF_INET6, b"x").set(k, four), EINVAL);
    err!(lo(AF_INET, b"x").set(k, six), EINVAL);
    for fd in [four, six] {
        err!(k.setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &[0; 216]), EINVAL);
    }
    Ok(())
}

fn prefixes(k: &mut dyn Kernel) -> Outcome {
    for (family, most) in [(AF_INET, 32), (AF_INET6, 128)] {
        let fd = k.tcp_socket(family, 0)?;
        for prefix in [0, 8, most - 1, most] {
            ret!(lo(family, b"x").prefix(prefix).set(k, fd), 0);
        }
        for prefix in [most + 1, 255] {
            err!(lo(family, b"x").prefix(prefix).set(k, fd), EINVAL);
        }
        // Each prefix has a key of its own; a whole one is that of TCP_MD5SIG.
        err!(lo(family, b"").prefix(9).set(k, fd), ENOENT);
        ret!(lo(family, b"").prefix(8).set(k, fd), 0);
        err!(lo(family, b"").prefix(8).set(k, fd), ENOENT);
        ret!(lo(family, b"").set(k, fd), 0);
        err!(lo(family, b"").prefix(most).set(k, fd), ENOENT);
        // TCP_MD5SIG knows no flags.
        let odd = lo(family, b"x").prefix(200).bytes();
        ret!(k.setsockopt(fd, IPPROTO_TCP, TCP_MD5SIG, &odd), 0);
        ret!(lo(family, b"").set(k, fd), 0);
    }
    Ok(())
}

fn interfaces(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    // Only a VRF's interface is one; lo is none.
    for (interface, good) in [(0, true), (1, false), (12_345, false)] {
        let sig = Sig {
            flags: FLAG_IFINDEX,
            interface,
            ..lo(AF_INET, b"x")
        };
        let want = if good { 0 } else { -i64::from(libc::EINVAL) };
        eq!((interface, sig.set(k, fd)), (interface, want));
    }
    Ok(())
}

fn mapped_addresses(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET6, 0)?;
    let mapped = |key: &[u8]| Sig::new(Addr::mapped([127, 0, 0, 0], 0), key);
    ret!(mapped(b"x").prefix(8).set(k, fd), 0);
    ret!(mapped(b"x").prefix(32).set(k, fd), 0);
    for prefix in [33, 104, 128] {
        err!(mapped(b"x").prefix(prefix).set(k, fd), EINVAL);
    }
    ret!(mapped(b"").set(k, fd), 0);
    err!(mapped(b"").prefix(32).set(k, fd), ENOENT);
    Ok(())
}

fn too_many_keys(k: &mut dyn Kernel) -> Outcome {
    let fd = k.tcp_socket(AF_INET, 0)?;
    let room: i64 = ok_number(&k.get_tunable("core/optmem_max")?)?;
    let mut set = 0;
    let refused = loop {
        let addr = Addr::v4([10, 0, (set >> 8) as u8, set as u8], 0);
        match Sig::new(addr, b"k").set(k, fd) {
            0 => set += 1,
            refused => break refused,
        }
    };
    eq!(refused, -i64::from(libc::ENOMEM));
    // sizeof(struct tcp_md5sig_key)
    eq!(set, (room - 1) / 136);
    ret!(Sig::new(Addr::v4([10, 0, 0, 0], 0), b"").set(k, fd), 0);
    ret!(lo(AF_INET, b"k").set(k, fd), 0);
    Ok(())
}

fn ok_number(text: &str) -> Got<i64> {
    match text.parse() {
        Ok(number) => Ok(number),
        Err(_) => crate::check::verdict::fail(crate::check::here!(), text.to_owned()),
    }
}

/// A listener with a key, and where it is.
fn listener(k: &mut dyn Kernel, family: i32, sig: Option<Sig>) -> Got<(Fd, Addr)> {
    let fd = k.tcp_socket(family, NB)?;
    ok!(k.bind(fd, &Addr::lo(family, 0)));
    if let Some(sig) = sig {
        ok!(sig.set(k, fd));
    }
    ok!(k.listen(fd, 5));
    let addr = k.sockname(fd)?;
    Ok((fd, addr))
}

/// A non-blocking client with a key, which begins to connect.
fn client(k: &mut dyn Kernel, family: i32, sig: Option<Sig>, to: &Addr) -> Got<Fd> {
    let fd = ok!(k.socket(family, SOCK_STREAM | NB, 0));
    if let Some(sig) = sig {
        ok!(sig.set(k, fd));
    }
    let got = k.connect(fd, to);
    check!(got == 0 || got == -i64::from(libc::EINPROGRESS), "{got}");
    Ok(fd)
}

/// Nobody comes, and nobody is told.
fn silent(k: &mut dyn Kernel, listener: Option<Fd>, client: Fd) -> Outcome {
    k.pause(Duration::from_millis(50));
    if let Some(listener) = listener {
        err!(k.accept(listener), EAGAIN);
    }
    eq!(k.get_int(client, libc::SOL_SOCKET, libc::SO_ERROR)?, 0);
    let (mut addr, mut len) = ([0u8; 64], 64u32);
    let at = (addr.as_mut_ptr() as u64, &raw mut len as u64);
    err!(k.getpeername_raw(client, at.0, at.1), ENOTCONN);
    Ok(())
}

/// Data each way, and the end.
fn talk(k: &mut dyn Kernel, listener: Fd, client: Fd) -> Outcome {
    let server = k.accept_now(listener)?;
    let big = vec![5; 100_000];
    for (from, to) in [(client, server), (server, client)] {
        ret!(k.send(from, b"hello", 0), 5);
        eq!(k.recv_now(to)?, b"hello");
        let sent = k.send(from, &big, 0);
        check!(sent > 0, "{sent}");
        eq!(k.drain_all(to, sent as usize)? as i64, sent);
    }
    ret!(k.close(client), 0);
    eq!(k.recv_now(server)?, b"");
    ret!(k.close(server), 0);
    Ok(())
}

fn same_key_talks(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (l, to) = listener(k, family, Some(lo(family, b"a secret")))?;
        let c = client(k, family, Some(lo(family, b"a secret")), &to)?;
        talk(k, l, c)?;
    }
    Ok(())
}

fn key_of_a_prefix_talks(k: &mut dyn Kernel) -> Outcome {
    let net = Sig::new(Addr::v4([127, 0, 0, 0], 0), b"a secret").prefix(8);
    let (l, to) = listener(k, AF_INET, Some(net))?;
    let c = client(k, AF_INET, Some(lo(AF_INET, b"a secret")), &to)?;
    talk(k, l, c)?;
    let any = lo(AF_INET6, b"six").prefix(0);
    let (l, to) = listener(k, AF_INET6, Some(any.clone()))?;
    let c = client(k, AF_INET6, Some(any), &to)?;
    talk(k, l, c)
}

fn other_key_is_ignored(k: &mut dyn Kernel) -> Outcome {
    let (l, to) = listener(k, AF_INET, Some(lo(AF_INET, b"a secret")))?;
    let c = client(k, AF_INET, Some(lo(AF_INET, b"A secret")), &to)?;
    silent(k, Some(l), c)
}

fn unsigned_is_ignored(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (l, to) = listener(k, family, Some(lo(family, b"a secret")))?;
        let c = client(k, family, None, &to)?;
        silent(k, Some(l), c)?;
    }
    Ok(())
}

fn unexpected_signature_is_ignored(k: &mut dyn Kernel) -> Outcome {
    let (l, to) = listener(k, AF_INET, None)?;
    let c = client(k, AF_INET, Some(lo(AF_INET, b"a secret")), &to)?;
    silent(k, Some(l), c)?;
    // The key of another address is none.
    let other = Sig::new(Addr::v4([127, 0, 0, 9], 0), b"a secret");
    let (l, to) = listener(k, AF_INET, Some(other))?;
    let c = client(k, AF_INET, Some(lo(AF_INET, b"a secret")), &to)?;
    silent(k, Some(l), c)
}

fn closed_port_is_silent(k: &mut dyn Kernel) -> Outcome {
    // Nobody there can sign a reset.
    let to = k.closed_port(AF_INET, SOCK_STREAM)?;
    let c = client(k, AF_INET, Some(lo(AF_INET, b"a secret")), &to)?;
    silent(k, None, c)
}

fn key_on_a_connection(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(lo(AF_INET, b"later").set(k, t.client), 0);
    ret!(k.send(t.client, b"x", 0), 1);
    k.pause(Duration::from_millis(20));
    err!(k.recv(t.server, &mut [0; 9], libc::MSG_DONTWAIT), EAGAIN);
    ret!(lo(AF_INET, b"later").set(k, t.server), 0);
    // The retransmission is understood.
    eq!(k.recv_now_within(t.server, Duration::from_secs(3))?, b"x");
    ret!(k.send(t.server, b"yz", 0), 2);
    eq!(k.recv_now_within(t.client, Duration::from_secs(3))?, b"yz");
    // Without keys they go on as before.
    for fd in [t.client, t.server] {
        ret!(lo(AF_INET, b"").set(k, fd), 0);
    }
    ret!(k.send(t.client, b"x", 0), 1);
    eq!(k.recv_now(t.server)?, b"x");
    Ok(())
}

fn timestamps_make_room(k: &mut dyn Kernel) -> Outcome {
    const TCPI_OPT_TIMESTAMPS: u8 = 1;
    for sig in [None, Some(lo(AF_INET, b"a secret"))] {
        let (l, to) = listener(k, AF_INET, sig.clone())?;
        let c = client(k, AF_INET, sig.clone(), &to)?;
        let server = k.accept_now(l)?;
        for fd in [c, server] {
            let (_, info) = k.getsockopt(fd, IPPROTO_TCP, libc::TCP_INFO, 64);
            eq!(info[5] & TCPI_OPT_TIMESTAMPS != 0, sig.is_none());
        }
    }
    Ok(())
}

fn longest_prefix_wins(k: &mut dyn Kernel) -> Outcome {
    let (l, to) = listener(k, AF_INET, Some(lo(AF_INET, b"exact")))?;
    let net = Sig::new(Addr::v4([127, 0, 0, 0], 0), b"net").prefix(8);
    ret!(net.set(k, l), 0);
    ret!(Sig::new(Addr::v4([0; 4], 0), b"any").prefix(0).set(k, l), 0);
    let c = client(k, AF_INET, Some(lo(AF_INET, b"net")), &to)?;
    silent(k, Some(l), c)?;
    let c = client(k, AF_INET, Some(lo(AF_INET, b"exact")), &to)?;
    talk(k, l, c)?;
    ret!(lo(AF_INET, b"").set(k, l), 0);
    let c = client(k, AF_INET, Some(lo(AF_INET, b"net")), &to)?;
    talk(k, l, c)
}
