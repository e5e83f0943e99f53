//! What a sender is told by the error queue: transmit timestamps and MSG_ZEROCOPY.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, mask, ok, ret};
use crate::kernel::Kernel;
use crate::msg::{Msg, cmsg};
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{Fd, WB};
use libc::{AF_INET, AF_INET6, AF_UNIX, MSG_ERRQUEUE, MSG_ZEROCOPY, SOCK_STREAM, SOL_SOCKET};

tests! {
    stamps_of_a_datagram,
    stamps_of_raw_packets [ROOT],
    stamp_with_the_packet,
    numbers_of_datagrams,
    number_of_ones_own,
    asked_for_by_one_message,
    what_is_not_reported,
    hardware_only_counts,
    new_form_of_sent_stamps,
    readiness_of_a_stamp,
    no_stamp_for_what_was_not_sent,
    stamps_of_a_stream,
    numbers_of_bytes,
    stream_data_comes_back,
    zerocopy_of_datagrams,
    zerocopy_notices_join,
    zerocopy_of_a_stream,
    zerocopy_is_off,
    zerocopy_fails_without_a_notice,
    stamps_and_notices,
    select_err_queue_adds_priority,
    select_err_queue_of_unix,
}

const SO_TIMESTAMPING: i32 = 37;
const SO_TIMESTAMPING_NEW: i32 = 65;
const SO_ZEROCOPY: i32 = 60;
const SO_SELECT_ERR_QUEUE: i32 = 45;
const SCM_TS_OPT_ID: i32 = 81;

const TX_HARDWARE: i32 = 1 << 0;
const TX_SOFTWARE: i32 = 1 << 1;
const SOFTWARE: i32 = 1 << 4;
const OPT_ID: i32 = 1 << 7;
const TX_SCHED: i32 = 1 << 8;
const TX_ACK: i32 = 1 << 9;
const OPT_CMSG: i32 = 1 << 10;
const OPT_TSONLY: i32 = 1 << 11;
const OPT_ID_TCP: i32 = 1 << 16;

/// ee_info: which moment.
const SND: u32 = 0;
const SCHED: u32 = 1;
const ACK: u32 = 2;

/// ee_origin.
const FROM_STAMPS: u8 = 4;
const FROM_ZEROCOPY: u8 = 5;

/// An entry of the error queue.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    data: Vec<u8>,
    msg_flags: i32,
    /// Type and length of the stamp's message.
    stamp: Option<(i32, usize)>,
    errno: u32,
    origin: u8,
    code: u8,
    info: u32,
    value: u32,
    /// The address behind it.
    offender: Vec<u8>,
}

/// The next entry, if one comes.
fn next(k: &mut dyn Kernel, fd: Fd, room: usize) -> Got<Option<Entry>> {
    for _ in 0..60 {
        let mut msg = Msg::room(&[room]).name_room(28).control_room(512);
        let n = k.recvmsg(fd, &mut msg, MSG_ERRQUEUE);
        if n == -i64::from(libc::EAGAIN) {
            k.pause(std::time::Duration::from_millis(1));
            continue;
        }
        check!(n >= 0, "recvmsg: {n}");
        eq!(msg.hdr.msg_namelen, 0);
        let mut entry = Entry {
            data: msg.data(n),
            msg_flags: msg.flags(),
            stamp: None,
            errno: 0,
            origin: 0,
            code: 0,
            info: 0,
            value: 0,
            offender: vec![],
        };
        for c in msg.cmsgs() {
            let word = |at: usize| {
                let mut raw = [0; 4];
                raw.copy_from_slice(&c.data[at..at + 4]);
                u32::from_ne_bytes(raw)
            };
            if c.level == SOL_SOCKET {
                // The software's time comes first, and is now.
                let mut raw = [0; 8];
                raw.copy_from_slice(&c.data[..8]);
                check!(i64::from_ne_bytes(raw) > 0, "no time: {:?}", c.data);
                entry.stamp = Some((c.kind, c.data.len()));
            } else {
                (entry.errno, entry.origin, entry.code) = (word(0), c.data[4], c.data[6]);
                (entry.info, entry.value) = (word(8), word(12));
                entry.offender = c.data[16..].to_vec();
            }
        }
        return Ok(Some(entry));
    }
    Ok(None)
}

/// All entries that come: moment and number of each.
fn moments(k: &mut dyn Kernel, fd: Fd) -> Got<Vec<(u32, u32)>> {
    let mut all = Vec::new();
    while let Some(entry) = next(k, fd, 0)? {
        check!(entry.origin == FROM_STAMPS, "{entry:?}");
        check!(entry.errno == libc::ENOMSG as u32, "{entry:?}");
        all.push((entry.info, entry.value));
    }
    Ok(all)
}

fn asks(k: &mut dyn Kernel, fd: Fd, flags: i32) -> Outcome {
    ret!(k.set_int(fd, SOL_SOCKET, SO_TIMESTAMPING, flags), 0);
    Ok(())
}

fn stamps_of_a_datagram(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, _b) = k.udp_pair(family)?;
        asks(k, a, TX_SOFTWARE | TX_SCHED | SOFTWARE | OPT_TSONLY)?;
        ret!(k.send(a, b"hello", 0), 5);
        let mut seen = Vec::new();
        while let Some(entry) = next(k, a, 100)? {
            eq!(entry.data, vec![]);
            eq!(entry.msg_flags, MSG_ERRQUEUE);
            eq!(entry.stamp, Some((SO_TIMESTAMPING, 48)));
            eq!(
                (entry.errno, entry.origin),
                (libc::ENOMSG as u32, FROM_STAMPS)
            );
            check!(
                entry.offender.iter().all(|b| *b == 0),
                "{:?}",
                entry.offender
            );
            seen.push((entry.info, entry.value));
        }
        // To the queue first, then out of it; without numbers.
        eq!(seen, vec![(SCHED, 0), (SND, 0)]);
        eq!(k.so_error(a)?, 0);
    }
    Ok(())
}

fn stamps_of_raw_packets(k: &mut dyn Kernel) -> Outcome {
    for (family, headers) in [(AF_INET, 14 + 20), (AF_INET6, 14 + 40)] {
        let fd = ok!(k.socket(family, libc::SOCK_RAW | NB, 253));
        let to = match family {
            AF_INET => Addr::lo4(0),
            _ => Addr::lo6(0),
        };
        asks(
            k,
            fd,
            TX_SOFTWARE | TX_SCHED | SOFTWARE | OPT_TSONLY | OPT_ID,
        )?;
        for n in 0..2 {
            ret!(k.sendto(fd, b"hello", 0, &to), 5);
            eq!(moments(k, fd)?, vec![(SCHED, n), (SND, n)]);
        }
        asks(k, fd, TX_SOFTWARE | SOFTWARE)?;
        ret!(k.sendto(fd, b"hello", 0, &to), 5);
        let whole =
            next(k, fd, 200)?.map(|entry| (entry.data.len(), entry.data.ends_with(b"hello")));
        eq!(whole, Some((headers + 5, true)));
    }
    Ok(())
}

fn stamp_with_the_packet(k: &mut dyn Kernel) -> Outcome {
    for (family, headers) in [(AF_INET, 14 + 20 + 8), (AF_INET6, 14 + 40 + 8)] {
        let (a, _b) = k.udp_pair(family)?;
        for flags in [0, OPT_CMSG] {
            asks(k, a, TX_SOFTWARE | SOFTWARE | flags)?;
            ret!(k.send(a, b"hello", 0), 5);
            let Some(entry) = next(k, a, 200)? else {
                return crate::check::fail("stamp", "none".to_string());
            };
            // The whole frame, from the link's header on.
            eq!(entry.data.len(), headers + 5);
            check!(entry.data.ends_with(b"hello"), "{:?}", entry.data);
            let kind = if family == AF_INET {
                [8, 0]
            } else {
                [0x86, 0xdd]
            };
            check!(entry.data[12..14] == kind, "{:?}", entry.data);
            // IPv6 tells where it came from, IPv4 only who asks for control messages.
            let told = entry.offender[0] == family as u8;
            check!(
                told == (family == AF_INET6 || flags != 0),
                "{:?}",
                entry.offender
            );
            // Cut to the room there is.
            ret!(k.send(a, b"hello", 0), 5);
            let Some(entry) = next(k, a, 20)? else {
                return crate::check::fail("stamp", "none".to_string());
            };
            eq!(entry.data.len(), 20);
            eq!(entry.msg_flags, MSG_ERRQUEUE | libc::MSG_TRUNC);
        }
    }
    Ok(())
}

fn numbers_of_datagrams(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, _b) = k.udp_pair(family)?;
        asks(k, a, TX_SOFTWARE | SOFTWARE | OPT_ID | OPT_TSONLY)?;
        for _ in 0..3 {
            ret!(k.send(a, b"x", 0), 1);
        }
        eq!(moments(k, a)?, vec![(SND, 0), (SND, 1), (SND, 2)]);
        // Set again, it goes on; switched on again, it begins anew.
        asks(k, a, TX_SOFTWARE | SOFTWARE | OPT_ID | OPT_TSONLY)?;
        ret!(k.send(a, b"x", 0), 1);
        eq!(moments(k, a)?, vec![(SND, 3)]);
        asks(k, a, SOFTWARE)?;
        asks(k, a, TX_SOFTWARE | SOFTWARE | OPT_ID | OPT_TSONLY)?;
        ret!(k.send(a, b"x", 0), 1);
        eq!(moments(k, a)?, vec![(SND, 0)]);
    }
    Ok(())
}

fn send_with(k: &mut dyn Kernel, fd: Fd, control: &[u8]) -> i64 {
    let mut msg = Msg::of(&[b"x"]).control(control);
    k.sendmsg(fd, &mut msg, 0)
}

fn number_of_ones_own(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.udp_pair(AF_INET)?;
    let own = cmsg(SOL_SOCKET, SCM_TS_OPT_ID, &777u32.to_ne_bytes());
    asks(k, a, TX_SOFTWARE | SOFTWARE | OPT_TSONLY)?;
    err!(send_with(k, a, &own), EINVAL);
    asks(k, a, TX_SOFTWARE | SOFTWARE | OPT_TSONLY | OPT_ID)?;
    ret!(send_with(k, a, &own), 1);
    err!(
        send_with(k, a, &cmsg(SOL_SOCKET, SCM_TS_OPT_ID, &[1, 2])),
        EINVAL
    );
    // It takes none of the others' places.
    ret!(k.send(a, b"x", 0), 1);
    eq!(moments(k, a)?, vec![(SND, 777), (SND, 0)]);
    Ok(())
}

fn asked_for_by_one_message(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.udp_pair(AF_INET)?;
    asks(k, a, SOFTWARE | OPT_ID | OPT_TSONLY)?;
    ret!(k.send(a, b"x", 0), 1);
    for name in [SO_TIMESTAMPING, SO_TIMESTAMPING_NEW] {
        let ask = cmsg(SOL_SOCKET, name, &(TX_SOFTWARE | TX_SCHED).to_ne_bytes());
        ret!(send_with(k, a, &ask), 1);
    }
    ret!(k.send(a, b"x", 0), 1);
    eq!(
        moments(k, a)?,
        vec![(SCHED, 0), (SND, 0), (SCHED, 1), (SND, 1)]
    );
    // Not asked for by one of a socket that asks.
    asks(k, a, TX_SOFTWARE | SOFTWARE | OPT_TSONLY)?;
    ret!(
        send_with(k, a, &cmsg(SOL_SOCKET, SO_TIMESTAMPING, &[0; 4])),
        1
    );
    eq!(moments(k, a)?, vec![]);
    Ok(())
}

fn what_is_not_reported(k: &mut dyn Kernel) -> Outcome {
    // Made, and not to be reported: the entry comes without a time.
    let (a, _b) = k.udp_pair(AF_INET)?;
    asks(k, a, TX_SOFTWARE | OPT_TSONLY)?;
    ret!(k.send(a, b"x", 0), 1);
    let entry = next(k, a, 10)?;
    eq!(
        entry.map(|e| (e.stamp, e.origin)),
        Some((None, FROM_STAMPS))
    );
    Ok(())
}

fn hardware_only_counts(k: &mut dyn Kernel) -> Outcome {
    // No device here makes stamps, but who asks for them is numbered.
    let (a, _b) = k.udp_pair(AF_INET)?;
    asks(k, a, TX_HARDWARE | SOFTWARE | OPT_ID | OPT_TSONLY)?;
    ret!(k.send(a, b"x", 0), 1);
    eq!(moments(k, a)?, vec![]);
    asks(k, a, TX_SOFTWARE | SOFTWARE | OPT_ID | OPT_TSONLY)?;
    ret!(k.send(a, b"x", 0), 1);
    eq!(moments(k, a)?, vec![(SND, 1)]);
    // Datagrams are not acknowledged.
    asks(k, a, TX_ACK | SOFTWARE | OPT_ID | OPT_TSONLY)?;
    ret!(k.send(a, b"x", 0), 1);
    eq!(moments(k, a)?, vec![]);
    Ok(())
}

fn new_form_of_sent_stamps(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.udp_pair(AF_INET)?;
    let flags = TX_SOFTWARE | SOFTWARE | OPT_TSONLY;
    ret!(k.set_int(a, SOL_SOCKET, SO_TIMESTAMPING_NEW, flags), 0);
    ret!(k.send(a, b"x", 0), 1);
    let entry = next(k, a, 10)?;
    eq!(entry.and_then(|e| e.stamp), Some((SO_TIMESTAMPING_NEW, 48)));
    Ok(())
}

fn readiness_of_a_stamp(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.udp_pair(AF_INET)?;
    asks(k, a, TX_SOFTWARE | SOFTWARE | OPT_TSONLY)?;
    mask!(k, a, WB);
    ret!(k.send(a, b"x", 0), 1);
    mask!(k, a, WB | libc::POLLERR);
    // An ordinary receive does not see it, nor is it an error.
    err!(k.recv(a, &mut [0; 4], libc::MSG_DONTWAIT), EAGAIN);
    ret!(k.send(a, b"x", 0), 1);
    eq!(moments(k, a)?, vec![(SND, 0), (SND, 0)]);
    mask!(k, a, WB);
    Ok(())
}

fn no_stamp_for_what_was_not_sent(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.udp_pair(AF_INET)?;
    asks(k, a, TX_SOFTWARE | SOFTWARE | OPT_ID | OPT_TSONLY)?;
    err!(k.send(a, &vec![0; 70_000], 0), EMSGSIZE);
    ret!(k.send(a, b"x", libc::MSG_MORE), 1);
    eq!(moments(k, a)?, vec![]);
    // The first part has the number.
    ret!(k.send(a, b"y", 0), 1);
    eq!(moments(k, a)?, vec![(SND, 0)]);
    Ok(())
}

fn stamps_of_a_stream(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let t = k.tcp(family)?;
        asks(
            k,
            t.client,
            TX_SOFTWARE | TX_SCHED | TX_ACK | SOFTWARE | OPT_ID | OPT_TSONLY,
        )?;
        ret!(k.send(t.client, b"hello", 0), 5);
        k.recv_now(t.server)?;
        eq!(moments(k, t.client)?, vec![(SCHED, 4), (SND, 4), (ACK, 4)]);
        eq!(k.so_error(t.client)?, 0);
    }
    Ok(())
}

fn numbers_of_bytes(k: &mut dyn Kernel) -> Outcome {
    for extra in [0, OPT_ID_TCP] {
        let t = k.tcp(AF_INET)?;
        ret!(k.send(t.client, b"before", 0), 6);
        k.recv_now(t.server)?;
        k.pause(std::time::Duration::from_millis(60));
        asks(k, t.client, TX_ACK | SOFTWARE | OPT_ID | OPT_TSONLY | extra)?;
        for part in [&b"abc"[..], b"de", b"f"] {
            ret!(k.send(t.client, part, 0), part.len());
            k.recv_now(t.server)?;
        }
        eq!(moments(k, t.client)?, vec![(ACK, 2), (ACK, 4), (ACK, 5)]);
        // Without numbers.
        asks(k, t.client, TX_SOFTWARE | SOFTWARE | OPT_TSONLY)?;
        ret!(k.send(t.client, b"xyz", 0), 3);
        eq!(moments(k, t.client)?, vec![(SND, 0)]);
        // The last byte of a message with its own wish.
        asks(k, t.client, SOFTWARE | OPT_ID | OPT_TSONLY)?;
        let mut msg = Msg::of(&[b"wish"]).control(&cmsg(
            SOL_SOCKET,
            SO_TIMESTAMPING,
            &TX_SOFTWARE.to_ne_bytes(),
        ));
        ret!(k.sendmsg(t.client, &mut msg, 0), 4);
        ret!(k.send(t.client, b"none", 0), 4);
        eq!(moments(k, t.client)?.len(), 1);
    }
    Ok(())
}

fn stream_data_comes_back(k: &mut dyn Kernel) -> Outcome {
    let t = k.tcp(AF_INET)?;
    asks(k, t.client, TX_SOFTWARE | TX_ACK | SOFTWARE | OPT_ID)?;
    ret!(k.send(t.client, b"hello", 0), 5);
    k.recv_now(t.server)?;
    let (sent, acked) = (next(k, t.client, 200)?, next(k, t.client, 200)?);
    // Headers and all when it leaves, the bytes alone when they are acknowledged.
    let Some(sent) = sent else {
        return crate::check::fail("stamp", "none".to_string());
    };
    eq!((sent.info, sent.value), (SND, 4));
    eq!(sent.data.len(), 14 + 20 + 32 + 5);
    check!(sent.data.ends_with(b"hello"), "{:?}", sent.data);
    eq!(
        acked.map(|e| (e.info, e.value, e.data)),
        Some((ACK, 4, b"hello".to_vec()))
    );
    Ok(())
}

/// All MSG_ZEROCOPY notices: first and last number of each.
fn notices(k: &mut dyn Kernel, fd: Fd) -> Got<Vec<(u32, u32)>> {
    let mut all = Vec::new();
    while let Some(entry) = next(k, fd, 10)? {
        check!(entry.origin == FROM_ZEROCOPY, "{entry:?}");
        // Over loopback it is a copy all the same, and this is said.
        check!((entry.errno, entry.code) == (0, 1), "{entry:?}");
        check!(entry.data.is_empty() && entry.stamp.is_none(), "{entry:?}");
        check!(entry.offender.iter().all(|b| *b == 0), "{entry:?}");
        all.push((entry.info, entry.value));
    }
    Ok(all)
}

fn zerocopy_of_datagrams(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let (a, b) = k.udp_pair(family)?;
        ret!(k.set_int(a, SOL_SOCKET, SO_ZEROCOPY, 1), 0);
        ret!(k.send(a, b"hello", MSG_ZEROCOPY), 5);
        eq!(k.recv_now(b)?, b"hello".to_vec());
        mask!(k, a, WB | libc::POLLERR);
        eq!(notices(k, a)?, vec![(0, 0)]);
        mask!(k, a, WB);
        eq!(k.so_error(a)?, 0);
        // Nothing is something too.
        ret!(k.send(a, b"", MSG_ZEROCOPY), 0);
        k.recv_now(b)?;
        eq!(notices(k, a)?, vec![(1, 1)]);
    }
    Ok(())
}

fn zerocopy_notices_join(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.set_int(a, SOL_SOCKET, SO_ZEROCOPY, 1), 0);
    for _ in 0..4 {
        ret!(k.send(a, &[7; 3000], MSG_ZEROCOPY), 3000);
        k.recv_now(b)?;
    }
    k.pause(std::time::Duration::from_millis(5));
    eq!(notices(k, a)?, vec![(0, 3)]);
    // What is sent without is not counted.
    ret!(k.send(a, b"x", MSG_ZEROCOPY), 1);
    ret!(k.send(a, b"x", 0), 1);
    ret!(k.send(a, b"x", MSG_ZEROCOPY), 1);
    k.pause(std::time::Duration::from_millis(5));
    eq!(notices(k, a)?, vec![(4, 5)]);
    Ok(())
}

fn zerocopy_of_a_stream(k: &mut dyn Kernel) -> Outcome {
    for family in [AF_INET, AF_INET6] {
        let t = k.tcp(family)?;
        ret!(k.set_int(t.client, SOL_SOCKET, SO_ZEROCOPY, 1), 0);
        eq!(k.get_int(t.server, SOL_SOCKET, SO_ZEROCOPY)?, 0);
        ret!(k.send(t.client, b"hello", MSG_ZEROCOPY), 5);
        eq!(k.recv_now(t.server)?, b"hello".to_vec());
        eq!(notices(k, t.client)?, vec![(0, 0)]);
        // Nothing is nothing here.
        ret!(k.send(t.client, b"", MSG_ZEROCOPY), 0);
        eq!(notices(k, t.client)?, vec![]);
        for _ in 0..3 {
            ret!(k.send(t.client, &[1; 2000], MSG_ZEROCOPY), 2000);
        }
        eq!(k.drain_all(t.server, 6000)?, 6000);
        k.pause(std::time::Duration::from_millis(60));
        eq!(notices(k, t.client)?, vec![(1, 3)]);
    }
    Ok(())
}

fn zerocopy_is_off(k: &mut dyn Kernel) -> Outcome {
    // Without the option the flag says nothing.
    let (a, _b) = k.udp_pair(AF_INET)?;
    ret!(k.send(a, b"x", MSG_ZEROCOPY), 1);
    eq!(notices(k, a)?, vec![]);
    ret!(k.set_int(a, SOL_SOCKET, SO_ZEROCOPY, 1), 0);
    ret!(k.set_int(a, SOL_SOCKET, SO_ZEROCOPY, 0), 0);
    ret!(k.send(a, b"x", MSG_ZEROCOPY), 1);
    eq!(notices(k, a)?, vec![]);
    let (a, _b) = k.pair(AF_UNIX, SOCK_STREAM)?;
    ret!(k.send(a, b"x", MSG_ZEROCOPY), 1);
    Ok(())
}

fn zerocopy_fails_without_a_notice(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.udp_pair(AF_INET)?;
    ret!(k.set_int(a, SOL_SOCKET, SO_ZEROCOPY, 1), 0);
    err!(k.send(a, &vec![0; 70_000], MSG_ZEROCOPY), EMSGSIZE);
    eq!(notices(k, a)?, vec![]);
    // Nor has it taken a number.
    ret!(k.send(a, b"x", MSG_ZEROCOPY), 1);
    eq!(notices(k, a)?, vec![(0, 0)]);
    let fd = k.tcp_socket(AF_INET, 0)?;
    ret!(k.set_int(fd, SOL_SOCKET, SO_ZEROCOPY, 1), 0);
    err!(k.send(fd, b"x", MSG_ZEROCOPY | libc::MSG_NOSIGNAL), EPIPE);
    eq!(notices(k, fd)?, vec![]);
    Ok(())
}

fn stamps_and_notices(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = k.udp_pair(AF_INET)?;
    ret!(k.set_int(a, SOL_SOCKET, SO_ZEROCOPY, 1), 0);
    asks(k, a, TX_SOFTWARE | SOFTWARE | OPT_TSONLY)?;
    ret!(k.send(a, b"both", MSG_ZEROCOPY), 4);
    k.recv_now(b)?;
    k.pause(std::time::Duration::from_millis(5));
    let mut origins = Vec::new();
    while let Some(entry) = next(k, a, 0)? {
        origins.push(entry.origin);
    }
    eq!(origins, vec![FROM_STAMPS, FROM_ZEROCOPY]);
    Ok(())
}

fn select_err_queue_adds_priority(k: &mut dyn Kernel) -> Outcome {
    let (a, _b) = k.udp_pair(AF_INET)?;
    asks(k, a, TX_SOFTWARE | SOFTWARE | OPT_TSONLY)?;
    ret!(k.set_int(a, SOL_SOCKET, SO_SELECT_ERR_QUEUE, 1), 0);
    mask!(k, a, WB);
    ret!(k.send(a, b"x", 0), 1);
    mask!(k, a, WB | libc::POLLERR | libc::POLLPRI);
    eq!(moments(k, a)?, vec![(SND, 0)]);
    mask!(k, a, WB);
    // With any error, not only those of the queue.
    let addr = k.closed_port(AF_INET, libc::SOCK_DGRAM)?;
    ret!(k.set_int(a, SOL_SOCKET, SO_TIMESTAMPING, 0), 0);
    ret!(k.connect(a, &addr), 0);
    ret!(k.send(a, b"x", 0), 1);
    mask!(k, a, WB | libc::POLLERR | libc::POLLPRI);
    // A stream does not know it.
    let t = k.tcp(AF_INET)?;
    asks(k, t.client, TX_SOFTWARE | SOFTWARE | OPT_TSONLY)?;
    ret!(k.set_int(t.client, SOL_SOCKET, SO_SELECT_ERR_QUEUE, 1), 0);
    ret!(k.send(t.client, b"x", 0), 1);
    mask!(k, t.client, crate::sys::W | libc::POLLERR);
    Ok(())
}

fn select_err_queue_of_unix(k: &mut dyn Kernel) -> Outcome {
    // Packets heed it, streams do not.
    for (kind, more) in [(libc::SOCK_SEQPACKET, libc::POLLPRI), (SOCK_STREAM, 0)] {
        let (a, b) = k.pair(AF_UNIX, kind | crate::scene::NB)?;
        ret!(k.set_int(a, SOL_SOCKET, SO_SELECT_ERR_QUEUE, 1), 0);
        ret!(k.send(a, b"unread", 0), 6);
        // Closed with something unread: that is an error.
        k.close(b);
        let mut fds = [libc::pollfd {
            fd: a as i32,
            events: libc::POLLPRI,
            revents: 0,
        }];
        let want = k.shown(a, libc::POLLERR | libc::POLLHUP | more) & libc::POLLPRI;
        k.poll(&mut fds, 0);
        check!(
            fds[0].revents & libc::POLLPRI == want,
            "type {kind}: {:#x}",
            fds[0].revents
        );
        eq!(k.so_error(a)?, libc::ECONNRESET);
    }
    Ok(())
}
