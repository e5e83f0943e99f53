//! How long a datagram may be: __ip_append_data() and __ip6_append_data(), `IP_MTU_DISCOVER`, `IPV6_DONTFRAG` and
//! `IPV6_RECVPATHMTU`.

use super::udp::UdpSocket;
use super::udp_plan::UdpSendPlan;
use super::{InetFlags, InetOptions};
use crate::call::{Fail, FailEffect};
use crate::host::Host;
use crate::message::{ControlOut, Received, RecvEffect};
use crate::table::SocketId;
use alloc::vec;
use core::net::{SocketAddr, SocketAddrV6};
use switchboard_abi::number::*;
use switchboard_abi::{Errno, SockAddr};
use switchboard_engine::RouteInfo;
use switchboard_wire::Payload;

/// Every path takes this much, so that it need not be looked at (RFC 791).
pub(super) const ALWAYS: usize = 576;

/// The notice that `IPV6_RECVPATHMTU` brings was told.
#[derive(Debug)]
pub(crate) struct PathMtuEffect;

/// `IP_MTU_DISCOVER` or `IPV6_MTU_DISCOVER`.
fn discover(options: &InetOptions, v6: bool) -> i32 {
    match v6 {
        true => options.discover6.into(),
        false => options.discover.into(),
    }
}

/// ip_sk_ignore_df() and its like, the other way round: no fragments.
pub(super) fn in_one_piece(options: &InetOptions, v6: bool) -> bool {
    matches!(
        discover(options, v6),
        IP_PMTUDISC_DO | IP_PMTUDISC_PROBE | IP_PMTUDISC_INTERFACE
    )
}

/// Whether the link's MTU is what counts, whatever IPv4's length field can say.
pub(super) fn by_interface(options: &InetOptions) -> bool {
    discover(options, false) >= IP_PMTUDISC_PROBE
}

/// What the length field may count. IP_PMTUDISC_INTERFACE goes by the interface's MTU alone (maxnonfragsize), which for
/// `lo` is one more: such a packet leaves with a length of 0 and arrives nowhere.
pub(super) fn longest(options: &InetOptions, v6: bool, mtu: u32) -> usize {
    if !v6 && discover(options, false) == IP_PMTUDISC_INTERFACE {
        return (mtu as usize).min(0x10000);
    }
    0xffff
}

impl Host {
    /// Whether a datagram of `len` bytes, the UDP header included, goes the planned way; `in_pieces`: as several
    /// (UDP_SEGMENT); `route` as far as it is known.
    pub(super) fn udp_check_size(
        &self,
        s: &UdpSocket,
        plan: &UdpSendPlan,
        len: usize,
        in_pieces: bool,
        route: Option<RouteInfo>,
    ) -> Result<(), Fail> {
        let (dst, v6) = (plan.dst, plan.dst.is_ipv6());
        // __ip6_append_data() counts destination options twice.
        let behind = match &plan.extra {
            Some(extra) if v6 => extra.headers.lens().1,
            _ => 0,
        };
        let len = len + plan.beside() + behind;
        // The 16-bit length counts the IPv4 header and not the IPv6 one.
        let (counted, packet) = match v6 {
            false => (len + 20, len + 20),
            true => (len, len + 40),
        };
        if packet <= ALWAYS {
            return Ok(());
        }
        let find = || {
            let found = self.stack.udp_route(s.handle, plan.via(), plan.way());
            found.map_err(crate::error::route)
        };
        let route = match route {
            Some(route) => route,
            None => find()?,
        };
        let whole = in_one_piece(&s.inet, v6) || plan.whole;
        let discover = discover(&s.inet, v6);
        let by_interface = matches!(discover, IP_PMTUDISC_PROBE | IP_PMTUDISC_INTERFACE);
        let mut route = route;
        if by_interface && let Some(interface) = self.stack.interface(route.interface) {
            // Who probes looks at the link and not at what routers have told.
            route.mtu = interface.mtu();
        }
        if plan.fragment_size > 0 {
            route.mtu = route.mtu.min(plan.fragment_size);
        }
        let over = packet > route.mtu as usize && !in_pieces;
        if counted <= longest(&s.inet, v6, route.mtu) && !(over && whole) {
            return Ok(());
        }
        // ip_local_error() names the port that the socket is connected to, ipv6_local_error() the message's.
        let port = match v6 {
            false => self.stack.udp_peer(s.handle).map_or(0, |peer| peer.port()),
            true => dst.port(),
        };
        // IPv4 counts no more than its length field does, but for who looks at the interface alone.
        let by_path = !v6 && discover < IP_PMTUDISC_PROBE;
        let mtu = if by_path {
            route.mtu.min(0xffff)
        } else {
            route.mtu
        };
        let effect = FailEffect::TooBig {
            dst: SocketAddr::new(dst.ip(), port),
            mtu,
            noted: v6 && plan.whole && counted <= 0xffff,
        };
        Err(Fail::with(Errno::EMSGSIZE, effect))
    }

    /// __ip6_append_data(): where what is joined to a datagram begins another fragment, the memory for that one has to
    /// be there. Both sides of the comparison are Linux's: twice SO_SNDBUF, which is twice what was asked for. IPv4
    /// needs no second fragment on `lo`.
    pub(super) fn udp_check_room(
        &self,
        s: &UdpSocket,
        sndbuf: u32,
        plan: &UdpSendPlan,
        more: usize,
    ) -> Result<(), Fail> {
        /// What an IPv6 header and the fragment header behind it take.
        const HEADERS: usize = 40 + 8;
        if plan.dst.is_ipv4() || s.held() + more + 8 + plan.beside() + 40 <= ALWAYS {
            return Ok(());
        }
        let route = self.stack.udp_route(s.handle, plan.via(), plan.way());
        let Ok(route) = route else { return Ok(()) };
        let mtu = route.mtu as usize;
        let before = s.held() + 8 + plan.beside() + 40;
        // Fragments carry multiples of 8 bytes.
        let first = (mtu.saturating_sub(40) & !7) + 40 - 8;
        if mtu < HEADERS || before + more <= mtu || before >= first {
            return Ok(());
        }
        let charged = s.charge().saturating_add((first - before) as u32);
        if charged > sndbuf.saturating_mul(2) {
            return Err(Fail::with(Errno::ENOBUFS, FailEffect::UdpDropped));
        }
        Ok(())
    }

    /// ipv6_local_rxpmtu(): the next recvmsg(2) tells what the path takes.
    pub(crate) fn note_path_mtu(&mut self, id: SocketId, dst: SocketAddr, mtu: u32) {
        let Ok(options) = self.inet_options_mut(id) else {
            return;
        };
        if let SocketAddr::V6(dst) = dst
            && options.has(InetFlags::RECVPATHMTU)
        {
            options.rare_mut().path_mtu = Some((dst, mtu));
        }
    }

    /// ipv6_recv_rxpmtu(): an empty message with `struct ip6_mtuinfo`.
    pub(super) fn path_mtu_notice(&self, options: &InetOptions) -> Option<Received> {
        if !options.has(InetFlags::RECVPATHMTU) {
            return None;
        }
        let (dst, mtu) = options.rare(|rare| rare.path_mtu)?;
        let dst = SocketAddr::V6(SocketAddrV6::new(*dst.ip(), 0, 0, 0));
        let mut info = [0; switchboard_abi::sockaddr::SOCKADDR_STORAGE_SIZE];
        let at = SockAddr::Inet(dst).encode(&mut info);
        let mut data = info[..at].to_vec();
        data.extend_from_slice(&mtu.to_ne_bytes());
        Some(Received {
            data: Payload::new(),
            ret: 0,
            msg_flags: 0,
            name: Some(SockAddr::Inet(dst)),
            control: vec![ControlOut::Raw {
                level: SOL_IPV6,
                kind: IPV6_PATHMTU,
                data,
            }],
            effect: RecvEffect::PathMtu(PathMtuEffect),
        })
    }

    /// The notice was told.
    pub(crate) fn commit_path_mtu(&mut self, id: SocketId, _: PathMtuEffect) {
        if let Ok(options) = self.inet_options_mut(id) {
            options.rare_mut().path_mtu = None;
        }
    }
}
