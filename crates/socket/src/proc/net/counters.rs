//! /proc/net/snmp, snmp6, netstat, sockstat, sockstat6 and protocols.

use super::sockets::{Datagrams, datagram_sockets};
use crate::host::Host;
use crate::socket::{Kind, Socket};
use alloc::string::String;
use core::fmt::Write;
use switchboard_abi::number::*;
use switchboard_engine::{Family, IcmpCounters, Instant, LiteCounters, State, TcpEntry};

/// Two lines: the names, and the values.
fn group(out: &mut String, name: &str, columns: &[(&str, i64)]) {
    let _ = write!(out, "{name}:");
    for (column, _) in columns {
        let _ = write!(out, " {column}");
    }
    let _ = write!(out, "\n{name}:");
    for (_, value) in columns {
        let _ = write!(out, " {value}");
    }
    out.push('\n');
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Bytes the host made: those it sent to itself came in again.
fn out_octets(host: &Host) -> (u64, u64) {
    let c = host.stack.counters();
    (
        c.ip_out_octets + c.ip_loop_octets,
        c.v6.out_octets + c.v6.loop_octets,
    )
}

/// tcpCurrEstab: ESTABLISHED or CLOSE_WAIT.
fn established(entries: impl Iterator<Item = TcpEntry>) -> usize {
    entries
        .filter(|e| matches!(e.state, State::Established | State::CloseWait))
        .count()
}

pub(super) fn snmp(host: &Host, now: Instant, out: &mut String) {
    let c = host.stack.counters();
    let four = |both: u64, six: u64| number(both.saturating_sub(six));
    let requests = four(c.ip_out_requests, c.v6.out_requests);
    let forwarded = four(c.ip_forw_datagrams, c.v6.forw_datagrams);
    group(
        out,
        "Ip",
        &[
            // ipfwd_seq: 1 is a router, 2 is none.
            (
                "Forwarding",
                if host.stack.sysctl().ip_forward { 1 } else { 2 },
            ),
            ("DefaultTTL", host.stack.sysctl().ip_default_ttl.into()),
            ("InReceives", four(c.ip_in_receives, c.v6.in_receives)),
            ("InHdrErrors", number(c.ip_in_hdr_errors)),
            ("InAddrErrors", number(c.ip_in_addr_errors)),
            ("ForwDatagrams", forwarded),
            ("InUnknownProtos", number(c.ip_in_unknown_protos)),
            ("InDiscards", number(c.ip_in_discards)),
            ("InDelivers", four(c.ip_in_delivers, c.v6.in_delivers)),
            ("OutRequests", requests),
            ("OutDiscards", number(c.ip_out_discards)),
            ("OutNoRoutes", number(c.ip_out_no_routes)),
            ("ReasmTimeout", number(c.ip_reasm_timeout)),
            ("ReasmReqds", number(c.ip_reasm_reqds)),
            ("ReasmOKs", number(c.ip_reasm_oks)),
            ("ReasmFails", number(c.ip_reasm_fails)),
            ("FragOKs", number(c.ip_frag_oks)),
            ("FragFails", number(c.ip_frag_fails)),
            ("FragCreates", number(c.ip_frag_creates)),
            ("OutTransmits", requests + forwarded),
        ],
    );
    let (i, o) = (&c.icmp_in[0], &c.icmp_out[0]);
    group(
        out,
        "Icmp",
        &[
            ("InMsgs", four(c.icmp_in_msgs, c.v6.icmp_in_msgs)),
            ("InErrors", 0),
            ("InCsumErrors", 0),
            ("InDestUnreachs", number(i.unreachable + i.too_big)),
            ("InTimeExcds", number(i.time_exceeded)),
            ("InParmProbs", number(i.parameter_problem)),
            ("InSrcQuenchs", 0),
            ("InRedirects", 0),
            ("InEchos", number(i.echo)),
            ("InEchoReps", number(i.echo_reply)),
            ("InTimestamps", 0),
            ("InTimestampReps", 0),
            ("InAddrMasks", 0),
            ("InAddrMaskReps", 0),
            ("OutMsgs", four(c.icmp_out_msgs, c.v6.icmp_out_msgs)),
            ("OutErrors", 0),
            ("OutRateLimitGlobal", number(c.icmp_out_rate_limit_global)),
            ("OutRateLimitHost", number(c.icmp_out_rate_limit_host)),
            ("OutDestUnreachs", number(o.unreachable + o.too_big)),
            ("OutTimeExcds", number(o.time_exceeded)),
            ("OutParmProbs", number(o.parameter_problem)),
            ("OutSrcQuenchs", 0),
            ("OutRedirects", 0),
            ("OutEchos", number(o.echo)),
            ("OutEchoReps", number(o.echo_reply)),
            ("OutTimestamps", 0),
            ("OutTimestampReps", 0),
            ("OutAddrMasks", 0),
            ("OutAddrMaskReps", 0),
        ],
    );
    // TCP counts both families together, on Linux too.
    group(
        out,
        "Tcp",
        &[
            ("RtoAlgorithm", 1),
            ("RtoMin", 200),
            ("RtoMax", 120_000),
            ("MaxConn", -1),
            ("ActiveOpens", number(c.tcp_active_opens)),
            ("PassiveOpens", number(c.tcp_passive_opens)),
            ("AttemptFails", number(c.tcp_attempt_fails)),
            ("EstabResets", number(c.tcp_estab_resets)),
            ("CurrEstab", established(host.stack.tcp_entries(now)) as i64),
            ("InSegs", number(c.tcp_in_segs)),
            ("OutSegs", number(c.tcp_out_segs)),
            ("RetransSegs", number(c.tcp_retrans_segs)),
            ("InErrs", number(c.tcp_in_errs)),
            ("OutRsts", number(c.tcp_out_rsts)),
            ("InCsumErrors", 0),
        ],
    );
    let full = four(c.udp_rcvbuf_errors, c.v6.udp_rcvbuf_errors);
    group(
        out,
        "Udp",
        &[
            (
                "InDatagrams",
                four(c.udp_in_datagrams, c.v6.udp_in_datagrams),
            ),
            ("NoPorts", four(c.udp_no_ports, c.v6.udp_no_ports)),
            ("InErrors", full),
            (
                "OutDatagrams",
                four(c.udp_out_datagrams, c.v6.udp_out_datagrams),
            ),
            ("RcvbufErrors", full),
            ("SndbufErrors", 0),
            ("InCsumErrors", 0),
            ("IgnoredMulti", 0),
            ("MemErrors", 0),
        ],
    );
    group(out, "UdpLite", &lite_counters(&c.lite[0]));
}

fn lite_counters(c: &LiteCounters) -> [(&'static str, i64); 9] {
    [
        ("InDatagrams", number(c.in_datagrams)),
        ("NoPorts", number(c.no_ports)),
        ("InErrors", number(c.in_errors)),
        ("OutDatagrams", number(c.out_datagrams)),
        ("RcvbufErrors", number(c.rcvbuf_errors)),
        ("SndbufErrors", 0),
        ("InCsumErrors", 0),
        ("IgnoredMulti", 0),
        ("MemErrors", 0),
    ]
}

pub(super) fn snmp6(host: &Host, out: &mut String) {
    let c = host.stack.counters();
    let six = &c.v6;
    let mut line = |name: &str, value: u64| {
        let _ = writeln!(out, "{name:<32}\t{value}");
    };
    for (name, value) in [
        ("Ip6InReceives", six.in_receives),
        ("Ip6InHdrErrors", 0),
        ("Ip6InTooBigErrors", six.in_too_big),
        ("Ip6InNoRoutes", 0),
        ("Ip6InAddrErrors", 0),
        ("Ip6InUnknownProtos", 0),
        ("Ip6InTruncatedPkts", 0),
        ("Ip6InDiscards", 0),
        ("Ip6InDelivers", six.in_delivers),
        ("Ip6OutForwDatagrams", six.forw_datagrams),
        ("Ip6OutRequests", six.out_requests),
        ("Ip6OutDiscards", 0),
        ("Ip6OutNoRoutes", 0),
        ("Ip6InOctets", six.in_octets),
        ("Ip6OutOctets", out_octets(host).1),
        ("Ip6InNoECTPkts", six.in_receives),
        ("Ip6OutTransmits", six.out_requests + six.forw_datagrams),
        ("Icmp6InMsgs", six.icmp_in_msgs),
        ("Icmp6InErrors", 0),
        ("Icmp6OutMsgs", six.icmp_out_msgs),
        ("Icmp6OutErrors", 0),
        ("Icmp6InCsumErrors", 0),
    ] {
        line(name, value);
    }
    for (direction, kinds) in [("In", &c.icmp_in[1]), ("Out", &c.icmp_out[1])] {
        let IcmpCounters {
            unreachable,
            too_big,
            time_exceeded,
            parameter_problem,
            echo,
            echo_reply,
        } = *kinds;
        for (kind, value) in [
            ("DestUnreachs", unreachable),
            ("PktTooBigs", too_big),
            ("TimeExcds", time_exceeded),
            ("ParmProblems", parameter_problem),
            ("Echos", echo),
            ("EchoReplies", echo_reply),
        ] {
            let mut name = String::from("Icmp6");
            name.push_str(direction);
            name.push_str(kind);
            line(&name, value);
        }
    }
    for (name, value) in [
        ("Udp6InDatagrams", six.udp_in_datagrams),
        ("Udp6NoPorts", six.udp_no_ports),
        ("Udp6InErrors", six.udp_rcvbuf_errors),
        ("Udp6OutDatagrams", six.udp_out_datagrams),
        ("Udp6RcvbufErrors", six.udp_rcvbuf_errors),
        ("Udp6SndbufErrors", 0),
        ("Udp6InCsumErrors", 0),
        ("Udp6IgnoredMulti", 0),
        ("Udp6MemErrors", 0),
    ] {
        line(name, value);
    }
    for (name, value) in lite_counters(&c.lite[1]) {
        if name != "IgnoredMulti" {
            let mut full = String::from("UdpLite6");
            full.push_str(name);
            line(&full, value as u64);
        }
    }
}

/// The columns that are counted here, and those that are 0 since what they count does not happen.
pub(super) fn netstat(host: &Host, out: &mut String) {
    let c = host.stack.counters();
    group(
        out,
        "TcpExt",
        &[
            ("SyncookiesSent", 0),
            ("SyncookiesRecv", 0),
            ("SyncookiesFailed", 0),
            ("ListenOverflows", number(c.tcp_listen_overflows)),
            ("ListenDrops", number(c.tcp_listen_drops)),
            ("TCPMD5NotFound", number(c.tcp_md5_not_found)),
            ("TCPMD5Unexpected", number(c.tcp_md5_unexpected)),
            ("TCPMD5Failure", number(c.tcp_md5_failure)),
            ("TCPMemoryPressures", 0),
            ("TCPBacklogDrop", 0),
            ("IPReversePathFilter", number(c.ip_reverse_path_filter)),
        ],
    );
    let (both, six) = out_octets(host);
    group(
        out,
        "IpExt",
        &[
            ("InNoRoutes", 0),
            ("InTruncatedPkts", 0),
            (
                "InOctets",
                number(c.ip_in_octets.saturating_sub(c.v6.in_octets)),
            ),
            ("OutOctets", number(both.saturating_sub(six))),
            ("InCsumErrors", 0),
            ("ReasmOverlaps", 0),
        ],
    );
}

/// Sockets of a family and kind that Linux would have hashed.
fn in_use(host: &Host, now: Instant, v6: bool) -> (usize, usize, usize, usize) {
    let family = if v6 { Family::V6 } else { Family::V4 };
    let tcp = host.stack.tcp_entries(now);
    // Requests and TIME_WAIT are no sockets.
    let tcp = tcp
        .filter(|e| e.family == family && e.flow.is_some())
        .count();
    let udp = datagram_sockets(host, Datagrams::Udp, v6).len();
    let lite = datagram_sockets(host, Datagrams::UdpLite, v6).len();
    let raw = datagram_sockets(host, Datagrams::Raw, v6).len();
    (tcp, udp, lite, raw)
}

pub(super) fn sockstat(host: &Host, now: Instant, v6: bool, out: &mut String) {
    let (tcp, udp, lite, raw) = in_use(host, now, v6);
    if v6 {
        let _ = writeln!(out, "TCP6: inuse {tcp}\nUDP6: inuse {udp}");
        let _ = writeln!(out, "UDPLITE6: inuse {lite}\nRAW6: inuse {raw}");
        let (inuse, memory) = host.stack.fragments_held(true);
        let _ = writeln!(out, "FRAG6: inuse {inuse} memory {memory}");
        return;
    }
    let (orphans, waits) = host.stack.tcp_orphans();
    let is_tcp = |socket: &Socket| matches!(socket.kind, Kind::Tcp(_));
    let allocated = host.sockets.iter().filter(|(_, s)| is_tcp(s)).count() + orphans as usize;
    // Memory in pages, as Linux counts it: what the queues hold.
    let pages = |bytes: u64| bytes.div_ceil(4096);
    let tcp_bytes = host
        .stack
        .tcp_entries(now)
        .filter(|e| e.state != State::Listen)
        .map(|e| u64::from(e.send_queue) + u64::from(e.receive_queue))
        .sum();
    let udp_bytes = [false, true]
        .into_iter()
        .flat_map(|v6| datagram_sockets(host, Datagrams::Udp, v6))
        .map(|(.., memory, _)| u64::from(memory))
        .sum();
    let _ = writeln!(out, "sockets: used {}", host.sockets.len());
    let _ = writeln!(
        out,
        "TCP: inuse {tcp} orphan {orphans} tw {waits} alloc {allocated} mem {}",
        pages(tcp_bytes)
    );
    let _ = writeln!(out, "UDP: inuse {udp} mem {}", pages(udp_bytes));
    let _ = writeln!(out, "UDPLITE: inuse {lite}\nRAW: inuse {raw}");
    let (inuse, memory) = host.stack.fragments_held(false);
    let _ = writeln!(out, "FRAG: inuse {inuse} memory {memory}");
}

pub(super) fn protocols(host: &Host, out: &mut String) {
    out.push_str("protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re bi br ha uh gp em\n");
    let size = core::mem::size_of::<Socket>();
    let count = |domain: i32, ty: i32, protocol: &dyn Fn(i32) -> bool| {
        let wanted = |s: &Socket| {
            i32::from(s.common.domain) == domain
                && i32::from(s.common.ty) == ty
                && protocol(s.common.protocol.into())
        };
        host.sockets.iter().filter(|(_, s)| wanted(s)).count()
    };
    let any = |_: i32| true;
    let udp = |protocol: i32| matches!(protocol, 0 | IPPROTO_UDP);
    let ping = |protocol: i32| matches!(protocol, IPPROTO_ICMP | IPPROTO_ICMPV6);
    let yes_no = |mask: &str| -> String { mask.chars().flat_map(|c| [' ', ' ', c]).collect() };
    let mut line = |name: &str, sockets: usize, memory: &str, press: &str, calls: &str| {
        let _ = writeln!(
            out,
            "{name:<9} {size:4} {sockets:6}  {memory:>6}   {press:<3} {:6}   no   kernel    {}",
            0,
            yes_no(calls)
        );
    };
    for (name, domain) in [("v6", AF_INET6), ("", AF_INET)] {
        let full = |base: &str| {
            let mut full = String::from(base);
            full.push_str(name);
            full
        };
        let raw = count(domain, SOCK_RAW, &any);
        line(
            &full("PING"),
            count(domain, SOCK_DGRAM, &ping),
            "-1",
            "NI",
            "yyynnynnyyyyyynyyn",
        );
        line(&full("RAW"), raw, "-1", "NI", "yyynyyynyyyyyyyynn");
        let lite = |protocol: i32| protocol == IPPROTO_UDPLITE;
        line(
            if domain == AF_INET6 {
                "UDPLITEv6"
            } else {
                "UDP-Lite"
            },
            count(domain, SOCK_DGRAM, &lite),
            "0",
            "NI",
            "yyynyyynyyyynnyyyn",
        );
        line(
            &full("UDP"),
            count(domain, SOCK_DGRAM, &udp),
            "0",
            "NI",
            "yyynyyynyyyynnyyyn",
        );
        line(
            &full("TCP"),
            count(domain, SOCK_STREAM, &any),
            "0",
            "no",
            "yyyyyyyyyyyynyyyyy",
        );
    }
    let stream = count(AF_UNIX, SOCK_STREAM, &any);
    let unix = count(AF_UNIX, SOCK_DGRAM, &any) + count(AF_UNIX, SOCK_SEQPACKET, &any);
    line("UNIX-STREAM", stream, "-1", "NI", "ynnnnnnnnnnnnnnnnn");
    line("UNIX", unix, "-1", "NI", "ynnnnnnnnnnnnnnnnn");
}
