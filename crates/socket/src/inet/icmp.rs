//! ICMP errors of sockets that see them whole: ip_icmp_error() and ipv6_icmp_error(), with what __udp4_lib_err() and
//! tcp_v4_err() do around them.

use super::errqueue::{ExtendedError, Origin, QueuedError};
use super::raw::Datagram;
use super::recv_control::Facts;
use super::{InetFlags, InetOptions};
use crate::host::Host;
use crate::mask::PollMask;
use crate::socket::Kind;
use crate::table::SocketId;
use alloc::vec::Vec;
use core::net::SocketAddr;
use switchboard_abi::Errno;
use switchboard_engine::{IcmpReport, IfIndex, Instant, State, TcpSet, UdpSet};
use switchboard_wire::{IcmpMessage, Payload, Quoted, Unreachable};

/// `IP_PMTUDISC_DONT` and `IPV6_PMTUDISC_DONT`.
const PMTUDISC_DONT: u8 = 0;

/// What the kernel of this release takes for an skb that carries an ICMP error about a packet of `quoted` bytes.
fn charge(quoted: usize, v6: bool) -> u32 {
    // sizeof(struct sk_buff), the small head, and the shared info that ends a larger one: see the engine's UDP queue.
    const SKB: usize = 256;
    const SMALL_HEAD: usize = 576;
    const SHARED_INFO: usize = 320;
    let headers = 8 + if v6 { 40 + 16 + 8 } else { 20 + 16 + 15 };
    let area = quoted + headers + SHARED_INFO;
    let size = match area <= SMALL_HEAD {
        true => SMALL_HEAD,
        false => area.next_power_of_two(),
    };
    u32::try_from(SKB + size).unwrap_or(u32::MAX)
}

/// What an error of this host costs: an IP header in a small head.
const LOCAL_CHARGE: u32 = 832;

impl Host {
    /// An ICMP error came for a socket that asked for reports.
    pub(crate) fn icmp_report(&mut self, id: SocketId, report: IcmpReport) {
        let v6 = report.ip.is_v6();
        let Some((errno, fatal)) = crate::error::icmp(&report.message, v6) else {
            return;
        };
        let Ok(options) = self.inet_options(id) else {
            return;
        };
        let discover = if v6 {
            options.discover6
        } else {
            options.discover
        };
        if errno == Errno::EMSGSIZE && !v6 && discover == PMTUDISC_DONT {
            return;
        }
        // icmpv6_err_convert() does not call it fatal, __udp6_lib_err() does for those who discover.
        let fatal = fatal && !(errno == Errno::EMSGSIZE && discover == PMTUDISC_DONT);
        let wanted = options.flags.contains(match v6 {
            true => InetFlags::RECVERR6,
            false => InetFlags::RECVERR,
        });
        let stamped = self.sockets.stamp_arrivals();
        match self.kind(id) {
            Ok(Kind::Tcp(s)) => {
                // Only a connection that is being made has its errors queued; the engine has ended it. Any other is told, and
                // goes on.
                match self.stack.tcp_state(s.handle) {
                    State::Close => {
                        let entry = queued(&report, errno, 0, options, stamped);
                        self.queue_error(id, entry);
                    }
                    _ if wanted => {
                        self.set_pending_error(id, errno);
                        self.wake(id, PollMask::ERR);
                    }
                    _ => {}
                }
            }
            Ok(Kind::Udp(s)) => {
                let connected = self.stack.udp_peer(s.handle).is_some();
                let udp = self.datagram(id) == Datagram::Udp;
                if wanted {
                    // The payload is what stood behind the UDP header; raw and ping sockets get all, and no port.
                    let skip = if udp { 8 } else { 0 };
                    let mut entry = queued(&report, errno, skip, options, stamped);
                    if !udp && let Some(name) = &mut entry.name {
                        name.set_port(0);
                    }
                    self.queue_error(id, entry);
                } else if !(fatal && connected) {
                    return;
                }
                self.set_pending_error(id, errno);
                self.wake(id, PollMask::ERR);
            }
            _ => {}
        }
    }

    /// ip_local_error(), ipv6_local_error(): this host found fault with a message that was to go to `dst`.
    pub(crate) fn local_error(&mut self, id: SocketId, errno: Errno, dst: SocketAddr, info: u32) {
        let Ok(options) = self.inet_options(id) else {
            return;
        };
        let wanted = match dst {
            SocketAddr::V4(_) => InetFlags::RECVERR,
            SocketAddr::V6(_) => InetFlags::RECVERR6,
        };
        if !options.flags.contains(wanted) {
            return;
        }
        let error = ExtendedError {
            errno,
            origin: Origin::Local,
            kind: 0,
            code: 0,
            info,
            data: 0,
        };
        let entry = QueuedError {
            error,
            offender: None,
            name: Some(dst),
            payload: Payload::new(),
            control: Vec::new(),
            charge: LOCAL_CHARGE,
            facts: None,
            stamped: None,
        };
        self.queue_error(id, entry);
    }

    /// IP_RECVERR was switched off: what waits is dropped.
    pub(crate) fn purge_errors(&mut self, id: SocketId, flag: InetFlags) -> Result<(), Errno> {
        let options = self.inet_options_mut(id)?;
        if !options.flags.contains(flag) {
            options.errors.purge();
            self.errors_changed(id);
        }
        Ok(())
    }

    /// Options changed of which the engine has to know.
    pub(crate) fn inet_flags_changed(&mut self, id: SocketId) {
        let Ok(options) = self.inet_options(id) else {
            return;
        };
        let asked = InetFlags::RECVERR | InetFlags::RECVERR6;
        let reports = options.flags.intersects(asked)
            // Who does no path MTU discovery is not told of it.
            || options.discover == PMTUDISC_DONT
            || options.discover6 == PMTUDISC_DONT;
        let nonlocal = options.binds_anywhere();
        let ports = options.rare(|rare| rare.port_range);
        self.multicast_flags_changed(id);
        match self.kind(id) {
            Ok(Kind::Udp(s)) => {
                let handle = s.handle;
                self.stack.udp_set(handle, UdpSet::Reports(reports));
                self.stack.udp_set(handle, UdpSet::Nonlocal(nonlocal));
                self.stack.udp_set(handle, UdpSet::PortRange(ports));
            }
            Ok(Kind::Tcp(s)) => {
                let handle = s.handle;
                for set in [
                    TcpSet::Reports(reports),
                    TcpSet::Nonlocal(nonlocal),
                    TcpSet::PortRange(ports),
                ] {
                    // Time is of no account for what is only kept.
                    self.stack.tcp_set(Instant::BOOT, handle, set);
                }
            }
            _ => {}
        }
    }

    /// SO_BINDTODEVICE of a datagram socket.
    pub(crate) fn bound_device(&self, id: SocketId) -> Option<IfIndex> {
        match self.kind(id).ok()? {
            Kind::Udp(s) => self.stack.udp_device(s.handle),
            _ => None,
        }
    }
}

/// The entry of an ICMP error; `skip` bytes of the quoted transport header do not belong to the payload.
fn queued(
    report: &IcmpReport,
    errno: Errno,
    skip: usize,
    options: &InetOptions,
    stamped: bool,
) -> QueuedError {
    let v6 = report.ip.is_v6();
    let (kind, code) = report.message.type_and_code(v6);
    let quoted = report.message.original();
    let info = match &report.message {
        IcmpMessage::Unreachable {
            code: Unreachable::PacketTooBig,
            mtu,
            ..
        } => *mtu,
        IcmpMessage::ParameterProblem { pointer, .. } => *pointer,
        _ => 0,
    };
    let payload = quoted.map_or_else(Payload::new, |quoted| {
        let from = skip.min(quoted.transport.len());
        Payload::from(quoted.transport.slice(from..))
    });
    let name = quoted.map(|quoted| {
        let port = quoted.ports().map_or(0, |(_, port)| port);
        SocketAddr::new(quoted.ip.dst, port)
    });
    let size = quoted.map_or(0, |q| q.ip.header_len() + q.transport.len());
    let asked = options.has(match v6 {
        true => InetFlags::RECVERR_RFC4884_6,
        false => InetFlags::RECVERR_RFC4884,
    });
    let data = quoted.filter(|_| asked).map_or(0, |q| extension(q, skip));
    QueuedError {
        error: ExtendedError {
            errno,
            origin: if v6 { Origin::Icmp6 } else { Origin::Icmp },
            kind,
            code,
            info,
            data,
        },
        offender: Some(SocketAddr::new(report.offender(), 0)),
        name,
        payload,
        control: Vec::new(),
        charge: charge(size, v6),
        facts: Some(Facts::of_error(report)),
        stamped: stamped.then_some(report.at),
    }
}

/// ip_icmp_error_rfc4884(): `struct sock_ee_data_rfc4884`, where behind `skip` bytes of the quoted transport the message's
/// extension begins, and whether it is a bad one. 0 where there is none.
fn extension(quoted: &Quoted, skip: usize) -> u32 {
    /// RFC 4884, 4: the quoted packet is filled up to this.
    const LEAST: usize = 128;
    /// `SO_EE_RFC4884_FLAG_INVALID`
    const INVALID: u8 = 1;
    let word = if quoted.ip.is_v6() { 8 } else { 4 };
    let end = usize::from(quoted.words) * word;
    let headers = quoted.ip.header_len() + quoted.headers.len() + skip;
    let payload = quoted.transport.get(skip..).unwrap_or(&[]);
    let Some(at) = end.checked_sub(headers).filter(|_| end >= LEAST) else {
        return 0;
    };
    let Some(header) = payload.get(at..at + 4) else {
        return 0;
    };
    let extension = &payload[at..];
    // Of another version than 2 nothing is known.
    let bad = header[0] >> 4 == 2 && !(sums_up(extension) && objects_fit(&extension[4..]));
    let [low, high] = (at as u16).to_ne_bytes();
    u32::from_ne_bytes([low, high, if bad { INVALID } else { 0 }, 0])
}

/// Whether the checksum of an extension is right, or not there.
fn sums_up(extension: &[u8]) -> bool {
    if extension[2..4] == [0, 0] {
        return true;
    }
    let words = extension.chunks(2);
    let sum: u32 = words
        .map(|w| u32::from(w[0]) << 8 | w.get(1).map_or(0, |b| u32::from(*b)))
        .sum();
    let sum = (sum >> 16) + (sum & 0xffff);
    (sum >> 16) + (sum & 0xffff) == 0xffff
}

/// Whether the objects of an extension fill it, each with a header.
fn objects_fit(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let &[a, b, _, _, ..] = rest else {
            return false;
        };
        let len = usize::from(u16::from_be_bytes([a, b]));
        match rest.get(len..) {
            Some(behind) if len >= 4 => rest = behind,
            _ => return false,
        }
    }
    true
}
