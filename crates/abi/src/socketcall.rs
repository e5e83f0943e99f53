//! The argument table of socketcall(2).
//!
//! See [socketcall(2)](https://man7.org/linux/man-pages/man2/socketcall.2.html). Each call takes
//! its arguments as an array of unsigned `long`s.

/// A call of socketcall(2). The discriminants are the `SYS_*` constants of `<linux/net.h>`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum SocketCall {
    Socket = 1,
    Bind = 2,
    Connect = 3,
    Listen = 4,
    Accept = 5,
    Getsockname = 6,
    Getpeername = 7,
    Socketpair = 8,
    Send = 9,
    Recv = 10,
    Sendto = 11,
    Recvfrom = 12,
    Shutdown = 13,
    Setsockopt = 14,
    Getsockopt = 15,
    Sendmsg = 16,
    Recvmsg = 17,
    Accept4 = 18,
    Recvmmsg = 19,
    Sendmmsg = 20,
}

impl SocketCall {
    /// Every call, in the order of their numbers.
    pub const ALL: [SocketCall; 20] = [
        SocketCall::Socket,
        SocketCall::Bind,
        SocketCall::Connect,
        SocketCall::Listen,
        SocketCall::Accept,
        SocketCall::Getsockname,
        SocketCall::Getpeername,
        SocketCall::Socketpair,
        SocketCall::Send,
        SocketCall::Recv,
        SocketCall::Sendto,
        SocketCall::Recvfrom,
        SocketCall::Shutdown,
        SocketCall::Setsockopt,
        SocketCall::Getsockopt,
        SocketCall::Sendmsg,
        SocketCall::Recvmsg,
        SocketCall::Accept4,
        SocketCall::Recvmmsg,
        SocketCall::Sendmmsg,
    ];

    /// The call with this number; `None` is `EINVAL`.
    pub fn from_number(call: u64) -> Option<SocketCall> {
        let index = usize::try_from(call).ok()?.checked_sub(1)?;
        SocketCall::ALL.get(index).copied()
    }

    /// How many `long`s socketcall(2) reads from the argument block.
    pub fn args(self) -> usize {
        match self {
            SocketCall::Listen | SocketCall::Shutdown => 2,
            SocketCall::Socket
            | SocketCall::Bind
            | SocketCall::Connect
            | SocketCall::Accept
            | SocketCall::Getsockname
            | SocketCall::Getpeername
            | SocketCall::Sendmsg
            | SocketCall::Recvmsg => 3,
            SocketCall::Socketpair
            | SocketCall::Send
            | SocketCall::Recv
            | SocketCall::Accept4
            | SocketCall::Sendmmsg => 4,
            SocketCall::Setsockopt | SocketCall::Getsockopt | SocketCall::Recvmmsg => 5,
            SocketCall::Sendto | SocketCall::Recvfrom => 6,
        }
    }

    /// The name of the system call it stands for.
    pub fn name(self) -> &'static str {
        match self {
            SocketCall::Socket => "socket",
            SocketCall::Bind => "bind",
            SocketCall::Connect => "connect",
            SocketCall::Listen => "listen",
            SocketCall::Accept => "accept",
            SocketCall::Getsockname => "getsockname",
            SocketCall::Getpeername => "getpeername",
            SocketCall::Socketpair => "socketpair",
            SocketCall::Send => "send",
            SocketCall::Recv => "recv",
            SocketCall::Sendto => "sendto",
            SocketCall::Recvfrom => "recvfrom",
            SocketCall::Shutdown => "shutdown",
            SocketCall::Setsockopt => "setsockopt",
            SocketCall::Getsockopt => "getsockopt",
            SocketCall::Sendmsg => "sendmsg",
            SocketCall::Recvmsg => "recvmsg",
            SocketCall::Accept4 => "accept4",
            SocketCall::Recvmmsg => "recvmmsg",
            SocketCall::Sendmmsg => "sendmmsg",
        }
    }
}
