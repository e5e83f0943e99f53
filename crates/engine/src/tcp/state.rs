//! The states of a TCP socket, as Linux names and numbers them (include/net/tcp_states.h).

/// Linux's twelve states. RFC 9293, 3.3.2 has eleven; Linux splits SYN-RECEIVED in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Synchronized, both directions open.
    Established = 1,
    /// Active open: our SYN is out.
    SynSent = 2,
    /// Simultaneous open: both SYNs have crossed.
    SynRecv = 3,
    /// We closed; our FIN is not acknowledged.
    FinWait1 = 4,
    /// We closed and the peer has our FIN; it may still send.
    FinWait2 = 5,
    /// Both sides closed; old duplicates are waited out.
    TimeWait = 6,
    /// No connection.
    Close = 7,
    /// The peer closed; we may still send.
    CloseWait = 8,
    /// The peer closed, then we did; our FIN is not acknowledged.
    LastAck = 9,
    /// Passive open.
    Listen = 10,
    /// Both closed at the same time; our FIN is not acknowledged.
    Closing = 11,
    /// Passive open answered: a small entry in a listener's SYN queue, not yet a socket.
    NewSynRecv = 12,
}

impl State {
    /// Both SYNs are acknowledged and the connection is not over: segments are judged by RFC 9293, 3.10.7.4.
    #[inline]
    pub const fn is_synchronized(self) -> bool {
        !matches!(
            self,
            State::Close | State::Listen | State::SynSent | State::SynRecv | State::NewSynRecv
        )
    }

    /// New data may still be sent to the peer.
    #[inline]
    pub(crate) const fn can_send(self) -> bool {
        matches!(self, State::Established | State::CloseWait)
    }

    /// Our FIN is queued or sent.
    #[inline]
    pub(crate) const fn is_closing(self) -> bool {
        matches!(self, State::FinWait1 | State::Closing | State::LastAck)
    }
}

/// Which direction shutdown(2) closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// SHUT_RD.
    Read,
    /// SHUT_WR.
    Write,
    /// SHUT_RDWR.
    Both,
}

/// Why a connection failed; Linux's `sk_err`. The socket layer maps it to an errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpError {
    /// RST in SYN_SENT (ECONNREFUSED).
    ConnectionRefused,
    /// Somebody else ended the connection (ECONNABORTED).
    Aborted,
    /// RST in any other state (ECONNRESET).
    ConnectionReset,
    /// RST in CLOSE_WAIT (EPIPE).
    BrokenPipe,
    /// Retransmissions, probes or keepalives went unanswered (ETIMEDOUT).
    TimedOut,
    /// ICMP host unreachable while connecting, or at a timeout (EHOSTUNREACH).
    HostUnreachable,
    /// ICMP network unreachable (ENETUNREACH).
    NetUnreachable,
    /// ICMP protocol unreachable (ENOPROTOOPT).
    ProtocolUnreachable,
    /// ICMP parameter problem (EPROTO).
    Parameter,
}
