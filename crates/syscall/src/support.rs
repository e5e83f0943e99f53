//! What is implemented beside the options: families, calls, flags, ioctls, control messages.
//!
//! The options have a table of their own ([`switchboard_socket::support_table`]). Whoever adds a
//! call or a flag adds its row here; `switchboard support` prints both.

use alloc::vec::Vec;
use switchboard_socket::{Status, sysctl_table};

/// What a row is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Kind {
    /// A domain and type of socket(2).
    Family,
    /// A system call.
    Call,
    /// A `MSG_*` flag.
    Flag,
    /// A command of ioctl(2).
    Ioctl,
    /// A control message, as it is sent or received.
    Control,
    /// A tunable under /proc/sys.
    Sysctl,
    /// A file under /proc/net.
    Proc,
}

/// A row of the support matrix.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SupportRow {
    /// What it is about.
    pub kind: Kind,
    /// Its name in the man pages.
    pub name: &'static str,
    /// How far it is implemented.
    pub status: Status,
    /// Limits, or what a refusal looks like.
    pub note: &'static str,
}

impl SupportRow {
    /// A row may hold several names that are alike.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.name.split(", ")
    }
}

const fn row(kind: Kind, name: &'static str, status: Status, note: &'static str) -> SupportRow {
    SupportRow {
        kind,
        name,
        status,
        note,
    }
}

/// Every row. The tunables are those of the socket layer's own table.
pub fn support() -> Vec<SupportRow> {
    let tunables = sysctl_table().map(|tunable| SupportRow {
        kind: Kind::Sysctl,
        name: tunable.name,
        status: tunable.status,
        note: tunable.note,
    });
    ROWS.iter().copied().chain(tunables).collect()
}

use Kind::{Call, Control, Family, Flag, Ioctl, Proc};
use Status::{Done, Refused, Stored};

#[rustfmt::skip]
const ROWS: &[SupportRow] = &[
    row(Family, "AF_UNIX SOCK_STREAM", Done, ""),
    row(Family, "AF_UNIX SOCK_DGRAM", Done, ""),
    row(Family, "AF_UNIX SOCK_SEQPACKET", Done, ""),
    row(Family, "AF_INET SOCK_STREAM", Done, "TCP; congestion control is cubic, reno or bbr"),
    row(Family, "AF_INET SOCK_DGRAM", Done, "UDP"),
    row(Family, "AF_INET6 SOCK_STREAM", Done, "TCP, dual-stack"),
    row(Family, "AF_INET6 SOCK_DGRAM", Done, "UDP, dual-stack"),
    row(Family, "SOCK_RAW", Done, "AF_INET and AF_INET6, any protocol"),
    row(Family, "IPPROTO_ICMP SOCK_DGRAM", Done, "ping sockets, of both families; net.ipv4.ping_group_range says for whom"),
    row(Family, "IPPROTO_UDPLITE SOCK_DGRAM", Done, "UDP-Lite, of both families"),
    row(Family, "IPPROTO_SCTP, IPPROTO_MPTCP", Refused, "EPROTONOSUPPORT"),
    row(Family, "AF_NETLINK", Done, "of these protocols; others are EPROTONOSUPPORT"),
    row(Family, "NETLINK_ROUTE", Done, "links, addresses, routes and neighbours, read and changed; rules by address, mark, interface, port, protocol, user and type of service; queueing disciplines, netconf, address labels, groups and tables of neighbours, read; no new links, no proxies, unicast routes of the table main"),
    row(Family, "RTM_NEWQDISC, RTM_DELQDISC", Done, "tc(8): netem (no slots, no cells), tbf, fq_codel, codel, pfifo, bfifo, pfifo_fast, noqueue; tbf and netem with one behind them; others are ENOENT; no classes, no filters, no estimators, no size tables"),
    row(Family, "NETLINK_SOCK_DIAG", Done, "TCP, UDP, UDP-Lite, AF_UNIX, AF_NETLINK and AF_PACKET; SOCK_DESTROY of TCP and UDP"),
    row(Family, "NETLINK_USERSOCK", Done, "to a group alone send(2) returns the length, where Linux says ECONNREFUSED and sends all the same"),
    row(Family, "NETLINK_GENERIC", Done, "the family nlctrl, which tells that there is no other"),
    row(Family, "NETLINK_KOBJECT_UEVENT", Done, "no device comes or goes, so there is nothing to hear"),
    row(Family, "AF_PACKET", Done, "SOCK_RAW and SOCK_DGRAM"),
    row(Family, "SOCK_PACKET", Done, "of AF_PACKET, and of AF_INET for old programs"),
    row(Family, "AF_VSOCK and others", Refused, "EAFNOSUPPORT"),
    row(Call, "socket", Done, ""),
    row(Call, "socketpair", Done, ""),
    row(Call, "bind", Done, ""),
    row(Call, "connect", Done, ""),
    row(Call, "listen", Done, ""),
    row(Call, "accept", Done, ""),
    row(Call, "accept4", Done, ""),
    row(Call, "getsockname", Done, ""),
    row(Call, "getpeername", Done, ""),
    row(Call, "send", Done, ""),
    row(Call, "recv", Done, ""),
    row(Call, "sendto", Done, ""),
    row(Call, "recvfrom", Done, ""),
    row(Call, "sendmsg", Done, ""),
    row(Call, "recvmsg", Done, ""),
    row(Call, "sendmmsg", Done, ""),
    row(Call, "recvmmsg", Done, "with its timeout"),
    row(Call, "shutdown", Done, ""),
    row(Call, "setsockopt", Done, "see the options"),
    row(Call, "getsockopt", Done, "see the options"),
    row(Call, "socketcall", Done, "all twenty calls, ILP32 and LP64"),
    row(Call, "read, write, readv, writev, preadv2, pwritev2", Done, ""),
    row(Call, "sendfile", Done, "to a socket, from a regular file; from a socket to a pipe"),
    row(Call, "splice", Done, "between a pipe and a socket"),
    row(Call, "ioctl", Done, "see the commands"),
    row(Call, "poll, select, epoll, fcntl, dup, close", Done, "under the runner the kernel's own"),
    row(Call, "bpf", Done, "programs of sockets, maps of the common kinds; other commands EPERM or EINVAL"),
    row(Call, "io_submit", Refused, "EINVAL for a socket, under the runner; IOCB_CMD_POLL is done"),
    row(Call, "io_uring_setup", Refused, "ENOSYS, under the runner"),
    row(Flag, "MSG_DONTWAIT", Done, ""),
    row(Flag, "MSG_PEEK", Done, ""),
    row(Flag, "MSG_WAITALL", Done, ""),
    row(Flag, "MSG_TRUNC", Done, ""),
    row(Flag, "MSG_CTRUNC", Done, ""),
    row(Flag, "MSG_NOSIGNAL", Done, ""),
    row(Flag, "MSG_MORE", Done, "TCP and UDP; AF_UNIX ignores it, as Linux does"),
    row(Flag, "MSG_OOB", Done, "TCP and AF_UNIX streams"),
    row(Flag, "MSG_EOR", Stored, "never reported, as on Linux"),
    row(Flag, "MSG_CMSG_CLOEXEC", Done, ""),
    row(Flag, "MSG_WAITFORONE", Done, ""),
    row(Flag, "MSG_PROBE", Done, "UDP: nothing is sent"),
    row(Flag, "MSG_CONFIRM", Done, ""),
    row(Flag, "MSG_DONTROUTE", Done, ""),
    row(Flag, "MSG_ERRQUEUE", Done, ""),
    row(Flag, "MSG_FASTOPEN", Done, ""),
    row(Flag, "MSG_ZEROCOPY", Done, "copied, and the notice says so"),
    row(Ioctl, "FIONREAD (SIOCINQ)", Done, ""),
    row(Ioctl, "SIOCOUTQ", Done, ""),
    row(Ioctl, "SIOCOUTQNSD", Done, "TCP"),
    row(Ioctl, "SIOCATMARK", Done, ""),
    row(Ioctl, "FIONBIO", Done, ""),
    row(Ioctl, "FIOASYNC, FIOSETOWN, SIOCSPGRP, FIOGETOWN, SIOCGPGRP", Done,
        "under the runner by the kernel, on what stands for the socket: an error is told as an arrival or a hang-up"),
    row(Ioctl, "SIOCGSTAMP, SIOCGSTAMPNS", Done, "the old forms and the new; TCP has none, as on Linux"),
    row(Ioctl, "SIOCGIFCONF, SIOCGIFNAME, SIOCGIFINDEX, SIOCGIFFLAGS, SIOCGIFADDR, SIOCGIFDSTADDR, \
        SIOCGIFBRDADDR, SIOCGIFNETMASK, SIOCGIFMTU, SIOCGIFHWADDR, SIOCGIFTXQLEN, SIOCGIFMETRIC, SIOCGIFMAP", Done, ""),
    row(Ioctl, "SIOCSIFFLAGS, SIOCSIFMTU, SIOCSIFNAME, SIOCSIFADDR, SIOCSIFNETMASK, SIOCSIFBRDADDR, SIOCSIFDSTADDR, SIOCDIFADDR", Done,
        "for root and CAP_NET_ADMIN of the program; an MTU below 68 is EINVAL"),
    row(Ioctl, "SIOCSIFTXQLEN, SIOCSIFHWADDR", Stored, "what lo sends is there at once; the address of a link without a link layer is nowhere used"),
    row(Ioctl, "SIOCSIFMETRIC, SIOCSIFMAP", Done, "EOPNOTSUPP, as on Linux"),
    row(Ioctl, "SIOCADDRT, SIOCDELRT", Done, "no RTF_REJECT and no metrics of a route's own: EOPNOTSUPP"),
    row(Ioctl, "SIOCSARP, SIOCGARP, SIOCDARP", Done, "no proxies (ATF_PUBL): EOPNOTSUPP"),
    row(Ioctl, "SIOCGIFMEM", Refused, "ENOTTY"),
    row(Ioctl, "SIOCETHTOOL", Done, "ETHTOOL_GLINK and ETHTOOL_GET_TS_INFO; others EOPNOTSUPP: no interface has hardware"),
    row(Ioctl, "SIOCGMIIPHY, SIOCGMIIREG, SIOCSMIIREG, SIOCSHWTSTAMP, SIOCGHWTSTAMP, SIOCDEVPRIVATE", Refused,
        "EOPNOTSUPP: no interface has hardware"),
    row(Ioctl, "TUNSETIFF, TUNGETIFF, TUNGETFEATURES, TUNSETPERSIST, TUNSETOWNER, TUNSETGROUP, TUNSETLINK, TUNSETCARRIER", Done,
        "of /dev/net/tun, under the runner; with IFF_VNET_HDR and IFF_MULTI_QUEUE; IFF_NAPI is EINVAL"),
    row(Ioctl, "TUNSETOFFLOAD", Done, "checksums, TCP segments; datagrams are never handed on as one; tunnels are EINVAL"),
    row(Ioctl, "TUNSETQUEUE", Done, "queues of IFF_MULTI_QUEUE"),
    row(Ioctl, "TUNGETVNETHDRSZ, TUNSETVNETHDRSZ, TUNGETVNETLE, TUNSETVNETLE", Done, "10 to 256 bytes"),
    row(Ioctl, "TUNSETSNDBUF, TUNGETSNDBUF, TUNSETNOCSUM, TUNSETDEBUG", Stored, "what is written is the stack's at once; the last two do nothing on Linux either"),
    row(Ioctl, "TUNSETIFINDEX, TUNSETTXFILTER, TUNATTACHFILTER, TUNDETACHFILTER, TUNGETFILTER, TUNSETSTEERINGEBPF, \
        TUNSETFILTEREBPF, TUNGETVNETBE, TUNSETVNETBE, TUNGETDEVNETNS", Refused,
        "EINVAL"),
    row(Ioctl, "SIOCGSKNS", Done, "under the runner what /proc/self/ns/net is; in the library EOPNOTSUPP, as without namespaces"),
    row(Ioctl, "SIOCRTMSG, SIOCGIFPFLAGS, SIOCSIFPFLAGS", Done, "EINVAL, as on Linux"),
    row(Ioctl, "SIOCGIFSLAVE", Done, "EINVAL, as on Linux"),
    row(Ioctl, "SIOCWANDEV, SIOCBONDINFOQUERY, SIOCBONDSLAVEINFOQUERY, SIOCBONDENSLAVE, SIOCBONDRELEASE, SIOCBONDSETHWADDR, SIOCBONDCHANGEACTIVE", Refused, "EOPNOTSUPP: no interface is of that kind"),
    row(Ioctl, "SIOCGIFVLAN, SIOCSIFVLAN, SIOCGIFBR, SIOCSIFBR, SIOCBRADDBR, SIOCBRDELBR, SIOCBRADDIF, SIOCBRDELIF", Refused,
        "ENOPKG, as of a kernel without VLANs and bridges"),
    row(Ioctl, "SIOCSIFSLAVE, SIOCADDMULTI, SIOCDELMULTI", Refused, "EINVAL, as on Linux's lo"),
    row(Ioctl, "SIOCSIFHWBROADCAST", Refused, "EOPNOTSUPP; EINVAL for an address of another kind"),
    row(Ioctl, "SIOCGETVIFCNT, SIOCGETSGCNT", Done, "EINVAL and EADDRNOTAVAIL, as of a raw socket that is no multicast router"),
    row(Ioctl, "SIOCUNIXFILE", Done,
        "under the runner that of a bound socket is ENOTTY: an O_PATH descriptor cannot be given to a program"),
    row(Control, "SCM_RIGHTS", Done, "under the runner no descriptors of O_PATH: EINVAL"),
    row(Control, "SCM_CREDENTIALS", Done, ""),
    row(Control, "SCM_TIMESTAMP", Done, "received; of TCP the time of the last segment"),
    row(Control, "IP_PKTINFO", Done, "sent and received"),
    row(Control, "IPV6_PKTINFO", Done, "sent and received"),
    row(Control, "IP_TTL, IP_TOS, IPV6_HOPLIMIT, IPV6_TCLASS, IPV6_FLOWINFO", Done, "sent and received"),
    row(Control, "IPV6_2292PKTINFO, IPV6_2292HOPLIMIT", Done, "sent and received"),
    row(Control, "IP_PROTOCOL, IPV6_DONTFRAG", Done, "sent"),
    row(Control, "IP_RECVERR, IPV6_RECVERR, IP_ORIGDSTADDR, IPV6_ORIGDSTADDR, IPV6_PATHMTU", Done, "received"),
    row(Control, "IPV6_HOPOPTS, IPV6_DSTOPTS, IPV6_2292HOPOPTS, IPV6_2292DSTOPTS", Done, "sent and received"),
    row(Control, "IPV6_RTHDRDSTOPTS", Done, "sent"),
    row(Control, "IPV6_RTHDR, IPV6_2292RTHDR", Done, "received; EINVAL when sent, as without mobility on Linux"),
    row(Control, "IP_RETOPTS", Done, "sent and received"),
    row(Control, "IP_RECVOPTS", Done, "received"),
    row(Control, "SCM_TIMESTAMPNS, SCM_TIMESTAMPING", Done, "of TCP the time of the last segment"),
    row(Control, "SCM_TXTIME", Stored, "sent; no interface has a packet scheduler"),
    row(Control, "SCM_TS_OPT_ID", Done, ""),
    row(Control, "SCM_INQ", Done, "received"),
    row(Control, "SCM_PIDFD", Done, "received; EINVAL when sent"),
    row(Control, "SCM_SECURITY", Stored, "there is no security module whose contexts could be passed"),
    row(Proc, "tcp, tcp6, udp, udp6, udplite, udplite6, raw, raw6, icmp, icmp6, unix", Done,
        "kernel addresses are zeros"),
    row(Proc, "dev, dev_mcast, if_inet6, igmp, igmp6, route, ipv6_route, arp, ptype", Done, ""),
    row(Proc, "snmp, snmp6, sockstat, sockstat6, protocols", Done, ""),
    row(Proc, "netstat", Done, "the columns that are counted, or cannot be but 0"),
    row(Proc, "ip6_flowlabel", Done, ""),
    row(Proc, "mcfilter, mcfilter6", Done, ""),
    row(Proc, "netlink, packet", Done, "kernel addresses are zeros, and so are the inodes of the kernel's own sockets"),
    row(Proc, "fib_triestat", Done, "figures of the trees that fib_trie shows"),
    row(Proc, "fib_trie", Done, "routes in the order of their addresses: inner nodes may be others than after other changes on Linux"),
    row(Proc, "softnet_stat", Done, "one processor"),
    row(Proc, "psched", Done, ""),
    row(Proc, "wireless, nf_conntrack and others", Refused, "ENOENT"),
];
