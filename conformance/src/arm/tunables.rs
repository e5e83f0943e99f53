//! The machine's tunables, for the library's host: bodies read them in /proc/sys/net. What cannot be
//! read keeps Linux's default.

use crate::scene::sysctl as read;
use std::time::Duration;
use switchboard::Sysctl;

/// A word of a tunable, if it is there and fits.
fn word<T: TryFrom<i64>>(name: &str, index: usize) -> Option<T> {
    T::try_from(read(&format!("net/{name}"), index)?).ok()
}

fn set<T: TryFrom<i64>>(value: &mut T, name: &str, index: usize) {
    if let Some(n) = word(name, index) {
        *value = n;
    }
}

fn seconds(value: &mut Duration, name: &str) {
    if let Some(n) = word(name, 0) {
        *value = Duration::from_secs(n);
    }
}

fn flag(value: &mut bool, name: &str) {
    if let Some(n) = word::<i64>(name, 0) {
        *value = n != 0;
    }
}

pub(super) fn sysctl() -> Sysctl {
    let mut s = Sysctl::default();
    set(&mut s.rmem_default, "core/rmem_default", 0);
    set(&mut s.wmem_default, "core/wmem_default", 0);
    set(&mut s.rmem_max, "core/rmem_max", 0);
    set(&mut s.wmem_max, "core/wmem_max", 0);
    set(&mut s.somaxconn, "core/somaxconn", 0);
    for i in 0..3 {
        set(&mut s.tcp_rmem[i], "ipv4/tcp_rmem", i);
        set(&mut s.tcp_wmem[i], "ipv4/tcp_wmem", i);
    }
    set(&mut s.ip_local_port_range.0, "ipv4/ip_local_port_range", 0);
    set(&mut s.ip_local_port_range.1, "ipv4/ip_local_port_range", 1);
    set(
        &mut s.ip_unprivileged_port_start,
        "ipv4/ip_unprivileged_port_start",
        0,
    );
    set(&mut s.ping_group_range.0, "ipv4/ping_group_range", 0);
    set(&mut s.ping_group_range.1, "ipv4/ping_group_range", 1);
    set(&mut s.ip_default_ttl, "ipv4/ip_default_ttl", 0);
    set(&mut s.ipv6_hop_limit, "ipv6/conf/default/hop_limit", 0);
    flag(&mut s.bindv6only, "ipv6/bindv6only");
    set(&mut s.tcp_max_syn_backlog, "ipv4/tcp_max_syn_backlog", 0);
    set(&mut s.tcp_keepalive_probes, "ipv4/tcp_keepalive_probes", 0);
    set(&mut s.tcp_syn_retries, "ipv4/tcp_syn_retries", 0);
    set(&mut s.tcp_synack_retries, "ipv4/tcp_synack_retries", 0);
    set(&mut s.tcp_retries2, "ipv4/tcp_retries2", 0);
    seconds(&mut s.tcp_fin_timeout, "ipv4/tcp_fin_timeout");
    seconds(&mut s.tcp_keepalive_time, "ipv4/tcp_keepalive_time");
    seconds(&mut s.tcp_keepalive_intvl, "ipv4/tcp_keepalive_intvl");
    flag(&mut s.tcp_window_scaling, "ipv4/tcp_window_scaling");
    flag(&mut s.tcp_timestamps, "ipv4/tcp_timestamps");
    s
}

/// net.unix.max_dgram_qlen.
pub(super) fn max_dgram_qlen() -> Option<u32> {
    word("unix/max_dgram_qlen", 0)
}
