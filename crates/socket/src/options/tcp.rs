//! `IPPROTO_TCP`, tcp(7).

use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::host::Host;
use crate::table::SocketId;
use core::time::Duration;
use switchboard_abi::Errno;
use switchboard_abi::tcp_info::{TCPI_OPT_SACK, TCPI_OPT_TIMESTAMPS, TCPI_OPT_WSCALE, TcpInfo};
use switchboard_engine::{State, TcpId, TcpSet};

/// TCP_MIN_MSS and MAX_TCP_WINDOW bound TCP_MAXSEG.
const MSS_RANGE: core::ops::RangeInclusive<i32> = 88..=32767;
/// MAX_TCP_KEEPIDLE and MAX_TCP_KEEPINTVL, in seconds.
const KEEP_RANGE: core::ops::RangeInclusive<i32> = 1..=32767;
/// MAX_TCP_KEEPCNT and MAX_TCP_SYNCNT.
const COUNT_RANGE: core::ops::RangeInclusive<i32> = 1..=127;
/// TCP_FIN_TIMEOUT_MAX, in seconds.
const LINGER2_MAX: i32 = 120;
/// TCP_CA_NAME_MAX.
const CA_NAME_MAX: usize = 16;
/// TCP_RTO_MAX and the first timeout, in seconds, as TCP_DEFER_ACCEPT counts retransmissions.
const RTO_MAX: u64 = 120;

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
    _: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    // strncpy_from_user(): up to a NUL; what lies behind it need not be readable.
    let _ = a.bytes(1)?;
    let wanted = a.len.min(CA_NAME_MAX - 1);
    let raw = &a.raw[..a.raw.len().min(wanted)];
    let end = match raw.iter().position(|b| *b == 0) {
        Some(end) => end,
        None if raw.len() < wanted => return Err(Errno::EFAULT),
        None => raw.len(),
    };
    let t = handle(h, id)?;
    // An algorithm that is not there is ENOENT.
    if raw[..end] == *h.stack.tcp_congestion(t).as_bytes() {
        Ok(())
    } else {
        Err(Errno::ENOENT)
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
    let info = TcpInfo {
        state: i.state as u8,
        ca_state: i.ca_state,
        retransmits: i.retransmits,
        probes: i.probes,
        backoff: i.backoff,
        options,
        snd_wscale: i.snd_wscale,
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
        // No pacing: Linux says ~0.
        pacing_rate: u64::MAX,
        max_pacing_rate: u64::MAX,
        bytes_acked: i.bytes_acked,
        bytes_received: i.bytes_received,
        segs_out: i.segs_out,
        segs_in: i.segs_in,
        notsent_bytes: i.notsent_bytes,
        min_rtt: us(i.min_rtt),
        data_segs_in: i.data_segs_in,
        data_segs_out: i.data_segs_out,
        bytes_sent: i.bytes_sent,
        bytes_retrans: i.bytes_retrans,
        rcv_ooopack: i.rcv_ooopack,
        snd_wnd: i.snd_wnd,
        rcv_wnd: i.rcv_wnd,
        ..TcpInfo::default()
    };
    Ok(OptValue::bytes(&info.encode(), a))
}
