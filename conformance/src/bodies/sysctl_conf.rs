//! Tunables of net.ipv4.conf and net.ipv6.conf that programs set, and IPV6_MTU.

use crate::check::{Outcome, check, eq, err, ok, ret};
use crate::kernel::Kernel;
use crate::msg::Msg;
use crate::proc_file::restored;
use crate::registry::tests;
use crate::scene::NB;
use libc::{AF_INET6, IPPROTO_IPV6, SOCK_DGRAM};

tests! {
    forwarding_goes_to_all [ROOT],
    switches_per_interface [ROOT],
    what_hardening_sets [ROOT],
    ipv6_mtu_cuts,
    ipv6_mtu_in_one_piece,
}

const EACH: [&str; 3] = ["all", "default", "lo"];

fn forwarding_goes_to_all(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    let read = |k: &mut dyn Kernel, family: &str| -> crate::check::Got<Vec<String>> {
        EACH.iter()
            .map(|conf| k.get_tunable(&format!("{family}/conf/{conf}/forwarding")))
            .collect()
    };
    for value in ["2", "0", "-3", "1", "0"] {
        ret!(k.set_tunable("ipv4/ip_forward", value)?, value.len());
        eq!(k.get_tunable("ipv4/ip_forward")?, value);
        eq!(read(k, "ipv4")?, vec![value; 3]);
        ret!(
            k.set_tunable("ipv6/conf/all/forwarding", value)?,
            value.len()
        );
        eq!(read(k, "ipv6")?, vec![value; 3]);
    }
    // One alone; and all again, if that is a change.
    ret!(k.set_tunable("ipv4/conf/lo/forwarding", "1")?, 1);
    eq!(read(k, "ipv4")?, vec!["0", "0", "1"]);
    ret!(k.set_tunable("ipv4/conf/all/forwarding", "0")?, 1);
    eq!(read(k, "ipv4")?, vec!["0", "0", "1"]);
    ret!(k.set_tunable("ipv4/conf/all/forwarding", "5")?, 1);
    eq!(read(k, "ipv4")?, vec!["5", "5", "5"]);
    eq!(k.get_tunable("ipv4/ip_forward")?, "5");
    ret!(k.set_tunable("ipv4/ip_forward", "0")?, 1);
    Ok(())
}

fn switches_per_interface(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for conf in EACH {
        for name in ["accept_local", "src_valid_mark", "medium_id"] {
            let name = format!("ipv4/conf/{conf}/{name}");
            eq!(
                (name.clone(), k.get_tunable(&name)?),
                (name.clone(), "0".to_string())
            );
            restored(k, &name, |k| {
                for value in ["1", "7", "0", "-1"] {
                    ret!(k.set_tunable(&name, value)?, value.len());
                    eq!(k.get_tunable(&name)?, value);
                }
                err!(k.set_tunable(&name, "x")?, EINVAL);
                Ok(())
            })?;
        }
        for name in ["secure_redirects", "shared_media"] {
            let name = format!("ipv4/conf/{conf}/{name}");
            eq!(
                (name.clone(), k.get_tunable(&name)?),
                (name.clone(), "1".to_string())
            );
        }
    }
    Ok(())
}

fn what_hardening_sets(k: &mut dyn Kernel) -> Outcome {
    k.own_network()?;
    for conf in EACH {
        for name in [
            "ipv4/conf/*/accept_redirects",
            "ipv4/conf/*/accept_source_route",
            "ipv4/conf/*/bc_forwarding",
            "ipv4/conf/*/bootp_relay",
            "ipv6/conf/*/accept_redirects",
            "ipv6/conf/*/accept_source_route",
        ] {
            let name = name.replace('*', conf);
            ret!(k.set_tunable(&name, "0")?, 1);
            eq!(
                (name.clone(), k.get_tunable(&name)?),
                (name.clone(), "0".to_string())
            );
        }
    }
    Ok(())
}

const MTU: i32 = libc::IPV6_MTU;

fn ipv6_mtu_cuts(k: &mut dyn Kernel) -> Outcome {
    let (to, addr) = k.udp(AF_INET6)?;
    ret!(k.set_int(to, IPPROTO_IPV6, libc::IPV6_RECVFRAGSIZE, 1), 0);
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    let data: Vec<u8> = (0..65_520).map(|n| n as u8).collect();
    // It counts for what is larger than lo takes.
    for (mtu, len, size) in [
        (0, 5000, None),
        (1280, 5000, None),
        (1280, 65_488, None),
        (1280, 65_489, Some(1280)),
        (1500, 65_500, Some(1496)),
        (60_000, 65_500, Some(60_000)),
    ] {
        ret!(k.set_int(fd, IPPROTO_IPV6, MTU, mtu), 0);
        ret!(k.sendto(fd, &data[..len], 0, &addr), len);
        let mut msg = Msg::room(&[66_000]).control_room(64);
        let n = ok!(k.recvmsg(to, &mut msg, 0));
        check!(msg.data(n) == data[..len], "{mtu}: other bytes");
        let told = msg.cmsg(IPPROTO_IPV6, libc::IPV6_RECVFRAGSIZE);
        let told = told.map(|c| crate::mem::as_int(&c.data));
        eq!((mtu, len, told), (mtu, len, size));
    }
    Ok(())
}

fn ipv6_mtu_in_one_piece(k: &mut dyn Kernel) -> Outcome {
    let (_, addr) = k.udp(AF_INET6)?;
    let fd = ok!(k.socket(AF_INET6, SOCK_DGRAM | NB, 0));
    ret!(k.set_int(fd, IPPROTO_IPV6, MTU, 1280), 0);
    ret!(
        k.set_int(
            fd,
            IPPROTO_IPV6,
            libc::IPV6_MTU_DISCOVER,
            libc::IPV6_PMTUDISC_DO
        ),
        0
    );
    ret!(k.sendto(fd, &[0; 1232], 0, &addr), 1232);
    err!(k.sendto(fd, &[0; 1233], 0, &addr), EMSGSIZE);
    Ok(())
}
