//! What comes: frames for the sockets that want them, and recvmsg(2) of them.

use super::vnet::{self, Unsummed};
use super::{ETH_P_ALL, ETH_P_IP, ETH_P_IPV6, LINK, PacketSocket, device_kind, ring};
use crate::call::{Attempt, Blocked, Cx, Fail, FailEffect};
use crate::filter::Written;
use crate::host::Host;
use crate::mask::PollMask;
use crate::message::{ControlOut, Received, RecvEffect, RecvRequest};
use crate::options::control::{self, Arrival};
use crate::table::SocketId;
use alloc::vec::Vec;
use bytes::Bytes;
use switchboard_abi::number::*;
use switchboard_abi::sockaddr::LinkAddr;
use switchboard_abi::{Errno, SockAddr};
use switchboard_bpf::Meta;
use switchboard_engine::{IfIndex, Instant, Shown, Tag, Tapped, Transport};
use switchboard_wire::{Body, Mac, Payload, UdpDatagram, emit_parts};

/// `PACKET_*` of packet(7): how a frame was addressed.
pub(super) const PACKET_HOST: u8 = 0;
pub(super) const PACKET_BROADCAST: u8 = 1;
pub(super) const PACKET_MULTICAST: u8 = 2;
pub(super) const PACKET_OTHERHOST: u8 = 3;
pub(super) const PACKET_OUTGOING: u8 = 4;

/// `TP_STATUS_*` of `struct tpacket_auxdata`.
const STATUS_USER: u32 = 1;
const STATUS_CSUMNOTREADY: u32 = 8;

/// A frame in a socket's queue.
pub(super) struct Queued {
    at: Instant,
    /// Somebody wanted to know the time when it came.
    stamped: bool,
    pub(super) data: Payload,
    /// Its length before a filter cut it.
    whole: usize,
    protocol: u16,
    interface: IfIndex,
    kind: u8,
    source: [u8; 6],
    unsummed: Option<Unsummed>,
    tag: Tag,
    drops: u32,
    charge: u32,
}

#[derive(Debug)]
pub(crate) struct PacketRecvEffect;

/// A frame as every socket sees it: headers from the link's on, and data.
pub(super) struct Seen {
    pub(super) at: Instant,
    pub(super) interface: IfIndex,
    pub(super) kind: u8,
    /// `skb->protocol`
    pub(super) protocol: u16,
    pub(super) tag: Tag,
    pub(super) headers: Bytes,
    pub(super) data: Payload,
    pub(super) ip_protocol: u8,
    /// Where the transport's data begins, if that is known.
    pub(super) payload_at: usize,
    /// Its checksum is left to the interface.
    pub(super) unsummed: Option<Unsummed>,
    /// Who sent it, and does not see it leave.
    pub(super) except: Option<SocketId>,
}

impl Seen {
    /// A packet of the stack, on its way out or in, of an interface with this hardware address.
    pub(super) fn of(tapped: &Tapped, own: Mac) -> Seen {
        let (protocol, mut written, unsummed, to_many) = match &tapped.what {
            Shown::Ip(ip, body) => {
                let protocol = if ip.is_v6() { ETH_P_IPV6 } else { ETH_P_IP };
                let (written, unsummed) = match body {
                    Body::Tcp(segment) => {
                        let written = Written::of(ip, &Transport::Tcp(segment));
                        let start = written.payload_at - segment.header_len();
                        (written, Some(Unsummed::of(true, start)))
                    }
                    Body::Udp(datagram) => {
                        let written = Written::of(ip, &Transport::Udp(datagram));
                        // UDP-Lite is summed at once.
                        let left = !datagram.unsummed && datagram.lite.is_none();
                        let start = written.payload_at - UdpDatagram::HEADER_LEN;
                        (written, left.then(|| Unsummed::of(false, start)))
                    }
                    body => {
                        let data = Bytes::from(emit_parts(ip, body));
                        let protocol = body.protocol(ip.is_v6());
                        (Written::plain(link_header(ETH_P_IP), data, protocol), None)
                    }
                };
                (protocol, written, unsummed, ip.dst.is_multicast())
            }
            Shown::Other(ethertype, payload) => {
                let written = Written::plain(link_header(*ethertype), payload.clone(), 0);
                (*ethertype, written, None, false)
            }
        };
        written.headers[12..LINK].copy_from_slice(&protocol.to_be_bytes());
        let kind = match tapped.link {
            _ if tapped.outgoing => PACKET_OUTGOING,
            // The addresses of `lo` are zeros, whoever is addressed.
            None if to_many && tapped.interface != IfIndex::LO => PACKET_MULTICAST,
            None => PACKET_HOST,
            Some(link) if link.dst == Mac::BROADCAST => PACKET_BROADCAST,
            Some(link) if link.dst.is_group() => PACKET_MULTICAST,
            Some(link) if link.dst == own => PACKET_HOST,
            Some(_) => PACKET_OTHERHOST,
        };
        if let Some(link) = tapped.link {
            written.headers[..6].copy_from_slice(&link.dst.0);
            written.headers[6..12].copy_from_slice(&link.src.0);
        }
        Seen {
            at: tapped.at,
            interface: tapped.interface,
            kind,
            protocol,
            tag: tapped.tag,
            unsummed,
            ip_protocol: written.ip_protocol,
            payload_at: written.payload_at,
            headers: written.headers.into(),
            data: written.data,
            except: None,
        }
    }

    /// The sender's hardware address.
    fn source(&self) -> [u8; 6] {
        let mut source = [0; 6];
        source.copy_from_slice(&self.headers[6..12]);
        source
    }

    /// Whether a hook for this protocol and interface is shown it. An ETH_P_ALL handler stands at both ends of an interface, any
    /// other behind the link's demultiplexer.
    pub(super) fn concerns(
        &self,
        protocol: u16,
        interface: Option<IfIndex>,
        ignore_outgoing: bool,
    ) -> bool {
        let outgoing = self.kind == PACKET_OUTGOING;
        let wanted = if protocol == ETH_P_ALL {
            !(outgoing && ignore_outgoing)
        } else {
            !outgoing && protocol == self.protocol
        };
        wanted && interface.is_none_or(|index| index == self.interface)
    }

    pub(super) fn meta(&self) -> Meta {
        Meta {
            protocol: self.protocol,
            pkt_type: self.kind,
            device: Some((self.interface.get(), device_kind(self.interface))),
            mark: self.tag.mark,
            priority: self.tag.priority,
            ip_protocol: self.ip_protocol,
            ..Meta::default()
        }
    }
}

/// The header of a link without addresses.
fn link_header(protocol: u16) -> Vec<u8> {
    let mut header = alloc::vec![0; LINK];
    header[12..].copy_from_slice(&protocol.to_be_bytes());
    header
}

/// What Linux charges for a frame of `lo`: the sk_buff, and its data in an area of an allocator's size, or in pages when
/// it is large.
pub(super) fn charge(len: usize) -> u32 {
    /// sizeof(struct sk_buff) in cache lines, and the smallest data area.
    const SKB: u32 = 256;
    const SMALL: u32 = 576;
    /// sizeof(struct skb_shared_info), which ends the area.
    const SHARED: u32 = 320;
    let len = u32::try_from(len).unwrap_or(u32::MAX >> 2);
    SKB + match len + SHARED {
        area if area <= SMALL => SMALL,
        area if area <= 1 << 14 => area.next_power_of_two(),
        _ => SMALL + len,
    }
}

impl PacketSocket {
    /// A frame waits for recvmsg(2).
    fn enqueue(&mut self, seen: &Seen, whole: usize, data: Payload, stamped: bool) {
        let charge = charge(whole);
        self.charged += charge;
        self.queue.push_back(Queued {
            at: seen.at,
            stamped,
            data,
            whole,
            protocol: seen.protocol,
            interface: seen.interface,
            kind: seen.kind,
            source: seen.source(),
            unsummed: seen.unsummed,
            tag: seen.tag,
            drops: self.drops,
            charge,
        });
    }

    /// There was no room for a frame.
    fn lose(&mut self) {
        self.stats.drops = self.stats.drops.wrapping_add(1);
        self.drops = self.drops.wrapping_add(1);
    }
}

impl Host {
    /// What a socket's own hook is shown.
    pub(super) fn packet_input(&mut self, id: SocketId, seen: &Seen) {
        let Ok(s) = self.packet(id) else { return };
        if s.fanout.is_none()
            && seen.except != Some(id)
            && seen.concerns(s.protocol, s.interface, s.options.ignore_outgoing)
        {
            self.packet_take(id, seen);
        }
    }

    /// packet_rcv(): queues the frame if the socket's filter lets it pass and there is room.
    pub(super) fn packet_take(&mut self, id: SocketId, seen: &Seen) {
        let Ok(socket) = self.get(id) else { return };
        let cooked = i32::from(socket.common.ty) == SOCK_DGRAM;
        let start = if cooked { LINK } else { 0 };
        let whole = (seen.headers.len() + seen.data.len()).saturating_sub(start);
        let kept = match self.packet_filtered(id, seen, start, whole) {
            Some(0) => return,
            Some(kept) => kept.min(whole),
            None => whole,
        };
        let rcvbuf = socket.common.rcvbuf;
        let stamped = socket.common.stamps();
        let mut data = Payload::new();
        if let Some(headers) = seen.headers.get(start..) {
            data.push(seen.headers.slice_ref(headers));
        }
        seen.data.iter().for_each(|chunk| data.push(chunk.clone()));
        let data = data.slice(..kept);
        let Ok(s) = self.packet_mut(id) else { return };
        if s.ring.is_some() {
            return self.packet_into_ring(id, seen, whole, &data, stamped);
        }
        if s.charged >= rcvbuf {
            return s.lose();
        }
        s.stats.packets = s.stats.packets.wrapping_add(1);
        s.enqueue(seen, whole, data, stamped);
        self.wake(id, PollMask::READABLE);
    }

    /// tpacket_rcv()
    fn packet_into_ring(
        &mut self,
        id: SocketId,
        seen: &Seen,
        whole: usize,
        data: &Payload,
        stamped: bool,
    ) {
        let Ok(socket) = self.get(id) else { return };
        let raw = i32::from(socket.common.ty) == SOCK_RAW;
        let rcvbuf = socket.common.rcvbuf;
        let Ok(s) = self.packet_mut(id) else { return };
        let Some(ring) = &mut s.ring else { return };
        let mut status = ring::USER;
        for (bit, on) in [
            (STATUS_CSUMNOTREADY, seen.unsummed.is_some()),
            (ring::TS_SOFTWARE, stamped),
        ] {
            status |= if on { bit } else { 0 };
        }
        // `struct sockaddr_ll`
        let mut from = [0; 20];
        from[..2].copy_from_slice(&(AF_PACKET as u16).to_ne_bytes());
        from[2..4].copy_from_slice(&seen.protocol.to_be_bytes());
        from[4..8].copy_from_slice(&seen.interface.get().to_ne_bytes());
        from[8..10].copy_from_slice(&device_kind(seen.interface).to_ne_bytes());
        from[10] = seen.kind;
        from[11] = 6;
        from[12..18].copy_from_slice(&seen.source());
        let bytes = data.to_bytes();
        let link = raw.then_some(LINK);
        // PACKET_COPY_THRESH: what is cut is to be had whole from the queue, which has room.
        let copied = s.options.copy_thresh != 0
            && s.options.version < ring::BLOCKS
            && bytes.len() > ring.room(link)
            && s.charged < rcvbuf;
        if copied {
            status |= ring::COPY;
        }
        let arrived = ring::Arrived {
            at: seen.at,
            status,
            whole,
            data: &bytes,
            link,
            from,
            losing: s.stats.drops > 0,
            hash: match ring.wants_hash() {
                // __flow_hash_from_keys(): 0 is none.
                true => super::fanout::flow_hash(seen).max(1),
                false => 0,
            },
        };
        match ring.put(&arrived) {
            Some(woken) => {
                if copied {
                    s.enqueue(seen, whole, data.clone(), stamped);
                }
                s.stats.packets = s.stats.packets.wrapping_add(1);
                if woken {
                    self.wake(id, PollMask::READABLE);
                }
            }
            None => {
                s.lose();
                self.wake(id, PollMask::READABLE);
            }
        }
    }

    /// run_filter(): how many bytes of the frame the socket gets; `None` without a filter.
    fn packet_filtered(
        &self,
        id: SocketId,
        seen: &Seen,
        start: usize,
        whole: usize,
    ) -> Option<usize> {
        let mut meta = seen.meta();
        meta.payload_offset = seen.payload_at.saturating_sub(start) as u32;
        let frame = || (seen.headers.to_vec(), seen.data.clone(), start, LINK);
        let verdict = self.frame_filtered(seen.at, id, frame, meta)?;
        Some((verdict as usize).min(whole))
    }

    /// packet_recvmsg()
    pub(crate) fn packet_attempt_recv(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        request: &mut RecvRequest<'_>,
    ) -> Result<Attempt<Received>, Fail> {
        // MSG_CMSG_COMPAT comes through recvfrom(2) alone.
        let known = MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_COMPAT | MSG_ERRQUEUE;
        if request.flags & !known != 0 {
            return Err(Errno::EINVAL.into());
        }
        if request.flags & MSG_ERRQUEUE != 0 {
            return self.packet_recv_stamp(cx, id, request);
        }
        let socket = self.get(id)?;
        let s = self.packet(id)?;
        if let (Some(errno), 0) = (s.error, request.skip.messages) {
            return Err(Fail::pending(errno));
        }
        let Some(frame) = s.queue.get(request.skip.messages) else {
            if request.last {
                return Err(Errno::EAGAIN.into());
            }
            return Ok(Attempt::Blocked(Blocked {
                interest: PollMask::IN,
                timeout: socket.common.rcvtimeo,
            }));
        };
        let len = frame.data.len();
        let front = usize::from(s.options.vnet);
        let peek = request.flags & MSG_PEEK != 0;
        let Some(room) = request.len.checked_sub(front) else {
            // packet_rcv_vnet(): the frame is off the queue by then.
            let lost = !peek && request.skip.messages == 0;
            let effect = if lost {
                FailEffect::PacketLost
            } else {
                FailEffect::Nothing
            };
            return Err(Fail::with(Errno::EINVAL, effect));
        };
        let n = room.min(len);
        let mut data = Payload::new();
        if front > 0 {
            data.push(Bytes::copy_from_slice(
                &vnet::header(frame.unsummed)[..front],
            ));
        }
        frame
            .data
            .slice(..n)
            .iter()
            .for_each(|chunk| data.push(chunk.clone()));
        let ago = cx.now.saturating_sub(frame.at);
        let arrival = Arrival {
            at: frame.stamped.then(|| cx.realtime.saturating_sub(ago)),
            drops: frame.drops,
            tag: frame.tag,
        };
        let mut control = Vec::new();
        control::received(cx, &socket.common, &arrival, &mut control);
        if s.options.auxdata {
            let net = if i32::from(socket.common.ty) == SOCK_RAW {
                LINK
            } else {
                0
            };
            control.push(ControlOut::Raw {
                level: SOL_PACKET,
                kind: PACKET_AUXDATA,
                data: frame.auxdata(net),
            });
        }
        Ok(Attempt::Ready(Received {
            data,
            ret: front
                + if request.flags & MSG_TRUNC != 0 {
                    len
                } else {
                    n
                },
            msg_flags: if n < len { MSG_TRUNC } else { 0 },
            name: Some(match self.is_spkt(id) {
                true => self.spkt_name(frame.interface, frame.protocol),
                false => SockAddr::Link(LinkAddr {
                    protocol: frame.protocol,
                    interface: frame.interface.get(),
                    device: device_kind(frame.interface),
                    kind: frame.kind,
                    address: Some(frame.source),
                    whole: true,
                }),
            }),
            control,
            effect: if peek {
                RecvEffect::Looked(frame.at)
            } else {
                RecvEffect::Packet(PacketRecvEffect)
            },
        }))
    }

    /// A frame that nobody got.
    pub(crate) fn packet_lose(&mut self, id: SocketId) {
        let Ok(s) = self.packet_mut(id) else { return };
        if let Some(frame) = s.queue.pop_front() {
            s.charged -= frame.charge;
        }
    }

    pub(crate) fn packet_commit_recv(&mut self, cx: &Cx<'_>, id: SocketId, _: PacketRecvEffect) {
        let Ok(s) = self.packet_mut(id) else { return };
        let Some(frame) = s.queue.pop_front() else {
            return;
        };
        s.charged -= frame.charge;
        self.note_stamp(cx, id, frame.at);
    }
}

impl Queued {
    /// `struct tpacket_auxdata`
    fn auxdata(&self, net: usize) -> Vec<u8> {
        let status = STATUS_USER
            | if self.unsummed.is_some() {
                STATUS_CSUMNOTREADY
            } else {
                0
            };
        let mut out = Vec::with_capacity(20);
        for word in [status, self.whole as u32, self.data.len() as u32] {
            out.extend_from_slice(&word.to_ne_bytes());
        }
        // tp_mac, tp_net, and no VLAN.
        for half in [0, net as u16, 0, 0] {
            out.extend_from_slice(&half.to_ne_bytes());
        }
        out
    }
}
