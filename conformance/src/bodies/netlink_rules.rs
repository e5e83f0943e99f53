//! NETLINK_ROUTE: rules by ports, protocol, type of service and user (ip-rule(8)), which packets they are about, and how they are
//! told. On the host in a network namespace of the body's own.

use super::netlink::{attribute, dump};
use super::netlink_route::{CREATE, EXCL, NEWROUTE, alone, change, rt_lo};
use crate::addr::Addr;
use crate::check::{Got, Outcome, eq, ok};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use libc::{AF_INET, EACCES, EEXIST, EINVAL, ENOENT, SOCK_DGRAM, SOCK_STREAM};

tests! {
    rules_by_port_and_protocol [ROOT],
    rules_by_type_of_service [ROOT],
    rules_by_user [ROOT],
    rules_that_are_refused [ROOT],
    rules_are_told [ROOT],
    rules_of_multicast,
}

const NEWRULE: u16 = 32;
const DELRULE: u16 = 33;
const GETRULE: u16 = 34;
/// FRA_*
const PRIORITY: u16 = 6;
const USERS: u16 = 20;
const PROTOCOL: u16 = 22;
const SPORT: u16 = 23;
const DPORT: u16 = 24;
const DSCP: u16 = 25;
const SPORT_MASK: u16 = 28;
const DPORT_MASK: u16 = 29;
const DSCP_MASK: u16 = 30;

/// `struct fib_rule_hdr` of a rule of priority 10 that prohibits (FR_ACT_PROHIBIT).
fn prohibit(family: u8, tos: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut m = vec![family, 0, 0, tos, 0, 0, 0, 8, 0, 0, 0, 0];
    m.extend(attribute(PRIORITY, &10u32.to_ne_bytes()));
    for (kind, data) in attributes {
        m.extend(attribute(*kind, data));
    }
    m
}

fn words(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_ne_bytes()).collect()
}

fn longs(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_ne_bytes()).collect()
}

/// Whether connect(2) to the port there is refused by a rule.
fn is_refused(k: &mut dyn Kernel, kind: i32, port: u16, tos: i32) -> Got<bool> {
    let fd = ok!(k.socket(AF_INET, kind | NB, 0));
    eq!(k.set_int(fd, libc::IPPROTO_IP, libc::IP_TOS, tos), 0);
    let done = k.connect(fd, &Addr::v4([10, 9, 0, 1], port));
    ok!(k.close(fd));
    Ok(done == -i64::from(EACCES))
}

/// With a route to 10.9.0.0/16, and without the rule at the end.
fn with(k: &mut dyn Kernel, rule: &[u8], body: impl FnOnce(&mut dyn Kernel) -> Outcome) -> Outcome {
    alone(k, |k| {
        eq!(change(k, NEWROUTE, CREATE, &rt_lo([10, 9, 0, 0], 16))?, 0);
        eq!(change(k, NEWRULE, CREATE | EXCL, rule)?, 0);
        let done = body(k);
        eq!(change(k, DELRULE, 0, rule)?, 0);
        done
    })
}

fn rules_by_port_and_protocol(k: &mut dyn Kernel) -> Outcome {
    let udp = prohibit(2, 0, &[(PROTOCOL, &[17]), (DPORT, &words(&[5000, 6000]))]);
    with(k, &udp, |k| {
        for (kind, port, refused) in [
            (SOCK_DGRAM, 4999, false),
            (SOCK_DGRAM, 5000, true),
            (SOCK_DGRAM, 6000, true),
            (SOCK_DGRAM, 6001, false),
            (SOCK_STREAM, 5500, false),
        ] {
            eq!((port, is_refused(k, kind, port, 0)?), (port, refused));
        }
        // Each datagram asks for itself.
        let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
        let to = |port| Addr::v4([10, 9, 0, 1], port);
        eq!(k.sendto(fd, b"x", 0, &to(5500)), -i64::from(EACCES));
        eq!(k.sendto(fd, b"x", 0, &to(80)), 1);
        Ok(())
    })?;
    let tcp = prohibit(2, 0, &[(PROTOCOL, &[6])]);
    with(k, &tcp, |k| {
        eq!(is_refused(k, SOCK_STREAM, 80, 0)?, true);
        eq!(is_refused(k, SOCK_DGRAM, 80, 0)?, false);
        Ok(())
    })?;
    let masked = prohibit(
        2,
        0,
        &[
            (DPORT, &words(&[0x50, 0x50])),
            (DPORT_MASK, &words(&[0xf0])),
        ],
    );
    with(k, &masked, |k| {
        eq!(is_refused(k, SOCK_DGRAM, 0x1253, 0)?, true);
        eq!(is_refused(k, SOCK_DGRAM, 0x1263, 0)?, false);
        Ok(())
    })?;
    let from = prohibit(2, 0, &[(SPORT, &words(&[7700, 7700]))]);
    with(k, &from, |k| {
        for (port, refused) in [(7700, true), (7701, false)] {
            let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
            eq!(k.bind(fd, &Addr::v4([0; 4], port)), 0);
            let done = k.connect(fd, &Addr::v4([10, 9, 0, 1], 80));
            eq!((port, done == -i64::from(EACCES)), (port, refused));
            ok!(k.close(fd));
        }
        Ok(())
    })
}

fn rules_by_type_of_service(k: &mut dyn Kernel) -> Outcome {
    let old = prohibit(2, 0x10, &[]);
    with(k, &old, |k| {
        // Of the upper three bits the old type of service knows nothing.
        for (tos, refused) in [(0, false), (0x10, true), (0x30, true), (0x14, false)] {
            for kind in [SOCK_DGRAM, SOCK_STREAM] {
                eq!((tos, is_refused(k, kind, 80, tos)?), (tos, refused));
            }
        }
        Ok(())
    })?;
    let whole = prohibit(2, 0, &[(DSCP, &[4])]);
    with(k, &whole, |k| {
        for (tos, refused) in [(0, false), (0x10, true), (0x12, true), (0x30, false)] {
            eq!((tos, is_refused(k, SOCK_DGRAM, 80, tos)?), (tos, refused));
        }
        Ok(())
    })?;
    let part = prohibit(2, 0, &[(DSCP, &[4]), (DSCP_MASK, &[0x0c])]);
    with(k, &part, |k| {
        for (tos, refused) in [(0, false), (0x10, true), (0xd0, true), (0x30, false)] {
            eq!((tos, is_refused(k, SOCK_DGRAM, 80, tos)?), (tos, refused));
        }
        Ok(())
    })
}

fn rules_by_user(k: &mut dyn Kernel) -> Outcome {
    // The body is the superuser's.
    for (users, refused) in [([0, 0], true), ([0, 9], true), ([1, 0xffff_fffe], false)] {
        let rule = prohibit(2, 0, &[(USERS, &longs(&users))]);
        with(k, &rule, |k| {
            for kind in [SOCK_DGRAM, SOCK_STREAM] {
                eq!((users, is_refused(k, kind, 80, 0)?), (users, refused));
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn rules_that_are_refused(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        for family in [2, 10] {
            for attributes in [
                &[(USERS, &longs(&[9, 5])[..])][..],
                &[(USERS, &longs(&[0, u32::MAX]))],
                &[(SPORT, &words(&[0, 9]))],
                &[(SPORT, &words(&[9, 5]))],
                &[(DPORT, &words(&[1, 0xffff]))],
                &[
                    (DPORT, &words(&[0x51, 0x51])),
                    (DPORT_MASK, &words(&[0xf0])),
                ],
                &[
                    (DPORT, &words(&[0x50, 0x51])),
                    (DPORT_MASK, &words(&[0xf0])),
                ],
                &[(SPORT_MASK, &words(&[0xf0]))],
                &[(DSCP_MASK, &[1])],
                &[(DSCP, &[4]), (DSCP_MASK, &[3])],
            ] {
                let rule = prohibit(family, 0, attributes);
                eq!(
                    (family, attributes, change(k, NEWRULE, CREATE, &rule)?),
                    (family, attributes, EINVAL)
                );
            }
            let both = prohibit(family, 0x10, &[(DSCP, &[4])]);
            eq!(change(k, NEWRULE, CREATE, &both)?, EINVAL);
            eq!(
                change(k, NEWRULE, CREATE, &prohibit(family, 0x11, &[]))?,
                EINVAL
            );
        }
        // IPv4 has no more than the old type of service.
        eq!(change(k, NEWRULE, CREATE, &prohibit(2, 0xc0, &[]))?, EINVAL);
        Ok(())
    })
}

fn rules_are_told(k: &mut dyn Kernel) -> Outcome {
    let ports = words(&[5, 9]);
    let port = words(&[80, 80]);
    let users = longs(&[5, 9]);
    let all = words(&[0xffff]);
    type Few<'a> = &'a [(u16, &'a [u8])];
    let rows: [(u8, Few<'_>, Few<'_>); 6] = [
        (0, &[(USERS, &users)], &[(USERS, &users)]),
        (0, &[(SPORT, &ports)], &[(SPORT, &ports)]),
        // One port has a mask.
        (0, &[(DPORT, &port)], &[(DPORT, &port), (DPORT_MASK, &all)]),
        (0, &[(PROTOCOL, &[17])], &[(PROTOCOL, &[17])]),
        (0x10, &[], &[]),
        (0, &[(DSCP, &[0])], &[(DSCP, &[0]), (DSCP_MASK, &[0x3f])]),
    ];
    alone(k, |k| {
        for family in [2, 10] {
            for (tos, given, told) in rows {
                let rule = prohibit(family, tos, given);
                eq!(change(k, NEWRULE, CREATE | EXCL, &rule)?, 0);
                eq!(change(k, NEWRULE, CREATE | EXCL, &rule)?, EEXIST);
                let head = [&[family][..], &[0; 11]].concat();
                let found = dump(k, GETRULE, &head)?;
                let found = found.iter().find(|m| m.body[7] == 8).expect("the rule");
                eq!(found.body[3], tos);
                // What is told of every rule: table, suppressed lengths, who made it, priority.
                let mut own = found.attributes(12);
                own.retain(|(kind, _)| ![15, 14, 21, PRIORITY].contains(kind));
                let told: Vec<_> = told.iter().map(|(of, data)| (*of, data.to_vec())).collect();
                eq!((tos, own), (tos, told));
                // A deletion is about one that has what it says.
                let other = prohibit(family, 0, &[(DPORT, &words(&[7, 7]))]);
                eq!(change(k, DELRULE, 0, &other)?, ENOENT);
                eq!(change(k, DELRULE, 0, &rule)?, 0);
            }
        }
        Ok(())
    })
}

fn rules_of_multicast(k: &mut dyn Kernel) -> Outcome {
    // RTNL_FAMILY_IPMR and RTNL_FAMILY_IP6MR: a default rule for the one, one of main for the other.
    for (family, table) in [(128u8, 253u8), (129, 254)] {
        let head = [&[family][..], &[0; 11]].concat();
        let all = dump(k, GETRULE, &head)?;
        let found: Vec<_> = all
            .iter()
            .map(|m| (m.body[..8].to_vec(), m.attribute(12, PRIORITY)))
            .collect();
        let last = Some(0x7fffu32.to_ne_bytes().to_vec());
        eq!(found, vec![(vec![family, 0, 0, 0, table, 0, 0, 1], last)]);
    }
    Ok(())
}
