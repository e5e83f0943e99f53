//! The bodies, by area.

use crate::registry::Test;

mod bind;
mod bpf;
mod bpf_socket;
mod combined;
mod conflict_table;
mod conflicts;
mod connect;
mod create;
mod datagram_ways;
mod ended;
mod errors_alone;
mod errqueue;
mod errqueue_extension;
mod errqueue_icmp;
mod events;
mod fd_calls;
mod filter;
mod filter_group;
mod flow_labels;
mod found;
mod found_again;
mod found_datagram;
mod found_late;
mod found_ways;
mod fragments;
mod ilp32;
mod immediate;
mod interface_conf;
mod interface_settings;
mod interfaces;
mod ioctl_refusals;
mod ip_control;
mod ip_options;
mod ipv6_headers;
mod lingering;
mod listen;
mod manual;
mod migration;
mod mmsg;
mod msg_header;
mod multicast;
mod name;
mod netlink;
mod netlink_changes;
mod netlink_dumps;
mod netlink_families;
mod netlink_generic;
mod netlink_policies;
mod netlink_qdisc;
mod netlink_route;
mod netlink_rules;
mod netlink_settings;
mod netlink_socket;
mod netlink_strict;
mod odd_descriptors;
mod opt_buffers;
mod opt_common;
mod opt_device;
mod opt_ints;
mod opt_ip;
mod opt_ipv4;
mod opt_ipv6;
mod opt_marks;
mod opt_peek;
mod opt_sent;
mod opt_socket;
mod opt_stamps;
mod opt_tcp;
mod opt_tcp_rare;
mod opt_udp;
mod option_pointers;
mod packet;
mod packet_fanout;
mod packet_old;
mod packet_ring;
mod packet_send;
mod packet_tx;
mod packet_vnet;
mod ping;
mod proc_dirs;
mod proc_net;
mod proc_net_links;
mod rarer;
mod raw;
mod readiness;
mod route_ioctl;
mod router_advertisements;
mod scm_creds;
mod scm_rights;
mod scm_rights_errors;
mod sigio;
mod signals;
mod sock_diag;
mod sock_diag_more;
mod socketcall;
mod stamp_ioctl;
mod sysctl;
mod sysctl_conf;
mod sysctl_effects;
mod sysctl_tcp;
mod tcp_blocking;
mod tcp_close;
mod tcp_counters;
mod tcp_data;
mod tcp_fastopen;
mod tcp_md5;
mod tcp_over;
mod tcp_repair;
mod tcp_urgent;
mod tun;
mod tun_queues;
mod udp;
mod udp_errors;
mod udplite;
mod unix_dgram;
mod unix_inq;
mod unix_name;
mod unix_options;
mod unix_path;
mod unix_root;
mod unix_seqpacket;
mod unix_stream;
mod waiting;
mod waiting_parts;
mod walked;
mod woken;

/// Every area's tests.
pub(crate) const ALL: &[&[Test]] = &[
    bind::TESTS,
    bpf::TESTS,
    bpf_socket::TESTS,
    combined::TESTS,
    conflict_table::TESTS,
    conflicts::TESTS,
    connect::TESTS,
    create::TESTS,
    datagram_ways::TESTS,
    errqueue::TESTS,
    errqueue_extension::TESTS,
    errqueue_icmp::TESTS,
    ended::TESTS,
    errors_alone::TESTS,
    events::TESTS,
    fd_calls::TESTS,
    filter::TESTS,
    filter_group::TESTS,
    found::TESTS,
    found_again::TESTS,
    found_datagram::TESTS,
    found_late::TESTS,
    found_ways::TESTS,
    ilp32::TESTS,
    immediate::TESTS,
    interface_conf::TESTS,
    interface_settings::TESTS,
    ioctl_refusals::TESTS,
    interfaces::TESTS,
    ip_control::TESTS,
    fragments::TESTS,
    ip_options::TESTS,
    ipv6_headers::TESTS,
    lingering::TESTS,
    listen::TESTS,
    manual::TESTS,
    mmsg::TESTS,
    msg_header::TESTS,
    multicast::TESTS,
    name::TESTS,
    netlink::TESTS,
    netlink_changes::TESTS,
    netlink_families::TESTS,
    netlink_generic::TESTS,
    netlink_dumps::TESTS,
    netlink_policies::TESTS,
    netlink_route::TESTS,
    netlink_rules::TESTS,
    netlink_qdisc::TESTS,
    netlink_settings::TESTS,
    netlink_socket::TESTS,
    netlink_strict::TESTS,
    packet::TESTS,
    packet_fanout::TESTS,
    packet_old::TESTS,
    packet_send::TESTS,
    packet_tx::TESTS,
    packet_vnet::TESTS,
    packet_ring::TESTS,
    odd_descriptors::TESTS,
    opt_buffers::TESTS,
    opt_common::TESTS,
    opt_device::TESTS,
    opt_ints::TESTS,
    opt_ip::TESTS,
    opt_marks::TESTS,
    opt_peek::TESTS,
    opt_sent::TESTS,
    opt_ipv4::TESTS,
    opt_ipv6::TESTS,
    opt_socket::TESTS,
    opt_stamps::TESTS,
    opt_tcp::TESTS,
    opt_tcp_rare::TESTS,
    ping::TESTS,
    opt_udp::TESTS,
    option_pointers::TESTS,
    proc_dirs::TESTS,
    proc_net::TESTS,
    proc_net_links::TESTS,
    rarer::TESTS,
    raw::TESTS,
    router_advertisements::TESTS,
    readiness::TESTS,
    route_ioctl::TESTS,
    scm_creds::TESTS,
    scm_rights::TESTS,
    scm_rights_errors::TESTS,
    sigio::TESTS,
    signals::TESTS,
    sock_diag::TESTS,
    sock_diag_more::TESTS,
    socketcall::TESTS,
    stamp_ioctl::TESTS,
    sysctl::TESTS,
    sysctl_conf::TESTS,
    sysctl_effects::TESTS,
    sysctl_tcp::TESTS,
    tcp_blocking::TESTS,
    tcp_close::TESTS,
    tcp_counters::TESTS,
    tcp_data::TESTS,
    tcp_fastopen::TESTS,
    // Behind `sysctl`: a listener with TCP_FASTOPEN makes the host's key.
    migration::TESTS,
    tcp_md5::TESTS,
    tcp_over::TESTS,
    tcp_repair::TESTS,
    tcp_urgent::TESTS,
    tun::TESTS,
    tun_queues::TESTS,
    udp::TESTS,
    udp_errors::TESTS,
    udplite::TESTS,
    unix_dgram::TESTS,
    unix_inq::TESTS,
    unix_name::TESTS,
    unix_options::TESTS,
    unix_path::TESTS,
    unix_root::TESTS,
    unix_seqpacket::TESTS,
    unix_stream::TESTS,
    waiting::TESTS,
    waiting_parts::TESTS,
    walked::TESTS,
    woken::TESTS,
    // Leases outlive their sockets, and forbid others to send with labels of their own.
    flow_labels::TESTS,
];
