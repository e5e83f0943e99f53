//! Control messages of a datagram on its way out: ip_cmsg_send() and ip6_datagram_send_ctl(), as far
//! as their options are here.

use super::raw::Datagram;
use super::udp_plan::UdpSendPlan;
use crate::call::Cx;
use crate::host::Host;
use crate::message::SendControl;
use crate::options::control::Cookie;
use crate::options::ipv6_headers;
use crate::table::SocketId;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_engine::{Flow, IfIndex, MAX_OPTIONS, SendHeaders};

/// The value of a control message that is one `int`.
fn int(data: &[u8]) -> Result<i32, Errno> {
    let raw: [u8; 4] = data.try_into().map_err(|_| Errno::EINVAL)?;
    Ok(i32::from_ne_bytes(raw))
}

/// An interface's index, which may be of none; zero leaves the choice to the route.
fn index(raw: &[u8]) -> Result<Option<IfIndex>, Errno> {
    let index = int(raw)?;
    Ok(IfIndex::new(index as u32))
}

impl Host {
    /// Applies control messages to a planned datagram. `v4`: of an AF_INET socket.
    pub(super) fn udp_control_in(
        &self,
        cx: &Cx<'_>,
        id: SocketId,
        v4: bool,
        control: &SendControl,
        plan: &mut UdpSendPlan,
    ) -> Result<(), Errno> {
        if self.datagram(id) == Datagram::Udp {
            // udp_cmsg_send() goes first, through all of them.
            for (level, kind, data) in &control.other {
                if *level == SOL_UDP {
                    super::udp_offload::control(*kind, data, plan)?;
                }
            }
            control.check()?;
        }
        let mapped = !v4 && plan.dst.is_ipv4();
        let mut headers = SendHeaders::default();
        let mut by = None;
        for (level, kind, data) in &control.other {
            match *level {
                SOL_SOCKET => {
                    let common = &self.get(id)?.common;
                    plan.cookie.apply(cx.cred.caps, common, *kind, data)?;
                }
                SOL_IPV6 if mapped && *kind == IPV6_PKTINFO => mapped_pktinfo(data, plan)?,
                SOL_IP if plan.dst.is_ipv4() && *kind == IP_RETOPTS => {
                    let room = data.len().min(MAX_OPTIONS);
                    let options = self.compile_options(cx, &data[..room])?;
                    plan.extra.get_or_insert_default().options = Some(options);
                }
                SOL_IP if plan.dst.is_ipv4() => {
                    control_v4(*kind, data, plan)?;
                    if *kind == IP_PKTINFO && plan.src.is_none() {
                        plan.src = self.source_of_the_way(id, plan);
                    }
                }
                SOL_IPV6 if plan.dst.is_ipv6() => {
                    match ipv6_headers::control(cx.cred.caps, *kind, data, &mut headers) {
                        Some(done) => done?,
                        None => self.control_v6(id, *kind, data, plan, &mut by)?,
                    }
                }
                // Other levels are not for this protocol and are passed over.
                _ => {}
            }
        }
        control.check()?;
        // Those of the message, if it has any, and otherwise the socket's.
        if !headers.is_empty() {
            plan.extra.get_or_insert_default().headers = headers;
        }
        Ok(())
    }

    /// IP_PKTINFO without an address: not the socket's own address either, but that of the way.
    fn source_of_the_way(&self, id: SocketId, plan: &UdpSendPlan) -> Option<IpAddr> {
        let device = plan.device.or_else(|| self.bound_device(id));
        let flow = Flow {
            device,
            mark: plan.cookie.tag.mark,
            tos: plan.tos.unwrap_or(0),
            ..Flow::to(plan.via())
        };
        let route = self.stack.route_of(&flow).ok()?;
        Some(route.source)
    }

    /// The extension headers that these messages bring, each of which has to be right.
    pub(crate) fn headers_of(
        &self,
        cx: &Cx<'_>,
        id: SocketId,
        control: &SendControl,
    ) -> Result<SendHeaders, Errno> {
        let dst = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
        let cookie = Cookie::new(&self.get(id)?.common);
        let mut plan = UdpSendPlan::to(dst, self.inet_options(id)?, cookie, 0);
        plan.extra = None;
        let mut own = SendControl::default();
        let other = control.other.iter();
        own.other = other
            .filter(|(level, ..)| *level != SOL_UDP)
            .cloned()
            .collect();
        self.udp_control_in(cx, id, false, &own, &mut plan)?;
        Ok(plan
            .extra
            .map_or_else(SendHeaders::default, |extra| extra.headers))
    }

    /// `by`: the interface that an earlier one of the messages named.
    fn control_v6(
        &self,
        id: SocketId,
        kind: i32,
        data: &[u8],
        plan: &mut UdpSendPlan,
        by: &mut Option<IfIndex>,
    ) -> Result<(), Errno> {
        match kind {
            IPV6_PKTINFO | IPV6_2292PKTINFO => {
                // struct in6_pktinfo: addr, ifindex.
                let (ip, rest) = data.split_first_chunk::<16>().ok_or(Errno::EINVAL)?;
                let chosen = index(rest.get(..4).ok_or(Errno::EINVAL)?)?;
                if chosen.is_some() {
                    // Where one is settled (flowi6_oif) no other may be named.
                    let sticky = || match self.datagram(id) {
                        Datagram::Raw => None,
                        _ => self.inet_options(id).ok()?.rare(|rare| rare.pktinfo)?.1,
                    };
                    let settled = by.or_else(|| self.bound_device(id)).or_else(sticky);
                    if settled.is_some() && settled != chosen {
                        return Err(Errno::EINVAL);
                    }
                    *by = chosen;
                }
                plan.device = chosen.or(plan.device);
                let ip = Ipv6Addr::from(*ip);
                match plan.device {
                    Some(device) if self.stack.interface(device).is_none() => {
                        return Err(Errno::ENODEV);
                    }
                    None if ip.is_unicast_link_local() => return Err(Errno::EINVAL),
                    _ => {}
                }
                if !ip.is_unspecified() {
                    // ipv6_can_nonlocal_bind()
                    let anywhere = self.inet_options(id)?.binds_anywhere()
                        || self.stack.sysctl().ipv6_nonlocal_bind;
                    if !anywhere && !self.stack.is_local(ip.into()) {
                        return Err(Errno::EINVAL);
                    }
                    plan.src = Some(ip.into());
                }
                Ok(())
            }
            IPV6_HOPLIMIT | IPV6_2292HOPLIMIT => {
                match int(data)? {
                    // What the socket says.
                    -1 => {}
                    value => plan.ttl = Some(u8::try_from(value).map_err(|_| Errno::EINVAL)?),
                }
                Ok(())
            }
            IPV6_TCLASS => {
                plan.tos = match int(data)? {
                    // RFC 3542, 6.5 has the default here, and Linux all ones.
                    -1 => Some(u8::MAX),
                    value => Some(u8::try_from(value).map_err(|_| Errno::EINVAL)?),
                };
                Ok(())
            }
            IPV6_DONTFRAG => {
                plan.whole = match int(data)? {
                    0 => false,
                    1 => true,
                    _ => return Err(Errno::EINVAL),
                };
                Ok(())
            }
            IPV6_FLOWINFO => {
                let raw = data.first_chunk::<4>().ok_or(Errno::EINVAL)?;
                plan.set_flow(u32::from_be_bytes(*raw));
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }
}

fn control_v4(kind: i32, data: &[u8], plan: &mut UdpSendPlan) -> Result<(), Errno> {
    match kind {
        IP_PKTINFO => {
            // struct in_pktinfo: ifindex, spec_dst, addr.
            let info: &[u8; 12] = data.try_into().map_err(|_| Errno::EINVAL)?;
            plan.device = index(&info[..4])?.or(plan.device);
            let ip = Ipv4Addr::new(info[4], info[5], info[6], info[7]);
            plan.src = (!ip.is_unspecified()).then_some(ip.into());
            Ok(())
        }
        // The protocol is of account to raw sockets only.
        IP_PROTOCOL => match int(data)? {
            1..=255 => Ok(()),
            _ => Err(Errno::EINVAL),
        },
        IP_TTL => match u8::try_from(int(data)?) {
            Ok(ttl @ 1..) => {
                plan.ttl = Some(ttl);
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        },
        IP_TOS => {
            let value = match data {
                [byte] => i32::from(*byte),
                _ => int(data)?,
            };
            plan.tos = Some(u8::try_from(value).map_err(|_| Errno::EINVAL)?);
            Ok(())
        }
        _ => Err(Errno::EINVAL),
    }
}

/// An IPv6 socket that sends to an IPv4 address names its source by a v4-mapped one.
fn mapped_pktinfo(data: &[u8], plan: &mut UdpSendPlan) -> Result<(), Errno> {
    let (ip, rest) = data.split_first_chunk::<16>().ok_or(Errno::EINVAL)?;
    let chosen = index(rest.get(..4).ok_or(Errno::EINVAL)?)?;
    let ip = Ipv6Addr::from(*ip).to_ipv4_mapped().ok_or(Errno::EINVAL)?;
    plan.device = chosen.or(plan.device);
    plan.src = (!ip.is_unspecified()).then_some(ip.into());
    Ok(())
}
