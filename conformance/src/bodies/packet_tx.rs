//! PACKET_TX_RING, and time stamps of what packet sockets send: packet(7), packet_mmap.rst, timestamping.rst. On `lo`. Options by
//! number, as in linux/if_packet.h: PACKET_TX_RING 13, PACKET_LOSS 14, PACKET_TX_TIMESTAMP 16, PACKET_TX_HAS_OFF 19.

use super::packet::{IP, LO, OWN, frame, ll, next, open};
use crate::check::{Got, Outcome, check, eq, err, ret};
use crate::kernel::{Kernel, Ring};
use crate::msg::{Msg, cmsg};
use crate::registry::tests;
use crate::sys::{Fd, WB};
use libc::{MSG_ERRQUEUE, SOCK_DGRAM, SOCK_RAW, SOL_SOCKET};

tests! {
    ring_requests [ROOT],
    ring_sends [ROOT],
    ring_without_link_headers [ROOT],
    ring_goes_on_where_it_was [ROOT],
    ring_of_wrong_frames [ROOT],
    ring_of_frames_that_may_be_lost [ROOT],
    ring_with_offsets [ROOT],
    ring_destinations [ROOT],
    both_rings [ROOT],
    stamps_of_frames [ROOT],
    stamps_by_number [ROOT],
    stamps_alone [ROOT],
    stamps_cut [ROOT],
    stamps_and_poll [ROOT],
}

const SOL_PACKET: i32 = 263;
const RX_RING: i32 = 5;
const VERSION: i32 = 10;
const RESERVE: i32 = 12;
const TX_RING: i32 = 13;
const LOSS: i32 = 14;
const TX_TIMESTAMP: i32 = 16;
const TX_HAS_OFF: i32 = 19;
const QDISC_BYPASS: i32 = 20;
const PAGE: u32 = 4096;

/// `TP_STATUS_*` of what is sent.
const AVAILABLE: u32 = 0;
const SEND_REQUEST: u32 = 1;
const WRONG_FORMAT: u32 = 4;

/// Where a slot has its status, its length, and its frame.
const SLOTS: [(usize, usize, usize); 3] = [(0, 8, 32), (0, 4, 32), (20, 16, 48)];

fn request(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn word(ring: &dyn Ring, at: usize) -> u32 {
    let mut bytes = [0; 4];
    ring.read(at, &mut bytes);
    u32::from_ne_bytes(bytes)
}

/// A ring of four slots, in the version.
fn ring(k: &mut dyn Kernel, fd: Fd, version: i32) -> Got<Box<dyn Ring>> {
    ret!(k.set_int(fd, SOL_PACKET, VERSION, version), 0);
    let words = [PAGE, 2, 2048, 4, 0, 0, 0];
    ret!(k.setsockopt(fd, SOL_PACKET, TX_RING, &request(&words)), 0);
    map(k, fd, 2 * PAGE)
}

fn map(k: &mut dyn Kernel, fd: Fd, len: u32) -> Got<Box<dyn Ring>> {
    let ring = k.ring(fd, len as usize);
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_DOMAIN)?, libc::AF_PACKET);
    match ring {
        Ok(ring) => Ok(ring),
        Err(errno) => crate::check::fail("mmap", errno.to_string()),
    }
}

/// Fills a slot, and asks for it to be sent.
fn put(ring: &dyn Ring, version: i32, slot: usize, frame: &[u8]) {
    let (status, length, data) = SLOTS[version as usize];
    let at = slot * 2048;
    ring.write(at + data, frame);
    ring.write(at + length, &(frame.len() as u32).to_ne_bytes());
    ring.write(at + status, &SEND_REQUEST.to_ne_bytes());
}

fn status(ring: &dyn Ring, version: i32, slot: usize) -> u32 {
    word(ring, slot * 2048 + SLOTS[version as usize].0)
}

/// What was heard of it.
fn heard(k: &mut dyn Kernel, fd: Fd) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| next(k, fd).map(|(data, _)| data)).collect()
}

fn ring_requests(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW, 0)?;
    let ask =
        |k: &mut dyn Kernel, words: &[u32]| k.setsockopt(fd, SOL_PACKET, TX_RING, &request(words));
    for words in [
        [0, 1, 2048, 2],
        [100, 1, 2048, 2],
        [PAGE, 1, 2048, 3],
        [PAGE, 0, 2048, 2],
    ] {
        eq!((words, ask(k, &words)), (words, -i64::from(libc::EINVAL)));
    }
    err!(ask(k, &[PAGE, 1, 2048]), EINVAL);
    ret!(ask(k, &[PAGE, 1, 2048, 2]), 0);
    err!(ask(k, &[PAGE, 1, 2048, 2]), EBUSY);
    for name in [VERSION, RESERVE, LOSS] {
        eq!(
            (name, k.set_int(fd, SOL_PACKET, name, 0)),
            (name, -i64::from(libc::EBUSY))
        );
    }
    ret!(ask(k, &[0, 0, 0, 0]), 0);
    eq!(k.ring(fd, 4096).err(), Some(-i64::from(libc::EINVAL)));
    ret!(k.set_int(fd, SOL_PACKET, VERSION, 2), 0);
    // Blocks are for what comes.
    for words in [
        [PAGE, 1, 1024, 4, 10, 0, 0],
        [PAGE, 1, 1024, 4, 0, 8, 0],
        [PAGE, 1, 1024, 4, 0, 0, 1],
    ] {
        eq!((words, ask(k, &words)), (words, -i64::from(libc::EINVAL)));
    }
    ret!(ask(k, &[PAGE, 1, 1024, 4, 0, 0, 0]), 0);
    let (got, _) = k.getsockopt(fd, SOL_PACKET, TX_RING, 16);
    err!(got, ENOPROTOOPT);
    Ok(())
}

fn ring_sends(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let hears = open(k, SOCK_RAW, OWN)?;
    for version in 0..3 {
        let fd = open(k, SOCK_RAW, 0)?;
        ret!(k.bind(fd, &ll(0, LO)), 0);
        let ring = ring(k, fd, version)?;
        let r = &*ring;
        eq!(k.poll_mask(fd), WB);
        // Nothing is asked for.
        ret!(k.send(fd, b"", 0), 0);
        put(r, version, 0, &frame(OWN, b"one"));
        put(r, version, 1, &frame(OWN, b"another"));
        ret!(k.send(fd, b"", 0), 17 + 21);
        let all = heard(k, hears);
        eq!(
            (version, all),
            (version, vec![frame(OWN, b"one"), frame(OWN, b"another")])
        );
        for slot in 0..4 {
            eq!((slot, status(r, version, slot)), (slot, AVAILABLE));
        }
        // The bytes of the call are nothing.
        put(r, version, 2, &frame(OWN, b"third"));
        ret!(k.send(fd, b"some bytes that nobody sends", 0), 19);
        eq!(heard(k, hears), [frame(OWN, b"third")]);
        k.close(fd);
    }
    Ok(())
}

fn ring_without_link_headers(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let hears = open(k, SOCK_RAW, OWN)?;
    let fd = open(k, SOCK_DGRAM, 0)?;
    let ring = ring(k, fd, 1)?;
    put(&*ring, 1, 0, b"plain");
    ret!(k.sendto(fd, b"", 0, &ll(OWN, LO)), 5);
    eq!(heard(k, hears), [frame(OWN, b"plain")]);
    Ok(())
}

fn ring_goes_on_where_it_was(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let hears = open(k, SOCK_RAW, OWN)?;
    let fd = open(k, SOCK_RAW, OWN)?;
    ret!(k.bind(fd, &ll(OWN, LO)), 0);
    let ring = ring(k, fd, 1)?;
    let r = &*ring;
    // A slot further on waits for the one before.
    put(r, 1, 1, &frame(OWN, b"second"));
    ret!(k.send(fd, b"", 0), 0);
    eq!(heard(k, hears), Vec::<Vec<u8>>::new());
    put(r, 1, 0, &frame(OWN, b"first"));
    ret!(k.send(fd, b"", libc::MSG_DONTWAIT), 19 + 20);
    eq!(
        heard(k, hears),
        [frame(OWN, b"first"), frame(OWN, b"second")]
    );
    for slot in [2, 3, 0] {
        put(r, 1, slot, &frame(OWN, b"x"));
    }
    ret!(k.send(fd, b"", 0), 45);
    eq!(heard(k, hears).len(), 3);
    Ok(())
}

fn ring_of_wrong_frames(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let hears = open(k, SOCK_RAW, OWN)?;
    for version in 0..3 {
        let fd = open(k, SOCK_RAW, OWN)?;
        ret!(k.bind(fd, &ll(OWN, LO)), 0);
        let ring = ring(k, fd, version)?;
        let r = &*ring;
        put(r, version, 0, &frame(OWN, b"good"));
        // Shorter than a link's header.
        put(r, version, 1, &[0; 13]);
        put(r, version, 2, &frame(OWN, b"later"));
        err!(k.send(fd, b"", 0), EINVAL);
        eq!(heard(k, hears), [frame(OWN, b"good")]);
        let all: Vec<u32> = (0..4).map(|slot| status(r, version, slot)).collect();
        eq!(
            (version, all),
            (
                version,
                vec![AVAILABLE, WRONG_FORMAT, SEND_REQUEST, AVAILABLE]
            )
        );
        // It has to be mended first.
        ret!(k.send(fd, b"", 0), 0);
        put(r, version, 1, &frame(OWN, b"mended"));
        let length = SLOTS[version as usize].1;
        r.write(2 * 2048 + length, &3000u32.to_ne_bytes());
        err!(k.send(fd, b"", 0), EMSGSIZE);
        eq!(heard(k, hears), [frame(OWN, b"mended")]);
        eq!(status(r, version, 2), WRONG_FORMAT);
        k.close(fd);
    }
    // "variable sized slot not supported"
    let fd = open(k, SOCK_RAW, OWN)?;
    ret!(k.bind(fd, &ll(OWN, LO)), 0);
    let ring = ring(k, fd, 2)?;
    put(&*ring, 2, 0, &frame(OWN, b"good"));
    ring.write(0, &64u32.to_ne_bytes());
    err!(k.send(fd, b"", 0), EINVAL);
    Ok(())
}

fn ring_of_frames_that_may_be_lost(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let hears = open(k, SOCK_RAW, OWN)?;
    let fd = open(k, SOCK_RAW, OWN)?;
    ret!(k.bind(fd, &ll(OWN, LO)), 0);
    ret!(k.set_int(fd, SOL_PACKET, LOSS, 1), 0);
    let ring = ring(k, fd, 1)?;
    let r = &*ring;
    put(r, 1, 0, &[0; 13]);
    put(r, 1, 1, &frame(OWN, b"good"));
    ret!(k.send(fd, b"", 0), 18);
    eq!(heard(k, hears), [frame(OWN, b"good")]);
    eq!((status(r, 1, 0), status(r, 1, 1)), (AVAILABLE, AVAILABLE));
    Ok(())
}

fn ring_with_offsets(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let hears = open(k, SOCK_RAW, OWN)?;
    for (ty, version, offset_at) in [
        (SOCK_RAW, 0, 16),
        (SOCK_RAW, 1, 12),
        (SOCK_DGRAM, 1, 14),
        (SOCK_RAW, 2, 24),
    ] {
        let fd = open(k, ty, 0)?;
        ret!(k.set_int(fd, SOL_PACKET, TX_HAS_OFF, 1), 0);
        let ring = ring(k, fd, version)?;
        let r = &*ring;
        let data = match ty {
            SOCK_RAW => frame(OWN, b"moved"),
            _ => b"moved".to_vec(),
        };
        for (offset, want) in [
            (100u16, data.len() as i64),
            (31, -i64::from(libc::EINVAL)),
            (2046, -i64::from(libc::EINVAL)),
        ] {
            let slot = usize::from(offset != 100);
            put(r, version, slot, &data);
            r.write(
                slot * 2048 + usize::from(offset),
                &data[..data.len().min(8)],
            );
            r.write(slot * 2048 + 100, &data);
            r.write(slot * 2048 + offset_at, &offset.to_ne_bytes());
            let got = k.sendto(fd, b"", 0, &ll(OWN, LO));
            eq!((ty, version, offset, got), (ty, version, offset, want));
            let frames = if want > 0 {
                vec![frame(OWN, b"moved")]
            } else {
                vec![]
            };
            eq!(heard(k, hears), frames);
        }
        // It stays while there is a ring.
        ret!(k.set_int(fd, SOL_PACKET, TX_HAS_OFF, 0), 0);
        eq!(k.get_int(fd, SOL_PACKET, TX_HAS_OFF)?, 1);
        k.close(fd);
    }
    Ok(())
}

fn ring_destinations(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW, 0)?;
    let ring = ring(k, fd, 1)?;
    put(&*ring, 1, 0, &frame(OWN, b"x"));
    err!(k.send(fd, b"", 0), ENXIO);
    err!(k.sendto(fd, b"", 0, &ll(OWN, 99)), ENXIO);
    err!(k.sendto(fd, b"", 0, &ll(OWN, LO).cut(12)), EINVAL);
    eq!(status(&*ring, 1, 0), SEND_REQUEST);
    ret!(k.sendto(fd, b"", 0, &ll(OWN, LO)), 15);
    // write(2) and sendmsg(2) do it, too.
    ret!(k.bind(fd, &ll(OWN, LO)), 0);
    put(&*ring, 1, 1, &frame(OWN, b"x"));
    ret!(k.write(fd, b"?"), 15);
    put(&*ring, 1, 2, &frame(OWN, b"x"));
    let mut msg = Msg::of(&[b""]);
    ret!(k.sendmsg(fd, &mut msg, 0), 15);
    Ok(())
}

fn both_rings(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for first in [RX_RING, TX_RING] {
        let fd = open(k, SOCK_RAW, OWN)?;
        ret!(k.bind(fd, &ll(OWN, LO)), 0);
        ret!(k.set_int(fd, SOL_PACKET, VERSION, 1), 0);
        let words = request(&[PAGE, 1, 2048, 2]);
        for name in [first, RX_RING + TX_RING - first] {
            ret!(k.setsockopt(fd, SOL_PACKET, name, &words), 0);
        }
        for len in [4096, 12288] {
            eq!(k.ring(fd, len).err(), Some(-i64::from(libc::EINVAL)));
        }
        // What comes lies in front.
        let ring = map(k, fd, 2 * PAGE)?;
        put(&*ring, 1, 2, &frame(OWN, b"round"));
        ret!(k.send(fd, b"", 0), 19);
        eq!((first, word(&*ring, 0) & 1), (first, 1));
        let mut bytes = [0; 19];
        let mut at = [0; 2];
        ring.read(12, &mut at);
        ring.read(usize::from(u16::from_ne_bytes(at)), &mut bytes);
        eq!(bytes.to_vec(), frame(OWN, b"round"));
        k.close(fd);
    }
    Ok(())
}

const TX_SOFTWARE: i32 = 1 << 1;
const SOFTWARE: i32 = 1 << 4;
const OPT_ID: i32 = 1 << 7;
const TX_SCHED: i32 = 1 << 8;
const OPT_TSONLY: i32 = 1 << 11;

/// An entry of the error queue.
#[derive(Debug, PartialEq)]
struct Stamp {
    data: Vec<u8>,
    flags: i32,
    /// Of the control messages, in order: level and type.
    kinds: Vec<(i32, i32)>,
    /// errno, origin, info, data
    error: (u32, u8, u32, u32),
}

fn stamp(k: &mut dyn Kernel, fd: Fd, room: usize) -> Got<Option<Stamp>> {
    let mut msg = Msg::room(&[room]).name_room(28).control_room(512);
    let n = k.recvmsg(fd, &mut msg, MSG_ERRQUEUE);
    if n == -i64::from(libc::EAGAIN) {
        return Ok(None);
    }
    check!(n >= 0, "recvmsg: {n}");
    eq!(msg.hdr.msg_namelen, 0);
    let cmsgs = msg.cmsgs();
    let mut error = (0, 0, 0, 0);
    for c in cmsgs.iter().filter(|c| c.level == SOL_PACKET) {
        let word = |at: usize| crate::mem::as_int(&c.data[at..at + 4]) as u32;
        eq!(c.data.len(), 16);
        error = (word(0), c.data[4], word(8), word(12));
    }
    Ok(Some(Stamp {
        data: msg.data(n),
        flags: msg.flags(),
        kinds: cmsgs.iter().map(|c| (c.level, c.kind)).collect(),
        error,
    }))
}

fn stamps_on(k: &mut dyn Kernel, flags: i32) -> Got<Fd> {
    let fd = open(k, SOCK_RAW, 0)?;
    ret!(k.set_int(fd, SOL_SOCKET, libc::SO_TIMESTAMPING, flags), 0);
    Ok(fd)
}

const KINDS: [(i32, i32); 2] = [
    (SOL_SOCKET, libc::SCM_TIMESTAMPING),
    (SOL_PACKET, TX_TIMESTAMP),
];

fn stamps_of_frames(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = stamps_on(k, TX_SOFTWARE | TX_SCHED | SOFTWARE)?;
    let bytes = frame(OWN, b"stamped");
    ret!(k.sendto(fd, &bytes, 0, &ll(OWN, LO)), 21);
    for info in [1, 0] {
        let want = Stamp {
            data: bytes.clone(),
            flags: MSG_ERRQUEUE,
            kinds: KINDS.to_vec(),
            error: (libc::ENOMSG as u32, 4, info, 0),
        };
        eq!(stamp(k, fd, 100)?, Some(want));
    }
    eq!(stamp(k, fd, 100)?, None);
    // One that passes by the queueing discipline was never in it.
    ret!(k.set_int(fd, SOL_PACKET, QDISC_BYPASS, 1), 0);
    ret!(k.sendto(fd, &bytes, 0, &ll(OWN, LO)), 21);
    let only = stamp(k, fd, 100)?;
    eq!(only.map(|s| s.error.2), Some(0));
    eq!(stamp(k, fd, 100)?, None);
    // Without the link's header, which is written for it.
    let fd = open(k, SOCK_DGRAM, 0)?;
    ret!(
        k.set_int(
            fd,
            SOL_SOCKET,
            libc::SO_TIMESTAMPING,
            TX_SOFTWARE | SOFTWARE
        ),
        0
    );
    ret!(k.sendto(fd, b"cooked", 0, &ll(IP, LO)), 6);
    let only = stamp(k, fd, 100)?;
    eq!(only.map(|s| s.data), Some(frame(IP, b"cooked")));
    // A reader that is not asked to tell the software's time is told of the moment.
    let fd = stamps_on(k, TX_SOFTWARE)?;
    ret!(k.sendto(fd, &bytes, 0, &ll(OWN, LO)), 21);
    let only = stamp(k, fd, 100)?;
    eq!(only.map(|s| s.kinds), Some(vec![KINDS[1]]));
    Ok(())
}

fn stamps_by_number(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = stamps_on(k, TX_SOFTWARE | SOFTWARE | OPT_ID)?;
    for want in 0..3 {
        ret!(k.sendto(fd, &frame(OWN, b"x"), 0, &ll(OWN, LO)), 15);
        eq!(stamp(k, fd, 100)?.map(|s| s.error.3), Some(want));
    }
    // A message may have a number of its own (SCM_TS_OPT_ID), or ask for itself.
    let mut msg = Msg::of(&[&frame(OWN, b"x")])
        .to(&ll(OWN, LO))
        .control(&cmsg(SOL_SOCKET, 81, &77u32.to_ne_bytes()));
    ret!(k.sendmsg(fd, &mut msg, 0), 15);
    eq!(stamp(k, fd, 100)?.map(|s| s.error.3), Some(77));
    let fd = stamps_on(k, SOFTWARE)?;
    let ask = cmsg(
        SOL_SOCKET,
        libc::SO_TIMESTAMPING,
        &(TX_SOFTWARE as u32).to_ne_bytes(),
    );
    let mut msg = Msg::of(&[&frame(OWN, b"x")]).to(&ll(OWN, LO)).control(&ask);
    ret!(k.sendmsg(fd, &mut msg, 0), 15);
    check!(stamp(k, fd, 100)?.is_some(), "asked for");
    ret!(k.sendto(fd, &frame(OWN, b"x"), 0, &ll(OWN, LO)), 15);
    eq!(stamp(k, fd, 100)?, None);
    Ok(())
}

fn stamps_alone(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = stamps_on(k, TX_SOFTWARE | SOFTWARE | OPT_TSONLY)?;
    ret!(k.sendto(fd, &frame(OWN, b"x"), 0, &ll(OWN, LO)), 15);
    let only = stamp(k, fd, 100)?;
    eq!(
        only.map(|s| (s.data, s.kinds)),
        Some((vec![], KINDS.to_vec()))
    );
    Ok(())
}

fn stamps_cut(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = stamps_on(k, TX_SOFTWARE | SOFTWARE)?;
    let bytes = frame(OWN, b"0123456789");
    ret!(k.sendto(fd, &bytes, 0, &ll(OWN, LO)), 24);
    let only = stamp(k, fd, 16)?;
    eq!(
        only.map(|s| (s.data, s.flags)),
        Some((bytes[..16].to_vec(), MSG_ERRQUEUE | libc::MSG_TRUNC))
    );
    Ok(())
}

fn stamps_and_poll(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = stamps_on(k, TX_SOFTWARE | SOFTWARE)?;
    ret!(k.sendto(fd, &frame(OWN, b"x"), 0, &ll(OWN, LO)), 15);
    let mask = k.shown(fd, WB | libc::POLLERR);
    eq!(k.poll_mask(fd), mask);
    // It is no pending error.
    eq!(k.so_error(fd)?, 0);
    let mut buf = [0; 10];
    err!(k.recv(fd, &mut buf, 0), EAGAIN);
    check!(stamp(k, fd, 100)?.is_some(), "there it is");
    eq!(k.poll_mask(fd), WB);
    Ok(())
}
