//! Per-socket settings: what the TCP_* options and the SO_* options that TCP heeds set.

use alloc::boxed::Box;
use core::net::IpAddr;
use core::time::Duration;

use bytes::Bytes;

use super::congestion::Algorithm;
use super::fastopen::{FastOpenKeys, FastOpenOptions};
use super::md5::{Key, Keys};
use super::repair::Repair;
use super::timing::Timing;
use crate::config::{REORDERING, Sysctl};
use crate::extended::SendExtra;

/// Settings of one socket; an accepted connection inherits its listener's.
#[derive(Clone, Debug)]
pub(crate) struct TcpOptionsSet {
    /// TCP_NODELAY: Nagle's algorithm is off.
    pub(crate) no_delay: bool,
    /// TCP_CORK: only full segments leave.
    pub(crate) cork: bool,
    /// SO_KEEPALIVE.
    pub(crate) keep_alive: bool,
    /// SO_OOBINLINE: urgent data stays in the stream.
    pub(crate) oob_inline: bool,
    /// SO_SNDBUF, in the doubled form that getsockopt shows.
    pub(crate) send_buffer: u32,
    /// SO_RCVBUF, in the doubled form that getsockopt shows.
    pub(crate) recv_buffer: u32,
    /// SO_SNDBUF was set: no autotuning (SOCK_SNDBUF_LOCK).
    pub(crate) send_buffer_locked: bool,
    /// SO_RCVBUF was set: no autotuning (SOCK_RCVBUF_LOCK).
    pub(crate) recv_buffer_locked: bool,
    /// SO_RCVLOWAT.
    pub(crate) recv_low_water: u32,
    /// TCP_CONGESTION.
    pub(crate) congestion: Algorithm,
    /// IP_TOS of outgoing packets.
    pub(crate) tos: u8,
    /// IP_TTL, for IPv4 packets; `None`: the system's default.
    pub(crate) ttl: Option<u8>,
    /// IPV6_UNICAST_HOPS, for IPv6 packets; `None`: the system's default.
    pub(crate) hops: Option<u8>,
    rare: Option<Box<Rare>>,
}

/// Options few sockets set.
#[derive(Clone, Debug, Default)]
struct Rare {
    keep_idle: Option<Duration>,
    keep_interval: Option<Duration>,
    keep_count: Option<u8>,
    user_timeout: Option<Duration>,
    max_segment: u16,
    syn_count: u8,
    window_clamp: u32,
    defer_accept: u8,
    linger2: Linger2,
    not_sent_low_water: u32,
    reports: bool,
    timing: Timing,
    fastopen: FastOpenOptions,
    repair: Repair,
    /// TCP_SAVE_SYN: 1 from the network header on, 2 from the link header on.
    save_syn: u8,
    /// TCP_SAVED_SYN.
    saved_syn: Option<Bytes>,
    tclass: u8,
    min_ttl: u8,
    min_hops: u8,
    nonlocal: bool,
    ports: u32,
    /// IPv4 options or IPv6 extension headers that every segment has.
    extra: Option<Box<SendExtra>>,
    /// TCP_MD5SIG.
    md5: Keys,
    /// SO_MAX_PACING_RATE; 0 was not set.
    max_pacing: u64,
    /// Of the connection that is over: what was not acknowledged, and what not even sent, in sequence numbers.
    left: (u32, u32),
    /// net.ipv4.tcp_reordering when the socket was made, if it was not [`REORDERING`].
    reordering: Option<u32>,
}

/// TCP_LINGER2: how long an orphan stays in FIN_WAIT2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Linger2 {
    /// The system's tcp_fin_timeout.
    #[default]
    Default,
    /// Not at all (a negative value).
    Never,
    /// This long.
    For(Duration),
}

/// One setting to change.
#[derive(Clone, Copy, Debug)]
pub enum TcpSet {
    /// TCP_NODELAY.
    NoDelay(bool),
    /// TCP_CORK.
    Cork(bool),
    /// SO_KEEPALIVE.
    KeepAlive(bool),
    /// TCP_KEEPIDLE.
    KeepIdle(Duration),
    /// TCP_KEEPINTVL.
    KeepInterval(Duration),
    /// TCP_KEEPCNT.
    KeepCount(u8),
    /// TCP_USER_TIMEOUT; zero is off.
    UserTimeout(Duration),
    /// TCP_MAXSEG; zero lifts the limit.
    MaxSegment(u16),
    /// TCP_SYNCNT.
    SynCount(u8),
    /// TCP_WINDOW_CLAMP.
    WindowClamp(u32),
    /// TCP_QUICKACK.
    QuickAck(bool),
    /// TCP_DEFER_ACCEPT, as a number of SYN-ACK retransmissions.
    DeferAccept(u8),
    /// TCP_LINGER2; `None` is a negative value: orphans do not wait in FIN_WAIT2.
    Linger2(Option<Duration>),
    /// TCP_NOTSENT_LOWAT; 0 means the system's.
    NotSentLowWater(u32),
    /// TCP_SAVE_SYN: 0, 1 or 2.
    SaveSyn(u8),
    /// TCP_FASTOPEN: connections that may wait for the end of their handshake; 0 is off.
    FastOpenQueue(u32),
    /// TCP_FASTOPEN_CONNECT.
    FastOpenConnect(bool),
    /// TCP_FASTOPEN_NO_COOKIE.
    FastOpenNoCookie(bool),
    /// TCP_FASTOPEN_KEY.
    FastOpenKey(FastOpenKeys),
    /// TCP_THIN_LINEAR_TIMEOUTS.
    ThinLinear(bool),
    /// TCP_TX_DELAY, in microseconds.
    TxDelay(u32),
    /// TCP_RTO_MAX_MS.
    RtoMax(Duration),
    /// TCP_RTO_MIN_US.
    RtoMin(Duration),
    /// TCP_DELACK_MAX_US.
    DelackMax(Duration),
    /// SO_OOBINLINE.
    OobInline(bool),
    /// SO_RCVLOWAT.
    RecvLowWater(u32),
    /// SO_MAX_PACING_RATE, bytes a second; `u64::MAX` is none.
    MaxPacing(u64),
    /// TCP_CONGESTION.
    Congestion(Algorithm),
    /// IP_TOS.
    Tos(u8),
    /// IP_TTL; `None` is the system's default.
    Ttl(Option<u8>),
    /// IPV6_UNICAST_HOPS; `None` is the system's default.
    HopLimit(Option<u8>),
    /// IPV6_V6ONLY.
    V6Only(bool),
    /// IPV6_TCLASS.
    TrafficClass(u8),
    /// IP_MINTTL.
    MinTtl(u8),
    /// IPV6_MINHOPCOUNT.
    MinHops(u8),
    /// IP_FREEBIND, IP_TRANSPARENT.
    Nonlocal(bool),
    /// IP_LOCAL_PORT_RANGE: the lowest ephemeral port in the lower half, the highest in the upper one.
    PortRange(u32),
    /// ICMP errors come as reports too ([`Stack::poll_report`](crate::Stack::poll_report)).
    Reports(bool),
    /// SO_SNDBUF in its doubled form; ends autotuning.
    SendBuffer(u32),
    /// SO_RCVBUF in its doubled form; ends autotuning.
    ReceiveBuffer(u32),
    /// SO_BUF_LOCK: which buffers autotuning leaves alone.
    LockBuffers {
        /// The send buffer.
        send: bool,
        /// The receive buffer.
        receive: bool,
    },
}

impl TcpOptionsSet {
    pub(crate) fn new(sysctl: &Sysctl) -> TcpOptionsSet {
        let mut set = TcpOptionsSet {
            no_delay: false,
            cork: false,
            keep_alive: false,
            oob_inline: false,
            send_buffer: sysctl.tcp_wmem[1],
            recv_buffer: sysctl.tcp_rmem[1],
            send_buffer_locked: false,
            recv_buffer_locked: false,
            recv_low_water: 1,
            congestion: sysctl.tcp_congestion_control,
            tos: 0,
            ttl: None,
            hops: None,
            rare: None,
        };
        let bounds = super::rtt::RtoBounds::default();
        if sysctl.tcp_rto_max.as_micros() != u128::from(bounds.max_us) {
            set.rare_mut().timing.rto_max = Some(sysctl.tcp_rto_max);
        }
        if sysctl.tcp_rto_min.as_micros() != u128::from(bounds.min_us) {
            set.rare_mut().timing.rto_min = Some(sysctl.tcp_rto_min);
        }
        if sysctl.tcp_reordering != REORDERING {
            set.rare_mut().reordering = Some(sysctl.tcp_reordering);
        }
        set
    }

    /// Stores a setting. What needs the connection to act is the caller's.
    pub(crate) fn store(&mut self, set: TcpSet) {
        match set {
            TcpSet::NoDelay(on) => self.no_delay = on,
            TcpSet::Cork(on) => self.cork = on,
            TcpSet::KeepAlive(on) => self.keep_alive = on,
            TcpSet::OobInline(on) => self.oob_inline = on,
            TcpSet::RecvLowWater(n) => self.recv_low_water = n.max(1),
            TcpSet::Congestion(algorithm) => self.congestion = algorithm,
            TcpSet::Tos(tos) => self.tos = tos,
            TcpSet::Ttl(ttl) => self.ttl = ttl,
            TcpSet::HopLimit(hops) => self.hops = hops,
            TcpSet::LockBuffers { send, receive } => {
                self.send_buffer_locked = send;
                self.recv_buffer_locked = receive;
            }
            // These act on more than the settings: see Connection::set and Stack::tcp_set.
            TcpSet::QuickAck(_)
            | TcpSet::V6Only(_)
            | TcpSet::SendBuffer(_)
            | TcpSet::ReceiveBuffer(_) => {}
            TcpSet::KeepIdle(t) => self.rare_mut().keep_idle = Some(t),
            TcpSet::KeepInterval(t) => self.rare_mut().keep_interval = Some(t),
            TcpSet::KeepCount(n) => self.rare_mut().keep_count = Some(n),
            TcpSet::UserTimeout(t) => {
                self.rare_mut().user_timeout = (!t.is_zero()).then_some(t);
            }
            TcpSet::MaxPacing(rate) => self.rare_mut().max_pacing = rate.max(1),
            TcpSet::MaxSegment(n) => self.rare_mut().max_segment = n,
            TcpSet::SynCount(n) => self.rare_mut().syn_count = n,
            TcpSet::WindowClamp(n) => self.rare_mut().window_clamp = n,
            TcpSet::DeferAccept(n) => self.rare_mut().defer_accept = n,
            TcpSet::Linger2(linger) => {
                self.rare_mut().linger2 = linger.map_or(Linger2::Never, Linger2::For);
            }
            TcpSet::NotSentLowWater(n) => self.rare_mut().not_sent_low_water = n,
            TcpSet::Reports(on) => self.rare_mut().reports = on,
            TcpSet::FastOpenQueue(n) => self.rare_mut().fastopen.queue = n,
            TcpSet::FastOpenConnect(on) => self.rare_mut().fastopen.connect = on,
            TcpSet::FastOpenNoCookie(on) => self.rare_mut().fastopen.no_cookie = on,
            TcpSet::FastOpenKey(keys) => self.rare_mut().fastopen.keys = Some(keys),
            TcpSet::SaveSyn(n) => self.rare_mut().save_syn = n,
            TcpSet::ThinLinear(on) => self.rare_mut().timing.thin_linear = on,
            TcpSet::TxDelay(us) => self.rare_mut().timing.tx_delay = us,
            TcpSet::RtoMax(t) => self.rare_mut().timing.rto_max = Some(t),
            TcpSet::RtoMin(t) => self.rare_mut().timing.rto_min = Some(t),
            TcpSet::DelackMax(t) => self.rare_mut().timing.delack_max = Some(t),
            TcpSet::TrafficClass(tclass) => self.rare_mut().tclass = tclass,
            TcpSet::MinTtl(ttl) => self.rare_mut().min_ttl = ttl,
            TcpSet::MinHops(hops) => self.rare_mut().min_hops = hops,
            TcpSet::Nonlocal(on) => self.rare_mut().nonlocal = on,
            TcpSet::PortRange(range) => self.rare_mut().ports = range,
        }
    }

    fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    fn rare<T>(&self, get: impl FnOnce(&Rare) -> T) -> Option<T> {
        self.rare.as_deref().map(get)
    }

    /// IP_OPTIONS, IPV6_HOPOPTS and kin.
    #[inline]
    pub(crate) fn extra(&self) -> Option<&SendExtra> {
        self.rare.as_deref()?.extra.as_deref()
    }

    pub(crate) fn set_extra(&mut self, extra: Option<Box<SendExtra>>) {
        if extra.is_some() || self.extra().is_some() {
            self.rare_mut().extra = extra;
        }
    }

    /// TCP_KEEPIDLE.
    pub(crate) fn keep_idle(&self, sysctl: &Sysctl) -> Duration {
        self.rare(|r| r.keep_idle)
            .flatten()
            .unwrap_or(sysctl.tcp_keepalive_time)
    }

    /// TCP_KEEPINTVL.
    pub(crate) fn keep_interval(&self, sysctl: &Sysctl) -> Duration {
        self.rare(|r| r.keep_interval)
            .flatten()
            .unwrap_or(sysctl.tcp_keepalive_intvl)
    }

    /// TCP_KEEPCNT.
    pub(crate) fn keep_count(&self, sysctl: &Sysctl) -> u8 {
        self.rare(|r| r.keep_count)
            .flatten()
            .unwrap_or(sysctl.tcp_keepalive_probes)
    }

    /// TCP_USER_TIMEOUT.
    pub(crate) fn user_timeout(&self) -> Option<Duration> {
        self.rare(|r| r.user_timeout).flatten()
    }

    /// TCP_MAXSEG as set; 0 when it was not.
    pub(crate) fn max_segment(&self) -> u16 {
        self.rare(|r| r.max_segment).unwrap_or(0)
    }

    /// SO_MAX_PACING_RATE; `u64::MAX` is none.
    pub(crate) fn max_pacing(&self) -> u64 {
        match self.rare(|r| r.max_pacing) {
            None | Some(0) => u64::MAX,
            Some(rate) => rate,
        }
    }

    /// What was left of a connection that is over, unacknowledged and unsent.
    pub(crate) fn left(&self) -> (u32, u32) {
        self.rare(|r| r.left).unwrap_or_default()
    }

    /// Most connections leave nothing, and need no place for it.
    pub(crate) fn set_left(&mut self, left: (u32, u32)) {
        if left != (0, 0) || self.rare.is_some() {
            self.rare_mut().left = left;
        }
    }

    /// How many segments may arrive before one that was sent earlier.
    pub(crate) fn reordering(&self) -> u32 {
        self.rare(|r| r.reordering).flatten().unwrap_or(REORDERING)
    }

    /// TCP_SYNCNT as set; 0 when it was not.
    pub(crate) fn syn_count(&self) -> u8 {
        self.rare(|r| r.syn_count).unwrap_or(0)
    }

    /// TCP_SYNCNT.
    pub(crate) fn syn_count_or(&self, sysctl: &Sysctl) -> u8 {
        match self.syn_count() {
            0 => sysctl.tcp_syn_retries,
            n => n,
        }
    }

    /// TCP_WINDOW_CLAMP as set; 0 when it was not.
    pub(crate) fn window_clamp(&self) -> u32 {
        self.rare(|r| r.window_clamp).unwrap_or(0)
    }

    /// TCP_DEFER_ACCEPT in retransmissions of the SYN-ACK.
    pub(crate) fn defer_accept(&self) -> u8 {
        self.rare(|r| r.defer_accept).unwrap_or(0)
    }

    /// TCP_LINGER2.
    pub(crate) fn linger2(&self) -> Linger2 {
        self.rare(|r| r.linger2).unwrap_or_default()
    }

    /// The type of service, or the traffic class.
    #[inline]
    pub(crate) fn tos_of(&self, v6: bool) -> u8 {
        match v6 {
            false => self.tos,
            true => self.rare(|r| r.tclass).unwrap_or(0),
        }
    }

    /// RFC 5082: whether a packet that has so many hops left comes from close enough.
    #[inline]
    pub(crate) fn is_near(&self, v6: bool, hops: u8) -> bool {
        let Some(rare) = self.rare.as_deref() else {
            return true;
        };
        hops >= if v6 { rare.min_hops } else { rare.min_ttl }
    }

    /// Addresses that are not the host's may be bound.
    pub(crate) fn nonlocal(&self) -> bool {
        self.rare(|r| r.nonlocal).unwrap_or(false)
    }

    /// IP_LOCAL_PORT_RANGE; 0 when it was not set.
    pub(crate) fn ports(&self) -> u32 {
        self.rare(|r| r.ports).unwrap_or(0)
    }

    /// ICMP errors are to be reported.
    pub(crate) fn reports(&self) -> bool {
        self.rare(|r| r.reports).unwrap_or(false)
    }

    /// TCP_NOTSENT_LOWAT as set; 0 when it was not.
    pub(crate) fn not_sent_low_water(&self) -> u32 {
        self.rare(|r| r.not_sent_low_water).unwrap_or(0)
    }

    /// The settings of the clocks.
    #[inline]
    pub(crate) fn timing(&self) -> Timing {
        self.rare(|r| r.timing).unwrap_or_default()
    }

    /// TCP_REPAIR.
    pub(crate) fn repair(&self) -> Repair {
        self.rare(|r| r.repair).unwrap_or_default()
    }

    pub(crate) fn set_repair(&mut self, repair: Repair) {
        if repair.on || self.rare.is_some() {
            self.rare_mut().repair = repair;
        }
    }

    /// The options of Fast Open.
    pub(crate) fn fastopen(&self) -> FastOpenOptions {
        self.rare(|r| r.fastopen).unwrap_or_default()
    }

    /// TCP_SAVE_SYN.
    pub(crate) fn save_syn(&self) -> u8 {
        self.rare(|r| r.save_syn).unwrap_or(0)
    }

    /// TCP_SAVED_SYN.
    pub(crate) fn saved_syn(&self) -> Option<&Bytes> {
        self.rare.as_deref()?.saved_syn.as_ref()
    }

    pub(crate) fn set_saved_syn(&mut self, headers: Option<Bytes>) {
        if headers.is_some() || self.rare.is_some() {
            self.rare_mut().saved_syn = headers;
        }
    }

    /// TCP_MD5SIG: the keys.
    pub(crate) fn md5_keys(&self) -> Option<&Keys> {
        let keys = &self.rare.as_deref()?.md5;
        (!keys.is_empty()).then_some(keys)
    }

    /// The key for segments to and from this peer.
    pub(crate) fn md5_key(&self, peer: IpAddr) -> Option<&Key> {
        self.rare.as_deref()?.md5.get(peer)
    }

    pub(crate) fn set_md5_keys(&mut self, keys: Keys) {
        if !keys.is_empty() || self.rare.is_some() {
            self.rare_mut().md5 = keys;
        }
    }

    /// What a connection has of its listener's settings: all but what is the accept queue's.
    pub(crate) fn inherited(&self) -> TcpOptionsSet {
        let mut set = self.clone();
        if let Some(rare) = &mut set.rare {
            rare.defer_accept = 0;
            rare.repair = Repair::default();
            rare.left = (0, 0);
            rare.fastopen.queue = 0;
            rare.fastopen.keys = None;
        }
        set
    }
}

/// The settings of a socket, as getsockopt shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// TCP_NODELAY.
    pub nodelay: bool,
    /// TCP_CORK.
    pub cork: bool,
    /// SO_KEEPALIVE.
    pub keep_alive: bool,
    /// SO_OOBINLINE.
    pub oob_inline: bool,
    /// TCP_KEEPIDLE.
    pub keep_idle: Duration,
    /// TCP_KEEPINTVL.
    pub keep_interval: Duration,
    /// TCP_KEEPCNT.
    pub keep_count: u8,
    /// TCP_SYNCNT.
    pub syn_count: u8,
    /// TCP_QUICKACK: acknowledgments are not delayed for a reply to carry them.
    pub quickack: bool,
    /// TCP_USER_TIMEOUT; zero when off.
    pub user_timeout: Duration,
    /// TCP_WINDOW_CLAMP.
    pub window_clamp: u32,
    /// TCP_LINGER2; `None` when negative.
    pub linger2: Option<Duration>,
    /// TCP_DEFER_ACCEPT as a number of SYN-ACK retransmissions.
    pub defer_accept: u8,
    /// TCP_NOTSENT_LOWAT as set; 0 when it was not.
    pub not_sent_low_water: u32,
    /// TCP_SAVE_SYN.
    pub save_syn: u8,
    /// TCP_FASTOPEN.
    pub fastopen_queue: u32,
    /// TCP_FASTOPEN_CONNECT.
    pub fastopen_connect: bool,
    /// TCP_FASTOPEN_NO_COOKIE.
    pub fastopen_no_cookie: bool,
    /// TCP_THIN_LINEAR_TIMEOUTS.
    pub thin_linear: bool,
    /// TCP_TX_DELAY, in microseconds.
    pub tx_delay: u32,
    /// TCP_RTO_MAX_MS.
    pub rto_max: Duration,
    /// TCP_RTO_MIN_US.
    pub rto_min: Duration,
    /// TCP_DELACK_MAX_US.
    pub delack_max: Duration,
}
