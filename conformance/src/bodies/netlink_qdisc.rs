//! RTM_NEWQDISC and RTM_DELQDISC: queueing disciplines of `lo`, made, changed and refused as tc(8) asks for it, and what packets
//! go through then. On the host in a network namespace of the body's own. Where its kernel lacks one, the others are asked.

use super::netlink::{Answer, answers, attribute, dump, nl, request, route};
use super::netlink_route::change;
use crate::check::{Got, Outcome, check, eq, ok, ret, skip};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use libc::{AF_INET, AF_NETLINK, SOCK_RAW};
use std::time::Duration;

tests! {
    disciplines_are_made_and_refused [ROOT],
    disciplines_behind_each_other [ROOT],
    news_of_disciplines [ROOT],
    an_ordinary_user_makes_none [DROP],
    packets_are_counted_and_dropped [ROOT],
    a_bucket_of_tokens [ROOT],
    bands_of_priorities [ROOT],
    netem_delays_and_loses [ROOT],
    netem_tells_what_it_was_told [ROOT],
    codel_tells_what_it_was_told [ROOT],
    the_name_of_the_root [ROOT],
}

const NEW: u16 = 36;
const DEL: u16 = 37;
const GET: u16 = 38;
const ROOT_PARENT: u32 = u32::MAX;
const ADD: u16 = 0x600;
const REPLACE: u16 = 0x500;
/// Neither made nor replaced.
const CHANGE: u16 = 0;

fn tc(interface: i32, handle: u32, parent: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(interface.to_ne_bytes());
    body.extend(handle.to_ne_bytes());
    body.extend(parent.to_ne_bytes());
    body.extend([0; 4]);
    body
}

fn words(all: &[u32]) -> Vec<u8> {
    all.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// The message of a discipline of `lo` with its options.
fn of(handle: u32, parent: u32, kind: &str, options: &[u8]) -> Vec<u8> {
    let mut m = tc(1, handle, parent);
    m.extend(attribute(1, &[kind.as_bytes(), &[0]].concat()));
    if !options.is_empty() {
        m.extend(attribute(2, options));
    }
    m
}

/// TCA_TBF_PARMS: bytes a second, a limit in bytes, ticks of 64 ns.
fn tbf(rate: u32, limit: u32, buffer: u32) -> Vec<u8> {
    let rate = [&[0, 1, 0, 0, 0, 0, 0, 0][..], &rate.to_ne_bytes()].concat();
    let parms = [rate, vec![0; 12], words(&[limit, buffer, 0])].concat();
    attribute(1, &parms)
}

/// Runs a part and takes away what it left.
fn with_lo(k: &mut dyn Kernel, part: impl FnOnce(&mut dyn Kernel) -> Outcome) -> Outcome {
    k.own_network()?;
    let done = part(k);
    change(k, DEL, 0, &tc(1, 0, ROOT_PARENT))?;
    done
}

/// Makes a root, or ends the body where there is no such kind.
fn root(k: &mut dyn Kernel, kind: &str, options: &[u8]) -> Outcome {
    match change(k, NEW, REPLACE, &of(0x1_0000, ROOT_PARENT, kind, options))? {
        0 => Ok(()),
        libc::ENOENT => skip!("this kernel has no {kind}"),
        other => {
            eq!(other, 0);
            Ok(())
        }
    }
}

/// Name, options, handle and parent.
type Shown = (String, Vec<u8>, u32, u32);

fn all(k: &mut dyn Kernel) -> Got<Vec<Shown>> {
    let shown = |m: &Answer| {
        let word = |at: usize| u32::from_ne_bytes(m.body[at..at + 4].try_into().unwrap_or([0; 4]));
        let name = m.attribute(20, 1).unwrap_or_default();
        let name = String::from_utf8_lossy(&name)
            .trim_end_matches('\0')
            .to_string();
        let options = m.attribute(20, 2).unwrap_or_default();
        (name, options, word(8), word(12))
    };
    let all = dump(k, GET, &tc(0, 0, 0))?;
    Ok(all.iter().map(shown).collect())
}

/// Of the root: bytes and packets that left; packets and bytes that wait, drops, overlimits.
fn counted(k: &mut dyn Kernel) -> Got<(u64, [u32; 5])> {
    let all = dump(k, GET, &tc(0, 0, 0))?;
    let stats = all[0].attribute(20, 3).unwrap_or_default();
    check!(stats.len() == 40, "{stats:?}");
    let word = |at: usize| u32::from_ne_bytes(stats[at..at + 4].try_into().unwrap_or([0; 4]));
    let bytes = u64::from_ne_bytes(stats[..8].try_into().unwrap_or([0; 8]));
    Ok((bytes, [word(8), word(28), word(32), word(12), word(16)]))
}

fn disciplines_are_made_and_refused(k: &mut dyn Kernel) -> Outcome {
    with_lo(k, |k| {
        let limit = |n: u32| words(&[n]);
        let pfifo = |handle, parent, n| of(handle, parent, "pfifo", &limit(n));
        let first = 0x1_0000;
        for (kind, flags, body, errno) in [
            (NEW, CHANGE, pfifo(0, ROOT_PARENT, 5), libc::ENOENT),
            (NEW, ADD, pfifo(first, ROOT_PARENT, 5), 0),
            (NEW, ADD, pfifo(first, ROOT_PARENT, 5), libc::EEXIST),
            (NEW, ADD, pfifo(0, ROOT_PARENT, 5), libc::EEXIST),
            (NEW, CHANGE, pfifo(0x2_0000, ROOT_PARENT, 5), libc::EEXIST),
            (NEW, CHANGE, pfifo(first, ROOT_PARENT, 6), 0),
            (NEW, CHANGE, pfifo(first, 0, 7), 0),
            (NEW, CHANGE, of(first, 0, "bfifo", &limit(9)), libc::EINVAL),
            (NEW, CHANGE, pfifo(0, 0, 7), libc::EINVAL),
            (NEW, CHANGE, pfifo(0x9_0000, 0, 7), libc::ENOENT),
            (
                NEW,
                ADD | 0x100,
                pfifo(0x3_0001, ROOT_PARENT, 1),
                libc::EINVAL,
            ),
            (NEW, ADD, pfifo(0x2_0000, 0x1_0001, 1), libc::EOPNOTSUPP),
            (NEW, ADD, pfifo(0x2_0000, 0x5_0001, 1), libc::ENOENT),
            (
                NEW,
                REPLACE,
                of(0, ROOT_PARENT, "nosuch", &[]),
                libc::ENOENT,
            ),
            (
                NEW,
                REPLACE,
                of(0, ROOT_PARENT, "bfifo", &[1, 2]),
                libc::EINVAL,
            ),
            (NEW, REPLACE, of(0, ROOT_PARENT, "tbf", &[]), libc::EINVAL),
            (
                NEW,
                REPLACE,
                of(0, ROOT_PARENT, "tbf", &tbf(1000, 3000, 0)),
                libc::EINVAL,
            ),
            (NEW, REPLACE, tc(1, 0x3_0000, ROOT_PARENT), libc::ENOENT),
            (NEW, ADD, tc(99, 0, ROOT_PARENT), libc::ENODEV),
            (NEW, ADD, vec![0; 8], libc::EINVAL),
            (GET, 0, tc(1, first, 0), 0),
            (GET, 0, tc(1, 0x3_0000, 0), libc::ENOENT),
            (GET, 0, tc(1, 0x3_0000, ROOT_PARENT), libc::EINVAL),
            (DEL, 0, tc(1, first, 0), libc::EINVAL),
            (DEL, 0, of(0, ROOT_PARENT, "tbf", &[]), libc::EINVAL),
            (DEL, 0, tc(1, 0, 0x1_0001), libc::EOPNOTSUPP),
        ] {
            let got = change(k, kind, flags | 4, &body)?;
            eq!((kind, flags, body.clone(), got), (kind, flags, body, errno));
        }
        let now = ("pfifo".to_string(), limit(7), first, ROOT_PARENT);
        eq!(all(k)?, [now]);
        // A change to another kind makes one; handles are given out from 8001: on.
        let other = of(0, ROOT_PARENT, "bfifo", &limit(3000));
        eq!(change(k, NEW, CHANGE, &other)?, 0);
        let got = all(k)?.remove(0);
        eq!((got.0.as_str(), got.1), ("bfifo", limit(3000)));
        check!(got.2 >= 0x8001_0000 && got.2 & 0xffff == 0, "{:x}", got.2);
        // The limit that there is without one: of the interface's queue, in packets of its MTU.
        eq!(
            change(k, NEW, REPLACE, &of(first, ROOT_PARENT, "bfifo", &[]))?,
            0
        );
        eq!(all(k)?[0].1.clone(), limit(1000 * 65_550));
        eq!(change(k, DEL, 0, &tc(1, 0, ROOT_PARENT))?, 0);
        eq!(change(k, DEL, 0, &tc(1, 0, ROOT_PARENT))?, libc::ENOENT);
        eq!(all(k)?[0].0.as_str(), "noqueue");
        Ok(())
    })
}

fn disciplines_behind_each_other(k: &mut dyn Kernel) -> Outcome {
    with_lo(k, |k| {
        let bucket = |handle, parent, rate| of(handle, parent, "tbf", &tbf(rate, 3000, 244_140));
        let pfifo = |parent, n: u32| of(0x3_0000, parent, "pfifo", &words(&[n]));
        for (kind, flags, body, errno) in [
            (NEW, ADD, bucket(0x2_0000, ROOT_PARENT, 1000), 0),
            (NEW, ADD, pfifo(0x2_0001, 9), 0),
            (
                NEW,
                REPLACE,
                of(0x6_0000, 0x2_0001, "noqueue", &[]),
                libc::EINVAL,
            ),
            (NEW, REPLACE, bucket(0x2_0000, 0x2_0001, 1000), libc::EINVAL),
            // A FIFO behind it has its limit.
            (NEW, CHANGE, bucket(0, ROOT_PARENT, 2000), 0),
        ] {
            eq!((flags, change(k, kind, flags, &body)?), (flags, errno));
        }
        let name = |name: &str| name.to_string();
        let first = (name("tbf"), tbf(2000, 3000, 244_140), 0x2_0000, ROOT_PARENT);
        let second = (name("pfifo"), words(&[3000]), 0x3_0000, 0x2_0001);
        eq!(all(k)?, [first.clone(), second]);
        eq!(change(k, DEL, 0, &tc(1, 0, 0x2_0001))?, 0);
        eq!(change(k, DEL, 0, &tc(1, 0, 0x2_0001))?, libc::ENOENT);
        eq!(all(k)?, [first]);
        Ok(())
    })
}

fn news_of_disciplines(k: &mut dyn Kernel) -> Outcome {
    with_lo(k, |k| {
        let fd = ok!(k.socket(AF_NETLINK, SOCK_RAW | NB, 0));
        // RTNLGRP_TC
        ret!(k.bind(fd, &nl(0, 1 << 3)), 0);
        let told = |k: &mut dyn Kernel| -> Vec<(u16, u16, Vec<u8>)> {
            let all = answers(k, fd);
            let heads = all.iter().map(|m| (m.kind, m.flags, m.body[..20].to_vec()));
            heads.collect()
        };
        let head = |handle, parent, held: u32| {
            let mut head = tc(1, handle, parent);
            head[16..].copy_from_slice(&held.to_ne_bytes());
            head
        };
        let pfifo = |handle| of(handle, ROOT_PARENT, "pfifo", &words(&[5]));
        eq!(change(k, NEW, ADD, &pfifo(0x1_0000))?, 0);
        eq!(
            told(k),
            [
                (DEL, 0, head(0, ROOT_PARENT, 1)),
                (NEW, 0x100, head(0x1_0000, ROOT_PARENT, 2)),
            ]
        );
        eq!(change(k, NEW, CHANGE, &pfifo(0x1_0000))?, 0);
        eq!(told(k), [(NEW, 0, head(0x1_0000, ROOT_PARENT, 2))]);
        // Who asks for one is told as one of the group.
        let asks = route(k)?;
        let m = request(GET, 1, 3, &tc(1, 0x1_0000, 0));
        ret!(k.send(asks, &m, 0), m.len());
        eq!(answers(k, asks).len(), 0);
        eq!(told(k), [(NEW, 0, head(0x1_0000, 0, 2))]);
        eq!(change(k, DEL, 0, &tc(1, 0, ROOT_PARENT))?, 0);
        eq!(told(k), [(DEL, 0, head(0x1_0000, ROOT_PARENT, 1))]);
        Ok(())
    })
}

fn an_ordinary_user_makes_none(k: &mut dyn Kernel) -> Outcome {
    check!(k.drop_privileges(), "could not become an ordinary user");
    // Of a link that is not there: were it allowed by mistake, nothing would be changed.
    let nowhere = tc(99, 0, ROOT_PARENT);
    eq!(change(k, NEW, ADD, &nowhere)?, libc::EPERM);
    eq!(change(k, DEL, 0, &nowhere)?, libc::EPERM);
    Ok(())
}

fn packets_are_counted_and_dropped(k: &mut dyn Kernel) -> Outcome {
    with_lo(k, |k| {
        root(k, "pfifo", &words(&[1000]))?;
        let (a, b) = k.udp_pair(AF_INET)?;
        for n in [1usize, 100, 1000] {
            ret!(k.send(a, &vec![7; n], 0), n);
            k.pause(Duration::from_millis(20));
            ret!(k.recv(b, &mut [0; 2000], 0), n);
        }
        // Each with headers of UDP, IP and Ethernet.
        eq!(counted(k)?, (1101 + 3 * 42, [3, 0, 0, 0, 0]));
        k.close(a);
        k.close(b);
        Ok(())
    })
}

fn a_bucket_of_tokens(k: &mut dyn Kernel) -> Outcome {
    with_lo(k, |k| {
        // 10 kB/s, 1.5 kB at once, and as much may wait: two datagrams of 600 bytes leave, two wait, one is too much.
        root(k, "tbf", &tbf(10_000, 1500, 150_000_000 / 64))?;
        let (a, b) = k.udp_pair(AF_INET)?;
        for _ in 0..5 {
            ret!(k.send(a, &[7; 558], 0), 558);
        }
        k.pause(Duration::from_millis(5));
        let (bytes, [packets, waiting, backlog, drops, overlimits]) = counted(k)?;
        eq!((bytes, packets), (1200, 2));
        eq!((waiting, backlog, drops), (2, 1200, 1));
        check!(overlimits > 0, "none");
        // A longer one than the bucket never leaves.
        ret!(k.send(a, &[7; 1600], 0), 1600);
        eq!(counted(k)?.1[3], 2);
        k.pause(Duration::from_millis(250));
        let (bytes, [packets, waiting, backlog, drops, _]) = counted(k)?;
        eq!(
            (bytes, packets, waiting, backlog, drops),
            (2400, 4, 0, 0, 2)
        );
        for _ in 0..4 {
            ret!(k.recv(b, &mut [0; 2000], 0), 558);
        }
        eq!(k.recv(b, &mut [0; 2000], 0), -i64::from(libc::EAGAIN));
        k.close(a);
        k.close(b);
        Ok(())
    })
}

fn bands_of_priorities(k: &mut dyn Kernel) -> Outcome {
    with_lo(k, |k| {
        root(k, "pfifo_fast", &[])?;
        let shown = [&words(&[3])[..], &[1, 2, 2, 2, 1, 2, 0, 0], &[1; 8]].concat();
        eq!(all(k)?[0].1.clone(), shown);
        let (a, b) = k.udp_pair(AF_INET)?;
        ret!(k.send(a, b"x", 0), 1);
        k.pause(Duration::from_millis(20));
        ret!(k.recv(b, &mut [0; 9], 0), 1);
        eq!(counted(k)?, (43, [1, 0, 0, 0, 0]));
        let again = of(0x1_0000, ROOT_PARENT, "pfifo_fast", &words(&[1]));
        eq!(change(k, NEW, CHANGE, &again)?, libc::EINVAL);
        k.close(a);
        k.close(b);
        Ok(())
    })
}

/// `struct tc_netem_qopt`: latency, limit, loss, gap, duplicate, jitter.
fn netem(qopt: [u32; 6], attributes: &[u8]) -> Vec<u8> {
    [&words(&qopt)[..], attributes].concat()
}

fn netem_delays_and_loses(k: &mut dyn Kernel) -> Outcome {
    with_lo(k, |k| {
        // 60 ms
        root(k, "netem", &netem([60_000_000 / 64, 3, 0, 0, 0, 0], &[]))?;
        let (a, b) = k.udp_pair(AF_INET)?;
        for _ in 0..5 {
            ret!(k.send(a, b"x", 0), 1);
        }
        let mut buf = [0; 9];
        eq!(k.recv(b, &mut buf, 0), -i64::from(libc::EAGAIN));
        // Three are as many as there may be.
        eq!(counted(k)?, (0, [0, 3, 129, 2, 0]));
        k.pause(Duration::from_millis(100));
        for _ in 0..3 {
            ret!(k.recv(b, &mut buf, 0), 1);
        }
        eq!(counted(k)?, (129, [3, 0, 0, 2, 0]));
        // All are lost, then all come twice.
        let lossy = netem([0, 1000, u32::MAX, 0, 0, 0], &[]);
        eq!(
            change(k, NEW, CHANGE, &of(0, ROOT_PARENT, "netem", &lossy))?,
            0
        );
        ret!(k.send(a, b"x", 0), 1);
        eq!(k.recv(b, &mut buf, 0), -i64::from(libc::EAGAIN));
        eq!(counted(k)?.1[3], 3);
        let double = netem([0, 1000, 0, 0, u32::MAX, 0], &[]);
        eq!(
            change(k, NEW, CHANGE, &of(0, ROOT_PARENT, "netem", &double))?,
            0
        );
        ret!(k.send(a, b"x", 0), 1);
        k.pause(Duration::from_millis(20));
        for _ in 0..2 {
            ret!(k.recv(b, &mut buf, 0), 1);
        }
        k.close(a);
        k.close(b);
        Ok(())
    })
}

fn netem_tells_what_it_was_told(k: &mut dyn Kernel) -> Outcome {
    with_lo(k, |k| {
        let model = attribute(5, &attribute(2, &words(&[9, 8, 7, 6])));
        let told = [
            attribute(10, &5_000_001i64.to_ne_bytes()),
            attribute(11, &2_000_000i64.to_ne_bytes()),
            attribute(1, &words(&[1, 2, 3])),
            attribute(3, &words(&[4, 5])),
            attribute(4, &words(&[6, 7])),
            attribute(6, &words(&[125_000, 14, 0, 0])),
            attribute(7, &words(&[1])),
            model,
            attribute(14, &77u64.to_ne_bytes()),
        ]
        .concat();
        root(k, "netem", &netem([5, 99, 0, 2, 10, 6], &told))?;
        let qopt = [5_000_001 / 64, 99, 0, 2, 10, 2_000_000 / 64];
        eq!(all(k)?[0].1.clone(), netem(qopt, &told));
        let short = of(0, ROOT_PARENT, "netem", &words(&[1, 2, 3]));
        eq!(change(k, NEW, CHANGE, &short)?, libc::EINVAL);
        let unknown = attribute(5, &attribute(3, &words(&[9; 5])));
        let unknown = of(0, ROOT_PARENT, "netem", &netem([0; 6], &unknown));
        eq!(change(k, NEW, CHANGE, &unknown)?, libc::EINVAL);
        Ok(())
    })
}

fn codel_tells_what_it_was_told(k: &mut dyn Kernel) -> Outcome {
    with_lo(k, |k| {
        let of_codel = |all: &[(u16, u32)]| -> Vec<u8> {
            let each = all
                .iter()
                .flat_map(|(kind, n)| attribute(*kind, &words(&[*n])));
            each.collect()
        };
        root(k, "codel", &of_codel(&[(1, 10_000), (2, 50)]))?;
        // In steps of 1024 ns.
        let shown = of_codel(&[(1, 9999), (2, 50), (3, 99_999), (4, 0)]);
        eq!(all(k)?[0].1.clone(), shown);
        eq!(change(k, DEL, 0, &tc(1, 0, ROOT_PARENT))?, 0);
        root(k, "fq_codel", &of_codel(&[(6, 1), (5, 16)]))?;
        let shown = [
            (1, 4999),
            (2, 10_240),
            (3, 99_999),
            (4, 1),
            (6, 256),
            (8, 64),
            (9, 32 << 20),
            (5, 16),
        ];
        eq!(all(k)?[0].1.clone(), of_codel(&shown));
        let flows = of(0, ROOT_PARENT, "fq_codel", &of_codel(&[(5, 32)]));
        eq!(change(k, NEW, CHANGE, &flows)?, libc::EINVAL);
        Ok(())
    })
}

fn the_name_of_the_root(k: &mut dyn Kernel) -> Outcome {
    with_lo(k, |k| {
        let name = |k: &mut dyn Kernel| -> Got<Option<Vec<u8>>> {
            let links = dump(k, 18, &super::netlink::ifinfo(0))?;
            Ok(links[0].attribute(16, 6))
        };
        eq!(name(k)?, Some(b"noqueue\0".to_vec()));
        root(k, "pfifo", &words(&[5]))?;
        eq!(name(k)?, Some(b"pfifo\0".to_vec()));
        Ok(())
    })
}
