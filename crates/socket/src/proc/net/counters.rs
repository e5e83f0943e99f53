//! /proc/net/snmp, snmp6, netstat, sockstat, sockstat6 and protocols.

use super::netstat_names;
use super::sockets::{Datagrams, datagram_sockets};
use crate::host::Host;
use crate::socket::{Kind, Socket};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use switchboard_abi::number::*;
use switchboard_engine::{Family, Instant, LiteCounters, State, TcpEntry};

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
            ("ReasmTimeout", four(c.ip_reasm_timeout, c.v6.reasm_timeout)),
            ("ReasmReqds", four(c.ip_reasm_reqds, c.v6.reasm_reqds)),
            ("ReasmOKs", four(c.ip_reasm_oks, c.v6.reasm_oks)),
            ("ReasmFails", four(c.ip_reasm_fails, c.v6.reasm_fails)),
            ("FragOKs", four(c.ip_frag_oks, c.v6.frag_oks)),
            ("FragFails", four(c.ip_frag_fails, c.v6.frag_fails)),
            ("FragCreates", four(c.ip_frag_creates, c.v6.frag_creates)),
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
            ("InDestUnreachs", number(i.of(3))),
            ("InTimeExcds", number(i.of(11))),
            ("InParmProbs", number(i.of(12))),
            ("InSrcQuenchs", number(i.of(4))),
            ("InRedirects", number(i.of(5))),
            ("InEchos", number(i.of(8))),
            ("InEchoReps", number(i.of(0))),
            ("InTimestamps", number(i.of(13))),
            ("InTimestampReps", number(i.of(14))),
            ("InAddrMasks", number(i.of(17))),
            ("InAddrMaskReps", number(i.of(18))),
            ("OutMsgs", four(c.icmp_out_msgs, c.v6.icmp_out_msgs)),
            ("OutErrors", 0),
            ("OutRateLimitGlobal", number(c.icmp_out_rate_limit_global)),
            ("OutRateLimitHost", number(c.icmp_out_rate_limit_host)),
            ("OutDestUnreachs", number(o.of(3))),
            ("OutTimeExcds", number(o.of(11))),
            ("OutParmProbs", number(o.of(12))),
            ("OutSrcQuenchs", number(o.of(4))),
            ("OutRedirects", number(o.of(5))),
            ("OutEchos", number(o.of(8))),
            ("OutEchoReps", number(o.of(0))),
            ("OutTimestamps", number(o.of(13))),
            ("OutTimestampReps", number(o.of(14))),
            ("OutAddrMasks", number(o.of(17))),
            ("OutAddrMaskReps", number(o.of(18))),
        ],
    );
    // icmpmsg_put(): nothing before there was one.
    let seen: Vec<(String, i64)> = [("InType", i), ("OutType", o)]
        .into_iter()
        .flat_map(|(direction, counters)| {
            let column = move |(kind, n)| (format!("{direction}{kind}"), number(n));
            counters.seen().map(column)
        })
        .collect();
    if !seen.is_empty() {
        let columns: Vec<(&str, i64)> = seen.iter().map(|(name, n)| (&name[..], *n)).collect();
        group(out, "IcmpMsg", &columns);
    }
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

/// icmp6type2name
const ICMP6_TYPES: &[(&str, u8)] = &[
    ("DestUnreachs", 1),
    ("PktTooBigs", 2),
    ("TimeExcds", 3),
    ("ParmProblems", 4),
    ("Echos", 128),
    ("EchoReplies", 129),
    ("GroupMembQueries", 130),
    ("GroupMembResponses", 131),
    ("GroupMembReductions", 132),
    ("RouterSolicits", 133),
    ("RouterAdvertisements", 134),
    ("NeighborSolicits", 135),
    ("NeighborAdvertisements", 136),
    ("Redirects", 137),
    ("MLDv2Reports", 143),
];

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
        ("Ip6ReasmTimeout", six.reasm_timeout),
        ("Ip6ReasmReqds", six.reasm_reqds),
        ("Ip6ReasmOKs", six.reasm_oks),
        ("Ip6ReasmFails", six.reasm_fails),
        ("Ip6FragOKs", six.frag_oks),
        ("Ip6FragFails", six.frag_fails),
        ("Ip6FragCreates", six.frag_creates),
        ("Ip6InMcastPkts", six.in_mcast[0]),
        ("Ip6OutMcastPkts", six.out_mcast[0]),
        ("Ip6InOctets", six.in_octets),
        ("Ip6OutOctets", out_octets(host).1),
        ("Ip6InMcastOctets", six.in_mcast[1]),
        ("Ip6OutMcastOctets", six.out_mcast[1]),
        ("Ip6InBcastOctets", 0),
        ("Ip6OutBcastOctets", 0),
        ("Ip6InNoECTPkts", six.in_receives),
        ("Ip6InECT1Pkts", 0),
        ("Ip6InECT0Pkts", 0),
        ("Ip6InCEPkts", 0),
        ("Ip6OutTransmits", six.out_requests + six.forw_datagrams),
        ("Icmp6InMsgs", six.icmp_in_msgs),
        ("Icmp6InErrors", 0),
        ("Icmp6OutMsgs", six.icmp_out_msgs),
        ("Icmp6OutErrors", 0),
        ("Icmp6InCsumErrors", 0),
        ("Icmp6OutRateLimitHost", 0),
    ] {
        line(name, value);
    }
    let directions = [("In", &c.icmp_in[1]), ("Out", &c.icmp_out[1])];
    for (direction, counters) in directions {
        for (kind, number) in ICMP6_TYPES {
            line(&format!("Icmp6{direction}{kind}"), counters.of(*number));
        }
    }
    for (direction, counters) in directions {
        for (kind, n) in counters.seen() {
            line(&format!("Icmp6{direction}Type{kind}"), n);
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

/// All of Linux's columns, in its order: 0 where what they count is not counted here, or does not happen.
pub(super) fn netstat(host: &Host, out: &mut String) {
    let c = host.stack.counters();
    let (both, six) = out_octets(host);
    let tcp = |name: &str| {
        number(match name {
            "SyncookiesSent" => c.syncookies_sent,
            "SyncookiesRecv" => c.syncookies_recv,
            "SyncookiesFailed" => c.syncookies_failed,
            "EmbryonicRsts" => c.embryonic_rsts,
            "DelayedACKs" => c.tcp_delayed_acks,
            "TCPTimeouts" => c.tcp_timeouts,
            "TCPLossProbes" => c.tcp_loss_probes,
            "TCPAbortOnData" => c.tcp_abort_on_data,
            "TCPAbortOnClose" => c.tcp_abort_on_close,
            "TCPAbortOnLinger" => c.tcp_abort_on_linger,
            "TCPSynRetrans" => c.tcp_syn_retrans,
            "TCPOrigDataSent" => c.tcp_orig_data_sent,
            "TCPWinProbe" => c.tcp_win_probe,
            "TCPKeepAlive" => c.tcp_keep_alive,
            "ListenOverflows" => c.tcp_listen_overflows,
            "ListenDrops" => c.tcp_listen_drops,
            "TCPMD5NotFound" => c.tcp_md5_not_found,
            "TCPMD5Unexpected" => c.tcp_md5_unexpected,
            "TCPMD5Failure" => c.tcp_md5_failure,
            "TCPDeferAcceptDrop" => c.tcp_defer_accept_drop,
            "TCPReqQFullDoCookies" => c.tcp_req_q_full_do_cookies,
            "TCPReqQFullDrop" => c.tcp_req_q_full_drop,
            "TCPFastOpenPassive" => c.tcp_fast_open_passive,
            "TCPFastOpenCookieReqd" => c.tcp_fast_open_cookie_reqd,
            "TCPFastOpenListenOverflow" => c.tcp_fast_open_listen_overflow,
            "TCPMigrateReqSuccess" => c.tcp_migrate_req_success,
            "TCPMigrateReqFailure" => c.tcp_migrate_req_failure,
            "TW" => c.tcp_time_waited,
            "TWKilled" => c.tcp_time_wait_killed,
            "DelayedACKLost" => c.tcp_delayed_ack_lost,
            "TCPPureAcks" => c.tcp_pure_acks,
            "TCPAbortOnMemory" => c.tcp_abort_on_memory,
            "TCPAbortOnTimeout" => c.tcp_abort_on_timeout,
            "TCPToZeroWindowAdv" => c.tcp_to_zero_window_adv,
            "TCPFromZeroWindowAdv" => c.tcp_from_zero_window_adv,
            "IPReversePathFilter" => c.ip_reverse_path_filter,
            _ => 0,
        })
    };
    let ip = |name: &str| {
        number(match name {
            "InOctets" => c.ip_in_octets.saturating_sub(c.v6.in_octets),
            "OutOctets" => both.saturating_sub(six),
            "InMcastPkts" => c.ip_in_mcast[0] - c.v6.in_mcast[0],
            "OutMcastPkts" => c.ip_out_mcast[0] - c.v6.out_mcast[0],
            "InMcastOctets" => c.ip_in_mcast[1] - c.v6.in_mcast[1],
            "OutMcastOctets" => c.ip_out_mcast[1] - c.v6.out_mcast[1],
            // None is marked here.
            "InNoECTPkts" => c.ip_in_receives.saturating_sub(c.v6.in_receives),
            _ => 0,
        })
    };
    line_pair(out, "TcpExt", netstat_names::TCP, tcp);
    line_pair(out, "IpExt", netstat_names::IP, ip);
    line_pair(out, "MPTcpExt", netstat_names::MPTCP, |_| 0);
}

fn line_pair(out: &mut String, name: &str, columns: &[&str], value: impl Fn(&str) -> i64) {
    let columns: Vec<(&str, i64)> = columns
        .iter()
        .map(|column| (*column, value(column)))
        .collect();
    group(out, name, &columns);
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
