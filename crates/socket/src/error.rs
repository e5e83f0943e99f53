//! Every error of the layers below, as Linux's errno. The one place where that happens.

use crate::message::SendControl;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_engine::{BindError, ConnectError, ListenError, RouteError, TcpError, UdpError};
use switchboard_wire::{IcmpMessage, Unreachable};

pub(crate) fn bind(error: BindError) -> Errno {
    match error {
        BindError::InUse | BindError::PortsExhausted => Errno::EADDRINUSE,
        BindError::NotLocal => Errno::EADDRNOTAVAIL,
    }
}

pub(crate) fn connect(error: ConnectError) -> Errno {
    match error {
        ConnectError::AddrNotAvailable => Errno::EADDRNOTAVAIL,
        ConnectError::Route(error) => route(error),
        ConnectError::AlreadyConnected => Errno::EISCONN,
    }
}

pub(crate) fn listen(error: ListenError) -> Errno {
    match error {
        ListenError::InUse => Errno::EADDRINUSE,
        ListenError::Invalid => Errno::EINVAL,
    }
}

pub(crate) fn tcp(error: TcpError) -> Errno {
    match error {
        TcpError::ConnectionRefused => Errno::ECONNREFUSED,
        TcpError::Aborted => Errno::ECONNABORTED,
        TcpError::ConnectionReset => Errno::ECONNRESET,
        TcpError::BrokenPipe => Errno::EPIPE,
        TcpError::TimedOut => Errno::ETIMEDOUT,
        TcpError::HostUnreachable => Errno::EHOSTUNREACH,
        TcpError::NetUnreachable => Errno::ENETUNREACH,
        TcpError::ProtocolUnreachable => Errno::ENOPROTOOPT,
        TcpError::Parameter => Errno::EPROTO,
    }
}

pub(crate) fn route(error: RouteError) -> Errno {
    match error {
        RouteError::Unreachable => Errno::ENETUNREACH,
        // fib_props[]
        RouteError::Blackhole | RouteError::StaysInside => Errno::EINVAL,
        RouteError::HostUnreachable => Errno::EHOSTUNREACH,
        RouteError::Prohibited => Errno::EACCES,
        RouteError::NoSource => Errno::EADDRNOTAVAIL,
        RouteError::NoDevice => Errno::ENODEV,
        RouteError::WrongFamily => Errno::EAFNOSUPPORT,
        RouteError::PortsExhausted => Errno::EAGAIN,
    }
}

pub(crate) fn udp(error: UdpError) -> Errno {
    match error {
        UdpError::ConnectionRefused => Errno::ECONNREFUSED,
        UdpError::HostUnreachable => Errno::EHOSTUNREACH,
        UdpError::NetUnreachable => Errno::ENETUNREACH,
        UdpError::ProtocolUnreachable => Errno::ENOPROTOOPT,
        UdpError::MessageTooLong => Errno::EMSGSIZE,
        UdpError::ParameterProblem => Errno::EPROTO,
        UdpError::HostDown => Errno::EHOSTDOWN,
        UdpError::HostIsolated => Errno::ENONET,
        UdpError::Prohibited => Errno::EACCES,
    }
}

/// icmp_err_convert[] and icmpv6_err_convert(): the error that an ICMP message means, and whether it is one that a
/// connected socket is told without asking. Sockets discover the path MTU (but those that say they do not).
pub(crate) fn icmp(message: &IcmpMessage, v6: bool) -> Option<(Errno, bool)> {
    use Unreachable as U;
    Some(match message {
        IcmpMessage::Unreachable { code, .. } if v6 => match code {
            U::Net | U::Protocol => (Errno::ENETUNREACH, false),
            U::AdminProhibited => (Errno::EACCES, true),
            U::Host | U::Code(2) => (Errno::EHOSTUNREACH, false),
            U::Port => (Errno::ECONNREFUSED, true),
            U::PacketTooBig => (Errno::EMSGSIZE, true),
            // Policy failed, and reject route.
            U::Code(5 | 6) => (Errno::EACCES, true),
            U::Code(_) => (Errno::EPROTO, true),
        },
        IcmpMessage::Unreachable { code, .. } => match code {
            U::Net => (Errno::ENETUNREACH, false),
            U::Host => (Errno::EHOSTUNREACH, false),
            U::Protocol => (Errno::ENOPROTOOPT, true),
            U::Port => (Errno::ECONNREFUSED, true),
            U::PacketTooBig => (Errno::EMSGSIZE, true),
            U::AdminProhibited => (Errno::EHOSTUNREACH, true),
            U::Code(5) => (Errno::EOPNOTSUPP, false),
            U::Code(6 | 9) => (Errno::ENETUNREACH, true),
            U::Code(7) => (Errno::EHOSTDOWN, true),
            U::Code(8) => (Errno::ENONET, true),
            U::Code(10 | 14 | 15) => (Errno::EHOSTUNREACH, true),
            U::Code(11) => (Errno::ENETUNREACH, false),
            U::Code(12) => (Errno::EHOSTUNREACH, false),
            // Beyond NR_ICMP_UNREACH.
            U::Code(_) => return None,
        },
        IcmpMessage::TimeExceeded { .. } => (Errno::EHOSTUNREACH, false),
        IcmpMessage::ParameterProblem { .. } => (Errno::EPROTO, true),
        _ => return None,
    })
}

/// Control messages every protocol looks at (__sock_cmsg_send()): credentials and rights are
/// passed over, what is not known at SOL_SOCKET is EINVAL.
pub(crate) fn check_control(control: &SendControl) -> Result<(), Errno> {
    for (level, kind, _) in &control.other {
        if *level == SOL_SOCKET && !matches!(*kind, SCM_RIGHTS | SCM_CREDENTIALS) {
            return Err(Errno::EINVAL);
        }
    }
    control.check()
}
