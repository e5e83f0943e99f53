//! rtnetlink(7), what is only read here: queueing disciplines, netconf, labels of addresses, and what there is nothing of.

use super::netlink::{Answer, answers, request};
use crate::check::{Got, Outcome, check, eq, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use libc::{AF_INET, AF_INET6, AF_NETLINK, SOCK_RAW};

tests! {
    queueing_disciplines [ROOT],
    one_queueing_discipline [ROOT],
    nothing_of_it [ROOT],
    settings_of_interfaces [ROOT],
    settings_of_one [ROOT],
    settings_follow_the_sysctl [ROOT],
    labels_of_addresses [ROOT],
    strictly [ROOT],
}

const SOL_NETLINK: i32 = 270;
const ASK: u16 = 1;
const DUMP: u16 = 0x301;
const ERROR: u16 = 2;
const DONE: u16 = 3;

const GETQDISC: u16 = 38;
const GETTCLASS: u16 = 42;
const GETTFILTER: u16 = 46;
const GETADDRLABEL: u16 = 74;
const GETNETCONF: u16 = 82;
const GETNSID: u16 = 90;
const GETCHAIN: u16 = 102;

fn ask(k: &mut dyn Kernel, kind: u16, flags: u16, body: &[u8], strict: i32) -> Got<Vec<Answer>> {
    let fd = ok!(k.socket(AF_NETLINK, SOCK_RAW | NB, 0));
    ok!(k.set_int(fd, SOL_NETLINK, libc::NETLINK_GET_STRICT_CHK, strict));
    let m = request(kind, flags, 3, body);
    ret!(k.send(fd, &m, 0), m.len());
    let all = answers(k, fd);
    k.close(fd);
    Ok(all)
}

/// `struct tcmsg`
fn tc(interface: i32, parent: u32) -> Vec<u8> {
    let mut body = vec![0; 4];
    body.extend(interface.to_ne_bytes());
    body.extend([0; 4]);
    body.extend(parent.to_ne_bytes());
    body.extend([0; 4]);
    body
}

fn queueing_disciplines(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for body in [tc(0, 0), tc(1, 0), tc(99, 0)] {
        let all = ask(k, GETQDISC, DUMP, &body, 0)?;
        eq!(all.len(), 2);
        let (lo, end) = (&all[0], &all[1]);
        eq!((lo.kind, end.kind, end.errno()), (36, DONE, 0));
        eq!(
            lo.body[..20].to_vec(),
            [&tc(1, u32::MAX)[..16], &[2, 0, 0, 0]].concat()
        );
        let kinds: Vec<(u16, usize)> = lo
            .attributes(20)
            .iter()
            .map(|(kind, data)| (*kind, data.len()))
            .collect();
        eq!(kinds, [(1, 8), (12, 1), (7, 44), (3, 40)]);
        eq!(lo.attribute(20, 1), Some(b"noqueue\0".to_vec()));
    }
    let all = ask(k, GETQDISC, DUMP, &[0; 4], 0)?;
    eq!(
        (all.len(), all[0].kind, all[0].errno()),
        (1, DONE, -libc::EINVAL)
    );
    Ok(())
}

fn one_queueing_discipline(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    eq!(ask(k, GETQDISC, ASK, &tc(1, u32::MAX), 0)?.len(), 0);
    for (body, errno) in [
        (tc(99, u32::MAX), libc::ENODEV),
        (tc(1, 0), libc::ENOENT),
        (vec![0; 4], libc::EINVAL),
    ] {
        let all = ask(k, GETQDISC, ASK, &body, 0)?;
        eq!((all.len(), all[0].kind, all[0].errno()), (1, ERROR, -errno));
    }
    Ok(())
}

fn nothing_of_it(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for kind in [GETTCLASS, GETTFILTER, GETCHAIN, GETNSID] {
        for body in [tc(0, 0), tc(1, 0), vec![0; 4]] {
            let all = ask(k, kind, DUMP, &body, 0)?;
            eq!(
                (kind, all.len(), all[0].kind, all[0].errno()),
                (kind, 1, DONE, 0)
            );
        }
    }
    Ok(())
}

/// Family, interface and the kinds that follow.
fn netconf(answer: &Answer) -> (i32, i32, Vec<u16>) {
    let all = answer.attributes(4);
    let index = crate::mem::as_int(&all[0].1);
    (
        i32::from(answer.body[0]),
        index,
        all.iter().map(|(kind, _)| *kind).collect(),
    )
}

const V4: [u16; 7] = [1, 2, 3, 4, 8, 5, 6];
const V6: [u16; 5] = [1, 2, 4, 5, 6];

fn settings_of_interfaces(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for (family, wanted) in [
        (0, [AF_INET, AF_INET6].to_vec()),
        (AF_INET, vec![AF_INET]),
        (AF_INET6, vec![AF_INET6]),
    ] {
        let mut all = ask(k, GETNETCONF, DUMP, &[family as u8, 0, 0, 0], 0)?;
        let end = all.pop();
        check!(
            end.is_some_and(|end| end.kind == DONE && end.errno() == 0),
            "the end"
        );
        let told: Vec<_> = all.iter().map(netconf).collect();
        let mut want = vec![];
        for of in wanted {
            let kinds = if of == AF_INET {
                V4.to_vec()
            } else {
                V6.to_vec()
            };
            want.extend([1, -1, -2].map(|index| (of, index, kinds.clone())));
        }
        eq!(told, want);
    }
    Ok(())
}

fn index(family: i32, interface: i32) -> Vec<u8> {
    let mut body = vec![family as u8, 0, 0, 0, 8, 0, 1, 0];
    body.extend(interface.to_ne_bytes());
    body
}

fn settings_of_one(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for (family, kinds) in [(AF_INET, V4.to_vec()), (AF_INET6, V6.to_vec())] {
        for interface in [1, -1, -2] {
            let all = ask(k, GETNETCONF, ASK, &index(family, interface), 0)?;
            eq!((all.len(), all[0].kind), (1, 80));
            eq!(netconf(&all[0]), (family, interface, kinds.clone()));
        }
    }
    for (body, errno) in [
        (index(AF_INET, 99), libc::ENODEV),
        (index(AF_INET6, 99), libc::EINVAL),
        (vec![AF_INET as u8, 0, 0, 0], libc::EINVAL),
        (index(0, 1), libc::EOPNOTSUPP),
    ] {
        let all = ask(k, GETNETCONF, ASK, &body, 0)?;
        eq!((all.len(), all[0].kind, all[0].errno()), (1, ERROR, -errno));
    }
    Ok(())
}

fn settings_follow_the_sysctl(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for (family, interface) in [(AF_INET, -1), (AF_INET, 1), (AF_INET6, -1)] {
        let name = if family == AF_INET { "ipv4" } else { "ipv6" };
        let conf = if interface == 1 { "lo" } else { "all" };
        let says = k.tunable(&format!("net/{name}/conf/{conf}/forwarding"));
        let Some(says) = says else { continue };
        let all = ask(k, GETNETCONF, ASK, &index(family, interface), 0)?;
        let told = all[0]
            .attribute(4, 2)
            .map(|data| crate::mem::as_int(&data).to_string());
        eq!(told.as_deref(), Some(says.trim()));
    }
    Ok(())
}

fn labels_of_addresses(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let mut body = vec![AF_INET6 as u8];
    body.resize(12, 0);
    let mut all = ask(k, GETADDRLABEL, DUMP, &body, 0)?;
    check!(all.pop().is_some_and(|end| end.kind == DONE), "the end");
    let told: Vec<(u8, i32)> = all
        .iter()
        .map(|a| {
            (
                a.body[2],
                a.attribute(12, 2)
                    .map_or(-1, |data| crate::mem::as_int(&data)),
            )
        })
        .collect();
    let want = [
        (128, 0),
        (96, 3),
        (96, 4),
        (32, 6),
        (28, 7),
        (16, 12),
        (16, 2),
        (10, 11),
        (7, 5),
        (0, 1),
    ];
    eq!(told, want);
    eq!(
        all[0].attribute(12, 1),
        Some(std::net::Ipv6Addr::LOCALHOST.octets().to_vec())
    );
    eq!(
        all[4].attribute(12, 1).map(|data| data[..4].to_vec()),
        Some(vec![0x20, 1, 0, 0x10])
    );
    for family in [0, AF_INET] {
        body[0] = family as u8;
        let all = ask(k, GETADDRLABEL, DUMP, &body, 0)?;
        eq!((all[0].kind, all[0].errno()), (ERROR, -libc::EOPNOTSUPP));
    }
    Ok(())
}

fn strictly(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let mut label = vec![AF_INET6 as u8];
    label.resize(12, 0);
    label[4] = 1;
    for (kind, body) in [
        (GETNETCONF, index(AF_INET, 1)),
        (GETNETCONF, vec![AF_INET as u8]),
        (GETADDRLABEL, vec![AF_INET6 as u8]),
        (GETADDRLABEL, label),
    ] {
        let all = ask(k, kind, DUMP, &body, 1)?;
        eq!(
            (kind, all.len(), all[0].kind, all[0].errno()),
            (kind, 1, DONE, -libc::EINVAL)
        );
    }
    eq!(ask(k, GETNETCONF, DUMP, &[0; 4], 1)?.len(), 7);
    eq!(ask(k, GETQDISC, DUMP, &tc(0, 0), 1)?.len(), 2);
    Ok(())
}
