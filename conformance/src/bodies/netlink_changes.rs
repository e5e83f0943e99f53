//! NETLINK_ROUTE: links that change, who is told of what changed, and dumps that are narrowed. On the host in a network
//! namespace of the body's own.

use super::netlink::{Answer, answers, attribute, dump, ifinfo, nl, request, route};
use super::netlink_route::{
    ASK, CREATE, DELADDR, DELROUTE, EXCL, GETADDR, GETROUTE, NEWADDR, NEWROUTE, added, addresses,
    alone, change, has_route, ifaddr, ifaddr6, ip6, routes, rt, rt_lo, shown,
};
use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{AF_NETLINK, SOCK_RAW};
use std::time::Duration;

tests! {
    link_changes [ROOT],
    links_that_are_refused [ROOT],
    groups_are_told [ROOT],
    echo_tells_the_requester [ROOT],
    texts_of_refusals [ROOT],
    strict_dumps [ROOT],
    routes_in_order [ROOT],
    addresses_without_prefix_routes [ROOT],
    sources_by_scope [ROOT],
}

const NEWLINK: u16 = 16;
const DELLINK: u16 = 17;
const SOL_NETLINK: i32 = 270;

/// RTM_NEWLINK's body: index, flags, which of them.
fn set(index: i32, flags: u32, mask: u32) -> Vec<u8> {
    let mut m = ifinfo(index);
    m[8..12].copy_from_slice(&flags.to_ne_bytes());
    m[12..16].copy_from_slice(&mask.to_ne_bytes());
    m
}

fn link(k: &mut dyn Kernel) -> Got<Answer> {
    let mut all = dump(k, 18, &ifinfo(0))?;
    eq!(all.len(), 1);
    Ok(all.remove(0))
}

fn link_changes(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        let mtu = [set(1, 0, 0), attribute(4, &1400u32.to_ne_bytes())].concat();
        eq!(change(k, NEWLINK, 0, &mtu)?, 0);
        eq!(
            link(k)?.attribute(16, 4),
            Some(1400u32.to_ne_bytes().to_vec())
        );
        let queue = [set(1, 0, 0), attribute(13, &77u32.to_ne_bytes())].concat();
        eq!(change(k, NEWLINK, 0, &queue)?, 0);
        eq!(
            link(k)?.attribute(16, 13),
            Some(77u32.to_ne_bytes().to_vec())
        );
        eq!(change(k, NEWROUTE, CREATE, &rt_lo([10, 9, 0, 0], 16))?, 0);
        // RTN_BLACKHOLE leaves by no link.
        let mut hole = rt([10, 8, 0, 0], 16, 0);
        hole[7] = 6;
        eq!(change(k, NEWROUTE, CREATE, &hole)?, 0);
        eq!(change(k, NEWLINK, 0, &set(1, 0, 1))?, 0);
        let down = link(k)?;
        eq!(down.body[8..12].to_vec(), 8u32.to_ne_bytes().to_vec());
        eq!(down.attribute(16, 16), Some(vec![2]));
        // IPv6's addresses went, and the route; IPv4's address stays.
        eq!(addresses(k)?.len(), 1);
        eq!(dump(k, GETADDR, &[10, 0, 0, 0, 0, 0, 0, 0])?.len(), 0);
        eq!(has_route(k, [10, 9, 0, 0], 16)?, 0);
        eq!(has_route(k, [10, 8, 0, 0], 16)?, 1);
        eq!(change(k, DELROUTE, 0, &hole)?, 0);
        eq!(
            change(k, NEWROUTE, CREATE, &rt_lo([10, 9, 0, 0], 16))?,
            libc::ENETDOWN
        );
        // By name, and with all flags at once.
        let name = [set(0, 1, 0), attribute(3, b"lo\0")].concat();
        eq!(change(k, NEWLINK, 0, &name)?, 0);
        eq!(
            link(k)?.body[8..12].to_vec(),
            0x1_0049u32.to_ne_bytes().to_vec()
        );
        let rename = [set(1, 0, 0), attribute(3, b"other\0")].concat();
        eq!(change(k, NEWLINK, 0, &rename)?, 0);
        eq!(link(k)?.attribute(16, 3), Some(b"other\0".to_vec()));
        let back = [set(1, 0, 0), attribute(3, b"lo\0")].concat();
        eq!(change(k, 19, 0, &back)?, 0);
        Ok(())
    })
}

fn links_that_are_refused(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        eq!(change(k, NEWLINK, 0, &set(99, 0, 1))?, libc::ENODEV);
        eq!(change(k, NEWLINK, EXCL, &set(1, 0, 0))?, libc::EEXIST);
        eq!(change(k, NEWLINK, 0, &[0; 8])?, libc::EINVAL);
        eq!(change(k, DELLINK, 0, &set(1, 0, 0))?, libc::EOPNOTSUPP);
        eq!(change(k, DELLINK, 0, &set(99, 0, 0))?, libc::ENODEV);
        let none = [set(0, 0, 0), attribute(3, b"none0\0")].concat();
        eq!(change(k, NEWLINK, 0, &none)?, libc::ENODEV);
        let kind = attribute(18, &attribute(1, b"nokind\0"));
        let make = [set(0, 0, 0), attribute(3, b"none0\0"), kind].concat();
        eq!(change(k, NEWLINK, CREATE | EXCL, &make)?, libc::EOPNOTSUPP);
        Ok(())
    })
}

/// A socket that hears these groups, and nothing is left in it.
fn listener(k: &mut dyn Kernel, groups: u32) -> Got<Fd> {
    let fd = ok!(k.socket(AF_NETLINK, SOCK_RAW | NB, 0));
    ok!(k.bind(fd, &nl(0, groups)));
    Ok(fd)
}

fn groups_are_told(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        // RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE; and only the links.
        let all = listener(k, 1 | 1 << 4 | 1 << 6)?;
        let links = listener(k, 1)?;
        let by = route(k)?;
        ok!(k.bind(by, &nl(0, 0)));
        let port = k.sockname(by)?;
        let m = request(NEWADDR, ASK | CREATE, 42, &ifaddr([10, 7, 0, 1], 24));
        ret!(k.send(by, &m, 0), m.len());
        eq!(answers(k, by).len(), 1);
        let heard = answers(k, all);
        let kinds: Vec<u16> = heard.iter().map(|m| m.kind).collect();
        eq!(kinds, vec![NEWADDR, NEWROUTE, NEWROUTE, NEWROUTE]);
        // The request's number and its sender's port are in what was asked for.
        eq!((heard[0].sequence, nl(heard[0].port, 0)), (42, port));
        for m in &heard[1..] {
            eq!((m.sequence, m.port, m.flags), (0, 0, CREATE | EXCL));
        }
        let to: Vec<_> = heard[1..].iter().map(|m| shown(m).0[3]).collect();
        eq!(to, vec![1, 0, 255]);
        eq!(change(k, NEWADDR, CREATE, &ifaddr([10, 7, 0, 2], 24))?, 0);
        let kinds: Vec<u16> = answers(k, all).iter().map(|m| m.kind).collect();
        eq!(kinds, vec![NEWADDR, NEWROUTE]);
        eq!(change(k, DELADDR, 0, &ifaddr([10, 7, 0, 1], 24))?, 0);
        let heard = answers(k, all);
        let list: Vec<_> = heard
            .iter()
            .map(|m| match m.kind {
                DELADDR => (m.kind, m.attribute(8, 2).unwrap_or_default()[3]),
                _ => (m.kind, shown(m).0[3]),
            })
            .collect();
        eq!(
            list,
            vec![
                (DELADDR, 2),
                (DELROUTE, 2),
                (DELADDR, 1),
                (DELROUTE, 0),
                (DELROUTE, 255),
                (DELROUTE, 1),
            ]
        );
        eq!(answers(k, links).len(), 0);
        let mtu = [set(1, 0, 0), attribute(4, &1400u32.to_ne_bytes())].concat();
        eq!(change(k, NEWLINK, 0, &mtu)?, 0);
        let heard = answers(k, links);
        eq!(heard.len(), 1);
        eq!(
            (heard[0].kind, heard[0].attribute(16, 4)),
            (NEWLINK, Some(1400u32.to_ne_bytes().to_vec()))
        );
        eq!(answers(k, all).len(), 1);
        Ok(())
    })
}

fn echo_tells_the_requester(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        let other = listener(k, 1 << 6)?;
        let by = listener(k, 1 << 6)?;
        // NLM_F_ECHO
        let m = request(NEWROUTE, ASK | CREATE | 8, 5, &rt_lo([10, 9, 0, 0], 16));
        ret!(k.send(by, &m, 0), m.len());
        let kinds: Vec<u16> = answers(k, by).iter().map(|m| m.kind).collect();
        eq!(kinds, vec![NEWROUTE, 2]);
        eq!(answers(k, other).len(), 1);
        Ok(())
    })
}

/// The text of a refusal (NLMSGERR_ATTR_MSG).
fn text(k: &mut dyn Kernel, kind: u16, flags: u16, body: &[u8]) -> Got<(i32, Option<String>)> {
    let fd = route(k)?;
    ok!(k.set_int(fd, SOL_NETLINK, libc::NETLINK_EXT_ACK, 1));
    ok!(k.set_int(fd, SOL_NETLINK, libc::NETLINK_CAP_ACK, 1));
    let m = request(kind, ASK | flags, 3, body);
    ret!(k.send(fd, &m, 0), m.len());
    let all = answers(k, fd);
    eq!(all.len(), 1);
    let text = all[0].attribute(20, 1);
    // NLM_F_ACK_TLVS says that there is something.
    eq!(all[0].flags & 0x200 != 0, text.is_some());
    let text = text.map(|t| String::from_utf8_lossy(&t[..t.len() - 1]).into_owned());
    k.close(fd);
    Ok((-all[0].errno(), text))
}

fn texts_of_refusals(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        let own = ifaddr([10, 7, 0, 1], 24);
        eq!(text(k, NEWADDR, CREATE, &own)?, (0, None));
        let says = |errno, text: &str| (errno, Some(text.to_string()));
        eq!(
            text(k, NEWADDR, CREATE, &own)?,
            says(17, "ipv4: Address already assigned")
        );
        eq!(
            text(k, DELADDR, 0, &ifaddr([10, 7, 0, 3], 24))?,
            says(99, "ipv4: Address not found")
        );
        eq!(
            text(k, DELADDR, 0, &ifaddr6(ip6(0xfd00, 1), 64))?,
            says(99, "ipv6: address not found")
        );
        let via = [rt([10, 9, 0, 0], 16, 0), attribute(5, &[9, 9, 9, 9])].concat();
        eq!(
            text(k, NEWROUTE, CREATE, &via)?,
            says(101, "Nexthop has invalid gateway")
        );
        eq!(text(k, DELROUTE, 0, &rt_lo([10, 9, 0, 0], 16))?, (3, None));
        let fd = route(k)?;
        // Not asked for, not told.
        let m = request(NEWADDR, ASK | CREATE, 3, &own);
        ret!(k.send(fd, &m, 0), m.len());
        let all = answers(k, fd);
        eq!((all[0].flags, all[0].body.len()), (0, 4 + m.len()));
        Ok(())
    })
}

/// A dump of a socket with NETLINK_GET_STRICT_CHK: its messages, or the errno.
fn strict(k: &mut dyn Kernel, kind: u16, body: &[u8]) -> Got<Result<Vec<Answer>, i32>> {
    let fd = route(k)?;
    ok!(k.set_int(fd, SOL_NETLINK, libc::NETLINK_GET_STRICT_CHK, 1));
    let m = request(kind, 0x301, 3, body);
    ret!(k.send(fd, &m, 0), m.len());
    let mut all = answers(k, fd);
    k.close(fd);
    let last = all.pop();
    Ok(match last {
        Some(m) if m.kind == 2 || m.errno() != 0 => Err(-m.errno()),
        _ => Ok(all),
    })
}

fn strict_dumps(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        added(k, [10, 7, 0, 1], 24)?;
        eq!(change(k, NEWROUTE, CREATE, &rt_lo([10, 9, 0, 0], 16))?, 0);
        let got = strict(k, GETADDR, &[2, 0, 0, 0, 1, 0, 0, 0])?.map(|all| all.len());
        eq!(got, Ok(2));
        let none = strict(k, GETADDR, &[2, 0, 0, 0, 99, 0, 0, 0])?.map(|all| all.len());
        eq!(none, Err(libc::ENODEV));
        for body in [
            &[2, 8, 0, 0, 0, 0, 0, 0][..],
            &[2, 0, 0, 1, 0, 0, 0, 0],
            &[2],
        ] {
            eq!(
                strict(k, GETADDR, body)?.map(|all| all.len()),
                Err(libc::EINVAL)
            );
        }
        // NLM_F_DUMP_FILTERED, and only the table main.
        let main = strict(k, GETROUTE, &[2, 0, 0, 0, 254, 0, 0, 0, 0, 0, 0, 0])?;
        let main = main.unwrap_or_default();
        eq!((main.len(), main[0].flags & 0x20), (1, 0x20));
        eq!(shown(&main[0]).0, vec![10, 9, 0, 0]);
        let kernel = strict(k, GETROUTE, &[2, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0, 0])?;
        eq!(kernel.map(|all| all.len()), Ok(2));
        let other = strict(k, GETROUTE, &[2, 0, 0, 0, 99, 0, 0, 0, 0, 0, 0, 0])?;
        eq!(other.map(|all| all.len()), Err(libc::ENOENT));
        for body in [&[2, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &[2, 0, 0, 0]] {
            eq!(
                strict(k, GETROUTE, body)?.map(|all| all.len()),
                Err(libc::EINVAL)
            );
        }
        eq!(
            strict(k, 18, &ifinfo(1))?.map(|all| all.len()),
            Err(libc::EINVAL)
        );
        eq!(strict(k, 18, &ifinfo(0))?.map(|all| all.len()), Ok(1));
        // A user of old does not narrow.
        eq!(
            dump(k, GETROUTE, &[2, 0, 0, 0, 254, 0, 0, 0, 0, 0, 0, 0])?.len(),
            7
        );
        Ok(())
    })
}

fn routes_in_order(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        added(k, [10, 7, 0, 1], 24)?;
        for (ip, len) in [
            ([10, 9, 0, 0], 16),
            ([10, 0, 0, 0], 8),
            ([10, 9, 0, 0], 24),
            ([0; 4], 0),
        ] {
            eq!(change(k, NEWROUTE, CREATE, &rt_lo(ip, len))?, 0);
        }
        let all: Vec<_> = routes(k, 2)?
            .into_iter()
            .map(|r| (r.0, r.1, r.2[0]))
            .collect();
        let want: Vec<(&[u8], u8, u8)> = vec![
            (&[], 0, 254),
            (&[10, 0, 0, 0], 8, 254),
            (&[10, 9, 0, 0], 24, 254),
            (&[10, 9, 0, 0], 16, 254),
            (&[10, 7, 0, 0], 24, 255),
            (&[10, 7, 0, 1], 32, 255),
            (&[10, 7, 0, 255], 32, 255),
            (&[127, 0, 0, 0], 8, 255),
            (&[127, 0, 0, 1], 32, 255),
            (&[127, 255, 255, 255], 32, 255),
        ];
        let want: Vec<_> = want
            .into_iter()
            .map(|(ip, len, table)| (ip.to_vec(), len, table))
            .collect();
        eq!(all, want);
        Ok(())
    })
}

/// IFA_F_NODAD 2, IFA_F_NOPREFIXROUTE 0x200, IFA_F_PERMANENT 0x80.
/// From which address a datagram to there would come.
fn source_to(k: &mut dyn Kernel, to: [u8; 4]) -> Got<Option<[u8; 4]>> {
    let fd = ok!(k.socket(libc::AF_INET, libc::SOCK_DGRAM, 0));
    let done = k.connect(fd, &Addr::v4(to, 9));
    let own = k.sockname(fd)?;
    ok!(k.close(fd));
    let ip = own.0[4..8].try_into().ok();
    Ok(ip.filter(|_| done == 0))
}

fn sources_by_scope(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        // RT_SCOPE_HOST, RT_SCOPE_LINK, RT_SCOPE_UNIVERSE
        for (last, scope) in [(7u8, 254u8), (8, 253), (6, 0)] {
            let mut body = ifaddr([10, last, 0, 1], 24);
            body[3] = scope;
            eq!(change(k, NEWADDR, CREATE | EXCL, &body)?, 0);
        }
        let to = [10, 9, 0, 1];
        // An address of a narrower scope than the route's is no source.
        for (scope, source) in [(0, [10, 6, 0, 1]), (253, [10, 8, 0, 1])] {
            let mut route = rt([10, 9, 0, 0], 16, scope);
            route.extend(attribute(4, &1u32.to_ne_bytes()));
            eq!(change(k, NEWROUTE, CREATE, &route)?, 0);
            eq!((scope, source_to(k, to)?), (scope, Some(source)));
            eq!(change(k, DELROUTE, 0, &route)?, 0);
        }
        // The narrow ones are listed first, and those of one scope by their age.
        let all: Vec<u8> = addresses(k)?.iter().map(|a| a.0[1]).collect();
        eq!(all, vec![0, 7, 8, 6]);
        // IFA_F_NOPREFIXROUTE: the address is this host's, and not the subnet as a whole.
        let mut body = ifaddr([10, 5, 0, 1], 24);
        body.extend(attribute(8, &0x200u32.to_ne_bytes()));
        eq!(change(k, NEWADDR, CREATE | EXCL, &body)?, 0);
        eq!(source_to(k, [10, 5, 0, 1])?, Some([10, 5, 0, 1]));
        eq!(source_to(k, [10, 5, 0, 77])?, None);
        eq!(source_to(k, [10, 6, 0, 77])?, Some([10, 6, 0, 1]));
        eq!(has_route(k, [10, 5, 0, 0], 24)?, 0);
        eq!(has_route(k, [10, 6, 0, 0], 24)?, 1);
        Ok(())
    })
}

fn addresses_without_prefix_routes(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        for (last, flags) in [(1u16, 0x202u32), (2, 2), (3, 0x200), (4, 0)] {
            let ip = ip6(0xfd00, last);
            let mut body = ifaddr6(ip, 128);
            body.extend(attribute(8, &flags.to_ne_bytes()));
            eq!(change(k, NEWADDR, CREATE | EXCL, &body)?, 0);
            // RT_TABLE_LOCAL has the address in each case, some time later (addrconf_dad_work()); the main one its prefix.
            let tables = |k: &mut dyn Kernel| -> Got<Vec<u8>> {
                let rows = routes(k, 10)?;
                let own = rows.iter().filter(|row| row.0 == ip);
                Ok(own.map(|row| row.2[0]).collect())
            };
            for _ in 0..100 {
                if tables(k)?.contains(&255) {
                    break;
                }
                k.pause(Duration::from_millis(2));
            }
            let main = flags & 0x200 == 0;
            let want = if main { vec![254, 255] } else { vec![255] };
            eq!((last, tables(k)?), (last, want));
            let all = dump(k, GETADDR, &[10, 0, 0, 0, 0, 0, 0, 0])?;
            let own = all.iter().find(|m| m.attribute(8, 1) == Some(ip.to_vec()));
            let told = own.and_then(|m| m.attribute(8, 8));
            eq!(
                (last, told),
                (last, Some((0x80 | flags).to_ne_bytes().to_vec()))
            );
            let text = k.file_text("/proc/net/if_inet6")?;
            let line = format!(
                "fd00000000000000000000000000000{last} 01 80 00 {:02x}       lo",
                0x80 | flags as u8
            );
            check!(text.contains(&line), "{text}");
            eq!(change(k, DELADDR, 0, &ifaddr6(ip6(0xfd00, last), 128))?, 0);
            let left = routes(k, 10)?;
            check!(
                !left.iter().any(|row| row.0 == ip6(0xfd00, last)),
                "{left:?}"
            );
        }
        // IPv4 keeps one of them.
        let mut body = ifaddr([10, 7, 0, 1], 32);
        body.extend(attribute(8, &0x202u32.to_ne_bytes()));
        eq!(change(k, NEWADDR, CREATE | EXCL, &body)?, 0);
        let all = dump(k, GETADDR, &[2, 0, 0, 0, 0, 0, 0, 0])?;
        eq!(
            all.last().and_then(|m| m.attribute(8, 8)),
            Some(0x280u32.to_ne_bytes().to_vec())
        );
        Ok(())
    })
}
