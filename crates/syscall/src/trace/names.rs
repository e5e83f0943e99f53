//! Names of numbers.

use super::flags;
use alloc::format;
use alloc::string::{String, ToString};
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_socket::support_table;

pub(super) fn family(domain: i32) -> String {
    let name = match domain {
        AF_UNSPEC => "AF_UNSPEC",
        AF_UNIX => "AF_UNIX",
        AF_INET => "AF_INET",
        AF_INET6 => "AF_INET6",
        AF_NETLINK => "AF_NETLINK",
        AF_PACKET => "AF_PACKET",
        AF_VSOCK => "AF_VSOCK",
        AF_ALG => "AF_ALG",
        AF_BLUETOOTH => "AF_BLUETOOTH",
        AF_CAN => "AF_CAN",
        AF_KEY => "AF_KEY",
        AF_XDP => "AF_XDP",
        _ => return domain.to_string(),
    };
    name.into()
}

pub(super) fn socket_type(ty: i32) -> String {
    let name: String = match ty & SOCK_TYPE_MASK {
        SOCK_STREAM => "SOCK_STREAM".into(),
        SOCK_DGRAM => "SOCK_DGRAM".into(),
        SOCK_RAW => "SOCK_RAW".into(),
        SOCK_RDM => "SOCK_RDM".into(),
        SOCK_SEQPACKET => "SOCK_SEQPACKET".into(),
        SOCK_PACKET => "SOCK_PACKET".into(),
        other => format!("{other:#x}"),
    };
    match ty & !SOCK_TYPE_MASK {
        0 => name,
        rest => format!("{name}|{}", type_flags(rest)),
    }
}

pub(super) fn type_flags(value: i32) -> String {
    let names = &[
        (SOCK_CLOEXEC as u32, "SOCK_CLOEXEC"),
        (SOCK_NONBLOCK as u32, "SOCK_NONBLOCK"),
    ];
    flags(value as u32, names)
}

pub(super) fn protocol_name(domain: i32, protocol: i32) -> String {
    if domain != AF_INET && domain != AF_INET6 {
        return protocol.to_string();
    }
    let name = match protocol {
        IPPROTO_IP => "IPPROTO_IP",
        IPPROTO_ICMP => "IPPROTO_ICMP",
        IPPROTO_TCP => "IPPROTO_TCP",
        IPPROTO_UDP => "IPPROTO_UDP",
        IPPROTO_ICMPV6 => "IPPROTO_ICMPV6",
        IPPROTO_RAW => "IPPROTO_RAW",
        IPPROTO_SCTP => "IPPROTO_SCTP",
        IPPROTO_UDPLITE => "IPPROTO_UDPLITE",
        IPPROTO_MPTCP => "IPPROTO_MPTCP",
        _ => return protocol.to_string(),
    };
    name.into()
}

pub(super) fn msg_flags(value: i32) -> String {
    const NAMES: &[(u32, &str)] = &[
        (MSG_OOB as u32, "MSG_OOB"),
        (MSG_PEEK as u32, "MSG_PEEK"),
        (MSG_DONTROUTE as u32, "MSG_DONTROUTE"),
        (MSG_CTRUNC as u32, "MSG_CTRUNC"),
        (MSG_PROBE as u32, "MSG_PROBE"),
        (MSG_TRUNC as u32, "MSG_TRUNC"),
        (MSG_DONTWAIT as u32, "MSG_DONTWAIT"),
        (MSG_EOR as u32, "MSG_EOR"),
        (MSG_WAITALL as u32, "MSG_WAITALL"),
        (MSG_FIN as u32, "MSG_FIN"),
        (MSG_SYN as u32, "MSG_SYN"),
        (MSG_CONFIRM as u32, "MSG_CONFIRM"),
        (MSG_RST as u32, "MSG_RST"),
        (MSG_ERRQUEUE as u32, "MSG_ERRQUEUE"),
        (MSG_NOSIGNAL as u32, "MSG_NOSIGNAL"),
        (MSG_MORE as u32, "MSG_MORE"),
        (MSG_WAITFORONE as u32, "MSG_WAITFORONE"),
        (MSG_BATCH as u32, "MSG_BATCH"),
        (MSG_ZEROCOPY as u32, "MSG_ZEROCOPY"),
        (MSG_FASTOPEN as u32, "MSG_FASTOPEN"),
        (MSG_CMSG_CLOEXEC as u32, "MSG_CMSG_CLOEXEC"),
    ];
    flags(value as u32, NAMES)
}

pub(super) fn splice_flags(value: u32) -> String {
    const NAMES: &[(u32, &str)] = &[
        (1, "SPLICE_F_MOVE"),
        (2, "SPLICE_F_NONBLOCK"),
        (4, "SPLICE_F_MORE"),
        (8, "SPLICE_F_GIFT"),
    ];
    flags(value, NAMES)
}

pub(super) fn shutdown_how(how: i32) -> String {
    match how {
        SHUT_RD => "SHUT_RD".into(),
        SHUT_WR => "SHUT_WR".into(),
        SHUT_RDWR => "SHUT_RDWR".into(),
        _ => how.to_string(),
    }
}

pub(super) fn level_name(level: i32) -> String {
    let name = match level {
        SOL_SOCKET => "SOL_SOCKET",
        SOL_IP => "SOL_IP",
        SOL_TCP => "SOL_TCP",
        SOL_UDP => "SOL_UDP",
        SOL_IPV6 => "SOL_IPV6",
        SOL_RAW => "SOL_RAW",
        SOL_PACKET => "SOL_PACKET",
        SOL_NETLINK => "SOL_NETLINK",
        _ => return level.to_string(),
    };
    name.into()
}

/// An option, by the layer's own table.
pub(super) fn option(level: i32, name: i32) -> String {
    let row = support_table()
        .iter()
        .find(|row| row.level == level && row.number == name);
    row.map_or_else(|| format!("{name:#x}"), |row| row.name.into())
}

pub(super) fn ioctl_name(cmd: u32) -> String {
    let name = match cmd {
        FIONREAD => "FIONREAD",
        FIONBIO => "FIONBIO",
        FIOASYNC => "FIOASYNC",
        SIOCOUTQ => "SIOCOUTQ",
        SIOCOUTQNSD => "SIOCOUTQNSD",
        SIOCATMARK => "SIOCATMARK",
        SIOCGSTAMP_OLD => "SIOCGSTAMP_OLD",
        SIOCGSTAMPNS_OLD => "SIOCGSTAMPNS_OLD",
        SIOCGIFCONF => "SIOCGIFCONF",
        SIOCGIFFLAGS => "SIOCGIFFLAGS",
        SIOCGIFADDR => "SIOCGIFADDR",
        SIOCGIFNETMASK => "SIOCGIFNETMASK",
        SIOCGIFMTU => "SIOCGIFMTU",
        SIOCGIFHWADDR => "SIOCGIFHWADDR",
        SIOCGIFINDEX => "SIOCGIFINDEX",
        SIOCGIFNAME => "SIOCGIFNAME",
        SIOCGIFTXQLEN => "SIOCGIFTXQLEN",
        SIOCUNIXFILE => "SIOCUNIXFILE",
        SIOCGSKNS => "SIOCGSKNS",
        _ => return format!("{cmd:#x}"),
    };
    name.into()
}

/// strerror(3), for the errors that socket calls return.
pub(super) fn description(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::EPERM => "Operation not permitted",
        Errno::ENOENT => "No such file or directory",
        Errno::ESRCH => "No such process",
        Errno::EINTR => "Interrupted system call",
        Errno::EBADF => "Bad file descriptor",
        Errno::EAGAIN => "Resource temporarily unavailable",
        Errno::ENOMEM => "Cannot allocate memory",
        Errno::EACCES => "Permission denied",
        Errno::EFAULT => "Bad address",
        Errno::EEXIST => "File exists",
        Errno::ENODEV => "No such device",
        Errno::ENOTDIR => "Not a directory",
        Errno::EINVAL => "Invalid argument",
        Errno::ENFILE => "Too many open files in system",
        Errno::EMFILE => "Too many open files",
        Errno::ENOTTY => "Inappropriate ioctl for device",
        Errno::ESPIPE => "Illegal seek",
        Errno::EROFS => "Read-only file system",
        Errno::EPIPE => "Broken pipe",
        Errno::EDOM => "Numerical argument out of domain",
        Errno::ENAMETOOLONG => "File name too long",
        Errno::ENOSYS => "Function not implemented",
        Errno::ELOOP => "Too many levels of symbolic links",
        Errno::EPROTO => "Protocol error",
        Errno::EOVERFLOW => "Value too large for defined data type",
        Errno::ENOTSOCK => "Socket operation on non-socket",
        Errno::EDESTADDRREQ => "Destination address required",
        Errno::EMSGSIZE => "Message too long",
        Errno::EPROTOTYPE => "Protocol wrong type for socket",
        Errno::ENOPROTOOPT => "Protocol not available",
        Errno::EPROTONOSUPPORT => "Protocol not supported",
        Errno::ESOCKTNOSUPPORT => "Socket type not supported",
        Errno::EOPNOTSUPP => "Operation not supported",
        Errno::EAFNOSUPPORT => "Address family not supported by protocol",
        Errno::EADDRINUSE => "Address already in use",
        Errno::EADDRNOTAVAIL => "Cannot assign requested address",
        Errno::ENETDOWN => "Network is down",
        Errno::ENETUNREACH => "Network is unreachable",
        Errno::ECONNABORTED => "Software caused connection abort",
        Errno::ECONNRESET => "Connection reset by peer",
        Errno::ENOBUFS => "No buffer space available",
        Errno::EISCONN => "Transport endpoint is already connected",
        Errno::ENOTCONN => "Transport endpoint is not connected",
        Errno::ETOOMANYREFS => "Too many references: cannot splice",
        Errno::ETIMEDOUT => "Connection timed out",
        Errno::ECONNREFUSED => "Connection refused",
        Errno::EHOSTDOWN => "Host is down",
        Errno::EHOSTUNREACH => "No route to host",
        Errno::EALREADY => "Operation already in progress",
        Errno::EINPROGRESS => "Operation now in progress",
        Errno::ECANCELED => "Operation canceled",
        _ => return None,
    })
}
