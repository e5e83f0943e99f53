//! NETLINK_ROUTE: attributes that are too short, too long or of the wrong kind (`struct nla_policy`), and what NETLINK_EXT_ACK tells
//! of them: a text, where the attribute is, what it should have been. On the host in a network namespace of the body's own.

use super::netlink::{Answer, answers, attribute, dump, request, route, single};
use super::netlink_route::{ASK, GETADDR, alone, ip6};
use crate::check::{Got, Outcome, check, eq, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use libc::{EINVAL, ERANGE, SOL_NETLINK};

tests! {
    lengths_of_attributes [ROOT],
    policies_are_told [ROOT],
    the_last_of_several_counts [ROOT],
    what_is_too_long_is_cut,
    one_address_of_ipv6,
    tables_of_neighbours,
}

/// What an attribute has to be.
#[derive(Clone, Copy)]
enum Want {
    /// So many bytes or more.
    Least(usize),
    /// So many bytes or fewer.
    Most(usize),
    /// Exactly so many.
    Exactly(usize),
    /// Text of so many bytes, with or without its NUL.
    Text(usize),
    /// Attributes or nothing.
    Nest,
    /// It may not be there.
    Never,
}
use Want::{Exactly, Least, Most, Nest, Never, Text};

impl Want {
    /// The errno of zeros of this length.
    fn errno(self, len: usize) -> Option<i32> {
        match self {
            Least(least) => (len < least).then_some(ERANGE),
            Most(most) => (len > most).then_some(ERANGE),
            Exactly(own) => (len != own).then_some(EINVAL),
            // The NUL at the end does not count.
            Text(most) => (len == 0 || len > most + 1).then_some(ERANGE),
            Nest => (1..4).contains(&len).then_some(ERANGE),
            Never => Some(EINVAL),
        }
    }
}

const LINK: &[(u16, Want)] = &[
    (1, Most(32)),
    (3, Text(15)),
    (4, Least(4)),
    (10, Least(4)),
    (13, Least(4)),
    (14, Least(32)),
    (16, Least(1)),
    (18, Nest),
    (20, Most(255)),
    (29, Least(4)),
    (53, Text(127)),
    (54, Never),
    (59, Never),
    (65, Never),
];
const ADDR4: &[(u16, Want)] = &[
    (1, Least(4)),
    (3, Text(15)),
    (4, Least(4)),
    (6, Least(16)),
    (8, Least(4)),
    (9, Least(4)),
    (11, Least(1)),
];
const ADDR6: &[(u16, Want)] = &[
    (1, Least(16)),
    (2, Least(16)),
    (6, Least(16)),
    (8, Least(4)),
    (11, Least(1)),
];
const ROUTE4: &[(u16, Want)] = &[
    (1, Least(4)),
    (4, Least(4)),
    (5, Least(4)),
    (6, Least(4)),
    (7, Least(4)),
    (8, Nest),
    (9, Least(8)),
    (15, Least(4)),
    (30, Exactly(4)),
    (31, Never),
];
const ROUTE6: &[(u16, Want)] = &[
    (4, Least(4)),
    (5, Least(16)),
    (6, Least(4)),
    (7, Least(16)),
    (9, Least(8)),
    (15, Least(4)),
    (20, Least(1)),
    (23, Least(4)),
    (30, Exactly(4)),
];
const NEIGH: &[(u16, Want)] = &[
    (1, Most(32)),
    (2, Most(32)),
    (3, Least(16)),
    (4, Least(4)),
    (8, Least(4)),
    (12, Least(1)),
    (13, Exactly(4)),
    (14, Never),
    (15, Exactly(4)),
    (17, Never),
];
const RULE: &[(u16, Want)] = &[
    (3, Text(15)),
    (6, Least(4)),
    (10, Least(4)),
    (14, Least(4)),
    (15, Least(4)),
    (17, Text(15)),
    (20, Least(8)),
    (21, Least(1)),
    (22, Least(1)),
    (23, Least(4)),
    (24, Least(4)),
    (25, Exactly(1)),
    (28, Exactly(2)),
    (30, Exactly(1)),
];

/// Kind of message, header, attributes.
type Row = (u16, Vec<u8>, &'static [(u16, Want)]);

fn rows() -> Vec<Row> {
    // An interface that nobody has: nothing is changed.
    let nobody = 9999u32.to_ne_bytes();
    let link = [&[0; 4][..], &nobody, &[0; 8]].concat();
    let addr = |family| [&[family, 0, 0, 0][..], &nobody].concat();
    let neigh = [&[2, 0, 0, 0][..], &nobody, &[0; 4]].concat();
    let short = |family| [&[family][..], &[0; 11]].concat();
    let mut all: Vec<Row> = Vec::new();
    for kind in [16, 17, 18, 19] {
        all.push((kind, link.clone(), LINK));
    }
    for kind in [20, 21] {
        all.push((kind, addr(2), ADDR4));
        all.push((kind, addr(10), ADDR6));
    }
    for kind in [24, 25, 26] {
        all.push((kind, short(2), ROUTE4));
        all.push((kind, short(10), ROUTE6));
    }
    for kind in [28, 30] {
        all.push((kind, neigh.clone(), NEIGH));
    }
    // RTM_DELRULE of a priority that none has.
    let last = attribute(6, &77u32.to_ne_bytes());
    all.push((33, [short(2), last.clone()].concat(), RULE));
    all.push((33, [short(10), last].concat(), RULE));
    all
}

/// What the acknowledgment tells: errno, text, offset, and the policy as it is.
type Told = (i32, String, Option<u32>, Option<Vec<u8>>);

fn told(k: &mut dyn Kernel, kind: u16, body: &[u8]) -> Got<Told> {
    let fd = route(k)?;
    // NETLINK_CAP_ACK, NETLINK_EXT_ACK
    for option in [10, 11] {
        ret!(k.set_int(fd, SOL_NETLINK, option, 1), 0);
    }
    let m = request(kind, ASK, 3, body);
    ret!(k.send(fd, &m, 0), m.len());
    let last: Option<Answer> = answers(k, fd).pop();
    ok!(k.close(fd));
    let last = last.expect("an acknowledgment");
    let text = last.attribute(20, 1).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let at = last.attribute(20, 2);
    Ok((
        -last.errno(),
        text.trim_end_matches('\0').to_string(),
        at.and_then(|raw| Some(u32::from_ne_bytes(raw.try_into().ok()?))),
        last.attribute(20, 4),
    ))
}

fn lengths_of_attributes(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        for (kind, head, attributes) in rows() {
            for (of, want) in attributes {
                for len in [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64] {
                    let body = [&head[..], &attribute(*of, &vec![0; len])].concat();
                    let (errno, text, at, _) = told(k, kind, &body)?;
                    let here = Some(16 + head.len() as u32);
                    let failed = [
                        "Attribute failed policy validation",
                        "invalid attribute length",
                        "Unsupported attribute",
                        "NLA_F_NESTED is missing",
                        "Error parsing msg",
                    ];
                    let by_policy = failed.contains(&text.as_str()) && at == here;
                    let got = by_policy.then_some(errno);
                    eq!(
                        (kind, head[0], of, len, got),
                        (kind, head[0], of, len, want.errno(len))
                    );
                }
            }
        }
        Ok(())
    })
}

fn policies_are_told(k: &mut dyn Kernel) -> Outcome {
    let pieces = |all: &[(u16, &[u8])]| -> Vec<u8> {
        all.iter()
            .flat_map(|(kind, data)| attribute(*kind, data))
            .collect()
    };
    let word = |value: u32| value.to_ne_bytes();
    let long = |value: u64| value.to_ne_bytes();
    let of = |kind: u32| (1, word(kind));
    alone(k, |k| {
        let ask = |k: &mut dyn Kernel, kind, head: &[u8], of, data: &[u8]| {
            told(k, kind, &[head, &attribute(of, data)].concat())
        };
        let failed = "Attribute failed policy validation";
        let link = [&[0; 4][..], &9999u32.to_ne_bytes(), &[0; 8]].concat();
        // NL_ATTR_TYPE_U32, between the least and the most.
        let (kind, u32s) = of(4);
        let expected = pieces(&[(4, &long(0)), (5, &long(u32::MAX.into())), (kind, &u32s)]);
        eq!(
            ask(k, 16, &link, 4, &[0; 3])?,
            (ERANGE, failed.to_string(), Some(32), Some(expected))
        );
        // NL_ATTR_TYPE_STRING, of 15 bytes at most.
        let (kind, text) = of(11);
        let expected = pieces(&[(7, &word(15)), (kind, &text)]);
        eq!(
            ask(k, 16, &link, 3, b"a-name-that-is-too-long")?,
            (ERANGE, failed.to_string(), Some(32), Some(expected))
        );
        // IFLA_GSO_MAX_SIZE may not be this small.
        let (errno, text, at, policy) = ask(k, 16, &link, 41, &word(1))?;
        eq!(
            (errno, text.as_str(), at),
            (ERANGE, "integer out of range", Some(32))
        );
        check!(policy.is_some(), "no policy");
        // Of a minimum alone nothing is told.
        let address = [&[10, 0, 0, 0][..], &9999u32.to_ne_bytes()].concat();
        eq!(
            ask(k, 20, &address, 2, &[0; 15])?,
            (ERANGE, failed.to_string(), Some(24), None)
        );
        // NDA_FLAGS_EXT: other bits are reserved, of which nothing is told but that; a mask is told where the length is wrong.
        let neigh = [&[2, 0, 0, 0][..], &9999u32.to_ne_bytes(), &[0; 4]].concat();
        let reserved = "reserved bit set".to_string();
        eq!(
            ask(k, 28, &neigh, 15, &word(2))?,
            (EINVAL, reserved, Some(28), None)
        );
        let (kind, u32s) = of(4);
        let expected = pieces(&[(12, &long(5)), (kind, &u32s)]);
        let invalid = "invalid attribute length".to_string();
        eq!(
            ask(k, 28, &neigh, 15, &[0; 5])?,
            (EINVAL, invalid, Some(28), Some(expected))
        );
        // A header that is cut short.
        eq!(
            told(k, 16, &[0; 8])?,
            (EINVAL, "Invalid header length".to_string(), None, None)
        );
        Ok(())
    })
}

fn the_last_of_several_counts(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        let link = [&[0; 8][..], &[0; 8]].concat();
        let named = |names: &[&[u8]]| {
            let all = names.iter().flat_map(|name| attribute(3, name));
            [link.clone(), all.collect()].concat()
        };
        let found = |k: &mut dyn Kernel, body: &[u8]| -> Got<i32> { Ok(told(k, 18, body)?.0) };
        eq!(found(k, &named(&[b"none0\0", b"lo\0"]))?, 0);
        eq!(found(k, &named(&[b"lo\0", b"none0\0"]))?, libc::ENODEV);
        Ok(())
    })
}

fn what_is_too_long_is_cut(k: &mut dyn Kernel) -> Outcome {
    // RTM_GETROUTE to 127.0.0.1, RTA_DST and RTA_OIF with bytes behind.
    let way = |dst: &[u8], by: &[u8]| {
        let head = [2, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        [&head[..], &attribute(1, dst), &attribute(4, by)].concat()
    };
    let lo = 1u32.to_ne_bytes();
    for (dst, by) in [
        (&[127, 0, 0, 1][..], &lo[..]),
        (&[127, 0, 0, 1, 9], &lo),
        (&[127, 0, 0, 1, 9, 9, 9, 9], &[&lo[..], &[9]].concat()),
    ] {
        let m = single(k, 26, 1, &way(dst, by))?;
        eq!(
            (dst.len(), m.kind, m.attribute(12, 1)),
            (dst.len(), 24, Some(vec![127, 0, 0, 1]))
        );
        eq!(m.attribute(12, 4), Some(lo.to_vec()));
    }
    Ok(())
}

fn one_address_of_ipv6(k: &mut dyn Kernel) -> Outcome {
    let ask = |index: u32, attributes: &[Vec<u8>]| {
        [
            &[10, 0, 0, 0][..],
            &index.to_ne_bytes(),
            &attributes.concat(),
        ]
        .concat()
    };
    let own = |kind| attribute(kind, &ip6(0, 1));
    if dump(k, GETADDR, &[10, 0, 0, 0, 0, 0, 0, 0])?.is_empty() {
        return Ok(());
    }
    for body in [ask(0, &[own(1)]), ask(0, &[own(2)]), ask(1, &[own(2)])] {
        let m = single(k, GETADDR, 1, &body)?;
        eq!(
            (m.kind, m.flags, m.body[..4].to_vec()),
            (20, 0, vec![10, 128, 0x80, 254])
        );
        eq!(m.attribute(8, 1), Some(ip6(0, 1).to_vec()));
    }
    let errno =
        |k: &mut dyn Kernel, body: &[u8]| -> Got<i32> { Ok(-single(k, GETADDR, 1, body)?.errno()) };
    eq!(errno(k, &ask(0, &[]))?, EINVAL);
    let other = attribute(1, &ip6(0x2001, 0x77));
    eq!(errno(k, &ask(0, &[other]))?, libc::EADDRNOTAVAIL);
    eq!(errno(k, &ask(0, &[attribute(1, &[0; 15])]))?, ERANGE);
    eq!(errno(k, &[10, 0, 0])?, EINVAL);
    // IPv4 has none of this.
    let v4 = [
        &[2, 0, 0, 0][..],
        &1u32.to_ne_bytes(),
        &attribute(2, &[127, 0, 0, 1]),
    ]
    .concat();
    eq!(errno(k, &v4)?, libc::EOPNOTSUPP);
    Ok(())
}

fn tables_of_neighbours(k: &mut dyn Kernel) -> Outcome {
    // RTM_GETNEIGHTBL, RTM_NEWNEIGHTBL
    let all = dump(k, 66, &[0; 4])?;
    let names: Vec<_> = all
        .iter()
        .map(|m| (m.kind, m.body[0], m.attribute(4, 1)))
        .collect();
    let arp = (64, 2, Some(b"arp_cache\0".to_vec()));
    let ndisc = (64, 10, Some(b"ndisc_cache\0".to_vec()));
    check!(names.contains(&arp), "no table of ARP: {names:?}");
    check!(names.contains(&ndisc), "no table of NDP: {names:?}");
    check!(
        names.iter().all(|n| *n == arp || *n == ndisc),
        "others: {names:?}"
    );
    // The parameters of new interfaces come with the table, those of interfaces by themselves.
    let tables: Vec<&Answer> = all.iter().filter(|m| m.attribute(4, 5).is_some()).collect();
    eq!(tables.len(), 2);
    for (table, size) in tables.iter().zip([4u16, 16]) {
        let config = table.attribute(4, 5).unwrap_or_default();
        eq!((config.len(), &config[..2]), (32, &size.to_ne_bytes()[..]));
        eq!(table.attribute(4, 7).map(|stats| stats.len()), Some(88));
        for (kind, len) in [(2, 4), (3, 4), (4, 4), (8, 8)] {
            eq!(
                (kind, table.attribute(4, kind).map(|data| data.len())),
                (kind, Some(len))
            );
        }
    }
    let kinds = |m: &Answer| -> Vec<u16> {
        let inner = Answer {
            kind: 0,
            flags: 0,
            sequence: 0,
            port: 0,
            body: m.attribute(4, 6).unwrap_or_default(),
        };
        inner.attributes(0).iter().map(|(kind, _)| *kind).collect()
    };
    let common = [2, 16, 8, 14, 9, 10, 11, 17, 3, 4, 6, 7, 5, 12, 13, 15, 19];
    for m in &all {
        let expected = match m.attribute(4, 5) {
            Some(_) => common.to_vec(),
            None => [&[1], &common[..]].concat(),
        };
        eq!(kinds(m), expected);
    }
    // Of one family.
    let own = dump(k, 66, &[10, 0, 0, 0])?;
    check!(own.iter().all(|m| m.body[0] == 10), "not of IPv6 alone");
    eq!(dump(k, 66, &[17, 0, 0, 0])?.len(), 0);
    Ok(())
}
