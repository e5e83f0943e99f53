//! Hardware addresses: who asks for them, who is told that nobody answers, and what programs see of it.
#![allow(missing_docs)]

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use switchboard::{
    Cable, Errno, GuestMemory, Host, Interface, Net, Process, SegmentConfig, TcpListener,
    TcpStream, UdpSocket,
};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

struct Lan {
    net: Net,
    hosts: Vec<Host>,
    interfaces: Vec<Interface>,
}

/// 10.0.0.1, 10.0.0.2 ..., and fd00::1 ...
fn lan(count: usize) -> Lan {
    let net = Net::virtual_time(3);
    let segment = net.segment(SegmentConfig::default());
    let hosts: Vec<Host> = (1..=count)
        .map(|n| net.host(&format!("h{n}")).build().unwrap())
        .collect();
    let join = |(n, host): (usize, &Host)| {
        let (four, six) = (format!("10.0.0.{}", n + 1), format!("fd00::{}", n + 1));
        let addresses = [(ip(&four), 24), (ip(&six), 64)];
        segment.join(host, &addresses).unwrap()
    };
    let interfaces = hosts.iter().enumerate().map(join).collect();
    Lan {
        net,
        hosts,
        interfaces,
    }
}

const BASE: u64 = 0x1_0000;
const SOCKET: u32 = 41;
const SENDTO: u32 = 44;
const RECVFROM: u32 = 45;
const IOCTL: u32 = 16;

/// A process and its memory.
struct Program {
    process: Process,
    memory: GuestMemory,
}

impl Program {
    fn on(host: &Host) -> Program {
        Program {
            process: host.process(),
            memory: GuestMemory::new(BASE, 0x4000),
        }
    }

    fn put(&mut self, at: u64, data: &[u8]) -> u64 {
        let place = self.memory.get_mut(BASE + at, data.len()).unwrap();
        place.copy_from_slice(data);
        BASE + at
    }

    fn socket(&mut self, family: u64, ty: u64, protocol: u64) -> u64 {
        let args = [family, ty, protocol, 0, 0, 0];
        let fd = self.process.syscall(SOCKET, args, &mut self.memory);
        u64::try_from(fd).unwrap()
    }

    fn send(&mut self, fd: u64, data: &[u8], name: &[u8]) -> i64 {
        let (at, to) = (self.put(0, data), self.put(0x800, name));
        let args = [fd, at, data.len() as u64, 0, to, name.len() as u64];
        self.process.syscall(SENDTO, args, &mut self.memory)
    }

    /// MSG_DONTWAIT
    fn recv(&mut self, fd: u64) -> Result<Vec<u8>, Errno> {
        let args = [fd, BASE + 0x1000, 0x3000, 0x40, 0, 0];
        match self.process.syscall(RECVFROM, args, &mut self.memory) {
            n if n < 0 => Err(Errno(-n as u16)),
            n => Ok(self.memory.get(BASE + 0x1000, n as usize).unwrap().to_vec()),
        }
    }

    fn ioctl(&mut self, fd: u64, command: u64, data: &mut [u8]) -> i64 {
        let at = self.put(0, data);
        let args = [fd, command, at, 0, 0, 0];
        let done = self.process.syscall(IOCTL, args, &mut self.memory);
        data.copy_from_slice(self.memory.get(at, data.len()).unwrap());
        done
    }
}

#[test]
fn nobody_answers_for_three_seconds() {
    let lan = lan(2);
    for to in ["10.0.0.9:80", "[fd00::9]:80"] {
        let before = lan.net.now();
        let error = TcpStream::connect(&lan.hosts[0], addr(to)).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::HostUnreachable, "{to}");
        assert_eq!(lan.net.now() - before, Duration::from_secs(3), "{to}");
        let any = if to.starts_with('[') {
            "[::]:0"
        } else {
            "0.0.0.0:0"
        };
        let socket = UdpSocket::bind(&lan.hosts[0], addr(any)).unwrap();
        socket.connect(addr(to)).unwrap();
        // IP_RECVERR, IPV6_RECVERR: without, Linux does not tell of what may pass.
        let (level, name) = if to.starts_with('[') {
            (41, 25)
        } else {
            (0, 11)
        };
        socket.set_option(level, name, &1i32.to_ne_bytes()).unwrap();
        socket.send(b"anybody?").unwrap();
        let error = socket.recv(&mut [0; 8]).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::HostUnreachable, "{to}");
        assert_eq!(lan.net.now() - before, Duration::from_secs(6), "{to}");
    }
    let text = lan.hosts[0].proc_read("/proc/net/arp").unwrap();
    let line = text.lines().nth(1).unwrap();
    let wanted = "10.0.0.9         0x1         0x0         00:00:00:00:00:00     *        eth0";
    assert_eq!(line, wanted);
}

#[test]
fn the_switch_learns() {
    let lan = lan(4);
    let socket = UdpSocket::bind(&lan.hosts[1], addr("10.0.0.2:9")).unwrap();
    let sender = UdpSocket::bind(&lan.hosts[0], addr("0.0.0.0:0")).unwrap();
    let got = |n: usize| lan.interfaces[n].counters(Cable::Down).delivered;
    for _ in 0..3 {
        sender.send_to(b"x", addr("10.0.0.2:9")).unwrap();
        socket.recv(&mut [0; 8]).unwrap();
    }
    // The question goes to all, the answer and what follows to one.
    assert_eq!([got(0), got(1), got(2), got(3)], [1, 4, 1, 1]);
    let mac = lan.interfaces[1].mac().to_string();
    let text = lan.hosts[0].proc_read("/proc/net/arp").unwrap();
    assert!(
        text.contains(&format!("10.0.0.2         0x1         0x2         {mac}")),
        "{text}"
    );
}

/// arping(8): a question by a packet socket, and its answer.
#[test]
fn arping() {
    let lan = lan(2);
    let mut p = Program::on(&lan.hosts[0]);
    let (own, theirs) = (lan.interfaces[0].mac().0, lan.interfaces[1].mac().0);
    let fd = p.socket(17, 2, u64::from(0x0806_u16.to_be()));
    let mut question = vec![0, 1, 8, 0, 6, 4, 0, 1];
    question.extend(own);
    question.extend([10, 0, 0, 1]);
    question.extend([0xff; 6]);
    question.extend([10, 0, 0, 2]);
    // sockaddr_ll: ETH_P_ARP, eth0, to everyone.
    let mut name = vec![17, 0, 8, 6, 2, 0, 0, 0, 0, 0, 0, 6];
    name.extend([0xff; 6]);
    name.extend([0; 2]);
    assert_eq!(p.send(fd, &question, &name), 28);
    let answer = p.recv(fd).unwrap();
    assert_eq!(answer[..8], [0, 1, 8, 0, 6, 4, 0, 2]);
    assert_eq!(answer[8..14], theirs);
    assert_eq!(answer[14..18], [10, 0, 0, 2]);
    assert_eq!(p.recv(fd), Err(Errno::EAGAIN));
    // SOCK_RAW sees the frame from its hardware addresses on.
    let raw = p.socket(17, 3, u64::from(0x0806_u16.to_be()));
    assert_eq!(p.send(fd, &question, &name), 28);
    let frame = p.recv(raw).unwrap();
    assert_eq!((&frame[..6], &frame[6..12]), (&own[..], &theirs[..]));
    assert_eq!(frame[12..14], [8, 6]);
    // Who was asked knows who asked.
    let text = lan.hosts[1].proc_read("/proc/net/arp").unwrap();
    assert!(text.contains("10.0.0.1         0x1         0x2"), "{text}");
}

/// SIOCSARP, SIOCGARP, SIOCDARP: arp(8).
#[test]
fn arp_ioctls() {
    let lan = lan(2);
    let mut p = Program::on(&lan.hosts[0]);
    let fd = p.socket(2, 2, 0);
    let mut entry = [0; 68];
    entry[0] = 2;
    entry[4..8].copy_from_slice(&[10, 0, 0, 7]);
    entry[16] = 1;
    entry[18..24].copy_from_slice(&[2, 1, 2, 3, 4, 5]);
    // ATF_COM, ATF_PERM
    entry[32] = 6;
    entry[52..56].copy_from_slice(b"eth0");
    let (set, get, delete) = (0x8955, 0x8954, 0x8953);
    assert_eq!(
        p.ioctl(fd, get, &mut entry.clone()),
        -i64::from(Errno::ENXIO.0)
    );
    assert_eq!(p.ioctl(fd, set, &mut entry.clone()), 0);
    let mut asked = [0; 68];
    asked[..8].copy_from_slice(&entry[..8]);
    asked[52..56].copy_from_slice(b"eth0");
    assert_eq!(p.ioctl(fd, get, &mut asked), 0);
    assert_eq!((&asked[16..24], asked[32]), (&entry[16..24], 6));
    assert_eq!(p.ioctl(fd, delete, &mut entry.clone()), 0);
    assert_eq!(p.ioctl(fd, get, &mut asked), -i64::from(Errno::ENXIO.0));
}

/// ip-neighbour(8): a listener hears of what comes and goes, whoever does it.
#[test]
fn neighbours_by_netlink() {
    let lan = lan(2);
    let mut p = Program::on(&lan.hosts[0]);
    let (fd, listener) = (p.socket(16, 3, 0), p.socket(16, 3, 0));
    // bind(2) to RTNLGRP_NEIGH
    let name = p.put(0, &[16, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0]);
    let bound = p
        .process
        .syscall(49, [listener, name, 12, 0, 0, 0], &mut p.memory);
    assert_eq!(bound, 0);
    let request = |kind: u16, flags: u16, state: u8, attributes: &[u8]| {
        let mut m = vec![0; 4];
        m.extend(kind.to_ne_bytes());
        m.extend(flags.to_ne_bytes());
        m.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        m.extend([2, 0, 0, 0, 2, 0, 0, 0, state, 0, 0, 0]);
        m.extend(attributes);
        let len = m.len() as u32;
        m[..4].copy_from_slice(&len.to_ne_bytes());
        m
    };
    let kernel = [16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let to = [8, 0, 1, 0, 10, 0, 0, 7];
    let mut both = to.to_vec();
    both.extend([10, 0, 2, 0, 2, 1, 2, 3, 4, 5, 0, 0]);
    let errno = |answer: &[u8]| i32::from_ne_bytes(answer[16..20].try_into().unwrap());
    // NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL; NUD_PERMANENT
    for wanted in [0, -i32::from(Errno::EEXIST.0)] {
        p.send(fd, &request(28, 0x605, 0x80, &both), &kernel);
        assert_eq!(errno(&p.recv(fd).unwrap()), wanted);
    }
    let told = p.recv(listener).unwrap();
    assert_eq!(told[4..6], 28u16.to_ne_bytes());
    assert_eq!((&told[28..36], told[24]), (&to[..], 0x80));
    assert_eq!(told[40..46], [2, 1, 2, 3, 4, 5]);
    // A dump: the one entry, and the end.
    p.send(fd, &request(30, 0x301, 0, &[]), &kernel);
    let dump = p.recv(fd).unwrap();
    assert_eq!(dump[28..36], to);
    p.send(fd, &request(29, 0x5, 0, &to), &kernel);
    let mut answers = vec![p.recv(fd).unwrap()];
    while let Ok(more) = p.recv(fd) {
        answers.push(more);
    }
    assert_eq!(errno(answers.last().unwrap()), 0);
    assert_eq!(p.recv(listener).unwrap()[4..6], 29u16.to_ne_bytes());
    p.send(fd, &request(29, 0x5, 0, &to), &kernel);
    assert_eq!(errno(&p.recv(fd).unwrap()), -i32::from(Errno::ENOENT.0));
    // What the stack finds out is told, too.
    let socket = UdpSocket::bind(&lan.hosts[0], addr("0.0.0.0:0")).unwrap();
    socket.send_to(b"x", addr("10.0.0.2:9")).unwrap();
    let told = p.recv(listener).unwrap();
    // NUD_REACHABLE
    assert_eq!((told[24], &told[32..36]), (2, &[10, 0, 0, 2][..]));
}

/// `ip route get`: the host hears its own broadcasts, and groups that it is in.
#[test]
fn routes_to_many_are_local_where_the_host_hears_them() {
    let lan = lan(1);
    let mut p = Program::on(&lan.hosts[0]);
    let fd = p.socket(16, 3, 0);
    let kernel = [16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut flags_of = |to: [u8; 4]| {
        // RTM_GETROUTE, NLM_F_REQUEST; AF_INET, 32 bits; RTA_DST and RTA_OIF
        let mut m = vec![44, 0, 0, 0, 26, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0];
        m.extend([2, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 1, 0]);
        m.extend(to);
        m.extend([8, 0, 4, 0, 2, 0, 0, 0]);
        m[0] = m.len() as u8;
        p.send(fd, &m, &kernel);
        let answer = p.recv(fd).unwrap();
        // RTM_NEWROUTE
        assert_eq!(answer[4], 24, "{answer:?}");
        u32::from_ne_bytes(answer[24..28].try_into().unwrap())
    };
    // RTM_F_CLONED; RTCF_LOCAL, RTCF_BROADCAST, RTCF_MULTICAST
    let (cloned, local, all, group) = (0x200, 0x8000_0000, 0x1000_0000, 0x2000_0000);
    assert_eq!(flags_of([10, 0, 0, 2]), cloned);
    assert_eq!(flags_of([10, 0, 0, 255]), cloned | local | all);
    assert_eq!(flags_of([255, 255, 255, 255]), cloned | local | all);
    assert_eq!(flags_of([224, 0, 0, 1]), cloned | local | group);
    assert_eq!(flags_of([224, 0, 0, 9]), cloned | group);
}

/// What answers on TCP, or is said to by MSG_CONFIRM, is not asked again whether it is there.
#[test]
fn who_answers_is_not_asked() {
    let lan = lan(2);
    let (a, b) = (&lan.hosts[0], &lan.hosts[1]);
    let mut p = Program::on(a);
    let listener = TcpListener::bind(b, addr("10.0.0.2:80")).unwrap();
    let mut stream = TcpStream::connect(a, addr("10.0.0.2:80")).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    let arp = p.socket(17, 2, u64::from(0x0806_u16.to_be()));
    for _ in 0..120 {
        stream.write_all(b"x").unwrap();
        peer.read_exact(&mut [0]).unwrap();
        peer.write_all(b"y").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        lan.net.advance(Duration::from_secs(1));
    }
    assert_eq!(p.recv(arp), Err(Errno::EAGAIN));
    drop((stream, peer));
    // Datagrams that nobody answers are for somebody who may be gone, unless the sender knows better.
    let _silent = UdpSocket::bind(b, addr("10.0.0.2:9")).unwrap();
    let fd = p.socket(2, 2, 0);
    let to = p.put(0x800, &[2, 0, 0, 9, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
    // MSG_CONFIRM
    for (flags, asked) in [(0x800, false), (0, true)] {
        lan.net.advance(Duration::from_secs(60));
        for _ in 0..120 {
            let args = [fd, BASE, 1, flags, to, 16];
            assert_eq!(p.process.syscall(SENDTO, args, &mut p.memory), 1);
            lan.net.advance(Duration::from_secs(1));
        }
        assert_eq!(p.recv(arp).is_ok(), asked, "{flags:#x}");
    }
}

/// RFC 4862, 5.4: an address that a program adds is probed for.
#[test]
fn added_addresses_are_probed_for() {
    let lan = lan(2);
    let (net, a) = (&lan.net, &lan.hosts[0]);
    let mut p = Program::on(a);
    let fd = p.socket(10, 2, 0);
    // SIOCSIFADDR: struct in6_ifreq, of eth0.
    let mut add = |addr: &str| {
        let IpAddr::V6(addr) = ip(addr) else {
            unreachable!()
        };
        let mut request = Vec::from(addr.octets());
        request.extend([64, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(p.ioctl(fd, 0x8916, &mut request), 0, "{addr}");
    };
    let flags = |last: &str| {
        let text = a.proc_read("/proc/net/if_inet6").unwrap();
        let all = text.lines().filter(|line| line.starts_with("fd00"));
        let mut mine = all.filter(|line| line[28..32] == *last);
        mine.next().map(|line| line[42..44].to_owned())
    };
    let usable = |at: &str| UdpSocket::bind(a, addr(at)).map(drop).map_err(|e| e.kind());
    let not = Err(ErrorKind::AddrNotAvailable);
    // Nobody has the one; the other is the second host's.
    add("fd00::77");
    add("fd00::2");
    assert_eq!(flags("0001").as_deref(), Some("80"));
    for last in ["0077", "0002"] {
        // IFA_F_PERMANENT, IFA_F_TENTATIVE
        assert_eq!(flags(last).as_deref(), Some("c0"), "{last}");
    }
    assert_eq!(
        (usable("[fd00::1]:0"), usable("[fd00::77]:0")),
        (Ok(()), not)
    );
    net.advance(Duration::from_millis(999));
    assert_eq!(flags("0077").as_deref(), Some("c0"));
    net.advance(Duration::from_millis(1100));
    assert_eq!(flags("0077").as_deref(), Some("80"));
    assert_eq!(usable("[fd00::77]:0"), Ok(()));
    // IFA_F_DADFAILED
    assert_eq!(flags("0002").as_deref(), Some("c8"));
    assert_eq!(usable("[fd00::2]:0"), not);
    for (name, value) in [("accept_dad", "1"), ("dad_transmits", "1")] {
        let name = format!("net.ipv6.conf.eth0.{name}");
        assert_eq!(a.sysctl(&name).as_deref(), Ok(value));
    }
    assert_eq!(a.sysctl("net.ipv6.conf.lo.accept_dad").as_deref(), Ok("-1"));
    assert_eq!(a.sysctl("net.ipv6.conf.all.accept_dad").as_deref(), Ok("0"));
    a.set_sysctl("net.ipv6.conf.eth0.dad_transmits", "3")
        .unwrap();
    add("fd00::78");
    net.advance(Duration::from_millis(2999));
    assert_eq!(flags("0078").as_deref(), Some("c0"));
    net.advance(Duration::from_millis(1100));
    assert_eq!(flags("0078").as_deref(), Some("80"));
    a.set_sysctl("net.ipv6.conf.eth0.accept_dad", "0").unwrap();
    add("fd00::79");
    assert_eq!(usable("[fd00::79]:0"), Ok(()));
}

#[test]
fn tunables_of_neighbours() {
    let lan = lan(2);
    let h = &lan.hosts[0];
    for (name, value) in [
        ("net.ipv4.neigh.eth0.mcast_solicit", "1"),
        ("net.ipv4.neigh.eth0.retrans_time_ms", "200"),
    ] {
        assert_eq!(h.set_sysctl(name, value), Ok(()));
        assert_eq!(h.sysctl(name).as_deref(), Ok(value));
    }
    assert_eq!(
        h.sysctl("net.ipv4.neigh.lo.mcast_solicit").as_deref(),
        Ok("3")
    );
    assert_eq!(
        h.sysctl("net.ipv6.neigh.eth0.mcast_solicit").as_deref(),
        Ok("3")
    );
    let before = lan.net.now();
    let error = TcpStream::connect(h, addr("10.0.0.9:80")).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::HostUnreachable);
    assert_eq!(lan.net.now() - before, Duration::from_millis(200));
    h.set_sysctl("net.ipv4.neigh.default.gc_thresh3", "1")
        .unwrap();
    let socket = UdpSocket::bind(h, addr("0.0.0.0:0")).unwrap();
    for n in 10..20 {
        socket
            .send_to(b"x", addr(&format!("10.0.0.{n}:9")))
            .unwrap();
    }
    let arp = h.proc_read("/proc/net/arp").unwrap();
    assert_eq!(arp.lines().count(), 2, "{arp}");
}

#[test]
fn groups_of_a_link_have_hardware_addresses() {
    let lan = lan(1);
    let text = lan.hosts[0].proc_read("/proc/net/dev_mcast").unwrap();
    let macs: Vec<&str> = text
        .lines()
        .map(|line| line.split_whitespace().last().unwrap())
        .collect();
    // ff02::1, 224.0.0.1, and the groups of the link-local address and of fd00::1.
    for wanted in ["333300000001", "01005e000001", "3333ff000001"] {
        assert!(macs.contains(&wanted), "{text}");
    }
    let groups = lan.hosts[0].proc_read("/proc/net/igmp6").unwrap();
    assert!(
        groups.contains("ff0200000000000000000001ff000001"),
        "{groups}"
    );
}
