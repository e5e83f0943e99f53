//! AF_UNIX names: abstract, autobound, unnamed, and what addresses are refused.

use crate::addr::Addr;
use crate::check::{Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use libc::{AF_INET, AF_UNIX, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM};

tests! {
    autobind_gives_five_hex_digits,
    autobind_names_differ,
    autobind_again_is_fine,
    bind_after_autobind,
    abstract_name_is_returned_exactly,
    abstract_length_is_part_of_the_name,
    abstract_longest,
    abstract_in_use,
    abstract_freed_by_close,
    abstract_type_is_part_of_the_name,
    abstract_shortest,
    bind_bad_lengths,
    bind_bad_family,
    bind_twice,
    accepted_does_not_hold_the_name,
    connect_nobody,
    connect_bad_addresses,
    connect_unspec_stream,
    connect_twice,
    connect_listening_socket,
    connect_bound_but_not_listening,
    connect_client_stays_unnamed,
    connect_to_itself,
    backlog_full_is_eagain,
    backlog_frees_with_accept,
    connect_blocks_when_full [THREADS],
    datagram_name_of_sender,
    name_survives_unlink_of_listener,
}

const KINDS: [i32; 3] = [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET];

fn autobind_gives_five_hex_digits(k: &mut dyn Kernel) -> Outcome {
    for kind in KINDS {
        let fd = ok!(k.socket(AF_UNIX, kind, 0));
        ret!(k.bind(fd, &Addr::unix(b"")), 0);
        let name = k.sockname(fd)?;
        eq!(name.len(), 8);
        check!(name.0[2] == 0, "{name:?}");
        let hex = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
        check!(name.0[3..].iter().all(hex), "{name:?}");
    }
    Ok(())
}

fn autobind_names_differ(k: &mut dyn Kernel) -> Outcome {
    let mut seen = Vec::new();
    for _ in 0..20 {
        let fd = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
        ret!(k.bind(fd, &Addr::unix(b"")), 0);
        let name = k.sockname(fd)?;
        check!(!seen.contains(&name), "{name:?} was given twice");
        seen.push(name);
    }
    Ok(())
}

fn autobind_again_is_fine(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
    ret!(k.bind(fd, &Addr::unix(b"")), 0);
    let name = k.sockname(fd)?;
    // A socket that has a name already keeps it, and that is a success.
    ret!(k.bind(fd, &Addr::unix(b"")), 0);
    eq!(k.sockname(fd)?, name);
    let (named, name) = k.unix_bound(SOCK_DGRAM, "named")?;
    ret!(k.bind(named, &Addr::unix(b"")), 0);
    eq!(k.sockname(named)?, name);
    Ok(())
}

fn bind_after_autobind(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    ret!(k.bind(fd, &Addr::unix(b"")), 0);
    err!(k.bind(fd, &Addr::fresh_abstract("second")), EINVAL);
    Ok(())
}

fn abstract_name_is_returned_exactly(k: &mut dyn Kernel) -> Outcome {
    for tail in [&b"\0"[..], b"a\0b", b"trailing\0\0", b"\xff\xfe", b"\0\0\0"] {
        let fd = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
        let mut addr = Addr::fresh_abstract("exact");
        addr.0.extend(tail);
        ret!(k.bind(fd, &addr), 0);
        eq!(k.sockname(fd)?, addr);
    }
    Ok(())
}

fn abstract_length_is_part_of_the_name(k: &mut dyn Kernel) -> Outcome {
    let addr = Addr::fresh_abstract("length");
    let longer = addr.padded(addr.len() + 1);
    let a = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
    let b = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
    ret!(k.bind(a, &addr), 0);
    ret!(k.bind(b, &longer), 0);
    let c = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
    ret!(k.sendto(c, b"to a", 0, &addr), 4);
    ret!(k.sendto(c, b"to b!", 0, &longer), 5);
    eq!(k.recv_now(a)?, b"to a");
    eq!(k.recv_now(b)?, b"to b!");
    Ok(())
}

fn abstract_longest(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    let addr = Addr::fresh_abstract("long").padded(110);
    err!(k.bind(fd, &addr.padded(111)), EINVAL);
    ret!(k.bind(fd, &addr), 0);
    eq!(k.sockname(fd)?, addr);
    Ok(())
}

fn abstract_in_use(k: &mut dyn Kernel) -> Outcome {
    for kind in KINDS {
        let (_fd, addr) = k.unix_bound(kind, "taken")?;
        let other = ok!(k.socket(AF_UNIX, kind, 0));
        err!(k.bind(other, &addr), EADDRINUSE);
        // It is unbound still.
        eq!(k.sockname(other)?, Addr::unix(b""));
        ret!(k.bind(other, &Addr::fresh_abstract("free")), 0);
    }
    Ok(())
}

fn abstract_freed_by_close(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.unix_bound(SOCK_STREAM, "freed")?;
    k.close(fd);
    let again = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    ret!(k.bind(again, &addr), 0);
    Ok(())
}

fn abstract_type_is_part_of_the_name(k: &mut dyn Kernel) -> Outcome {
    let (stream, addr) = k.unix_bound(SOCK_STREAM, "typed")?;
    ret!(k.listen(stream, 1), 0);
    let dgram = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
    // The other types do not see it: refused, where a path would say EPROTOTYPE.
    err!(k.connect(dgram, &addr), ECONNREFUSED);
    ret!(k.bind(dgram, &addr), 0);
    let seq = ok!(k.socket(AF_UNIX, SOCK_SEQPACKET, 0));
    err!(k.connect(seq, &addr), ECONNREFUSED);
    Ok(())
}

fn abstract_shortest(k: &mut dyn Kernel) -> Outcome {
    // A NUL and nothing else is a name. Anything may hold it, so only try.
    let fd = ok!(k.socket(AF_UNIX, SOCK_SEQPACKET, 0));
    let got = k.bind(fd, &Addr::unix(b"\0"));
    check!(
        got == 0 || got == -i64::from(libc::EADDRINUSE),
        "bind = {got}"
    );
    if got == 0 {
        eq!(k.sockname(fd)?, Addr::unix(b"\0"));
    }
    Ok(())
}

fn bind_bad_lengths(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    let addr = Addr::fresh_abstract("bad").padded(128);
    for len in [0, 1, 111, 128] {
        err!(k.bind(fd, &addr.cut(len)), EINVAL);
    }
    Ok(())
}

fn bind_bad_family(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    let addr = Addr::fresh_abstract("family");
    err!(k.bind(fd, &addr.with_family(AF_INET)), EINVAL);
    err!(k.bind(fd, &addr.with_family(libc::AF_UNSPEC)), EINVAL);
    err!(k.bind(fd, &Addr::unix(b"").with_family(AF_INET)), EINVAL);
    Ok(())
}

fn bind_twice(k: &mut dyn Kernel) -> Outcome {
    for kind in KINDS {
        let (fd, addr) = k.unix_bound(kind, "twice")?;
        err!(k.bind(fd, &Addr::fresh_abstract("other")), EINVAL);
        err!(k.bind(fd, &addr), EINVAL);
        eq!(k.sockname(fd)?, addr);
    }
    Ok(())
}

fn accepted_does_not_hold_the_name(k: &mut dyn Kernel) -> Outcome {
    let (_client, server, listener, addr) = k.unix_connected(SOCK_STREAM)?;
    k.close(listener);
    eq!(k.sockname(server)?, addr.clone());
    let again = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    ret!(k.bind(again, &addr), 0);
    Ok(())
}

fn connect_nobody(k: &mut dyn Kernel) -> Outcome {
    for kind in KINDS {
        let fd = ok!(k.socket(AF_UNIX, kind, 0));
        err!(k.connect(fd, &Addr::fresh_abstract("nobody")), ECONNREFUSED);
    }
    let fd = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
    err!(
        k.sendto(fd, b"x", 0, &Addr::fresh_abstract("nobody")),
        ECONNREFUSED
    );
    Ok(())
}

fn connect_bad_addresses(k: &mut dyn Kernel) -> Outcome {
    let addr = Addr::fresh_abstract("bad").padded(128);
    for kind in KINDS {
        let fd = ok!(k.socket(AF_UNIX, kind, 0));
        for len in [0, 1, 2, 111, 128] {
            err!(k.connect(fd, &addr.cut(len)), EINVAL);
        }
        err!(k.connect(fd, &addr.cut(20).with_family(AF_INET)), EINVAL);
    }
    Ok(())
}

fn connect_unspec_stream(k: &mut dyn Kernel) -> Outcome {
    // Only datagram sockets can be disconnected.
    let (a, _b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    err!(k.connect(a, &Addr::unspec()), EINVAL);
    let fd = ok!(k.socket(AF_UNIX, SOCK_SEQPACKET, 0));
    err!(k.connect(fd, &Addr::unspec()), EINVAL);
    Ok(())
}

fn connect_twice(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_STREAM, SOCK_SEQPACKET] {
        let (client, server, _l, addr) = k.unix_connected(kind)?;
        err!(k.connect(client, &addr), EISCONN);
        err!(k.connect(server, &addr), EISCONN);
        // Who is asked for is looked up first.
        err!(
            k.connect(client, &Addr::fresh_abstract("nobody")),
            ECONNREFUSED
        );
    }
    let (a, _b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    let (_l, addr) = k.unix_listener(SOCK_STREAM, 1)?;
    err!(k.connect(a, &addr), EISCONN);
    Ok(())
}

fn connect_listening_socket(k: &mut dyn Kernel) -> Outcome {
    let (a, _) = k.unix_listener(SOCK_STREAM, 1)?;
    let (_b, addr) = k.unix_listener(SOCK_STREAM, 1)?;
    err!(k.connect(a, &addr), EINVAL);
    Ok(())
}

fn connect_bound_but_not_listening(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_STREAM, SOCK_SEQPACKET] {
        let (_fd, addr) = k.unix_bound(kind, "silent")?;
        let c = ok!(k.socket(AF_UNIX, kind | NB, 0));
        err!(k.connect(c, &addr), ECONNREFUSED);
        eq!(k.so_error(c)?, 0);
    }
    Ok(())
}

fn connect_client_stays_unnamed(k: &mut dyn Kernel) -> Outcome {
    let (client, server, _l, _) = k.unix_connected(SOCK_STREAM)?;
    eq!(k.sockname(client)?, Addr::unix(b""));
    eq!(k.peername(server)?, Addr::unix(b""));
    Ok(())
}

fn connect_to_itself(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.unix_bound(SOCK_DGRAM, "self")?;
    ret!(k.connect(fd, &addr), 0);
    ret!(k.send(fd, b"mirror", 0), 6);
    eq!(k.recv_now(fd)?, b"mirror");
    let (fd, addr) = k.unix_listener(SOCK_STREAM, 1)?;
    err!(k.connect(fd, &addr), EINVAL);
    Ok(())
}

fn backlog_full_is_eagain(k: &mut dyn Kernel) -> Outcome {
    for kind in [SOCK_STREAM, SOCK_SEQPACKET] {
        for backlog in [0, 1, 4] {
            let (_l, addr) = k.unix_listener(kind, backlog)?;
            for _ in 0..=backlog {
                let c = ok!(k.socket(AF_UNIX, kind | NB, 0));
                ret!(k.connect(c, &addr), 0);
            }
            // AF_UNIX has no connection in progress: this socket may simply try again.
            let c = ok!(k.socket(AF_UNIX, kind | NB, 0));
            err!(k.connect(c, &addr), EAGAIN);
            mask_is_fresh(k, c)?;
        }
    }
    Ok(())
}

fn mask_is_fresh(k: &mut dyn Kernel, fd: i64) -> Outcome {
    crate::check::mask!(k, fd, crate::sys::WB | libc::POLLHUP);
    Ok(())
}

fn backlog_frees_with_accept(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.unix_listener(SOCK_STREAM, 0)?;
    let a = ok!(k.socket(AF_UNIX, SOCK_STREAM | NB, 0));
    ret!(k.connect(a, &addr), 0);
    let b = ok!(k.socket(AF_UNIX, SOCK_STREAM | NB, 0));
    err!(k.connect(b, &addr), EAGAIN);
    ok!(k.accept(listener));
    ret!(k.connect(b, &addr), 0);
    Ok(())
}

fn connect_blocks_when_full(k: &mut dyn Kernel) -> Outcome {
    let (listener, addr) = k.unix_listener(SOCK_STREAM, 0)?;
    let a = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    ret!(k.connect(a, &addr), 0);
    let b = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    let Some(mut other) = k.another_thread() else {
        crate::check::skip!("no second thread");
    };
    let to = addr.clone();
    let blocked = std::thread::spawn(move || {
        let other: &mut dyn Kernel = &mut *other;
        other.connect(b, &to)
    });
    k.pause(std::time::Duration::from_millis(30));
    check!(!blocked.is_finished(), "connect returned with a full queue");
    ok!(k.accept(listener));
    ret!(blocked.join().unwrap_or(-1), 0);
    Ok(())
}

fn datagram_name_of_sender(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.unix_bound(SOCK_DGRAM, "to")?;
    let (from, name) = k.unix_bound(SOCK_DGRAM, "from")?;
    ret!(k.sendto(from, b"named", 0, &addr), 5);
    let mut buf = [0; 16];
    eq!(k.recvfrom(to, &mut buf, 0), (5, name));
    // An unnamed sender has no address at all, not even a family.
    let unnamed = ok!(k.socket(AF_UNIX, SOCK_DGRAM, 0));
    ret!(k.sendto(unnamed, b"x", 0, &addr), 1);
    eq!(k.recvfrom(to, &mut buf, 0), (1, Addr(Vec::new())));
    Ok(())
}

fn name_survives_unlink_of_listener(k: &mut dyn Kernel) -> Outcome {
    let (client, _server, listener, addr) = k.unix_connected(SOCK_SEQPACKET)?;
    k.close(listener);
    eq!(k.peername(client)?, addr);
    Ok(())
}
