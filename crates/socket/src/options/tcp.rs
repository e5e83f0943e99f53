//! `IPPROTO_TCP`, tcp(7).

use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::host::Host;
use crate::socket::CommonFlags;
use crate::table::SocketId;
use core::time::Duration;
use switchboard_abi::Errno;
use switchboard_abi::tcp_info::{
    TCPI_OPT_ECN, TCPI_OPT_ECN_SEEN, TCPI_OPT_SACK, TCPI_OPT_SYN_DATA, TCPI_OPT_TFO_CHILD,
    TCPI_OPT_TIMESTAMPS, TCPI_OPT_WSCALE, TcpInfo,
};
use switchboard_engine::{Algorithm, State, TcpId, TcpSet};

/// TCP_MIN_MSS and MAX_TCP_WINDOW bound TCP_MAXSEG.
const MSS_RANGE: core::ops::RangeInclusive<i32> = 88..=32767;
/// MAX_TCP_KEEPIDLE and MAX_TCP_KEEPINTVL, in seconds.
const KEEP_RANGE: core::ops::RangeInclusive<i32> = 1..=32767;
/// MAX_TCP_KEEPCNT and MAX_TCP_SYNCNT.
const COUNT_RANGE: core::ops::RangeInclusive<i32> = 1..=127;
/// TCP_FIN_TIMEOUT_MAX, in seconds.
const LINGER2_MAX: i32 = 120;
/// TCP_CA_NAME_MAX and TCP_ULP_NAME_MAX.
const CA_NAME_MAX: usize = 16;
/// TCP_RTO_MAX and the first timeout, in seconds, as TCP_DEFER_ACCEPT counts retransmissions.
const RTO_MAX: u64 = 120;
/// TCP_RTO_MAX_MS: a second to TCP_RTO_MAX.
const RTO_MAX_RANGE: core::ops::RangeInclusive<i32> = 1000..=120_000;
/// What srtt can hold (TCP_TX_DELAY), in microseconds.
const TX_DELAY_MAX: i32 = (1 << 28) - 1;

fn handle(h: &Host, id: SocketId) -> Result<TcpId, Errno> {
    Ok(h.tcp(id)?.handle)
}

fn set(h: &mut Host, cx: &mut Cx<'_>, id: SocketId, option: TcpSet) -> Result<(), Errno> {
    let handle = handle(h, id)?;
    h.stack.tcp_set(cx.now, handle, option);
    h.collect_stack_events();
    Ok(())
}

fn within(a: &SetArg<'_>, range: core::ops::RangeInclusive<i32>) -> Result<i32, Errno> {
    let value = a.int()?;
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(Errno::EINVAL)
    }
}

fn seconds(value: i32) -> Duration {
    Duration::from_secs(value as u64)
}

macro_rules! getter {
    ($name:ident, |$h:ident, $handle:ident| $value:expr) => {
        pub(super) fn $name(
            $h: &Host,
            _: &Cx<'_>,
            id: SocketId,
            a: &GetArg,
        ) -> Result<OptValue, Errno> {
            let $handle = handle($h, id)?;
            Ok(OptValue::int($value, a))
        }
    };
}

macro_rules! setter {
    ($name:ident, |$a:ident| $option:expr) => {
        pub(super) fn $name(
            h: &mut Host,
            cx: &mut Cx<'_>,
            id: SocketId,
            $a: &SetArg<'_>,
        ) -> Result<(), Errno> {
            let option = $option;
            set(h, cx, id, option)
        }
    };
}

getter!(get_nodelay, |h, t| i32::from(
    h.stack.tcp_options(t).nodelay
));
setter!(set_nodelay, |a| TcpSet::NoDelay(a.bool()?));
getter!(get_cork, |h, t| i32::from(h.stack.tcp_options(t).cork));
setter!(set_cork, |a| TcpSet::Cork(a.bool()?));
getter!(
    get_keepidle,
    |h, t| h.stack.tcp_options(t).keep_idle.as_secs() as i32
);
setter!(set_keepidle, |a| TcpSet::KeepIdle(seconds(within(
    a, KEEP_RANGE
)?)));
getter!(
    get_keepintvl,
    |h, t| h.stack.tcp_options(t).keep_interval.as_secs() as i32
);
setter!(set_keepintvl, |a| TcpSet::KeepInterval(seconds(within(
    a, KEEP_RANGE
)?)));
getter!(get_keepcnt, |h, t| i32::from(
    h.stack.tcp_options(t).keep_count
));
setter!(set_keepcnt, |a| TcpSet::KeepCount(
    within(a, COUNT_RANGE)? as u8
));
getter!(get_syncnt, |h, t| i32::from(
    h.stack.tcp_options(t).syn_count
));
setter!(set_syncnt, |a| TcpSet::SynCount(
    within(a, COUNT_RANGE)? as u8
));
getter!(get_quickack, |h, t| i32::from(
    h.stack.tcp_options(t).quickack
));
setter!(set_quickack, |a| TcpSet::QuickAck(a.bool()?));
getter!(
    get_user_timeout,
    |h, t| h.stack.tcp_options(t).user_timeout.as_millis() as i32
);
setter!(set_user_timeout, |a| {
    let millis = u64::try_from(a.int()?).map_err(|_| Errno::EINVAL)?;
    TcpSet::UserTimeout(Duration::from_millis(millis))
});
getter!(get_window_clamp, |h, t| h.stack.tcp_options(t).window_clamp
    as i32);

pub(super) fn get_maxseg(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let t = handle(h, id)?;
    Ok(OptValue::int(i32::from(h.stack.tcp_mss(t)), a))
}

pub(super) fn set_maxseg(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = a.int()?;
    // Zero goes back to what the path gives.
    if value != 0 && !MSS_RANGE.contains(&value) {
        return Err(Errno::EINVAL);
    }
    set(h, cx, id, TcpSet::MaxSegment(value as u16))
}

pub(super) fn get_linger2(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let t = handle(h, id)?;
    let value = match h.stack.tcp_options(t).linger2 {
        // Negative: no FIN_WAIT2 at all.
        None => -1,
        Some(time) => time.as_secs() as i32,
    };
    Ok(OptValue::int(value, a))
}

pub(super) fn set_linger2(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let time = match a.int()? {
        ..0 => None,
        // Zero is the host's default.
        0 => Some(h.stack.sysctl().tcp_fin_timeout),
        value => Some(seconds(value.min(LINGER2_MAX))),
    };
    set(h, cx, id, TcpSet::Linger2(time))
}

/// TCP_DEFER_ACCEPT is kept as a number of SYN-ACK retransmissions (secs_to_retrans()) and told
/// back as the time they take (retrans_to_secs()).
pub(super) fn set_defer_accept(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let wanted = a.int()?;
    let mut count = 0u8;
    if wanted > 0 {
        let (mut period, mut timeout) = (1u64, 1u64);
        count = 1;
        while wanted as u64 > period && count < 255 {
            count += 1;
            timeout = (timeout * 2).min(RTO_MAX);
            period += timeout;
        }
    }
    set(h, cx, id, TcpSet::DeferAccept(count))
}

pub(super) fn get_defer_accept(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let t = handle(h, id)?;
    let count = h.stack.tcp_options(t).defer_accept;
    let (mut period, mut timeout) = (0u64, 1u64);
    for _ in 0..count {
        period += timeout;
        timeout = (timeout * 2).min(RTO_MAX);
    }
    Ok(OptValue::int(period as i32, a))
}

pub(super) fn set_window_clamp(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let value = a.int()?;
    let t = handle(h, id)?;
    if value == 0 {
        if h.stack.tcp_state(t) != State::Close {
            return Err(Errno::EINVAL);
        }
        return set(h, cx, id, TcpSet::WindowClamp(0));
    }
    // No less than SOCK_MIN_RCVBUF / 2.
    set(h, cx, id, TcpSet::WindowClamp(value.max(1152) as u32))
}

pub(super) fn get_congestion(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let t = handle(h, id)?;
    let name = h.stack.tcp_congestion(t).as_bytes();
    let mut bytes = [0; CA_NAME_MAX];
    bytes[..name.len()].copy_from_slice(name);
    Ok(OptValue::bytes(&bytes, a))
}

pub(super) fn set_congestion(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let wanted = name(a)?;
    let t = handle(h, id)?;
    if wanted == h.stack.tcp_congestion(t).as_bytes() {
        return Ok(());
    }
    // tcp_set_congestion_control(): one that is not there is ENOENT, one that not everybody may choose EPERM.
    let algorithm = Algorithm::from_name(wanted).ok_or(Errno::ENOENT)?;
    if !h.stack.sysctl().congestion_allowed(algorithm)
        && !cx.cred.caps.contains(crate::cred::Caps::NET_ADMIN)
    {
        return Err(Errno::EPERM);
    }
    set(h, cx, id, TcpSet::Congestion(algorithm))
}

getter!(
    get_notsent_lowat,
    |h, t| h.stack.tcp_options(t).not_sent_low_water as i32
);
setter!(set_notsent_lowat, |a| TcpSet::NotSentLowWater(
    a.int()? as u32
));
getter!(get_thin_linear, |h, t| i32::from(
    h.stack.tcp_options(t).thin_linear
));
setter!(set_thin_linear, |a| TcpSet::ThinLinear(
    within(a, 0..=1)? == 1
));
getter!(
    get_rto_max,
    |h, t| h.stack.tcp_options(t).rto_max.as_millis() as i32
);
setter!(set_rto_max, |a| {
    let ms = within(a, RTO_MAX_RANGE)?;
    TcpSet::RtoMax(ticks(Duration::from_millis(ms as u64)))
});
getter!(
    get_rto_min,
    |h, t| h.stack.tcp_options(t).rto_min.as_micros() as i32
);
setter!(set_rto_min, |a| TcpSet::RtoMin(short(a)?));
getter!(
    get_delack_max,
    |h, t| h.stack.tcp_options(t).delack_max.as_micros() as i32
);
setter!(set_delack_max, |a| TcpSet::DelackMax(short(a)?));
getter!(get_tx_delay, |h, t| h.stack.tcp_options(t).tx_delay as i32);
setter!(set_tx_delay, |a| TcpSet::TxDelay(
    within(a, 0..=TX_DELAY_MAX)? as u32
));

/// Timers tick every 4 ms (HZ=250): a time is rounded up to that.
fn ticks(time: Duration) -> Duration {
    const TICK: u64 = 4_000;
    Duration::from_micros((time.as_micros() as u64).next_multiple_of(TICK))
}

/// TCP_RTO_MIN_US and TCP_DELACK_MAX_US: from two ticks (TCP_TIMEOUT_MIN) to TCP_RTO_MIN and
/// TCP_DELACK_MAX, both 200 ms.
fn short(a: &SetArg<'_>) -> Result<Duration, Errno> {
    let us = u64::try_from(a.int()?).map_err(|_| Errno::EINVAL)?;
    let time = ticks(Duration::from_micros(us));
    if (Duration::from_millis(8)..=Duration::from_millis(200)).contains(&time) {
        Ok(time)
    } else {
        Err(Errno::EINVAL)
    }
}

/// Nothing remembers it since Linux 4.13: early retransmission took its place.
pub(super) fn get_thin_dupack(
    _: &Host,
    _: &Cx<'_>,
    _: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(OptValue::int(0, a))
}

pub(super) fn set_thin_dupack(
    _: &mut Host,
    _: &mut Cx<'_>,
    _: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    within(a, 0..=1).map(drop)
}

/// The socket's timestamp clock, in milliseconds. The lowest bit would say microseconds.
pub(super) fn get_timestamp(
    h: &Host,
    cx: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let value = h.stack.tcp_timestamp(cx.now, handle(h, id)?);
    Ok(OptValue::int((value & !1) as i32, a))
}

pub(super) fn get_inq(h: &Host, _: &Cx<'_>, id: SocketId, a: &GetArg) -> Result<OptValue, Errno> {
    Ok(OptValue::bool(h.get(id)?.common.has(CommonFlags::INQ), a))
}

pub(super) fn set_inq(
    h: &mut Host,
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let on = within(a, 0..=1)? == 1;
    h.get_mut(id)?.common.flags.set(CommonFlags::INQ, on);
    Ok(())
}

/// `struct tcp_bbr_info`; Reno and CUBIC have nothing to tell (tcp_congestion_ops without get_info).
pub(super) fn get_cc_info(
    h: &Host,
    cx: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let t = handle(h, id)?;
    let Some((bandwidth, min_rtt, pace, window)) = h.stack.tcp_info(cx.now, t).bbr else {
        return Ok(OptValue::bytes(&[], a));
    };
    let mut info = [0; 20];
    info[..8].copy_from_slice(&bandwidth.to_ne_bytes());
    for (at, word) in [min_rtt, pace, window].into_iter().enumerate() {
        info[8 + 4 * at..12 + 4 * at].copy_from_slice(&word.to_ne_bytes());
    }
    Ok(OptValue::bytes(&info, a))
}

pub(super) fn get_is_mptcp(
    _: &Host,
    _: &Cx<'_>,
    _: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    Ok(OptValue::int(0, a))
}

/// No upper layer protocol is ever attached.
pub(super) fn get_ulp(_: &Host, _: &Cx<'_>, _: SocketId, a: &GetArg) -> Result<OptValue, Errno> {
    Ok(OptValue::bytes(&[], a))
}

/// None is known: as a kernel without the modules.
pub(super) fn set_ulp(
    _: &mut Host,
    _: &mut Cx<'_>,
    _: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    name(a).and(Err(Errno::ENOENT))
}

/// A string: strncpy_from_user() reads up to a NUL; what lies behind it need not be readable.
fn name<'a>(a: &'a SetArg<'_>) -> Result<&'a [u8], Errno> {
    let _ = a.bytes(1)?;
    let wanted = a.len.min(CA_NAME_MAX - 1);
    let raw = &a.raw[..a.raw.len().min(wanted)];
    match raw.iter().position(|b| *b == 0) {
        Some(end) => Ok(&raw[..end]),
        None if raw.len() < wanted => Err(Errno::EFAULT),
        None => Ok(raw),
    }
}

/// Microseconds, as most of `struct tcp_info` counts.
fn us(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

fn ms(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

pub(super) fn get_info(h: &Host, cx: &Cx<'_>, id: SocketId, a: &GetArg) -> Result<OptValue, Errno> {
    let t = handle(h, id)?;
    let i = h.stack.tcp_info(cx.now, t);
    if i.state == State::Listen {
        // tcp_get_info(): a listener has queues, and no connection to tell of.
        let info = TcpInfo {
            state: i.state as u8,
            unacked: i.unacked,
            sacked: i.sacked,
            snd_cwnd: i.snd_cwnd,
            reordering: i.reordering,
            pacing_rate: u64::MAX,
            max_pacing_rate: u64::MAX,
            ..TcpInfo::default()
        };
        return Ok(OptValue::bytes(&info.encode(), a));
    }
    let mut options = 0;
    if i.timestamps {
        options |= TCPI_OPT_TIMESTAMPS;
    }
    if i.sack {
        options |= TCPI_OPT_SACK;
    }
    if i.window_scaling {
        options |= TCPI_OPT_WSCALE;
    }
    if i.ecn {
        options |= TCPI_OPT_ECN;
    }
    if i.ecn_seen {
        options |= TCPI_OPT_ECN_SEEN;
    }
    if i.syn_data {
        options |= TCPI_OPT_SYN_DATA;
    }
    if i.fastopen_child {
        options |= TCPI_OPT_TFO_CHILD;
    }
    let info = TcpInfo {
        state: i.state as u8,
        ca_state: i.ca_state,
        retransmits: i.retransmits,
        probes: i.probes,
        backoff: i.backoff,
        options,
        snd_wscale: i.snd_wscale,
        fastopen_client_fail: i.fastopen_client_fail,
        rcv_wscale: i.rcv_wscale,
        rto: us(i.rto),
        ato: us(i.ato),
        snd_mss: i.snd_mss,
        rcv_mss: i.rcv_mss,
        unacked: i.unacked,
        sacked: i.sacked,
        lost: i.lost,
        retrans: i.retrans,
        last_data_sent: ms(i.last_data_sent),
        last_ack_sent: 0,
        last_data_recv: ms(i.last_data_recv),
        last_ack_recv: ms(i.last_ack_recv),
        pmtu: i.pmtu,
        rcv_ssthresh: i.rcv_ssthresh,
        rtt: us(i.rtt),
        rttvar: us(i.rttvar),
        snd_ssthresh: i.snd_ssthresh,
        snd_cwnd: i.snd_cwnd,
        advmss: i.advmss,
        reordering: i.reordering,
        rcv_rtt: us(i.rcv_rtt),
        rcv_space: i.rcv_space,
        total_retrans: i.total_retrans,
        pacing_rate: i.pacing_rate,
        max_pacing_rate: i.max_pacing_rate,
        bytes_acked: i.bytes_acked,
        bytes_received: i.bytes_received,
        segs_out: i.segs_out,
        segs_in: i.segs_in,
        notsent_bytes: i.notsent_bytes,
        min_rtt: us(i.min_rtt),
        data_segs_in: i.data_segs_in,
        data_segs_out: i.data_segs_out,
        delivered: i.delivered,
        bytes_sent: i.bytes_sent,
        bytes_retrans: i.bytes_retrans,
        rcv_ooopack: i.rcv_ooopack,
        delivery_rate: i.delivery_rate,
        delivery_rate_app_limited: i.delivery_rate_app_limited,
        total_rto: i.total_rto,
        total_rto_recoveries: i.total_rto_recoveries,
        total_rto_time: i.total_rto_time,
        dsack_dups: i.dsack_dups,
        reord_seen: i.reord_seen,
        snd_wnd: i.snd_wnd,
        rcv_wnd: i.rcv_wnd,
        ..TcpInfo::default()
    };
    Ok(OptValue::bytes(&info.encode(), a))
}
