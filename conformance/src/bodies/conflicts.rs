//! Which binds conflict: SO_REUSEADDR, SO_REUSEPORT, listening, families, as tables.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret, skip};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R, W};
use libc::{AF_INET, AF_INET6, SO_REUSEADDR, SO_REUSEPORT, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET};

tests! {
    tcp_reuseaddr_table,
    tcp_reuseaddr_with_a_listener,
    tcp_second_listen_is_refused,
    tcp_reuseaddr_set_late,
    tcp_reuseaddr_taken_back,
    tcp_reuseport_taken_back,
    tcp_reuseport_remembers_an_address,
    udp_reuseaddr_table,
    reuseport_table,
    reuseport_differs_by_user [ROOT],
    reuseport_differs_by_owner [ROOT],
    udp_reuseport_taken_back,
    udp_reuseport_taken_back_gets_what_it_finds,
    reuseport_tcp_both_listen,
    dual_stack_table,
    v6only_lets_both_bind,
    mapped_address_is_ipv4,
    port_of_connected_socket,
    time_wait_wants_reuseaddr,
    closes_are_in_order,
    time_wait_is_free_for_ephemeral_bind,
    accepted_socket_holds_the_port,
    reuseaddr_bound_pair_may_not_both_connect,
}

struct Binder<'a> {
    k: &'a mut dyn Kernel,
    kind: i32,
}

impl Binder<'_> {
    /// A socket with these options, not yet bound.
    fn with(&mut self, family: i32, options: &[i32]) -> Got<Fd> {
        let fd = ok!(self.k.socket(family, self.kind, 0));
        for option in options {
            ret!(self.k.set_int(fd, SOL_SOCKET, *option, 1), 0);
        }
        Ok(fd)
    }

    /// Whether `second` may be bound while `first` is.
    fn both(&mut self, first: (Addr, &[i32]), second: (Addr, &[i32])) -> Got<bool> {
        let a = self.with(first.0.family(), first.1)?;
        let port = self.k.free_port()?;
        ret!(self.k.bind(a, &first.0.with_port(port)), 0);
        let b = self.with(second.0.family(), second.1)?;
        let got = self.k.bind(b, &second.0.with_port(port));
        check!(
            got == 0 || got == -i64::from(libc::EADDRINUSE),
            "bind = {got}"
        );
        self.k.close(a);
        self.k.close(b);
        Ok(got == 0)
    }
}

fn tcp_reuseaddr_table(k: &mut dyn Kernel) -> Outcome {
    let mut b = Binder {
        k,
        kind: SOCK_STREAM,
    };
    const NONE: &[i32] = &[];
    const REUSE: &[i32] = &[SO_REUSEADDR];
    let (any, lo, lo2) = (Addr::any4(0), Addr::lo4(0), Addr::v4([127, 0, 0, 2], 0));
    for (first, second, want) in [
        ((&any, NONE), (&any, NONE), false),
        ((&any, REUSE), (&any, NONE), false),
        ((&any, NONE), (&any, REUSE), false),
        ((&any, REUSE), (&any, REUSE), true),
        ((&any, REUSE), (&lo, REUSE), true),
        ((&lo, REUSE), (&any, REUSE), true),
        ((&lo, REUSE), (&lo, REUSE), true),
        ((&lo, REUSE), (&lo, NONE), false),
        ((&any, NONE), (&lo, REUSE), false),
        ((&lo, NONE), (&lo2, NONE), true),
    ] {
        let got = b.both((first.0.clone(), first.1), (second.0.clone(), second.1))?;
        check!(got == want, "{first:?} then {second:?}");
    }
    Ok(())
}

fn tcp_reuseaddr_with_a_listener(k: &mut dyn Kernel) -> Outcome {
    for (bound, other, want) in [
        (Addr::lo4(0), Addr::lo4(0), false),
        (Addr::any4(0), Addr::lo4(0), false),
        (Addr::lo4(0), Addr::any4(0), false),
        (Addr::lo4(0), Addr::v4([127, 0, 0, 2], 0), true),
    ] {
        let a = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
        ret!(k.set_int(a, SOL_SOCKET, SO_REUSEADDR, 1), 0);
        ret!(k.bind(a, &bound), 0);
        ret!(k.listen(a, 1), 0);
        let port = k.sockname(a)?.port();
        let b = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
        ret!(k.set_int(b, SOL_SOCKET, SO_REUSEADDR, 1), 0);
        let got = k.bind(b, &other.with_port(port));
        check!(
            (got == 0) == want,
            "{bound:?} listens, bind {other:?} = {got}"
        );
    }
    Ok(())
}

fn tcp_second_listen_is_refused(k: &mut dyn Kernel) -> Outcome {
    let mut b = Binder {
        k,
        kind: SOCK_STREAM,
    };
    let first = b.with(AF_INET, &[SO_REUSEADDR])?;
    let second = b.with(AF_INET, &[SO_REUSEADDR])?;
    ret!(k.bind(first, &Addr::lo4(0)), 0);
    let name = k.sockname(first)?;
    ret!(k.bind(second, &name), 0);
    ret!(k.listen(first, 1), 0);
    err!(k.listen(second, 1), EADDRINUSE);
    // When the first no longer listens, the second may.
    k.close(first);
    ret!(k.listen(second, 1), 0);
    Ok(())
}

fn tcp_reuseaddr_set_late(k: &mut dyn Kernel) -> Outcome {
    // The option counts as it is at the second bind, on both sockets.
    let a = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    ret!(k.bind(a, &Addr::lo4(0)), 0);
    let name = k.sockname(a)?;
    let b = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    ret!(k.set_int(b, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    err!(k.bind(b, &name), EADDRINUSE);
    ret!(k.set_int(a, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    ret!(k.bind(b, &name), 0);
    Ok(())
}

fn stream_with(k: &mut dyn Kernel, option: i32) -> Got<Fd> {
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    ret!(k.set_int(fd, SOL_SOCKET, option, 1), 0);
    Ok(fd)
}

/// The port does not remember SO_REUSEADDR.
fn tcp_reuseaddr_taken_back(k: &mut dyn Kernel) -> Outcome {
    let a = stream_with(k, SO_REUSEADDR)?;
    ret!(k.bind(a, &Addr::lo4(0)), 0);
    let name = k.sockname(a)?;
    ret!(k.set_int(a, SOL_SOCKET, SO_REUSEADDR, 0), 0);
    let b = stream_with(k, SO_REUSEADDR)?;
    err!(k.bind(b, &name), EADDRINUSE);
    ret!(k.listen(a, 1), 0);
    Ok(())
}

/// The port remembers the last one with SO_REUSEPORT (fastreuseport): who is like it is let in.
fn tcp_reuseport_taken_back(k: &mut dyn Kernel) -> Outcome {
    let a = stream_with(k, SO_REUSEPORT)?;
    ret!(k.bind(a, &Addr::lo4(0)), 0);
    let name = k.sockname(a)?;
    ret!(k.set_int(a, SOL_SOCKET, SO_REUSEPORT, 0), 0);
    let b = stream_with(k, SO_REUSEPORT)?;
    ret!(k.bind(b, &name), 0);
    let plain = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    err!(k.bind(plain, &name), EADDRINUSE);
    err!(k.listen(a, 1), EADDRINUSE);
    ret!(k.listen(b, 1), 0);
    let c = stream_with(k, SO_REUSEPORT)?;
    ret!(k.bind(c, &name), 0);
    // One without it has come: nothing is remembered.
    let elsewhere = Addr::v4([127, 0, 0, 2], name.port());
    ret!(k.bind(plain, &elsewhere), 0);
    let d = stream_with(k, SO_REUSEPORT)?;
    err!(k.bind(d, &name), EADDRINUSE);
    Ok(())
}

/// What is remembered is one address; a wildcard is like no other address.
fn tcp_reuseport_remembers_an_address(k: &mut dyn Kernel) -> Outcome {
    let a = stream_with(k, SO_REUSEPORT)?;
    ret!(k.bind(a, &Addr::lo4(0)), 0);
    let name = k.sockname(a)?;
    ret!(k.set_int(a, SOL_SOCKET, SO_REUSEPORT, 0), 0);
    let any = stream_with(k, SO_REUSEPORT)?;
    err!(k.bind(any, &Addr::any4(name.port())), EADDRINUSE);
    let b = stream_with(k, SO_REUSEPORT)?;
    ret!(k.bind(b, &Addr::v4([127, 0, 0, 2], name.port())), 0);
    let c = stream_with(k, SO_REUSEPORT)?;
    err!(k.bind(c, &name), EADDRINUSE);
    Ok(())
}

fn udp_reuseaddr_table(k: &mut dyn Kernel) -> Outcome {
    let mut b = Binder {
        k,
        kind: SOCK_DGRAM,
    };
    const NONE: &[i32] = &[];
    const REUSE: &[i32] = &[SO_REUSEADDR];
    let (any, lo) = (Addr::any4(0), Addr::lo4(0));
    for (first, second, want) in [
        ((&any, NONE), (&any, NONE), false),
        ((&any, REUSE), (&any, NONE), false),
        ((&any, NONE), (&any, REUSE), false),
        ((&any, REUSE), (&any, REUSE), true),
        ((&lo, REUSE), (&lo, REUSE), true),
        ((&lo, REUSE), (&any, NONE), false),
    ] {
        let got = b.both((first.0.clone(), first.1), (second.0.clone(), second.1))?;
        check!(got == want, "{first:?} then {second:?}");
    }
    Ok(())
}

fn reuseport_table(k: &mut dyn Kernel) -> Outcome {
    const NONE: &[i32] = &[];
    const PORT: &[i32] = &[SO_REUSEPORT];
    const ADDR: &[i32] = &[SO_REUSEADDR];
    const BOTH: &[i32] = &[SO_REUSEADDR, SO_REUSEPORT];
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let mut b = Binder { k, kind };
        for (first, second, want) in [
            (PORT, PORT, true),
            (PORT, NONE, false),
            (NONE, PORT, false),
            (PORT, ADDR, false),
            (ADDR, PORT, false),
            (BOTH, PORT, true),
            (BOTH, ADDR, true),
        ] {
            let got = b.both((Addr::lo4(0), first), (Addr::lo4(0), second))?;
            check!(got == want, "type {kind}: {first:?} then {second:?}");
        }
    }
    Ok(())
}

fn reuseport_differs_by_user(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let a = ok!(k.socket(AF_INET, kind, 0));
        ret!(k.set_int(a, SOL_SOCKET, SO_REUSEPORT, 1), 0);
        ret!(k.bind(a, &Addr::lo4(0)), 0);
        let name = k.sockname(a)?;
        // The first stays root's, whoever holds it now.
        if kind == SOCK_DGRAM {
            check!(k.drop_privileges(), "could not become an ordinary user");
            let b = ok!(k.socket(AF_INET, kind, 0));
            ret!(k.set_int(b, SOL_SOCKET, SO_REUSEPORT, 1), 0);
            err!(k.bind(b, &name), EADDRINUSE);
        }
    }
    Ok(())
}

fn reuseport_tcp_both_listen(k: &mut dyn Kernel) -> Outcome {
    let mut b = Binder {
        k,
        kind: SOCK_STREAM,
    };
    let first = b.with(AF_INET, &[SO_REUSEPORT])?;
    let second = b.with(AF_INET, &[SO_REUSEPORT])?;
    ret!(k.bind(first, &Addr::lo4(0)), 0);
    let name = k.sockname(first)?;
    ret!(k.bind(second, &name), 0);
    ret!(k.listen(first, 64), 0);
    ret!(k.listen(second, 64), 0);
    k.nonblocking(first);
    k.nonblocking(second);
    // Connections are spread over both by the hash of their addresses.
    let mut clients = Vec::new();
    for _ in 0..64 {
        let c = k.tcp_socket(AF_INET, crate::scene::NB)?;
        k.connect_now(c, &name)?;
        clients.push(c);
    }
    let mut count = |fd| {
        let mut n = 0;
        while k.accept(fd) >= 0 {
            n += 1;
        }
        n
    };
    let (a, b) = (count(first), count(second));
    check!(a + b == 64 && a > 0 && b > 0, "{a} and {b}");
    Ok(())
}

fn dual_stack_table(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let mut b = Binder { k, kind };
        const NONE: &[i32] = &[];
        for (first, second, want) in [
            // A dual-stack wildcard takes the IPv4 port as well.
            (Addr::any6(0), Addr::any4(0), false),
            (Addr::any6(0), Addr::lo4(0), false),
            (Addr::any4(0), Addr::any6(0), false),
            (Addr::lo4(0), Addr::any6(0), false),
            (Addr::lo6(0), Addr::any4(0), true),
            (Addr::lo6(0), Addr::lo4(0), true),
            (Addr::any4(0), Addr::lo6(0), true),
            (Addr::mapped([127, 0, 0, 1], 0), Addr::lo4(0), false),
            (Addr::mapped([127, 0, 0, 1], 0), Addr::lo6(0), true),
            (Addr::any4(0), Addr::mapped([127, 0, 0, 1], 0), false),
        ] {
            let got = b.both((first.clone(), NONE), (second.clone(), NONE))?;
            check!(got == want, "type {kind}: {first:?} then {second:?}");
        }
    }
    Ok(())
}

fn v6only_lets_both_bind(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let v6 = ok!(k.socket(AF_INET6, kind, 0));
        ret!(k.set_int(v6, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1), 0);
        let port = k.free_port()?;
        ret!(k.bind(v6, &Addr::any6(port)), 0);
        let v4 = ok!(k.socket(AF_INET, kind, 0));
        ret!(k.bind(v4, &Addr::any4(port)), 0);
        let other = ok!(k.socket(AF_INET6, kind, 0));
        err!(k.bind(other, &Addr::any6(port)), EADDRINUSE);
    }
    Ok(())
}

fn mapped_address_is_ipv4(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let fd = ok!(k.socket(AF_INET6, kind, 0));
        ret!(k.set_int(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1), 0);
        err!(k.bind(fd, &Addr::mapped([127, 0, 0, 1], 0)), EINVAL);
    }
    Ok(())
}

fn port_of_connected_socket(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    let name = k.sockname(t.client)?;
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    err!(k.bind(fd, &name), EADDRINUSE);
    ret!(k.set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    // The client's own socket does not allow it.
    err!(k.bind(fd, &name), EADDRINUSE);
    // When both allow it, it is allowed. Another connection of this machine, long closed, may hold
    // the same port in TIME_WAIT: so take more than one.
    let mut got = 0;
    for _ in 0..5 {
        let t = k.tcp(AF_INET)?;
        let name = k.sockname(t.client)?;
        ret!(k.set_int(t.client, SOL_SOCKET, SO_REUSEADDR, 1), 0);
        got = k.bind(fd, &name);
        if got == 0 {
            break;
        }
    }
    check!(got == 0, "bind = {got}");
    Ok(())
}

/// A connection whose server side closed first, so that the server's port is in TIME_WAIT.
fn time_wait(k: &mut dyn Kernel, options: &[i32]) -> Got<Addr> {
    let listener = k.tcp_socket(AF_INET, 0)?;
    for option in options {
        ret!(k.set_int(listener, SOL_SOCKET, *option, 1), 0);
    }
    ret!(k.bind(listener, &Addr::lo4(0)), 0);
    ret!(k.listen(listener, 1), 0);
    let addr = k.sockname(listener)?;
    let client = k.tcp_socket(AF_INET, crate::scene::NB)?;
    k.connect_now(client, &addr)?;
    let server = k.accept_now(listener)?;
    k.close(server);
    let got = k.recv_now(client)?;
    check!(got.is_empty(), "end of file");
    k.close(client);
    k.close(listener);
    Ok(addr)
}

fn time_wait_wants_reuseaddr(k: &mut dyn Kernel) -> Outcome {
    let addr = time_wait(k, &[])?;
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    err!(k.bind(fd, &addr), EADDRINUSE);
    // The connection in TIME_WAIT had not set it, so it does not help either.
    ret!(k.set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    err!(k.bind(fd, &addr), EADDRINUSE);
    let addr = time_wait(k, &[SO_REUSEADDR])?;
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    err!(k.bind(fd, &addr), EADDRINUSE);
    ret!(k.set_int(fd, SOL_SOCKET, SO_REUSEADDR, 1), 0);
    ret!(k.bind(fd, &addr), 0);
    ret!(k.listen(fd, 1), 0);
    Ok(())
}

/// The accepted socket is closed first, right after a call on it, so it is the one that waits.
fn closes_are_in_order(k: &mut dyn Kernel) -> Outcome {
    for _ in 0..5 {
        let (listener, addr) = k.tcp_listener(AF_INET, 1)?;
        let client = k.tcp_socket(AF_INET, crate::scene::NB)?;
        k.connect_now(client, &addr)?;
        let accepted = k.accept_now(listener)?;
        k.sockname(accepted)?;
        for fd in [accepted, client, listener] {
            ret!(k.close(fd), 0);
        }
        let again = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
        err!(k.bind(again, &addr), EADDRINUSE);
        k.close(again);
    }
    Ok(())
}

fn time_wait_is_free_for_ephemeral_bind(k: &mut dyn Kernel) -> Outcome {
    // The client's port is not in TIME_WAIT when the server closed first. Somebody else on the host may take it, once.
    for last in [false, false, true] {
        let (listener, addr) = k.tcp_listener(AF_INET, 1)?;
        let client = k.tcp_socket(AF_INET, crate::scene::NB)?;
        k.connect_now(client, &addr)?;
        let name = k.sockname(client)?;
        let server = k.accept_now(listener)?;
        k.close(server);
        // Closed before that had arrived, both ends would be in TIME_WAIT.
        mask!(k, client, R | W | libc::POLLRDHUP);
        k.close(client);
        k.pause(std::time::Duration::from_millis(10));
        let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
        let got = k.bind(fd, &name);
        if last || got == 0 {
            ret!(got, 0);
            break;
        }
    }
    Ok(())
}

fn accepted_socket_holds_the_port(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    k.close(t.listener);
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    err!(k.bind(fd, &t.addr), EADDRINUSE);
    Ok(())
}

fn reuseaddr_bound_pair_may_not_both_connect(k: &mut dyn Kernel) -> Outcome {
    let (_l, addr) = k.tcp_listener(AF_INET, 4)?;
    let mut b = Binder {
        k,
        kind: SOCK_STREAM | crate::scene::NB,
    };
    let first = b.with(AF_INET, &[SO_REUSEADDR])?;
    let second = b.with(AF_INET, &[SO_REUSEADDR])?;
    ret!(k.bind(first, &Addr::lo4(0)), 0);
    let name = k.sockname(first)?;
    ret!(k.bind(second, &name), 0);
    k.connect_now(first, &addr)?;
    // The four-tuple exists already.
    err!(k.connect(second, &addr), EADDRNOTAVAIL);
    Ok(())
}

/// fchown(2) of a socket (sockfs_setattr).
fn reuseport_differs_by_owner(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_DGRAM, SOCK_STREAM] {
        let mut b = Binder { k, kind };
        let port = b.k.free_port()?;
        let addr = Addr::lo4(port);
        let own = |b: &mut Binder<'_>, uid: u64| -> Got<Fd> {
            let fd = b.with(AF_INET, &[SO_REUSEPORT])?;
            let nobody = u64::from(u32::MAX);
            let got = b.k.call(libc::SYS_fchown, &[fd as u64, uid, nobody]);
            if got == -i64::from(libc::ENOSYS) {
                skip!("no fchown(2)");
            }
            ret!(got, 0);
            Ok(fd)
        };
        let first = own(&mut b, 65_534)?;
        ret!(b.k.bind(first, &addr), 0);
        let root = b.with(AF_INET, &[SO_REUSEPORT])?;
        err!(b.k.bind(root, &addr), EADDRINUSE);
        let other = own(&mut b, 65_533)?;
        err!(b.k.bind(other, &addr), EADDRINUSE);
        let same = own(&mut b, 65_534)?;
        ret!(b.k.bind(same, &addr), 0);
        for fd in [first, root, other, same] {
            b.k.close(fd);
        }
    }
    Ok(())
}

/// udp_lib_lport_inuse(): the first one of the chain decides, which is the newest, but the oldest of IPv6.
fn udp_reuseport_taken_back(k: &mut dyn Kernel) -> Outcome {
    for (local, wild, deciding) in [
        (Addr::lo4(0), Addr::any4(0), 2),
        (Addr::lo6(0), Addr::any6(0), 0),
    ] {
        for off in 0..3 {
            for to in [&local, &wild] {
                let mut b = Binder {
                    k: &mut *k,
                    kind: SOCK_DGRAM,
                };
                let port = b.k.free_port()?;
                let mut all = Vec::new();
                for _ in 0..3 {
                    let fd = b.with(local.family(), &[SO_REUSEPORT])?;
                    ret!(b.k.bind(fd, &local.with_port(port)), 0);
                    all.push(fd);
                }
                ret!(b.k.set_int(all[off], SOL_SOCKET, SO_REUSEPORT, 0), 0);
                let late = b.with(local.family(), &[SO_REUSEPORT])?;
                let got = b.k.bind(late, &to.with_port(port));
                let want = match off == deciding {
                    true => -i64::from(libc::EADDRINUSE),
                    false => 0,
                };
                check!(got == want, "{to:?}, {off} turned off: {got}");
                all.push(late);
                for fd in all {
                    b.k.close(fd);
                }
            }
        }
    }
    Ok(())
}

/// compute_score(): who is found first and has no SO_REUSEPORT any more takes all; else the group does, with who left it.
fn udp_reuseport_taken_back_gets_what_it_finds(k: &mut dyn Kernel) -> Outcome {
    for (local, first) in [(Addr::lo4(0), 1), (Addr::lo6(0), 0)] {
        for off in 0..2 {
            let mut all = Vec::new();
            let mut addr = local.clone();
            for _ in 0..2 {
                let fd = ok!(k.socket(local.family(), SOCK_DGRAM | NB, 0));
                ret!(k.set_int(fd, SOL_SOCKET, SO_REUSEPORT, 1), 0);
                ret!(k.bind(fd, &addr), 0);
                addr = k.sockname(fd)?;
                all.push(fd);
            }
            ret!(k.set_int(all[off], SOL_SOCKET, SO_REUSEPORT, 0), 0);
            for _ in 0..32 {
                let sender = ok!(k.socket(local.family(), SOCK_DGRAM, 0));
                ret!(k.sendto(sender, b"x", 0, &addr), 1);
                k.close(sender);
            }
            let mut got = [0; 2];
            for (n, fd) in all.iter().enumerate() {
                while k.recv(*fd, &mut [0; 4], 0) == 1 {
                    got[n] += 1;
                }
            }
            eq!(got[0] + got[1], 32);
            let alone = got[off] == 32;
            check!(
                alone == (off == first),
                "{addr:?}, {off} turned off: {got:?}"
            );
        }
    }
    Ok(())
}
