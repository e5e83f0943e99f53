//! The tunables of a run's host: the machine's own, which its programs read in /proc/sys/net.
//!
//! What cannot be read keeps Linux's default.

use std::time::Duration;
use switchboard_engine::Sysctl;

pub(super) fn take_over(sysctl: &mut Sysctl) {
    let one = |name: &str| numbers(name).and_then(|n| n.first().copied());
    let set = |value: &mut u32, name: &str| {
        if let Some(n) = one(name).and_then(|n| u32::try_from(n).ok()) {
            *value = n;
        }
    };
    let seconds = |value: &mut Duration, name: &str| {
        if let Some(n) = one(name) {
            *value = Duration::from_secs(n);
        }
    };
    let small = |value: &mut u8, name: &str| {
        if let Some(n) = one(name).and_then(|n| u8::try_from(n).ok()) {
            *value = n;
        }
    };
    let three = |value: &mut [u32; 3], name: &str| {
        let Some(n) = numbers(name) else { return };
        if let [a, b, c] = n[..]
            && let (Ok(a), Ok(b), Ok(c)) = (a.try_into(), b.try_into(), c.try_into())
        {
            *value = [a, b, c];
        }
    };
    set(&mut sysctl.rmem_default, "core/rmem_default");
    set(&mut sysctl.wmem_default, "core/wmem_default");
    set(&mut sysctl.rmem_max, "core/rmem_max");
    set(&mut sysctl.wmem_max, "core/wmem_max");
    set(&mut sysctl.somaxconn, "core/somaxconn");
    set(&mut sysctl.tcp_max_syn_backlog, "ipv4/tcp_max_syn_backlog");
    three(&mut sysctl.tcp_rmem, "ipv4/tcp_rmem");
    three(&mut sysctl.tcp_wmem, "ipv4/tcp_wmem");
    seconds(&mut sysctl.tcp_fin_timeout, "ipv4/tcp_fin_timeout");
    seconds(&mut sysctl.tcp_keepalive_time, "ipv4/tcp_keepalive_time");
    seconds(&mut sysctl.tcp_keepalive_intvl, "ipv4/tcp_keepalive_intvl");
    small(
        &mut sysctl.tcp_keepalive_probes,
        "ipv4/tcp_keepalive_probes",
    );
    small(&mut sysctl.tcp_syn_retries, "ipv4/tcp_syn_retries");
    small(&mut sysctl.tcp_synack_retries, "ipv4/tcp_synack_retries");
    small(&mut sysctl.tcp_retries2, "ipv4/tcp_retries2");
    small(&mut sysctl.ip_default_ttl, "ipv4/ip_default_ttl");
    if let Some(n) = numbers("ipv4/ip_local_port_range")
        && let [low, high] = n[..]
        && let (Ok(low), Ok(high)) = (low.try_into(), high.try_into())
    {
        sysctl.ip_local_port_range = (low, high);
    }
    if let Some(n) = one("ipv4/ip_unprivileged_port_start").and_then(|n| n.try_into().ok()) {
        sysctl.ip_unprivileged_port_start = n;
    }
}

/// net.unix.max_dgram_qlen.
pub(super) fn max_dgram_qlen() -> Option<u32> {
    numbers("unix/max_dgram_qlen")?
        .first()
        .and_then(|n| u32::try_from(*n).ok())
}

fn numbers(name: &str) -> Option<Vec<u64>> {
    let text = std::fs::read_to_string(format!("/proc/sys/net/{name}")).ok()?;
    text.split_whitespace()
        .map(|word| word.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_there_and_keeps_the_rest() {
        assert_eq!(numbers("core/no_such_tunable"), None);
        let mut sysctl = Sysctl::default();
        take_over(&mut sysctl);
        assert!(sysctl.rmem_max > 0);
        assert!(sysctl.tcp_rmem[0] <= sysctl.tcp_rmem[2]);
        assert!(sysctl.ip_local_port_range.0 < sysctl.ip_local_port_range.1);
    }
}
