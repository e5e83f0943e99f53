//! `IP_OPTIONS`, ip(7): the IPv4 options of what a socket sends.

use super::{GetArg, OptValue, SetArg};
use crate::call::Cx;
use crate::cred::Caps;
use crate::host::Host;
use crate::socket::Kind;
use crate::table::SocketId;
use alloc::boxed::Box;
use switchboard_abi::Errno;
use switchboard_engine::{IpOptions, MAX_OPTIONS, SendExtra};

impl Host {
    /// ip_options_get(): security options and what nobody knows are for who may send raw packets.
    pub(crate) fn compile_options(&self, cx: &Cx<'_>, bytes: &[u8]) -> Result<IpOptions, Errno> {
        let privileged = cx.cred.caps.contains(Caps::NET_RAW);
        let compiled = IpOptions::compile(bytes, privileged, |addr| self.stack.is_elsewhere(addr));
        let options = compiled.map_err(|_| Errno::EINVAL)?;
        // Linux 6.18: nobody else chooses a packet's way.
        if options.first_hop().is_some() && !privileged {
            return Err(Errno::EPERM);
        }
        Ok(options)
    }

    /// What the socket sends beside a plain IP header.
    pub(crate) fn send_extra(&self, id: SocketId) -> Result<Option<&SendExtra>, Errno> {
        Ok(match self.kind(id)? {
            Kind::Tcp(s) => self.stack.tcp_extra(s.handle),
            _ => (self.inet_options(id)?.rare.as_deref()).and_then(|rare| rare.extra.as_deref()),
        })
    }

    /// Changes it.
    pub(crate) fn change_extra(
        &mut self,
        id: SocketId,
        change: impl FnOnce(&mut SendExtra),
    ) -> Result<(), Errno> {
        let mut extra = self.send_extra(id)?.cloned().unwrap_or_default();
        change(&mut extra);
        let extra = (!extra.is_empty()).then(|| Box::new(extra));
        if let Kind::Tcp(s) = self.kind(id)? {
            let handle = s.handle;
            self.stack.tcp_set_extra(handle, extra);
        } else if extra.is_some() || self.send_extra(id)?.is_some() {
            self.inet_options_mut(id)?.rare_mut().extra = extra;
        }
        Ok(())
    }
}

/// `getsockopt(fd, IPPROTO_IP, IP_OPTIONS, ...)`: as they were set; of an accepted connection those that answer the
/// peer's.
pub(super) fn get(h: &Host, _: &Cx<'_>, id: SocketId, a: &GetArg) -> Result<OptValue, Errno> {
    let extra = h.send_extra(id)?;
    let options = extra.and_then(|extra| extra.options.as_ref());
    Ok(OptValue::bytes(
        &options.map(IpOptions::undo).unwrap_or_default(),
        a,
    ))
}

/// `setsockopt(fd, IPPROTO_IP, IP_OPTIONS, ...)`: none at all takes them away.
pub(super) fn set(
    h: &mut Host,
    cx: &mut Cx<'_>,
    id: SocketId,
    a: &SetArg<'_>,
) -> Result<(), Errno> {
    if a.len > MAX_OPTIONS {
        return Err(Errno::EINVAL);
    }
    let options = h.compile_options(cx, a.bytes(a.len)?)?;
    h.change_extra(id, |extra| {
        extra.options = (!options.is_empty()).then_some(options);
    })
}
