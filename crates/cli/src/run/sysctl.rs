//! `--sysctl NAME=VALUE`: tunables of the run's host, before the program starts.
//!
//! A run has Linux's defaults as its own, whatever the machine is tuned to: it behaves the same everywhere, and its
//! programs read under /proc/sys/net what is in effect for them.

use switchboard_abi::Errno;
use switchboard_socket::Host;

/// Sets each of those of interfaces, or of the others, in order. An error is one line for the user.
pub(super) fn apply(
    host: &mut Host,
    settings: &[String],
    of_interfaces: bool,
) -> Result<(), String> {
    for setting in settings {
        let Some((name, value)) = setting.split_once('=') else {
            return Err(format!("--sysctl {setting}: what is wanted is NAME=VALUE"));
        };
        if names_interface(name.trim()) != of_interfaces {
            continue;
        }
        set(host, name.trim(), value.trim()).map_err(|what| format!("--sysctl {name}: {what}"))?;
    }
    Ok(())
}

/// Sets one. An error says what is wrong, and not of which.
pub(super) fn set(host: &mut Host, name: &str, value: &str) -> Result<(), String> {
    host.set_sysctl(name, value)
        .map_err(|errno| explain(host, name, value, errno))
}

/// Whether it is a tunable of an interface, which has to be there.
pub(super) fn names_interface(name: &str) -> bool {
    let mut words = name.split(['.', '/']).skip(2);
    let kind = words.next().unwrap_or_default();
    let of = words.next().unwrap_or_default();
    matches!(kind, "conf" | "neigh") && !matches!(of, "" | "all" | "default" | "lo")
}

/// `net.ipv4.ping_group_range` of hosts that have somebody to ping: everybody may, whatever capabilities ping(8) has
/// lost on its way here (no_new_privs takes those of its file). Containers have it like this, too.
pub(super) const PING_FOR_ALL: (&str, &str) = ("net.ipv4.ping_group_range", "0 2147483647");

fn explain(host: &Host, name: &str, value: &str, errno: Errno) -> String {
    match errno {
        Errno::ENOENT if host.tunable(name).is_none() => {
            "there is no such tunable here; `switchboard support` lists them".to_owned()
        }
        Errno::EACCES => "it cannot be set".to_owned(),
        _ => format!("{value:?} is not a value it takes"),
    }
}

#[cfg(test)]
mod tests {
    use super::apply;
    use switchboard_socket::{Host, HostConfig};

    fn set(setting: &str) -> Result<String, String> {
        let mut host = Host::new(HostConfig::default());
        apply(&mut host, &[setting.to_string()], false)?;
        apply(&mut host, &[setting.to_string()], true)?;
        let name = setting.split('=').next().unwrap_or_default().trim();
        host.sysctl(name).map_err(|errno| errno.to_string())
    }

    #[test]
    fn what_is_set_is_read() {
        assert_eq!(set("net.core.somaxconn=7").as_deref(), Ok("7\n"));
        assert_eq!(set("net.core.somaxconn = 7").as_deref(), Ok("7\n"));
        let range = set("net/ipv4/ip_local_port_range=40000 50000");
        assert_eq!(range.as_deref(), Ok("40000\t50000\n"));
    }

    #[test]
    fn one_line_says_what_is_wrong() {
        for (setting, word) in [
            ("net.core.somaxconn", "NAME=VALUE"),
            ("net.ipv6.conf.eth7.forwarding=1", "no such tunable"),
            ("net.core.nope=1", "no such tunable"),
            ("kernel.hostname=x", "no such tunable"),
            ("net.core.somaxconn=abc", "\"abc\" is not a value"),
            ("net.core.somaxconn=1 2", "not a value"),
            ("net.ipv4.tcp_congestion_control=nope", "not a value"),
            (
                "net.ipv4.tcp_available_congestion_control=reno",
                "cannot be set",
            ),
        ] {
            let error = set(setting).expect_err(setting);
            assert!(error.contains(word) && !error.contains('\n'), "{error}");
        }
    }
}
