//! raw(7) and icmp(7): raw sockets and ping sockets.
//!
//! Both are datagram sockets without a port: what they share with UDP (receive, readiness, connect, errors) is in
//! `udp.rs`. Here is what differs: how they are made, named and sent to.

use super::InetOptions;
use super::addr::{InetAddr, needs_scope};
use super::udp_plan::UdpSendPlan;
use crate::call::{Attempt, Cx, Fail, FailEffect};
use crate::cred::Cred;
use crate::host::Host;
use crate::message::{PlanKind, SendPlan, SendRequest};
use crate::options::control::Cookie;
use crate::options::timestamping::Sof;
use crate::socket::{CommonFlags, Kind, Socket};
use crate::table::SocketId;
use alloc::boxed::Box;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_abi::sockaddr::{self, SIN6_LEN_RFC2133, SOCKADDR_IN_SIZE, SOCKADDR_IN6_SIZE};
use switchboard_engine::{BindRequest, Family, IfIndex, UdpId, UdpSet};
use switchboard_wire::Payload;

/// `struct iphdr` without options, and `struct ipv6hdr`.
const HEADER: usize = 20;
const HEADER6: usize = 40;
/// `struct icmphdr` and `struct icmp6hdr`.
const ICMP_HEADER: usize = 8;
/// Extended echo requests (RFC 8335).
const EXT_ECHO: u8 = 42;
const EXT_ECHO6: u8 = 160;

/// Which kind of datagram socket of IP it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Datagram {
    Udp,
    Raw,
    Ping,
}

#[derive(Debug)]
pub(crate) struct RawSendPlan {
    to: UdpSendPlan,
    what: What,
    /// With a header of the caller's own: rawv4_send_hdrinc() and rawv6_send_hdrinc() hold nothing back.
    at_once: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    /// A packet, of this protocol if it is not the socket's.
    Packet(Option<u8>),
    /// A packet with an IPv4 header of the caller's own.
    Header,
    /// An echo request.
    Echo,
    /// The same, which fails if its type is right (ping_common_sendmsg() looks at that first).
    Refused(Fail),
}

impl Socket {
    /// Of a socket whose kind is `Kind::Udp`.
    pub(crate) fn datagram(&self) -> Datagram {
        match (i32::from(self.common.ty), i32::from(self.common.protocol)) {
            (SOCK_RAW, _) => Datagram::Raw,
            (_, IPPROTO_ICMP | IPPROTO_ICMPV6) => Datagram::Ping,
            _ => Datagram::Udp,
        }
    }
}

impl Socket {
    /// Of a datagram socket: whether it is one of UDP-Lite.
    pub(crate) fn is_lite(&self) -> bool {
        (i32::from(self.common.ty), i32::from(self.common.protocol))
            == (SOCK_DGRAM, IPPROTO_UDPLITE)
    }
}

impl Host {
    /// Which kind of datagram socket; UDP of what is none.
    pub(crate) fn datagram(&self, id: SocketId) -> Datagram {
        match self.get(id) {
            Ok(socket) if matches!(socket.kind, Kind::Udp(_)) => socket.datagram(),
            _ => Datagram::Udp,
        }
    }

    /// inet_create() of SOCK_RAW, and of SOCK_DGRAM with ICMP.
    pub(super) fn new_raw(
        &mut self,
        cx: &mut Cx<'_>,
        domain: i32,
        ty: i32,
        protocol: i32,
        family: Family,
    ) -> SocketId {
        let mut common = self.new_common(cx, domain, ty, protocol);
        // INET_PROTOSW_REUSE.
        common.flags.insert(CommonFlags::REUSEADDR);
        let handle = match ty {
            SOCK_RAW => self.stack.raw_open(family, protocol as u16),
            _ => self.stack.ping_open(family),
        };
        self.stack.udp_set(handle, UdpSet::ReuseAddr(true));
        self.stack.udp_set(handle, UdpSet::Owner(common.uid));
        let socket =
            super::udp::UdpSocket::new(handle, InetOptions::of(family, self.stack.sysctl()));
        let kind = Kind::Udp(Box::new(socket));
        let id = self.sockets.insert(Socket { common, kind });
        self.inet.set_udp(handle, Some(id));
        self.discover_as_told(id);
        id
    }

    /// ping_init_sock(): for whom net.ipv4.ping_group_range allows it; by default that is nobody.
    pub(super) fn new_ping(
        &mut self,
        cx: &mut Cx<'_>,
        domain: i32,
        protocol: i32,
        family: Family,
    ) -> Result<SocketId, Errno> {
        if !self.may_ping(cx.cred) {
            return Err(Errno::EACCES);
        }
        let id = self.new_raw(cx, domain, SOCK_DGRAM, protocol, family);
        if family == Family::V6 {
            self.inet_options_mut(id)?.v6only = true;
        }
        Ok(id)
    }

    /// Whether net.ipv4.ping_group_range names a group of the caller's.
    fn may_ping(&self, cred: &Cred) -> bool {
        let (low, high) = self.stack.sysctl().ping_group_range;
        let within = |gid: &u32| (low..=high).contains(gid);
        within(&cred.egid) || cred.groups.iter().any(within)
    }

    /// raw_bind() and rawv6_bind(): an address; a second time, too.
    pub(super) fn raw_bind(&mut self, id: SocketId, raw: &[u8]) -> Result<(), Errno> {
        let v6 = i32::from(self.get(id)?.common.domain) == AF_INET6;
        let bound = self.get(id)?.common.device();
        let handle = self.udp(id)?.handle;
        let connected = self.stack.udp_peer(handle).is_some();
        let mut device = None;
        let addr: IpAddr = if v6 {
            let a = match InetAddr::parse_v6(raw) {
                Ok(InetAddr::V6(a)) => a,
                _ => return Err(Errno::EINVAL),
            };
            // "Raw sockets are IPv6 only."
            if a.ip().to_ipv4_mapped().is_some() {
                return Err(Errno::EADDRNOTAVAIL);
            }
            if connected {
                return Err(Errno::EINVAL);
            }
            if needs_scope(a.ip()) {
                // rawv6_bind(): the socket is bound to it, whatever becomes of the call.
                if a.scope_id() != 0 {
                    self.set_device(id, a.scope_id())?;
                }
                device = Some(self.scope(a.scope_id(), bound)?);
            }
            (*a.ip()).into()
        } else {
            if connected || raw.len() < SOCKADDR_IN_SIZE {
                return Err(Errno::EINVAL);
            }
            Ipv4Addr::new(raw[4], raw[5], raw[6], raw[7]).into()
        };
        let many = addr.is_multicast() || self.is_broadcast(addr);
        if !(addr.is_unspecified() || many || self.stack.may_bind(addr)) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        self.bind_datagram(id, handle, addr, 0, device)?;
        device.map_or(Ok(()), |device| self.set_device(id, device.get()))
    }

    /// ping_bind(): an address of the host's own, and an identifier.
    pub(super) fn ping_bind(&mut self, id: SocketId, raw: &[u8]) -> Result<(), Errno> {
        let v6 = i32::from(self.get(id)?.common.domain) == AF_INET6;
        let handle = self.udp(id)?.handle;
        let mut device = None;
        let (addr, port): (IpAddr, u16) = if v6 {
            if raw.len() < SOCKADDR_IN6_SIZE {
                return Err(Errno::EINVAL);
            }
            let InetAddr::V6(a) = InetAddr::parse_v6(raw)? else {
                return Err(Errno::EAFNOSUPPORT);
            };
            if a.ip().to_ipv4_mapped().is_some() {
                return Err(Errno::EINVAL);
            }
            if a.ip().is_unicast_link_local() {
                let bound = self.get(id)?.common.device();
                device = Some(self.scope(a.scope_id(), bound)?);
            }
            ((*a.ip()).into(), a.port())
        } else {
            match InetAddr::parse_v4(raw)? {
                InetAddr::V4(a) => ((*a.ip()).into(), a.port()),
                InetAddr::Unspec if raw[4..8] == [0; 4] => {
                    let port = u16::from_be_bytes([raw[2], raw[3]]);
                    (Ipv4Addr::UNSPECIFIED.into(), port)
                }
                InetAddr::Unspec | InetAddr::V6(_) => return Err(Errno::EAFNOSUPPORT),
            }
        };
        if !(addr.is_unspecified() || self.stack.may_bind(addr)) {
            return Err(Errno::EADDRNOTAVAIL);
        }
        if self.stack.udp_local(handle).port() != 0 {
            return Err(Errno::EINVAL);
        }
        self.bind_datagram(id, handle, addr, port, device)
    }

    fn scope(&self, index: u32, bound: Option<IfIndex>) -> Result<IfIndex, Errno> {
        let index = IfIndex::new(index).or(bound).ok_or(Errno::EINVAL)?;
        self.stack.interface(index).ok_or(Errno::ENODEV)?;
        Ok(index)
    }

    fn bind_datagram(
        &mut self,
        id: SocketId,
        handle: UdpId,
        addr: IpAddr,
        port: u16,
        device: Option<IfIndex>,
    ) -> Result<(), Errno> {
        let common = &self.get(id)?.common;
        let request = BindRequest {
            addr,
            port,
            family: if addr.is_ipv6() {
                Family::V6
            } else {
                Family::V4
            },
            v6only: true,
            device,
            reuse_addr: common.has(CommonFlags::REUSEADDR),
            reuse_port: common.has(CommonFlags::REUSEPORT),
            uid: common.uid,
        };
        let bound = self.stack.udp_bind(handle, request);
        bound.map(drop).map_err(crate::error::bind)
    }

    /// raw_sendmsg(), rawv6_sendmsg(), ping_v4_sendmsg() and ping_v6_sendmsg().
    pub(super) fn raw_attempt_send(
        &mut self,
        cx: &Cx<'_>,
        id: SocketId,
        kind: Datagram,
        request: &SendRequest<'_>,
    ) -> Result<Attempt<SendPlan>, Fail> {
        if kind != Datagram::Ping {
            return self.raw_plan_send(cx, id, kind, request);
        }
        // inet_send_prepare(): a send that fails has bound all the same.
        self.udp_autobind(id)?;
        if request.len > 0xffff {
            return Err(Errno::EMSGSIZE.into());
        }
        if request.len < ICMP_HEADER {
            return Err(Errno::EINVAL.into());
        }
        if request.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        match self.raw_plan_send(cx, id, kind, request) {
            Err(fail) => {
                let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
                let cookie = Cookie::new(&self.get(id)?.common);
                let to = UdpSendPlan::to(nobody, &self.udp(id)?.inet, cookie, request.flags);
                let what = What::Refused(fail);
                Ok(Attempt::Ready(SendPlan {
                    take: request.len,
                    charge: 0,
                    kind: PlanKind::Raw(Box::new(RawSendPlan {
                        to,
                        what,
                        at_once: false,
                    })),
                }))
            }
            planned => planned,
        }
    }

    /// ip_local_error() and ipv6_local_error() of a message that is longer than what the path takes at once.
    fn raw_too_big(
        &self,
        id: SocketId,
        to: &UdpSendPlan,
        mtu: u32,
        noted: bool,
    ) -> Result<Fail, Fail> {
        let s = self.udp(id)?;
        let v4 = to.dst.is_ipv4();
        let port = match v4 {
            true => self.stack.udp_peer(s.handle).map_or(0, |peer| peer.port()),
            false => to.dst.port(),
        };
        // __ip_append_data() counts no more than the length field does; raw_send_hdrinc() has the link's own.
        let header = self.stack.raw_settings(s.handle);
        let header = header.is_some_and(|(_, settings)| settings.header_included);
        let mtu = if v4 && !header && !super::mtu::by_interface(&s.inet) {
            mtu.min(0xffff)
        } else {
            mtu
        };
        let dst = SocketAddr::new(to.dst.ip(), port);
        Ok(Fail::with(
            Errno::EMSGSIZE,
            FailEffect::TooBig { dst, mtu, noted },
        ))
    }

    fn raw_plan_send(
        &mut self,
        cx: &Cx<'_>,
        id: SocketId,
        kind: Datagram,
        request: &SendRequest<'_>,
    ) -> Result<Attempt<SendPlan>, Fail> {
        let v4 = i32::from(self.get(id)?.common.domain) == AF_INET;
        let ping = kind == Datagram::Ping;
        if request.len > 0xffff && v4 {
            return Err(Errno::EMSGSIZE.into());
        }
        if request.flags & MSG_OOB != 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let s = self.udp(id)?;
        let handle = s.handle;
        let raw = self.stack.raw_settings(handle);
        let own = raw.map_or(0, |(protocol, _)| protocol);
        let header = raw.is_some_and(|(_, settings)| settings.header_included);
        let checksum = raw.and_then(|(_, settings)| settings.checksum);
        let connected = self.stack.udp_peer(handle);
        let mut protocol = None;
        // raw_sendmsg() asks for the length of a name, the others for its address.
        let name = request.name.filter(|raw| ping || !v4 || !raw.is_empty());
        let dst = match name {
            Some(raw) if v4 => raw_destination_v4(ping, raw)?,
            Some(raw) => {
                let dst = raw_destination_v6(ping, raw)?;
                protocol = raw_protocol(ping, own, dst.port())?;
                dst
            }
            None => connected.ok_or(Errno::EDESTADDRREQ)?,
        };
        let cookie = Cookie::new(&self.get(id)?.common);
        // ping_v6_sendmsg() makes the packet without the message's flags.
        let ignored = if ping && !v4 { MSG_PROBE } else { 0 };
        let mut to = UdpSendPlan::to(dst, &s.inet, cookie, request.flags & !ignored);
        let probe = to.probe;
        if !ping {
            to.pass_sticky(&s.inet);
        }
        self.udp_control_in(cx, id, v4, request.control, &mut to)?;
        if !v4 {
            self.settle_flow_label(cx.now, id, name, &mut to)?;
        }
        // raw_probe_proto_opt(): type and code are read to find the route.
        let icmp = i32::from(own) == if v4 { IPPROTO_ICMP } else { IPPROTO_ICMPV6 };
        if icmp && !header && request.len < 2 {
            return Err(Errno::EFAULT.into());
        }
        if !v4 && dst.ip().to_canonical().is_ipv4() {
            return Err(if ping {
                Errno::EINVAL
            } else {
                Errno::ENETUNREACH
            }
            .into());
        }
        // raw_sendmsg(): options beside a header of the caller's own are nonsense.
        if v4 && header && to.beside() > 0 {
            return Err(Errno::EINVAL.into());
        }
        if ping && !v4 && dst.ip().is_unspecified() {
            return Err(Errno::ENETUNREACH.into());
        }
        let mut mtu = u32::MAX;
        let elsewhere = to.src.is_some() || to.device.is_some() || to.via() != dst.ip();
        if header || Some(dst) != connected || elsewhere {
            let route = self.udp_send_route(handle, &to)?;
            self.udp_check_broadcast(id, route.kind)?;
            mtu = route.mtu;
        }
        let what = match kind {
            Datagram::Ping => What::Echo,
            _ if header => {
                if request.len > mtu as usize {
                    return Err(self.raw_too_big(id, &to, mtu, false)?);
                }
                if request.len < if v4 { HEADER } else { HEADER6 } {
                    return Err(Errno::EINVAL.into());
                }
                if v4 { What::Header } else { What::Packet(None) }
            }
            _ => What::Packet(protocol),
        };
        let held = self.udp(id)?.held();
        let packet = held + request.len + to.beside() + if v4 { HEADER } else { HEADER6 };
        let counted = if v4 { packet } else { packet - HEADER6 };
        // __ip6_append_data(): IPV6_DONTFRAG is for these protocols.
        let one = ping || matches!(i32::from(own), IPPROTO_UDP | IPPROTO_ICMPV6 | IPPROTO_RAW);
        let inet = &self.udp(id)?.inet;
        let whole = to.whole && one || super::mtu::in_one_piece(inet, !v4);
        if whole && packet > super::mtu::ALWAYS && mtu == u32::MAX && !header && !probe {
            mtu = self.udp_send_route(handle, &to)?.mtu;
        }
        let over = packet > mtu as usize && whole;
        if !header && !probe && (counted > super::mtu::longest(inet, !v4, mtu) || over) {
            let path = self.udp_send_route(handle, &to)?.mtu;
            let noted = !v4 && to.whole && counted <= 0xffff;
            return Err(self.raw_too_big(id, &to, path, noted)?);
        }
        // sock_alloc_send_skb(), which a raw socket only reaches with a header of the caller's own.
        if (ping || header) && !probe {
            let s = self.udp(id)?;
            if let Some(errno) = self.udp_pending_error(s) {
                return Err(Fail::pending(errno));
            }
            if s.shut.write {
                return Err(Errno::EPIPE.into());
            }
        }
        // rawv6_push_pending_frames(): the checksum has to lie within.
        if let (Some(at), false, What::Packet(_)) = (checksum, v4, what)
            && !header
            && !probe
            && at as usize + 1 >= held + request.len
        {
            return Err(Errno::EINVAL.into());
        }
        Ok(Attempt::Ready(SendPlan {
            take: request.len,
            charge: 0,
            kind: PlanKind::Raw(Box::new(RawSendPlan {
                to,
                what,
                at_once: header,
            })),
        }))
    }

    /// What can only be told when the bytes are there: an IPv4 header of the caller's own, the type
    /// of an echo request.
    pub(crate) fn raw_check_send(
        &self,
        id: SocketId,
        plan: &RawSendPlan,
        data: &Payload,
    ) -> Result<(), Fail> {
        let mut head = [0; HEADER];
        data.copy_to(&mut head);
        match plan.what {
            What::Packet(_) => Ok(()),
            What::Header if plan.to.probe => Ok(()),
            What::Header => {
                let length = usize::from(head[0] & 15) * 4;
                // raw_send_hdrinc(): options and all.
                if length < HEADER || length > data.len() {
                    return Err(Errno::EINVAL.into());
                }
                Ok(())
            }
            What::Echo | What::Refused(_) => {
                let v6 = i32::from(self.get(id)?.common.domain) == AF_INET6;
                match (head[0], head[1], v6, plan.what) {
                    (8 | EXT_ECHO, 0, false, What::Echo) => Ok(()),
                    (128 | EXT_ECHO6, 0, true, What::Echo) => Ok(()),
                    (8 | EXT_ECHO, 0, false, What::Refused(fail)) => Err(fail),
                    (128 | EXT_ECHO6, 0, true, What::Refused(fail)) => Err(fail),
                    _ => Err(Errno::EINVAL.into()),
                }
            }
        }
    }

    pub(crate) fn raw_commit_send(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        plan: RawSendPlan,
        data: Payload,
    ) {
        let Ok(s) = self.udp(id) else { return };
        let handle = s.handle;
        if plan.to.confirm {
            self.datagram_confirm(cx, handle, &plan.to);
        }
        let (dst, src) = (plan.to.dst, plan.to.src);
        let whole = match plan.at_once {
            true if plan.to.probe => None,
            true => Some((plan.to, data)),
            false => self.udp_cork(id, plan.to, data),
        };
        let Some((mut to, data)) = whole else {
            return;
        };
        if dst.is_ipv4() {
            // ip_push_pending_frames() writes the addresses of the last call over what was held back.
            (to.dst, to.src) = (dst, src);
        }
        let cookie = to.cookie;
        let see = cookie.keeps_packet();
        let sent = match plan.what {
            What::Packet(protocol) => {
                self.stack
                    .raw_send(cx.now, handle, to.into_send(data), protocol, see)
            }
            What::Header => self
                .stack
                .raw_send(cx.now, handle, to.into_send(data), None, see),
            What::Echo | What::Refused(_) => {
                let mut head = [0; ICMP_HEADER];
                data.copy_to(&mut head);
                let rest = data.slice(ICMP_HEADER.min(data.len())..);
                let sequence = u16::from_be_bytes([head[6], head[7]]);
                self.stack
                    .ping_send(cx.now, handle, to.into_send(rest), head[0], sequence, see)
            }
        };
        // The route and the size were looked at; what fails now is a packet that was lost.
        if cookie.stamps.intersects(Sof::TX_RECORD) {
            let packet = sent.as_ref().ok().and_then(Option::as_ref);
            self.datagram_sent(id, cx.now, &cookie, packet);
        }
        self.datagram_left(id);
        self.collect_stack_events();
    }
}

fn raw_destination_v4(ping: bool, raw: &[u8]) -> Result<SocketAddr, Errno> {
    if raw.len() < SOCKADDR_IN_SIZE {
        return Err(Errno::EINVAL);
    }
    let family = sockaddr::family(raw);
    // raw_sendmsg() takes AF_UNSPEC for AF_INET.
    if family != Some(AF_INET) && (ping || family != Some(AF_UNSPEC)) {
        return Err(Errno::EAFNOSUPPORT);
    }
    let ip = Ipv4Addr::new(raw[4], raw[5], raw[6], raw[7]);
    // No protocol is taken from the port.
    Ok((ip, 0).into())
}

fn raw_destination_v6(ping: bool, raw: &[u8]) -> Result<SocketAddr, Errno> {
    let least = if ping {
        SOCKADDR_IN6_SIZE
    } else {
        SIN6_LEN_RFC2133
    };
    if raw.len() < least {
        return Err(Errno::EINVAL);
    }
    let family = sockaddr::family(raw);
    if family != Some(AF_INET6) && (ping || family != Some(AF_UNSPEC)) {
        return Err(Errno::EAFNOSUPPORT);
    }
    let raw = &raw[..raw.len().min(SOCKADDR_IN6_SIZE)];
    let mut bytes = raw.to_vec();
    bytes[..2].copy_from_slice(&(AF_INET6 as u16).to_ne_bytes());
    let mut a = sockaddr::read_in6(&bytes).ok_or(Errno::EINVAL)?;
    // ":: means loopback", but for ping sockets, which find no way there.
    if a.ip().is_unspecified() && !ping {
        a.set_ip(Ipv6Addr::LOCALHOST);
    }
    Ok(SocketAddr::V6(a))
}

/// rawv6_sendmsg(): the port names the protocol. It has to be the socket's, unless that is
/// IPPROTO_RAW.
fn raw_protocol(ping: bool, own: u16, port: u16) -> Result<Option<u8>, Errno> {
    if ping || port == 0 {
        return Ok(None);
    }
    if port != own && i32::from(own) != IPPROTO_RAW {
        return Err(Errno::EINVAL);
    }
    u8::try_from(port).map(Some).map_err(|_| Errno::EINVAL)
}
