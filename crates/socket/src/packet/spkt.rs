//! SOCK_PACKET, of socket(2) and packet(7): the packet socket of Linux 2.0, which names interfaces instead of numbering
//! them. It sees and sends whole frames; it has no options of packet(7) and no ring.

use super::LINK;
use super::send::{PacketSendPlan, Way};
use crate::call::{Attempt, Cx, Fail};
use crate::filter::device_kind;
use crate::host::Host;
use crate::message::{PlanKind, SendPlan, SendRequest};
use crate::options::control::Cookie;
use crate::socket::CommonFlags;
use crate::table::SocketId;
use switchboard_abi::number::{AF_PACKET, SOCK_PACKET};
use switchboard_abi::sockaddr::DeviceAddr;
use switchboard_abi::{Errno, SockAddr};
use switchboard_engine::{IfIndex, Interface};

/// `sizeof(struct sockaddr)` and of `struct sockaddr_pkt`.
const SOCKADDR_SIZE: usize = 16;
const SOCKADDR_PKT_SIZE: usize = 18;
/// Where `spkt_protocol` stands.
const PROTOCOL_AT: usize = 16;

/// The name of an interface in the room of an address, cut as strscpy() cuts it.
fn device_name(interface: Option<&Interface>) -> [u8; 14] {
    let mut name = [0; 14];
    if let Some(interface) = interface {
        let from = interface.name().as_bytes();
        let n = from.len().min(13);
        name[..n].copy_from_slice(&from[..n]);
    }
    name
}

impl Host {
    pub(super) fn is_spkt(&self, id: SocketId) -> bool {
        self.get(id)
            .is_ok_and(|socket| i32::from(socket.common.ty) == SOCK_PACKET)
    }

    fn named(&self, name: &[u8]) -> Option<&Interface> {
        let name = name.split(|byte| *byte == 0).next()?;
        self.stack
            .interfaces()
            .find(|i| i.name().as_bytes() == name)
    }

    /// packet_bind_spkt(): the family is not looked at, the protocol stays.
    pub(super) fn spkt_bind(&self, raw: &[u8]) -> Result<(u16, Option<IfIndex>), Errno> {
        if raw.len() != SOCKADDR_SIZE {
            return Err(Errno::EINVAL);
        }
        let found = self.named(&raw[2..]).ok_or(Errno::ENODEV)?;
        Ok((0, Some(found.index())))
    }

    /// packet_getname_spkt()
    pub(super) fn spkt_getsockname(&self, bound: Option<IfIndex>) -> SockAddr {
        let interface = bound.and_then(|index| self.stack.interface(index));
        SockAddr::Device(DeviceAddr {
            family: AF_PACKET as u16,
            device: device_name(interface),
            protocol: None,
        })
    }

    /// packet_rcv_spkt(): from which device a frame came, whose type is in the place of the family.
    pub(super) fn spkt_name(&self, interface: IfIndex, protocol: u16) -> SockAddr {
        SockAddr::Device(DeviceAddr {
            family: device_kind(interface),
            device: device_name(self.stack.interface(interface)),
            protocol: Some(protocol),
        })
    }

    /// packet_sendmsg_spkt()
    pub(super) fn spkt_try_send(
        &self,
        cx: &Cx<'_>,
        id: SocketId,
        request: &SendRequest<'_>,
    ) -> Result<Attempt<SendPlan>, Fail> {
        let socket = self.get(id)?;
        // "SOCK_PACKET must be sent giving an address."
        let raw = request.name.ok_or(Errno::ENOTCONN)?;
        if raw.len() < SOCKADDR_SIZE {
            return Err(Errno::EINVAL.into());
        }
        let protocol = match raw.len() {
            SOCKADDR_PKT_SIZE => u16::from_be_bytes([raw[PROTOCOL_AT], raw[PROTOCOL_AT + 1]]),
            _ => 0,
        };
        // The last byte of the name is taken for its end.
        let interface = self.named(&raw[2..15]).ok_or(Errno::ENODEV)?;
        if !interface.is_up() {
            return Err(Errno::ENETDOWN.into());
        }
        if socket.common.has(CommonFlags::NOFCS) {
            // netif_supports_nofcs(): no interface does.
            return Err(Errno::EPROTONOSUPPORT.into());
        }
        if request.len > interface.mtu() as usize + LINK {
            return Err(Errno::EMSGSIZE.into());
        }
        if request.len < LINK {
            return Err(Errno::EINVAL.into());
        }
        let mut cookie = Cookie::new(&socket.common);
        cookie.apply_all(cx.cred.caps, &socket.common, request.control)?;
        request.control.check()?;
        let way = Way::of_frame(interface.index(), protocol, cookie);
        Ok(Attempt::Ready(SendPlan {
            take: request.len,
            charge: 0,
            kind: PlanKind::Packet(PacketSendPlan::of(way)),
        }))
    }
}
