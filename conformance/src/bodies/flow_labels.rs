//! Leases of IPv6 flow labels (IPV6_FLOWLABEL_MGR of ipv6(7)), and labels that are made. In a network of the body's own,
//! and with labels of its own: leases outlive their sockets, and a run has one host for all bodies.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret, skip};
use crate::kernel::Kernel;
use crate::msg::{Msg, cmsg};
use crate::proc_file::restored;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{
    AF_INET, AF_INET6, EEXIST, EINVAL, ENOENT, EPERM, ERANGE, ESRCH, IPPROTO_IPV6, SOCK_DGRAM,
    SOCK_RAW, SOCK_STREAM,
};

tests! {
    lengths_and_actions,
    leased_and_put [ROOT],
    options_of_a_label [ROOT],
    shared_or_not [ROOT],
    destinations [ROOT],
    any_label [ROOT],
    renewed [ROOT],
    times_are_bounded [ROOT | DROP],
    listed [ROOT],
    sockets_of_the_unprivileged_have_few [ROOT | DROP],
    sent_with_a_lease [ROOT],
    labels_are_free_without_leases [ROOT],
    connected_with_a_label [ROOT],
    told_of_a_connection [ROOT],
    reflection_is_refused [ROOT],
    ranges [ROOT],
    who_makes_labels [ROOT],
    raw_packets_have_labels [ROOT],
    values_of_auto_flowlabels [ROOT],
}

const MGR: i32 = 32;
const FLOWINFO: i32 = 11;
const FLOWINFO_SEND: i32 = 33;
const AUTO: i32 = 70;

const GET: u8 = 0;
const PUT: u8 = 1;
const RENEW: u8 = 2;
const CREATE: u16 = 1;
const EXCL: u16 = 2;
const REFLECT: u16 = 4;
const REMOTE: u16 = 8;
const ALONE: u8 = 1;
const PROCESS: u8 = 2;
const USER: u8 = 3;
const ANY: u8 = 255;

/// `struct in6_flowlabel_req`.
#[derive(Clone, Copy)]
struct Req {
    dst: [u8; 16],
    label: u32,
    action: u8,
    share: u8,
    flags: u16,
    expires: u16,
    linger: u16,
}

fn req(label: u32, action: u8, share: u8, flags: u16) -> Req {
    let mut dst = [0; 16];
    dst[15] = 1;
    Req {
        dst,
        label,
        action,
        share,
        flags,
        expires: 0,
        linger: 0,
    }
}

impl Req {
    fn bytes(&self) -> Vec<u8> {
        let mut b = self.dst.to_vec();
        b.extend(self.label.to_be_bytes());
        b.extend([self.action, self.share]);
        for half in [self.flags, self.expires, self.linger] {
            b.extend(half.to_ne_bytes());
        }
        b.resize(32, 0);
        b
    }
}

fn ask(k: &mut dyn Kernel, fd: Fd, r: Req) -> i32 {
    -k.setsockopt(fd, IPPROTO_IPV6, MGR, &r.bytes()) as i32
}

fn lease(k: &mut dyn Kernel, fd: Fd, label: u32, share: u8) -> i32 {
    ask(k, fd, req(label, GET, share, CREATE))
}

fn open(k: &mut dyn Kernel) -> Got<Fd> {
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    Ok(fd)
}

fn lengths_and_actions(k: &mut dyn Kernel) -> Outcome {
    let fd = open(k)?;
    for len in [0, 4, 31] {
        err!(
            k.setsockopt(
                fd,
                IPPROTO_IPV6,
                MGR,
                &req(5, GET, ALONE, CREATE).bytes()[..len]
            ),
            EINVAL
        );
    }
    eq!(ask(k, fd, req(5, 3, ALONE, 0)), EINVAL);
    eq!(ask(k, fd, req(5, 255, ALONE, 0)), EINVAL);
    eq!(ask(k, fd, req(0x10_0000, GET, ALONE, CREATE)), EINVAL);
    eq!(ask(k, fd, req(5, GET, ALONE, 0)), ENOENT);
    eq!(ask(k, fd, req(5, PUT, ALONE, 0)), ESRCH);
    eq!(ask(k, fd, req(5, RENEW, ALONE, 0)), ESRCH);
    for share in [0, 4, 7, 254] {
        eq!((share, lease(k, fd, 5, share)), (share, EINVAL));
    }
    let v4 = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    err!(
        k.setsockopt(v4, IPPROTO_IPV6, MGR, &req(5, GET, ALONE, CREATE).bytes()),
        ENOPROTOOPT
    );
    Ok(())
}

fn leased_and_put(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let (a, b) = (open(k)?, open(k)?);
    eq!(lease(k, a, 0x12345, ALONE), 0);
    // Once more is no other's business, and not one's own.
    eq!(lease(k, a, 0x12345, ALONE), EPERM);
    eq!(ask(k, a, req(0x12345, GET, ALONE, 0)), EPERM);
    eq!(ask(k, a, req(0x12345, GET, ALONE, CREATE | EXCL)), EEXIST);
    eq!(lease(k, b, 0x12345, ALONE), EPERM);
    eq!(lease(k, b, 0x12345, ANY), EPERM);
    eq!(ask(k, a, req(0x12345, PUT, 0, 0)), 0);
    eq!(ask(k, a, req(0x12345, PUT, 0, 0)), ESRCH);
    // It lingers: nobody has it, and nobody can have it.
    eq!(ask(k, b, req(0x12345, GET, ALONE, 0)), ENOENT);
    eq!(lease(k, b, 0x12345, ALONE), EPERM);
    Ok(())
}

fn shared_or_not(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let (a, b) = (open(k)?, open(k)?);
    for share in [PROCESS, USER, ANY] {
        let label = 0x100 + u32::from(share);
        eq!((share, lease(k, a, label, share)), (share, 0));
        eq!((share, ask(k, b, req(label, GET, share, 0))), (share, 0));
        eq!((share, ask(k, a, req(label, GET, share, 0))), (share, 0));
        eq!(
            (share, ask(k, b, req(label, GET, ALONE, 0))),
            (share, EPERM)
        );
        eq!(
            (share, ask(k, b, req(label, GET, share, EXCL))),
            (share, EEXIST)
        );
        // As often as it was leased.
        eq!((share, ask(k, a, req(label, PUT, 0, 0))), (share, 0));
        eq!((share, ask(k, a, req(label, PUT, 0, 0))), (share, 0));
        eq!((share, ask(k, a, req(label, PUT, 0, 0))), (share, ESRCH));
    }
    // One that lingers can be taken up by who shares it.
    eq!(lease(k, a, 0x777, ANY), 0);
    eq!(ask(k, a, req(0x777, PUT, 0, 0)), 0);
    eq!(ask(k, b, req(0x777, GET, ANY, 0)), ENOENT);
    eq!(lease(k, b, 0x777, ANY), 0);
    Ok(())
}

fn destinations(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k)?;
    let mut r = req(0x2020, GET, ALONE, CREATE);
    r.dst = [0; 16];
    eq!(ask(k, fd, r), EINVAL);
    r.dst[10..].copy_from_slice(&[0xff, 0xff, 1, 2, 3, 4]);
    eq!(ask(k, fd, r), EINVAL);
    r.dst = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    eq!(ask(k, fd, r), 0);
    Ok(())
}

fn any_label(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = open(k)?;
    let mut labels = Vec::new();
    for _ in 0..2 {
        let mut bytes = req(0, GET, ALONE, CREATE).bytes();
        ret!(
            k.setsockopt_raw(fd, IPPROTO_IPV6, MGR, bytes.as_mut_ptr() as u64, 32),
            0
        );
        let label = u32::from_be_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]);
        check!(label != 0 && label <= 0xf_ffff, "{label:#x}");
        labels.push(label);
    }
    check!(labels[0] != labels[1], "{labels:x?}");
    // It is leased.
    eq!(ask(k, fd, req(labels[0], PUT, 0, 0)), 0);
    eq!(ask(k, fd, req(0, GET, ALONE, 0)), ENOENT);
    Ok(())
}

fn renewed(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let (a, b) = (open(k)?, open(k)?);
    eq!(lease(k, a, 0x2120, ALONE), 0);
    let longer = |share| Req {
        expires: 100,
        linger: 20,
        ..req(0x2120, RENEW, share, 0)
    };
    eq!(ask(k, a, longer(ALONE)), 0);
    eq!(times(k, 0x2120)?, vec![(20, 100)]);
    // Shorter is not meant.
    eq!(ask(k, a, req(0x2120, RENEW, 0, 0)), 0);
    eq!(times(k, 0x2120)?, vec![(20, 100)]);
    // Another's, for who administers the network and names no sharing.
    eq!(ask(k, b, longer(ALONE)), ESRCH);
    let most = Req {
        expires: 0,
        linger: 200,
        ..req(0x2120, RENEW, 0, 0)
    };
    eq!(ask(k, b, most), 0);
    eq!(times(k, 0x2120)?, vec![(200, 200)]);
    Ok(())
}

/// How long a lease lingers and holds, as the list says; a second may have begun.
fn times(k: &mut dyn Kernel, label: u32) -> Got<Vec<(u32, u32)>> {
    let number = |line: &str, at: usize| {
        let word = line.split_whitespace().nth(at).unwrap_or("");
        word.parse::<u32>().unwrap_or(u32::MAX)
    };
    let lines = lines(k, &[label])?;
    Ok(lines
        .iter()
        .map(|line| (number(line, 4), number(line, 5).next_multiple_of(2)))
        .collect())
}

/// The lines of the list about these labels.
fn lines(k: &mut dyn Kernel, labels: &[u32]) -> Got<Vec<String>> {
    let text = k.file_text("/proc/net/ip6_flowlabel")?;
    let about = |line: &&str| {
        labels
            .iter()
            .any(|label| line.starts_with(&format!("{label:05X} ")))
    };
    // A second may have begun.
    let whole = |line: &str| line.replace(" 6      5 ", " 6      6 ");
    Ok(text.lines().filter(about).map(whole).collect())
}

fn times_are_bounded(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    check!(k.drop_privileges(), "could not become an ordinary user");
    let fd = open(k)?;
    for (expires, linger, want) in [
        (150, 150, 0),
        (0, 151, EPERM),
        (151, 0, EPERM),
        (65_535, 65_535, EPERM),
    ] {
        let label = 0x30 + u32::from(expires) + u32::from(linger);
        let r = Req {
            expires,
            linger,
            ..req(label, GET, ALONE, CREATE)
        };
        eq!(
            ((expires, linger), ask(k, fd, r)),
            ((expires, linger), want)
        );
    }
    Ok(())
}

fn listed(k: &mut dyn Kernel) -> Outcome {
    const LABELS: [u32; 3] = [0x2220, 0x32210, 0x2320];
    k.own_network()?;
    let (a, b) = (open(k)?, open(k)?);
    eq!(lease(k, a, 0x2220, ALONE), 0);
    eq!(lease(k, a, 0x32210, ANY), 0);
    eq!(lease(k, b, 0x32210, ANY), 0);
    eq!(lease(k, b, 0x2320, USER), 0);
    let one = "00000000000000000000000000000001 0   ";
    eq!(
        lines(k, &LABELS)?,
        vec![
            format!("32210 255 0      2      6      6        {one}"),
            format!("02320 3 0      1      6      6        {one}"),
            format!("02220 1 0      1      6      6        {one}"),
        ]
    );
    let text = k.file_text("/proc/net/ip6_flowlabel")?;
    let head = "Label S Owner  Users  Linger Expires  Dst                              Opt";
    eq!(text.lines().next(), Some(head));
    k.close(a);
    let all = lines(k, &LABELS)?;
    let users: Vec<&str> = all
        .iter()
        .filter_map(|l| l.split_whitespace().nth(3))
        .collect();
    eq!(users, vec!["1", "1", "0"]);
    Ok(())
}

fn sockets_of_the_unprivileged_have_few(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    check!(k.drop_privileges(), "could not become an ordinary user");
    let fd = open(k)?;
    for label in 1..=32 {
        eq!((label, lease(k, fd, 0x4000 + label, ANY)), (label, 0));
    }
    eq!(lease(k, fd, 0x5000, ANY), libc::ENOBUFS);
    Ok(())
}

/// A receiver that tells the labels, and a name of it with a label.
fn receiver(k: &mut dyn Kernel) -> Got<(Fd, Addr)> {
    let (fd, addr) = k.udp(AF_INET6)?;
    ret!(k.set_int(fd, IPPROTO_IPV6, FLOWINFO, 1), 0);
    Ok((fd, addr))
}

fn labelled(addr: &Addr, label: u32) -> Addr {
    let mut addr = Addr(addr.0.clone());
    addr.0[4..8].copy_from_slice(&label.to_be_bytes());
    addr
}

/// The label of the datagram that came.
fn came(k: &mut dyn Kernel, fd: Fd) -> Got<Option<u32>> {
    let mut msg = Msg::room(&[64]).control_room(64);
    ok!(k.recvmsg(fd, &mut msg, 0));
    let told = msg.cmsg(IPPROTO_IPV6, FLOWINFO).map(|c| c.data);
    Ok(told.map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]) & 0xf_ffff))
}

fn sent_with_a_lease(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let (to, addr) = receiver(k)?;
    let (a, b) = (open(k)?, open(k)?);
    for fd in [a, b] {
        ret!(k.set_int(fd, IPPROTO_IPV6, FLOWINFO_SEND, 1), 0);
    }
    eq!(lease(k, a, 0x5a5a5, ALONE), 0);
    ret!(k.sendto(a, b"x", 0, &labelled(&addr, 0x5a5a5)), 1);
    eq!(came(k, to)?, Some(0x5a5a5));
    // A label without a lease, and another's lease.
    err!(k.sendto(a, b"x", 0, &labelled(&addr, 0x11111)), EINVAL);
    err!(k.sendto(b, b"x", 0, &labelled(&addr, 0x5a5a5)), EINVAL);
    // Without a label one is made.
    ret!(k.sendto(b, b"x", 0, &addr), 1);
    check!(came(k, to)?.is_some_and(|label| label != 0), "no label");
    // By a control message, whatever FLOWINFO_SEND says.
    let flow = |label: u32| cmsg(IPPROTO_IPV6, FLOWINFO, &label.to_be_bytes());
    let c = open(k)?;
    eq!(lease(k, c, 0x123, ALONE), 0);
    let mut msg = Msg::of(&[b"x"]).to(&addr).control(&flow(0x123));
    ret!(k.sendmsg(c, &mut msg, 0), 1);
    eq!(came(k, to)?, Some(0x123));
    let mut msg = Msg::of(&[b"x"]).to(&addr).control(&flow(0x124));
    err!(k.sendmsg(c, &mut msg, 0), EINVAL);
    // Who did not ask sends without.
    ret!(k.sendto(c, b"x", 0, &labelled(&addr, 0x5a5a5)), 1);
    check!(came(k, to)? != Some(0x5a5a5), "the name's label");
    Ok(())
}

fn labels_are_free_without_leases(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let text = k.file_text("/proc/net/ip6_flowlabel")?;
    let mut shares = text
        .lines()
        .skip(1)
        .filter_map(|l| l.split_whitespace().nth(1));
    if shares.any(|share| share != "255") {
        skip!("another body's leases are still there");
    }
    let (to, addr) = receiver(k)?;
    let a = open(k)?;
    ret!(k.set_int(a, IPPROTO_IPV6, FLOWINFO_SEND, 1), 0);
    eq!(lease(k, a, 0x77, ANY), 0);
    // A lease that is everybody's keeps nobody off.
    ret!(k.sendto(a, b"x", 0, &labelled(&addr, 0x5a5a5)), 1);
    eq!(came(k, to)?, Some(0x5a5a5));
    Ok(())
}

fn connected_with_a_label(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let (to, addr) = receiver(k)?;
    let a = open(k)?;
    ret!(k.set_int(a, IPPROTO_IPV6, FLOWINFO_SEND, 1), 0);
    eq!(lease(k, a, 0x5b5b5, ALONE), 0);
    err!(k.connect(a, &labelled(&addr, 0x5b5b6)), EINVAL);
    ret!(k.connect(a, &labelled(&addr, 0x5b5b5)), 0);
    ret!(k.send(a, b"x", 0), 1);
    eq!(came(k, to)?, Some(0x5b5b5));
    // A name has its own.
    ret!(k.sendto(a, b"x", 0, &addr), 1);
    check!(came(k, to)? != Some(0x5b5b5), "the connection's label");
    ret!(k.connect(a, &addr), 0);
    ret!(k.send(a, b"x", 0), 1);
    check!(
        came(k, to)? != Some(0x5b5b5),
        "the former connection's label"
    );
    let stream = ok!(k.socket(AF_INET6, SOCK_STREAM | NB, 0));
    ret!(k.set_int(stream, IPPROTO_IPV6, FLOWINFO_SEND, 1), 0);
    err!(k.connect(stream, &labelled(&addr, 0x5b5b6)), EINVAL);
    Ok(())
}

fn told_of_a_connection(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let (_, addr) = receiver(k)?;
    let a = open(k)?;
    let show = |k: &mut dyn Kernel, r: Req, len: usize| {
        let mut bytes = r.bytes();
        bytes.resize(64, 0);
        let mut room = len as u32;
        let got = k.getsockopt_raw(
            a,
            IPPROTO_IPV6,
            MGR,
            bytes.as_mut_ptr() as u64,
            &raw mut room as u64,
        );
        (got as i32, room, bytes[..32].to_vec())
    };
    eq!(show(k, req(0, GET, 0, 0), 31).0, -EINVAL);
    eq!(show(k, req(0, PUT, 0, 0), 32).0, -EINVAL);
    eq!(show(k, req(0, GET, 0, 0), 32).0, -ENOENT);
    eq!(show(k, req(0, GET, 0, REMOTE), 64), (0, 32, vec![0; 32]));
    ret!(k.set_int(a, IPPROTO_IPV6, FLOWINFO_SEND, 1), 0);
    let r = Req {
        linger: 40,
        expires: 100,
        ..req(0x5c5c5, GET, ALONE, CREATE)
    };
    eq!(ask(k, a, r), 0);
    eq!(show(k, req(0, GET, 0, 0), 32).0, -ENOENT);
    ret!(k.connect(a, &labelled(&addr, 0x5c5c5)), 0);
    let (got, len, mut told) = show(k, req(0, GET, 0, 0), 64);
    // A second may have begun.
    told[24] = told[24].next_multiple_of(2);
    let want = Req {
        linger: 40,
        expires: 100,
        ..req(0x5c5c5, GET, ALONE, 0)
    };
    eq!((got, len, told), (0, 32, want.bytes()));
    // Given back, the connection has no label.
    eq!(ask(k, a, req(0x5c5c5, PUT, 0, 0)), 0);
    eq!(show(k, req(0, GET, 0, 0), 32).0, -ENOENT);
    Ok(())
}

fn reflection_is_refused(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for kind in [SOCK_STREAM, SOCK_DGRAM] {
        let fd = ok!(k.socket(AF_INET6, kind, 0));
        eq!(ask(k, fd, req(0, GET, 0, REFLECT)), EPERM);
    }
    let fd = ok!(k.socket(AF_INET6, SOCK_STREAM, 0));
    eq!(ask(k, fd, req(0, PUT, 0, REFLECT)), ESRCH);
    eq!(k.get_tunable("ipv6/flowlabel_consistency")?, "1");
    eq!(k.get_tunable("ipv6/flowlabel_reflect")?, "0");
    Ok(())
}

fn ranges(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let name = "ipv6/flowlabel_state_ranges";
    restored(k, name, |k| {
        eq!(k.get_tunable(name)?, "0");
        ret!(k.set_tunable(name, "1")?, 1);
        let (to, addr) = receiver(k)?;
        let fd = open(k)?;
        eq!(lease(k, fd, 0x12, ANY), 0);
        eq!(lease(k, fd, 0x8_0012, ANY), ERANGE);
        // What is made is in the other half.
        ret!(k.sendto(fd, b"x", 0, &addr), 1);
        check!(
            came(k, to)?.is_some_and(|label| label & 0x8_0000 != 0),
            "a label that could be leased"
        );
        Ok(())
    })
}

fn who_makes_labels(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let name = "ipv6/auto_flowlabels";
    restored(k, name, |k| {
        // net.ipv6.auto_flowlabels, IPV6_AUTOFLOWLABEL if it is set, what it reads, and whether a label is made.
        for (by_default, set, reads, made) in [
            ("0", None, 0, false),
            ("0", Some(1), 1, false),
            ("1", None, 1, true),
            ("1", Some(0), 0, false),
            ("2", None, 0, false),
            ("2", Some(1), 1, true),
            ("3", None, 1, true),
            ("3", Some(0), 0, true),
        ] {
            ret!(k.set_tunable(name, by_default)?, 1);
            let (to, addr) = receiver(k)?;
            let fd = open(k)?;
            if let Some(value) = set {
                ret!(k.set_int(fd, IPPROTO_IPV6, AUTO, value), 0);
            }
            eq!(
                (by_default, set, k.get_int(fd, IPPROTO_IPV6, AUTO)?),
                (by_default, set, reads)
            );
            ret!(k.sendto(fd, b"x", 0, &addr), 1);
            let label = came(k, to)?.unwrap_or(0);
            eq!((by_default, set, label != 0), (by_default, set, made));
        }
        Ok(())
    })
}

fn raw_packets_have_labels(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = ok!(k.socket(AF_INET6, SOCK_RAW | NB, 253));
    ret!(k.set_int(fd, IPPROTO_IPV6, FLOWINFO, 1), 0);
    let to = Addr::lo6(0);
    ret!(k.sendto(fd, b"x", 0, &to), 1);
    check!(came(k, fd)?.is_some_and(|label| label != 0), "no label");
    ret!(k.set_int(fd, IPPROTO_IPV6, AUTO, 0), 0);
    ret!(k.sendto(fd, b"x", 0, &to), 1);
    eq!(came(k, fd)?, None);
    ret!(k.set_int(fd, IPPROTO_IPV6, FLOWINFO_SEND, 1), 0);
    eq!(lease(k, fd, 0x31337, ALONE), 0);
    err!(k.sendto(fd, b"x", 0, &labelled(&to, 0x333)), EINVAL);
    ret!(k.sendto(fd, b"x", 0, &labelled(&to, 0x31337)), 1);
    eq!(came(k, fd)?, Some(0x31337));
    Ok(())
}

fn values_of_auto_flowlabels(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let name = "ipv6/auto_flowlabels";
    restored(k, name, |k| {
        eq!(k.get_tunable(name)?, "1");
        for value in ["4", "-1", "256"] {
            err!(k.set_tunable(name, value)?, EINVAL);
        }
        for value in ["0", "2", "3"] {
            ret!(k.set_tunable(name, value)?, 1);
            eq!(k.get_tunable(name)?, value);
        }
        Ok(())
    })
}

/// fl_create(): what follows the request are control messages, whose headers go with the label; none may be one that is in
/// every piece of a packet's data.
fn options_of_a_label(k: &mut dyn Kernel) -> Outcome {
    let message = |kind: i32, data: &[u8]| {
        let mut bytes = (16 + data.len() as u64).to_ne_bytes().to_vec();
        bytes.extend(IPPROTO_IPV6.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    };
    let dst = [0, 0, 1, 4, 0, 0, 0, 0];
    for (n, (options, want)) in [
        (vec![0; 4], 0),
        (vec![0; 8], 0),
        (vec![0; 15], 0),
        (vec![0; 16], EINVAL),
        (message(libc::IPV6_HOPLIMIT, &[9, 0, 0, 0]), 0),
        (message(libc::IPV6_TCLASS, &[9, 0, 0, 0]), 0),
        (message(libc::IPV6_PKTINFO, &[0; 20]), 0),
        (message(libc::IPV6_DSTOPTS, &dst), EINVAL),
        (message(99, b"x"), EINVAL),
    ]
    .into_iter()
    .enumerate()
    {
        let fd = open(k)?;
        let mut value = req(0x2000 + n as u32, GET, ALONE, CREATE).bytes();
        value.extend(options);
        let got = -k.setsockopt(fd, IPPROTO_IPV6, MGR, &value) as i32;
        eq!((n, got), (n, want));
        k.close(fd);
    }
    Ok(())
}
