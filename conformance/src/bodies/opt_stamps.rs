//! SO_TIMESTAMP, SO_TIMESTAMPNS and SO_TIMESTAMPING: what is received with a time.

use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret, skip};
use crate::kernel::Kernel;
use crate::msg::Msg;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, R, W};
use libc::{AF_INET, AF_INET6, AF_UNIX, SO_TIMESTAMP, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET};

tests! {
    forms_of_a_stamp,
    which_form_is_on,
    timestamping_flags,
    timestamping_lengths,
    timestamping_new_form_tells_its_own,
    numbering_on_a_stream,
    clocks_of_devices,
    both_at_once,
    software_stamps_want_to_be_reported,
    rx_filter,
    on_a_stream,
    what_came_before_on_a_stream,
    on_unix,
    the_time_is_the_arrival,
    peek_shows_it_too,
}

/// The bytes of an int.
fn int(value: i32) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

const SO_TIMESTAMPNS: i32 = 35;
const SCM_TIMESTAMPNS: i32 = SO_TIMESTAMPNS;
const SO_TIMESTAMPING: i32 = 37;
const SCM_TIMESTAMPING: i32 = SO_TIMESTAMPING;
const SO_TIMESTAMP_NEW: i32 = 63;
const SO_TIMESTAMPNS_NEW: i32 = 64;
const SO_TIMESTAMPING_NEW: i32 = 65;

const RX_SOFTWARE: i32 = 1 << 3;
const SOFTWARE: i32 = 1 << 4;
const OPT_ID: i32 = 1 << 7;
const OPT_TSONLY: i32 = 1 << 11;
const OPT_STATS: i32 = 1 << 12;
const BIND_PHC: i32 = 1 << 15;
const OPT_ID_TCP: i32 = 1 << 16;
const OPT_RX_FILTER: i32 = 1 << 17;

/// Receives one message: type and length of each control message.
fn receive(k: &mut dyn Kernel, fd: Fd, flags: i32) -> Got<Vec<(i32, usize)>> {
    for _ in 0..100 {
        let mut msg = Msg::room(&[64]).control_room(256);
        if k.recvmsg(fd, &mut msg, flags | libc::MSG_DONTWAIT) >= 0 {
            let all = msg.cmsgs();
            check!(all.iter().all(|c| c.level == SOL_SOCKET), "{all:?}");
            return Ok(all.iter().map(|c| (c.kind, c.data.len())).collect());
        }
        k.pause(std::time::Duration::from_millis(1));
    }
    crate::check::fail("recvmsg", "nothing came".to_string())
}

fn set(k: &mut dyn Kernel, fd: Fd, name: i32, value: i32) -> Outcome {
    ret!(k.set_int(fd, SOL_SOCKET, name, value), 0);
    Ok(())
}

/// The kernel begins to stamp packets a little after the first socket asked.
fn begin_to_stamp(k: &mut dyn Kernel) {
    k.pause(std::time::Duration::from_millis(20));
}

fn forms_of_a_stamp(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        for (name, value, want) in [
            (SO_TIMESTAMP, 1, (SO_TIMESTAMP, 16)),
            (SO_TIMESTAMPNS, 1, (SCM_TIMESTAMPNS, 16)),
            (SO_TIMESTAMP_NEW, 1, (SO_TIMESTAMP_NEW, 16)),
            (SO_TIMESTAMPNS_NEW, 1, (SO_TIMESTAMPNS_NEW, 16)),
            (
                SO_TIMESTAMPING,
                RX_SOFTWARE | SOFTWARE,
                (SCM_TIMESTAMPING, 48),
            ),
            (
                SO_TIMESTAMPING_NEW,
                RX_SOFTWARE | SOFTWARE,
                (SO_TIMESTAMPING_NEW, 48),
            ),
        ] {
            let (a, b) = k.udp_pair(family)?;
            set(k, b, name, value)?;
            begin_to_stamp(k);
            ret!(k.send(a, b"x", 0), 1);
            eq!(receive(k, b, 0)?, vec![want]);
            set(k, b, name, 0)?;
            ret!(k.send(a, b"x", 0), 1);
            eq!(receive(k, b, 0)?, vec![]);
        }
    }
    Ok(())
}

/// What the four switches and the two sets of flags tell.
fn all_forms(k: &mut dyn Kernel, fd: Fd) -> Got<[i32; 6]> {
    let mut all = [0; 6];
    for (value, name) in all.iter_mut().zip([
        SO_TIMESTAMP,
        SO_TIMESTAMPNS,
        SO_TIMESTAMPING,
        SO_TIMESTAMP_NEW,
        SO_TIMESTAMPNS_NEW,
        SO_TIMESTAMPING_NEW,
    ]) {
        *value = k.get_int(fd, SOL_SOCKET, name)?;
    }
    Ok(all)
}

fn which_form_is_on(k: &mut dyn Kernel) -> Outcome {
    for (family, kind) in [
        (AF_INET, SOCK_DGRAM),
        (AF_INET6, SOCK_STREAM),
        (AF_UNIX, SOCK_DGRAM),
        (AF_UNIX, SOCK_STREAM),
    ] {
        let fd = ok!(k.socket(family, kind, 0));
        for (name, value, want) in [
            (SO_TIMESTAMP, 1, [1, 0, 0, 0, 0, 0]),
            (SO_TIMESTAMPNS, 1, [0, 1, 0, 0, 0, 0]),
            (SO_TIMESTAMPING, 24, [0, 1, 24, 0, 0, 0]),
            (SO_TIMESTAMP_NEW, 1, [0, 0, 24, 1, 0, 24]),
            (SO_TIMESTAMPNS_NEW, 1, [0, 0, 24, 1, 1, 24]),
            (SO_TIMESTAMPING, 16, [0, 1, 16, 0, 0, 0]),
            (SO_TIMESTAMPING_NEW, 8, [0, 0, 8, 1, 1, 8]),
            // Off leaves the width as it was.
            (SO_TIMESTAMP, 0, [0, 0, 8, 0, 0, 8]),
            (SO_TIMESTAMPNS, 2, [0, 1, 8, 0, 0, 0]),
            (SO_TIMESTAMPNS_NEW, 0, [0, 0, 8, 0, 0, 0]),
        ] {
            set(k, fd, name, value)?;
            let got = all_forms(k, fd)?;
            check!(
                got == want,
                "family {family} type {kind}: {name} = {value}: {got:?}"
            );
        }
    }
    Ok(())
}

fn timestamping_flags(k: &mut dyn Kernel) -> Outcome {
    for name in [SO_TIMESTAMPING, SO_TIMESTAMPING_NEW] {
        for (family, kind) in [
            (AF_INET, SOCK_DGRAM),
            (AF_INET6, SOCK_DGRAM),
            (AF_UNIX, SOCK_STREAM),
        ] {
            let fd = ok!(k.socket(family, kind, 0));
            for (value, want) in [
                (0, 0),
                // Each of the flags by itself.
                (1, 0),
                (2, 0),
                (4, 0),
                (8, 0),
                (16, 0),
                (32, 0),
                (64, 0),
                (OPT_ID, 0),
                (1 << 8, 0),
                (1 << 9, 0),
                (1 << 10, 0),
                (OPT_TSONLY, 0),
                (OPT_STATS, libc::EINVAL),
                (OPT_STATS | OPT_TSONLY, 0),
                (1 << 13, 0),
                (1 << 14, 0),
                (BIND_PHC, libc::EOPNOTSUPP),
                (OPT_ID_TCP, libc::EINVAL),
                (OPT_ID_TCP | OPT_ID, 0),
                (OPT_RX_FILTER, 0),
                (1 << 18, 0),
                (1 << 19, libc::EINVAL),
                (i32::MIN, libc::EINVAL),
                (-1, libc::EINVAL),
            ] {
                set(k, fd, name, 0)?;
                let got = k.set_int(fd, SOL_SOCKET, name, value);
                check!(
                    got == -i64::from(want),
                    "family {family}: {value:#x}: {got}"
                );
                let read = k.get_int(fd, SOL_SOCKET, name)?;
                check!(
                    read == if want == 0 { value } else { 0 },
                    "{value:#x} reads {read:#x}"
                );
            }
        }
    }
    Ok(())
}

fn timestamping_lengths(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    for len in 0..4 {
        err!(
            k.setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &int(16)[..len]),
            EINVAL
        );
    }
    // An int, or the flags with a clock, which is forgotten where it is not asked for.
    let given = [int(16), int(5)].concat();
    ret!(k.setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &given), 0);
    let both = [int(16), int(0)].concat();
    for cap in [0, 3, 4, 7, 8, 20] {
        let got = k.getsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, cap);
        eq!(got, (0, both[..cap.min(8)].to_vec()));
    }
    for len in [5, 7, 12] {
        let mut value = both.clone();
        value.resize(12, 0xff);
        ret!(
            k.setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &value[..len]),
            0
        );
        let want = [int(16), int(0)].concat();
        eq!(k.getsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, 8), (0, want));
    }
    Ok(())
}

fn timestamping_new_form_tells_its_own(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    set(k, fd, SO_TIMESTAMPING, 16)?;
    eq!(
        k.getsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING_NEW, 8),
        (0, vec![0; 8])
    );
    set(k, fd, SO_TIMESTAMPING_NEW, 24)?;
    let want = [int(24), int(0)].concat();
    eq!(
        k.getsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, 8),
        (0, want.clone())
    );
    eq!(
        k.getsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING_NEW, 8),
        (0, want)
    );
    Ok(())
}

fn numbering_on_a_stream(k: &mut dyn Kernel) -> Outcome {
    // Bytes cannot be numbered before there is a connection.
    let fd = k.tcp_socket(AF_INET, 0)?;
    err!(k.set_int(fd, SOL_SOCKET, SO_TIMESTAMPING, OPT_ID), EINVAL);
    err!(
        k.set_int(fd, SOL_SOCKET, SO_TIMESTAMPING, OPT_ID | OPT_ID_TCP),
        EINVAL
    );
    ret!(k.set_int(fd, SOL_SOCKET, SO_TIMESTAMPING, SOFTWARE), 0);
    let t = k.tcp(AF_INET)?;
    err!(
        k.set_int(t.listener, SOL_SOCKET, SO_TIMESTAMPING, OPT_ID),
        EINVAL
    );
    ret!(k.set_int(t.client, SOL_SOCKET, SO_TIMESTAMPING, OPT_ID), 0);
    ret!(
        k.set_int(t.server, SOL_SOCKET, SO_TIMESTAMPING, OPT_ID | OPT_ID_TCP),
        0
    );
    Ok(())
}

fn clocks_of_devices(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    err!(
        k.set_int(fd, SOL_SOCKET, SO_TIMESTAMPING, BIND_PHC),
        EOPNOTSUPP
    );
    // The loopback interface has no clock.
    ret!(k.set_int(fd, SOL_SOCKET, 62, 1), 0);
    err!(k.set_int(fd, SOL_SOCKET, SO_TIMESTAMPING, BIND_PHC), EINVAL);
    Ok(())
}

fn both_at_once(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    set(k, b, SO_TIMESTAMPING, RX_SOFTWARE | SOFTWARE)?;
    set(k, b, SO_TIMESTAMP, 1)?;
    begin_to_stamp(k);
    ret!(k.send(a, b"x", 0), 1);
    eq!(
        receive(k, b, 0)?,
        vec![(SO_TIMESTAMP, 16), (SCM_TIMESTAMPING, 48)]
    );
    // One width for both.
    set(k, b, SO_TIMESTAMPNS_NEW, 1)?;
    ret!(k.send(a, b"x", 0), 1);
    eq!(
        receive(k, b, 0)?,
        vec![(SO_TIMESTAMPNS_NEW, 16), (SO_TIMESTAMPING_NEW, 48)]
    );
    Ok(())
}

fn software_stamps_want_to_be_reported(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    // Made and not reported.
    set(k, b, SO_TIMESTAMPING, RX_SOFTWARE)?;
    ret!(k.send(a, b"x", 0), 1);
    eq!(receive(k, b, 0)?, vec![]);
    Ok(())
}

fn rx_filter(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    // Made for another reason, and filtered.
    set(k, b, SO_TIMESTAMP, 1)?;
    begin_to_stamp(k);
    set(k, b, SO_TIMESTAMPING, SOFTWARE | OPT_RX_FILTER)?;
    ret!(k.send(a, b"x", 0), 1);
    eq!(receive(k, b, 0)?, vec![(SO_TIMESTAMP, 16)]);
    set(k, b, SO_TIMESTAMPING, SOFTWARE)?;
    ret!(k.send(a, b"x", 0), 1);
    eq!(
        receive(k, b, 0)?,
        vec![(SO_TIMESTAMP, 16), (SCM_TIMESTAMPING, 48)]
    );
    Ok(())
}

fn on_a_stream(k: &mut dyn Kernel) -> Outcome {
    for (name, value, want) in [
        (SO_TIMESTAMPNS, 1, (SCM_TIMESTAMPNS, 16)),
        (
            SO_TIMESTAMPING,
            RX_SOFTWARE | SOFTWARE,
            (SCM_TIMESTAMPING, 48),
        ),
        (
            SO_TIMESTAMPING_NEW,
            RX_SOFTWARE | SOFTWARE,
            (SO_TIMESTAMPING_NEW, 48),
        ),
    ] {
        let t = k.tcp(AF_INET)?;
        set(k, t.server, name, value)?;
        begin_to_stamp(k);
        ret!(k.send(t.client, b"x", 0), 1);
        eq!(receive(k, t.server, 0)?, vec![want]);
    }
    Ok(())
}

fn on_unix(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.pair(AF_UNIX, SOCK_DGRAM | NB)?;
    for (name, value, want) in [
        (SO_TIMESTAMPNS, 1, vec![(SCM_TIMESTAMPNS, 16)]),
        (SO_TIMESTAMP_NEW, 1, vec![(SO_TIMESTAMP_NEW, 16)]),
    ] {
        set(k, b, name, value)?;
        ret!(k.send(a, b"x", 0), 1);
        eq!(receive(k, b, 0)?, want);
        set(k, b, name, 0)?;
    }
    let (a, b) = k.pair(AF_UNIX, SOCK_STREAM | NB)?;
    set(k, b, SO_TIMESTAMPNS, 1)?;
    ret!(k.send(a, b"x", 0), 1);
    eq!(receive(k, b, 0)?, vec![]);
    Ok(())
}

fn the_time_is_the_arrival(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    set(k, b, SO_TIMESTAMPNS, 1)?;
    k.pause(std::time::Duration::from_millis(20));
    let mut times = Vec::new();
    ret!(k.send(a, b"early", 0), 5);
    k.pause(std::time::Duration::from_millis(50));
    ret!(k.send(a, b"late", 0), 4);
    k.pause(std::time::Duration::from_millis(5));
    for _ in 0..2 {
        let mut msg = Msg::room(&[8]).control_room(64);
        check!(k.recvmsg(b, &mut msg, 0) > 0, "a datagram");
        let Some(stamp) = msg.cmsg(SOL_SOCKET, SCM_TIMESTAMPNS) else {
            return crate::check::fail("stamp", "none".to_string());
        };
        let word = |at: usize| {
            let mut raw = [0; 8];
            raw.copy_from_slice(&stamp.data[at..at + 8]);
            i64::from_ne_bytes(raw)
        };
        times.push(word(0) * 1_000_000_000 + word(8));
    }
    let apart = times[1] - times[0];
    check!((45_000_000..5_000_000_000).contains(&apart), "{apart}");
    Ok(())
}

fn peek_shows_it_too(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    set(k, b, SO_TIMESTAMP, 1)?;
    ret!(k.send(a, b"x", 0), 1);
    eq!(receive(k, b, libc::MSG_PEEK)?, vec![(SO_TIMESTAMP, 16)]);
    eq!(receive(k, b, 0)?, vec![(SO_TIMESTAMP, 16)]);
    Ok(())
}

/// The bytes of a stream that came before any socket wanted a stamp have none; a socket that has wanted one once has
/// what comes stamped as long as it is open.
fn what_came_before_on_a_stream(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    ret!(k.send(t.client, b"before", 0), 6);
    mask!(k, t.server, R | W);
    set(k, t.server, SO_TIMESTAMP, 1)?;
    let before = receive(k, t.server, 0)?;
    if !before.is_empty() && k.name() != "library" {
        skip!("another socket of this kernel has everything stamped");
    }
    eq!(before, []);
    begin_to_stamp(k);
    let stamp = [(SO_TIMESTAMP, 16)];
    ret!(k.send(t.client, b"then", 0), 4);
    eq!(receive(k, t.server, 0)?, stamp);
    set(k, t.server, SO_TIMESTAMP, 0)?;
    ret!(k.send(t.client, b"unasked", 0), 7);
    mask!(k, t.server, R | W);
    set(k, t.server, SO_TIMESTAMP, 1)?;
    eq!(receive(k, t.server, 0)?, stamp);
    Ok(())
}
