use crate::cred::{Caps, Cred};
use crate::host::{Host, HostConfig};
use alloc::string::ToString;
use switchboard_abi::Errno;

fn host() -> Host {
    Host::new(HostConfig::default())
}

#[test]
fn every_name_is_there_once_and_reads() {
    let host = host();
    let names = host.tunables();
    let mut once = names.clone();
    once.dedup();
    assert_eq!(once, names);
    for name in &names {
        let name = alloc::format!("net/{name}");
        match host.sysctl(&name) {
            // A list of ports may be empty.
            Ok(text) if name.ends_with("/ip_local_reserved_ports") => assert_eq!(text, "\n"),
            Ok(text) => assert!(text.ends_with('\n') && text.len() > 1, "{name}: {text:?}"),
            Err(errno) => assert_eq!((errno, name.ends_with("flush")), (Errno::EACCES, true)),
        }
    }
}

#[test]
fn what_is_read_may_be_written_back() {
    let mut host = host();
    for name in host.tunables() {
        let name = alloc::format!("net/{name}");
        let tunable = host.tunable(&name).expect("listed");
        if tunable.mode() == 0o644 {
            let text = host.sysctl(&name).expect("readable");
            assert_eq!(host.set_sysctl(&name, &text), Ok(()), "{name} {text:?}");
            assert_eq!(host.sysctl(&name).as_deref(), Ok(text.as_str()), "{name}");
        }
    }
}

#[test]
fn names_have_two_spellings() {
    let host = host();
    assert_eq!(host.sysctl("net.core.somaxconn").as_deref(), Ok("4096\n"));
    assert_eq!(host.sysctl("net/core/somaxconn").as_deref(), Ok("4096\n"));
    for none in [
        "core/somaxconn",
        "net.core",
        "net.core.nope",
        "net.ipv4.conf.eth9.tag",
        "net.ipv4.neigh.all.app_solicit",
        "",
    ] {
        assert_eq!(host.sysctl(none), Err(Errno::ENOENT), "{none}");
    }
}

#[test]
fn a_switch_is_read_as_it_was_written() {
    let mut host = host();
    assert_eq!(host.set_sysctl("net.ipv4.tcp_timestamps", "2"), Ok(()));
    assert_eq!(host.sysctl("net.ipv4.tcp_timestamps").as_deref(), Ok("2\n"));
    host.stack_mut().sysctl_mut().tcp_timestamps = false;
    assert_eq!(host.sysctl("net.ipv4.tcp_timestamps").as_deref(), Ok("0\n"));
    assert_eq!(host.set_sysctl("net.ipv4.tcp_fin_timeout", "-1"), Ok(()));
    assert_eq!(
        host.sysctl("net.ipv4.tcp_fin_timeout").as_deref(),
        Ok("-1\n")
    );
    assert!(host.stack().sysctl().tcp_fin_timeout.is_zero());
}

#[test]
fn vectors_in_part() {
    let mut host = host();
    let name = "net.ipv4.tcp_rmem";
    assert_eq!(host.set_sysctl(name, "5001 6001"), Ok(()));
    assert_eq!(host.set_sysctl(name, "5002 x"), Err(Errno::EINVAL));
    assert_eq!(host.stack().sysctl().tcp_rmem[..2], [5002, 6001]);
    let name = "net.ipv4.ip_local_port_range";
    assert_eq!(host.set_sysctl(name, "41000 x"), Err(Errno::EINVAL));
    assert_eq!(host.set_sysctl(name, "50000 40000"), Err(Errno::EINVAL));
    assert_eq!(host.set_sysctl(name, "100 2000"), Err(Errno::EINVAL));
    assert_eq!(host.stack().sysctl().ip_local_port_range, (32_768, 60_999));
    assert_eq!(host.set_sysctl(name, "41000"), Ok(()));
    assert_eq!(host.sysctl(name).as_deref(), Ok("41000\t60999\n"));
}

#[test]
fn what_is_fixed_stays() {
    let mut host = host();
    let name = "net.ipv4.conf.all.bootp_relay";
    assert_eq!(host.set_sysctl(name, "0"), Ok(()));
    assert_eq!(host.set_sysctl(name, "1"), Err(Errno::EINVAL));
    assert_eq!(
        host.set_sysctl("net.ipv4.tcp_congestion_control", "nope"),
        Err(Errno::ENOENT)
    );
    let fixed = host.set_sysctl("net.ipv4.tcp_available_congestion_control", "reno");
    assert_eq!(fixed, Err(Errno::EACCES));
}

/// `all` sets the others too; one interface is its own.
#[test]
fn forwarding_is_set_for_all_or_one() {
    let mut host = host();
    let values = |host: &Host| {
        let one = |name: &str| host.sysctl(name).unwrap_or_default().trim().to_string();
        [
            "ip_forward",
            "conf.all.forwarding",
            "conf.default.forwarding",
            "conf.lo.forwarding",
        ]
        .map(|name| one(&alloc::format!("net.ipv4.{name}")))
    };
    assert_eq!(values(&host), ["0", "0", "0", "0"]);
    assert_eq!(host.set_sysctl("net.ipv4.ip_forward", "1"), Ok(()));
    assert_eq!(values(&host), ["1", "1", "1", "1"]);
    assert_eq!(host.set_sysctl("net.ipv4.conf.lo.forwarding", "0"), Ok(()));
    assert_eq!(
        host.set_sysctl("net.ipv4.conf.default.forwarding", "0"),
        Ok(())
    );
    assert_eq!(values(&host), ["1", "1", "0", "0"]);
    assert_eq!(host.set_sysctl("net.ipv4.conf.all.forwarding", "2"), Ok(()));
    assert_eq!(values(&host), ["2", "2", "2", "2"]);
    assert_eq!(
        host.sysctl("net.ipv6.conf.all.forwarding").as_deref(),
        Ok("0\n")
    );
    assert_eq!(host.set_sysctl("net.ipv6.conf.all.forwarding", "1"), Ok(()));
    assert_eq!(
        host.sysctl("net.ipv6.conf.lo.forwarding").as_deref(),
        Ok("1\n")
    );
}

#[test]
fn who_may() {
    let host = host();
    let writable = host.tunable("net.core.somaxconn").expect("a tunable");
    let user = Cred::user(2, 1000, 1000);
    assert!(writable.permits(&user, true, false) && !writable.permits(&user, false, true));
    let admin = Cred::new(2, 1000, 1000, Caps::NET_ADMIN);
    assert!(writable.permits(&admin, true, true));
    let all_but = Cred::new(2, 1000, 1000, Caps::all() - Caps::NET_ADMIN);
    assert!(!writable.permits(&all_but, false, true));
    assert!(writable.permits(&Cred::new(2, 0, 0, Caps::empty()), true, true));
    let flush = host.tunable("net.ipv4.route.flush").expect("a tunable");
    assert!(!flush.permits(&Cred::root(1), true, false));
}

#[test]
fn a_new_interface_has_what_default_has() {
    let mut host = host();
    for (name, value) in [
        ("net.ipv6.conf.default.disable_ipv6", "1"),
        ("net.ipv4.conf.default.send_redirects", "0"),
        ("net.ipv4.conf.default.rp_filter", "2"),
    ] {
        host.set_sysctl(name, value).unwrap();
    }
    let config = switchboard_engine::InterfaceConfig {
        name: "eth0".to_string(),
        mtu: 1500,
    };
    let mac = switchboard_wire::Mac([2, 0, 0, 0, 0, 1]);
    let eth = host.stack_mut().add_ethernet(config, mac);
    host.inherit_conf(eth);
    host.stack_mut()
        .add_address(eth, "fd00::1".parse().unwrap(), 64);
    assert_eq!(host.stack().interface(eth).unwrap().addresses(), &[]);
    for (name, value) in [
        ("net.ipv6.conf.eth0.disable_ipv6", "1\n"),
        ("net.ipv4.conf.eth0.send_redirects", "0\n"),
        ("net.ipv4.conf.eth0.rp_filter", "2\n"),
    ] {
        assert_eq!(host.sysctl(name).unwrap(), value);
    }
    // Another name, and what was said goes with it.
    host.rename_kept("eth0", Some("lan"));
    assert!(host.kept.contains_key("ipv6/conf/lan/disable_ipv6"));
    host.rename_kept("lan", None);
    assert!(!host.kept.keys().any(|name| name.contains("/lan/")));
}
