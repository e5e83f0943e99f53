//! What happened to packets, counted as in /proc/net/snmp.

/// The host's counters. Names are those of /proc/net/snmp and /proc/net/netstat, in snake case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets that came in.
    pub ip_in_receives: u64,
    /// Packets for addresses that are not the host's; it does not forward.
    pub ip_in_addr_errors: u64,
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
    /// Datagrams put into a socket's queue.
    pub udp_in_datagrams: u64,
    /// Datagrams for a port without a socket.
    pub udp_no_ports: u64,
    /// Datagrams that were not delivered for another reason.
    pub udp_in_errors: u64,
    /// Those of them for which a receive buffer was full.
    pub udp_rcvbuf_errors: u64,
    /// Datagrams sent.
    pub udp_out_datagrams: u64,
    /// TCP segments that were cut short or had a wrong checksum.
    pub tcp_in_errs: u64,
}
