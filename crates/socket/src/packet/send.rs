//! What is sent: a whole frame, or what stands behind its link header.

use super::receive::{PACKET_HOST, PACKET_MULTICAST, PACKET_OTHERHOST, PACKET_OUTGOING, Seen};
use super::tx_ring::Sending;
use super::vnet::{self, Unsummed};
use super::{ETH_P_ALL, ETH_P_IP, ETH_P_IPV6, LINK, SOCKADDR_LL_SIZE};
use crate::call::{Attempt, Cx, Fail};
use crate::host::Host;
use crate::message::{PlanKind, SendPlan, SendRequest};
use crate::options::control::Cookie;
use crate::table::SocketId;
use bytes::Bytes;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_engine::IfIndex;
use switchboard_wire::{Frame, Payload, parse};

/// Where `sll_addr` stands in `struct sockaddr_ll`.
const ADDRESS_AT: usize = 12;
/// `ETH_P_802_3_MIN`: from here on the field is a protocol, below a length.
const PROTOCOL_MIN: u16 = 1536;
/// `ETH_P_802_3` and `ETH_P_802_2`: frames with a length.
const ETH_P_802_3: u16 = 1;
const ETH_P_802_2: u16 = 4;

#[derive(Debug)]
pub(crate) struct PacketSendPlan {
    way: Way,
    /// What was sent from a ring already.
    told: Option<usize>,
}

impl PacketSendPlan {
    pub(super) fn of(way: Way) -> PacketSendPlan {
        PacketSendPlan { way, told: None }
    }

    /// The bytes of a ring's frames.
    pub(crate) fn told(&self) -> Option<usize> {
        self.told
    }
}

/// Where a frame goes, and as what.
#[derive(Clone, Debug)]
pub(super) struct Way {
    interface: IfIndex,
    protocol: u16,
    /// The bytes of PACKET_VNET_HDR in front of the frame.
    vnet: u8,
    /// The destination of SOCK_DGRAM, whose link header is the layer's to write.
    to: Option<[u8; 6]>,
    cookie: Cookie,
}

impl Way {
    /// Of a frame with its link header.
    pub(super) fn of_frame(interface: IfIndex, protocol: u16, cookie: Cookie) -> Way {
        Way {
            interface,
            protocol,
            vnet: 0,
            to: None,
            cookie,
        }
    }
}

impl Host {
    /// packet_snd()
    pub(crate) fn packet_try_send(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        request: &SendRequest<'_>,
    ) -> Result<Attempt<SendPlan>, Fail> {
        if self.is_spkt(id) {
            return self.spkt_try_send(cx, id, request);
        }
        let socket = self.get(id)?;
        let s = self.packet(id)?;
        let dgram = i32::from(socket.common.ty) == SOCK_DGRAM;
        let mut to = [0; 6];
        let (index, protocol) = match request.name {
            None => (s.interface, s.protocol),
            Some(raw) => {
                let length = usize::from(raw.get(11).copied().unwrap_or(0));
                if raw.len() < SOCKADDR_LL_SIZE || length > raw.len() - ADDRESS_AT {
                    return Err(Errno::EINVAL.into());
                }
                let index = i32::from_ne_bytes([raw[4], raw[5], raw[6], raw[7]]);
                if dgram {
                    to.copy_from_slice(&raw[ADDRESS_AT..ADDRESS_AT + 6]);
                }
                let protocol = u16::from_be_bytes([raw[2], raw[3]]);
                (self.link(index).map(|i| i.index()), protocol)
            }
        };
        let index = index.ok_or(Errno::ENXIO)?;
        let interface = self.stack.interface(index).ok_or(Errno::ENXIO)?;
        if !interface.is_up() {
            return Err(Errno::ENETDOWN.into());
        }
        let mut cookie = Cookie::new(&socket.common);
        cookie.apply_all(cx.cred.caps, &socket.common, request.control)?;
        request.control.check()?;
        let mtu = interface.mtu() as usize;
        let way = Way {
            interface: index,
            protocol,
            vnet: s.options.vnet,
            to: dgram.then_some(to),
            cookie,
        };
        if s.sending.is_some() {
            let told = Some(self.packet_send_ring(cx, id, &way, mtu)?);
            return Ok(Attempt::Ready(SendPlan {
                take: request.len,
                charge: 0,
                kind: PlanKind::Packet(PacketSendPlan { way, told }),
            }));
        }
        let most = mtu + if dgram { 0 } else { LINK };
        // packet_snd_vnet_parse()
        let len = request.len.checked_sub(way.vnet.into());
        let len = len.ok_or(Errno::EINVAL)?;
        if len > most {
            return Err(Errno::EMSGSIZE.into());
        }
        if !dgram && len < LINK {
            return Err(Errno::EINVAL.into());
        }
        Ok(Attempt::Ready(SendPlan {
            take: request.len,
            charge: 0,
            kind: PlanKind::Packet(PacketSendPlan { way, told: None }),
        }))
    }

    /// tpacket_snd(): the bytes of all frames that were sent. The slots are in memory that the program sees, so this happens as soon as it
    /// is attempted; it never waits.
    fn packet_send_ring(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        way: &Way,
        mtu: usize,
    ) -> Result<usize, Errno> {
        let options = self.packet(id)?.options;
        let sending = Sending {
            mtu,
            dgram: way.to.is_some(),
            has_off: options.tx_has_off,
        };
        let mut told = 0;
        // Another thread may fill slots as fast as they are sent.
        let mut left = self
            .packet(id)?
            .sending
            .as_ref()
            .map_or(0, |tx| tx.frames());
        while left > 0 {
            left -= 1;
            let next = self.packet(id)?.sending.as_ref();
            let Some(slot) = next.and_then(|tx| tx.next(sending)) else {
                break;
            };
            let passes = |frame: &Bytes| self.packet_passes(way, frame.clone().into());
            let frame = slot
                .frame
                .as_ref()
                .map_err(|errno| *errno)
                .and_then(|frame| passes(frame).map(|()| frame.clone()));
            let Some(tx) = &mut self.packet_mut(id)?.sending else {
                break;
            };
            match frame {
                Ok(frame) => {
                    tx.sent(&slot);
                    told += frame.len();
                    self.packet_transmit(cx, id, way, frame.into());
                }
                Err(_) if options.loss => tx.sent(&slot),
                Err(errno) => {
                    tx.refuse(&slot);
                    return Err(errno);
                }
            }
        }
        Ok(told)
    }

    /// What only the bytes tell: an interface without a link layer that is not `lo` carries IP packets and nothing else.
    pub(crate) fn packet_check_send(
        &self,
        plan: &PacketSendPlan,
        data: &Payload,
    ) -> Result<(), Errno> {
        match plan.told {
            Some(_) => Ok(()),
            None => {
                let (_, frame) = split_header(&plan.way, data)?;
                self.packet_passes(&plan.way, frame)
            }
        }
    }

    fn packet_passes(&self, way: &Way, data: Payload) -> Result<(), Errno> {
        let link = self.stack.interface(way.interface);
        if way.interface == IfIndex::LO || link.is_some_and(|i| i.is_ethernet()) {
            return Ok(());
        }
        let packet = match way.to {
            Some(_) => data,
            None => data.slice(LINK..),
        };
        parse(&packet.to_bytes()).map_or(Err(Errno::ENOBUFS), |_| Ok(()))
    }

    pub(crate) fn packet_commit_send(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        plan: PacketSendPlan,
        data: Payload,
    ) {
        if plan.told.is_none() {
            self.packet_transmit(cx, id, &plan.way, data);
            self.datagram_left(id);
        }
    }

    /// dev_queue_xmit(), and on `lo` netif_rx(): the frame is seen as it leaves, then as it comes in.
    fn packet_transmit(&mut self, cx: &mut Cx<'_>, id: SocketId, plan: &Way, data: Payload) {
        let Ok((unsummed, data)) = split_header(plan, &data) else {
            return;
        };
        let mut headers = [0; LINK];
        let link = self.stack.interface(plan.interface);
        let own = link.filter(|i| i.is_ethernet()).map(|i| i.hardware());
        let data = match plan.to {
            Some(to) => {
                headers[..6].copy_from_slice(&to);
                // dev_hard_header()
                headers[6..12].copy_from_slice(&own.unwrap_or_default());
                headers[12..].copy_from_slice(&plan.protocol.to_be_bytes());
                data
            }
            None => {
                data.slice(..LINK).copy_to(&mut headers);
                data.slice(LINK..)
            }
        };
        let field = u16::from_be_bytes([headers[12], headers[13]]);
        let mut seen = Seen {
            at: cx.now,
            interface: plan.interface,
            kind: PACKET_OUTGOING,
            // packet_parse_headers(): what is not named is what the frame says.
            protocol: match plan.protocol {
                0 | ETH_P_ALL => field,
                protocol => protocol,
            },
            tag: plan.cookie.tag,
            headers: Bytes::copy_from_slice(&headers),
            data,
            ip_protocol: 0,
            payload_at: 0,
            unsummed,
            except: Some(id),
        };
        self.show(&seen);
        self.packet_sent(id, cx.now, &plan.cookie, || {
            let mut whole = Payload::from(seen.headers.clone());
            seen.data.iter().for_each(|chunk| whole.push(chunk.clone()));
            whole
        });
        let mut bytes = seen.data.to_bytes();
        if let Some(unsummed) = unsummed {
            // The frame as it is shown keeps it as it was.
            let mut summed = bytes.to_vec();
            unsummed.make(&mut summed);
            bytes = summed.into();
        }
        if own.is_some() {
            let mut whole = headers.to_vec();
            whole.extend_from_slice(&bytes);
            if let Some(frame) = Frame::parse(&whole) {
                self.stack.inject_frame(plan.interface, frame);
            }
            return;
        }
        if plan.interface == IfIndex::LO {
            // eth_type_trans(): the addresses of `lo` are zeros, its broadcast address too.
            seen.kind = match &headers[..6] {
                [0, 0, 0, 0, 0, 0] => PACKET_HOST,
                [first, ..] if first & 1 != 0 => PACKET_MULTICAST,
                _ => PACKET_OTHERHOST,
            };
            seen.protocol = match field {
                PROTOCOL_MIN.. => field,
                _ if bytes.starts_with(&[0xff, 0xff]) => ETH_P_802_3,
                _ => ETH_P_802_2,
            };
            seen.except = None;
            self.show(&seen);
        }
        // ip_rcv() and ip6_rcv_core(): not what is for another host.
        let version = match seen.protocol {
            ETH_P_IP => 4,
            ETH_P_IPV6 => 6,
            _ => return,
        };
        if seen.kind == PACKET_OTHERHOST || bytes.first().is_none_or(|b| b >> 4 != version) {
            return;
        }
        if let Ok(packet) = parse(&bytes) {
            self.stack
                .inject(cx.now, plan.interface, plan.cookie.tag, packet);
            self.collect_stack_events();
        }
    }

    pub(super) fn show(&mut self, seen: &Seen) {
        for index in 0..self.hooked.len() {
            let id = self.hooked[index];
            self.packet_input(id, seen);
        }
        for group in 0..self.fanouts.len() {
            self.fanout_input(group, seen);
        }
    }
}

/// What a frame's PACKET_VNET_HDR says, and the frame.
fn split_header(way: &Way, data: &Payload) -> Result<(Option<Unsummed>, Payload), Errno> {
    if way.vnet == 0 {
        return Ok((None, data.clone()));
    }
    let front = usize::from(way.vnet);
    let mut header = [0; vnet::HEADER as usize];
    data.slice(..header.len()).copy_to(&mut header);
    let frame = data.slice(front..);
    Ok((vnet::parse(&header, frame.len())?, frame))
}
