//! Routers that advertise themselves (RFC 4861, RFC 4862): the router is the body, at the other end of a TAP interface.

use super::netlink::{attribute, dump, nl, route, single};
use super::tun::{NO_PI, SIOCGIFHWADDR, TAP, ifreq, set_up, sum, tun};
use crate::check::{Got, Outcome, check, eq, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::sys::Fd;
use std::time::Duration;

tests! {
    a_host_configures_itself [ROOT | FILES],
    a_host_that_does_not_listen [ROOT | FILES],
    listeners_are_told [ROOT | FILES],
    routers_are_asked_for [ROOT | FILES],
    lifetimes_of_addresses [ROOT],
}

const NEWADDR: u16 = 20;
const DELADDR: u16 = 21;
const GETADDR: u16 = 22;
const GETROUTE: u16 = 26;
const NEWPREFIX: u16 = 52;
const NEWNDUSEROPT: u16 = 68;

const ROUTER: [u8; 6] = [2, 9, 9, 9, 9, 9];
/// What addresses are made of.
const PREFIX: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// An address of the link, made of a hardware address (RFC 4291, appendix A), behind a prefix.
fn made(prefix: [u8; 16], mac: &[u8]) -> [u8; 16] {
    let mut out = prefix;
    let own = [
        mac[0] ^ 2,
        mac[1],
        mac[2],
        0xff,
        0xfe,
        mac[3],
        mac[4],
        mac[5],
    ];
    out[8..].copy_from_slice(&own);
    out
}

fn link_local(mac: &[u8]) -> [u8; 16] {
    let mut prefix = [0; 16];
    prefix[..2].copy_from_slice(&[0xfe, 0x80]);
    made(prefix, mac)
}

fn prefix(len: u8, flags: u8, valid: u32, preferred: u32) -> Vec<u8> {
    let mut option = vec![3, 4, len, flags];
    option.extend(valid.to_be_bytes());
    option.extend(preferred.to_be_bytes());
    option.extend([0; 4]);
    option.extend(PREFIX);
    option
}

/// The name servers of RFC 8106.
fn servers() -> Vec<u8> {
    let mut option = vec![25, 3, 0, 0, 0, 0, 0, 60];
    option.extend(PREFIX);
    option
}

/// Hop limit 33, and the times of neighbour discovery.
fn advertise(k: &mut dyn Kernel, fd: Fd, lifetime: u16, options: &[Vec<u8>]) -> Outcome {
    let mut icmp = vec![134, 0, 0, 0, 33, 0x40];
    icmp.extend(lifetime.to_be_bytes());
    icmp.extend(20_000_u32.to_be_bytes());
    icmp.extend(500_u32.to_be_bytes());
    icmp.extend([1, 1]);
    icmp.extend(ROUTER);
    icmp.extend(options.iter().flatten());
    let all = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let mut summed = Vec::new();
    summed.extend(link_local(&ROUTER));
    summed.extend(all);
    summed.extend((icmp.len() as u32).to_be_bytes());
    summed.extend([0, 0, 0, 58]);
    summed.extend(&icmp);
    sum(&mut summed, 42);
    let mut frame = vec![0x33, 0x33, 0, 0, 0, 1];
    frame.extend(ROUTER);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend((icmp.len() as u16).to_be_bytes());
    frame.extend([58, 255]);
    frame.extend(&summed[..32]);
    frame.extend(&summed[40..]);
    ret!(k.write(fd, &frame), frame.len());
    Ok(())
}

fn word(data: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(data[at..at + 4].try_into().unwrap_or_default())
}

/// IFA_F_TENTATIVE comes and goes by itself.
const TENTATIVE: u32 = 0x40;

/// Prefix length and scope, flags, preferred and valid time of an address.
type Address = (u8, u8, u32, u32, u32);

fn address(k: &mut dyn Kernel, wanted: &[u8; 16]) -> Got<Option<Address>> {
    let all = dump(k, GETADDR, &[10, 0, 0, 0, 0, 0, 0, 0])?;
    let own = all
        .iter()
        .find(|m| m.attribute(8, 1) == Some(wanted.to_vec()));
    Ok(own.map(|m| {
        let flags = m.attribute(8, 8).unwrap_or_default();
        let times = m.attribute(8, 6).unwrap_or_default();
        (
            m.body[1],
            m.body[3],
            word(&flags, 0) & !TENTATIVE,
            word(&times, 0),
            word(&times, 4),
        )
    }))
}

/// What a route of the main table says of itself but for its time, and whether it has one: prefix length, protocol, gateway,
/// metric, RTAX_MTU and RTAX_HOPLIMIT.
type Route = (u8, u8, Option<Vec<u8>>, u32, Vec<u8>, bool);

fn routes(k: &mut dyn Kernel) -> Got<Vec<Route>> {
    let mut body = vec![0; 12];
    body[0] = 10;
    let all = dump(k, GETROUTE, &body)?;
    let own = all.iter().filter(|m| {
        let to = m.attribute(12, 1).unwrap_or_default();
        m.body[4] == 254 && to.first() != Some(&0xfe) && to.first() != Some(&0xff)
    });
    Ok(own
        .map(|m| {
            let cache = m.attribute(12, 12).unwrap_or_default();
            (
                m.body[1],
                m.body[5],
                m.attribute(12, 5),
                word(&m.attribute(12, 6).unwrap_or_default(), 0),
                m.attribute(12, 8).unwrap_or_default(),
                word(&cache, 8) > 0,
            )
        })
        .collect())
}

/// A TAP interface, the address that its host makes for itself, and that of an inet socket.
fn tap(k: &mut dyn Kernel, name: &str) -> Got<(Fd, [u8; 16])> {
    let fd = tun(k, name, TAP | NO_PI)?;
    set_up(k, name)?;
    let own = ifreq(k, fd, SIOCGIFHWADDR, "", &[]).1;
    Ok((fd, made(PREFIX, &own[18..24])))
}

fn near(got: u32, wanted: u32) -> bool {
    got <= wanted && got + 2 >= wanted
}

fn a_host_configures_itself(k: &mut dyn Kernel) -> Outcome {
    let (fd, own) = tap(k, "ra0")?;
    let mtu = vec![5, 1, 0, 0, 0, 0, 0x05, 0x78];
    advertise(k, fd, 30, &[prefix(64, 0xc0, 300, 100), mtu])?;
    k.pause(Duration::from_millis(50));
    // IFA_F_MANAGETEMPADDR, and not for ever.
    let (len, scope, flags, preferred, valid) = match address(k, &own)? {
        Some(found) => found,
        None => {
            check!(false, "no address was made");
            return Ok(());
        }
    };
    eq!((len, scope, flags), (64, 0, 0x100));
    check!(
        near(preferred, 100) && near(valid, 300),
        "{preferred} {valid}"
    );
    let gateway = link_local(&ROUTER).to_vec();
    let metrics = [
        attribute(2, &1400_u32.to_ne_bytes()),
        attribute(10, &33_u32.to_ne_bytes()),
    ];
    let mut all = routes(k)?;
    all.sort();
    eq!(
        all,
        vec![
            (0, 9, Some(gateway.clone()), 1024, metrics.concat(), true),
            (64, 2, None, 256, Vec::new(), true),
        ]
    );
    for (name, value) in [
        ("conf/ra0/hop_limit", "33"),
        ("conf/ra0/mtu", "1400"),
        ("conf/default/hop_limit", "64"),
        ("neigh/ra0/retrans_time_ms", "500"),
        ("neigh/ra0/base_reachable_time_ms", "20000"),
    ] {
        eq!(
            (name, k.get_tunable(&format!("ipv6/{name}"))?.as_str()),
            (name, value)
        );
    }
    // RFC 4862, 5.5.3 e: an address is not ended in less than two hours, but is no choice any more.
    advertise(k, fd, 0, &[prefix(64, 0xc0, 10, 0)])?;
    k.pause(Duration::from_millis(50));
    let Some((_, _, flags, preferred, valid)) = address(k, &own)? else {
        check!(false, "the address went");
        return Ok(());
    };
    eq!((flags, preferred), (0x120, 0));
    check!(near(valid, 300), "{valid}");
    eq!(routes(k)?, vec![(64, 2, None, 256, Vec::new(), true)]);
    advertise(k, fd, 0, &[prefix(64, 0xc0, 0, 0)])?;
    k.pause(Duration::from_millis(50));
    eq!(routes(k)?, Vec::new());
    k.close(fd);
    Ok(())
}

fn a_host_that_does_not_listen(k: &mut dyn Kernel) -> Outcome {
    let (fd, own) = tap(k, "ra1")?;
    let all = [prefix(64, 0xc0, 300, 100)];
    for (name, value, back) in [
        ("conf/ra1/accept_ra", "0", "1"),
        ("conf/all/forwarding", "1", "0"),
    ] {
        let name = format!("ipv6/{name}");
        ret!(k.set_tunable(&name, value)?, 1);
        advertise(k, fd, 30, &all)?;
        k.pause(Duration::from_millis(50));
        eq!(
            (&name, address(k, &own)?, routes(k)?),
            (&name, None, Vec::new())
        );
        ret!(k.set_tunable(&name, back)?, 1);
    }
    // Each for itself: no router, no route to the link, no address.
    for (name, left) in [
        ("accept_ra_defrtr", vec![64]),
        ("accept_ra_pinfo", vec![0]),
        ("autoconf", vec![0, 64]),
    ] {
        let tunable = format!("ipv6/conf/ra1/{name}");
        ret!(k.set_tunable(&tunable, "0")?, 1);
        advertise(k, fd, 30, &all)?;
        k.pause(Duration::from_millis(50));
        let mut lengths: Vec<u8> = routes(k)?.iter().map(|route| route.0).collect();
        lengths.sort_unstable();
        eq!((name, lengths), (name, left));
        eq!(
            (name, address(k, &own)?.is_some()),
            (name, name == "accept_ra_defrtr")
        );
        ret!(k.set_tunable(&tunable, "1")?, 1);
        advertise(k, fd, 0, &[prefix(64, 0xc0, 0, 0)])?;
        k.pause(Duration::from_millis(50));
        if address(k, &own)?.is_some() {
            let mut body = vec![10, 64, 0, 0];
            body.extend(index(k)?.to_ne_bytes());
            body.extend(attribute(2, &own));
            eq!(single(k, DELADDR, 5, &body)?.errno(), 0);
        }
    }
    k.close(fd);
    Ok(())
}

/// Of the interface that has an address of the link: there is one.
fn index(k: &mut dyn Kernel) -> Got<u32> {
    let all = dump(k, GETADDR, &[10, 0, 0, 0, 0, 0, 0, 0])?;
    let own = all.iter().find(|m| m.body[3] == 253);
    Ok(own.map_or(0, |m| word(&m.body, 4)))
}

fn listeners_are_told(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = tap(k, "ra2")?;
    let listener = route(k)?;
    // RTNLGRP_IPV6_PREFIX, RTNLGRP_ND_USEROPT
    ok!(k.bind(listener, &nl(0, 1 << 17 | 1 << 19)));
    advertise(k, fd, 30, &[prefix(64, 0xc0, 300, 100), servers()])?;
    k.pause(Duration::from_millis(50));
    let told = super::netlink::answers(k, listener);
    eq!(
        told.iter().map(|m| m.kind).collect::<Vec<_>>(),
        vec![NEWPREFIX, NEWNDUSEROPT, NEWNDUSEROPT]
    );
    let index = index(k)?.to_ne_bytes();
    // The prefix is told of as an option, too.
    let (of_prefix, option) = (&told[0], &told[2]);
    eq!(&told[1].body[16..48], prefix(64, 0xc0, 300, 100));
    eq!(&of_prefix.body[..4], &[10, 0, 0, 0]);
    eq!(&of_prefix.body[4..8], &index);
    // The flags are the option's.
    eq!(&of_prefix.body[8..12], &[3, 64, 0xc0, 0]);
    let times = [100_u32.to_ne_bytes(), 300_u32.to_ne_bytes()].concat();
    eq!(
        of_prefix.attributes(12),
        vec![(1, PREFIX.to_vec()), (2, times)]
    );
    eq!(&option.body[..4], &[[10, 0], 24_u16.to_ne_bytes()].concat());
    eq!(&option.body[4..8], &index);
    eq!(&option.body[8..16], &[134, 0, 0, 0, 0, 0, 0, 0]);
    eq!(&option.body[16..40], &servers());
    eq!(
        option.attributes(40),
        vec![(1, link_local(&ROUTER).to_vec())]
    );
    k.close(listener);
    k.close(fd);
    Ok(())
}

/// RFC 4861, 6.3.7: when an interface has come up, and has an address of the link.
fn routers_are_asked_for(k: &mut dyn Kernel) -> Outcome {
    let (fd, _) = tap(k, "ra3")?;
    let own = ifreq(k, fd, SIOCGIFHWADDR, "", &[]).1;
    let mut room = [0; 2048];
    for _ in 0..600 {
        let n = k.read(fd, &mut room);
        if n >= 62 && room[12..14] == [0x86, 0xdd] && room[20] == 58 && room[54] == 133 {
            eq!(&room[..6], &[0x33, 0x33, 0, 0, 0, 2]);
            eq!(&room[21], &255);
            eq!(&room[22..38], &link_local(&own[18..24]));
            eq!(
                &room[58..n as usize],
                [&[0, 0, 0, 0, 1, 1][..], &own[18..24]].concat()
            );
            k.close(fd);
            return Ok(());
        }
        if n <= 0 {
            k.pause(Duration::from_millis(10));
        }
    }
    check!(false, "nobody asked");
    Ok(())
}

/// IFA_CACHEINFO and IFA_F_NOPREFIXROUTE, as DHCP clients have them.
fn lifetimes_of_addresses(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let mut ip = PREFIX;
    ip[15] = 7;
    let ask = |k: &mut dyn Kernel, flags: u16, said: u32, times: Option<(u32, u32)>| -> Got<i32> {
        let mut body = vec![10, 64, 0, 0];
        body.extend(1_u32.to_ne_bytes());
        body.extend(attribute(2, &ip));
        body.extend(attribute(8, &said.to_ne_bytes()));
        if let Some((preferred, valid)) = times {
            let times = [preferred, valid, 0, 0].map(u32::to_ne_bytes).concat();
            body.extend(attribute(6, &times));
        }
        Ok(single(k, NEWADDR, flags, &body)?.errno())
    };
    // NLM_F_REQUEST, NLM_F_ACK; NLM_F_CREATE, NLM_F_EXCL; NLM_F_REPLACE
    let (new, change) = (0x605, 0x105);
    eq!(ask(k, new, 2, Some((300, 100)))?, -libc::EINVAL);
    eq!(ask(k, new, 2, Some((0, 0)))?, -libc::EINVAL);
    eq!(ask(k, new, 2, Some((100, 300)))?, 0);
    let shown = |k: &mut dyn Kernel| -> Got<Address> { Ok(address(k, &ip)?.unwrap_or_default()) };
    let (_, _, flags, preferred, valid) = shown(k)?;
    eq!(flags, 2);
    check!(
        near(preferred, 100) && near(valid, 300),
        "{preferred} {valid}"
    );
    eq!(ask(k, change, 2, Some((0, 500)))?, 0);
    let (_, _, flags, preferred, valid) = shown(k)?;
    eq!((flags, preferred), (0x22, 0));
    check!(near(valid, 500), "{valid}");
    eq!(ask(k, change, 2, Some((u32::MAX, u32::MAX)))?, 0);
    eq!(shown(k)?, (64, 0, 0x82, u32::MAX, u32::MAX));
    // Its time comes.
    eq!(ask(k, change, 2, Some((1, 1)))?, 0);
    for _ in 0..300 {
        if address(k, &ip)?.is_none() {
            return Ok(());
        }
        k.pause(Duration::from_millis(20));
    }
    check!(false, "the address stays");
    Ok(())
}
