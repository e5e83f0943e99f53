//! /proc/net: the format to the column, and true numbers.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, fail, here, mask, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::{R, W};
use libc::{AF_INET, AF_INET6, AF_UNIX, O_RDONLY, SEEK_SET, SOCK_DGRAM, SOCK_RAW, SOCK_STREAM};
use libc::{POLLERR, POLLHUP, POLLRDHUP};

tests! {
    headers,
    tcp_listener_and_connection,
    tcp6_and_mapped_addresses,
    tcp_queues,
    tcp_time_wait [ROOT],
    udp_queue_and_drops,
    udp6_connected,
    raw_sockets [ROOT],
    unix_sockets,
    socket_counts [ROOT],
    udp_counters [ROOT],
    tcp_counters [ROOT],
    more_tcp_counters [ROOT],
    read_again_from_the_beginning,
    read_in_small_pieces,
    inodes_are_fstats [FILES],
    owner_is_told [ROOT],
    names_match_values,
    names_are_linuxs,
    columns_of_icmp_types [ROOT],
}

/// First lines, without the spaces that fill them.
const HEADERS: &[(&str, &str)] = &[
    (
        "tcp",
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
    ),
    (
        "tcp6",
        "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
    ),
    (
        "udp",
        "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops",
    ),
    (
        "udp6",
        "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops",
    ),
    (
        "udplite",
        "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops",
    ),
    (
        "udplite6",
        "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops",
    ),
    (
        "raw",
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops",
    ),
    (
        "raw6",
        "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops",
    ),
    (
        "icmp",
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops",
    ),
    (
        "icmp6",
        "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops",
    ),
    (
        "unix",
        "Num       RefCount Protocol Flags    Type St Inode Path",
    ),
    (
        "dev",
        "Inter-|   Receive                                                |  Transmit",
    ),
    (
        "route",
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT",
    ),
    (
        "arp",
        "IP address       HW type     Flags       HW address            Mask     Device",
    ),
    (
        "netlink",
        "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode",
    ),
    (
        "packet",
        "sk               RefCnt Type Proto  Iface R Rmem   User   Inode",
    ),
    ("ptype", "Type Device      Function"),
    (
        "protocols",
        "protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re bi br ha uh gp em",
    ),
];

/// Files whose lines are filled with spaces, and how long they are.
const WIDTHS: &[(&str, usize)] = &[
    ("tcp", 149),
    ("udp", 127),
    ("udplite", 127),
    ("icmp", 127),
    ("route", 127),
];

fn headers(k: &mut dyn Kernel) -> Outcome {
    for (file, header) in HEADERS {
        let text = k.file_text(&format!("/proc/net/{file}"))?;
        let first = text
            .lines()
            .next()
            .unwrap_or_default()
            .trim_end_matches(' ');
        eq!((file, first), (file, *header));
        if let Some((_, width)) = WIDTHS.iter().find(|(name, _)| name == file) {
            for line in text.lines() {
                eq!((file, line.len()), (file, *width));
            }
        }
    }
    Ok(())
}

/// The fields of the line of a file that has this as its n-th field.
fn line(k: &mut dyn Kernel, file: &str, at: usize, value: &str) -> Got<Vec<String>> {
    let text = k.file_text(&format!("/proc/net/{file}"))?;
    for line in text.lines().skip(1) {
        let fields: Vec<String> = line.split_whitespace().map(str::to_string).collect();
        if fields.get(at).is_some_and(|field| field == value) {
            return Ok(fields);
        }
    }
    fail(here!(), format!("{file} has no line with {value}:\n{text}"))
}

/// 127.0.0.1 and a port, as these files have them.
fn lo4(port: u16) -> String {
    format!("{:08X}:{port:04X}", u32::from_ne_bytes([127, 0, 0, 1]))
}

fn lo6(port: u16) -> String {
    format!(
        "{:024}{:08X}:{port:04X}",
        0,
        u32::from_ne_bytes([0, 0, 0, 1])
    )
}

fn tcp_listener_and_connection(k: &mut dyn Kernel) -> Outcome {
    let tcp = k.tcp(AF_INET)?;
    let (server, client) = (tcp.addr.port(), k.sockname(tcp.client)?.port());
    let text = k.file_text("/proc/net/tcp")?;
    let of = |local: String, remote: String| {
        let found = text.lines().find(|line| {
            let mut fields = line.split_whitespace().skip(1);
            fields.next() == Some(&local) && fields.next() == Some(&remote)
        });
        found.map(|line| {
            line.split_whitespace()
                .skip(3)
                .map(str::to_string)
                .collect::<Vec<_>>()
        })
    };
    let listener = of(lo4(server), "00000000:0000".to_string()).unwrap_or_default();
    eq!(
        listener[..4].join(" "),
        "0A 00000000:00000000 00:00000000 00000000"
    );
    // After the user, timeout, inode and references: the timeout is a second, the window ten segments.
    eq!(listener.len(), 14);
    eq!(listener[9..].join(" "), "100 0 0 10 0");
    for (local, remote) in [(client, server), (server, client)] {
        let end = of(lo4(local), lo4(remote)).unwrap_or_default();
        check!(end.len() == 14, "{end:?}");
        eq!(end[..2].join(" "), "01 00000000:00000000");
        eq!(end[9].as_str(), "20");
        eq!(end[12..].join(" "), "10 -1");
    }
    Ok(())
}

fn tcp6_and_mapped_addresses(k: &mut dyn Kernel) -> Outcome {
    let (_, addr) = k.tcp_listener(AF_INET6, 4)?;
    let fields = line(k, "tcp6", 1, &lo6(addr.port()))?;
    eq!(fields[2].as_str(), format!("{:032}:0000", 0));
    eq!(fields[3].as_str(), "0A");
    let mapped = ok!(k.socket(AF_INET6, SOCK_STREAM, 0));
    ret!(k.bind(mapped, &Addr::mapped([127, 0, 0, 1], 0)), 0);
    ret!(k.listen(mapped, 1), 0);
    let port = k.sockname(mapped)?.port();
    let as_shown = format!(
        "{:016}{:08X}{}",
        0,
        u32::from_ne_bytes([0, 0, 0xff, 0xff]),
        lo4(port)
    );
    line(k, "tcp6", 1, &as_shown)?;
    Ok(())
}

fn tcp_queues(k: &mut dyn Kernel) -> Outcome {
    let tcp = k.tcp(AF_INET)?;
    let extra = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(extra, &tcp.addr)?;
    ret!(k.send(tcp.client, b"hello", 0), 5);
    let client = k.sockname(tcp.client)?.port();
    // Received and not read; of a listener, who may be accepted.
    let text = k.file_text("/proc/net/tcp")?;
    let server = format!(
        "{} {} 01 00000000:00000005",
        lo4(tcp.addr.port()),
        lo4(client)
    );
    check!(text.contains(&server), "{text}");
    let listener = format!(
        "{} 00000000:0000 0A 00000000:00000001",
        lo4(tcp.addr.port())
    );
    check!(text.contains(&listener), "{text}");
    Ok(())
}

fn tcp_time_wait(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let tcp = k.tcp(AF_INET)?;
    let client = k.sockname(tcp.client)?.port();
    k.close(tcp.client);
    k.drain(tcp.server)?;
    k.close(tcp.server);
    let fields = line(k, "tcp", 1, &lo4(client))?;
    eq!(fields[3].as_str(), "06");
    // Timer 3, up to a minute; nobody's, without an inode.
    check!(fields[5].starts_with("03:0000"), "{fields:?}");
    eq!(fields[7..11].join(" "), "0 0 0 3");
    let stat = k.file_text("/proc/net/sockstat")?;
    check!(number_after(&stat, "TCP:", "tw")? >= 1, "{stat}");
    Ok(())
}

fn udp_queue_and_drops(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.bind(fd, &Addr::lo4(0)), 0);
    let addr = k.sockname(fd)?;
    ret!(k.set_int(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, 1), 0);
    let fields = line(k, "udp", 1, &lo4(addr.port()))?;
    eq!(
        fields[2..7].join(" "),
        "00000000:0000 07 00000000:00000000 00:00000000 00000000"
    );
    eq!(fields[10].as_str(), "2");
    eq!(fields[12].as_str(), "0");
    let sender = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    for _ in 0..10 {
        ret!(k.sendto(sender, b"x", 0, &addr), 1);
    }
    let full = line(k, "udp", 1, &lo4(addr.port()))?;
    let mut taken = 0;
    let mut buf = [0; 8];
    while k.recv(fd, &mut buf, 0) > 0 {
        taken += 1;
    }
    // What is charged for a datagram of one byte.
    eq!(full[4].as_str(), format!("00000000:{:08X}", taken * 832));
    eq!(full[12].as_str(), (10 - taken).to_string());
    let empty = line(k, "udp", 1, &lo4(addr.port()))?;
    eq!(empty[4].as_str(), "00000000:00000000");
    Ok(())
}

fn udp6_connected(k: &mut dyn Kernel) -> Outcome {
    let (a, b) = (
        ok!(k.socket(AF_INET6, SOCK_DGRAM, 0)),
        ok!(k.socket(AF_INET6, SOCK_DGRAM, 0)),
    );
    ret!(k.bind(a, &Addr::lo6(0)), 0);
    let to = k.sockname(a)?;
    // Without a port there is no line.
    let before = k.file_text("/proc/net/udp6")?;
    ret!(k.connect(b, &to), 0);
    let from = k.sockname(b)?;
    check!(!before.contains(&lo6(from.port())), "{before}");
    let fields = line(k, "udp6", 1, &lo6(from.port()))?;
    eq!(fields[2..4].join(" "), format!("{} 01", lo6(to.port())));
    Ok(())
}

fn raw_sockets(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.socket(AF_INET, SOCK_RAW, 253));
    let fields = line(k, "raw", 1, "00000000:00FD")?;
    eq!(fields[2..4].join(" "), "00000000:0000 07");
    k.close(fd);
    let fd = ok!(k.socket(AF_INET6, SOCK_RAW, 253));
    line(k, "raw6", 1, &format!("{:032}:00FD", 0))?;
    k.close(fd);
    Ok(())
}

fn unix_sockets(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.unix_listener(SOCK_STREAM, 4)?;
    let client = ok!(k.socket(AF_UNIX, SOCK_STREAM, 0));
    ret!(k.connect(client, &addr), 0);
    let (dgram, _) = k.unix_bound(SOCK_DGRAM, "dgram")?;
    let text = k.file_text("/proc/net/unix")?;
    let shown = |tag: &str| {
        let mine = format!("{}-", std::process::id());
        let ours = |line: &&str| line.contains(tag) && line.contains(&mine);
        text.lines()
            .filter(ours)
            .map(str::to_string)
            .collect::<Vec<_>>()
    };
    // The listener, and the connection that nobody has accepted: it has no inode yet.
    let mut lines: Vec<String> = shown("listener")
        .iter()
        .map(|line| {
            line.split_whitespace()
                .skip(1)
                .take(5)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    lines.sort();
    eq!(
        lines,
        [
            "00000002 00000000 00010000 0001 01".to_string(),
            "00000003 00000000 00000000 0001 02".to_string(),
        ]
    );
    let bound = shown("dgram");
    check!(
        bound.len() == 1 && bound[0].contains(" 00000002 00000000 00000000 0002 01 "),
        "{text}"
    );
    k.close(dgram);
    k.close(client);
    k.close(fd);
    Ok(())
}

/// A number after a word of a file.
fn number_after(text: &str, first: &str, word: &str) -> Got<i64> {
    let line = text.lines().find(|line| line.starts_with(first));
    let mut words = line.unwrap_or_default().split_whitespace();
    let found = words.find(|w| *w == word).and(words.next());
    match found.and_then(|number| number.parse().ok()) {
        Some(number) => Ok(number),
        None => fail(here!(), format!("no {first} {word} in\n{text}")),
    }
}

fn socket_counts(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let before = (
        k.file_text("/proc/net/sockstat")?,
        k.file_text("/proc/net/sockstat6")?,
    );
    let _tcp = k.tcp(AF_INET)?;
    let udp = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(k.bind(udp, &Addr::lo4(0)), 0);
    let idle = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    let udp6 = ok!(k.socket(AF_INET6, SOCK_DGRAM, 0));
    ret!(k.bind(udp6, &Addr::lo6(0)), 0);
    let after = (
        k.file_text("/proc/net/sockstat")?,
        k.file_text("/proc/net/sockstat6")?,
    );
    let grown = |line: &str, word: &str| -> Got<i64> {
        Ok(number_after(&after.0, line, word)? - number_after(&before.0, line, word)?)
    };
    eq!(grown("sockets:", "used")?, 6);
    eq!(grown("TCP:", "inuse")?, 3);
    eq!(grown("UDP:", "inuse")?, 1);
    let six =
        number_after(&after.1, "UDP6:", "inuse")? - number_after(&before.1, "UDP6:", "inuse")?;
    eq!(six, 1);
    k.close(idle);
    Ok(())
}

/// A column of a group in snmp or netstat.
fn column(k: &mut dyn Kernel, file: &str, group: &str, name: &str) -> Got<i64> {
    let text = k.file_text(&format!("/proc/net/{file}"))?;
    if file == "snmp6" {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        return Ok(value.unwrap_or(0));
    }
    let group = format!("{group}: ");
    let mut lines = text.lines().filter(|line| line.starts_with(&group));
    let names = lines.next().unwrap_or_default().split(' ');
    let values = lines.next().unwrap_or_default().split(' ');
    match names
        .zip(values)
        .find(|(n, _)| *n == name)
        .and_then(|(_, v)| v.parse().ok())
    {
        Some(value) => Ok(value),
        None => fail(here!(), format!("{file} has no {group}{name}")),
    }
}

/// How much columns grow in a part of a body.
pub(super) fn growth(
    k: &mut dyn Kernel,
    columns: &[(&str, &str, &str)],
    part: impl FnOnce(&mut dyn Kernel) -> Outcome,
) -> Got<Vec<i64>> {
    let all = |k: &mut dyn Kernel| -> Got<Vec<i64>> {
        columns.iter().map(|(f, g, n)| column(k, f, g, n)).collect()
    };
    let before = all(k)?;
    part(k)?;
    let after = all(k)?;
    Ok(after.iter().zip(before).map(|(a, b)| a - b).collect())
}

fn udp_counters(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = ok!(k.socket(AF_INET, SOCK_DGRAM | NB, 0));
    ret!(k.bind(fd, &Addr::lo4(0)), 0);
    let addr = k.sockname(fd)?;
    let nobody = {
        let other = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
        ret!(k.bind(other, &Addr::lo4(0)), 0);
        let name = k.sockname(other)?;
        k.close(other);
        name
    };
    let columns = [
        ("snmp", "Udp", "OutDatagrams"),
        ("snmp", "Udp", "InDatagrams"),
        ("snmp", "Udp", "NoPorts"),
        ("snmp", "Icmp", "OutDestUnreachs"),
        ("snmp", "Icmp", "InDestUnreachs"),
        ("snmp", "Ip", "OutRequests"),
        ("snmp", "Ip", "InReceives"),
        ("snmp", "Ip", "InDelivers"),
    ];
    let grown = growth(k, &columns, |k| {
        ret!(k.sendto(fd, b"one", 0, &addr), 3);
        ret!(k.sendto(fd, b"two", 0, &addr), 3);
        // Counted when it is read.
        let mut buf = [0; 8];
        ret!(k.recv(fd, &mut buf, 0), 3);
        ret!(k.sendto(fd, b"lost", 0, &nobody), 4);
        Ok(())
    })?;
    eq!(grown, [3, 1, 1, 1, 1, 4, 4, 4]);
    Ok(())
}

fn tcp_counters(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let columns = [
        ("snmp", "Tcp", "ActiveOpens"),
        ("snmp", "Tcp", "PassiveOpens"),
        ("snmp", "Tcp", "CurrEstab"),
        ("snmp", "Tcp", "AttemptFails"),
        ("snmp", "Tcp", "OutRsts"),
        ("snmp", "Tcp", "InSegs"),
        ("snmp", "Tcp", "OutSegs"),
    ];
    let grown = growth(k, &columns, |k| {
        let tcp = k.tcp(AF_INET)?;
        ret!(k.send(tcp.client, b"hello", 0), 5);
        Ok(())
    })?;
    // SYN, SYN-ACK, ACK, data and its acknowledgment.
    eq!(grown, [1, 1, 2, 0, 0, 5, 5]);
    let grown = growth(k, &columns, |k| {
        let (listener, addr) = k.tcp_listener(AF_INET, 1)?;
        k.close(listener);
        let fd = k.tcp_socket(AF_INET, 0)?;
        ret!(k.connect(fd, &addr), -i64::from(libc::ECONNREFUSED));
        Ok(())
    })?;
    eq!(grown, [1, 0, 0, 1, 1, 2, 2]);
    Ok(())
}

fn more_tcp_counters(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let columns = [
        ("netstat", "TcpExt", "TCPOrigDataSent"),
        ("netstat", "TcpExt", "TCPAbortOnClose"),
        ("netstat", "TcpExt", "TCPAbortOnData"),
        ("netstat", "TcpExt", "TCPAbortOnLinger"),
        ("netstat", "TcpExt", "TCPDeferAcceptDrop"),
        ("netstat", "TcpExt", "TCPSynRetrans"),
        ("netstat", "TcpExt", "TCPTimeouts"),
    ];
    let grown = growth(k, &columns, |k| {
        let tcp = k.tcp(AF_INET)?;
        ret!(k.send(tcp.client, b"hello", 0), 5);
        ret!(k.recv(tcp.server, &mut [0; 8], 0), 5);
        // Of a FIN, too.
        ret!(k.shutdown(tcp.client, libc::SHUT_WR), 0);
        Ok(())
    })?;
    eq!(grown, [2, 0, 0, 0, 0, 0, 0]);
    let grown = growth(k, &columns, |k| {
        let tcp = k.tcp(AF_INET)?;
        ret!(k.send(tcp.client, b"unread", 0), 6);
        k.close(tcp.server);
        // The runner hears of a close a moment later.
        mask!(k, tcp.client, R | W | POLLERR | POLLHUP | POLLRDHUP);
        Ok(())
    })?;
    eq!(grown, [1, 1, 0, 0, 0, 0, 0]);
    let grown = growth(k, &columns, |k| {
        let tcp = k.tcp(AF_INET)?;
        let linger = [1i32, 0].map(i32::to_ne_bytes).concat();
        let set = k.setsockopt(tcp.server, libc::SOL_SOCKET, libc::SO_LINGER, &linger);
        ret!(set, 0);
        k.close(tcp.server);
        // The runner hears of a close a moment later.
        mask!(k, tcp.client, R | W | POLLERR | POLLHUP | POLLRDHUP);
        Ok(())
    })?;
    eq!(grown, [0, 0, 1, 0, 0, 0, 0]);
    let grown = growth(k, &columns, |k| {
        let (listener, addr) = k.tcp_listener(AF_INET, 4)?;
        let defer = libc::TCP_DEFER_ACCEPT;
        ret!(k.set_int(listener, libc::IPPROTO_TCP, defer, 30), 0);
        let fd = k.tcp_socket(AF_INET, 0)?;
        ret!(k.connect(fd, &addr), 0);
        Ok(())
    })?;
    eq!(grown, [0, 0, 0, 0, 1, 0, 0]);
    Ok(())
}

fn read_again_from_the_beginning(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.open("/proc/net/udp", O_RDONLY));
    let before = k.read_to_end(fd)?;
    let udp = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(k.bind(udp, &Addr::lo4(0)), 0);
    let name = lo4(k.sockname(udp)?.port());
    check!(!before.contains(&name), "{before}");
    ret!(k.lseek(fd, 0, SEEK_SET), 0);
    let after = k.read_to_end(fd)?;
    check!(after.contains(&name), "{after}");
    Ok(())
}

fn read_in_small_pieces(k: &mut dyn Kernel) -> Outcome {
    let whole = k.file_text("/proc/net/protocols")?;
    let fd = ok!(k.open("/proc/net/protocols", O_RDONLY));
    let mut text = Vec::new();
    let mut piece = [0; 7];
    loop {
        match ok!(k.read(fd, &mut piece)) {
            0 => break,
            n => text.extend_from_slice(&piece[..n as usize]),
        }
    }
    eq!(text.len(), whole.len());
    Ok(())
}

fn inodes_are_fstats(k: &mut dyn Kernel) -> Outcome {
    let (fd, addr) = k.tcp_listener(AF_INET, 1)?;
    let fields = line(k, "tcp", 1, &lo4(addr.port()))?;
    // SAFETY: a plain structure of numbers.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    let at = &raw mut stat as u64;
    ret!(k.syscall(libc::SYS_fstat, [fd as u64, at, 0, 0, 0, 0]), 0);
    eq!(fields[9].as_str(), stat.st_ino.to_string());
    Ok(())
}

fn owner_is_told(k: &mut dyn Kernel) -> Outcome {
    k.drop_privileges();
    let (_, addr) = k.tcp_listener(AF_INET, 1)?;
    eq!(line(k, "tcp", 1, &lo4(addr.port()))?[7].as_str(), "65534");
    // Of sockets that were never bound, too.
    let client = k.tcp_socket(AF_INET, NB)?;
    k.connect_now(client, &addr)?;
    let port = k.sockname(client)?.port();
    eq!(line(k, "tcp", 1, &lo4(port))?[7].as_str(), "65534");
    let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
    ret!(k.listen(fd, 1), 0);
    let any = format!("00000000:{:04X}", k.sockname(fd)?.port());
    eq!(line(k, "tcp", 1, &any)?[7].as_str(), "65534");
    let udp = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
    ret!(k.bind(udp, &Addr::lo4(0)), 0);
    let port = k.sockname(udp)?.port();
    eq!(line(k, "udp", 1, &lo4(port))?[7].as_str(), "65534");
    Ok(())
}

/// Programs look for columns by name; those that look by place find Linux's order.
fn names_are_linuxs(k: &mut dyn Kernel) -> Outcome {
    for (group, len, some) in [
        (
            "TcpExt:",
            126,
            ["ListenOverflows", "TCPTimeouts", "TCPMigrateReqFailure"],
        ),
        ("IpExt:", 18, ["InOctets", "InNoECTPkts", "ReasmOverlaps"]),
    ] {
        let text = k.file_text("/proc/net/netstat")?;
        let line = text.lines().find(|line| line.starts_with(group));
        let names: Vec<&str> = line.unwrap_or("").split(' ').skip(1).collect();
        // Later kernels have more of them.
        check!(names.len() >= len, "{group} {}", names.len());
        let places = some.map(|name| names.iter().position(|have| *have == name));
        check!(places.is_sorted() && places[0].is_some(), "{places:?}");
    }
    for file in ["snmp6", "dev_snmp6/lo"] {
        let path = format!("/proc/net/{file}");
        if file != "snmp6" && k.open(&path, O_RDONLY) < 0 {
            continue;
        }
        let text = k.file_text(&path)?;
        let names: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        let order = [
            "Ip6OutNoRoutes",
            "Ip6ReasmTimeout",
            "Ip6ReasmReqds",
            "Ip6ReasmOKs",
            "Ip6ReasmFails",
            "Ip6FragOKs",
            "Ip6FragFails",
            "Ip6FragCreates",
            "Ip6InMcastPkts",
            "Ip6OutMcastPkts",
            "Ip6InOctets",
            "Ip6OutOctets",
            "Ip6InMcastOctets",
            "Ip6OutMcastOctets",
            "Ip6InBcastOctets",
            "Ip6OutBcastOctets",
            "Ip6InNoECTPkts",
            "Ip6InECT1Pkts",
            "Ip6InECT0Pkts",
            "Ip6InCEPkts",
            "Ip6OutTransmits",
            "Icmp6InMsgs",
            "Icmp6InErrors",
            "Icmp6OutMsgs",
            "Icmp6OutErrors",
            "Icmp6InCsumErrors",
        ];
        let at = names.iter().position(|name| *name == order[0]).unwrap_or(0);
        eq!(names.get(at..at + order.len()), Some(&order[..]));
        let kinds = [
            "Icmp6InDestUnreachs",
            "Icmp6InPktTooBigs",
            "Icmp6InTimeExcds",
            "Icmp6InParmProblems",
            "Icmp6InEchos",
            "Icmp6InEchoReplies",
            "Icmp6InGroupMembQueries",
            "Icmp6InGroupMembResponses",
            "Icmp6InGroupMembReductions",
            "Icmp6InRouterSolicits",
            "Icmp6InRouterAdvertisements",
            "Icmp6InNeighborSolicits",
            "Icmp6InNeighborAdvertisements",
            "Icmp6InRedirects",
            "Icmp6InMLDv2Reports",
            "Icmp6OutDestUnreachs",
        ];
        let at = names.iter().position(|name| *name == kinds[0]).unwrap_or(0);
        eq!(names.get(at..at + kinds.len()), Some(&kinds[..]));
    }
    Ok(())
}

/// Every type of ICMP that came or went has a column of its own.
fn columns_of_icmp_types(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let send = |k: &mut dyn Kernel, family| -> Outcome {
        let nobody = k.closed_port(family, SOCK_DGRAM)?;
        let fd = ok!(k.socket(family, SOCK_DGRAM, 0));
        ret!(k.sendto(fd, b"x", 0, &nobody), 1);
        k.close(fd);
        Ok(())
    };
    send(k, AF_INET)?;
    let columns = [
        ("snmp", "IcmpMsg", "InType3"),
        ("snmp", "IcmpMsg", "OutType3"),
    ];
    let grown = growth(k, &columns, |k| send(k, AF_INET))?;
    eq!(grown, [1, 1]);
    send(k, libc::AF_INET6)?;
    let columns = [
        ("snmp6", "", "Icmp6InType1"),
        ("snmp6", "", "Icmp6OutType1"),
        ("snmp6", "", "Icmp6InDestUnreachs"),
    ];
    let grown = growth(k, &columns, |k| send(k, libc::AF_INET6))?;
    eq!(grown, [1, 1, 1]);
    Ok(())
}

fn names_match_values(k: &mut dyn Kernel) -> Outcome {
    for file in ["snmp", "netstat"] {
        let text = k.file_text(&format!("/proc/net/{file}"))?;
        let lines: Vec<&str> = text.lines().collect();
        for pair in lines.chunks(2) {
            let count = |line: &str| line.split(' ').count();
            eq!((file, count(pair[0])), (file, count(pair[1])));
        }
    }
    let text = k.file_text("/proc/net/snmp6")?;
    for line in text.lines() {
        // A name of 32 characters, a tab, a number.
        let value = line.get(33..).and_then(|value| value.parse::<u64>().ok());
        check!(value.is_some() && line.as_bytes()[32] == b'\t', "{line}");
    }
    Ok(())
}
