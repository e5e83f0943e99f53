//! What went wrong outside, as the ICMP error that says so inside.

use std::boxed::Box;

use core::net::IpAddr;
use rustix::io::Errno;
use switchboard_wire::{Body, IcmpMessage, IpHeader, Packet, Quoted, Unreachable};

/// Why a packet did not get where it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Net,
    Host,
    Port,
    Protocol,
    /// A filter of the real host or of a router.
    Prohibited,
    /// It needs to be no longer than this.
    TooBig(u32),
    /// "Destination unreachable" with another code.
    Unreachable(u8),
    /// "Time exceeded" with this code.
    Time(u8),
}

impl Fault {
    /// What an error of connect(2) or sendto(2) says. That nothing was heard is told by saying nothing.
    pub(super) fn of_errno(errno: Errno) -> Option<Fault> {
        Some(match errno {
            Errno::CONNREFUSED => Fault::Port,
            Errno::NETUNREACH | Errno::NETDOWN => Fault::Net,
            Errno::ACCESS | Errno::PERM => Fault::Prohibited,
            Errno::NOPROTOOPT => Fault::Protocol,
            Errno::TIMEDOUT | Errno::AGAIN | Errno::NOBUFS | Errno::INTR => return None,
            _ => Fault::Host,
        })
    }

    /// What an ICMP error of the real network says.
    pub(super) fn of_icmp(v6: bool, kind: u8, code: u8, info: u32) -> Option<Fault> {
        Some(match (v6, kind, code) {
            (false, 3, 0) | (true, 1, 0) => Fault::Net,
            (false, 3, 1) | (true, 1, 3) => Fault::Host,
            (false, 3, 2) => Fault::Protocol,
            (false, 3, 3) | (true, 1, 4) => Fault::Port,
            (false, 3, 4) | (true, 2, _) => Fault::TooBig(info),
            (false, 3, 13) | (true, 1, 1) => Fault::Prohibited,
            (false, 3, code) | (true, 1, code) => Fault::Unreachable(code),
            (false, 11, code) | (true, 3, code) => Fault::Time(code),
            _ => return None,
        })
    }

    /// The error message about `packet`, from `from`.
    pub(super) fn about(self, from: IpAddr, packet: &Packet) -> Packet {
        let original = Box::new(Quoted::of(packet));
        let (code, mtu) = match self {
            Fault::Net => (Unreachable::Net, 0),
            Fault::Host => (Unreachable::Host, 0),
            Fault::Port => (Unreachable::Port, 0),
            Fault::Protocol => (Unreachable::Protocol, 0),
            Fault::Prohibited => (Unreachable::AdminProhibited, 0),
            Fault::TooBig(mtu) => (Unreachable::PacketTooBig, mtu),
            Fault::Unreachable(code) => (Unreachable::Code(code), 0),
            Fault::Time(code) => {
                return message(
                    from,
                    packet.ip.src,
                    IcmpMessage::TimeExceeded { code, original },
                );
            }
        };
        let unreachable = IcmpMessage::Unreachable {
            code,
            mtu,
            original,
        };
        message(from, packet.ip.src, unreachable)
    }
}

fn message(from: IpAddr, to: IpAddr, message: IcmpMessage) -> Packet {
    Packet {
        ip: IpHeader::new(from, to),
        body: Body::Icmp(message),
    }
}
