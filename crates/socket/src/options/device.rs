//! `SO_BINDTODEVICE` and `SO_BINDTOIFINDEX`, socket(7): a socket of one interface.

use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::cred::Caps;
use crate::host::Host;
use crate::socket::{Common, Kind};
use crate::table::SocketId;
use core::net::SocketAddr;
use switchboard_abi::Errno;
use switchboard_engine::{IfIndex, UdpSet};

/// IFNAMSIZ
const NAME_SIZE: usize = 16;

impl Common {
    /// The interface that the socket is bound to.
    pub(crate) fn device(&self) -> Option<IfIndex> {
        IfIndex::new(self.rare().device)
    }
}

/// sock_setbindtodevice(): a name, cut to what an interface's may be; an empty one is none.
pub(super) fn set_device(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    let name = a.bytes(a.len.min(NAME_SIZE - 1))?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let index = if name.is_empty() {
        0
    } else {
        let mut interfaces = h.stack.interfaces();
        let found = interfaces.find(|i| i.name().as_bytes() == name);
        found.ok_or(Errno::ENODEV)?.index().get() as i32
    };
    bind_to(h, cx, id, index)
}

/// sock_getbindtodevice(): room for the longest name is asked for, whatever the name.
pub(super) fn get_device(
    h: &Host,
    _: &Cx<'_>,
    id: SocketId,
    a: &GetArg,
) -> Result<OptValue, Errno> {
    let Some(index) = h.get(id)?.common.device() else {
        return Ok(OptValue::bytes(&[], a));
    };
    if a.len < NAME_SIZE {
        return Err(Errno::EINVAL);
    }
    let interface = h.stack.interface(index).ok_or(Errno::ENODEV)?;
    let mut name = interface.name().as_bytes().to_vec();
    name.push(0);
    Ok(OptValue::bytes(&name, a))
}

pub(super) fn set_index(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    bind_to(h, cx, id, a.int()?)
}

pub(super) fn get_index(h: &Host, _: &Cx<'_>, id: SocketId, a: &GetArg) -> Result<OptValue, Errno> {
    Ok(OptValue::int(h.get(id)?.common.rare().device as i32, a))
}

/// sock_bindtoindex_locked(): anybody may bind a socket, only who may use raw sockets frees it again.
/// Nobody asks whether there is such an interface.
fn bind_to(h: &mut Host, cx: &Cx<'_>, id: SocketId, index: i32) -> Result<(), Errno> {
    let common = &mut h.get_mut(id)?.common;
    if common.device().is_some() && !cx.cred.caps.contains(Caps::NET_RAW) {
        return Err(Errno::EPERM);
    }
    let index = u32::try_from(index).map_err(|_| Errno::EINVAL)?;
    h.set_device(id, index)
}

impl Host {
    /// The socket is bound to an interface from now on, or to none.
    pub(crate) fn set_device(&mut self, id: SocketId, index: u32) -> Result<(), Errno> {
        let common = &mut self.get_mut(id)?.common;
        if index != common.rare().device {
            common.rare_mut().device = index;
        }
        let device = IfIndex::new(index);
        match self.kind(id)? {
            Kind::Tcp(s) => {
                let handle = s.handle;
                self.stack.tcp_set_device(handle, device);
            }
            Kind::Udp(s) => {
                let handle = s.handle;
                self.stack.udp_set(handle, UdpSet::Device(device));
                self.forget_way(id);
            }
            Kind::Unix(_) | Kind::Netlink(_) | Kind::Packet(_) => {}
        }
        Ok(())
    }

    /// connect(2) to an address that means something on one link only binds the socket to its interface.
    pub(crate) fn bind_to_scope(&mut self, id: SocketId, peer: SocketAddr) -> Result<(), Errno> {
        match peer {
            SocketAddr::V6(peer) if peer.scope_id() != 0 && crate::inet::needs_scope(peer.ip()) => {
                self.set_device(id, peer.scope_id())
            }
            _ => Ok(()),
        }
    }
}
