//! What TCP's tunables change, as far as TCP_INFO and the options show it. On the host in a network namespace of its own.

use crate::check::{Got, Outcome, check, eq, err, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use crate::sys::Fd;
use libc::{AF_INET, IPPROTO_TCP};

use super::sysctl_effects::with;

tests! {
    reordering_of_new_sockets [ROOT],
    reordering_is_bounded [ROOT],
    least_segment [ROOT],
    ratios_of_the_pace [ROOT],
    window_kept_back [ROOT],
    windows_without_a_sign [ROOT],
}

/// Offsets in `struct tcp_info`.
const SND_MSS: usize = 16;
const RTT: usize = 68;
const CWND: usize = 80;
const REORDERING: usize = 88;
const PACING_RATE: usize = 104;
const RCV_WND: usize = 232;

fn info(k: &mut dyn Kernel, fd: Fd) -> Got<Vec<u8>> {
    let (got, bytes) = k.getsockopt(fd, IPPROTO_TCP, libc::TCP_INFO, 248);
    ret!(got, 0);
    check!(bytes.len() >= RCV_WND + 4, "{}", bytes.len());
    Ok(bytes)
}

fn word(info: &[u8], offset: usize) -> u32 {
    let word = info[offset..offset + 4].try_into().unwrap_or_default();
    u32::from_ne_bytes(word)
}

fn pacing_rate(info: &[u8]) -> u64 {
    let rate = info[PACING_RATE..PACING_RATE + 8].try_into();
    u64::from_ne_bytes(rate.unwrap_or_default())
}

fn reordering_of_new_sockets(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let before = k.tcp(AF_INET)?;
    let mut listener = None;
    with(k, "ipv4/tcp_reordering", "7", |k| {
        let t = k.tcp(AF_INET)?;
        for (fd, want) in [
            (t.client, 7),
            (t.server, 7),
            (t.listener, 7),
            (before.client, 3),
        ] {
            eq!(word(&info(k, fd)?, REORDERING), want);
        }
        listener = Some(t);
        Ok(())
    })?;
    // What a listener takes has what was said when the listener was made.
    if let Some(t) = listener {
        let late = k.tcp_socket(AF_INET, NB)?;
        k.connect_now(late, &t.addr)?;
        let server = k.accept_now(t.listener)?;
        eq!(word(&info(k, late)?, REORDERING), 3);
        eq!(word(&info(k, server)?, REORDERING), 7);
    }
    Ok(())
}

fn reordering_is_bounded(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let (name, most) = ("ipv4/tcp_reordering", "ipv4/tcp_max_reordering");
    with(k, name, "300", |k| {
        err!(k.set_tunable(name, "301")?, EINVAL);
        with(k, most, "5", |k| {
            // What it was before stays.
            eq!(k.get_tunable(name)?, "300");
            err!(k.set_tunable(name, "6")?, EINVAL);
            ret!(k.set_tunable(name, "5")?, 1);
            err!(k.set_tunable(name, "0")?, EINVAL);
            err!(k.set_tunable(most, "0")?, EINVAL);
            Ok(())
        })
    })
}

/// The peer takes segments of 100 bytes, of which the timestamps take twelve.
fn least_segment(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for (least, segment) in [("48", 88), ("100", 88), ("500", 488)] {
        with(k, "ipv4/tcp_min_snd_mss", least, |k| {
            let (listener, addr) = k.tcp_listener(AF_INET, 8)?;
            ret!(k.set_int(listener, IPPROTO_TCP, libc::TCP_MAXSEG, 100), 0);
            let client = k.tcp_socket(AF_INET, NB)?;
            k.connect_now(client, &addr)?;
            eq!((least, word(&info(k, client)?, SND_MSS)), (least, segment));
            Ok(())
        })?;
    }
    err!(k.set_tunable("ipv4/tcp_min_snd_mss", "47")?, EINVAL);
    Ok(())
}

fn ratios_of_the_pace(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    // A connection that has lost nothing is in slow start.
    for (slow_start, avoidance) in [(200, 120), (1000, 0), (10, 0), (0, 1000)] {
        with(
            k,
            "ipv4/tcp_pacing_ss_ratio",
            &slow_start.to_string(),
            |k| {
                with(k, "ipv4/tcp_pacing_ca_ratio", &avoidance.to_string(), |k| {
                    let t = k.tcp(AF_INET)?;
                    let info = info(k, t.client)?;
                    let window = u64::from(word(&info, CWND)) * u64::from(word(&info, SND_MSS));
                    // The smoothed time has fractions that are not told.
                    let (rtt, rate) = (u64::from(word(&info, RTT)), pacing_rate(&info));
                    let rate_of = |rtt: u64| window * slow_start * 10_000 / rtt.max(1);
                    check!(
                        (rate_of(rtt + 1)..=rate_of(rtt)).contains(&rate),
                        "{slow_start}: {rate} of {window} in {rtt}"
                    );
                    Ok(())
                })
            },
        )?;
    }
    Ok(())
}

/// tcp_init_buffer_space(): TCP_WINDOW_CLAMP tells the window that is left.
fn window_kept_back(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    with(k, "ipv4/tcp_rmem", "4096 1048576 1048576", |k| {
        // Segments on lo are of 65,483 bytes.
        for (kept, clamp) in [
            ("0", 524_288),
            ("1", 262_144),
            ("2", 393_216),
            ("3", 458_752),
            ("31", 458_805),
        ] {
            with(k, "ipv4/tcp_app_win", kept, |k| {
                let t = k.tcp(AF_INET)?;
                for fd in [t.client, t.server] {
                    let got = k.get_int(fd, IPPROTO_TCP, libc::TCP_WINDOW_CLAMP)?;
                    eq!((kept, got), (kept, clamp));
                }
                Ok(())
            })?;
        }
        Ok(())
    })
}

fn windows_without_a_sign(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    with(k, "ipv4/tcp_window_scaling", "0", |k| {
        for (on, limited) in [("0", false), ("1", true)] {
            with(k, "ipv4/tcp_workaround_signed_windows", on, |k| {
                let t = k.tcp(AF_INET)?;
                for fd in [t.client, t.server] {
                    let window = word(&info(k, fd)?, RCV_WND);
                    check!((window <= 0x7fff) == limited, "{on}: {window}");
                }
                Ok(())
            })?;
        }
        Ok(())
    })
}
