//! PACKET_RX_RING on `lo`: packet(7) and packet_mmap.rst, in the three versions.
//!
//! A body asks for an option after it has mapped a ring: under the runner the descriptor is a socket again from the next call on
//! that comes to the supervisor.

use super::packet::{self, LO, OWN, frame, ll};
use crate::check::{Got, Outcome, check, eq, err, ret};
use crate::kernel::{Kernel, Ring};
use crate::registry::tests;
use crate::sys::{Fd, R, WB};
use libc::{AF_PACKET, SOCK_DGRAM, SOCK_RAW, SOL_SOCKET};
use std::time::Duration;

tests! {
    requests [ROOT],
    what_stays_while_there_is_a_ring [ROOT],
    what_is_mapped [ROOT],
    slots [ROOT],
    slots_without_link_headers [ROOT],
    full_slots [ROOT],
    cut_to_the_slot [ROOT],
    cut_and_whole [ROOT],
    blocks_by_time [ROOT],
    blocks_with_hashes,
    blocks_by_size [ROOT],
    frozen_blocks [ROOT],
    without_it_again [ROOT],
}

const SOL_PACKET: i32 = 263;
const RX_RING: i32 = 5;
const STATISTICS: i32 = 6;
const PACKET_COPY_THRESH: i32 = 7;
const PACKET_VERSION: i32 = 10;
const PACKET_RESERVE: i32 = 12;
const LOSS: i32 = 14;
const PAGE: u32 = 4096;

/// `TP_STATUS_*`
const USER: u32 = 1;
const COPY: u32 = 2;
const LOSING: u32 = 4;
const BLOCK_TIMEOUT: u32 = 32;

fn open(k: &mut dyn Kernel, ty: i32) -> Got<Fd> {
    packet::open(k, ty, OWN)
}

/// `struct tpacket_req`, with what tpacket_req3 has more.
fn request(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn ask(k: &mut dyn Kernel, fd: Fd, words: &[u32]) -> i64 {
    k.setsockopt(fd, SOL_PACKET, RX_RING, &request(words))
}

/// A ring of the version, mapped.
fn ring(k: &mut dyn Kernel, fd: Fd, version: i32, words: &[u32]) -> Got<Box<dyn Ring>> {
    ret!(k.set_int(fd, SOL_PACKET, PACKET_VERSION, version), 0);
    ret!(ask(k, fd, words), 0);
    let ring = k.ring(fd, (words[0] * words[1]) as usize);
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_DOMAIN)?, AF_PACKET);
    match ring {
        Ok(ring) => Ok(ring),
        Err(errno) => crate::check::fail("mmap", errno.to_string()),
    }
}

/// A frame with so much data, through `lo`.
fn send(k: &mut dyn Kernel, data: &[u8]) -> Outcome {
    let fd = packet::open(k, SOCK_RAW, 0)?;
    let bytes = frame(OWN, data);
    ret!(k.sendto(fd, &bytes, 0, &ll(OWN, LO)), bytes.len() as i64);
    k.close(fd);
    Ok(())
}

fn half(ring: &dyn Ring, at: usize) -> u16 {
    let mut bytes = [0; 2];
    ring.read(at, &mut bytes);
    u16::from_ne_bytes(bytes)
}

fn word(ring: &dyn Ring, at: usize) -> u32 {
    let mut bytes = [0; 4];
    ring.read(at, &mut bytes);
    u32::from_ne_bytes(bytes)
}

fn bytes(ring: &dyn Ring, at: usize, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    ring.read(at, &mut bytes);
    bytes
}

/// Gives a slot or a block back.
fn give_back(ring: &dyn Ring, at: usize) {
    ring.write(at, &0u32.to_ne_bytes());
}

/// Without what tells of time stamps and of checksums.
fn status(ring: &dyn Ring, at: usize) -> u32 {
    word(ring, at) & 0x7f
}

/// Packets, those of them that were lost, and more.
fn statistics(k: &mut dyn Kernel, fd: Fd) -> Got<Vec<u32>> {
    let (got, value) = k.getsockopt(fd, SOL_PACKET, STATISTICS, 16);
    ret!(got, 0);
    Ok(value
        .chunks(4)
        .map(|word| u32::from_ne_bytes([word[0], word[1], word[2], word[3]]))
        .collect())
}

/// The mask, once what a program has given back has been seen.
fn settles(k: &mut dyn Kernel, fd: Fd, wanted: i16) -> Got<()> {
    let mut mask = k.poll_mask(fd);
    for _ in 0..400 {
        if mask == wanted {
            break;
        }
        k.pause(Duration::from_millis(2));
        mask = k.poll_mask(fd);
    }
    eq!(mask, wanted);
    Ok(())
}

fn requests(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW)?;
    // block_size, block_nr, frame_size, frame_nr
    for words in [
        [0, 1, 2048, 2],
        [100, 1, 2048, 2],
        [PAGE + 8, 1, 2048, 2],
        [1 << 31, 1, 2048, 2],
        [PAGE, 1, 2048, 3],
        [PAGE, 1, 0, 0],
        [PAGE, 1, 32, 128],
        [PAGE, 1, 2050, 1],
        [PAGE, 1, 2 * PAGE, 1],
        [PAGE, 0, 2048, 2],
        [PAGE, 1, 48, 85],
    ] {
        eq!(
            (words, ask(k, fd, &words)),
            (words, -i64::from(libc::EINVAL))
        );
    }
    err!(ask(k, fd, &[PAGE, 1, 2048]), EINVAL);
    err!(
        k.setsockopt_raw(fd, SOL_PACKET, RX_RING, crate::mem::BAD, 16),
        EINVAL
    );
    // None was there to take away.
    ret!(ask(k, fd, &[0, 0, 0, 0]), 0);
    ret!(ask(k, fd, &[PAGE, 1, 64, 64]), 0);
    ret!(ask(k, fd, &[0, 0, 0, 0]), 0);
    // A block of the third version has a header of its own.
    ret!(k.set_int(fd, SOL_PACKET, PACKET_VERSION, 2), 0);
    err!(ask(k, fd, &[PAGE, 1, 2048, 2]), EINVAL);
    for private in [PAGE - 48 - 68, PAGE, u32::MAX] {
        let words = [PAGE, 1, 2048, 2, 0, private, 0];
        eq!(
            (private, ask(k, fd, &words)),
            (private, -i64::from(libc::EINVAL))
        );
    }
    ret!(ask(k, fd, &[PAGE, 1, 2048, 2, 0, 8, 0]), 0);
    k.close(fd);
    // What is reserved needs room in each frame.
    let fd = open(k, SOCK_RAW)?;
    ret!(k.set_int(fd, SOL_PACKET, PACKET_RESERVE, 100), 0);
    err!(ask(k, fd, &[PAGE, 1, 128, 32]), EINVAL);
    ret!(ask(k, fd, &[PAGE, 1, 160, 25]), 0);
    Ok(())
}

fn what_stays_while_there_is_a_ring(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW)?;
    ret!(ask(k, fd, &[PAGE, 1, 2048, 2]), 0);
    err!(ask(k, fd, &[PAGE, 1, 2048, 2]), EBUSY);
    err!(ask(k, fd, &[PAGE, 2, 2048, 4]), EBUSY);
    for name in [PACKET_VERSION, PACKET_RESERVE, LOSS] {
        eq!(
            (name, k.set_int(fd, SOL_PACKET, name, 0)),
            (name, -i64::from(libc::EBUSY))
        );
    }
    err!(k.set_int(fd, SOL_PACKET, PACKET_VERSION, 7), EINVAL);
    ret!(ask(k, fd, &[0, 0, 0, 0]), 0);
    for name in [PACKET_VERSION, PACKET_RESERVE, LOSS] {
        ret!(k.set_int(fd, SOL_PACKET, name, 1), 0);
    }
    Ok(())
}

fn what_is_mapped(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW)?;
    eq!(k.ring(fd, 4096).err(), Some(-i64::from(libc::EINVAL)));
    ret!(ask(k, fd, &[PAGE, 2, 2048, 4]), 0);
    for len in [4096, 16384] {
        eq!(
            (len, k.ring(fd, len).err()),
            (len, Some(-i64::from(libc::EINVAL)))
        );
    }
    check!(k.ring(fd, 8192).is_ok(), "all of it");
    eq!(k.get_int(fd, SOL_SOCKET, libc::SO_TYPE)?, SOCK_RAW);
    // Another socket has none.
    let (udp, _) = k.udp(libc::AF_INET)?;
    eq!(k.ring(udp, 4096).err(), Some(-i64::from(libc::ENODEV)));
    Ok(())
}

/// Where a slot has its fields: lengths, tp_mac, tp_net, the time's fraction in nanoseconds.
const SLOTS: [(i32, usize, bool); 2] = [(0, 8, false), (1, 4, true)];

fn slots(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for (version, lengths, nanoseconds) in SLOTS {
        let fd = open(k, SOCK_RAW)?;
        let ring = ring(k, fd, version, &[PAGE, 2, 2048, 4])?;
        eq!(k.poll_mask(fd), WB);
        send(k, b"hello")?;
        eq!(k.poll_mask(fd), R | WB);
        let r = &*ring;
        eq!((version, status(r, 0)), (version, USER));
        eq!((word(r, lengths), word(r, lengths + 4)), (19, 19));
        let (mac, net) = (half(r, lengths + 8), half(r, lengths + 10));
        eq!((version, mac, net), (version, 66, 80));
        let fraction = word(r, lengths + 16);
        check!(word(r, lengths + 12) > 1_600_000_000, "the time of day");
        check!(
            fraction
                < if nanoseconds {
                    1_000_000_000
                } else {
                    1_000_000
                },
            "{fraction}"
        );
        // struct sockaddr_ll: as recvfrom(2) has it.
        eq!(
            bytes(r, 32, 4),
            [&(AF_PACKET as u16).to_ne_bytes()[..], &OWN.to_be_bytes()].concat()
        );
        eq!(word(r, 36), LO as u32);
        eq!((half(r, 40), bytes(r, 42, 2)), (772, vec![0, 6]));
        eq!(
            bytes(r, usize::from(mac), 19),
            [&[0; 12][..], &OWN.to_be_bytes(), b"hello"].concat()
        );
        // Nothing for recvfrom(2).
        err!(k.recv(fd, &mut [0; 64], 0), EAGAIN);
        // The next ones, over the end of a block and back to the first.
        for (slot, data) in [(1, b"2"), (2, b"3"), (3, b"4")] {
            eq!(status(r, slot * 2048), 0);
            send(k, data)?;
            eq!(status(r, slot * 2048), USER);
            eq!(bytes(r, slot * 2048 + 80, 1), data.to_vec());
        }
        for slot in 0..4 {
            eq!(k.poll_mask(fd), R | WB);
            give_back(r, slot * 2048);
        }
        settles(k, fd, WB)?;
        send(k, b"5")?;
        eq!((status(r, 0), bytes(r, 80, 1)), (USER, b"5".to_vec()));
        eq!(statistics(k, fd)?, vec![5, 0]);
        k.close(fd);
    }
    Ok(())
}

fn slots_without_link_headers(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_DGRAM)?;
    ret!(k.set_int(fd, SOL_PACKET, PACKET_RESERVE, 32), 0);
    let ring = ring(k, fd, 1, &[PAGE, 1, 2048, 2])?;
    send(k, b"hello")?;
    eq!((half(&*ring, 12), half(&*ring, 14)), (112, 112));
    eq!((word(&*ring, 4), word(&*ring, 8)), (5, 5));
    eq!(bytes(&*ring, 112, 5), b"hello".to_vec());
    Ok(())
}

fn full_slots(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW)?;
    let ring = ring(k, fd, 1, &[PAGE, 1, 2048, 2])?;
    for data in [b"1", b"2", b"3", b"4"] {
        send(k, data)?;
    }
    eq!(bytes(&*ring, 80, 1), b"1".to_vec());
    eq!(bytes(&*ring, 2048 + 80, 1), b"2".to_vec());
    // The next that finds room says that others did not.
    give_back(&*ring, 0);
    send(k, b"5")?;
    eq!(
        (status(&*ring, 0), bytes(&*ring, 80, 1)),
        (USER | LOSING, b"5".to_vec())
    );
    eq!(statistics(k, fd)?, vec![5, 2]);
    give_back(&*ring, 2048);
    send(k, b"6")?;
    eq!(status(&*ring, 2048), USER);
    eq!(statistics(k, fd)?, vec![1, 0]);
    Ok(())
}

fn cut_to_the_slot(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for version in [0, 1] {
        let fd = open(k, SOCK_RAW)?;
        let ring = ring(k, fd, version, &[PAGE, 1, 256, 16])?;
        send(k, &[7; 1000])?;
        let at = if version == 0 { 8 } else { 4 };
        eq!((word(&*ring, at), word(&*ring, at + 4)), (1014, 256 - 66));
        k.close(fd);
    }
    let fd = open(k, SOCK_RAW)?;
    // In a block of its own, with the first one over for it.
    let ring = ring(k, fd, 2, &[PAGE, 2, 2048, 4, 10, 0, 0])?;
    send(k, &[7; 5000])?;
    k.pause(Duration::from_millis(60));
    eq!((word(&*ring, 8), word(&*ring, 12)), (USER, 0));
    let first = 4096 + 48;
    // tp_snaplen, tp_len
    eq!(
        (word(&*ring, first + 12), word(&*ring, first + 16)),
        (4096 - 48 - 82, 5014)
    );
    Ok(())
}

fn cut_and_whole(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW)?;
    ret!(k.set_int(fd, SOL_PACKET, PACKET_COPY_THRESH, 1), 0);
    let ring = ring(k, fd, 1, &[PAGE, 1, 256, 16])?;
    send(k, b"whole")?;
    send(k, &[7; 1000])?;
    eq!(
        (status(&*ring, 0), status(&*ring, 256)),
        (USER, USER | COPY)
    );
    eq!(word(&*ring, 256 + 8), 256 - 66);
    let mut frame = [0; 2000];
    ret!(k.recv(fd, &mut frame, 0), 1014);
    eq!(frame[14..1014].to_vec(), vec![7; 1000]);
    err!(k.recv(fd, &mut frame, 0), EAGAIN);
    Ok(())
}

fn blocks_by_time(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW)?;
    let ring = ring(k, fd, 2, &[PAGE, 2, 2048, 4, 250, 13, 0])?;
    let r = &*ring;
    // struct tpacket_block_desc: version, offset_to_priv, block_status, num_pkts, offset_to_first_pkt.
    eq!((word(r, 0), word(r, 4)), (2, 48));
    eq!(k.poll_mask(fd), WB);
    send(k, b"one")?;
    send(k, b"second")?;
    settles(k, fd, R | WB)?;
    eq!(word(r, 8), USER | BLOCK_TIMEOUT);
    eq!((word(r, 12), word(r, 16)), (2, 64));
    // seq_num
    eq!((word(r, 24), word(r, 28)), (1, 0));
    let first = 64;
    // tp_next_offset; tp_snaplen and tp_len; tp_mac and tp_net.
    eq!(
        (word(r, first), word(r, first + 12), word(r, first + 16)),
        (104, 17, 17)
    );
    eq!((half(r, first + 24), half(r, first + 26)), (82, 96));
    eq!(bytes(r, first + 96, 3), b"one".to_vec());
    eq!(status(r, first + 20), USER);
    // The name.
    eq!(word(r, first + 48 + 4), LO as u32);
    let second = first + 104;
    eq!((word(r, second), word(r, second + 12)), (0, 20));
    eq!(bytes(r, second + 96, 6), b"second".to_vec());
    // blk_len: with the block's header.
    eq!(word(r, 20), 64 + 2 * 104);
    // The time of the last frame is the block's.
    eq!(bytes(r, 40, 8), bytes(r, second + 4, 8));
    check!(word(r, 32) > 1_600_000_000, "the time of day");
    give_back(r, 8);
    settles(k, fd, WB)?;
    // The other one. The runner shows IN for moments although there is nothing (docs/design/packet-rings.md).
    send(k, b"three")?;
    for _ in 0..400 {
        if word(r, 4096 + 8) != 0 {
            break;
        }
        k.pause(Duration::from_millis(2));
    }
    settles(k, fd, R | WB)?;
    eq!(
        (word(r, 4096 + 8), word(r, 4096 + 12), word(r, 4096 + 24)),
        (USER | BLOCK_TIMEOUT, 1, 2)
    );
    eq!(statistics(k, fd)?, vec![3, 0, 0]);
    Ok(())
}

/// TP_FT_REQ_FILL_RXHASH: frames of one flow have one number.
fn blocks_with_hashes(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = packet::open(k, SOCK_RAW, 0x800)?;
    let ring = ring(k, fd, 2, &[PAGE, 2, 2048, 4, 250, 0, 1])?;
    let r = &*ring;
    let (a, b) = k.udp_pair(libc::AF_INET)?;
    let (c, _d) = k.udp_pair(libc::AF_INET)?;
    ret!(k.send(a, b"one", 0), 3);
    ret!(k.send(a, b"another", 0), 7);
    ret!(k.send(c, b"x", 0), 1);
    eq!(k.recv_now(b)?, b"one");
    settles(k, fd, R | WB)?;
    // What leaves is for those who hear every protocol.
    eq!(word(r, 12), 3);
    let mut at = word(r, 16) as usize;
    let mut hashes = Vec::new();
    for _ in 0..3 {
        hashes.push(word(r, at + 28));
        at += word(r, at) as usize;
    }
    check!(hashes.iter().all(|hash| *hash != 0), "{hashes:x?}");
    check!(
        hashes[0] == hashes[1] && hashes[0] != hashes[2],
        "{hashes:x?}"
    );
    Ok(())
}

fn blocks_by_size(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW)?;
    // A time that does not come.
    let ring = ring(k, fd, 2, &[PAGE, 2, 2048, 4, 60_000, 0, 0])?;
    for _ in 0..3 {
        send(k, &[1; 1000])?;
    }
    eq!((k.poll_mask(fd), word(&*ring, 8)), (WB, 0));
    send(k, &[2; 1000])?;
    eq!((k.poll_mask(fd), word(&*ring, 8)), (R | WB, USER));
    eq!((word(&*ring, 12), word(&*ring, 4096 + 8)), (3, 0));
    Ok(())
}

fn frozen_blocks(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW)?;
    let ring = ring(k, fd, 2, &[PAGE, 2, 2048, 4, 60_000, 0, 0])?;
    // Three go into a block.
    for _ in 0..9 {
        send(k, &[1; 1000])?;
    }
    eq!((word(&*ring, 8), word(&*ring, 4096 + 8)), (USER, USER));
    eq!(statistics(k, fd)?, vec![9, 3, 1]);
    eq!(statistics(k, fd)?, vec![0, 0, 0]);
    give_back(&*ring, 8);
    send(k, &[2; 1000])?;
    eq!((word(&*ring, 8), bytes(&*ring, 48 + 96, 1)), (0, vec![2]));
    eq!(word(&*ring, 24), 3);
    eq!(statistics(k, fd)?, vec![1, 0, 0]);
    Ok(())
}

fn without_it_again(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k, SOCK_RAW)?;
    send(k, b"lost")?;
    ret!(ask(k, fd, &[PAGE, 1, 2048, 2]), 0);
    err!(k.recv(fd, &mut [0; 64], 0), EAGAIN);
    send(k, b"in the ring")?;
    ret!(ask(k, fd, &[0, 0, 0, 0]), 0);
    eq!(k.poll_mask(fd), WB);
    send(k, b"for the queue")?;
    ret!(k.recv(fd, &mut [0; 64], 0), 27);
    Ok(())
}
