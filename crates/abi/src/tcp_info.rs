//! `struct tcp_info` of `<linux/tcp.h>`, as `TCP_INFO` returns it. See tcp(7).

extern crate alloc;
use alloc::vec::Vec;

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident: $ty:ty,)*) => {
        /// The members after the two bit-field bytes, in their order in memory. Times are in
        /// microseconds (`rto`, `ato`, `rtt*`, `busy_time` ...) or milliseconds (`last_*`), as
        /// Linux has them; rates are bytes per second.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub struct TcpInfo {
            pub state: u8,
            pub ca_state: u8,
            pub retransmits: u8,
            pub probes: u8,
            pub backoff: u8,
            pub options: u8,
            /// Window scale the peer asked us to apply to its window (4 bits).
            pub snd_wscale: u8,
            /// Window scale we announced (4 bits).
            pub rcv_wscale: u8,
            pub delivery_rate_app_limited: bool,
            pub fastopen_client_fail: u8,
            $($(#[$doc])* pub $name: $ty,)*
        }

        impl TcpInfo {
            /// The structure's bytes on a little-endian machine.
            pub fn encode(&self) -> Vec<u8> {
                let mut out = Vec::with_capacity(256);
                out.extend_from_slice(&[
                    self.state, self.ca_state, self.retransmits, self.probes, self.backoff,
                    self.options,
                    (self.snd_wscale & 0xf) | (self.rcv_wscale << 4),
                    u8::from(self.delivery_rate_app_limited) | ((self.fastopen_client_fail & 3) << 1),
                ]);
                $(out.extend_from_slice(&self.$name.to_ne_bytes());)*
                out
            }
        }
    };
}

fields! {
    rto: u32, ato: u32, snd_mss: u32, rcv_mss: u32,
    unacked: u32, sacked: u32, lost: u32, retrans: u32, fackets: u32,
    last_data_sent: u32, last_ack_sent: u32, last_data_recv: u32, last_ack_recv: u32,
    pmtu: u32, rcv_ssthresh: u32, rtt: u32, rttvar: u32, snd_ssthresh: u32, snd_cwnd: u32,
    advmss: u32, reordering: u32, rcv_rtt: u32, rcv_space: u32, total_retrans: u32,
    pacing_rate: u64, max_pacing_rate: u64, bytes_acked: u64, bytes_received: u64,
    segs_out: u32, segs_in: u32, notsent_bytes: u32, min_rtt: u32,
    data_segs_in: u32, data_segs_out: u32, delivery_rate: u64,
    busy_time: u64, rwnd_limited: u64, sndbuf_limited: u64,
    delivered: u32, delivered_ce: u32, bytes_sent: u64, bytes_retrans: u64,
    dsack_dups: u32, reord_seen: u32, rcv_ooopack: u32, snd_wnd: u32, rcv_wnd: u32, rehash: u32,
    total_rto: u16, total_rto_recoveries: u16, total_rto_time: u32,
    // AccECN, since Linux 6.18.
    received_ce: u32, delivered_e1_bytes: u32, delivered_e0_bytes: u32, delivered_ce_bytes: u32,
    received_e1_bytes: u32, received_e0_bytes: u32, received_ce_bytes: u32,
    accecn_fail_mode: u16, accecn_opt_seen: u16,
}

/// `TCPI_OPT_TIMESTAMPS`: RFC 7323 timestamps are in use.
pub const TCPI_OPT_TIMESTAMPS: u8 = 1;
/// `TCPI_OPT_SACK`: RFC 2018 was negotiated.
pub const TCPI_OPT_SACK: u8 = 2;
/// `TCPI_OPT_WSCALE`: window scaling is in use.
pub const TCPI_OPT_WSCALE: u8 = 4;
/// `TCPI_OPT_ECN`: RFC 3168 was negotiated.
pub const TCPI_OPT_ECN: u8 = 8;
/// `TCPI_OPT_ECN_SEEN`: a segment came that could be marked.
pub const TCPI_OPT_ECN_SEEN: u8 = 16;
/// `TCPI_OPT_SYN_DATA`: the SYN-ACK acknowledged data of the SYN, sent or received.
pub const TCPI_OPT_SYN_DATA: u8 = 32;
/// `TCPI_OPT_TFO_CHILD`: a SYN with a Fast Open cookie made the connection.
pub const TCPI_OPT_TFO_CHILD: u8 = 128;
