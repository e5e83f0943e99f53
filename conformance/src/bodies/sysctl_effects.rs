//! What tunables change. On the host in a network namespace of its own; what only the machine's own may set is not
//! asked there.

use crate::addr::Addr;
use crate::check::{Got, Outcome, check, eq, err, ok, ret, skip};
use crate::kernel::Kernel;
use crate::msg::Msg;
use crate::proc_file::{path, restored};
use crate::registry::tests;
use crate::scene::NB;
use libc::{
    AF_INET, AF_INET6, AF_UNIX, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_TCP, SO_RCVBUF, SO_SNDBUF,
    SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET,
};

tests! {
    somaxconn_bounds_the_backlog [ROOT],
    busy_read_is_the_default [ROOT],
    default_ttl [ROOT],
    default_hop_limit [ROOT],
    ephemeral_ports [ROOT],
    reserved_ports [ROOT],
    reserved_ports_are_a_set [ROOT],
    limited_icmp_types_are_a_set [ROOT],
    challenge_acks_are_counted [ROOT],
    syn_backlog [ROOT],
    default_buffers [ROOT],
    greatest_buffers [ROOT],
    tcp_buffers [ROOT],
    bindv6only [ROOT],
    unix_queue [ROOT],
    keepalive_and_timeouts [ROOT],
    optmem_bounds_control_messages [ROOT],
    nonlocal_bind [ROOT],
    autobind_reuse [ROOT],
    fast_open_keys [ROOT],
    timestamps_and_scaling [ROOT],
    congestion_of_new_sockets [ROOT],
}

/// Sets a tunable for a part of a body.
pub(super) fn with(
    k: &mut dyn Kernel,
    name: &str,
    value: &str,
    part: impl FnOnce(&mut dyn Kernel) -> Outcome,
) -> Outcome {
    let fd = k.open(&path(name), libc::O_WRONLY);
    if fd < 0 && k.name() == "host" {
        skip!("{name} is the machine's");
    }
    k.close(ok!(fd));
    restored(k, name, |k| {
        eq!(
            (name, k.set_tunable(name, value)?),
            (name, value.len() as i64)
        );
        part(k)
    })
}

fn option_of(k: &mut dyn Kernel, domain: i32, ty: i32, level: i32, name: i32) -> Got<i32> {
    let fd = ok!(k.socket(domain, ty, 0));
    let value = k.get_int(fd, level, name)?;
    k.close(fd);
    Ok(value)
}

/// A `u32` of `struct tcp_info`.
fn info(k: &mut dyn Kernel, fd: i64, offset: usize) -> Got<u32> {
    let (got, bytes) = k.getsockopt(fd, IPPROTO_TCP, libc::TCP_INFO, 104);
    ret!(got, 0);
    let word = bytes[offset..offset + 4].try_into().unwrap_or_default();
    Ok(u32::from_ne_bytes(word))
}

fn somaxconn_bounds_the_backlog(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    with(k, "core/somaxconn", "3", |k| {
        let (fd, _) = k.tcp_listener(AF_INET, 100)?;
        // tcpi_sacked of a listener is its backlog.
        eq!(info(k, fd, 28)?, 3);
        Ok(())
    })
}

fn busy_read_is_the_default(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    // Of poll(2) and select(2), and of no socket.
    with(k, "core/busy_poll", "9", |k| {
        eq!(
            option_of(k, AF_INET, SOCK_STREAM, SOL_SOCKET, libc::SO_BUSY_POLL)?,
            0
        );
        Ok(())
    })?;
    with(k, "core/busy_read", "7", |k| {
        for (family, ty) in [
            (AF_INET, SOCK_STREAM),
            (AF_INET6, SOCK_DGRAM),
            (AF_UNIX, SOCK_STREAM),
            (libc::AF_NETLINK, libc::SOCK_RAW),
        ] {
            let got = option_of(k, family, ty, SOL_SOCKET, libc::SO_BUSY_POLL)?;
            eq!((family, got), (family, 7));
        }
        Ok(())
    })
}

fn default_ttl(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    with(k, "ipv4/ip_default_ttl", "77", |k| {
        for ty in [SOCK_STREAM, SOCK_DGRAM] {
            eq!(option_of(k, AF_INET, ty, IPPROTO_IP, libc::IP_TTL)?, 77);
        }
        Ok(())
    })
}

fn default_hop_limit(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    with(k, "ipv6/conf/all/hop_limit", "78", |k| {
        let hops = option_of(
            k,
            AF_INET6,
            SOCK_DGRAM,
            IPPROTO_IPV6,
            libc::IPV6_UNICAST_HOPS,
        )?;
        eq!(hops, 78);
        Ok(())
    })
}

/// Ports that no connection of another test was given, which may linger there.
fn ephemeral_ports(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    with(k, "ipv4/ip_local_port_range", "21100 21101", |k| {
        let mut ports = Vec::new();
        for _ in 0..2 {
            let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
            ret!(k.bind(fd, &Addr::lo4(0)), 0);
            ports.push(k.sockname(fd)?.port());
        }
        ports.sort_unstable();
        eq!(ports, [21_100, 21_101]);
        let fd = ok!(k.socket(AF_INET, SOCK_DGRAM, 0));
        err!(k.bind(fd, &Addr::lo4(0)), EADDRINUSE);
        Ok(())
    })
}

fn reserved_ports(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    with(k, "ipv4/ip_local_port_range", "21100 21109", |k| {
        with(
            k,
            "ipv4/ip_local_reserved_ports",
            "21100-21106,21109",
            |k| {
                for ty in [SOCK_STREAM, SOCK_DGRAM] {
                    let mut ports = Vec::new();
                    for _ in 0..2 {
                        let fd = ok!(k.socket(AF_INET, ty, 0));
                        ret!(k.bind(fd, &Addr::lo4(0)), 0);
                        ports.push(k.sockname(fd)?.port());
                    }
                    ports.sort_unstable();
                    eq!(ports, [21_107, 21_108]);
                    let fd = ok!(k.socket(AF_INET, ty, 0));
                    err!(k.bind(fd, &Addr::lo4(0)), EADDRINUSE);
                    // Who names one gets it.
                    ret!(k.bind(fd, &Addr::lo4(21_103)), 0);
                }
                // All that connect(2) may choose is bound.
                let (listener, _) = (ok!(k.socket(AF_INET, SOCK_STREAM, 0)), ());
                ret!(k.bind(listener, &Addr::lo4(21_200)), 0);
                ret!(k.listen(listener, 5), 0);
                let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
                err!(k.connect(fd, &Addr::lo4(21_200)), EADDRNOTAVAIL);
                Ok(())
            },
        )
    })
}

/// net.ipv6.icmp.ratemask: the same up to 255.
fn limited_icmp_types_are_a_set(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let name = "ipv6/icmp/ratemask";
    eq!(k.get_tunable(name)?, "0-1,3-127");
    for (written, shown) in [
        ("1,3", "1,3"),
        ("0-255", "0-255"),
        ("255", "255"),
        ("7,", "7"),
        ("0-1,3-127,200,202-204", "0-1,3-127,200,202-204"),
    ] {
        with(k, name, written, |k| {
            eq!(k.get_tunable(name)?, shown);
            let bad = [
                "3-1", "256", "-1", "1-", "1,,2", "1 2", " 5 ", "abc", "1-2-3", "5x",
            ];
            keeps_and_empties(k, name, shown, &bad)
        })?;
    }
    Ok(())
}

/// Of a set of ranges: what is wrong changes nothing, and an empty line empties it.
fn keeps_and_empties(k: &mut dyn Kernel, name: &str, shown: &str, wrong: &[&str]) -> Outcome {
    for bad in wrong {
        eq!(
            (bad, k.set_tunable(name, bad)?),
            (bad, -i64::from(libc::EINVAL))
        );
    }
    eq!(k.get_tunable(name)?, shown);
    ret!(k.set_tunable(name, "\n")?, 1);
    eq!(k.get_tunable(name)?, "");
    Ok(())
}

fn reserved_ports_are_a_set(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let name = "ipv4/ip_local_reserved_ports";
    for (written, shown) in [
        ("1-3,2-7", "1-7"),
        ("4,3,2", "2-4"),
        ("8080,9000-9010\n", "8080,9000-9010"),
        ("5,", "5"),
        ("9,5,7", "5,7,9"),
    ] {
        with(k, name, written, |k| {
            eq!(
                (written, k.get_tunable(name)?),
                (written, shown.to_string())
            );
            let bad = ["5,,6", "5, 6", "1,x", "7-6,8", "65536", "1-2-3", ",5"];
            keeps_and_empties(k, name, shown, &bad)
        })?;
    }
    Ok(())
}

fn challenge_acks_are_counted(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    with(k, "ipv4/tcp_invalid_ratelimit", "0", |k| {
        with(k, "ipv4/tcp_challenge_ack_limit", "1", |k| {
            let t = k.tcp(AF_INET)?;
            // A SYN in the middle of a connection: RFC 5961, 4.2.
            let raw = ok!(k.socket(AF_INET, libc::SOCK_RAW | NB, libc::IPPROTO_TCP));
            ok!(k.bind(raw, &Addr::lo4(0)));
            let (here, there) = (k.sockname(t.client)?.port(), k.peername(t.client)?.port());
            let mut syn = [here.to_be_bytes(), there.to_be_bytes()].concat();
            syn.extend([0; 8]);
            syn.extend([0x50, 2, 4, 0, 0, 0, 0, 0]);
            let mut sum = 0u32;
            for pair in syn.chunks(2).chain([
                &[127, 0][..],
                &[0, 1],
                &[127, 0],
                &[0, 1],
                &[0, 6],
                &[0, 20],
            ]) {
                sum += u32::from(pair[0]) << 8 | u32::from(pair[1]);
            }
            while sum >> 16 != 0 {
                sum = (sum & 0xffff) + (sum >> 16);
            }
            syn[16..18].copy_from_slice(&(!(sum as u16)).to_be_bytes());
            for _ in 0..10 {
                ret!(k.sendto(raw, &syn, 0, &Addr::lo4(0)), 20);
            }
            let mut answers = 0;
            loop {
                let mut packet = [0; 200];
                let got = k.recv(raw, &mut packet, 0);
                if got < 0 {
                    break;
                }
                let from = [packet[20], packet[21]] == there.to_be_bytes();
                answers += i32::from(from && packet[33] == 0x10);
            }
            // One a second, and the second may have changed.
            check!((1..=2).contains(&answers), "{answers}");
            Ok(())
        })
    })
}

fn syn_backlog(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    with(k, "ipv4/tcp_syncookies", "0", |k| {
        for (most, fit) in [("8", 7), ("0", 1), ("5", 5)] {
            with(k, "ipv4/tcp_max_syn_backlog", most, |k| {
                let listener = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
                ret!(k.bind(listener, &Addr::lo4(0)), 0);
                // The last ACK alone makes no connection: the requests stay.
                let defer = libc::TCP_DEFER_ACCEPT;
                ret!(k.set_int(listener, IPPROTO_TCP, defer, 30), 0);
                ret!(k.listen(listener, 100), 0);
                let to = k.sockname(listener)?;
                let mut connected = 0;
                for _ in 0..10 {
                    let fd = ok!(k.socket(AF_INET, SOCK_STREAM | NB, 0));
                    // A peer that nothing is known of.
                    ret!(k.bind(fd, &Addr::v4([127, 7, 7, 7], 0)), 0);
                    let got = k.connect(fd, &to);
                    check!(got == 0 || got == -i64::from(libc::EINPROGRESS), "{got}");
                    let mut addr = [0u8; 16];
                    let mut len = 16u32;
                    let at = (addr.as_mut_ptr() as u64, &raw mut len as u64);
                    connected += i32::from(k.getpeername_raw(fd, at.0, at.1) == 0);
                }
                eq!((most, connected), (most, fit));
                Ok(())
            })?;
        }
        Ok(())
    })
}

fn default_buffers(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for (name, option) in [
        ("core/rmem_default", SO_RCVBUF),
        ("core/wmem_default", SO_SNDBUF),
    ] {
        with(k, name, "100000", |k| {
            for domain in [AF_INET, AF_INET6] {
                eq!(
                    option_of(k, domain, SOCK_DGRAM, SOL_SOCKET, option)?,
                    100_000
                );
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn greatest_buffers(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for (name, option) in [("core/rmem_max", SO_RCVBUF), ("core/wmem_max", SO_SNDBUF)] {
        with(k, name, "50000", |k| {
            for (domain, ty) in [
                (AF_INET, SOCK_DGRAM),
                (AF_INET, SOCK_STREAM),
                (AF_UNIX, SOCK_DGRAM),
            ] {
                let fd = ok!(k.socket(domain, ty, 0));
                ret!(k.set_int(fd, SOL_SOCKET, option, 1 << 20), 0);
                eq!(k.get_int(fd, SOL_SOCKET, option)?, 100_000);
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn tcp_buffers(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for (name, option) in [("ipv4/tcp_rmem", SO_RCVBUF), ("ipv4/tcp_wmem", SO_SNDBUF)] {
        with(k, name, "8192 99999 200000", |k| {
            for domain in [AF_INET, AF_INET6] {
                eq!(
                    option_of(k, domain, SOCK_STREAM, SOL_SOCKET, option)?,
                    99_999
                );
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn bindv6only(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    with(k, "ipv6/bindv6only", "1", |k| {
        for ty in [SOCK_STREAM, SOCK_DGRAM] {
            eq!(
                option_of(k, AF_INET6, ty, IPPROTO_IPV6, libc::IPV6_V6ONLY)?,
                1
            );
        }
        Ok(())
    })
}

fn unix_queue(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    with(k, "unix/max_dgram_qlen", "2", |k| {
        let (_, addr) = k.unix_bound(SOCK_DGRAM, "queue")?;
        let fd = ok!(k.socket(AF_UNIX, SOCK_DGRAM | NB, 0));
        for _ in 0..3 {
            ret!(k.sendto(fd, b"x", 0, &addr), 1);
        }
        err!(k.sendto(fd, b"x", 0, &addr), EAGAIN);
        Ok(())
    })
}

fn keepalive_and_timeouts(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for (name, option) in [
        ("ipv4/tcp_keepalive_time", libc::TCP_KEEPIDLE),
        ("ipv4/tcp_keepalive_intvl", libc::TCP_KEEPINTVL),
        ("ipv4/tcp_keepalive_probes", libc::TCP_KEEPCNT),
        ("ipv4/tcp_syn_retries", libc::TCP_SYNCNT),
        ("ipv4/tcp_fin_timeout", libc::TCP_LINGER2),
    ] {
        with(k, name, "33", |k| {
            eq!(
                (
                    name,
                    option_of(k, AF_INET, SOCK_STREAM, IPPROTO_TCP, option)?
                ),
                (name, 33)
            );
            Ok(())
        })?;
    }
    Ok(())
}

fn optmem_bounds_control_messages(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    with(k, "core/optmem_max", "100", |k| {
        let (a, _) = k.pair(AF_UNIX, SOCK_STREAM)?;
        let mut msg = Msg::of(&[b"x"]);
        let control = [0u64; 25];
        msg.hdr.msg_control = control.as_ptr() as *mut _;
        msg.hdr.msg_controllen = 200;
        err!(k.sendmsg(a, &mut msg, 0), ENOBUFS);
        Ok(())
    })
}

fn nonlocal_bind(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let mut documentation = [0; 16];
    documentation[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    documentation[15] = 1;
    for (name, family, addr) in [
        (
            "ipv4/ip_nonlocal_bind",
            AF_INET,
            Addr::v4([192, 0, 2, 1], 0),
        ),
        (
            "ipv6/ip_nonlocal_bind",
            AF_INET6,
            Addr::v6(documentation, 0),
        ),
    ] {
        for ty in [SOCK_STREAM, SOCK_DGRAM] {
            let fd = ok!(k.socket(family, ty, 0));
            err!(k.bind(fd, &addr), EADDRNOTAVAIL);
            with(k, name, "1", |k| {
                ret!(k.bind(fd, &addr), 0);
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// Two sockets and one port: which options let the kernel choose it twice.
/// Binds to a port that others have just closed: where a last close is told by the kernel's listings, it is a moment later.
fn bound_at_last(k: &mut dyn Kernel, fd: i64, addr: &Addr) -> Outcome {
    for _ in 0..1000 {
        match k.bind(fd, addr) {
            0 => return Ok(()),
            got => ret!(got, -i64::from(libc::EADDRINUSE)),
        }
        k.pause(std::time::Duration::from_millis(1));
    }
    ret!(k.bind(fd, addr), 0);
    Ok(())
}

fn autobind_reuse(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let pair = |k: &mut dyn Kernel, domain, addr: &Addr, reuse: [i32; 2], group: [i32; 2]| {
        let mut got = [0; 2];
        let mut fds = [0; 2];
        // Who shares with nobody gets the port when all that had it are gone.
        let alone = ok!(k.socket(domain, SOCK_STREAM, 0));
        bound_at_last(k, alone, addr)?;
        k.close(alone);
        for i in 0..2 {
            let fd = ok!(k.socket(domain, SOCK_STREAM, 0));
            ret!(k.set_int(fd, SOL_SOCKET, libc::SO_REUSEADDR, reuse[i]), 0);
            ret!(k.set_int(fd, SOL_SOCKET, libc::SO_REUSEPORT, group[i]), 0);
            if i == 0 {
                bound_at_last(k, fd, addr)?;
            } else {
                got[i] = k.bind(fd, addr);
            }
            fds[i] = fd;
        }
        // Who listens has it alone.
        if got == [0, 0] {
            ret!(k.listen(fds[0], 1), 0);
            err!(k.listen(fds[1], 1), EADDRINUSE);
        }
        for fd in fds {
            k.close(fd);
        }
        Got::Ok(got)
    };
    let busy = -i64::from(libc::EADDRINUSE);
    with(k, "ipv4/ip_local_port_range", "40000 40000", |k| {
        err!(k.set_tunable("ipv4/ip_autobind_reuse", "2")?, EINVAL);
        for on in ["0", "1"] {
            with(k, "ipv4/ip_autobind_reuse", on, |k| {
                for (domain, addr) in [
                    (AF_INET, Addr::v4([127, 0, 0, 1], 0)),
                    (AF_INET6, Addr::v6([0; 16], 0)),
                ] {
                    for bits in 0..16 {
                        let bit = |n: i32| bits >> n & 1;
                        let (reuse, group) = ([bit(0), bit(1)], [bit(2), bit(3)]);
                        let shared = on != "0" && reuse == [1, 1] && group != [1, 1];
                        let want = [0, if shared { 0 } else { busy }];
                        let got = pair(k, domain, &addr, reuse, group)?;
                        eq!(
                            (on, domain, reuse, group, got),
                            (on, domain, reuse, group, want)
                        );
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    })
}

fn fast_open_keys(k: &mut dyn Kernel) -> Outcome {
    const NAME: &str = "ipv4/tcp_fastopen_key";
    const TCP_FASTOPEN_KEY: i32 = 33;
    k.own_network()?;
    with(k, NAME, "1-2-3-ffffffff", |k| {
        eq!(k.get_tunable(NAME)?, "00000001-00000002-00000003-ffffffff");
        let keys = "0a0b0c0d-00000002-00000003-00000004,00000005-00000006-00000007-00000008";
        for (text, taken) in [
            (keys, keys),
            ("1-2-3-4,5-6-7", keys),
            ("1-2-3-4,", keys),
            ("1-2-3", keys),
            ("zz", keys),
            (" 1-2-3-123456789x", "00000001-00000002-00000003-23456789"),
            (
                "A-B-C-D,0-0-0-0",
                "0000000a-0000000b-0000000c-0000000d,00000000-00000000-00000000-00000000",
            ),
            (keys, keys),
        ] {
            let good = k.set_tunable(NAME, text)?;
            let want = if taken == keys && text != keys {
                -i64::from(libc::EINVAL)
            } else {
                text.len() as i64
            };
            eq!((text, good), (text, want));
            eq!(k.get_tunable(NAME)?, taken);
        }
        // The option tells a socket's own keys, which it has not.
        let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
        let (got, bytes) = k.getsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_KEY, 64);
        eq!((got, bytes), (0, vec![]));
        Ok(())
    })
}

fn timestamps_and_scaling(k: &mut dyn Kernel) -> Outcome {
    const TIMESTAMPS: u32 = 1;
    const SCALING: u32 = 4;
    k.own_network()?;
    for (name, bit) in [
        ("ipv4/tcp_timestamps", TIMESTAMPS),
        ("ipv4/tcp_window_scaling", SCALING),
    ] {
        // tcpi_options is the sixth byte.
        let tcp = k.tcp(AF_INET)?;
        let options = info(k, tcp.client, 4)?.to_ne_bytes()[1];
        check!(u32::from(options) & bit != 0, "{name}: {options:#x}");
        with(k, name, "0", |k| {
            let tcp = k.tcp(AF_INET)?;
            let options = info(k, tcp.client, 4)?.to_ne_bytes()[1];
            check!(u32::from(options) & bit == 0, "{name}: {options:#x}");
            Ok(())
        })?;
    }
    Ok(())
}

fn congestion_of_new_sockets(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let all = k.get_tunable("ipv4/tcp_allowed_congestion_control")?;
    for name in all.split(' ') {
        with(k, "ipv4/tcp_congestion_control", name, |k| {
            let fd = ok!(k.socket(AF_INET, SOCK_STREAM, 0));
            let (got, bytes) = k.getsockopt(fd, IPPROTO_TCP, libc::TCP_CONGESTION, 16);
            ret!(got, 0);
            check!(bytes.starts_with(name.as_bytes()), "{name}: {bytes:?}");
            Ok(())
        })?;
    }
    Ok(())
}
