//! Every error of the layers below, as Linux's errno. The one place where that happens.

use crate::message::SendControl;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_engine::{BindError, ConnectError, ListenError, RouteError, TcpError, UdpError};

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
        TcpError::ConnectionReset => Errno::ECONNRESET,
        TcpError::BrokenPipe => Errno::EPIPE,
        TcpError::TimedOut => Errno::ETIMEDOUT,
        TcpError::HostUnreachable => Errno::EHOSTUNREACH,
        TcpError::NetUnreachable => Errno::ENETUNREACH,
        TcpError::ProtocolUnreachable => Errno::ENOPROTOOPT,
    }
}

pub(crate) fn route(error: RouteError) -> Errno {
    match error {
        RouteError::Unreachable => Errno::ENETUNREACH,
        RouteError::NoSource => Errno::EADDRNOTAVAIL,
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

/// Control messages every protocol looks at (__sock_cmsg_send()): credentials and rights are
/// passed over, what is not known at SOL_SOCKET is EINVAL.
pub(crate) fn check_control(control: &SendControl) -> Result<(), Errno> {
    for (level, _, _) in &control.other {
        if *level == SOL_SOCKET {
            return Err(Errno::EINVAL);
        }
    }
    Ok(())
}
