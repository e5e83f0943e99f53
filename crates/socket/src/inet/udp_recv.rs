//! Receiving datagrams: udp_recvmsg().

use super::InetFlags;
use super::addr::{present, scoped};
use super::raw::Datagram;
use super::recv_control::Facts;
use super::udp::UdpSocket;
use crate::call::{Attempt, Blocked, Cx, Fail};
use crate::host::Host;
use crate::mask::PollMask;
use crate::message::{ControlOut, Received, RecvEffect, RecvRequest};
use crate::options::control::{self, Arrival};
use crate::options::peek::{PeekEffect, PeekWalk};
use crate::socket::Socket;
use crate::table::SocketId;
use alloc::vec::Vec;
use core::net::SocketAddr;
use switchboard_abi::number::*;
use switchboard_abi::{Errno, SockAddr};
use switchboard_engine::UdpReceived;
use switchboard_wire::Payload;

#[derive(Debug)]
pub(crate) struct UdpRecvEffect {
    /// What the call returned, by which SO_PEEK_OFF moves back.
    pub(crate) ret: usize,
    /// The caller's memory could not take it.
    pub(crate) lost: bool,
}

impl Host {
    /// udp_recvmsg().
    pub(crate) fn udp_attempt_recv(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        request: &mut RecvRequest<'_>,
    ) -> Result<Attempt<Received>, Fail> {
        if request.flags & MSG_OOB != 0 && self.datagram(id) != Datagram::Udp {
            return Err(Errno::EOPNOTSUPP.into());
        }
        if request.flags & MSG_ERRQUEUE != 0 {
            return self.attempt_recv_error(cx, id, request);
        }
        if let Some(notice) = self.path_mtu_notice(&self.udp(id)?.inet) {
            return Ok(Attempt::Ready(notice));
        }
        let socket = self.get(id)?;
        let s = self.udp(id)?;
        if request.skip.messages == 0
            && let Some(errno) = self.udp_pending_error(s)
        {
            return Err(Fail::pending(errno));
        }
        let udp = socket.datagram() == Datagram::Udp;
        let peek_at = match udp {
            true => socket.common.peek_offset(request.flags, request.skip),
            // skb_recv_datagram(): as at the offset zero, so an empty one is shown once.
            false => (request.flags & MSG_PEEK != 0).then_some(0),
        };
        let mut walk = PeekWalk::new(peek_at, request.skip);
        let mut queue = self.stack.udp_queue(s.handle).enumerate();
        let next = match peek_at {
            None => queue.nth(request.skip.messages),
            Some(_) => queue.find(|(_, m)| !walk.passes(m.payload.len(), m.peeked)),
        };
        let offset = walk.offset;
        let Some((index, message)) = next else {
            if s.shut.read && !request.last {
                let effect = RecvEffect::None;
                let (data, control) = (Payload::new(), Vec::new());
                let nothing = Received {
                    data,
                    ret: 0,
                    msg_flags: 0,
                    name: None,
                    control,
                    effect,
                };
                return Ok(Attempt::Ready(nothing));
            }
            if request.last {
                return Err(Errno::EAGAIN.into());
            }
            let timeout = socket.common.rcvtimeo;
            return Ok(Attempt::Blocked(Blocked {
                interest: PollMask::IN,
                timeout,
            }));
        };
        let whole = message.payload.len();
        let n = request.len.min(whole - offset);
        // At an offset, a peek to the end is cut too, unless more was asked for.
        let truncated = n < whole && request.len <= whole - offset;
        // ping_recvmsg() knows no MSG_TRUNC.
        let tells = request.flags & MSG_TRUNC != 0 && socket.datagram() != Datagram::Ping;
        let ret = if tells { whole } else { n };
        let control = self.udp_control_out(cx, socket, s, message);
        let effect = if peek_at.is_some() && (udp || whole == 0) {
            RecvEffect::Peek(PeekEffect {
                by: ret,
                empty: (whole == 0).then_some(index),
                at: Some(message.at),
            })
        } else if request.flags & MSG_PEEK != 0 {
            RecvEffect::Looked(message.at)
        } else {
            RecvEffect::Udp(UdpRecvEffect { ret, lost: false })
        };
        Ok(Attempt::Ready(Received {
            data: message.payload.slice(offset..offset + n),
            ret,
            msg_flags: if truncated { MSG_TRUNC } else { 0 },
            name: Some(SockAddr::Inet(sender(socket, s, message))),
            control,
            effect,
        }))
    }

    /// sock_recv_cmsgs(), then ip_cmsg_recv() or ip6_datagram_recv_ctl().
    fn udp_control_out(
        &self,
        cx: &Cx<'_>,
        socket: &Socket,
        s: &UdpSocket,
        m: &UdpReceived,
    ) -> Vec<ControlOut> {
        let mut out = Vec::new();
        let common = &socket.common;
        let stamped = m.stamped && self.sockets.stamp_arrivals() && m.at >= self.stamped_since;
        let arrival = Arrival {
            at: stamped.then(|| cx.realtime.saturating_sub(cx.now.saturating_sub(m.at))),
            drops: m.drops,
            tag: m.tag,
        };
        match socket.datagram() {
            // ping_recvmsg() knows no other option of the socket's.
            Datagram::Ping => control::stamps(cx, common, arrival.at, false, &mut out),
            Datagram::Udp | Datagram::Raw => control::received(cx, common, &arrival, &mut out),
        }
        if m.segment > 0 && s.offload.gro {
            // udp_cmsg_recv()
            out.push(ControlOut::Raw {
                level: SOL_UDP,
                kind: UDP_GRO,
                data: i32::from(m.segment).to_ne_bytes().to_vec(),
            });
        }
        if s.inet.asks() {
            let v6 = i32::from(common.domain) == AF_INET6;
            Facts::of(self, socket.datagram(), m).tell(&s.inet, v6, &mut out);
        }
        out
    }

    pub(crate) fn udp_commit_recv(&mut self, cx: &mut Cx<'_>, id: SocketId, effect: UdpRecvEffect) {
        let Ok(s) = self.udp(id) else { return };
        let handle = s.handle;
        if effect.lost {
            self.stack.udp_lose(handle);
        } else if let Some(datagram) = self.stack.udp_pop(handle) {
            self.note_stamp(cx, id, datagram.at);
        }
        if let Ok(socket) = self.get_mut(id) {
            socket.common.peek_back(effect.ret);
        }
    }
}

/// The sender. ping_recvmsg() tells of the flow, too, to who sends flows.
fn sender(socket: &Socket, s: &UdpSocket, m: &UdpReceived) -> SocketAddr {
    let v6 = i32::from(socket.common.domain) == AF_INET6;
    let mut from = scoped(present(m.from, v6), Some(m.interface));
    if let SocketAddr::V6(from) = &mut from
        && socket.datagram() == Datagram::Ping
        && s.inet.has(InetFlags::FLOWINFO_SEND)
    {
        from.set_flowinfo(u32::from(m.tos) << 20 | m.flow_label);
    }
    from
}
