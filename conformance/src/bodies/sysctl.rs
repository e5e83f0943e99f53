//! /proc/sys/net: reading, writing, permissions.
//!
//! On the host these bodies write in a network namespace of their own, and nowhere else. There some tunables do not
//! exist or cannot be written, as they are the machine's; those are compared on the other arms only.

use crate::check::{Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::proc_file::{path, restored};
use crate::registry::tests;
use libc::{
    O_CREAT, O_DIRECTORY, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, SEEK_CUR, SEEK_END, SEEK_SET,
};

tests! {
    defaults [ROOT],
    values_taken_and_refused [ROOT],
    words_that_are_numbers [ROOT],
    position_of_a_write [ROOT],
    vectors_in_part [ROOT],
    port_range_and_privileged_ports [ROOT],
    read_in_pieces,
    open_by_an_ordinary_user [DROP],
    open_flags,
    names_there_are_not,
    congestion_by_name [ROOT],
    write_only [ROOT],
    read_only [ROOT],
    wrong_direction [ROOT],
    seek_to_the_end,
    bad_pointers [ROOT],
}

const LIST: &str = include_str!("../../sysctls.txt");

/// Name, default, whether the host has that default, values taken, values refused.
type Line = (
    &'static str,
    &'static str,
    bool,
    Vec<&'static str>,
    Vec<&'static str>,
);

fn list() -> Vec<Line> {
    let lines = LIST
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'));
    let parse = |line: &'static str| {
        let mut fields = line.splitn(4, ';').map(str::trim);
        let mut next = || fields.next().unwrap_or_default();
        let (name, default, good, bad) = (next(), next(), next(), next());
        let words = |text: &'static str| text.split(',').filter(|w| !w.is_empty()).collect();
        let own = default.strip_prefix('[').and_then(|d| d.strip_suffix(']'));
        let value = own.unwrap_or(default);
        (name, value, own.is_none(), words(good), words(bad))
    };
    lines.map(parse).collect()
}

/// Values are separated by tabs when they are read.
fn as_read(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join("\t")
}

fn is_host(k: &dyn Kernel) -> bool {
    k.name() == "host"
}

fn defaults(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for (name, default, same, ..) in list() {
        let fd = k.open(&path(name), O_RDONLY);
        if default.is_empty() || (is_host(k) && (fd == -i64::from(libc::ENOENT) || !same)) {
            k.close(fd);
            continue;
        }
        let fd = ok!(fd);
        let text = k.read_to_end(fd)?;
        eq!((name, text), (name, format!("{}\n", as_read(default))));
        k.close(fd);
    }
    Ok(())
}

fn values_taken_and_refused(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for (name, default, _, good, bad) in list() {
        let flags = if default.is_empty() { O_WRONLY } else { O_RDWR };
        let fd = k.open(&path(name), flags);
        let refused = [-i64::from(libc::ENOENT), -i64::from(libc::EACCES)];
        if (is_host(k) && refused.contains(&fd)) || good.is_empty() {
            k.close(fd);
            continue;
        }
        k.close(ok!(fd));
        restored(k, name, |k| {
            for value in &good {
                eq!(
                    (name, value, k.set_tunable(name, value)?),
                    (name, value, value.len() as i64)
                );
                eq!((name, k.get_tunable(name)?), (name, as_read(value)));
            }
            let kept = k.get_tunable(name)?;
            for value in &bad {
                let einval = -i64::from(libc::EINVAL);
                eq!(
                    (name, value, k.set_tunable(name, value)?),
                    (name, value, einval)
                );
                eq!(
                    (name, value, k.get_tunable(name)?),
                    (name, value, kept.clone())
                );
            }
            Ok(())
        })?;
    }
    Ok(())
}

const NUMBER: &str = "core/somaxconn";

fn words_that_are_numbers(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    restored(k, NUMBER, |k| {
        for (text, taken, value) in [
            ("100\n", 4, "100"),
            ("  77  ", 6, "77"),
            ("0x50", 4, "80"),
            ("010", 3, "8"),
            ("12 abc", 3, "12"),
            ("13\t14\n", 3, "13"),
        ] {
            eq!((text, k.set_tunable(NUMBER, text)?), (text, taken));
            eq!((text, k.get_tunable(NUMBER)?), (text, value.to_string()));
        }
        for text in [
            "\n",
            " ",
            "+5",
            "abc",
            "12abc",
            "-",
            "5,6",
            "4096\0",
            "99999999999999999999999",
            "00000000000000000000007",
        ] {
            eq!(
                (text, k.set_tunable(NUMBER, text)?),
                (text, -i64::from(libc::EINVAL))
            );
        }
        ret!(k.set_tunable(NUMBER, "")?, 0);
        eq!(k.get_tunable(NUMBER)?, "13");
        Ok(())
    })
}

fn position_of_a_write(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    restored(k, NUMBER, |k| {
        let fd = ok!(k.open(&path(NUMBER), O_RDWR));
        ret!(k.write(fd, b"55"), 2);
        ret!(k.lseek(fd, 0, SEEK_CUR), 2);
        // Only what is written at the beginning counts.
        ret!(k.write(fd, b"66"), 2);
        ret!(k.lseek(fd, 0, SEEK_CUR), 4);
        eq!(k.get_tunable(NUMBER)?, "55");
        ret!(k.lseek(fd, 0, SEEK_SET), 0);
        ret!(k.write(fd, b"77"), 2);
        eq!(k.get_tunable(NUMBER)?, "77");
        Ok(())
    })?;
    // Those that are no int to the kernel stay where they are.
    let unsigned = "ipv4/ip_default_ttl";
    restored(k, unsigned, |k| {
        let fd = ok!(k.open(&path(unsigned), O_RDWR));
        ret!(k.write(fd, b"55"), 2);
        ret!(k.lseek(fd, 0, SEEK_CUR), 0);
        ret!(k.write(fd, b"66"), 2);
        eq!(k.get_tunable(unsigned)?, "66");
        Ok(())
    })
}

fn vectors_in_part(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let name = "ipv4/tcp_rmem";
    restored(k, name, |k| {
        ret!(k.set_tunable(name, "4096 131072 6291456")?, 19);
        ret!(k.set_tunable(name, "5000")?, 4);
        eq!(k.get_tunable(name)?, "5000\t131072\t6291456");
        ret!(k.set_tunable(name, "5001 6001")?, 9);
        eq!(k.get_tunable(name)?, "5001\t6001\t6291456");
        // What comes before the error has been taken.
        err!(k.set_tunable(name, "5002 x")?, EINVAL);
        eq!(k.get_tunable(name)?, "5002\t6001\t6291456");
        // What is too much is left to another write.
        ret!(k.set_tunable(name, "4096 131072 6291456 7")?, 20);
        Ok(())
    })
}

fn port_range_and_privileged_ports(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let (range, start) = (
        "ipv4/ip_local_port_range",
        "ipv4/ip_unprivileged_port_start",
    );
    restored(k, range, |k| {
        ret!(k.set_tunable(range, "41000")?, 5);
        eq!(k.get_tunable(range)?, "41000\t60999");
        // A pair is taken together, or not at all.
        err!(k.set_tunable(range, "42000 x")?, EINVAL);
        eq!(k.get_tunable(range)?, "41000\t60999");
        restored(k, start, |k| {
            err!(k.set_tunable(start, "41001")?, EINVAL);
            ret!(k.set_tunable(start, "2000")?, 4);
            err!(k.set_tunable(range, "1500 3000")?, EINVAL);
            Ok(())
        })
    })
}

fn read_in_pieces(k: &mut dyn Kernel) -> Outcome {
    let fd = ok!(k.open(&path("ipv4/ip_default_ttl"), O_RDONLY));
    let mut piece = [0; 16];
    // A number is read in one piece: there is nothing after it.
    ret!(k.read(fd, &mut piece[..1]), 1);
    ret!(k.read(fd, &mut piece), 0);
    ret!(k.lseek(fd, 0, SEEK_SET), 0);
    let n = ok!(k.read(fd, &mut piece));
    check!(n >= 2 && piece[n as usize - 1] == b'\n', "{piece:?}");
    ret!(k.read(fd, &mut piece), 0);
    Ok(())
}

fn open_by_an_ordinary_user(k: &mut dyn Kernel) -> Outcome {
    k.drop_privileges();
    for flags in [O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_WRONLY | O_CREAT] {
        err!(k.open(&path(NUMBER), flags), EACCES);
    }
    ok!(k.open(&path(NUMBER), O_RDONLY));
    err!(k.open(&path("ipv4/route/flush"), O_RDONLY), EACCES);
    err!(k.open("/proc/net/tcp", O_WRONLY), EACCES);
    ok!(k.open("/proc/net/tcp", O_RDONLY));
    Ok(())
}

fn open_flags(k: &mut dyn Kernel) -> Outcome {
    for file in [path(NUMBER).as_str(), "/proc/net/tcp"] {
        err!(k.open(file, O_RDONLY | O_CREAT | O_EXCL), EEXIST);
        err!(k.open(file, O_RDONLY | O_DIRECTORY), ENOTDIR);
        ok!(k.open(file, O_RDONLY | O_CREAT));
    }
    Ok(())
}

fn names_there_are_not(k: &mut dyn Kernel) -> Outcome {
    for file in [
        "/proc/sys/net/core/no_such_tunable",
        "/proc/sys/net/ipv4/conf/no_such_interface/tag",
        "/proc/net/no_such_file",
        "/proc/self/net/no_such_file",
    ] {
        err!(k.open(file, O_RDONLY), ENOENT);
    }
    for file in ["/proc/self/net/tcp", "/proc/thread-self/net/tcp"] {
        let fd = ok!(k.open(file, O_RDONLY));
        check!(
            k.read_to_end(fd)?.starts_with("  sl  local_address"),
            "{file}"
        );
    }
    Ok(())
}

fn congestion_by_name(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let name = "ipv4/tcp_congestion_control";
    restored(k, name, |k| {
        ret!(k.set_tunable(name, "reno\n")?, 5);
        eq!(k.get_tunable(name)?, "reno");
        err!(k.set_tunable(name, "nope")?, ENOENT);
        err!(k.set_tunable(name, " reno")?, ENOENT);
        eq!(k.get_tunable(name)?, "reno");
        let all = k.get_tunable("ipv4/tcp_available_congestion_control")?;
        check!(all.split(' ').any(|word| word == "reno"), "{all}");
        let fd = ok!(k.socket(libc::AF_INET, libc::SOCK_STREAM, 0));
        let (got, bytes) = k.getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_CONGESTION, 16);
        ret!(got, 0);
        check!(bytes.starts_with(b"reno\0"), "{bytes:?}");
        Ok(())
    })
}

fn write_only(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let name = "ipv6/route/flush";
    err!(k.open(&path(name), O_RDONLY), EACCES);
    ret!(k.set_tunable(name, "1")?, 1);
    Ok(())
}

fn read_only(k: &mut dyn Kernel) -> Outcome {
    let name = path("ipv4/tcp_available_congestion_control");
    for flags in [O_WRONLY, O_RDWR, O_TRUNC] {
        err!(k.open(&name, flags), EACCES);
    }
    Ok(())
}

fn wrong_direction(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let read = ok!(k.open(&path(NUMBER), O_RDONLY));
    err!(k.write(read, b"1"), EBADF);
    let write = ok!(k.open(&path(NUMBER), O_WRONLY));
    let mut buf = [0; 8];
    err!(k.read(write, &mut buf), EBADF);
    // What nobody can write root may not open for it either.
    err!(k.open("/proc/net/tcp", O_WRONLY), EACCES);
    err!(k.open("/proc/net/tcp", O_RDWR), EACCES);
    Ok(())
}

fn seek_to_the_end(k: &mut dyn Kernel) -> Outcome {
    let net = ok!(k.open("/proc/net/tcp", O_RDONLY));
    err!(k.lseek(net, 0, SEEK_END), EINVAL);
    Ok(())
}

fn bad_pointers(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let fd = ok!(k.open(&path(NUMBER), O_RDWR));
    let bad = crate::mem::BAD;
    err!(
        k.syscall(libc::SYS_read, [fd as u64, bad, 8, 0, 0, 0]),
        EFAULT
    );
    err!(
        k.syscall(libc::SYS_write, [fd as u64, bad, 8, 0, 0, 0]),
        EFAULT
    );
    ret!(k.lseek(fd, 0, SEEK_CUR), 0);
    Ok(())
}
