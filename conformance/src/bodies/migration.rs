//! What a listener of a SO_REUSEPORT group leaves behind: net.ipv4.tcp_migrate_req, and programs that are loaded with
//! BPF_SK_REUSEPORT_SELECT_OR_MIGRATE.

use super::bpf::{key, needed};
use super::sysctl_effects::with;
use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::ebpf::{
    ARRAY, EXIT, REUSEPORT_SOCKARRAY, SK_REUSEPORT, SOCKET_FILTER, call, insn, map_fd, mov, mov_reg,
};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R};
use libc::{AF_INET, IPPROTO_TCP, SHUT_RD, SOCK_STREAM, SOL_SOCKET, TCP_DEFER_ACCEPT};

tests! {
    accepted_connections_stay_without [ROOT],
    accepted_connections_move [ROOT],
    backlog_is_not_asked [ROOT],
    late_comer_takes_nothing [ROOT],
    waiting_accept_wakes [ROOT | THREADS],
    half_open_moves_with_its_data [ROOT],
    half_open_moves_by_its_timer [ROOT | TIMEOUTS],
    fast_open_moves [ROOT],
    attach_types [ROOT],
    sockets_in_a_program [ROOT],
    program_moves [ROOT],
    program_refuses [ROOT],
    program_that_only_selects [ROOT],
    program_knows_the_states [ROOT],
    shut_listener_leaves_its_sockarray [ROOT],
}

const MIGRATE: &str = "ipv4/tcp_migrate_req";
const SELECT: u32 = 39;
const SELECT_OR_MIGRATE: u32 = 40;
const ATTACH_GROUP: i32 = libc::SO_ATTACH_REUSEPORT_EBPF;
const TCP_FASTOPEN: i32 = 23;

fn listener(k: &mut dyn Kernel, addr: &Addr, backlog: i32, defer: i32) -> Got<Fd> {
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM | NB, 0));
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_REUSEPORT, 1), 0);
    if defer > 0 {
        ret!(k.set_int(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, defer), 0);
    }
    ret!(k.bind(fd, addr), 0);
    ret!(k.listen(fd, backlog), 0);
    Ok(fd)
}

/// A listener with so many connections that nobody has accepted.
fn crowded(k: &mut dyn Kernel, defer: i32, connections: usize) -> Got<(Fd, Addr, Vec<Fd>)> {
    let first = listener(k, &Addr::lo4(0), 8, defer)?;
    let addr = k.sockname(first)?;
    let mut clients = Vec::new();
    for _ in 0..connections {
        let client = k.tcp_socket(AF_INET, NB)?;
        k.connect_now(client, &addr)?;
        clients.push(client);
    }
    Ok((first, addr, clients))
}

fn accepted(k: &mut dyn Kernel, listener: Fd) -> usize {
    let mut n = 0;
    while k.accept(listener) >= 0 {
        n += 1;
    }
    n
}

/// TCPMigrateReqSuccess and TCPMigrateReqFailure.
fn counted(k: &mut dyn Kernel) -> Got<(u64, u64)> {
    let text = k.file_text("/proc/net/netstat")?;
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let value = |wanted: &str| {
        let at = names.split(' ').position(|name| name == wanted)?;
        values.split(' ').nth(at)?.parse().ok()
    };
    let found = value("TCPMigrateReqSuccess").zip(value("TCPMigrateReqFailure"));
    check!(found.is_some(), "{names}");
    Ok(found.unwrap_or_default())
}

fn accepted_connections_stay_without(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let before = counted(k)?;
    let (first, addr, clients) = crowded(k, 0, 3)?;
    let second = listener(k, &addr, 8, 0)?;
    ret!(k.close(first), 0);
    eq!(accepted(k, second), 0);
    for client in clients {
        eq!(k.so_error(client)?, libc::ECONNRESET);
    }
    eq!(counted(k)?, before);
    Ok(())
}

fn accepted_connections_move(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    with(k, MIGRATE, "1", |k| {
        for shut in [false, true] {
            let before = counted(k)?;
            let (first, addr, clients) = crowded(k, 0, 3)?;
            let second = listener(k, &addr, 8, 0)?;
            eq!(k.polled(second, libc::POLLIN), 0);
            match shut {
                true => ret!(k.shutdown(first, SHUT_RD), 0),
                false => ret!(k.close(first), 0),
            }
            mask!(k, second, R);
            ret!(k.send(clients[0], b"hello", 0), 5);
            let server = k.accept_now(second)?;
            eq!(accepted(k, second), 2);
            for client in &clients {
                eq!(k.so_error(*client)?, 0);
            }
            ret!(k.recv(server, &mut [0; 9], 0), 5);
            eq!(counted(k)?, (before.0 + 3, before.1));
            // Nobody is left to take what the last one had.
            let late = k.tcp_socket(AF_INET, NB)?;
            k.connect_now(late, &addr)?;
            ret!(k.close(second), 0);
            eq!(k.so_error(late)?, libc::ECONNRESET);
            eq!(counted(k)?, (before.0 + 3, before.1 + 1));
        }
        Ok(())
    })
}

fn backlog_is_not_asked(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    with(k, MIGRATE, "1", |k| {
        let (first, addr, _clients) = crowded(k, 0, 5)?;
        let second = listener(k, &addr, 1, 0)?;
        ret!(k.close(first), 0);
        eq!(accepted(k, second), 5);
        Ok(())
    })
}

/// Who listens after the last one ended is of another group.
fn late_comer_takes_nothing(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    with(k, MIGRATE, "1", |k| {
        let (first, addr, clients) = crowded(k, 30, 1)?;
        ret!(k.close(first), 0);
        let second = listener(k, &addr, 8, 0)?;
        ret!(k.send(clients[0], b"x", 0), 1);
        eq!(k.so_error(clients[0])?, libc::ECONNRESET);
        eq!(accepted(k, second), 0);
        Ok(())
    })
}

fn waiting_accept_wakes(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    with(k, MIGRATE, "1", |k| {
        let (first, addr, _clients) = crowded(k, 0, 1)?;
        let second = listener(k, &addr, 8, 0)?;
        super::waiting::blocking(k, second);
        let thread = super::waiting::meanwhile(k, move |k| k.accept(second))?;
        ret!(k.close(first), 0);
        let got = thread.join();
        check!(matches!(got, Ok(fd) if fd >= 0), "{got:?}");
        Ok(())
    })
}

/// TCP_DEFER_ACCEPT keeps a request half-open until there is data.
fn half_open_moves_with_its_data(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let (first, addr, clients) = crowded(k, 30, 1)?;
    let second = listener(k, &addr, 8, 0)?;
    ret!(k.close(first), 0);
    ret!(k.send(clients[0], b"x", 0), 1);
    eq!(k.so_error(clients[0])?, libc::ECONNRESET);
    eq!(accepted(k, second), 0);
    with(k, MIGRATE, "1", |k| {
        let before = counted(k)?;
        for shut in [false, true] {
            let (first, addr, clients) = crowded(k, 30, 2)?;
            // It may come after the request.
            let second = listener(k, &addr, 8, 0)?;
            match shut {
                true => ret!(k.shutdown(first, SHUT_RD), 0),
                false => ret!(k.close(first), 0),
            }
            eq!(accepted(k, second), 0);
            ret!(k.send(clients[0], b"x", 0), 1);
            let server = k.accept_now(second)?;
            ret!(k.recv(server, &mut [0; 4], 0), 1);
            eq!(accepted(k, second), 0);
            // A full queue takes none, and the request waits on.
            eq!(k.so_error(clients[1])?, 0);
        }
        eq!(counted(k)?, (before.0 + 2, before.1));
        Ok(())
    })
}

fn half_open_moves_by_its_timer(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    with(k, MIGRATE, "1", |k| {
        let (first, addr, _clients) = crowded(k, 30, 1)?;
        let second = listener(k, &addr, 8, 0)?;
        ret!(k.close(first), 0);
        // The SYN-ACK is sent again for who does not defer, and answered.
        let mut fds = [libc::pollfd {
            fd: second as i32,
            events: libc::POLLIN,
            revents: 0,
        }];
        ret!(k.poll(&mut fds, 5000), 1);
        eq!(accepted(k, second), 1);
        Ok(())
    })
}

fn fast_open_moves(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    // 0x207: clients and listeners, neither of which wants a cookie.
    with(k, "ipv4/tcp_fastopen", "519", |k| {
        with(k, MIGRATE, "1", |k| {
            let first = listener(k, &Addr::lo4(0), 8, 0)?;
            ret!(k.set_int(first, IPPROTO_TCP, TCP_FASTOPEN, 4), 0);
            let addr = k.sockname(first)?;
            let client = k.tcp_socket(AF_INET, NB)?;
            ret!(k.sendto(client, b"early", libc::MSG_FASTOPEN, &addr), 5);
            let second = listener(k, &addr, 8, 0)?;
            ret!(k.close(first), 0);
            let server = k.accept_now(second)?;
            ret!(k.recv(server, &mut [0; 9], 0), 5);
            ret!(k.send(server, b"ok", 0), 2);
            ret!(k.recv(client, &mut [0; 9], 0), 2);
            Ok(())
        })
    })
}

fn attach_types(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let pass = [mov(0, 1), EXIT];
    for attach in [0, SELECT, SELECT_OR_MIGRATE] {
        let fd = ok!(k.prog_load_as(SK_REUSEPORT, attach, &pass).0);
        k.close(fd);
    }
    for attach in [1, 38, 41, 1000] {
        err!(k.prog_load_as(SK_REUSEPORT, attach, &pass).0, EINVAL);
    }
    // A socket filter is not asked for it.
    for attach in [1, SELECT, SELECT_OR_MIGRATE] {
        let fd = ok!(k.prog_load_as(SOCKET_FILTER, attach, &pass).0);
        k.close(fd);
    }
    Ok(())
}

/// Loads of `sk` and `migrating_sk` and of what they point to, and what may be done with them.
fn sockets_in_a_program(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    const LDB: u8 = 0x71;
    const LDH: u8 = 0x69;
    const LDW: u8 = 0x61;
    const LDX: u8 = 0x79;
    // The field of `sk`, and then that of it.
    let of_sk = |size: u8, off: i16| vec![insn(LDX, 2, 1, 40, 0), insn(size, 0, 2, off, 0), EXIT];
    // The same of migrating_sk behind a check.
    let of_moving = |size: u8, off: i16| {
        vec![
            insn(LDX, 2, 1, 48, 0),
            mov(0, 1),
            insn(0x15, 2, 0, 1, 0),
            insn(size, 0, 2, off, 0),
            EXIT,
        ]
    };
    for (code, size) in [(LDB, 1), (LDH, 2), (LDW, 4), (LDX, 8)] {
        for off in (0..84).step_by(size) {
            // bpf_sock_is_valid_access(): addresses in any part, the peer's port in its two bytes, some words from their
            // start, the others whole.
            let full = match off {
                80.. => false,
                0..4 | 16..24 => size == 4,
                24..44 | 52..72 => size <= 4,
                48..50 => size <= 4,
                50..52 => false,
                _ => size == 4 || (size < 4 && off % 4 == 0),
            };
            let common = full && !(8..24).contains(&off);
            let got = k.prog_load(SK_REUSEPORT, &of_sk(code, off as i16)).0;
            check!((got >= 0) == full, "sk: {size} at {off}: {got}");
            k.close(got);
            let got = k.prog_load(SK_REUSEPORT, &of_moving(code, off as i16)).0;
            check!((got >= 0) == common, "migrating_sk: {size} at {off}: {got}");
            k.close(got);
        }
    }
    let refused: [&[[u8; 8]]; 8] = [
        // Not checked; not whole; written; moved; cookies of what is no socket; asked for its user.
        &[insn(LDX, 2, 1, 48, 0), insn(LDW, 0, 2, 72, 0), EXIT],
        &[insn(LDW, 0, 1, 40, 0), EXIT],
        &[insn(LDW, 0, 1, 48, 0), EXIT],
        &[
            insn(LDX, 2, 1, 40, 0),
            insn(0x62, 2, 0, 16, 1),
            mov(0, 1),
            EXIT,
        ],
        &[
            insn(LDX, 2, 1, 40, 0),
            insn(0x07, 2, 0, 0, 4),
            insn(LDW, 0, 2, 0, 0),
            EXIT,
        ],
        &[call(46), EXIT],
        &[mov(1, 1), call(46), EXIT],
        &[insn(LDX, 1, 1, 40, 0), call(47), EXIT],
    ];
    for (at, program) in refused.iter().enumerate() {
        let got = k.prog_load(SK_REUSEPORT, program).0;
        check!(
            got == -i64::from(libc::EACCES) || got == -i64::from(libc::EINVAL),
            "{at}: {got}"
        );
    }
    let loaded: [&[[u8; 8]]; 5] = [
        &[insn(LDX, 1, 1, 48, 0), call(46), EXIT],
        &[mov(1, 0), call(46), EXIT],
        &[insn(LDX, 1, 1, 40, 0), call(46), EXIT],
        &[
            insn(LDX, 1, 1, 48, 0),
            mov(0, 1),
            insn(0x15, 1, 0, 1, 0),
            call(46),
            EXIT,
        ],
        // Kept on the stack over a call.
        &[
            insn(LDX, 2, 1, 48, 0),
            insn(0x7b, 10, 2, -8, 0),
            call(7),
            insn(LDX, 2, 10, -8, 0),
            mov(0, 1),
            insn(0x15, 2, 0, 1, 0),
            insn(LDW, 0, 2, 72, 0),
            EXIT,
        ],
    ];
    for (at, program) in loaded.iter().enumerate() {
        let (got, log) = k.prog_load(SK_REUSEPORT, program);
        check!(got >= 0, "{at}: {got} {log}");
        k.close(got);
    }
    Ok(())
}

/// Keeps a word of `migrating_sk` at `off` in element 0 of `seen`, then selects from `map`; passes what does not migrate.
fn moving(map: Fd, seen: Fd, off: i16, element: i32) -> Vec<[u8; 8]> {
    let [a, b] = map_fd(2, map);
    let [c, d] = map_fd(1, seen);
    vec![
        mov_reg(6, 1),
        insn(0x79, 7, 1, 48, 0),
        insn(0x55, 7, 0, 2, 0),
        mov(0, 1),
        EXIT,
        insn(0x61, 8, 7, off, 0),
        insn(0x62, 10, 0, -4, 0),
        c,
        d,
        mov_reg(2, 10),
        insn(0x07, 2, 0, 0, -4),
        call(1),
        insn(0x15, 0, 0, 1, 0),
        insn(0x7b, 0, 8, 0, 0),
        insn(0x62, 10, 0, -4, element),
        mov_reg(1, 6),
        a,
        b,
        mov_reg(3, 10),
        insn(0x07, 3, 0, 0, -4),
        mov(4, 0),
        call(82),
        mov_reg(1, 0),
        mov(0, 0),
        insn(0x55, 1, 0, 1, 0),
        mov(0, 1),
        EXIT,
    ]
}

const STATE: i16 = 72;
const DST_PORT: i16 = 48;

fn put(k: &mut dyn Kernel, map: Fd, at: u32, fd: Fd) -> i64 {
    k.map_update(map, &key(at), &(fd as u64).to_ne_bytes(), 0)
}

fn seen(k: &mut dyn Kernel, map: Fd) -> Got<u64> {
    let mut value = [0; 8];
    ret!(k.map_lookup(map, &key(0), &mut value), 0);
    Ok(u64::from_ne_bytes(value))
}

/// Without the tunable, and to whom it says.
fn program_moves(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    k.own_network()?;
    let map = ok!(k.map_create(REUSEPORT_SOCKARRAY, 4, 8, 4));
    let words = ok!(k.map_create(ARRAY, 4, 8, 1));
    let (first, addr, clients) = crowded(k, 0, 2)?;
    let others = [
        listener(k, &addr, 8, 0)?,
        listener(k, &addr, 8, 0)?,
        listener(k, &addr, 8, 0)?,
    ];
    for (at, fd) in others.iter().enumerate() {
        ret!(put(k, map, at as u32, *fd), 0);
    }
    let program = moving(map, words, STATE, 1);
    let program = k.program_as(SK_REUSEPORT, SELECT_OR_MIGRATE, &program)?;
    ret!(
        k.set_int(others[0], SOL_SOCKET, ATTACH_GROUP, program as i32),
        0
    );
    ret!(k.close(first), 0);
    eq!(others.map(|fd| accepted(k, fd)), [0, 2, 0]);
    for client in clients {
        eq!(k.so_error(client)?, 0);
    }
    // TCP_ESTABLISHED
    eq!(seen(k, words)?, 1);
    Ok(())
}

fn program_refuses(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    k.own_network()?;
    with(k, MIGRATE, "1", |k| {
        let before = counted(k)?;
        let map = ok!(k.map_create(REUSEPORT_SOCKARRAY, 4, 8, 4));
        let words = ok!(k.map_create(ARRAY, 4, 8, 1));
        let (first, addr, clients) = crowded(k, 0, 2)?;
        let second = listener(k, &addr, 8, 0)?;
        // There is nobody at 3, and it drops.
        let program = moving(map, words, STATE, 3);
        let program = k.program_as(SK_REUSEPORT, SELECT_OR_MIGRATE, &program)?;
        ret!(
            k.set_int(second, SOL_SOCKET, ATTACH_GROUP, program as i32),
            0
        );
        ret!(k.close(first), 0);
        eq!(accepted(k, second), 0);
        for client in clients {
            eq!(k.so_error(client)?, libc::ECONNRESET);
        }
        eq!(counted(k)?, (before.0, before.1 + 2));
        // One that passes and selects nobody leaves it to the hash.
        let (first, addr, _clients) = crowded(k, 0, 2)?;
        let second = listener(k, &addr, 8, 0)?;
        let pass = [mov(0, 1), EXIT];
        let program = k.program_as(SK_REUSEPORT, SELECT_OR_MIGRATE, &pass)?;
        ret!(
            k.set_int(second, SOL_SOCKET, ATTACH_GROUP, program as i32),
            0
        );
        ret!(k.close(first), 0);
        eq!(accepted(k, second), 2);
        Ok(())
    })
}

/// BPF_SK_REUSEPORT_SELECT is not asked, and the tunable alone decides.
fn program_that_only_selects(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    k.own_network()?;
    let drop = [mov(0, 0), EXIT];
    for attach in [0, SELECT] {
        let (first, addr, clients) = crowded(k, 0, 1)?;
        let second = listener(k, &addr, 8, 0)?;
        let program = k.program_as(SK_REUSEPORT, attach, &drop)?;
        ret!(
            k.set_int(second, SOL_SOCKET, ATTACH_GROUP, program as i32),
            0
        );
        ret!(k.close(first), 0);
        eq!(accepted(k, second), 0);
        eq!(k.so_error(clients[0])?, libc::ECONNRESET);
        with(k, MIGRATE, "1", |k| {
            let (first, addr, _clients) = crowded(k, 0, 2)?;
            let second = listener(k, &addr, 8, 0)?;
            let program = k.program_as(SK_REUSEPORT, attach, &drop)?;
            ret!(
                k.set_int(second, SOL_SOCKET, ATTACH_GROUP, program as i32),
                0
            );
            ret!(k.close(first), 0);
            eq!(accepted(k, second), 2);
            Ok(())
        })?;
    }
    Ok(())
}

/// A half-open one is TCP_NEW_SYN_RECV, of which the program sees both ends.
fn program_knows_the_states(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    k.own_network()?;
    for (off, half) in [(STATE, true), (DST_PORT, true), (DST_PORT, false)] {
        let map = ok!(k.map_create(REUSEPORT_SOCKARRAY, 4, 8, 4));
        let words = ok!(k.map_create(ARRAY, 4, 8, 1));
        let (first, addr, clients) = crowded(k, if half { 30 } else { 0 }, 1)?;
        let second = listener(k, &addr, 8, 0)?;
        ret!(put(k, map, 0, second), 0);
        let program = moving(map, words, off, 0);
        let program = k.program_as(SK_REUSEPORT, SELECT_OR_MIGRATE, &program)?;
        ret!(
            k.set_int(second, SOL_SOCKET, ATTACH_GROUP, program as i32),
            0
        );
        ret!(k.close(first), 0);
        ret!(k.send(clients[0], b"x", 0), 1);
        k.accept_now(second)?;
        let port = k.sockname(clients[0])?.port();
        let want = match off {
            STATE => 12,
            _ => u64::from(port.to_be()),
        };
        eq!(seen(k, words)?, want);
    }
    Ok(())
}

fn shut_listener_leaves_its_sockarray(k: &mut dyn Kernel) -> Outcome {
    needed(k)?;
    let map = ok!(k.map_create(REUSEPORT_SOCKARRAY, 4, 8, 4));
    let fd = listener(k, &Addr::lo4(0), 8, 0)?;
    ret!(put(k, map, 0, fd), 0);
    ret!(k.map_lookup(map, &key(0), &mut [0; 8]), 0);
    ret!(k.shutdown(fd, SHUT_RD), 0);
    err!(k.map_lookup(map, &key(0), &mut [0; 8]), ENOENT);
    Ok(())
}
