//! Numbers of the socket API, from the kernel's headers.
//!
//! Types are what the calls take: `i32`, but for ioctl(2) commands, which are `u32`.

macro_rules! numbers {
    ($ty:ty, $module:ident: $($name:ident)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "` of the kernel's headers.")]
            pub const $name: $ty = linux_raw_sys::$module::$name as $ty;
        )*
    };
}

numbers! { i32, net:
    SOCK_SNDBUF_LOCK SOCK_RCVBUF_LOCK SOCK_BUF_LOCK_MASK SOCK_TXREHASH_DEFAULT
    SOCK_TXREHASH_DISABLED SOCK_TXREHASH_ENABLED IP_TOS IP_TTL IP_HDRINCL IP_OPTIONS
    IP_ROUTER_ALERT IP_RECVOPTS IP_RETOPTS IP_PKTINFO IP_PKTOPTIONS IP_MTU_DISCOVER IP_RECVERR
    IP_RECVTTL IP_RECVTOS IP_MTU IP_FREEBIND IP_IPSEC_POLICY IP_XFRM_POLICY IP_PASSSEC
    IP_TRANSPARENT IP_RECVRETOPTS IP_ORIGDSTADDR IP_RECVORIGDSTADDR IP_MINTTL IP_NODEFRAG
    IP_CHECKSUM IP_BIND_ADDRESS_NO_PORT IP_RECVFRAGSIZE IP_RECVERR_RFC4884 IP_PMTUDISC_DONT
    IP_PMTUDISC_WANT IP_PMTUDISC_DO IP_PMTUDISC_PROBE IP_PMTUDISC_INTERFACE IP_PMTUDISC_OMIT
    IP_MULTICAST_IF IP_MULTICAST_TTL IP_MULTICAST_LOOP IP_ADD_MEMBERSHIP IP_DROP_MEMBERSHIP
    IP_UNBLOCK_SOURCE IP_BLOCK_SOURCE IP_ADD_SOURCE_MEMBERSHIP IP_DROP_SOURCE_MEMBERSHIP
    IP_MSFILTER MCAST_JOIN_GROUP MCAST_BLOCK_SOURCE MCAST_UNBLOCK_SOURCE MCAST_LEAVE_GROUP
    MCAST_JOIN_SOURCE_GROUP MCAST_LEAVE_SOURCE_GROUP MCAST_MSFILTER IP_MULTICAST_ALL
    IP_UNICAST_IF IP_LOCAL_PORT_RANGE IP_PROTOCOL MCAST_EXCLUDE MCAST_INCLUDE IPV6_ADDRFORM
    IPV6_2292PKTINFO IPV6_2292HOPOPTS IPV6_2292DSTOPTS IPV6_2292RTHDR IPV6_2292PKTOPTIONS
    IPV6_CHECKSUM IPV6_2292HOPLIMIT IPV6_NEXTHOP IPV6_AUTHHDR IPV6_UNICAST_HOPS IPV6_MULTICAST_IF
    IPV6_MULTICAST_HOPS IPV6_MULTICAST_LOOP IPV6_ADD_MEMBERSHIP IPV6_DROP_MEMBERSHIP
    IPV6_ROUTER_ALERT IPV6_MTU_DISCOVER IPV6_MTU IPV6_RECVERR IPV6_V6ONLY IPV6_JOIN_ANYCAST
    IPV6_LEAVE_ANYCAST IPV6_MULTICAST_ALL IPV6_ROUTER_ALERT_ISOLATE IPV6_RECVERR_RFC4884
    IPV6_PMTUDISC_DONT IPV6_PMTUDISC_WANT IPV6_PMTUDISC_DO IPV6_PMTUDISC_PROBE
    IPV6_PMTUDISC_INTERFACE IPV6_PMTUDISC_OMIT IPV6_IPSEC_POLICY IPV6_XFRM_POLICY IPV6_HDRINCL
    IPV6_RECVPKTINFO IPV6_PKTINFO IPV6_RECVHOPLIMIT IPV6_HOPLIMIT IPV6_RECVHOPOPTS IPV6_HOPOPTS
    IPV6_RTHDRDSTOPTS IPV6_RECVRTHDR IPV6_RTHDR IPV6_RECVDSTOPTS IPV6_DSTOPTS IPV6_RECVPATHMTU
    IPV6_PATHMTU IPV6_DONTFRAG IPV6_RECVTCLASS IPV6_TCLASS IPV6_AUTOFLOWLABEL
    IPV6_ADDR_PREFERENCES IPV6_PREFER_SRC_TMP IPV6_PREFER_SRC_PUBLIC
    IPV6_PREFER_SRC_PUBTMP_DEFAULT IPV6_PREFER_SRC_COA IPV6_PREFER_SRC_HOME IPV6_PREFER_SRC_CGA
    IPV6_PREFER_SRC_NONCGA IPV6_MINHOPCOUNT IPV6_ORIGDSTADDR IPV6_RECVORIGDSTADDR
    IPV6_TRANSPARENT IPV6_UNICAST_IF IPV6_RECVFRAGSIZE IPV6_FREEBIND IPV6_MIN_MTU
    IPV6_SRCRT_STRICT IPV6_SRCRT_TYPE_0 IPV6_SRCRT_TYPE_2 IPV6_SRCRT_TYPE_3 IPV6_SRCRT_TYPE_4
    SOL_SOCKET SO_DEBUG SO_REUSEADDR SO_TYPE SO_ERROR SO_DONTROUTE SO_BROADCAST SO_SNDBUF
    SO_RCVBUF SO_SNDBUFFORCE SO_RCVBUFFORCE SO_KEEPALIVE SO_OOBINLINE SO_NO_CHECK SO_PRIORITY
    SO_LINGER SO_BSDCOMPAT SO_REUSEPORT SO_PASSCRED SO_PEERCRED SO_RCVLOWAT SO_SNDLOWAT
    SO_RCVTIMEO_OLD SO_SNDTIMEO_OLD SO_BINDTODEVICE SO_ATTACH_FILTER SO_DETACH_FILTER
    SO_GET_FILTER SO_PEERNAME SO_ACCEPTCONN SO_PEERSEC SO_PASSSEC SO_MARK SO_PROTOCOL SO_DOMAIN
    SO_RXQ_OVFL SO_WIFI_STATUS SCM_WIFI_STATUS SO_PEEK_OFF SO_NOFCS SO_LOCK_FILTER
    SO_SELECT_ERR_QUEUE SO_BUSY_POLL SO_MAX_PACING_RATE SO_BPF_EXTENSIONS SO_INCOMING_CPU
    SO_ATTACH_BPF SO_DETACH_BPF SO_ATTACH_REUSEPORT_CBPF SO_ATTACH_REUSEPORT_EBPF SO_CNX_ADVICE
    SCM_TIMESTAMPING_OPT_STATS SO_MEMINFO SO_INCOMING_NAPI_ID SO_COOKIE SCM_TIMESTAMPING_PKTINFO
    SO_PEERGROUPS SO_ZEROCOPY SO_TXTIME SCM_TXTIME SO_BINDTOIFINDEX SO_TIMESTAMP_OLD
    SO_TIMESTAMPNS_OLD SO_TIMESTAMPING_OLD SO_TIMESTAMP_NEW SO_TIMESTAMPNS_NEW
    SO_TIMESTAMPING_NEW SO_RCVTIMEO_NEW SO_SNDTIMEO_NEW SO_DETACH_REUSEPORT_BPF
    SO_PREFER_BUSY_POLL SO_BUSY_POLL_BUDGET SO_NETNS_COOKIE SO_BUF_LOCK SO_RESERVE_MEM
    SO_TXREHASH SO_RCVMARK SO_PASSPIDFD SO_PEERPIDFD SO_DEVMEM_LINEAR SCM_DEVMEM_LINEAR
    SO_DEVMEM_DMABUF SCM_DEVMEM_DMABUF SO_DEVMEM_DONTNEED SCM_TS_OPT_ID SO_RCVPRIORITY
    SO_PASSRIGHTS SO_INQ SCM_INQ SCM_TIMESTAMP SCM_TIMESTAMPNS SCM_TIMESTAMPING TCP_NODELAY
    TCP_MAXSEG TCP_CORK TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT TCP_SYNCNT TCP_LINGER2
    TCP_DEFER_ACCEPT TCP_WINDOW_CLAMP TCP_INFO TCP_QUICKACK TCP_CONGESTION TCP_MD5SIG
    TCP_THIN_LINEAR_TIMEOUTS TCP_THIN_DUPACK TCP_USER_TIMEOUT TCP_REPAIR TCP_QUEUE_SEQ
    TCP_REPAIR_OPTIONS TCP_FASTOPEN TCP_TIMESTAMP TCP_NOTSENT_LOWAT TCP_CC_INFO TCP_SAVE_SYN
    TCP_SAVED_SYN TCP_REPAIR_WINDOW TCP_FASTOPEN_CONNECT TCP_ULP TCP_MD5SIG_EXT TCP_FASTOPEN_KEY
    TCP_FASTOPEN_NO_COOKIE TCP_ZEROCOPY_RECEIVE TCP_INQ TCP_CM_INQ TCP_TX_DELAY TCP_AO_ADD_KEY
    TCP_AO_DEL_KEY TCP_AO_INFO TCP_AO_GET_KEYS TCP_AO_REPAIR TCP_IS_MPTCP TCP_RTO_MAX_MS
    TCP_RTO_MIN_US TCP_DELACK_MAX_US TCP_REPAIR_ON TCP_REPAIR_OFF TCP_REPAIR_OFF_NO_WP SHUT_RD
    SHUT_WR SHUT_RDWR SOCK_STREAM SOCK_DGRAM SOCK_RAW SOCK_RDM SOCK_SEQPACKET MSG_DONTWAIT
    AF_UNSPEC AF_UNIX AF_INET AF_AX25 AF_IPX AF_APPLETALK AF_NETROM AF_BRIDGE AF_ATMPVC AF_X25
    AF_INET6 AF_ROSE AF_NETBEUI AF_SECURITY AF_KEY AF_NETLINK AF_PACKET AF_ASH
    AF_ECONET AF_ATMSVC AF_RDS AF_SNA AF_IRDA AF_PPPOX AF_WANPIPE AF_LLC AF_CAN AF_TIPC
    AF_BLUETOOTH AF_IUCV AF_RXRPC AF_ISDN AF_PHONET AF_IEEE802154 AF_CAIF AF_ALG AF_NFC AF_VSOCK
    AF_KCM AF_QIPCRTR AF_SMC AF_XDP AF_MCTP AF_MAX MSG_OOB MSG_PEEK MSG_DONTROUTE MSG_CTRUNC
    MSG_TRUNC MSG_EOR MSG_WAITALL MSG_ERRQUEUE MSG_NOSIGNAL MSG_MORE MSG_CMSG_CLOEXEC SCM_RIGHTS
    SCM_CREDENTIALS SCM_SECURITY SOL_IP SOL_TCP SOL_UDP SOL_IPV6 SOL_ICMPV6 SOL_SCTP SOL_UDPLITE
    SOL_RAW SOL_PACKET SOL_ATM SOL_AAL SOL_IRDA SOL_NETBEUI SOL_LLC SOL_DCCP SOL_NETLINK SOL_TIPC
    SOL_RXRPC SOL_PPPOL2TP SOL_BLUETOOTH SOL_RDS SOL_IUCV SOL_CAIF SOL_ALG SOL_NFC SOL_KCM
    SOL_TLS SOL_XDP SOL_MPTCP SOL_MCTP SOL_SMC MSG_CONFIRM MSG_PROBE MSG_FIN MSG_SYN MSG_RST
    TCP_RECV_QUEUE TCP_SEND_QUEUE TCP_REPAIR_QUEUE TCP_NO_QUEUE
}

numbers! { u32, ioctl:
    FIONREAD FIONBIO FIOASYNC FIOSETOWN SIOCSPGRP FIOGETOWN SIOCGPGRP SIOCATMARK SIOCGSTAMP_NEW
    SIOCGSTAMPNS_NEW SIOCADDRT SIOCDELRT SIOCGIFNAME SIOCGIFCONF SIOCGIFFLAGS SIOCSIFFLAGS
    SIOCGIFADDR SIOCSIFADDR SIOCGIFDSTADDR SIOCSIFDSTADDR SIOCGIFBRDADDR SIOCSIFBRDADDR
    SIOCGIFNETMASK SIOCSIFNETMASK SIOCGIFMETRIC SIOCSIFMETRIC SIOCGIFMTU SIOCSIFMTU SIOCSIFHWADDR
    SIOCGIFHWADDR SIOCSIFMAP SIOCDIFADDR SIOCSIFNAME SIOCGIFINDEX SIOCGIFTXQLEN SIOCSIFTXQLEN SIOCGIFMAP
    SIOCDARP SIOCGARP SIOCSARP TUNSETNOCSUM TUNSETDEBUG TUNSETIFF TUNSETPERSIST TUNSETOWNER TUNSETLINK
    TUNSETGROUP TUNGETFEATURES TUNSETOFFLOAD TUNGETIFF TUNGETSNDBUF TUNSETSNDBUF TUNSETQUEUE TUNSETCARRIER
    TUNGETVNETHDRSZ TUNSETVNETHDRSZ TUNGETVNETLE TUNSETVNETLE
}

macro_rules! own_numbers {
    ($($name:ident: $ty:ty = $value:expr, $why:literal;)*) => {
        $(
            #[doc = $why]
            pub const $name: $ty = $value;
        )*
    };
}

own_numbers! {
    IPPROTO_IP: i32 = 0, "`IPPROTO_IP` of netinet/in.h.";
    IPPROTO_ICMP: i32 = 1, "`IPPROTO_ICMP` of netinet/in.h.";
    IPPROTO_IGMP: i32 = 2, "`IPPROTO_IGMP` of netinet/in.h.";
    IPPROTO_IPIP: i32 = 4, "`IPPROTO_IPIP` of netinet/in.h.";
    IPPROTO_TCP: i32 = 6, "`IPPROTO_TCP` of netinet/in.h.";
    IPPROTO_EGP: i32 = 8, "`IPPROTO_EGP` of netinet/in.h.";
    IPPROTO_PUP: i32 = 12, "`IPPROTO_PUP` of netinet/in.h.";
    IPPROTO_UDP: i32 = 17, "`IPPROTO_UDP` of netinet/in.h.";
    IPPROTO_IDP: i32 = 22, "`IPPROTO_IDP` of netinet/in.h.";
    IPPROTO_TP: i32 = 29, "`IPPROTO_TP` of netinet/in.h.";
    IPPROTO_DCCP: i32 = 33, "`IPPROTO_DCCP` of netinet/in.h.";
    IPPROTO_IPV6: i32 = 41, "`IPPROTO_IPV6` of netinet/in.h.";
    IPPROTO_RSVP: i32 = 46, "`IPPROTO_RSVP` of netinet/in.h.";
    IPPROTO_GRE: i32 = 47, "`IPPROTO_GRE` of netinet/in.h.";
    IPPROTO_ESP: i32 = 50, "`IPPROTO_ESP` of netinet/in.h.";
    IPPROTO_AH: i32 = 51, "`IPPROTO_AH` of netinet/in.h.";
    IPPROTO_MTP: i32 = 92, "`IPPROTO_MTP` of netinet/in.h.";
    IPPROTO_BEETPH: i32 = 94, "`IPPROTO_BEETPH` of netinet/in.h.";
    IPPROTO_ENCAP: i32 = 98, "`IPPROTO_ENCAP` of netinet/in.h.";
    IPPROTO_PIM: i32 = 103, "`IPPROTO_PIM` of netinet/in.h.";
    IPPROTO_COMP: i32 = 108, "`IPPROTO_COMP` of netinet/in.h.";
    IPPROTO_L2TP: i32 = 115, "`IPPROTO_L2TP` of netinet/in.h.";
    IPPROTO_SCTP: i32 = 132, "`IPPROTO_SCTP` of netinet/in.h.";
    IPPROTO_UDPLITE: i32 = 136, "`IPPROTO_UDPLITE` of netinet/in.h.";
    IPPROTO_MPLS: i32 = 137, "`IPPROTO_MPLS` of netinet/in.h.";
    IPPROTO_ETHERNET: i32 = 143, "`IPPROTO_ETHERNET` of netinet/in.h.";
    IPPROTO_AGGFRAG: i32 = 144, "`IPPROTO_AGGFRAG` of netinet/in.h.";
    IPPROTO_RAW: i32 = 255, "`IPPROTO_RAW` of netinet/in.h.";
    IPPROTO_SMC: i32 = 256, "`IPPROTO_SMC` of netinet/in.h.";
    IPPROTO_MPTCP: i32 = 262, "`IPPROTO_MPTCP` of netinet/in.h.";
    IPPROTO_ICMPV6: i32 = 58, "ICMP for IPv6."; IPPROTO_HOPOPTS: i32 = 0, "IPv6 hop-by-hop options.";
    IPV6_FLOWINFO: i32 = 11, "ipv6(7): the traffic class and the flow label.";
    IPV6_FLOWLABEL_MGR: i32 = 32, "ipv6(7): leases of flow labels.";
    IPV6_FLOWINFO_SEND: i32 = 33, "ipv6(7): sin6_flowinfo counts.";
    SOCK_NONBLOCK: i32 = 0o4000, "`O_NONBLOCK` in socket(2)'s type argument.";
    SOCK_CLOEXEC: i32 = 0o2000000, "`O_CLOEXEC` in socket(2)'s type argument.";
    SOCK_TYPE_MASK: i32 = 0xf, "The bits of socket(2)'s type argument that name the type.";
    PACKET_ADD_MEMBERSHIP: i32 = 1, "`PACKET_ADD_MEMBERSHIP` of packet(7) and linux/if_packet.h.";
    PACKET_DROP_MEMBERSHIP: i32 = 2, "`PACKET_DROP_MEMBERSHIP` of packet(7) and linux/if_packet.h.";
    PACKET_RECV_OUTPUT: i32 = 3, "`PACKET_RECV_OUTPUT` of packet(7) and linux/if_packet.h.";
    PACKET_RX_RING: i32 = 5, "`PACKET_RX_RING` of packet(7) and linux/if_packet.h.";
    PACKET_STATISTICS: i32 = 6, "`PACKET_STATISTICS` of packet(7) and linux/if_packet.h.";
    PACKET_COPY_THRESH: i32 = 7, "`PACKET_COPY_THRESH` of packet(7) and linux/if_packet.h.";
    PACKET_AUXDATA: i32 = 8, "`PACKET_AUXDATA` of packet(7) and linux/if_packet.h.";
    PACKET_ORIGDEV: i32 = 9, "`PACKET_ORIGDEV` of packet(7) and linux/if_packet.h.";
    PACKET_VERSION: i32 = 10, "`PACKET_VERSION` of packet(7) and linux/if_packet.h.";
    PACKET_HDRLEN: i32 = 11, "`PACKET_HDRLEN` of packet(7) and linux/if_packet.h.";
    PACKET_RESERVE: i32 = 12, "`PACKET_RESERVE` of packet(7) and linux/if_packet.h.";
    PACKET_TX_RING: i32 = 13, "`PACKET_TX_RING` of packet(7) and linux/if_packet.h.";
    PACKET_LOSS: i32 = 14, "`PACKET_LOSS` of packet(7) and linux/if_packet.h.";
    PACKET_VNET_HDR: i32 = 15, "`PACKET_VNET_HDR` of packet(7) and linux/if_packet.h.";
    PACKET_TX_TIMESTAMP: i32 = 16, "`PACKET_TX_TIMESTAMP` of packet(7) and linux/if_packet.h.";
    PACKET_TIMESTAMP: i32 = 17, "`PACKET_TIMESTAMP` of packet(7) and linux/if_packet.h.";
    PACKET_FANOUT: i32 = 18, "`PACKET_FANOUT` of packet(7) and linux/if_packet.h.";
    PACKET_TX_HAS_OFF: i32 = 19, "`PACKET_TX_HAS_OFF` of packet(7) and linux/if_packet.h.";
    PACKET_QDISC_BYPASS: i32 = 20, "`PACKET_QDISC_BYPASS` of packet(7) and linux/if_packet.h.";
    PACKET_ROLLOVER_STATS: i32 = 21, "`PACKET_ROLLOVER_STATS` of packet(7) and linux/if_packet.h.";
    PACKET_FANOUT_DATA: i32 = 22, "`PACKET_FANOUT_DATA` of packet(7) and linux/if_packet.h.";
    PACKET_IGNORE_OUTGOING: i32 = 23, "`PACKET_IGNORE_OUTGOING` of packet(7) and linux/if_packet.h.";
    PACKET_VNET_HDR_SZ: i32 = 24, "`PACKET_VNET_HDR_SZ` of packet(7) and linux/if_packet.h.";
    SIOCETHTOOL: u32 = 0x8946, "`SIOCETHTOOL` of linux/sockios.h.";
    SIOCGMIIPHY: u32 = 0x8947, "`SIOCGMIIPHY` of linux/sockios.h.";
    SIOCGMIIREG: u32 = 0x8948, "`SIOCGMIIREG` of linux/sockios.h.";
    SIOCSMIIREG: u32 = 0x8949, "`SIOCSMIIREG` of linux/sockios.h.";
    SIOCRTMSG: u32 = 0x890d, "`SIOCRTMSG` of linux/sockios.h, which Linux does not have any more.";
    SIOCGIFSLAVE: u32 = 0x8929, "`SIOCGIFSLAVE` of linux/sockios.h.";
    SIOCSIFPFLAGS: u32 = 0x8934, "`SIOCSIFPFLAGS` of linux/sockios.h.";
    SIOCGIFPFLAGS: u32 = 0x8935, "`SIOCGIFPFLAGS` of linux/sockios.h.";
    SIOCGIFBR: u32 = 0x8940, "`SIOCGIFBR` of linux/sockios.h.";
    SIOCSIFBR: u32 = 0x8941, "`SIOCSIFBR` of linux/sockios.h.";
    SIOCWANDEV: u32 = 0x894a, "`SIOCWANDEV` of linux/sockios.h.";
    SIOCGIFVLAN: u32 = 0x8982, "`SIOCGIFVLAN` of linux/sockios.h.";
    SIOCSIFVLAN: u32 = 0x8983, "`SIOCSIFVLAN` of linux/sockios.h.";
    SIOCBONDSLAVEINFOQUERY: u32 = 0x8993, "`SIOCBONDSLAVEINFOQUERY` of linux/sockios.h.";
    SIOCBONDINFOQUERY: u32 = 0x8994, "`SIOCBONDINFOQUERY` of linux/sockios.h.";
    SIOCBRADDBR: u32 = 0x89a0, "`SIOCBRADDBR` of linux/sockios.h.";
    SIOCBRDELBR: u32 = 0x89a1, "`SIOCBRDELBR` of linux/sockios.h.";
    SIOCSHWTSTAMP: u32 = 0x89b0, "`SIOCSHWTSTAMP` of linux/sockios.h.";
    SIOCGHWTSTAMP: u32 = 0x89b1, "`SIOCGHWTSTAMP` of linux/sockios.h.";
    SIOCDEVPRIVATE: u32 = 0x89f0, "`SIOCDEVPRIVATE` of linux/sockios.h, the first of sixteen.";
    SIOCDEVPRIVATE_LAST: u32 = 0x89ff, "The last of them.";
    SIOCGIFMEM: u32 = 0x891f, "`SIOCGIFMEM` of linux/sockios.h.";
    SIOCSIFMEM: u32 = 0x8920, "`SIOCSIFMEM` of linux/sockios.h.";
    SIOCSIFSLAVE: u32 = 0x8930, "`SIOCSIFSLAVE` of linux/sockios.h.";
    SIOCADDMULTI: u32 = 0x8931, "`SIOCADDMULTI` of linux/sockios.h.";
    SIOCDELMULTI: u32 = 0x8932, "`SIOCDELMULTI` of linux/sockios.h.";
    SIOCSIFHWBROADCAST: u32 = 0x8937, "`SIOCSIFHWBROADCAST` of linux/sockios.h.";
    SIOCGSKNS: u32 = 0x894c, "`SIOCGSKNS` of linux/sockios.h: the socket's network namespace.";
    SIOCBONDENSLAVE: u32 = 0x8990, "`SIOCBONDENSLAVE` of linux/sockios.h.";
    SIOCBONDRELEASE: u32 = 0x8991, "`SIOCBONDRELEASE` of linux/sockios.h.";
    SIOCBONDSETHWADDR: u32 = 0x8992, "`SIOCBONDSETHWADDR` of linux/sockios.h.";
    SIOCBONDCHANGEACTIVE: u32 = 0x8995, "`SIOCBONDCHANGEACTIVE` of linux/sockios.h.";
    SIOCBRADDIF: u32 = 0x89a2, "`SIOCBRADDIF` of linux/sockios.h.";
    SIOCBRDELIF: u32 = 0x89a3, "`SIOCBRDELIF` of linux/sockios.h.";
    SOCK_PACKET: i32 = 10, "The obsolete packet type of packet(7).";
    O_ASYNC: i32 = 0o20000, "The file status flag of signal-driven I/O.";
    O_NONBLOCK: i32 = 0o4000, "The non-blocking file status flag of open(2).";
    SIOCINQ: u32 = FIONREAD, "Unread bytes; the same number as `FIONREAD`.";
    SIOCOUTQ: u32 = 0x5411, "Bytes not yet acknowledged or taken; the same number as `TIOCOUTQ`.";
    SIOCOUTQNSD: u32 = 0x894b, "Bytes not yet sent.";
    SIOCGSTAMP_OLD: u32 = 0x8906, "Receive time of the last packet, as a `timeval`.";
    SIOCGSTAMPNS_OLD: u32 = 0x8907, "Receive time of the last packet, as a `timespec`.";
    SIOCUNIXFILE: u32 = 0x89e0, "The inode a pathname socket is bound to, as an `O_PATH` descriptor.";
    SIOCPROTOPRIVATE: u32 = 0x89e0, "First of the protocol-private commands.";
    SIOCGETVIFCNT: u32 = 0x89e0, "Counters of a multicast router's interface, of linux/mroute.h; IPv6's have the same number.";
    SIOCGETSGCNT: u32 = 0x89e1, "Counters of a multicast route.";
    MSG_WAITFORONE: i32 = 0x10000, "recvmmsg(2): block for the first message only.";
    MSG_BATCH: i32 = 0x40000, "sendmmsg(2): more messages follow; internal to the kernel.";
    MSG_SENDPAGE_NOTLAST: i32 = 0x20000, "Kernel-internal.";
    MSG_NO_SHARED_FRAGS: i32 = 0x80000, "Kernel-internal.";
    MSG_SENDPAGE_DECRYPTED: i32 = 0x100000, "Kernel-internal.";
    MSG_SOCK_DEVMEM: i32 = 0x2000000, "recvmsg(2): receive into device memory.";
    MSG_ZEROCOPY: i32 = 0x4000000, "send(2): do not copy; completion on the error queue.";
    MSG_SPLICE_PAGES: i32 = 0x8000000, "Kernel-internal.";
    MSG_FASTOPEN: i32 = 0x20000000, "sendto(2): data in the SYN.";
    MSG_CMSG_COMPAT: i32 = -0x80000000, "Kernel-internal: the caller has 32-bit control messages.";
    MSG_DONTROUTE_BIT: i32 = MSG_DONTROUTE, "Alias used in the tables.";
    MSG_NOTIFICATION: i32 = 0x8000, "SCTP's notification flag.";
    SCM_PIDFD: i32 = 4, "Control message with a pidfd of the sender.";
    UDP_CORK: i32 = 1, "udp(7): hold datagrams back.";
    UDPLITE_SEND_CSCOV: i32 = 10, "udplite(7): how much of a datagram is covered by its checksum.";
    UDPLITE_RECV_CSCOV: i32 = 11, "udplite(7): how much of a datagram has to be covered.";
    UDP_ENCAP: i32 = 100, "Encapsulation of IPsec in UDP.";
    UDP_NO_CHECK6_TX: i32 = 101, "Send zero checksums over IPv6.";
    UDP_NO_CHECK6_RX: i32 = 102, "Accept zero checksums over IPv6.";
    UDP_SEGMENT: i32 = 103, "Generic segmentation offload.";
    UDP_GRO: i32 = 104, "Generic receive offload.";
    NETLINK_ROUTE: i32 = 0, "netlink(7): links, addresses and routes.";
    NETLINK_USERSOCK: i32 = 2, "netlink(7): between processes.";
    NETLINK_SOCK_DIAG: i32 = 4, "sock_diag(7).";
    NETLINK_KOBJECT_UEVENT: i32 = 15, "netlink(7): kernel messages to user space.";
    NETLINK_GENERIC: i32 = 16, "netlink(7): families by name.";
    NETLINK_ADD_MEMBERSHIP: i32 = 1, "netlink(7).";
    NETLINK_DROP_MEMBERSHIP: i32 = 2, "netlink(7).";
    NETLINK_PKTINFO: i32 = 3, "netlink(7).";
    NETLINK_BROADCAST_ERROR: i32 = 4, "netlink(7).";
    NETLINK_NO_ENOBUFS: i32 = 5, "netlink(7).";
    NETLINK_LISTEN_ALL_NSID: i32 = 8, "netlink(7).";
    NETLINK_LIST_MEMBERSHIPS: i32 = 9, "netlink(7).";
    NETLINK_CAP_ACK: i32 = 10, "netlink(7).";
    NETLINK_EXT_ACK: i32 = 11, "linux/netlink.h.";
    NETLINK_GET_STRICT_CHK: i32 = 12, "linux/netlink.h.";
    ICMP_FILTER: i32 = 1, "raw(7): which ICMP types to drop.";
    ICMPV6_FILTER: i32 = 1, "RFC 3542: which ICMPv6 types to drop (`ICMP6_FILTER` there).";
    CLOCK_REALTIME: i32 = 0, "`CLOCK_REALTIME` of time.h.";
    CLOCK_MONOTONIC: i32 = 1, "`CLOCK_MONOTONIC` of time.h.";
    CLOCK_TAI: i32 = 11, "`CLOCK_TAI` of time.h.";
    SOMAXCONN: i32 = 4096, "Default of net.core.somaxconn since Linux 5.4.";
    UIO_MAXIOV: usize = 1024, "Most elements of an I/O vector.";
    SCM_MAX_FD: usize = 253, "Most descriptors in one `SCM_RIGHTS` message.";
    UNIX_PATH_MAX: usize = 108, "Size of `sun_path`.";
    MAX_RW_COUNT: usize = 0x7fff_f000, "Most bytes one call moves: `INT_MAX` rounded down to a page.";
    CAP_NET_BIND_SERVICE: u32 = 10, "Bind ports below `ip_unprivileged_port_start`.";
    CAP_NET_BROADCAST: u32 = 11, "Unused by Linux.";
    CAP_NET_ADMIN: u32 = 12, "Administer the network.";
    CAP_NET_RAW: u32 = 13, "Raw and packet sockets, binding to a device.";
    CAP_SETGID: u32 = 6, "Forge the gid of `SCM_CREDENTIALS`.";
    CAP_SETUID: u32 = 7, "Forge the uid of `SCM_CREDENTIALS`.";
    CAP_SYS_ADMIN: u32 = 21, "Forge the pid of `SCM_CREDENTIALS`.";
    CAP_SYS_RESOURCE: u32 = 24, "Exceed the limit on descriptors in flight.";
    POLLIN: u16 = 0x001, "Data to read.";
    POLLPRI: u16 = 0x002, "Urgent data.";
    POLLOUT: u16 = 0x004, "Room to write.";
    POLLERR: u16 = 0x008, "An error is pending.";
    POLLHUP: u16 = 0x010, "Hung up in both directions.";
    POLLNVAL: u16 = 0x020, "Not an open descriptor.";
    POLLRDNORM: u16 = 0x040, "Normal data to read.";
    POLLRDBAND: u16 = 0x080, "Priority data to read.";
    POLLWRNORM: u16 = 0x100, "Room to write normal data.";
    POLLWRBAND: u16 = 0x200, "Room to write priority data.";
    POLLRDHUP: u16 = 0x2000, "The peer shut its writing down.";
    SIGPIPE: i32 = 13, "Write to a broken connection.";
    SIGURG: i32 = 23, "Urgent data arrived.";
    SIGIO: i32 = 29, "I/O became possible.";
}
