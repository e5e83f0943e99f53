//! NETLINK_ROUTE by the family of a request: which dump answers for it; and what pyroute2 and systemd look for in answers.

use super::netlink::{answers, attribute, dump, ifinfo, request, route, single};
use crate::check::{Got, Outcome, eq, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use libc::{AF_INET, AF_INET6};

tests! {
    a_family_without_a_dump_gets_those_of_all,
    no_bridge_has_links,
    no_rules_of_other_families,
    no_routes_of_multicast_forwarding,
    order_of_an_ipv6_answer,
    what_lo_says_of_itself,
}

const GETLINK: u16 = 18;
const GETADDR: u16 = 22;
const GETROUTE: u16 = 26;
const GETRULE: u16 = 34;
const NLM_F_REQUEST: u16 = 1;

fn families(k: &mut dyn Kernel, kind: u16, family: u8, size: usize) -> Got<Vec<i32>> {
    let mut body = vec![0; size];
    body[0] = family;
    let mut found: Vec<i32> = dump(k, kind, &body)?
        .iter()
        .map(|m| m.body[0].into())
        .collect();
    found.dedup();
    Ok(found)
}

/// rtnl_dump_all(); pyroute2 asks for the routes of family 255.
fn a_family_without_a_dump_gets_those_of_all(k: &mut dyn Kernel) -> Outcome {
    // AF_UNIX, AF_PACKET, and two that nobody has.
    for family in [0, 1, 17, 99, 255] {
        for (kind, size) in [(GETADDR, 8), (GETROUTE, 12)] {
            let found = families(k, kind, family, size)?;
            eq!(
                (family, kind, found),
                (family, kind, vec![AF_INET, AF_INET6])
            );
        }
        eq!(families(k, GETLINK, family, 16)?, vec![0]);
    }
    eq!(families(k, GETADDR, 2, 8)?, vec![AF_INET]);
    eq!(families(k, GETROUTE, 10, 12)?, vec![AF_INET6]);
    Ok(())
}

fn no_bridge_has_links(k: &mut dyn Kernel) -> Outcome {
    eq!(families(k, GETLINK, 7, 16)?, vec![]);
    Ok(())
}

/// fib_nl_dumprule(): the dump ends with the error.
fn no_rules_of_other_families(k: &mut dyn Kernel) -> Outcome {
    for family in [1, 7, 17, 255] {
        let fd = route(k)?;
        let mut body = vec![0; 12];
        body[0] = family;
        let m = request(GETRULE, NLM_F_REQUEST | 0x300, 7, &body);
        ret!(k.send(fd, &m, 0), m.len());
        let all = answers(k, fd);
        eq!(
            (all.len(), all[0].kind, all[0].errno()),
            (1, 3, -libc::EAFNOSUPPORT)
        );
        k.close(fd);
    }
    Ok(())
}

fn no_routes_of_multicast_forwarding(k: &mut dyn Kernel) -> Outcome {
    for family in [128, 129] {
        eq!(families(k, GETROUTE, family, 12)?, vec![]);
    }
    Ok(())
}

/// rt6_fill_node()
fn order_of_an_ipv6_answer(k: &mut dyn Kernel) -> Outcome {
    let mut body = vec![10, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut lo = [0; 16];
    lo[15] = 1;
    body.extend(attribute(1, &lo));
    let m = single(k, GETROUTE, NLM_F_REQUEST, &body)?;
    // RTA_TABLE, DST, SRC, PREFSRC, PRIORITY, OIF, CACHEINFO, PREF
    let kinds: Vec<u16> = m.attributes(12).iter().map(|(kind, _)| *kind).collect();
    eq!(kinds, vec![15, 1, 2, 7, 6, 4, 12, 20]);
    Ok(())
}

fn what_lo_says_of_itself(k: &mut dyn Kernel) -> Outcome {
    let m = single(k, GETLINK, NLM_F_REQUEST, &ifinfo(1))?;
    for (kind, value) in [
        (50, 0u32),
        (51, 0),
        (61, 0),
        (40, 65_535),
        (41, 65_536),
        (58, 65_536),
        (63, 65_536),
        (64, 65_536),
        (59, 524_280),
        (60, 65_535),
        (35, 0),
        (47, 0),
        (48, 0),
    ] {
        eq!(
            (kind, m.attribute(16, kind)),
            (kind, Some(value.to_ne_bytes().to_vec()))
        );
    }
    eq!(m.attribute(16, 67), Some(vec![1]));
    eq!(m.attribute(16, 39), Some(vec![0]));
    Ok(())
}
