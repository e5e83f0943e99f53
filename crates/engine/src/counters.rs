//! What happened to packets, counted as in /proc/net/snmp.

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

/// ICMP messages by what they say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IcmpCounters {
    /// Destination unreachable, but for the next.
    pub unreachable: u64,
    /// Packet too big (fragmentation needed).
    pub too_big: u64,
    /// Time exceeded.
    pub time_exceeded: u64,
    /// Parameter problem.
    pub parameter_problem: u64,
    /// Echo request.
    pub echo: u64,
    /// Echo reply.
    pub echo_reply: u64,
}

impl IcmpCounters {
    pub(crate) fn count(&mut self, message: &IcmpMessage) {
        let counter = match message {
            IcmpMessage::Unreachable {
                code: Unreachable::PacketTooBig,
                ..
            } => &mut self.too_big,
            IcmpMessage::Unreachable { .. } => &mut self.unreachable,
            IcmpMessage::TimeExceeded { .. } => &mut self.time_exceeded,
            IcmpMessage::ParameterProblem { .. } => &mut self.parameter_problem,
            IcmpMessage::EchoRequest { .. } => &mut self.echo,
            IcmpMessage::EchoReply { .. } => &mut self.echo_reply,
            _ => return,
        };
        *counter += 1;
    }
}

/// The host's counters, of both families together but for [`Counters::v6`]. Names are those of /proc/net/snmp and /proc/net/netstat, in snake case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    /// Segments without the signature that TCP_MD5SIG asks for.
    pub tcp_md5_not_found: u64,
    /// Segments with a signature that nobody has a key for.
    pub tcp_md5_unexpected: u64,
    /// Segments with a wrong signature.
    pub tcp_md5_failure: u64,
    /// TCP segments that were cut short or had a wrong checksum.
    pub tcp_in_errs: u64,
}

impl Counters {
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
