//! /proc/net/tcp, udp, raw, icmp and their IPv6 twins, and unix.

use super::Inodes;
use crate::host::Host;
use crate::socket::{Kind, Socket};
use crate::table::SocketId;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use switchboard_abi::number::*;
use switchboard_engine::{Family, Instant, SocketHandle, State, TcpEntry, TcpTimer};

/// Lines of these files are filled with spaces up to this (seq_setwidth).
const TCP_WIDTH: usize = 149;
pub(super) const UDP_WIDTH: usize = 127;

/// A kernel address, as `kernel.kptr_restrict` shows it: there is none.
pub(super) const POINTER: &str = "0000000000000000";

/// An address as the kernel has it in memory, word by word.
struct Words(SocketAddr, bool);

impl core::fmt::Display for Words {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let word = |bytes: &[u8]| u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        match (self.0.ip(), self.1) {
            (IpAddr::V4(addr), false) => write!(f, "{:08X}", word(&addr.octets()))?,
            (ip, _) => {
                let addr = match ip {
                    // A socket that is bound to nothing is bound to no IPv4 address either.
                    IpAddr::V4(addr) if addr.is_unspecified() => Ipv6Addr::UNSPECIFIED,
                    IpAddr::V4(addr) => addr.to_ipv6_mapped(),
                    IpAddr::V6(addr) => addr,
                };
                for bytes in addr.octets().chunks(4) {
                    write!(f, "{:08X}", word(bytes))?;
                }
            }
        }
        write!(f, ":{:04X}", self.0.port())
    }
}

/// Jiffies as programs see them: hundredths of a second.
fn clock(time: Duration) -> u64 {
    u64::try_from(time.as_millis() / 10).unwrap_or(u64::MAX)
}

/// Ends a line that is filled up to `width`.
pub(super) fn end_line(out: &mut String, start: usize, width: usize) {
    while out.len() < start + width {
        out.push(' ');
    }
    out.push('\n');
}

pub(super) const V6_HEADER: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";

fn v6_header(out: &mut String) {
    out.push_str(V6_HEADER);
    out.push_str(" ref pointer drops\n");
}

pub(super) fn tcp(host: &Host, now: Instant, inodes: Inodes<'_>, v6: bool, out: &mut String) {
    let start = out.len();
    if v6 {
        out.push_str(V6_HEADER);
        out.push('\n');
    } else {
        out.push_str("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode");
        end_line(out, start, TCP_WIDTH);
    }
    let family = if v6 { Family::V6 } else { Family::V4 };
    let entries = host.stack.tcp_entries(now);
    for (line, entry) in entries.filter(|e| e.family == family).enumerate() {
        let start = out.len();
        tcp_line(host, inodes, line, &entry, v6, out);
        end_line(out, start, if v6 { 0 } else { TCP_WIDTH });
    }
}

fn tcp_line(
    host: &Host,
    inodes: Inodes<'_>,
    line: usize,
    e: &TcpEntry,
    v6: bool,
    out: &mut String,
) {
    let inode = e
        .socket
        .and_then(|handle| host.socket_of(SocketHandle::Tcp(handle)))
        .map_or(0, inodes);
    let _ = write!(
        out,
        "{line:4}: {} {} {:02X} {:08X}:{:08X} {:02X}:{:08X} {:08X} {:5} {:8} {inode} ",
        Words(e.local, v6),
        Words(e.remote, v6),
        e.state as u8,
        e.send_queue,
        e.receive_queue,
        e.timer as u8,
        clock(e.timer_in),
        e.retransmits,
        e.uid,
        e.probes,
    );
    let _ = match &e.flow {
        // tcp_ca_event: a threshold that is not known yet is -1, of a listener the length of the fast-open queue.
        Some(flow) => write!(
            out,
            "{} {POINTER} {} {} {} {} {}",
            1 + u8::from(e.timer != TcpTimer::Off),
            clock(flow.rto),
            clock(flow.ato),
            flow.quick.0 << 1 | u8::from(flow.quick.1),
            flow.window,
            match flow.threshold {
                _ if e.state == State::Listen => 0,
                Some(threshold) => i64::from(threshold),
                None => -1,
            },
        ),
        None if e.state == State::SynRecv => write!(out, "0 {POINTER}"),
        None => write!(out, "3 {POINTER}"),
    };
}

/// Which of the datagram files a socket stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Datagrams {
    Udp,
    UdpLite,
    Raw,
    Icmp,
}

impl Datagrams {
    fn has(self, socket: &Socket) -> bool {
        let common = &socket.common;
        let protocol = i32::from(common.protocol);
        match self {
            Datagrams::Raw => i32::from(common.ty) == SOCK_RAW,
            Datagrams::Udp => {
                i32::from(common.ty) == SOCK_DGRAM && matches!(protocol, 0 | IPPROTO_UDP)
            }
            Datagrams::UdpLite => i32::from(common.ty) == SOCK_DGRAM && protocol == IPPROTO_UDPLITE,
            Datagrams::Icmp => {
                i32::from(common.ty) == SOCK_DGRAM
                    && matches!(protocol, IPPROTO_ICMP | IPPROTO_ICMPV6)
            }
        }
    }
}

/// A socket with its addresses, and two numbers of its line.
pub(crate) type Found<'a> = (
    SocketId,
    &'a Socket,
    SocketAddr,
    Option<SocketAddr>,
    u32,
    u32,
);

/// The sockets of a file that Linux would have hashed: those with a port, and raw ones.
pub(crate) fn datagram_sockets(host: &Host, kind: Datagrams, v6: bool) -> Vec<Found<'_>> {
    let domain = if v6 { AF_INET6 } else { AF_INET };
    let mut found = Vec::new();
    for (id, socket) in host.sockets.iter() {
        let Kind::Udp(udp) = &socket.kind else {
            continue;
        };
        if i32::from(socket.common.domain) != domain || !kind.has(socket) {
            continue;
        }
        let mut local = host.stack.udp_local(udp.handle);
        if kind == Datagrams::Raw {
            local.set_port(socket.common.protocol);
        } else if local.port() == 0 {
            continue;
        }
        let memory = host.stack.udp_receive_memory(udp.handle);
        let drops = host.stack.udp_drops(udp.handle);
        let peer = host.stack.udp_peer(udp.handle);
        found.push((id, socket, local, peer, memory, drops));
    }
    found.sort_by_key(|(_, _, local, ..)| local.port());
    found
}

pub(super) fn datagrams(
    host: &Host,
    inodes: Inodes<'_>,
    kind: Datagrams,
    v6: bool,
    out: &mut String,
) {
    let start = out.len();
    let width = if v6 || kind == Datagrams::Raw {
        0
    } else {
        UDP_WIDTH
    };
    if v6 {
        v6_header(out);
    } else {
        if matches!(kind, Datagrams::Udp | Datagrams::UdpLite) {
            out.push(' ');
        }
        out.push_str("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops");
        end_line(out, start, width);
    }
    for (id, socket, local, peer, memory, drops) in datagram_sockets(host, kind, v6) {
        let start = out.len();
        let unspecified = if v6 {
            IpAddr::V6(Ipv6Addr::UNSPECIFIED)
        } else {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        };
        let remote = peer.unwrap_or(SocketAddr::new(unspecified, 0));
        let slot = if v6 || kind != Datagrams::Raw { 5 } else { 4 };
        let state = if peer.is_some() {
            State::Established
        } else {
            State::Close
        };
        let _ = write!(
            out,
            "{:slot$}: {} {} {:02X} {:08X}:{memory:08X} 00:00000000 00000000 {:5} {:8} {} 2 {POINTER} {drops}",
            local.port(),
            Words(local, v6),
            Words(remote, v6),
            state as u8,
            0,
            socket.common.uid,
            0,
            inodes(id),
        );
        end_line(out, start, width);
    }
}

pub(super) fn unix(host: &Host, inodes: Inodes<'_>, out: &mut String) {
    out.push_str("Num       RefCount Protocol Flags    Type St Inode Path\n");
    for (id, socket) in host.sockets.iter() {
        let Kind::Unix(unix) = &socket.kind else {
            continue;
        };
        let shown = unix.shown();
        // SS_UNCONNECTED, SS_CONNECTED; of one that nobody has accepted SS_CONNECTING.
        let state = match (shown.embryo, shown.connected) {
            (true, _) => 2,
            (false, true) => 3,
            (false, false) => 1,
        };
        let _ = write!(
            out,
            "{POINTER}: {:08X} 00000000 {:08X} {:04X} {state:02X} {:5}",
            2 + u32::from(shown.connected),
            // __SO_ACCEPTCON
            u32::from(shown.listening) << 16,
            socket.common.ty,
            if shown.embryo { 0 } else { inodes(id) },
        );
        if let Some(name) = shown.name {
            out.push(' ');
            // A path ends with its NUL; in an abstract name, and before it, NULs are shown as @.
            let path = match name {
                [0, ..] => name,
                [path @ .., 0] => path,
                path => path,
            };
            let text: Vec<u8> = path
                .iter()
                .map(|&b| if b == 0 { b'@' } else { b })
                .collect();
            out.push_str(&String::from_utf8_lossy(&text));
        }
        out.push('\n');
    }
}
