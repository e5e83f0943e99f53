//! /proc/sys/net/ipv4/conf and ipv6/conf: what their numbers do to packets, ARP and addresses. On the host in a network namespace of the
//! body's own, whose other end the body is.

use super::netlink::{answers, attribute, dump, nl, route};
use super::netlink_route::{
    CREATE, DELADDR, DELROUTE, GETADDR, NEWADDR, NEWROUTE, addresses, alone, change, ifaddr,
    ifaddr6, ip6, shown,
};
use super::tun::{
    NO_PI, OTHER, OURS, SIOCGIFHWADDR, SIOCGIFMTU, SIOCSIFADDR, SIOCSIFFLAGS, SIOCSIFNETMASK, TAP,
    TUN, address, another, half, ifreq, packet, set_iff, set_up, sum, tun,
};
use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{AF_INET, AF_INET6, AF_NETLINK, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM};
use std::time::Duration;

tests! {
    default_goes_to_the_unsettled [ROOT | FILES],
    reverse_paths [ROOT | FILES],
    loopback_on_a_link [ROOT | FILES],
    arp_for_own_addresses [ROOT | FILES],
    arp_of_strangers [ROOT | FILES],
    arp_by_a_proxy [ROOT | FILES],
    arp_on_the_way_up [ROOT | FILES],
    secondaries_are_promoted [ROOT],
    ipv6_is_switched_off [ROOT],
    ipv6_of_a_link_is_switched_off [ROOT | FILES],
    mtu_of_ipv6 [ROOT | FILES],
    paths_that_are_not_discovered [ROOT | FILES],
}

const SIOCGIFINDEX: u64 = 0x8933;
const SIOCGIFNETMASK: u64 = 0x891b;
const MAC: [u8; 6] = [2, 9, 9, 9, 9, 9];

fn set(k: &mut dyn Kernel, conf: &str, name: &str, value: &str) -> Outcome {
    let name = format!("ipv4/conf/{conf}/{name}");
    ret!(k.set_tunable(&name, value)?, value.len());
    Ok(())
}

/// Another address in the place of the interface's, with 24 bits.
fn has(k: &mut dyn Kernel, name: &str, ip: [u8; 4]) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(ifreq(k, fd, SIOCSIFADDR, name, &address(ip)).0, 0);
    // What has two ends has an address and no subnet; inet_abc_len() is for others.
    let (got, mask) = ifreq(k, fd, SIOCGIFNETMASK, name, &[]);
    eq!((got, &mask[20..24]), (0, &[255; 4][..]));
    let mask = address([255, 255, 255, 0]);
    ret!(ifreq(k, fd, SIOCSIFNETMASK, name, &mask).0, 0);
    k.close(fd);
    Ok(())
}

fn default_goes_to_the_unsettled(k: &mut dyn Kernel) -> Outcome {
    let first = tun(k, "conf0", TUN | NO_PI)?;
    let read = |k: &mut dyn Kernel, conf: &str, name: &str| {
        k.get_tunable(&format!("ipv4/conf/{conf}/{name}"))
    };
    set(k, "default", "arp_ignore", "7")?;
    eq!(read(k, "conf0", "arp_ignore")?, "7");
    let second = another(k)?;
    eq!(set_iff(k, second, "conf1", TUN | NO_PI).0, 0);
    eq!(read(k, "conf1", "arp_ignore")?, "7");
    set(k, "default", "arp_ignore", "6")?;
    eq!(read(k, "conf0", "arp_ignore")?, "6");
    eq!(read(k, "conf1", "arp_ignore")?, "7");
    set(k, "conf0", "rp_filter", "1")?;
    set(k, "default", "rp_filter", "2")?;
    eq!(read(k, "conf0", "rp_filter")?, "1");
    // An address settles all of them.
    set_up(k, "conf0")?;
    set(k, "default", "arp_ignore", "5")?;
    eq!(read(k, "conf0", "arp_ignore")?, "6");
    // `all` stands beside them.
    set(k, "all", "arp_announce", "2")?;
    eq!(read(k, "conf0", "arp_announce")?, "0");
    for (conf, name) in [
        ("default", "arp_ignore"),
        ("default", "rp_filter"),
        ("all", "arp_announce"),
    ] {
        set(k, conf, name, "0")?;
    }
    k.close(second);
    k.close(first);
    Ok(())
}

/// A datagram without a checksum, from port 9.
fn datagram(src: [u8; 4], dst: [u8; 4], port: u16) -> Vec<u8> {
    let mut out = vec![0x45, 0, 0, 29, 0, 1, 0, 0, 64, 17, 0, 0];
    out.extend(src);
    out.extend(dst);
    sum(&mut out, 10);
    out.extend([0, 9]);
    out.extend(port.to_be_bytes());
    out.extend([0, 9, 0, 0, b'x']);
    out
}

/// Whether a datagram that comes in by a TUN interface reaches a socket.
fn comes(k: &mut dyn Kernel, by: Fd, from: [u8; 4], to: ([u8; 4], Fd, u16)) -> Got<bool> {
    let packet = datagram(from, to.0, to.2);
    ret!(k.write(by, &packet), packet.len());
    for _ in 0..3 {
        if k.recv(to.1, &mut [0; 9], 0) == 1 {
            return Ok(true);
        }
        k.pause(Duration::from_millis(2));
    }
    Ok(false)
}

/// A socket of all addresses, and its port.
fn hearer(k: &mut dyn Kernel) -> Got<(Fd, u16)> {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ok!(k.bind(fd, &Addr::v4([0; 4], 0)));
    let name = k.sockname(fd)?.0;
    Ok((fd, u16::from_be_bytes([name[2], name[3]])))
}

fn reverse_paths(k: &mut dyn Kernel) -> Outcome {
    let link = tun(k, "path0", TUN | NO_PI)?;
    set_up(k, "path0")?;
    let (fd, port) = hearer(k)?;
    let far = [192, 0, 2, 9];
    for (filter, taken) in [("0", true), ("1", false), ("2", false), ("-1", true)] {
        set(k, "path0", "rp_filter", filter)?;
        let to = (OURS, fd, port);
        eq!((filter, comes(k, link, OTHER, to)?), (filter, true));
        eq!((filter, comes(k, link, far, to)?), (filter, taken));
        // Nobody else speaks with the host's own address.
        eq!((filter, comes(k, link, OURS, to)?), (filter, false));
    }
    // Loosely, by any interface: a subnet on another one.
    let other = another(k)?;
    eq!(set_iff(k, other, "path1", TUN | NO_PI).0, 0);
    set_up(k, "path1")?;
    has(k, "path1", [192, 0, 2, 1])?;
    for (filter, taken) in [("1", false), ("2", true)] {
        set(k, "path0", "rp_filter", filter)?;
        eq!(
            (filter, comes(k, link, far, (OURS, fd, port))?),
            (filter, taken)
        );
    }
    for link in [link, other, fd] {
        k.close(link);
    }
    Ok(())
}

fn loopback_on_a_link(k: &mut dyn Kernel) -> Outcome {
    let link = tun(k, "local0", TUN | NO_PI)?;
    set_up(k, "local0")?;
    let (fd, port) = hearer(k)?;
    let inside = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ok!(k.bind(inside, &Addr::lo4(0)));
    err!(k.sendto(inside, b"x", 0, &Addr::v4(OTHER, 9)), EINVAL);
    err!(k.connect(inside, &Addr::v4(OTHER, 9)), EINVAL);
    let to = ([127, 0, 0, 1], fd, port);
    check!(!comes(k, link, OTHER, to)?, "it came to 127.0.0.1");
    set(k, "local0", "route_localnet", "1")?;
    check!(comes(k, link, OTHER, to)?, "it does not come to 127.0.0.1");
    ret!(k.sendto(inside, b"x", 0, &Addr::v4(OTHER, 9)), 1);
    let (own, other) = ([127, 0, 0, 1], [127, 0, 0, 5]);
    let up = 1_u16.to_ne_bytes();
    ret!(ifreq(k, fd, SIOCSIFFLAGS, "lo", &up).0, 0);
    check!(comes(k, link, other, (OURS, fd, port))?, "no interface's");
    check!(!comes(k, link, own, (OURS, fd, port))?, "an interface's");
    set(k, "local0", "rp_filter", "2")?;
    check!(!comes(k, link, other, (OURS, fd, port))?, "the host's own");
    set(k, "local0", "accept_local", "1")?;
    check!(comes(k, link, other, (OURS, fd, port))?, "accept_local");
    check!(comes(k, link, own, (OURS, fd, port))?, "accept_local");
    set(k, "local0", "rp_filter", "1")?;
    check!(!comes(k, link, own, (OURS, fd, port))?, "not by lo");
    for fd in [link, fd, inside] {
        k.close(fd);
    }
    Ok(())
}

/// Says something in ARP by a TAP interface.
fn says(k: &mut dyn Kernel, fd: Fd, operation: u8, source: [u8; 4], target: [u8; 4]) -> Outcome {
    let mut ask = vec![0xff; 6];
    ask.extend(MAC);
    ask.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    ask.extend(MAC);
    ask.extend(source);
    ask.extend([0; 6]);
    ask.extend(target);
    ret!(k.write(fd, &ask), 42);
    Ok(())
}

/// What the host says in ARP: the operation, the sender's address and the target's.
fn said(k: &mut dyn Kernel, fd: Fd, wait: u64) -> Vec<(u8, Vec<u8>, Vec<u8>)> {
    let (mut room, mut all) = ([0; 2048], Vec::new());
    k.pause(Duration::from_millis(wait));
    loop {
        let n = k.read(fd, &mut room);
        if n <= 0 {
            return all;
        }
        if n >= 42 && room[12..14] == [8, 6] {
            all.push((room[21], room[28..32].to_vec(), room[38..42].to_vec()));
        }
    }
}

/// 10.9.0.1/24 on the TAP interface arp0, and 192.0.2.1/24 on arp1.
fn two_links(k: &mut dyn Kernel) -> Got<(Fd, Fd)> {
    let fd = tun(k, "arp0", TAP | NO_PI)?;
    set_up(k, "arp0")?;
    let other = another(k)?;
    eq!(set_iff(k, other, "arp1", TUN | NO_PI).0, 0);
    set_up(k, "arp1")?;
    has(k, "arp1", [192, 0, 2, 1])?;
    Ok((fd, other))
}

fn answers_for(k: &mut dyn Kernel, fd: Fd, source: [u8; 4], target: [u8; 4]) -> Got<bool> {
    says(k, fd, 1, source, target)?;
    let want = (2, target.to_vec(), source.to_vec());
    Ok(said(k, fd, 5).contains(&want))
}

fn arp_for_own_addresses(k: &mut dyn Kernel) -> Outcome {
    let (fd, other) = two_links(k)?;
    let elsewhere = [192, 0, 2, 1];
    for (ignore, own, others, stranger) in [
        ("0", true, true, true),
        ("1", true, false, true),
        ("2", true, false, false),
        ("3", true, true, true),
        ("6", true, true, true),
        ("8", false, false, false),
    ] {
        set(k, "arp0", "arp_ignore", ignore)?;
        eq!((ignore, answers_for(k, fd, OTHER, OURS)?), (ignore, own));
        eq!(
            (ignore, answers_for(k, fd, OTHER, elsewhere)?),
            (ignore, others)
        );
        let far = [198, 51, 100, 7];
        eq!((ignore, answers_for(k, fd, far, OURS)?), (ignore, stranger));
        // Who looks whether an address is free has none.
        eq!((ignore, answers_for(k, fd, [0; 4], OURS)?), (ignore, own));
    }
    set(k, "arp0", "arp_ignore", "0")?;
    set(k, "arp0", "arp_filter", "1")?;
    check!(answers_for(k, fd, OTHER, OURS)?, "filtered");
    check!(!answers_for(k, fd, [192, 0, 2, 7], OURS)?, "not filtered");
    k.close(other);
    k.close(fd);
    Ok(())
}

fn knows(k: &mut dyn Kernel, ip: [u8; 4]) -> Got<bool> {
    let all = dump(k, 30, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
    Ok(all.iter().any(|m| m.attribute(12, 1) == Some(ip.to_vec())))
}

fn arp_of_strangers(k: &mut dyn Kernel) -> Outcome {
    let fd = tun(k, "arp0", TAP | NO_PI)?;
    set_up(k, "arp0")?;
    let (near, far) = ([10, 9, 0, 20], [192, 0, 2, 20]);
    says(k, fd, 1, near, near)?;
    check!(!knows(k, near)?, "0: near");
    set(k, "arp0", "arp_accept", "2")?;
    says(k, fd, 1, near, near)?;
    says(k, fd, 1, far, far)?;
    eq!((knows(k, near)?, knows(k, far)?), (true, false));
    set(k, "arp0", "arp_accept", "1")?;
    says(k, fd, 1, far, [192, 0, 2, 30])?;
    check!(!knows(k, far)?, "a question tells nothing");
    says(k, fd, 2, far, [192, 0, 2, 30])?;
    check!(knows(k, far)?, "an answer does");
    set(k, "arp0", "drop_gratuitous_arp", "1")?;
    says(k, fd, 1, [10, 9, 0, 21], [10, 9, 0, 21])?;
    check!(!knows(k, [10, 9, 0, 21])?, "it is dropped");
    k.close(fd);
    Ok(())
}

fn arp_by_a_proxy(k: &mut dyn Kernel) -> Outcome {
    let (fd, other) = two_links(k)?;
    let behind = [192, 0, 2, 77];
    // Linux waits for up to proxy_delay.
    ret!(k.set_tunable("ipv4/neigh/arp0/proxy_delay", "0")?, 1);
    check!(!answers_for(k, fd, OTHER, behind)?, "nobody asked for it");
    set(k, "arp0", "proxy_arp", "1")?;
    check!(!answers_for(k, fd, OTHER, behind)?, "it does not forward");
    set(k, "arp0", "forwarding", "1")?;
    check!(answers_for(k, fd, OTHER, behind)?, "a proxy does");
    check!(!answers_for(k, fd, OTHER, [10, 9, 0, 77])?, "the same link");
    check!(!answers_for(k, fd, OTHER, [198, 51, 100, 1])?, "no route");
    k.close(other);
    k.close(fd);
    Ok(())
}

fn arp_on_the_way_up(k: &mut dyn Kernel) -> Outcome {
    let fd = tun(k, "arp0", TAP | NO_PI)?;
    let s = set_up(k, "arp0")?;
    for notify in ["0", "1"] {
        set(k, "arp0", "arp_notify", notify)?;
        said(k, fd, 5);
        for up in [0_u16, 1] {
            ret!(ifreq(k, s, SIOCSIFFLAGS, "arp0", &up.to_ne_bytes()).0, 0);
        }
        let mut all = said(k, fd, 20);
        all.dedup();
        let want = (1, OURS.to_vec(), OURS.to_vec());
        let want = if notify == "1" {
            vec![want]
        } else {
            Vec::new()
        };
        eq!((notify, all), (notify, want));
    }
    eq!(ifreq(k, s, SIOCGIFHWADDR, "arp0", &[]).0, 0);
    k.close(fd);
    Ok(())
}

fn secondaries_are_promoted(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        set(k, "lo", "promote_secondaries", "1")?;
        for ip in [[10, 7, 0, 1], [10, 6, 0, 1], [10, 7, 0, 2], [10, 7, 0, 3]] {
            eq!(change(k, NEWADDR, CREATE, &ifaddr(ip, 24))?, 0);
        }
        // RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE
        let fd = ok!(k.socket(AF_NETLINK, SOCK_RAW | NB, 0));
        ok!(k.bind(fd, &nl(0, 1 << 4 | 1 << 6)));
        let by = route(k)?;
        eq!(change(k, DELADDR, 0, &ifaddr([10, 7, 0, 1], 24))?, 0);
        let heard: Vec<_> = answers(k, fd)
            .iter()
            .map(|m| match m.kind {
                NEWADDR | DELADDR => (m.kind, m.attribute(8, 2).unwrap_or_default()[3], m.body[2]),
                _ => {
                    let source = m.attribute(12, 7).unwrap_or_default();
                    (m.kind, shown(m).0[3], source[3])
                }
            })
            .collect();
        let want = vec![
            (DELROUTE, 2, 1),
            (DELROUTE, 3, 1),
            (DELADDR, 1, 0x80),
            (DELROUTE, 0, 1),
            (DELROUTE, 255, 1),
            (DELROUTE, 1, 1),
            (NEWADDR, 2, 0x80),
            (NEWROUTE, 2, 2),
            (NEWROUTE, 0, 2),
            (NEWROUTE, 255, 2),
            (NEWROUTE, 3, 2),
        ];
        eq!(heard, want);
        let all: Vec<_> = addresses(k)?
            .into_iter()
            .map(|(ip, _, flags)| (ip[1], ip[3], flags))
            .collect();
        eq!(
            all,
            vec![(0, 1, 0x80), (6, 1, 0x80), (7, 2, 0x80), (7, 3, 0x81)]
        );
        set(k, "lo", "promote_secondaries", "0")?;
        k.close(by);
        k.close(fd);
        Ok(())
    })
}

fn ipv6_is_switched_off(k: &mut dyn Kernel) -> Outcome {
    alone(k, |k| {
        // RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE
        let fd = ok!(k.socket(AF_NETLINK, SOCK_RAW | NB, 0));
        ok!(k.bind(fd, &nl(0, 1 << 8 | 1 << 10)));
        let name = |conf: &str| format!("ipv6/conf/{conf}/disable_ipv6");
        ret!(k.set_tunable(&name("all"), "3")?, 1);
        for conf in ["all", "default", "lo"] {
            eq!((conf, k.get_tunable(&name(conf))?), (conf, "3".to_string()));
        }
        let kinds: Vec<u16> = answers(k, fd).iter().map(|m| m.kind).collect();
        eq!(kinds, vec![DELROUTE, DELADDR]);
        eq!(dump(k, GETADDR, &[10, 0, 0, 0, 0, 0, 0, 0])?.len(), 0);
        let udp = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
        let (lo, any) = (Addr::v6(ip6(0, 1), 5555), Addr::v6([0; 16], 0));
        err!(k.bind(udp, &lo), EADDRNOTAVAIL);
        err!(k.connect(udp, &lo), EADDRNOTAVAIL);
        err!(k.sendto(udp, b"x", 0, &lo), EADDRNOTAVAIL);
        let far = Addr::v6(ip6(0x2001, 1), 5);
        err!(k.connect(udp, &far), EADDRNOTAVAIL);
        let udp = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
        ok!(k.bind(udp, &any));
        let mut mapped = [0; 16];
        mapped[10..].copy_from_slice(&[0xff, 0xff, 127, 0, 0, 1]);
        ok!(k.connect(udp, &Addr::v6(mapped, 5)));
        let tcp = ok!(k.socket(AF_INET6, SOCK_STREAM | NB, 0));
        err!(k.connect(tcp, &lo), EADDRNOTAVAIL);
        ok!(k.listen(tcp, 1));
        let own = ip6(0xfd00, 1);
        eq!(change(k, NEWADDR, CREATE, &ifaddr6(own, 64))?, libc::EACCES);
        let mut by_lo = vec![10, 64, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0];
        by_lo.extend(attribute(1, &ip6(0xfd01, 0)));
        by_lo.extend(attribute(4, &1_u32.to_ne_bytes()));
        eq!(change(k, NEWROUTE, CREATE, &by_lo)?, libc::EACCES);
        eq!(answers(k, fd).len(), 0);
        // Of `default` nobody is told, and those that are there do not change.
        ret!(k.set_tunable(&name("default"), "0")?, 1);
        eq!(k.get_tunable(&name("lo"))?, "3");
        ret!(k.set_tunable(&name("lo"), "0")?, 1);
        eq!(k.get_tunable(&name("all"))?, "3");
        let kinds: Vec<u16> = answers(k, fd).iter().map(|m| m.kind).collect();
        eq!(kinds, vec![NEWADDR, NEWROUTE]);
        let again = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
        ok!(k.bind(again, &lo));
        ret!(k.set_tunable(&name("all"), "0")?, 1);
        eq!(answers(k, fd).len(), 0);
        for fd in [fd, udp, tcp, again] {
            k.close(fd);
        }
        Ok(())
    })
}

fn ipv6_of_a_link_is_switched_off(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let (own, lo) = ("ipv6/conf/six0/disable_ipv6", "ipv6/conf/lo/disable_ipv6");
    ret!(k.set_tunable("ipv6/conf/default/disable_ipv6", "1")?, 1);
    let fd = another(k)?;
    eq!(set_iff(k, fd, "six0", TAP | NO_PI).0, 0);
    eq!(
        (k.get_tunable(own)?, k.get_tunable(lo)?),
        ("1".into(), "0".into())
    );
    ret!(k.set_tunable("ipv6/conf/default/disable_ipv6", "0")?, 1);
    set_up(k, "six0")?;
    let here = |k: &mut dyn Kernel| {
        let all = dump(k, GETADDR, &[10, 0, 0, 0, 0, 0, 0, 0])?;
        let firsts = all.iter().filter_map(|m| m.attribute(8, 1));
        Ok::<_, crate::check::Stop>(firsts.filter(|ip| ip[..2] == [0xfe, 0x80]).count())
    };
    eq!(here(k)?, 0);
    ret!(k.set_tunable(own, "0")?, 1);
    eq!(here(k)?, 1);
    ret!(k.set_tunable(own, "1")?, 1);
    eq!(here(k)?, 0);
    k.close(fd);
    Ok(())
}

fn mtu_of_ipv6(k: &mut dyn Kernel) -> Outcome {
    let fd = tun(k, "mtu0", TUN | NO_PI)?;
    set_up(k, "mtu0")?;
    let own = "ipv6/conf/mtu0/mtu";
    eq!(k.get_tunable(own)?, "1500");
    for value in ["1280", "1500", "1400"] {
        ret!(k.set_tunable(own, value)?, value.len());
        eq!(k.get_tunable(own)?, value);
    }
    for value in ["1279", "1501", "x"] {
        err!(k.set_tunable(own, value)?, EINVAL);
    }
    eq!(k.get_tunable(own)?, "1400");
    eq!(k.get_tunable("ipv6/conf/default/mtu")?, "1280");
    // IPv4 goes on with the interface's own.
    let s = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    eq!(half(&ifreq(k, s, SIOCGIFMTU, "mtu0", &[]).1), 1500);
    // The largest of a host that makes its way by the interface.
    let mut address = ifaddr6(ip6(0xfd00, 1), 64);
    address[4..8].copy_from_slice(&index(k, "mtu0")?.to_ne_bytes());
    // IFA_F_NODAD
    address[2] = 2;
    eq!(change(k, NEWADDR, CREATE, &address)?, 0);
    let udp = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    ok!(k.connect(udp, &Addr::v6(ip6(0xfd00, 2), 5)));
    eq!(k.get_int(udp, libc::IPPROTO_IPV6, libc::IPV6_MTU)?, 1400);
    for fd in [fd, s, udp] {
        k.close(fd);
    }
    Ok(())
}

fn index(k: &mut dyn Kernel, name: &str) -> Got<u32> {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    let (got, request) = ifreq(k, fd, SIOCGIFINDEX, name, &[]);
    eq!(got, 0);
    k.close(fd);
    Ok(u32::from(half(&request)))
}

fn paths_that_are_not_discovered(k: &mut dyn Kernel) -> Outcome {
    let link = tun(k, "path0", TUN | NO_PI)?;
    set_up(k, "path0")?;
    for (value, discover) in [("0", libc::IP_PMTUDISC_WANT), ("1", 0), ("3", 0), ("0", 1)] {
        ret!(k.set_tunable("ipv4/ip_no_pmtu_disc", value)?, 1);
        for (family, kind, protocol) in [
            (AF_INET, SOCK_STREAM, 0),
            (AF_INET, SOCK_RAW, libc::IPPROTO_UDP),
            (AF_INET6, SOCK_DGRAM, 0),
            (AF_INET, SOCK_DGRAM, 0),
        ] {
            let fd = ok!(k.socket(family, kind, protocol));
            let got = k.get_int(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER)?;
            eq!((value, family, kind, got), (value, family, kind, discover));
            if family == AF_INET6 {
                // IPv6 always discovers.
                eq!(
                    k.get_int(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER)?,
                    1
                );
            } else if kind == SOCK_DGRAM {
                ret!(k.sendto(fd, b"x", 0, &Addr::v4(OTHER, 9)), 1);
                let packet = packet(k, link, 0)?;
                eq!((value, packet[6]), (value, (discover as u8) << 6));
            }
            k.close(fd);
        }
    }
    k.close(link);
    Ok(())
}
