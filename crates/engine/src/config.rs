//! What a host is made with: its seed, and the values that Linux keeps under /proc/sys/net.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use crate::ports::Choice;
use crate::tcp::Algorithm;

/// net.ipv4.tcp_reordering as it is by default: "three duplicate ACKs" (RFC 5681, 3.2).
pub(crate) const REORDERING: u32 = 3;

/// Makes a [`Stack`](crate::Stack).
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The only source of randomness: ports, sequence numbers, hash keys. The same seed and the same inputs give the
    /// same packets.
    pub seed: [u8; 32],
    /// The tunables to start with.
    pub sysctl: Sysctl,
}

/// The tunables under /proc/sys/net, with Linux 6.18's defaults.
///
/// Linux sets a few by the amount of memory; here they have the value of a machine with plenty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    /// net.core.rmem_default: receive buffer of a new UDP (or raw) socket.
    pub rmem_default: u32,
    /// net.core.wmem_default: send buffer of a new UDP (or raw) socket.
    pub wmem_default: u32,
    /// net.core.rmem_max: the most that SO_RCVBUF grants (before doubling).
    pub rmem_max: u32,
    /// net.core.wmem_max: the most that SO_SNDBUF grants (before doubling).
    pub wmem_max: u32,
    /// net.core.somaxconn: the longest accept queue.
    pub somaxconn: u32,
    /// net.core.netdev_max_backlog: packets that may wait on the loopback interface.
    pub netdev_max_backlog: u32,
    /// net.core.optmem_max: the most memory that control messages and filters of a socket take.
    pub optmem_max: u32,
    /// net.ipv4.igmp_max_memberships: groups that one socket may join.
    pub igmp_max_memberships: u32,
    /// net.ipv4.igmp_max_msf: sources that one membership may list.
    pub igmp_max_msf: u32,
    /// net.ipv6.mld_max_msf.
    pub mld_max_msf: u32,
    /// net.ipv4.ip_local_port_range: first and last ephemeral port.
    pub ip_local_port_range: (u16, u16),
    /// net.ipv4.ip_local_reserved_ports: ranges of ephemeral ports that are not given away unasked, in order and apart.
    pub ip_local_reserved_ports: Vec<(u16, u16)>,
    /// net.ipv4.ip_unprivileged_port_start: the first port that anyone may bind.
    pub ip_unprivileged_port_start: u16,
    /// net.ipv4.ip_forward: packets for others are handed on, at first by all interfaces. To change it later there is
    /// [`Stack::set_forwarding`](crate::Stack::set_forwarding).
    pub ip_forward: bool,
    /// net.ipv6.conf.all.forwarding.
    pub ipv6_forwarding: bool,
    /// net.ipv4.ip_default_ttl.
    pub ip_default_ttl: u8,
    /// net.ipv6.conf.default.hop_limit.
    pub ipv6_hop_limit: u8,
    /// net.ipv6.bindv6only: new IPv6 sockets have IPV6_V6ONLY set.
    pub bindv6only: bool,
    /// net.ipv6.auto_flowlabels: who makes flow labels of addresses and ports: 0 nobody, 1 who does not say otherwise,
    /// 2 who says so, 3 everybody.
    pub auto_flowlabels: u8,
    /// net.ipv6.flowlabel_state_ranges: the upper half of the labels is for those that are made so.
    pub flowlabel_state_ranges: bool,
    /// net.ipv4.ip_nonlocal_bind: addresses that are not the host's may be bound.
    pub ip_nonlocal_bind: bool,
    /// net.ipv6.ip_nonlocal_bind.
    pub ipv6_nonlocal_bind: bool,
    /// net.ipv4.ip_autobind_reuse: when every port is taken, bind(2) may choose one that SO_REUSEADDR lets it share.
    pub ip_autobind_reuse: bool,
    /// net.ipv4.ping_group_range: the groups whose members may have ping sockets; nobody when the first is greater.
    pub ping_group_range: (u32, u32),
    /// net.ipv4.ipfrag_high_thresh: bytes that packets in pieces may take.
    pub ipfrag_high_thresh: u32,
    /// net.ipv4.ipfrag_time: how long such a packet may take to be whole.
    pub ipfrag_time: Duration,
    /// net.ipv6.ip6frag_high_thresh.
    pub ip6frag_high_thresh: u32,
    /// net.ipv6.ip6frag_time.
    pub ip6frag_time: Duration,
    /// net.ipv4.route.mtu_expires: how long a path MTU is believed.
    pub ip_rt_mtu_expires: Duration,
    /// net.ipv6.route.mtu_expires: the same of IPv6.
    pub ip6_rt_mtu_expires: Duration,
    /// net.ipv4.route.min_pmtu: a path MTU that is smaller is not believed.
    pub ip_rt_min_pmtu: u32,
    /// net.ipv4.ip_no_pmtu_disc: 0 path MTUs are discovered; 1 they are not, and what does not fit makes the path that of
    /// `ip_rt_min_pmtu`; 2 it is not heard either; 3 it is heard of protocols that can tell whether it is true (TCP).
    pub ip_no_pmtu_disc: u8,
    /// net.ipv4.icmp_echo_ignore_all.
    pub icmp_echo_ignore_all: bool,
    /// net.ipv4.icmp_echo_ignore_broadcasts.
    pub icmp_echo_ignore_broadcasts: bool,
    /// net.ipv4.icmp_ratemask: a bit for each type of ICMP that is limited.
    pub icmp_ratemask: u32,
    /// net.ipv4.icmp_ratelimit: the least time between two ICMP errors to one destination.
    pub icmp_ratelimit: Duration,
    /// net.ipv6.icmp.echo_ignore_all.
    pub icmp6_echo_ignore_all: bool,
    /// net.ipv6.icmp.echo_ignore_multicast.
    pub icmp6_echo_ignore_multicast: bool,
    /// net.ipv6.icmp.ratemask: ranges of types of ICMPv6 that are limited, in order and apart.
    pub icmp6_ratemask: Vec<(u16, u16)>,
    /// net.ipv6.icmp.ratelimit: as `icmp_ratelimit`.
    pub icmp6_ratelimit: Duration,
    /// net.ipv4.icmp_msgs_per_sec: ICMP errors per second to all destinations.
    pub icmp_msgs_per_sec: u32,
    /// net.ipv4.icmp_msgs_burst: how many of them may come at once.
    pub icmp_msgs_burst: u32,
    /// net.ipv4.tcp_congestion_control: of new sockets.
    pub tcp_congestion_control: Algorithm,
    /// net.ipv4.tcp_allowed_congestion_control: which of them a user without CAP_NET_ADMIN may choose, in the order of
    /// [`Algorithm::ALL`].
    pub tcp_allowed_congestion_control: [bool; Algorithm::ALL.len()],
    /// net.core.busy_read: SO_BUSY_POLL of new sockets, in microseconds.
    pub busy_read: u32,
    /// net.ipv4.tcp_mem and udp_mem, in pages, which are only kept: there is no memory pressure.
    pub tcp_mem: [u32; 3],
    /// See `tcp_mem`.
    pub udp_mem: [u32; 3],
    /// net.ipv4.tcp_rmem: least, default and greatest receive buffer.
    pub tcp_rmem: [u32; 3],
    /// net.ipv4.tcp_wmem: least, default and greatest send buffer.
    pub tcp_wmem: [u32; 3],
    /// net.ipv4.tcp_fin_timeout: how long an orphan stays in FIN_WAIT2.
    pub tcp_fin_timeout: Duration,
    /// net.ipv4.tcp_syn_retries.
    pub tcp_syn_retries: u8,
    /// net.ipv4.tcp_synack_retries.
    pub tcp_synack_retries: u8,
    /// net.ipv4.tcp_retries1: retransmissions before the route is doubted.
    pub tcp_retries1: u8,
    /// net.ipv4.tcp_retries2: retransmissions before the connection is given up.
    pub tcp_retries2: u8,
    /// net.ipv4.tcp_orphan_retries: the same for orphans; 0 means 8.
    pub tcp_orphan_retries: u8,
    /// net.ipv4.tcp_max_orphans.
    pub tcp_max_orphans: u32,
    /// net.ipv4.tcp_max_syn_backlog: half-open connections of a listener.
    pub tcp_max_syn_backlog: u32,
    /// net.ipv4.tcp_max_tw_buckets: connections in TIME_WAIT.
    pub tcp_max_tw_buckets: u32,
    /// net.ipv4.tcp_abort_on_overflow: reset instead of ignoring when the accept queue is full.
    pub tcp_abort_on_overflow: bool,
    /// net.ipv4.tcp_keepalive_time.
    pub tcp_keepalive_time: Duration,
    /// net.ipv4.tcp_keepalive_intvl.
    pub tcp_keepalive_intvl: Duration,
    /// net.ipv4.tcp_keepalive_probes.
    pub tcp_keepalive_probes: u8,
    /// net.ipv4.tcp_window_scaling.
    pub tcp_window_scaling: bool,
    /// net.ipv4.tcp_timestamps.
    pub tcp_timestamps: bool,
    /// net.ipv4.tcp_sack.
    pub tcp_sack: bool,
    /// net.ipv4.tcp_syncookies: 0 never, 1 when the queue of SYNs is full, 2 always.
    pub tcp_syncookies: u8,
    /// net.ipv4.tcp_mtu_probing: 1 looks for the largest segment of a path when nothing is acknowledged, 2 always.
    pub tcp_mtu_probing: u8,
    /// net.ipv4.tcp_probe_interval: when the search begins anew.
    pub tcp_probe_interval: Duration,
    /// net.ipv4.tcp_probe_threshold: how many bytes are worth a probe.
    pub tcp_probe_threshold: u32,
    /// net.ipv4.tcp_base_mss: the segment size that it begins with.
    pub tcp_base_mss: u32,
    /// net.ipv4.tcp_mtu_probe_floor: and the least.
    pub tcp_mtu_probe_floor: u32,
    /// net.ipv4.tcp_ecn: 0 never, 1 ask for it and agree to it, 2 agree only.
    pub tcp_ecn: u8,
    /// net.ipv4.tcp_dsack: report what came twice.
    pub tcp_dsack: bool,
    /// net.ipv4.tcp_early_retrans: the tail is probed (RFC 8985, 7) from 3 on.
    pub tcp_early_retrans: u8,
    /// net.ipv4.tcp_frto: timeouts are examined (RFC 5682) unless it is 0.
    pub tcp_frto: u8,
    /// net.ipv4.tcp_stdurg: the urgent pointer names the last urgent octet (RFC 1122) and not, as BSD has it, the
    /// octet after it.
    pub tcp_stdurg: bool,
    /// net.ipv4.tcp_rfc1337: ignore RST in TIME_WAIT.
    pub tcp_rfc1337: bool,
    /// net.ipv4.tcp_tw_reuse: 0 never, 1 always, 2 on loopback only.
    pub tcp_tw_reuse: u8,
    /// net.ipv4.tcp_tw_reuse_delay: how old an entry in TIME_WAIT must be for that.
    pub tcp_tw_reuse_delay: Duration,
    /// net.ipv4.tcp_retrans_collapse: small segments are sent again as one.
    pub tcp_retrans_collapse: bool,
    /// net.ipv4.tcp_moderate_rcvbuf: grow the receive buffer with the reader.
    pub tcp_moderate_rcvbuf: bool,
    /// net.ipv4.tcp_slow_start_after_idle.
    pub tcp_slow_start_after_idle: bool,
    /// net.ipv4.tcp_challenge_ack_limit: challenge ACKs per second (RFC 5961, 10); `i32::MAX` is no limit.
    pub tcp_challenge_ack_limit: u32,
    /// net.ipv4.tcp_invalid_ratelimit: the least time between two ACKs that answer invalid segments.
    pub tcp_invalid_ratelimit: Duration,
    /// net.ipv4.tcp_notsent_lowat.
    pub tcp_notsent_lowat: u32,
    /// net.ipv4.tcp_fastopen: bits; 1 lets clients open fast, 2 servers.
    pub tcp_fastopen: u32,
    /// net.ipv4.tcp_rto_max_ms: the greatest retransmission timeout of new sockets.
    pub tcp_rto_max: Duration,
    /// net.ipv4.tcp_rto_min_us: the least one.
    pub tcp_rto_min: Duration,
    /// net.ipv4.tcp_thin_linear_timeouts: streams with little in flight do not double their timeouts.
    pub tcp_thin_linear_timeouts: bool,
    /// net.ipv4.tcp_syn_linear_timeouts: SYNs sent again before the timeout doubles.
    pub tcp_syn_linear_timeouts: u8,
    /// net.ipv4.tcp_recovery: 2 keeps RACK's window of reordering at a quarter of a round trip, 4 keeps it though enough
    /// segments have arrived behind a hole; 1 is without effect (as on Linux since 6.17).
    pub tcp_recovery: u8,
    /// net.ipv4.tcp_reordering: how many segments may arrive before one that was sent earlier; of new sockets.
    pub tcp_reordering: u32,
    /// net.ipv4.tcp_max_reordering: how far that may grow.
    pub tcp_max_reordering: u32,
    /// net.ipv4.tcp_min_snd_mss: the least segment that is sent, its options included.
    pub tcp_min_snd_mss: u32,
    /// net.ipv4.tcp_app_win: a part of the window, by this power of two, is kept back; 0: not even one segment.
    pub tcp_app_win: u8,
    /// net.ipv4.tcp_pacing_ss_ratio: the pace in slow start, in percent of window by round-trip time.
    pub tcp_pacing_ss_ratio: u32,
    /// net.ipv4.tcp_pacing_ca_ratio: the same in congestion avoidance.
    pub tcp_pacing_ca_ratio: u32,
    /// net.ipv4.tcp_workaround_signed_windows: windows that are not scaled stay below 2^15.
    pub tcp_workaround_signed_windows: bool,
    /// net.ipv4.ip_dynaddr: a SYN that is sent again comes from another address if the host has lost the one it came from.
    pub ip_dynaddr: u8,
    /// net.ipv4.tcp_migrate_req: what waits at a listener that ends goes to another one of its SO_REUSEPORT group.
    pub tcp_migrate_req: bool,
    /// net.ipv4.tcp_ecn_fallback: a SYN that is sent again does not ask for ECN.
    pub tcp_ecn_fallback: bool,
}

impl Sysctl {
    /// inet_sk_get_local_port_range: the ephemeral ports of a socket that narrowed them (IP_LOCAL_PORT_RANGE; the lowest
    /// in the lower half). What is not within the host's own range does not count.
    pub(crate) fn local_ports(&self, own: u32) -> Choice<'_> {
        let (mut low, mut high) = self.ip_local_port_range;
        let (own_low, own_high) = (own as u16, (own >> 16) as u16);
        if (low..=high).contains(&own_low) {
            low = own_low;
        }
        if (low..=high).contains(&own_high) {
            high = own_high;
        }
        Choice::new(low, high, &self.ip_local_reserved_ports)
    }

    /// Whether a user without CAP_NET_ADMIN may choose an algorithm of congestion control.
    pub fn congestion_allowed(&self, algorithm: Algorithm) -> bool {
        let mut allowed = Algorithm::ALL
            .iter()
            .zip(self.tcp_allowed_congestion_control);
        algorithm == self.tcp_congestion_control
            || allowed.any(|(known, allowed)| *known == algorithm && allowed)
    }

    /// Whether an address that is not the host's may be bound.
    pub(crate) fn nonlocal_bind(&self, addr: IpAddr) -> bool {
        match addr.to_canonical() {
            IpAddr::V4(_) => self.ip_nonlocal_bind,
            IpAddr::V6(_) => self.ipv6_nonlocal_bind,
        }
    }
}

impl Default for Sysctl {
    fn default() -> Sysctl {
        Sysctl {
            // 256 packets of 256 bytes with overhead.
            rmem_default: 212_992,
            wmem_default: 212_992,
            rmem_max: 4 << 20,
            wmem_max: 4 << 20,
            somaxconn: 4096,
            netdev_max_backlog: 1000,
            optmem_max: 131_072,
            igmp_max_memberships: 20,
            igmp_max_msf: 10,
            mld_max_msf: 64,
            ip_local_port_range: (32_768, 60_999),
            ip_local_reserved_ports: Vec::new(),
            ip_unprivileged_port_start: 1024,
            ip_forward: false,
            ipv6_forwarding: false,
            ip_default_ttl: 64,
            ipv6_hop_limit: 64,
            bindv6only: false,
            auto_flowlabels: 1,
            flowlabel_state_ranges: false,
            ip_nonlocal_bind: false,
            ipv6_nonlocal_bind: false,
            ip_autobind_reuse: false,
            ping_group_range: (1, 0),
            ipfrag_high_thresh: 4 << 20,
            ipfrag_time: Duration::from_secs(30),
            ip6frag_high_thresh: 4 << 20,
            ip6frag_time: Duration::from_secs(60),
            ip_rt_mtu_expires: Duration::from_secs(600),
            ip6_rt_mtu_expires: Duration::from_secs(600),
            ip_rt_min_pmtu: 552,
            ip_no_pmtu_disc: 0,
            icmp_echo_ignore_all: false,
            icmp_echo_ignore_broadcasts: true,
            // Unreachable, source quench, time exceeded, parameter problem.
            icmp_ratemask: 0x1818,
            icmp_ratelimit: Duration::from_secs(1),
            icmp6_echo_ignore_all: false,
            icmp6_echo_ignore_multicast: false,
            // All errors but "packet too big".
            icmp6_ratemask: Vec::from([(0, 1), (3, 127)]),
            icmp6_ratelimit: Duration::from_millis(100),
            icmp_msgs_per_sec: 1000,
            icmp_msgs_burst: 50,
            tcp_congestion_control: Algorithm::default(),
            // As of a kernel whose default is cubic.
            tcp_allowed_congestion_control: [true, true, false],
            busy_read: 0,
            // Of a host with 16 GiB.
            tcp_mem: [188_982, 251_976, 377_964],
            udp_mem: [377_964, 503_952, 755_928],
            tcp_rmem: [4096, 131_072, 32 << 20],
            tcp_wmem: [4096, 16_384, 4_194_304],
            tcp_fin_timeout: Duration::from_secs(60),
            tcp_syn_retries: 6,
            tcp_synack_retries: 5,
            tcp_retries1: 3,
            tcp_retries2: 15,
            tcp_orphan_retries: 0,
            tcp_max_orphans: 65_536,
            tcp_max_syn_backlog: 2048,
            tcp_max_tw_buckets: 65_536,
            tcp_abort_on_overflow: false,
            tcp_keepalive_time: Duration::from_secs(7200),
            tcp_keepalive_intvl: Duration::from_secs(75),
            tcp_keepalive_probes: 9,
            tcp_window_scaling: true,
            tcp_timestamps: true,
            tcp_sack: true,
            tcp_syncookies: 1,
            tcp_mtu_probing: 0,
            tcp_probe_interval: Duration::from_secs(600),
            tcp_probe_threshold: 8,
            tcp_base_mss: 1024,
            tcp_mtu_probe_floor: 48,
            tcp_ecn: 2,
            tcp_dsack: true,
            tcp_early_retrans: 3,
            tcp_frto: 2,
            tcp_stdurg: false,
            tcp_rfc1337: false,
            tcp_tw_reuse: 2,
            tcp_tw_reuse_delay: Duration::from_secs(1),
            tcp_retrans_collapse: true,
            tcp_moderate_rcvbuf: true,
            tcp_slow_start_after_idle: true,
            tcp_challenge_ack_limit: i32::MAX as u32,
            tcp_invalid_ratelimit: Duration::from_millis(500),
            tcp_notsent_lowat: u32::MAX,
            tcp_fastopen: 1,
            tcp_rto_max: Duration::from_secs(120),
            tcp_rto_min: Duration::from_millis(200),
            tcp_thin_linear_timeouts: false,
            tcp_syn_linear_timeouts: 4,
            tcp_recovery: 1,
            tcp_reordering: REORDERING,
            tcp_max_reordering: 300,
            tcp_min_snd_mss: 48,
            tcp_app_win: 31,
            tcp_pacing_ss_ratio: 200,
            tcp_pacing_ca_ratio: 120,
            tcp_workaround_signed_windows: false,
            ip_dynaddr: 0,
            tcp_migrate_req: false,
            tcp_ecn_fallback: true,
        }
    }
}
