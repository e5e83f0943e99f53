//! /proc/net/netlink, packet and ip6_flowlabel.

use super::Inodes;
use super::sockets::POINTER;
use crate::host::Host;
use crate::netlink::has_own;
use alloc::string::String;
use core::fmt::Write;
use core::time::Duration;
use switchboard_engine::Instant;

/// netlink_native_seq_show(): those that have a port, by protocol; among them the kernel's own, which have no file.
pub(super) fn netlink(host: &Host, inodes: Inodes<'_>, out: &mut String) {
    out.push_str(
        "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n",
    );
    let mut line = |protocol: i32,
                    port: u32,
                    groups: u32,
                    memory: u32,
                    dump: bool,
                    drops,
                    inode| {
        let dump = u8::from(dump);
        let _ = writeln!(
            out,
            "{POINTER} {protocol:<3} {port:<10} {groups:08x} {memory:<8} {:<8} {dump:<5} {:<8} {drops:<8} {inode:<8}",
            0, 2,
        );
    };
    for protocol in 0..32 {
        if has_own(protocol) {
            line(protocol, 0, 0, 0, false, 0, 0);
        }
        for id in &host.netlinks {
            let Ok(s) = host.netlink(*id) else { continue };
            let (of, port, groups) = s.shown();
            if of == protocol && port != 0 {
                let (memory, dump) = (s.charged(), s.is_dumping());
                line(protocol, port, groups, memory, dump, s.drops(), inodes(*id));
            }
        }
    }
}

/// packet_seq_show()
pub(super) fn packet(host: &Host, inodes: Inodes<'_>, out: &mut String) {
    out.push_str("sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n");
    for &id in &host.packets {
        let (Ok(socket), Ok(s)) = (host.get(id), host.packet(id)) else {
            continue;
        };
        let running = u8::from(host.packet_is_running(id));
        let _ = writeln!(
            out,
            "{POINTER} {:<6} {:<4} {:04x}   {:<5} {running:1} {:<6} {:<6} {:<6}",
            2,
            socket.common.ty,
            s.protocol(),
            s.interface().map_or(0, |index| index.get()),
            s.charged(),
            socket.common.uid,
            inodes(id),
        );
    }
}

/// ip6fl_seq_show()
pub(super) fn flow_labels(host: &Host, now: Instant, out: &mut String) {
    out.push_str("Label S Owner  Users  Linger Expires  Dst                              Opt\n");
    let since_boot = Duration::from_nanos(now.as_nanos());
    for (label, lease) in host.inet.leases.listed(now) {
        let left = lease.expires.saturating_sub(since_boot).as_secs();
        let _ = write!(
            out,
            "{label:05X} {:<1} {:<6} {:<6} {:<6} {left:<8} ",
            lease.share,
            lease.owner,
            lease.users,
            lease.linger.as_secs(),
        );
        for byte in lease.dst.octets() {
            let _ = write!(out, "{byte:02x}");
        }
        out.push_str(" 0   \n");
    }
}
