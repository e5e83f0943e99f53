//! How dumps end (NLMSG_DONE), and the lists of netlink and packet sockets below /proc/net.

use super::netlink::{Answer, answers, nl, request};
use super::packet;
use crate::check::{Got, Outcome, check, eq, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use libc::{AF_NETLINK, SOCK_DGRAM, SOCK_RAW};

tests! {
    an_end_tells_of_the_error,
    an_end_without_a_text,
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
