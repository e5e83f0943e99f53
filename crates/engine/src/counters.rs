//! What happened to packets, counted as in /proc/net/snmp.

use alloc::collections::BTreeMap;

use switchboard_wire::{IcmpMessage, Unreachable};

use crate::tcp::State;

/// What IPv6 alone has of the counters that count both families.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct V6Counters {
    /// Packets that came in.
    pub in_receives: u64,
    /// Their bytes.
    pub in_octets: u64,
    /// Of these, bytes on `lo`.
    pub loop_octets: u64,
    /// Packets handed to a transport.
    pub in_delivers: u64,
    /// Packets to many that came in, and their bytes.
    pub in_mcast: [u64; 2],
    /// The same of those that went out.
    pub out_mcast: [u64; 2],
    /// Packets that were cut, those that could not be, and the pieces.
    pub frag_oks: u64,
    /// See above.
    pub frag_fails: u64,
    /// See above.
    pub frag_creates: u64,
    /// Pieces that came in, packets that were joined, pieces and packets that were given up, packets that were not whole
    /// in time.
    pub reasm_reqds: u64,
    /// See above.
    pub reasm_oks: u64,
    /// See above.
    pub reasm_fails: u64,
    /// See above.
    pub reasm_timeout: u64,
    /// Packets that were handed on.
    pub forw_datagrams: u64,
    /// Packets that were too long for the next link.
    pub in_too_big: u64,
    /// Packets the host made.
    pub out_requests: u64,
    /// Their bytes, as far as they were not for the host itself.
    pub out_octets: u64,
    /// ICMPv6 messages that came in.
    pub icmp_in_msgs: u64,
    /// ICMPv6 messages that were sent.
    pub icmp_out_msgs: u64,
    /// Datagrams read from a socket.
    pub udp_in_datagrams: u64,
    /// Datagrams for a port without a socket.
    pub udp_no_ports: u64,
    /// Datagrams for which a receive buffer was full.
    pub udp_rcvbuf_errors: u64,
    /// Datagrams sent.
    pub udp_out_datagrams: u64,
}

/// What UDP-Lite counts, of one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiteCounters {
    /// Datagrams read from a socket.
    pub in_datagrams: u64,
    /// Datagrams for a port without a socket.
    pub no_ports: u64,
    /// Datagrams that were dropped otherwise.
    pub in_errors: u64,
    /// Of these, for want of room.
    pub rcvbuf_errors: u64,
    /// Datagrams sent.
    pub out_datagrams: u64,
}

/// ICMP messages of one version, by their type: a host sees few of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IcmpCounters(BTreeMap<u8, u64>);

impl IcmpCounters {
    /// How many were of this type.
    pub fn of(&self, kind: u8) -> u64 {
        self.0.get(&kind).copied().unwrap_or(0)
    }

    /// The types that there were, and how many.
    pub fn seen(&self) -> impl Iterator<Item = (u8, u64)> + '_ {
        self.0.iter().map(|(kind, n)| (*kind, *n))
    }

    pub(crate) fn count(&mut self, v6: bool, message: &IcmpMessage) {
        self.add(IcmpCounters::kind(v6, message));
    }

    pub(crate) fn add(&mut self, kind: u8) {
        *self.0.entry(kind).or_default() += 1;
    }

    /// The message's type.
    pub(crate) fn kind(v6: bool, message: &IcmpMessage) -> u8 {
        match message {
            IcmpMessage::EchoRequest { .. } if v6 => 128,
            IcmpMessage::EchoReply { .. } if v6 => 129,
            IcmpMessage::Unreachable {
                code: Unreachable::PacketTooBig,
                ..
            } if v6 => 2,
            IcmpMessage::Unreachable { .. } if v6 => 1,
            IcmpMessage::TimeExceeded { .. } if v6 => 3,
            IcmpMessage::ParameterProblem { .. } if v6 => 4,
            IcmpMessage::EchoRequest { .. } => 8,
            IcmpMessage::EchoReply { .. } => 0,
            IcmpMessage::Unreachable { .. } => 3,
            IcmpMessage::TimeExceeded { .. } => 11,
            IcmpMessage::ParameterProblem { .. } => 12,
            IcmpMessage::Other { kind, .. } => *kind,
        }
    }
}

/// The host's counters, of both families together but for [`Counters::v6`]. Names are those of /proc/net/snmp and /proc/net/netstat, in snake case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// UDP-Lite of IPv4, and of IPv6.
    pub lite: [LiteCounters; 2],
    /// Packets that came in.
    pub ip_in_receives: u64,
    /// Packets for addresses that are not the host's, and that it does not forward.
    pub ip_in_addr_errors: u64,
    /// Packets from where nobody should be (rp_filter).
    pub ip_reverse_path_filter: u64,
    /// Packets that were handed on.
    pub ip_forw_datagrams: u64,
    /// Packets to hand on that no route was found for.
    pub ip_in_no_routes: u64,
    /// Packets that were too long for the next link and could not be cut.
    pub ip_frag_fails: u64,
    /// Packets that were cut.
    pub ip_frag_oks: u64,
    /// The pieces they were cut into.
    pub ip_frag_creates: u64,
    /// Pieces that came in.
    pub ip_reasm_reqds: u64,
    /// Packets that were joined.
    pub ip_reasm_oks: u64,
    /// Pieces and packets that were given up.
    pub ip_reasm_fails: u64,
    /// Packets that were not whole in time.
    pub ip_reasm_timeout: u64,
    /// Packets that no link may carry, such as those with a loopback address from outside.
    pub ip_in_hdr_errors: u64,
    /// Packets handed to a transport.
    pub ip_in_delivers: u64,
    /// Packets of a protocol nobody listens to.
    pub ip_in_unknown_protos: u64,
    /// Packets to the host itself dropped since the loopback queue was full.
    pub ip_in_discards: u64,
    /// Packets the host made.
    pub ip_out_requests: u64,
    /// Packets dropped since the transmit queue was full.
    pub ip_out_discards: u64,
    /// Packets dropped since no route led to their destination.
    pub ip_out_no_routes: u64,
    /// ICMP messages that came in.
    pub icmp_in_msgs: u64,
    /// ICMP messages that were cut short or had a wrong checksum.
    pub icmp_in_errors: u64,
    /// ICMP messages that were sent.
    pub icmp_out_msgs: u64,
    /// ICMP errors not sent because of the limit on all destinations.
    pub icmp_out_rate_limit_global: u64,
    /// ICMP errors not sent because of the limit on one destination.
    pub icmp_out_rate_limit_host: u64,
    /// Datagrams read from a socket.
    pub udp_in_datagrams: u64,
    /// Datagrams for a port without a socket.
    pub udp_no_ports: u64,
    /// Datagrams that were not delivered for another reason.
    pub udp_in_errors: u64,
    /// Those of them for which a receive buffer was full.
    pub udp_rcvbuf_errors: u64,
    /// Datagrams sent.
    pub udp_out_datagrams: u64,
    /// IPv6 alone.
    pub v6: V6Counters,
    /// ICMP messages that came in: IPv4's, IPv6's.
    pub icmp_in: [IcmpCounters; 2],
    /// ICMP messages that were sent.
    pub icmp_out: [IcmpCounters; 2],
    /// Packets to many of both versions that came in, and their bytes.
    pub ip_in_mcast: [u64; 2],
    /// The same of those that went out.
    pub ip_out_mcast: [u64; 2],
    /// Bytes of packets that came in.
    pub ip_in_octets: u64,
    /// Of these, bytes on `lo`.
    pub ip_loop_octets: u64,
    /// Bytes of packets the host made, as far as they were not for itself.
    pub ip_out_octets: u64,
    /// TCP segments that came in.
    pub tcp_in_segs: u64,
    /// TCP segments sent.
    pub tcp_out_segs: u64,
    /// Of these, sent again.
    pub tcp_retrans_segs: u64,
    /// Of these, with RST.
    pub tcp_out_rsts: u64,
    /// Connections that this host began.
    pub tcp_active_opens: u64,
    /// Connections that a listener took.
    pub tcp_passive_opens: u64,
    /// Connections that failed before they were established.
    pub tcp_attempt_fails: u64,
    /// Connections that ended without a FIN.
    pub tcp_estab_resets: u64,
    /// Connections that found a full accept queue.
    pub tcp_listen_overflows: u64,
    /// SYNs that a listener dropped, for that or another reason.
    pub tcp_listen_drops: u64,
    /// Requests that ended with a RST.
    pub embryonic_rsts: u64,
    /// SYN cookies sent, come back, and those that were none.
    pub syncookies_sent: u64,
    /// See above.
    pub syncookies_recv: u64,
    /// See above.
    pub syncookies_failed: u64,
    /// SYNs that found a full queue of requests and were answered with a cookie, or dropped.
    pub tcp_req_q_full_do_cookies: u64,
    /// See above.
    pub tcp_req_q_full_drop: u64,
    /// Bare acknowledgments that made no connection yet (TCP_DEFER_ACCEPT).
    pub tcp_defer_accept_drop: u64,
    /// Connections that a SYN with a cookie made.
    pub tcp_fast_open_passive: u64,
    /// SYNs that asked for a cookie.
    pub tcp_fast_open_cookie_reqd: u64,
    /// SYNs that found TCP_FASTOPEN's queue full.
    pub tcp_fast_open_listen_overflow: u64,
    /// Connections and requests that went to another listener, and those that found none.
    pub tcp_migrate_req_success: u64,
    /// See above.
    pub tcp_migrate_req_failure: u64,
    /// Segments without the signature that TCP_MD5SIG asks for.
    pub tcp_md5_not_found: u64,
    /// Segments with a signature that nobody has a key for.
    pub tcp_md5_unexpected: u64,
    /// Segments with a wrong signature.
    pub tcp_md5_failure: u64,
    /// Connections that went into TIME_WAIT, or FIN_WAIT2 without a program.
    pub tcp_time_waited: u64,
    /// Those of them that stay for no more than four seconds.
    pub tcp_time_wait_killed: u64,
    /// Acknowledgments that the timer sent.
    pub tcp_delayed_acks: u64,
    /// Segments that came again: the acknowledgment was lost or late.
    pub tcp_delayed_ack_lost: u64,
    /// Acknowledgments without data that came in.
    pub tcp_pure_acks: u64,
    /// Retransmission timeouts.
    pub tcp_timeouts: u64,
    /// Probes of a tail that may be lost (RFC 8985).
    pub tcp_loss_probes: u64,
    /// Connections that were reset by SO_LINGER with a time of 0, or by data that nobody would read.
    pub tcp_abort_on_data: u64,
    /// Connections that were closed with data unread.
    pub tcp_abort_on_close: u64,
    /// Connections that were reset since there were too many without a program (tcp_max_orphans).
    pub tcp_abort_on_memory: u64,
    /// Connections that were given up, as the peer did not answer.
    pub tcp_abort_on_timeout: u64,
    /// Connections that ended with their close, by TCP_LINGER2.
    pub tcp_abort_on_linger: u64,
    /// SYNs and their answers that were sent again.
    pub tcp_syn_retrans: u64,
    /// Segments with data or a FIN that were sent for the first time.
    pub tcp_orig_data_sent: u64,
    /// Probes of SO_KEEPALIVE.
    pub tcp_keep_alive: u64,
    /// Probes of a closed window.
    pub tcp_win_probe: u64,
    /// Windows that were closed.
    pub tcp_to_zero_window_adv: u64,
    /// Closed windows that were opened again.
    pub tcp_from_zero_window_adv: u64,
    /// TCP segments that were cut short or had a wrong checksum.
    pub tcp_in_errs: u64,
}

impl Counters {
    /// A packet to many went out.
    #[cold]
    pub(crate) fn sent_to_many(&mut self, v6: bool, bytes: u64) {
        add(&mut self.ip_out_mcast, bytes);
        if v6 {
            add(&mut self.v6.out_mcast, bytes);
        }
    }

    /// A packet to many came in.
    #[cold]
    pub(crate) fn came_to_many(&mut self, v6: bool, bytes: u64) {
        add(&mut self.ip_in_mcast, bytes);
        if v6 {
            add(&mut self.v6.in_mcast, bytes);
        }
    }

    /// A segment or a timer took a connection from one state to another.
    #[inline]
    pub(crate) fn tcp_ended(&mut self, before: State, after: State) {
        if after != State::Close {
            return;
        }
        match before {
            State::SynSent | State::SynRecv => self.tcp_attempt_fails += 1,
            State::Established | State::CloseWait => self.tcp_estab_resets += 1,
            _ => {}
        }
    }
}

fn add([packets, octets]: &mut [u64; 2], bytes: u64) {
    *packets += 1;
    *octets += bytes;
}
