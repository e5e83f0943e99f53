//! The tunables: name, range, and what they change.
//!
//! Whoever gives the layer a tunable adds its row here. A `*` in a name stands for `all`, `default` or an interface.

use super::{Form, Row, Value};
use crate::host::Host;
use crate::options::Status::{self, Done, Refused, Stored};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use switchboard_abi::Errno;
use switchboard_engine::{Algorithm, Sysctl, Tunable4};

const INT: i64 = i32::MAX as i64;
const INT_MIN: i64 = i32::MIN as i64;
const UINT: i64 = u32::MAX as i64;
/// Seconds are jiffies in an `int` at Linux's HZ of 250.
const SECONDS: i64 = INT / 250;
/// SKB_TRUESIZE(ETH_FRAME_LEN): what a packet counts in a queue of neighbours.
const PACKET: i64 = 1514 + 256 + 320;
/// SOCK_MIN_RCVBUF and SOCK_MIN_SNDBUF of socket(7): the smallest buffers.
const MIN_RCVBUF: i64 = 2304;
const MIN_SNDBUF: i64 = 4608;

const fn row(
    name: &'static str,
    status: Status,
    note: &'static str,
    form: Form,
    range: (i64, i64),
    value: Value,
) -> Row {
    Row {
        name,
        status,
        note,
        mode: 0o644,
        form,
        min: range.0,
        max: range.1,
        value,
    }
}

/// A number of the engine's table.
macro_rules! number {
    ($name:literal, $form:ident, $range:expr, $field:ident) => {
        row(
            $name,
            Done,
            "",
            Form::$form,
            $range,
            Value::Number {
                get: |host| i64::from(host.stack.sysctl().$field),
                set: |host, value| {
                    // The range is the field's: what is beyond it was refused, or means its end.
                    let largest = <_>::try_from(value.max(0)).unwrap_or(!0);
                    host.stack.sysctl_mut().$field = largest;
                },
                means: |value| value.max(0),
            },
        )
    };
}

/// A switch: anything but 0 is on, and is read back as it was written.
macro_rules! switch {
    ($name:literal, $range:expr, $field:ident) => {
        row(
            $name,
            Done,
            "",
            Form::Uint,
            $range,
            Value::Number {
                get: |host| i64::from(host.stack.sysctl().$field),
                set: |host, value| host.stack.sysctl_mut().$field = value != 0,
                means: |value| i64::from(value != 0),
            },
        )
    };
}

/// A time. Linux takes negative ones, which are over at once.
macro_rules! time {
    ($name:literal, $range:expr, $unit:ident, $to:ident, $field:ident) => {
        row(
            $name,
            Done,
            "",
            Form::Int,
            $range,
            Value::Number {
                get: |host| i64::try_from(host.stack.sysctl().$field.$to()).unwrap_or(i64::MAX),
                set: |host, value| {
                    host.stack.sysctl_mut().$field = Duration::$unit(value.max(0) as u64);
                },
                means: |value| value.max(0),
            },
        )
    };
}

/// Of the advertisements of routers.
macro_rules! ra {
    ($name:literal, $range:expr, $field:ident) => {
        row(
            $name,
            Done,
            "",
            Form::Int,
            $range,
            Value::Ra {
                get: |params| params.$field.into(),
                set: |params, value| params.$field = value.clamp(INT_MIN, INT) as _,
            },
        )
    };
}

/// A parameter of neighbours: a number, or a time.
macro_rules! neigh {
    ($name:literal, $range:expr, $field:ident) => {
        row(
            $name,
            Done,
            "",
            Form::Int,
            $range,
            Value::Neigh {
                get: |params| params.$field.into(),
                set: |params, value| params.$field = value.clamp(0, INT) as u32,
            },
        )
    };
    ($name:literal, $range:expr, $unit:ident, $to:ident, $field:ident) => {
        row(
            $name,
            Done,
            "",
            Form::Int,
            $range,
            Value::Neigh {
                get: |params| i64::try_from(params.$field.$to()).unwrap_or(i64::MAX),
                set: |params, value| params.$field = Duration::$unit(value.max(0) as u64),
            },
        )
    };
}

/// How many neighbours there may be.
macro_rules! limit {
    ($name:literal, $field:ident) => {
        row(
            $name,
            Done,
            "",
            Form::Int,
            NATURAL,
            Value::NeighLimit {
                get: |limits| limits.$field.into(),
                set: |limits, value| limits.$field = value.clamp(0, INT) as u32,
            },
        )
    };
}

/// tcp_mem and udp_mem, which nothing presses on.
macro_rules! memory {
    ($name:literal, $field:ident) => {
        row(
            $name,
            Stored,
            NO_PRESSURE,
            Form::Int,
            NATURAL,
            Value::Vector {
                len: 3,
                whole: true,
                get: |host| host.stack.sysctl().$field.map(i64::from),
                set: |host, values| {
                    host.stack.sysctl_mut().$field = values.map(|n| n as u32);
                    true
                },
            },
        )
    };
}

/// tcp_rmem and tcp_wmem.
macro_rules! three {
    ($name:literal, $field:ident) => {
        row(
            $name,
            Done,
            "",
            Form::Int,
            (1, INT),
            Value::Vector {
                len: 3,
                whole: false,
                get: |host| host.stack.sysctl().$field.map(i64::from),
                set: |host, values| {
                    host.stack.sysctl_mut().$field = values.map(|n| n as u32);
                    true
                },
            },
        )
    };
}

/// Kept and given back, as there is nothing for it to change.
const fn stored(name: &'static str, range: (i64, i64), default: i64, note: &'static str) -> Row {
    row(name, Stored, note, Form::Int, range, Value::Stored(default))
}

/// The same of a number that Linux keeps in a byte.
const fn stored_byte(
    name: &'static str,
    range: (i64, i64),
    default: i64,
    note: &'static str,
) -> Row {
    row(
        name,
        Stored,
        note,
        Form::Uint,
        range,
        Value::Stored(default),
    )
}

/// What the layer does and cannot be told otherwise: another value is `EINVAL`.
const fn fixed(name: &'static str, value: i64, note: &'static str) -> Row {
    row(
        name,
        Refused,
        note,
        Form::Int,
        (value, value),
        Value::Stored(value),
    )
}

/// What the stack knows of an interface's IPv4.
const fn conf4(name: &'static str, note: &'static str, which: Tunable4) -> Row {
    row(name, Done, note, Form::Int, ANY, Value::Conf4(which))
}

const BYTE: (i64, i64) = (0, 255);
const BIT: (i64, i64) = (0, 1);
const ANY: (i64, i64) = (INT_MIN, INT);
const NATURAL: (i64, i64) = (0, INT);

const NO_LOG: &str = "there is no kernel log";
const NO_DEVICE: &str = "no device is polled";
const NO_PROXIES: &str = "there are no proxies";
const ONLY_ZERO: &str = "0; another value is EINVAL";
const NO_FORWARDING: &str = "0: groups are not forwarded; another value is EINVAL";
const NO_ROUTE_INFO: &str =
    "0: of advertisements only the default route is taken; another value is EINVAL";
const NO_REDIRECTS: &str = "redirects are not sent";
const DEAF_TO_REDIRECTS: &str = "redirects are not heard";
const NO_PRESSURE: &str = "there is no memory pressure";
const ONLY_SPEED: &str = "a lookup order, which shows nowhere";

fn algorithms() -> String {
    let names: Vec<&str> = Algorithm::ALL.iter().map(|a| a.name()).collect();
    names.join(" ")
}

fn ports(sysctl: &Sysctl) -> (i64, i64) {
    let (first, last) = sysctl.ip_local_port_range;
    (first.into(), last.into())
}

fn set_ports(host: &mut Host, [first, last, _]: [i64; 3]) -> bool {
    let sysctl = host.stack.sysctl_mut();
    // ipv4_local_port_range: in order, and above what only the privileged may bind.
    if last < first || first < sysctl.ip_unprivileged_port_start.into() {
        return false;
    }
    sysctl.ip_local_port_range = (first as u16, last as u16);
    true
}

/// One key as four little-endian words in hexadecimal.
fn key_text(key: &[u8; 16]) -> String {
    let words = key.chunks_exact(4).map(|word| {
        let word = word.try_into().unwrap_or_default();
        format!("{:08x}", u32::from_le_bytes(word))
    });
    words.collect::<Vec<_>>().join("-")
}

/// proc_tcp_fastopen_key(): zeros until there is one.
fn fast_open_keys(host: &Host) -> String {
    let (key, older) = host.stack.tcp_fastopen_host_keys().unwrap_or_default();
    let keys: Vec<String> = core::iter::once(&key).chain(&older).map(key_text).collect();
    keys.join(",")
}

/// sscanf("%x-%x-%x-%x"): each word may have fewer digits or more, of which the last eight count; what follows the
/// last is not looked at.
fn parse_key(text: &str) -> Option<[u8; 16]> {
    let mut key = [0; 16];
    let mut rest = text;
    for (i, word) in key.chunks_exact_mut(4).enumerate() {
        if i > 0 {
            rest = rest.strip_prefix('-')?;
        }
        rest = rest.trim_start();
        let digits = rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_ascii_hexdigit())
                .len();
        let last = &rest[digits.saturating_sub(8)..digits];
        let value = u32::from_str_radix(last, 16).ok()?;
        word.copy_from_slice(&value.to_le_bytes());
        rest = &rest[digits..];
    }
    Some(key)
}

/// The key, and behind a comma an older one that is still good.
fn set_fast_open_keys(host: &mut Host, text: &[u8]) -> Result<(), Errno> {
    let text = core::str::from_utf8(text).map_err(|_| Errno::EINVAL)?;
    let (key, older) = match text.split_once(',') {
        Some((key, older)) => (key, Some(older)),
        None => (text, None),
    };
    let key = parse_key(key).ok_or(Errno::EINVAL)?;
    let older = older.map(|older| parse_key(older).ok_or(Errno::EINVAL));
    host.stack
        .tcp_set_fastopen_host_keys((key, older.transpose()?));
    Ok(())
}

#[rustfmt::skip]
pub(super) const ROWS: &[Row] = &[
    number!("core/rmem_default", Int, (MIN_RCVBUF, INT), rmem_default),
    number!("core/rmem_max", Int, (MIN_RCVBUF, INT), rmem_max),
    number!("core/wmem_default", Int, (MIN_SNDBUF, INT), wmem_default),
    number!("core/wmem_max", Int, (MIN_SNDBUF, INT), wmem_max),
    number!("core/somaxconn", Int, NATURAL, somaxconn),
    number!("core/netdev_max_backlog", Int, ANY, netdev_max_backlog),
    number!("core/optmem_max", Int, NATURAL, optmem_max),
    stored("core/message_burst", ANY, 10, NO_LOG),
    stored("core/message_cost", (INT_MIN, SECONDS), 5, NO_LOG),
    stored("core/warnings", ANY, 0, NO_LOG),
    number!("core/busy_read", Uint, NATURAL, busy_read),
    stored("core/busy_poll", NATURAL, 0, NO_DEVICE),
    stored("core/dev_weight", (1, INT), 64, NO_DEVICE),
    stored("core/netdev_budget", ANY, 300, NO_DEVICE),
    stored("core/netdev_budget_usecs", NATURAL, 8000, NO_DEVICE),
    row("unix/max_dgram_qlen", Done, "", Form::Int, ANY, Value::Number {
        get: |host| host.unix_max_dgram_qlen().into(),
        set: |host, value| host.set_unix_max_dgram_qlen(value.max(0) as u32),
        means: |value| value.max(0),
    }),

    number!("ipv4/ip_default_ttl", Uint, (1, 255), ip_default_ttl),
    row("ipv4/ip_local_port_range", Done, "", Form::Int, (0, 65_535), Value::Vector {
        len: 2,
        whole: true,
        get: |host| { let (first, last) = ports(host.stack.sysctl()); [first, last, 0] },
        set: set_ports,
    }),
    row("ipv4/ip_unprivileged_port_start", Done, "", Form::Int, (0, 65_535), Value::Vector {
        len: 1,
        whole: true,
        get: |host| [host.stack.sysctl().ip_unprivileged_port_start.into(), 0, 0],
        set: |host, [start, ..]| {
            // ipv4_privileged_ports: no ephemeral port may need a privilege.
            let fits = start <= ports(host.stack.sysctl()).0;
            if fits {
                host.stack.sysctl_mut().ip_unprivileged_port_start = start as u16;
            }
            fits
        },
    }),
    row("ipv4/ping_group_range", Done, "", Form::Uint, (0, u32::MAX as i64 - 1), Value::Vector {
        len: 2,
        whole: false,
        get: |host| {
            let (low, high) = host.stack.sysctl().ping_group_range;
            [low.into(), high.into(), 0]
        },
        set: |host, [low, high, _]| {
            // ipv4_ping_group_range: what is no range is the range of nobody.
            let range = if low <= high { (low as u32, high as u32) } else { (1, 0) };
            host.stack.sysctl_mut().ping_group_range = range;
            true
        },
    }),
    row("ipv4/ip_local_reserved_ports", Done, "", Form::Text, (0, 65_535), Value::Ports {
        get: |host| &host.stack.sysctl().ip_local_reserved_ports,
        set: |host, ports| host.stack.sysctl_mut().ip_local_reserved_ports = ports,
    }),
    switch!("ipv4/ip_nonlocal_bind", BYTE, ip_nonlocal_bind),
    switch!("ipv4/ip_autobind_reuse", BIT, ip_autobind_reuse),
    Row { mode: 0o600, ..row("ipv4/tcp_fastopen_key", Done, "", Form::Text, (0, 0),
        Value::Text { get: fast_open_keys, set: set_fast_open_keys }) },
    number!("ipv4/igmp_max_memberships", Int, ANY, igmp_max_memberships),
    number!("ipv4/igmp_max_msf", Int, ANY, igmp_max_msf),
    row("ipv4/ip_forward", Done, "", Form::Int, ANY, Value::Forwarding(false)),
    stored("ipv4/ip_early_demux", BYTE, 1, ONLY_SPEED),
    stored("ipv4/tcp_early_demux", BYTE, 1, ONLY_SPEED),
    stored("ipv4/udp_early_demux", BYTE, 1, ONLY_SPEED),
    number!("ipv4/ip_no_pmtu_disc", Uint, BYTE, ip_no_pmtu_disc),
    time!("ipv4/route/mtu_expires", (-SECONDS, SECONDS), from_secs, as_secs, ip_rt_mtu_expires),
    time!("ipv6/route/mtu_expires", (-SECONDS, SECONDS), from_secs, as_secs, ip6_rt_mtu_expires),
    number!("ipv4/route/min_pmtu", Int, (68, INT), ip_rt_min_pmtu),
    stored("ipv4/ipfrag_low_thresh", NATURAL, 3_145_728, "without effect on Linux too, since 4.17"),
    number!("ipv4/ipfrag_high_thresh", Int, NATURAL, ipfrag_high_thresh),
    time!("ipv4/ipfrag_time", NATURAL, from_secs, as_secs, ipfrag_time),
    number!("ipv6/ip6frag_high_thresh", Int, NATURAL, ip6frag_high_thresh),
    time!("ipv6/ip6frag_time", NATURAL, from_secs, as_secs, ip6frag_time),
    switch!("ipv4/icmp_echo_ignore_all", BIT, icmp_echo_ignore_all),
    switch!("ipv4/icmp_echo_ignore_broadcasts", BIT, icmp_echo_ignore_broadcasts),
    time!("ipv4/icmp_ratelimit", NATURAL, from_millis, as_millis, icmp_ratelimit),
    number!("ipv4/icmp_msgs_per_sec", Int, NATURAL, icmp_msgs_per_sec),
    number!("ipv4/icmp_msgs_burst", Int, NATURAL, icmp_msgs_burst),
    number!("ipv4/icmp_ratemask", Int, ANY, icmp_ratemask),
    stored("ipv4/icmp_ignore_bogus_error_responses", BIT, 1, NO_LOG),
    stored("ipv4/udp_rmem_min", (1, INT), 4096, NO_PRESSURE),
    stored("ipv4/udp_wmem_min", (1, INT), 4096, NO_PRESSURE),

    memory!("ipv4/tcp_mem", tcp_mem),
    memory!("ipv4/udp_mem", udp_mem),
    three!("ipv4/tcp_rmem", tcp_rmem),
    three!("ipv4/tcp_wmem", tcp_wmem),
    time!("ipv4/tcp_fin_timeout", (-SECONDS, SECONDS), from_secs, as_secs, tcp_fin_timeout),
    number!("ipv4/tcp_syn_retries", Uint, (1, 127), tcp_syn_retries),
    number!("ipv4/tcp_synack_retries", Uint, BYTE, tcp_synack_retries),
    number!("ipv4/tcp_retries1", Uint, BYTE, tcp_retries1),
    number!("ipv4/tcp_retries2", Uint, BYTE, tcp_retries2),
    number!("ipv4/tcp_orphan_retries", Uint, BYTE, tcp_orphan_retries),
    number!("ipv4/tcp_max_orphans", Int, ANY, tcp_max_orphans),
    number!("ipv4/tcp_max_syn_backlog", Int, ANY, tcp_max_syn_backlog),
    number!("ipv4/tcp_max_tw_buckets", Int, ANY, tcp_max_tw_buckets),
    switch!("ipv4/tcp_abort_on_overflow", BYTE, tcp_abort_on_overflow),
    time!("ipv4/tcp_keepalive_time", (-SECONDS, SECONDS), from_secs, as_secs, tcp_keepalive_time),
    time!("ipv4/tcp_keepalive_intvl", (-SECONDS, SECONDS), from_secs, as_secs, tcp_keepalive_intvl),
    number!("ipv4/tcp_keepalive_probes", Uint, BYTE, tcp_keepalive_probes),
    switch!("ipv4/tcp_window_scaling", BYTE, tcp_window_scaling),
    switch!("ipv4/tcp_timestamps", BYTE, tcp_timestamps),
    switch!("ipv4/tcp_sack", BYTE, tcp_sack),
    switch!("ipv4/tcp_dsack", BYTE, tcp_dsack),
    number!("ipv4/tcp_early_retrans", Uint, (0, 4), tcp_early_retrans),
    number!("ipv4/tcp_frto", Uint, BYTE, tcp_frto),
    switch!("ipv4/tcp_stdurg", BYTE, tcp_stdurg),
    switch!("ipv4/tcp_rfc1337", BYTE, tcp_rfc1337),
    number!("ipv4/tcp_tw_reuse", Uint, (0, 2), tcp_tw_reuse),
    time!("ipv4/tcp_tw_reuse_delay", (1, 60_000), from_millis, as_millis, tcp_tw_reuse_delay),
    switch!("ipv4/tcp_retrans_collapse", BYTE, tcp_retrans_collapse),
    switch!("ipv4/tcp_moderate_rcvbuf", BYTE, tcp_moderate_rcvbuf),
    switch!("ipv4/tcp_slow_start_after_idle", BYTE, tcp_slow_start_after_idle),
    number!("ipv4/tcp_challenge_ack_limit", Int, ANY, tcp_challenge_ack_limit),
    time!("ipv4/tcp_invalid_ratelimit", NATURAL, from_millis, as_millis, tcp_invalid_ratelimit),
    number!("ipv4/tcp_notsent_lowat", Uint, (0, UINT), tcp_notsent_lowat),
    row("ipv4/tcp_fastopen", Done, "", Form::Int, ANY, Value::Number {
        get: |host| i64::from(host.stack.sysctl().tcp_fastopen.cast_signed()),
        set: |host, value| host.stack.sysctl_mut().tcp_fastopen = (value as i32).cast_unsigned(),
        means: |value| value,
    }),
    time!("ipv4/tcp_rto_max_ms", (1000, 120_000), from_millis, as_millis, tcp_rto_max),
    time!("ipv4/tcp_rto_min_us", (1, INT), from_micros, as_micros, tcp_rto_min),
    switch!("ipv4/tcp_thin_linear_timeouts", BYTE, tcp_thin_linear_timeouts),
    number!("ipv4/tcp_syn_linear_timeouts", Uint, (0, 127), tcp_syn_linear_timeouts),
    number!("ipv4/tcp_syncookies", Uint, BYTE, tcp_syncookies),
    number!("ipv4/tcp_mtu_probing", Uint, BYTE, tcp_mtu_probing),
    time!("ipv4/tcp_probe_interval", (0, 17_179_869), from_secs, as_secs, tcp_probe_interval),
    number!("ipv4/tcp_probe_threshold", Int, ANY, tcp_probe_threshold),
    number!("ipv4/tcp_base_mss", Int, ANY, tcp_base_mss),
    number!("ipv4/tcp_mtu_probe_floor", Int, (48, 65_535), tcp_mtu_probe_floor),
    number!("ipv4/tcp_ecn", Uint, (0, 2), tcp_ecn),
    stored("ipv4/tcp_low_latency", ANY, 0, "without effect on Linux too, since 4.14"),
    number!("ipv4/tcp_app_win", Uint, (0, 31), tcp_app_win),
    number!("ipv4/tcp_pacing_ss_ratio", Int, (0, 1000), tcp_pacing_ss_ratio),
    number!("ipv4/tcp_pacing_ca_ratio", Int, (0, 1000), tcp_pacing_ca_ratio),
    number!("ipv4/ip_dynaddr", Uint, BYTE, ip_dynaddr),
    stored("ipv4/tcp_adv_win_scale", (-31, 31), 1, "without effect on Linux too, since 6.6"),
    fixed("ipv4/tcp_no_metrics_save", 1, "1: no measures of past connections are kept; another value is EINVAL"),
    stored_byte("ipv4/tcp_autocorking", BIT, 1, "what has left a socket waits in no driver that the socket is charged for"),
    stored_byte("ipv4/tcp_tso_win_divisor", BYTE, 3, "no segments are held back so that an adapter may take more at once"),
    number!("ipv4/tcp_recovery", Uint, BYTE, tcp_recovery),
    row("ipv4/tcp_reordering", Done, "", Form::Int, (1, INT), Value::Vector {
        len: 1,
        whole: true,
        get: |host| [host.stack.sysctl().tcp_reordering.into(), 0, 0],
        set: |host, [segments, ..]| {
            let sysctl = host.stack.sysctl_mut();
            let fits = segments <= sysctl.tcp_max_reordering.into();
            if fits {
                sysctl.tcp_reordering = segments as u32;
            }
            fits
        },
    }),
    number!("ipv4/tcp_max_reordering", Int, (1, INT), tcp_max_reordering),
    number!("ipv4/tcp_min_snd_mss", Int, (48, 65_535), tcp_min_snd_mss),
    switch!("ipv4/tcp_migrate_req", BIT, tcp_migrate_req),
    switch!("ipv4/tcp_ecn_fallback", BIT, tcp_ecn_fallback),
    switch!("ipv4/tcp_workaround_signed_windows", BYTE, tcp_workaround_signed_windows),
    stored_byte("ipv4/tcp_fack", BYTE, 0, "without effect on Linux too, since 4.15"),
    row("ipv4/tcp_congestion_control", Done, "", Form::Text, (0, 0), Value::Text {
        get: |host| host.stack.sysctl().tcp_congestion_control.name().into(),
        set: |host, name| {
            let known = Algorithm::from_name(name);
            if let Some(algorithm) = known {
                host.stack.sysctl_mut().tcp_congestion_control = algorithm;
            }
            known.map(drop).ok_or(Errno::ENOENT)
        },
    }),
    Row { mode: 0o444, ..row("ipv4/tcp_available_congestion_control", Done, "", Form::Text, (0, 0),
        Value::Text { get: |_| algorithms(), set: |_, _| Err(Errno::EACCES) }) },
    row("ipv4/tcp_allowed_congestion_control", Done, "", Form::Text, (0, 0), Value::Text {
        get: |host| {
            let sysctl = host.stack.sysctl();
            let allowed = Algorithm::ALL.iter().filter(|a| sysctl.congestion_allowed(**a));
            let names: Vec<&str> = allowed.map(|a| a.name()).collect();
            names.join(" ")
        },
        // tcp_set_allowed_congestion_control(): all of them, or none changes.
        set: |host, names| {
            let mut allowed = [false; Algorithm::ALL.len()];
            for name in names.split(|b| *b == b' ').filter(|name| !name.is_empty()) {
                let at = Algorithm::ALL.iter().position(|a| a.name().as_bytes() == name);
                allowed[at.ok_or(Errno::ENOENT)?] = true;
            }
            host.stack.sysctl_mut().tcp_allowed_congestion_control = allowed;
            Ok(())
        },
    }),

    Row { mode: 0o200, ..row("ipv4/route/flush", Done, "", Form::Int, ANY, Value::Flush) },
    Row { mode: 0o200, ..row("ipv6/route/flush", Done, "", Form::Int, ANY, Value::Flush) },

    row("ipv4/conf/*/forwarding", Done, "", Form::Int, ANY, Value::Forwarding(false)),
    Row { mode: 0o444, ..fixed("ipv4/conf/*/mc_forwarding", 0, NO_FORWARDING) },
    conf4("ipv4/conf/*/accept_local", "", Tunable4::AcceptLocal),
    fixed("ipv4/conf/*/accept_redirects", 0, "0: redirects are not heard; another value is EINVAL"),
    fixed("ipv4/conf/*/accept_source_route", 0, "0: source routes are not taken; another value is EINVAL"),
    fixed("ipv4/conf/*/bc_forwarding", 0, "0: broadcasts are not forwarded; another value is EINVAL"),
    fixed("ipv4/conf/*/bootp_relay", 0, "0: as on Linux, which does not relay; another value is EINVAL"),
    conf4("ipv4/conf/*/promote_secondaries", "", Tunable4::PromoteSecondaries),
    stored("ipv4/conf/*/secure_redirects", ANY, 1, DEAF_TO_REDIRECTS),
    stored("ipv4/conf/*/shared_media", ANY, 1, DEAF_TO_REDIRECTS),
    stored("ipv4/conf/*/src_valid_mark", ANY, 0, "rules by mark do not count where rp_filter looks"),
    stored("ipv4/conf/*/medium_id", ANY, 0, "proxy_arp takes each link for a medium of its own"),
    conf4("ipv4/conf/*/rp_filter", "", Tunable4::RpFilter),
    conf4("ipv4/conf/*/route_localnet", "", Tunable4::RouteLocalnet),
    stored("ipv4/conf/*/send_redirects", ANY, 1, NO_REDIRECTS),
    stored("ipv4/conf/*/log_martians", ANY, 0, NO_LOG),
    stored("ipv4/conf/*/tag", ANY, 0, "a number for whoever wants one"),
    conf4("ipv4/conf/*/arp_accept", "", Tunable4::ArpAccept),
    conf4("ipv4/conf/*/arp_announce", "", Tunable4::ArpAnnounce),
    stored("ipv4/conf/*/arp_evict_nocarrier", ANY, 1, "no interface loses its carrier"),
    conf4("ipv4/conf/*/arp_filter", "", Tunable4::ArpFilter),
    conf4("ipv4/conf/*/arp_ignore", "", Tunable4::ArpIgnore),
    conf4("ipv4/conf/*/arp_notify", "", Tunable4::ArpNotify),
    conf4("ipv4/conf/*/drop_gratuitous_arp", "", Tunable4::DropGratuitousArp),
    conf4("ipv4/conf/*/proxy_arp", "answers at once, as with proxy_delay 0", Tunable4::ProxyArp),
    fixed("ipv4/conf/*/proxy_arp_pvlan", 0, ONLY_ZERO),

    switch!("ipv6/bindv6only", BYTE, bindv6only),
    number!("ipv6/auto_flowlabels", Uint, (0, 3), auto_flowlabels),
    switch!("ipv6/flowlabel_state_ranges", BYTE, flowlabel_state_ranges),
    fixed("ipv6/flowlabel_consistency", 1, "1: the label of a connection is its own; another value is EINVAL"),
    fixed("ipv6/flowlabel_reflect", 0, "0: answers have no label; another value is EINVAL"),
    row(
        "ipv6/conf/*/accept_dad", Done, "2 is EINVAL: the address of the link is not probed for", Form::Int, (INT_MIN, 1),
        Value::Dad { get: |params| params.accept, set: |params, value| params.accept = value },
    ),
    row("ipv6/conf/*/dad_transmits", Done, "", Form::Int, ANY, Value::Dad {
        get: |params| params.transmits,
        set: |params, value| params.transmits = value,
    }),
    fixed("ipv6/conf/*/accept_redirects", 0, "0: redirects are not heard; another value is EINVAL"),
    fixed("ipv6/conf/*/accept_source_route", 0, "0: source routes are not taken; another value is EINVAL"),
    switch!("ipv6/ip_nonlocal_bind", BYTE, ipv6_nonlocal_bind),
    switch!("ipv6/icmp/echo_ignore_all", BYTE, icmp6_echo_ignore_all),
    switch!("ipv6/icmp/echo_ignore_multicast", BYTE, icmp6_echo_ignore_multicast),
    row("ipv6/icmp/ratemask", Done, "", Form::Text, (0, 255), Value::Ports {
        get: |host| &host.stack.sysctl().icmp6_ratemask,
        set: |host, types| host.stack.sysctl_mut().icmp6_ratemask = types,
    }),
    time!("ipv6/icmp/ratelimit", NATURAL, from_millis, as_millis, icmp6_ratelimit),
    row("ipv6/conf/*/forwarding", Done, "", Form::Int, ANY, Value::Forwarding(true)),
    Row { mode: 0o444, ..fixed("ipv6/conf/*/mc_forwarding", 0, NO_FORWARDING) },
    row("ipv6/conf/*/disable_ipv6", Done, "", Form::Int, ANY, Value::DisableV6),
    row("ipv6/conf/*/hop_limit", Done, "", Form::Int, (1, 255), Value::HopLimit),
    ra!("ipv6/conf/*/accept_ra", ANY, accept),
    ra!("ipv6/conf/*/accept_ra_defrtr", ANY, default_router),
    ra!("ipv6/conf/*/accept_ra_from_local", ANY, from_local),
    ra!("ipv6/conf/*/accept_ra_min_hop_limit", ANY, min_hop_limit),
    ra!("ipv6/conf/*/accept_ra_min_lft", ANY, min_lifetime),
    ra!("ipv6/conf/*/accept_ra_mtu", ANY, mtu),
    ra!("ipv6/conf/*/accept_ra_pinfo", ANY, prefixes),
    fixed("ipv6/conf/*/accept_ra_rt_info_min_plen", 0, NO_ROUTE_INFO),
    fixed("ipv6/conf/*/accept_ra_rt_info_max_plen", 0, NO_ROUTE_INFO),
    ra!("ipv6/conf/*/accept_ra_rtr_pref", ANY, preference),
    ra!("ipv6/conf/*/ra_defrtr_metric", (1, INT), metric),
    fixed("ipv6/conf/*/ra_honor_pio_life", 0, "0: RFC 4862, 5.5.3 e, as by default; another value is EINVAL"),
    ra!("ipv6/conf/*/autoconf", ANY, autoconf),
    ra!("ipv6/conf/*/max_addresses", ANY, max_addresses),
    ra!("ipv6/conf/*/router_solicitations", (-1, INT), solicitations),
    ra!("ipv6/conf/*/router_solicitation_delay", (-SECONDS, SECONDS), delay),
    ra!("ipv6/conf/*/router_solicitation_interval", (-SECONDS, SECONDS), interval),
    ra!("ipv6/conf/*/router_solicitation_max_interval", (-SECONDS, SECONDS), max_interval),
    row("ipv6/conf/*/mtu", Done, "1280 to the interface's; `all` and `default` are only kept", Form::Int, (1280, INT), Value::Mtu),

    row("ipv4/neigh/*/retrans_time", Done, "", Form::Int, ANY, Value::Neigh {
        // proc_dointvec_userhz_jiffies(): hundredths of a second.
        get: |params| params.retrans_time.as_millis() as i64 / 10,
        set: |params, value| params.retrans_time = Duration::from_millis(value.max(0) as u64 * 10),
    }),
    neigh!("*/neigh/*/base_reachable_time", (-SECONDS, SECONDS), from_secs, as_secs, base_reachable_time),
    row("*/neigh/*/unres_qlen", Done, "", Form::Int, (0, INT / PACKET), Value::Neigh {
        get: |params| i64::from(params.queue_bytes) / PACKET,
        set: |params, value| params.queue_bytes = (value * PACKET) as u32,
    }),
    stored("*/neigh/*/anycast_delay", ANY, 100, NO_PROXIES),
    fixed("*/neigh/*/app_solicit", 0, "0: no daemon resolves; another value is EINVAL"),
    neigh!("*/neigh/*/base_reachable_time_ms", (1, INT), from_millis, as_millis, base_reachable_time),
    neigh!("*/neigh/*/delay_first_probe_time", NATURAL, from_secs, as_secs, delay_probe_time),
    neigh!("*/neigh/*/gc_stale_time", NATURAL, from_secs, as_secs, gc_stale_time),
    neigh!("*/neigh/*/mcast_resolicit", NATURAL, mcast_reprobes),
    neigh!("*/neigh/*/mcast_solicit", NATURAL, mcast_probes),
    row("*/neigh/*/locktime", Done, "", Form::Int, ANY, Value::Neigh {
        // proc_dointvec_userhz_jiffies(): hundredths of a second.
        get: |params| params.locktime.as_millis() as i64 / 10,
        set: |params, value| params.locktime = Duration::from_millis(value.max(0) as u64 * 10),
    }),
    fixed("*/neigh/*/proxy_delay", 0, "0: a proxy answers at once; another value is EINVAL"),
    stored("*/neigh/*/proxy_qlen", NATURAL, 64, NO_PROXIES),
    neigh!("*/neigh/*/retrans_time_ms", (1, INT), from_millis, as_millis, retrans_time),
    neigh!("*/neigh/*/ucast_solicit", NATURAL, ucast_probes),
    neigh!("*/neigh/*/unres_qlen_bytes", NATURAL, queue_bytes),
    limit!("*/neigh/default/gc_thresh1", keep),
    limit!("*/neigh/default/gc_thresh2", soft),
    limit!("*/neigh/default/gc_thresh3", hard),
    stored("*/neigh/default/gc_interval", NATURAL, 30, "Linux does not look at it either"),
];
