//! `--sysctl NAME=VALUE`: tunables of the run's host, before the program starts.
//!
//! A run has Linux's defaults as its own, whatever the machine is tuned to: it behaves the same everywhere, and its
//! programs read under /proc/sys/net what is in effect for them.

use switchboard_abi::Errno;
use switchboard_socket::Host;

/// Sets each, in order. An error is one line for the user.
pub(super) fn apply(host: &mut Host, settings: &[String]) -> Result<(), String> {
    for setting in settings {
        let Some((name, value)) = setting.split_once('=') else {
            return Err(format!("--sysctl {setting}: what is wanted is NAME=VALUE"));
        };
        let (name, value) = (name.trim(), value.trim());
        host.set_sysctl(name, value)
            .map_err(|errno| explain(host, name, value, errno))?;
    }
    Ok(())
}

fn explain(host: &Host, name: &str, value: &str, errno: Errno) -> String {
    match errno {
        Errno::ENOENT if host.tunable(name).is_none() => format!(
            "--sysctl {name}: there is no such tunable here; `switchboard support` lists them"
        ),
        Errno::EACCES => format!("--sysctl {name}: it cannot be set"),
        _ => format!("--sysctl {name}={value}: not a value it takes"),
    }
}

#[cfg(test)]
mod tests {
    use super::apply;
    use switchboard_socket::{Host, HostConfig};

    fn set(setting: &str) -> Result<String, String> {
        let mut host = Host::new(HostConfig::default());
        apply(&mut host, &[setting.to_string()])?;
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
            ("net.core.nope=1", "no such tunable"),
            ("kernel.hostname=x", "no such tunable"),
            ("net.core.somaxconn=abc", "not a value"),
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
