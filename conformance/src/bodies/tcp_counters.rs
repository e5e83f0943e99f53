//! What TCP counts in /proc/net/netstat and snmp, to the number.

use super::proc_net::growth;
use crate::addr::Addr;
use crate::check::{Got, Outcome, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{AF_INET, SOCK_STREAM, SOL_SOCKET};
use std::time::Duration;

tests! {
    of_a_conversation [ROOT],
    of_late_acknowledgments [ROOT],
    of_ends [ROOT],
    of_a_full_listener [ROOT | TIMEOUTS],
}

fn pair(k: &mut dyn Kernel) -> Got<(Fd, Fd)> {
    let (listener, addr) = k.tcp_listener(AF_INET, 4)?;
    let client = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(client, &addr)?;
    let server = k.accept_now(listener)?;
    ret!(k.close(listener), 0);
    Ok((client, server))
}

/// Gives what the program does time to arrive.
fn soon(k: &mut dyn Kernel) {
    k.pause(Duration::from_millis(10));
}

/// How much these columns of TcpExt grow.
fn ext(
    k: &mut dyn Kernel,
    names: &[&str],
    part: impl FnOnce(&mut dyn Kernel) -> Outcome,
) -> Got<Vec<i64>> {
    let columns: Vec<_> = names
        .iter()
        .map(|name| ("netstat", "TcpExt", *name))
        .collect();
    growth(k, &columns, part)
}

fn of_a_conversation(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let names = ["TCPOrigDataSent", "TW", "TCPTimeouts", "TCPAbortOnClose"];
    let grown = ext(k, &names, |k| {
        let (client, server) = pair(k)?;
        for _ in 0..3 {
            ret!(k.send(client, b"question", 0), 8);
            eq!(k.recv_now(server)?.len(), 8);
            ret!(k.send(server, b"answer", 0), 6);
            eq!(k.recv_now(client)?.len(), 6);
        }
        ret!(k.close(client), 0);
        soon(k);
        ret!(k.close(server), 0);
        soon(k);
        Ok(())
    })?;
    // Each FIN is one, too.
    eq!(grown.as_slice(), [8, 1, 0, 0].as_slice());
    Ok(())
}

fn of_late_acknowledgments(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let (client, server) = pair(k)?;
    // Replies carry acknowledgments; then none comes.
    ret!(k.send(client, b"a", 0), 1);
    eq!(k.recv_now(server)?.len(), 1);
    ret!(k.send(server, b"b", 0), 1);
    eq!(k.recv_now(client)?.len(), 1);
    k.pause(Duration::from_millis(300));
    let names = ["DelayedACKs", "TCPPureAcks", "TCPOrigDataSent"];
    let grown = ext(k, &names[..1], |k| {
        ret!(k.send(client, b"a", 0), 1);
        k.pause(Duration::from_millis(300));
        Ok(())
    })?;
    eq!(grown.as_slice(), [1].as_slice());
    // The handshake's last, and that of the data.
    let grown = ext(k, &names[1..], |k| {
        let (client, server) = pair(k)?;
        ret!(k.send(client, b"a", 0), 1);
        eq!(k.recv_now(server)?.len(), 1);
        soon(k);
        Ok(())
    })?;
    eq!(grown.as_slice(), [2, 1].as_slice());
    Ok(())
}

fn of_ends(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let columns = [
        ("netstat", "TcpExt", "TCPAbortOnClose"),
        ("netstat", "TcpExt", "TCPAbortOnData"),
        ("snmp", "Tcp", "EstabResets"),
        ("snmp", "Tcp", "OutRsts"),
    ];
    // What was not read is lost: both ends are reset.
    let grown = growth(k, &columns, |k| {
        let (client, server) = pair(k)?;
        ret!(k.send(client, b"unread", 0), 6);
        soon(k);
        ret!(k.close(server), 0);
        soon(k);
        ret!(k.close(client), 0);
        Ok(())
    })?;
    eq!(grown.as_slice(), [1, 0, 2, 1].as_slice());
    let grown = growth(k, &columns, |k| {
        let (client, server) = pair(k)?;
        let linger = [1i32, 0].map(i32::to_ne_bytes).concat();
        ret!(
            k.setsockopt(client, SOL_SOCKET, libc::SO_LINGER, &linger),
            0
        );
        ret!(k.close(client), 0);
        soon(k);
        ret!(k.close(server), 0);
        Ok(())
    })?;
    eq!(grown.as_slice(), [0, 1, 2, 1].as_slice());
    Ok(())
}

fn of_a_full_listener(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let columns = [
        ("netstat", "TcpExt", "TCPTimeouts"),
        ("netstat", "TcpExt", "TCPSynRetrans"),
        ("snmp", "Tcp", "RetransSegs"),
        ("snmp", "Tcp", "EstabResets"),
    ];
    let grown = growth(k, &columns, |k| {
        let listener = ok!(k.socket(AF_INET, SOCK_STREAM | NB, 0));
        ret!(k.bind(listener, &Addr::lo4(0)), 0);
        ret!(k.listen(listener, 0), 0);
        let addr = k.sockname(listener)?;
        let first = k.tcp_socket(AF_INET, NB)?;
        k.connect_now(first, &addr)?;
        let second = k.tcp_socket(AF_INET, NB)?;
        err!(k.connect(second, &addr), EINPROGRESS);
        // Its SYN is dropped, and comes again a second later.
        k.pause(Duration::from_millis(1500));
        ret!(k.close(second), 0);
        ret!(k.close(listener), 0);
        soon(k);
        Ok(())
    })?;
    // Of those nobody accepted both ends are reset.
    eq!(grown.as_slice(), [1, 1, 1, 2].as_slice());
    Ok(())
}
