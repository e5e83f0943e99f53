//! NETLINK_ROUTE where it changes something, and who is told. On the host in a network namespace of the body's own.

use super::netlink::{Answer, answers, attribute, dump, ifinfo, request, route};
use crate::addr::Addr;
use crate::check::{Got, Outcome, eq, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use libc::{AF_INET, SOCK_DGRAM};

tests! {
    address_comes_and_goes [ROOT],
    secondary_addresses_go_with_the_first [ROOT],
    addresses_that_are_refused [ROOT],
    address_of_ipv6 [ROOT],
    subnet_of_lo_is_local [ROOT],
    route_comes_and_goes [ROOT],
    routes_like_another [ROOT],
    gateways [ROOT],
    routes_that_are_refused [ROOT],
    route_of_ipv6 [ROOT],
    way_to_one_address [ROOT],
}

pub(super) const NEWADDR: u16 = 20;
pub(super) const DELADDR: u16 = 21;
pub(super) const GETADDR: u16 = 22;
pub(super) const NEWROUTE: u16 = 24;
pub(super) const DELROUTE: u16 = 25;
pub(super) const GETROUTE: u16 = 26;
/// NLM_F_REQUEST and NLM_F_ACK; NLM_F_REPLACE, EXCL, CREATE, APPEND.
pub(super) const ASK: u16 = 5;
const REPLACE: u16 = 0x100;
pub(super) const EXCL: u16 = 0x200;
pub(super) const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;

/// In a network of its own, whose lo is up and which is left as it was found: all bodies of a run share one virtual host.
pub(super) fn alone(k: &mut dyn Kernel, body: impl FnOnce(&mut dyn Kernel) -> Outcome) -> Outcome {
    k.own_network()?;
    let done = body(k);
    // lo, its MTU and its queue; down, and up again.
    for flags in [0u32, 1] {
        let mut link = ifinfo(1);
        link[8..12].copy_from_slice(&flags.to_ne_bytes());
        link[12..16].copy_from_slice(&1u32.to_ne_bytes());
        link.extend(attribute(3, b"lo\0"));
        link.extend(attribute(4, &65_536u32.to_ne_bytes()));
        link.extend(attribute(13, &1000u32.to_ne_bytes()));
        eq!(change(k, 16, 0, &link)?, 0);
    }
    for m in dump(k, GETADDR, &[2, 0, 0, 0, 0, 0, 0, 0])? {
        let ip = m.attribute(8, 2).unwrap_or_default();
        if ip != [127, 0, 0, 1] {
            // A secondary one went with the first.
            change(k, DELADDR, 0, &m.body)?;
        }
    }
    done
}

/// The errno of the acknowledgment, without the sign.
pub(super) fn change(k: &mut dyn Kernel, kind: u16, flags: u16, body: &[u8]) -> Got<i32> {
    let fd = route(k)?;
    let m = request(kind, ASK | flags, 3, body);
    ret!(k.send(fd, &m, 0), m.len());
    let all = answers(k, fd);
    eq!((all.len(), all[0].kind), (1, 2));
    k.close(fd);
    Ok(-all[0].errno())
}

/// `struct ifaddrmsg` of an IPv4 address on lo with its attributes.
pub(super) fn ifaddr(ip: [u8; 4], len: u8) -> Vec<u8> {
    let mut m = vec![2, len, 0, 0, 1, 0, 0, 0];
    m.extend(attribute(2, &ip));
    m.extend(attribute(1, &ip));
    m
}

pub(super) fn ifaddr6(ip: [u8; 16], len: u8) -> Vec<u8> {
    let mut m = vec![10, len, 0, 0, 1, 0, 0, 0];
    m.extend(attribute(2, &ip));
    m.extend(attribute(1, &ip));
    m
}

pub(super) fn ip6(first: u16, last: u16) -> [u8; 16] {
    let mut ip = [0; 16];
    ip[..2].copy_from_slice(&first.to_be_bytes());
    ip[14..].copy_from_slice(&last.to_be_bytes());
    ip
}

/// `struct rtmsg` of a unicast route of the main table, with a destination.
pub(super) fn rt(ip: [u8; 4], len: u8, scope: u8) -> Vec<u8> {
    let mut m = vec![2, len, 0, 0, 254, 3, scope, 1, 0, 0, 0, 0];
    m.extend(attribute(1, &ip));
    m
}

/// The same, by lo.
pub(super) fn rt_lo(ip: [u8; 4], len: u8) -> Vec<u8> {
    let mut m = rt(ip, len, 253);
    m.extend(attribute(4, &1u32.to_ne_bytes()));
    m
}

fn rt6(ip: [u8; 16], len: u8) -> Vec<u8> {
    let mut m = vec![10, len, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0];
    m.extend(attribute(1, &ip));
    m.extend(attribute(4, &1u32.to_ne_bytes()));
    m
}

pub(super) fn added(k: &mut dyn Kernel, ip: [u8; 4], len: u8) -> Outcome {
    eq!(change(k, NEWADDR, CREATE | EXCL, &ifaddr(ip, len))?, 0);
    Ok(())
}

/// The IPv4 addresses of lo with their prefixes and flags.
pub(super) fn addresses(k: &mut dyn Kernel) -> Got<Vec<(Vec<u8>, u8, u8)>> {
    let all = dump(k, GETADDR, &[2, 0, 0, 0, 0, 0, 0, 0])?;
    Ok(all
        .iter()
        .map(|m| (m.attribute(8, 2).unwrap_or_default(), m.body[1], m.body[2]))
        .collect())
}

/// What identifies a route of a dump: destination, prefix, table, protocol, scope, kind, source, metric.
pub(super) type Shown = (Vec<u8>, u8, [u8; 4], Option<Vec<u8>>, Option<Vec<u8>>);

pub(super) fn shown(m: &Answer) -> Shown {
    (
        m.attribute(12, 1).unwrap_or_default(),
        m.body[1],
        [m.body[4], m.body[5], m.body[6], m.body[7]],
        m.attribute(12, 7),
        m.attribute(12, 6),
    )
}

pub(super) fn routes(k: &mut dyn Kernel, family: u8) -> Got<Vec<Shown>> {
    let all = dump(k, GETROUTE, &[family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
    Ok(all.iter().map(shown).collect())
}

pub(super) fn has_route(k: &mut dyn Kernel, ip: [u8; 4], len: u8) -> Got<usize> {
    let all = routes(k, 2)?;
    Ok(all.iter().filter(|r| r.0 == ip && r.1 == len).count())
}

fn address_comes_and_goes(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        added(k, [10, 7, 0, 1], 24)?;
        eq!(
            addresses(k)?,
            vec![(vec![127, 0, 0, 1], 8, 0x80), (vec![10, 7, 0, 1], 24, 0x80)]
        );
        // It can be bound.
        let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
        ok!(k.bind(fd, &Addr::v4([10, 7, 0, 1], 0)));
        eq!(change(k, DELADDR, 0, &ifaddr([10, 7, 0, 1], 24))?, 0);
        eq!(addresses(k)?.len(), 1);
        let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
        eq!(
            k.bind(fd, &Addr::v4([10, 7, 0, 1], 0)),
            -i64::from(libc::EADDRNOTAVAIL)
        );
        Ok(())
    })
}

fn secondary_addresses_go_with_the_first(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        added(k, [10, 7, 0, 1], 24)?;
        added(k, [10, 7, 0, 2], 24)?;
        added(k, [10, 8, 0, 1], 32)?;
        added(k, [10, 7, 0, 3], 25)?;
        eq!(
            addresses(k)?,
            vec![
                (vec![127, 0, 0, 1], 8, 0x80),
                (vec![10, 7, 0, 1], 24, 0x80),
                (vec![10, 8, 0, 1], 32, 0x80),
                (vec![10, 7, 0, 3], 25, 0x80),
                (vec![10, 7, 0, 2], 24, 0x81),
            ]
        );
        eq!(change(k, DELADDR, 0, &ifaddr([10, 7, 0, 1], 24))?, 0);
        eq!(addresses(k)?.len(), 3);
        Ok(())
    })
}

fn addresses_that_are_refused(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        let ip = [10, 7, 0, 1];
        added(k, ip, 24)?;
        for (flags, errno) in [(CREATE | EXCL, 17), (CREATE, 17), (0, 17), (REPLACE, 0)] {
            eq!(change(k, NEWADDR, flags, &ifaddr(ip, 24))?, errno);
        }
        eq!(change(k, NEWADDR, CREATE, &ifaddr(ip, 33))?, libc::EINVAL);
        eq!(
            change(k, NEWADDR, CREATE, &[2, 8, 0, 0, 1, 0, 0, 0])?,
            libc::EINVAL
        );
        eq!(change(k, NEWADDR, CREATE, &[2, 8, 0, 0])?, libc::EINVAL);
        let mut other = ifaddr(ip, 24);
        other[4] = 99;
        eq!(change(k, NEWADDR, CREATE, &other)?, libc::ENODEV);
        eq!(change(k, DELADDR, 0, &other)?, libc::ENODEV);
        // Another scope in the same subnet.
        let mut scope = ifaddr([10, 7, 0, 2], 24);
        scope[3] = 254;
        eq!(change(k, NEWADDR, CREATE, &scope)?, libc::EINVAL);
        eq!(
            change(k, DELADDR, 0, &ifaddr([10, 7, 0, 9], 24))?,
            libc::EADDRNOTAVAIL
        );
        eq!(change(k, DELADDR, 0, &ifaddr(ip, 16))?, libc::EADDRNOTAVAIL);
        Ok(())
    })
}

fn address_of_ipv6(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        let ip = ip6(0xfd00, 1);
        eq!(change(k, NEWADDR, CREATE | EXCL, &ifaddr6(ip, 64))?, 0);
        eq!(
            change(k, NEWADDR, CREATE | EXCL, &ifaddr6(ip, 64))?,
            libc::EEXIST
        );
        // What has the wider scope is listed first.
        let all = dump(k, GETADDR, &[10, 0, 0, 0, 0, 0, 0, 0])?;
        let list: Vec<_> = all
            .iter()
            .map(|m| m.attribute(8, 1).unwrap_or_default())
            .collect();
        eq!(list, vec![ip.to_vec(), ip6(0, 1).to_vec()]);
        eq!(
            change(k, NEWADDR, CREATE, &ifaddr6(ip6(0xfd00, 2), 129))?,
            libc::EINVAL
        );
        eq!(
            change(k, NEWADDR, CREATE, &ifaddr6(ip6(0xff02, 2), 64))?,
            libc::EADDRNOTAVAIL
        );
        eq!(
            change(k, NEWADDR, CREATE, &ifaddr6(ip6(0, 0), 64))?,
            libc::EADDRNOTAVAIL
        );
        eq!(
            change(k, DELADDR, 0, &ifaddr6(ip, 63))?,
            libc::EADDRNOTAVAIL
        );
        eq!(change(k, DELADDR, 0, &ifaddr6(ip, 64))?, 0);
        eq!(
            change(k, DELADDR, 0, &ifaddr6(ip, 64))?,
            libc::EADDRNOTAVAIL
        );
        Ok(())
    })
}

fn subnet_of_lo_is_local(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        added(k, [10, 7, 0, 1], 24)?;
        added(k, [10, 7, 0, 2], 24)?;
        // Nobody gave this one, and it is the host's all the same.
        let there = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
        ok!(k.bind(there, &Addr::v4([10, 7, 0, 77], 0)));
        let to = k.sockname(there)?;
        let from = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
        ok!(k.connect(from, &to));
        let name = k.sockname(from)?;
        eq!(name.0[4..8].to_vec(), vec![10, 7, 0, 1]);
        ret!(k.send(from, b"x", 0), 1);
        ret!(k.recv(there, &mut [0; 4], 0), 1);
        // What goes to a secondary address comes from the first.
        let from = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
        ok!(k.connect(from, &Addr::v4([10, 7, 0, 2], 9)));
        eq!(k.sockname(from)?.0[4..8].to_vec(), vec![10, 7, 0, 1]);
        // The subnet's last address is for all.
        let from = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
        eq!(
            k.connect(from, &Addr::v4([10, 7, 0, 255], 9)),
            -i64::from(libc::EACCES)
        );
        Ok(())
    })
}

fn route_comes_and_goes(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        let net = rt_lo([10, 9, 0, 0], 16);
        eq!(change(k, NEWROUTE, CREATE | EXCL, &net)?, 0);
        eq!(has_route(k, [10, 9, 0, 0], 16)?, 1);
        eq!(change(k, DELROUTE, 0, &net)?, 0);
        eq!(change(k, DELROUTE, 0, &net)?, libc::ESRCH);
        eq!(has_route(k, [10, 9, 0, 0], 16)?, 0);
        Ok(())
    })
}

fn routes_like_another(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        added(k, [10, 7, 0, 1], 24)?;
        let net = rt_lo([10, 9, 0, 0], 16);
        eq!(change(k, NEWROUTE, 0, &net)?, libc::ENOENT);
        eq!(change(k, NEWROUTE, REPLACE, &net)?, libc::ENOENT);
        eq!(change(k, NEWROUTE, CREATE | EXCL, &net)?, 0);
        eq!(change(k, NEWROUTE, CREATE | EXCL, &net)?, libc::EEXIST);
        eq!(change(k, NEWROUTE, CREATE, &net)?, libc::EEXIST);
        eq!(change(k, NEWROUTE, CREATE | APPEND, &net)?, libc::EEXIST);
        // Another metric is another route; another source is one in front of it.
        let metric = [net.clone(), attribute(6, &5u32.to_ne_bytes())].concat();
        eq!(change(k, NEWROUTE, CREATE | EXCL, &metric)?, 0);
        let source = [net.clone(), attribute(7, &[10, 7, 0, 1])].concat();
        eq!(change(k, NEWROUTE, CREATE | EXCL, &source)?, libc::EEXIST);
        eq!(change(k, NEWROUTE, CREATE, &source)?, 0);
        let all = routes(k, 2)?;
        let mine: Vec<_> = all.into_iter().filter(|r| r.0 == [10, 9, 0, 0]).collect();
        eq!(mine.len(), 3);
        eq!(mine[0].3.clone(), Some(vec![10, 7, 0, 1]));
        eq!(mine[1].3.clone(), None);
        eq!(mine[2].4.clone(), Some(5u32.to_ne_bytes().to_vec()));
        // Replaced is the first.
        let both = [net.clone(), attribute(7, &[127, 0, 0, 1])].concat();
        eq!(change(k, NEWROUTE, REPLACE, &both)?, 0);
        eq!(change(k, NEWROUTE, REPLACE, &net)?, libc::EEXIST);
        // Deleted is the first that fits.
        eq!(change(k, DELROUTE, 0, &net)?, 0);
        eq!(has_route(k, [10, 9, 0, 0], 16)?, 2);
        eq!(change(k, DELROUTE, 0, &metric)?, 0);
        eq!(change(k, DELROUTE, 0, &metric)?, libc::ESRCH);
        // A source that goes takes its routes along.
        eq!(
            change(
                k,
                NEWROUTE,
                CREATE,
                &[rt_lo([10, 6, 0, 0], 16), attribute(7, &[10, 7, 0, 1])].concat()
            )?,
            0
        );
        eq!(change(k, DELADDR, 0, &ifaddr([10, 7, 0, 1], 24))?, 0);
        eq!(has_route(k, [10, 6, 0, 0], 16)?, 0);
        Ok(())
    })
}

fn gateways(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        added(k, [10, 7, 0, 1], 24)?;
        let by = |via: [u8; 4], scope| [rt([10, 9, 0, 0], 16, scope), attribute(5, &via)].concat();
        eq!(change(k, NEWROUTE, CREATE, &by([10, 7, 0, 77], 0))?, 0);
        eq!(change(k, DELROUTE, 0, &by([10, 7, 0, 78], 0))?, libc::ESRCH);
        eq!(change(k, DELROUTE, 0, &by([10, 7, 0, 77], 0))?, 0);
        eq!(change(k, NEWROUTE, CREATE, &by([10, 7, 0, 77], 253))?, 0);
        eq!(change(k, DELROUTE, 0, &by([10, 7, 0, 77], 253))?, 0);
        eq!(
            change(k, NEWROUTE, CREATE, &by([192, 168, 1, 1], 0))?,
            libc::ENETUNREACH
        );
        // Behind a gateway is no gateway; on a link there is.
        eq!(change(k, NEWROUTE, CREATE, &rt_lo([10, 5, 0, 0], 16))?, 0);
        eq!(change(k, NEWROUTE, CREATE, &by([10, 5, 0, 1], 0))?, 0);
        eq!(
            change(
                k,
                NEWROUTE,
                CREATE,
                &[rt([10, 4, 0, 0], 16, 0), attribute(5, &[10, 9, 0, 1])].concat()
            )?,
            libc::ENETUNREACH
        );
        Ok(())
    })
}

fn routes_that_are_refused(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        eq!(
            change(k, NEWROUTE, CREATE, &rt([10, 9, 0, 0], 16, 253))?,
            libc::ENODEV
        );
        eq!(
            change(k, NEWROUTE, CREATE, &rt_lo([10, 9, 0, 1], 16))?,
            libc::EINVAL
        );
        eq!(
            change(k, NEWROUTE, CREATE, &rt_lo([10, 9, 0, 0], 33))?,
            libc::EINVAL
        );
        let mut kind = rt_lo([10, 9, 0, 0], 16);
        kind[7] = 12;
        eq!(change(k, NEWROUTE, CREATE, &kind)?, libc::EINVAL);
        let mut dev = rt([10, 9, 0, 0], 16, 253);
        dev.extend(attribute(4, &99u32.to_ne_bytes()));
        eq!(change(k, NEWROUTE, CREATE, &dev)?, libc::ENODEV);
        let source = [rt_lo([10, 9, 0, 0], 16), attribute(7, &[9, 9, 9, 9])].concat();
        eq!(change(k, NEWROUTE, CREATE, &source)?, libc::EINVAL);
        eq!(change(k, NEWROUTE, CREATE, &[2, 16, 0])?, libc::EINVAL);
        Ok(())
    })
}

fn route_of_ipv6(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        let net = rt6(ip6(0xfd01, 0), 64);
        eq!(change(k, NEWROUTE, CREATE | EXCL, &net)?, 0);
        eq!(change(k, NEWROUTE, CREATE | EXCL, &net)?, libc::EEXIST);
        let all = routes(k, 10)?;
        let mine = all.iter().find(|r| r.0 == ip6(0xfd01, 0));
        eq!(
            mine.map(|r| (r.1, r.2, r.4.clone())),
            Some((64, [254, 3, 0, 1], Some(1024u32.to_ne_bytes().to_vec())))
        );
        let via = [rt6(ip6(0xfd02, 0), 64), attribute(5, &ip6(0xfd00, 7))].concat();
        eq!(
            change(k, NEWROUTE, CREATE | EXCL, &via)?,
            libc::EHOSTUNREACH
        );
        eq!(change(k, DELROUTE, 0, &net)?, 0);
        eq!(change(k, DELROUTE, 0, &net)?, libc::ESRCH);
        Ok(())
    })
}

/// RTM_GETROUTE for one address.
fn way(k: &mut dyn Kernel, ip: [u8; 4], more: &[u8]) -> Got<Answer> {
    let fd = route(k)?;
    // RTM_F_LOOKUP_TABLE
    let head = vec![2, 32, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0];
    let body = [head, attribute(1, &ip), more.to_vec()].concat();
    let m = request(GETROUTE, 1, 3, &body);
    ret!(k.send(fd, &m, 0), m.len());
    let mut all = answers(k, fd);
    eq!(all.len(), 1);
    k.close(fd);
    Ok(all.remove(0))
}

fn way_to_one_address(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        added(k, [10, 7, 0, 1], 24)?;
        let no = way(k, [9, 9, 9, 9], &[])?;
        eq!((no.kind, no.errno()), (2, -libc::ENETUNREACH));
        let by = |m: &Answer| (m.attribute(12, 4), m.attribute(12, 7), m.attribute(12, 5));
        let lo = Some(1u32.to_ne_bytes().to_vec());
        let first = Some(vec![10, 7, 0, 1]);
        let own = way(k, [10, 7, 0, 1], &[])?;
        eq!(by(&own), (lo.clone(), first.clone(), None));
        // Local, of this host and looked up (RTCF_LOCAL, RTM_F_CLONED).
        eq!((own.body[5], own.body[6], own.body[7]), (0, 0, 2));
        eq!(
            own.body[8..12].to_vec(),
            0x8000_0200u32.to_ne_bytes().to_vec()
        );
        eq!(change(k, NEWROUTE, CREATE, &rt_lo([10, 9, 0, 0], 16))?, 0);
        let net = way(k, [10, 9, 1, 2], &[])?;
        eq!(by(&net), (lo.clone(), first, None));
        eq!(net.body[4..8].to_vec(), vec![254, 0, 0, 1]);
        let via = [rt([0; 4], 0, 0), attribute(5, &[10, 7, 0, 5])].concat();
        eq!(change(k, NEWROUTE, CREATE, &via)?, 0);
        let far = way(k, [9, 9, 9, 9], &[])?;
        // The gateway is the host itself.
        eq!(far.attribute(12, 5), None);
        eq!(far.attribute(12, 25), Some(0u32.to_ne_bytes().to_vec()));
        // With a source of one's own there is no preferred one.
        let from = way(k, [9, 9, 9, 9], &attribute(2, &[10, 7, 0, 1]))?;
        eq!(
            (from.body[2], from.attribute(12, 2), from.attribute(12, 7)),
            (32, Some(vec![10, 7, 0, 1]), None)
        );
        let dev = way(k, [9, 9, 9, 9], &attribute(4, &99u32.to_ne_bytes()))?;
        eq!(dev.errno(), -libc::ENODEV);
        Ok(())
    })
}
