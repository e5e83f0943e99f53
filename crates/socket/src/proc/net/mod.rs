//! /proc/net: tables of what is there, in Linux's format.
//!
//! # Limits
//! Kernel addresses are zeros, as `kernel.kptr_restrict` has them. Of `netstat` only the columns are there that are
//! counted, or that cannot happen. `size` in `protocols` is that of a socket here.

mod counters;
mod devices;
mod fib_trie;
mod netstat_names;
mod sockets;
mod special;

#[cfg(test)]
mod tests;

pub(crate) use devices::listening_groups;
pub(crate) use fib_trie::Alias;
pub(crate) use sockets::{Datagrams, datagram_sockets};

use crate::host::Host;
use crate::table::SocketId;
use alloc::string::String;
use switchboard_engine::Instant;

/// The inode of a socket's file, as fstat(2) tells the program that has it.
pub type Inodes<'a> = &'a dyn Fn(SocketId) -> u64;

/// Every file there is below /proc/net, in the order of their names.
pub(super) const FILES: &[&str] = &[
    "arp",
    "dev",
    "dev_mcast",
    "fib_trie",
    "fib_triestat",
    "icmp",
    "icmp6",
    "if_inet6",
    "igmp",
    "igmp6",
    "ip6_flowlabel",
    "ipv6_route",
    "mcfilter",
    "mcfilter6",
    "netlink",
    "netstat",
    "packet",
    "protocols",
    "psched",
    "ptype",
    "raw",
    "raw6",
    "route",
    "snmp",
    "snmp6",
    "sockstat",
    "sockstat6",
    "softnet_stat",
    "tcp",
    "tcp6",
    "udp",
    "udp6",
    "udplite",
    "udplite6",
    "unix",
];

impl Host {
    pub(super) fn proc_net(&self, now: Instant, inodes: Inodes<'_>, name: &str) -> String {
        let mut text = String::new();
        let out = &mut text;
        match name {
            "arp" => devices::arp(self, out),
            "dev_mcast" => devices::dev_mcast(self, out),
            "dev" => devices::dev(self, out),
            "fib_trie" => fib_trie::fib_trie(self, out),
            "fib_triestat" => fib_trie::fib_triestat(self, out),
            // psched_show(): nanoseconds of a microsecond and of a tick, ticks of a second, the clock's resolution.
            "psched" => out.push_str("000003e8 00000040 000f4240 3b9aca00\n"),
            "softnet_stat" => devices::softnet_stat(self, out),
            "if_inet6" => devices::if_inet6(self, out),
            "igmp" => devices::igmp(self, out),
            "igmp6" => devices::igmp6(self, out),
            "mcfilter" => devices::mcfilter(self, false, out),
            "mcfilter6" => devices::mcfilter(self, true, out),
            "ip6_flowlabel" => special::flow_labels(self, now, out),
            "route" => devices::route(self, out),
            "ipv6_route" => devices::ipv6_route(self, out),
            "netlink" => special::netlink(self, inodes, out),
            "packet" => special::packet(self, inodes, out),
            "ptype" => out.push_str(
                "Type Device      Function\n0800          ip_rcv\n86dd          ipv6_rcv\n",
            ),
            "netstat" => counters::netstat(self, out),
            "snmp" => counters::snmp(self, now, out),
            "snmp6" => counters::snmp6(self, out),
            "sockstat" => counters::sockstat(self, now, false, out),
            "sockstat6" => counters::sockstat(self, now, true, out),
            "protocols" => counters::protocols(self, out),
            "tcp" => sockets::tcp(self, now, inodes, false, out),
            "tcp6" => sockets::tcp(self, now, inodes, true, out),
            "udp" => sockets::datagrams(self, inodes, Datagrams::Udp, false, out),
            "udp6" => sockets::datagrams(self, inodes, Datagrams::Udp, true, out),
            "udplite" => sockets::datagrams(self, inodes, Datagrams::UdpLite, false, out),
            "udplite6" => sockets::datagrams(self, inodes, Datagrams::UdpLite, true, out),
            "raw" => sockets::datagrams(self, inodes, Datagrams::Raw, false, out),
            "raw6" => sockets::datagrams(self, inodes, Datagrams::Raw, true, out),
            "icmp" => sockets::datagrams(self, inodes, Datagrams::Icmp, false, out),
            "icmp6" => sockets::datagrams(self, inodes, Datagrams::Icmp, true, out),
            "unix" => sockets::unix(self, inodes, out),
            _ => {}
        }
        text
    }
}
