//! How dumps end (NLMSG_DONE), and the lists of netlink and packet sockets below /proc/net.

use super::netlink::{Answer, answers, nl, request};
use super::packet;
use crate::check::{Got, Outcome, check, eq, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use libc::{AF_INET, AF_INET6, AF_NETLINK, SOCK_DGRAM, SOCK_RAW};

tests! {
    an_end_tells_of_the_error,
    an_end_without_a_text,
    groups_of_interfaces,
    netlink_sockets_of_proc [ROOT],
    packet_sockets_of_proc [ROOT],
}

const SOL_NETLINK: i32 = 270;
const DUMP: u16 = 0x301;
const DONE: u16 = 3;

/// A dump that is looked at closely; with `told`, its errors have texts.
fn strict(k: &mut dyn Kernel, told: bool, kind: u16, body: &[u8]) -> Got<Vec<Answer>> {
    let fd = ok!(k.socket(AF_NETLINK, SOCK_RAW | NB, 0));
    ok!(k.set_int(fd, SOL_NETLINK, libc::NETLINK_GET_STRICT_CHK, 1));
    ok!(k.set_int(fd, SOL_NETLINK, libc::NETLINK_EXT_ACK, i32::from(told)));
    let m = request(kind, DUMP, 3, body);
    ret!(k.send(fd, &m, 0), m.len());
    let all = answers(k, fd);
    k.close(fd);
    Ok(all)
}

/// What is asked, the errno, flags beside NLM_F_MULTI, the text.
const REFUSED: &[(u16, &[u8], i32, u16, &str)] = &[
    (
        18,
        &[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        libc::EINVAL,
        0,
        "Filter by device index not supported for link dumps",
    ),
    (
        18,
        &[0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        libc::EINVAL,
        0,
        "Invalid values in header for link dump request",
    ),
    (
        22,
        &[0, 3, 0, 0, 0, 0, 0, 0],
        libc::EINVAL,
        0,
        "ipv4: Invalid values in header for address dump request",
    ),
    (22, &[0, 0, 0, 0, 99, 0, 0, 0], libc::ENODEV, 0x20, ""),
    (
        26,
        &[2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        libc::EINVAL,
        0,
        "Invalid values in header for FIB dump request",
    ),
    (
        26,
        &[2, 0, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0],
        libc::ENOENT,
        0x20,
        "ipv4: FIB table does not exist",
    ),
];

fn an_end_tells_of_the_error(k: &mut dyn Kernel) -> Outcome {
    for (kind, body, errno, flags, text) in REFUSED {
        let all = strict(k, true, *kind, body)?;
        eq!((kind, all.len(), all[0].kind), (kind, 1, DONE));
        eq!((kind, all[0].errno()), (kind, -errno));
        let told = if text.is_empty() { 0 } else { 0x200 };
        eq!((kind, all[0].flags), (kind, 2 | flags | told));
        let wanted = (!text.is_empty()).then(|| [text.as_bytes(), b"\0"].concat());
        eq!((kind, all[0].attribute(4, 1)), (kind, wanted));
    }
    Ok(())
}

fn an_end_without_a_text(k: &mut dyn Kernel) -> Outcome {
    for (kind, body, errno, flags, _) in REFUSED {
        let all = strict(k, false, *kind, body)?;
        eq!((kind, all.len(), all[0].kind), (kind, 1, DONE));
        eq!(
            (kind, all[0].errno(), all[0].flags),
            (kind, -errno, 2 | flags)
        );
        eq!((kind, all[0].body.len()), (kind, 4));
    }
    // What is no dump's is an error: a kind that nobody dumps. It changes things, so it is first of all not for everyone.
    let errno = if k.privileged() {
        libc::EOPNOTSUPP
    } else {
        libc::EPERM
    };
    let all = strict(k, true, 27, &[2])?;
    eq!((all.len(), all[0].kind, all[0].errno()), (1, 2, -errno));
    Ok(())
}

/// The columns of a file's lines behind the kernel's address.
fn lines(k: &mut dyn Kernel, file: &str) -> Got<Vec<Vec<String>>> {
    let text = k.file_text(file)?;
    let words = |line: &str| line.split_whitespace().skip(1).map(String::from).collect();
    Ok(text.lines().skip(1).map(words).collect())
}

fn netlink_sockets_of_proc(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = ok!(k.socket(AF_NETLINK, SOCK_RAW | NB, 0));
    // Without a port it is not listed.
    let before = lines(k, "/proc/net/netlink")?;
    check!(before.iter().all(|line| line[1] == "0"), "{before:?}");
    for protocol in ["0", "4", "15"] {
        let own = before.iter().filter(|line| line[0] == protocol).count();
        eq!((protocol, own), (protocol, 1));
    }
    ok!(k.bind(fd, &nl(0, 9)));
    let name = k.sockname(fd)?.0;
    let port = u32::from_ne_bytes([name[4], name[5], name[6], name[7]]).to_string();
    let all = lines(k, "/proc/net/netlink")?;
    let own: Vec<_> = all.iter().filter(|line| line[1] == port).collect();
    eq!(own.len(), 1);
    eq!(
        own[0][..8].join(" "),
        format!("0 {port} 00000009 0 0 0 2 0")
    );
    check!(own[0][8] != "0", "no inode");
    // What waits is charged: a dump whose end waits for a reader.
    let m = request(18, DUMP, 1, &[0; 16]);
    ret!(k.send(fd, &m, 0), m.len());
    let all = lines(k, "/proc/net/netlink")?;
    let own: Vec<_> = all.iter().filter(|line| line[1] == port).collect();
    check!(own[0][3] != "0", "{:?}", own[0]);
    let text = k.file_text("/proc/net/netlink")?;
    // The columns are padded, the last one too; an inode may be longer.
    check!(text.lines().skip(1).all(|line| line.len() >= 91), "{text}");
    Ok(())
}

fn packet_sockets_of_proc(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    eq!(lines(k, "/proc/net/packet")?.len(), 0);
    let fd = packet::open(k, SOCK_RAW, packet::ALL)?;
    let deaf = packet::open(k, SOCK_DGRAM, 0)?;
    let show = |k: &mut dyn Kernel| -> Got<Vec<String>> {
        let all = lines(k, "/proc/net/packet")?;
        // References are the kernel's own business; the inode is a number.
        let shown = |line: &Vec<String>| line[1..7].join(" ");
        Ok(all.iter().map(shown).collect())
    };
    eq!(show(k)?, vec!["3 0003 0 1 0 0", "2 0000 0 0 0 0"]);
    ok!(k.bind(deaf, &packet::ll(packet::OWN, packet::LO)));
    eq!(show(k)?, vec!["3 0003 0 1 0 0", "2 88b5 1 1 0 0"]);
    k.close(fd);
    eq!(show(k)?, vec!["2 88b5 1 1 0 0"]);
    Ok(())
}

/// RTM_GETMULTICAST
const GETMULTICAST: u16 = 58;
/// `sizeof(struct ifaddrmsg)`, IFA_MULTICAST, IFA_CACHEINFO
const IFADDRMSG: usize = 8;
const IFA_MULTICAST: u16 = 7;
const IFA_CACHEINFO: u16 = 6;

/// The groups of lo.
fn groups(k: &mut dyn Kernel, family: i32) -> Got<Vec<Vec<u8>>> {
    let fd = ok!(k.socket(AF_NETLINK, SOCK_RAW | NB, 0));
    let m = request(GETMULTICAST, DUMP, 3, &[family as u8, 0, 0, 0]);
    ret!(k.send(fd, &m, 0), m.len());
    let mut all = answers(k, fd);
    k.close(fd);
    eq!(all.pop().map(|m| m.kind), Some(DONE));
    let mut found = Vec::new();
    for m in all.iter().filter(|m| m.body[4..8] == 1u32.to_ne_bytes()) {
        let bits = if family == AF_INET { 32 } else { 128 };
        let group = m.attribute(IFADDRMSG, IFA_MULTICAST).unwrap_or_default();
        eq!((m.kind, m.flags), (GETMULTICAST, 2));
        let scope = if group.starts_with(&[0xff, 5]) {
            200
        } else {
            0
        };
        eq!(&m.body[..4], &[family as u8, bits, 0x80, scope]);
        let times = m.attribute(IFADDRMSG, IFA_CACHEINFO).unwrap_or_default();
        eq!((times.len(), &times[..8]), (16, &[0xff; 8][..]));
        found.push(group);
    }
    Ok(found)
}

fn groups_of_interfaces(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let mut all_nodes = [0; 16];
    (all_nodes[0], all_nodes[1], all_nodes[15]) = (0xff, 2, 1);
    check!(
        groups(k, AF_INET)?.contains(&vec![224, 0, 0, 1]),
        "224.0.0.1"
    );
    check!(
        groups(k, AF_INET6)?.contains(&all_nodes.to_vec()),
        "ff02::1"
    );
    // struct ip_mreqn, struct ipv6_mreq
    let four = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    let own4 = vec![239, 7, 8, 9];
    let join = [&own4[..], &[0; 4], &1u32.to_ne_bytes()].concat();
    ret!(
        k.setsockopt(four, libc::IPPROTO_IP, libc::IP_ADD_MEMBERSHIP, &join),
        0
    );
    let six = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    let own6 = |scope: u8| {
        let mut group = all_nodes.to_vec();
        (group[1], group[14]) = (scope, 0x77);
        group
    };
    for scope in [2, 5] {
        let join = [&own6(scope)[..], &1u32.to_ne_bytes()].concat();
        ret!(
            k.setsockopt(six, libc::IPPROTO_IPV6, libc::IPV6_ADD_MEMBERSHIP, &join),
            0
        );
    }
    check!(groups(k, AF_INET)?.contains(&own4), "239.7.8.9");
    for scope in [2, 5] {
        check!(
            groups(k, AF_INET6)?.contains(&own6(scope)),
            "ff0{scope}::7701"
        );
    }
    k.close(four);
    k.close(six);
    // Where a last close is told a moment later, so is this.
    k.pause(std::time::Duration::from_millis(100));
    check!(!groups(k, AF_INET)?.contains(&own4), "239.7.8.9 is left");
    check!(
        !groups(k, AF_INET6)?.contains(&own6(2)),
        "ff02::7701 is left"
    );
    // Looked at closely, it is like a dump of addresses.
    let one = |index: u32| [&[AF_INET6 as u8, 0, 0, 0], &index.to_ne_bytes()[..]].concat();
    let all = strict(k, true, GETMULTICAST, &one(1))?;
    check!(
        all.len() > 1 && all[0].flags == 0x22,
        "{} answers",
        all.len()
    );
    let none = strict(k, true, GETMULTICAST, &one(99))?;
    eq!(
        (none.len(), none[0].kind, none[0].errno()),
        (1, DONE, -libc::ENODEV)
    );
    // Of no family at all, and one by itself.
    for (family, flags) in [(0, DUMP), (17, DUMP), (AF_INET6, 1)] {
        let fd = ok!(k.socket(AF_NETLINK, SOCK_RAW | NB, 0));
        let m = request(GETMULTICAST, flags, 3, &[family as u8, 0, 0, 0, 0, 0, 0, 0]);
        ret!(k.send(fd, &m, 0), m.len());
        eq!(
            (family, answers(k, fd)[0].errno()),
            (family, -libc::EOPNOTSUPP)
        );
        k.close(fd);
    }
    Ok(())
}
