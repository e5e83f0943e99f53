//! What the kernel answers to the requests of a datagram: netlink_rcv_skb().

use super::message::{self, ACK, Answer, DUMP, DUMP_FILTERED, MIN_TYPE, REQUEST, Refusal, Request};
use super::queue::Queued;
use super::{DATAGRAM, NetlinkFlags};
use crate::call::Cx;
use crate::host::Host;
use crate::table::SocketId;
use alloc::vec::Vec;
use switchboard_abi::Errno;
use switchboard_abi::number::*;

/// Who asks, and how.
pub(super) struct Asker {
    pub(super) id: SocketId,
    /// The socket's port.
    pub(super) port: u32,
    /// CAP_NET_ADMIN of the caller, and of the socket's opener where that counts (netlink_net_capable()).
    pub(super) admin: bool,
    /// The caller's user.
    pub(super) uid: u32,
    /// `NETLINK_GET_STRICT_CHK`
    pub(super) strict: bool,
    /// Monotonic time.
    pub(super) now: switchboard_engine::Instant,
}

impl Host {
    /// Answers each request of the datagram. `admin`: the sender may administer the network.
    pub(super) fn netlink_serve(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        protocol: i32,
        admin: bool,
        data: &[u8],
    ) {
        let now = cx.now.as_nanos();
        for request in message::requests(data) {
            let Ok(s) = self.netlink(id) else { return };
            let (port, flags) = (s.port, s.flags);
            let dumping = s.dump.is_some();
            let asker = Asker {
                id,
                port,
                admin,
                uid: cx.cred.ruid,
                strict: flags.contains(NetlinkFlags::STRICT),
                now: cx.now,
            };
            let answered = if request.flags & REQUEST == 0 || request.kind < MIN_TYPE {
                Ok(Answer::Done)
            } else {
                match protocol {
                    NETLINK_ROUTE => self.rtnetlink(&asker, &request, dumping),
                    NETLINK_SOCK_DIAG => self.sock_diag(cx, &asker, &request, dumping),
                    NETLINK_GENERIC => super::generic::answer(&asker, &request, dumping),
                    // uevent_net_rcv_skb(): whoever may has no listener.
                    _ => Err(Errno::EPERM.into()),
                }
            };
            let acknowledge = request.flags & ACK != 0;
            match answered {
                Ok(Answer::Dump { messages, filtered }) => {
                    let flag = if filtered { DUMP_FILTERED } else { 0 };
                    let end = message::done(&request, port, filtered, &Refusal::NONE, flags);
                    let datagrams = packed(messages, end, flag);
                    self.netlink_start_dump(now, id, datagrams);
                }
                Ok(Answer::NoDump { why, filtered }) => {
                    let end = message::done(&request, port, filtered, &why, flags);
                    self.netlink_start_dump(now, id, alloc::vec![end]);
                }
                Ok(answer) => {
                    if let Answer::One(message) = answer {
                        self.netlink_queue(now, id, Queued::answer(message));
                    }
                    if acknowledge {
                        let ack = message::ack(&request, port, &Refusal::NONE, flags);
                        self.netlink_queue(now, id, Queued::answer(ack));
                    }
                }
                Err(refusal) => {
                    let ack = message::ack(&request, port, &refusal, flags);
                    self.netlink_queue(now, id, Queued::answer(ack));
                }
            }
        }
    }
}

/// A dump's messages in datagrams, the last of which is NLMSG_DONE.
fn packed(messages: Vec<Vec<u8>>, done: Vec<u8>, flag: u16) -> Vec<Vec<u8>> {
    let mut datagrams: Vec<Vec<u8>> = Vec::new();
    for mut message in messages {
        message::add_flags(&mut message, flag);
        match datagrams.last_mut() {
            Some(last) if last.len() + message.len() <= DATAGRAM => last.extend(message),
            _ => datagrams.push(message),
        }
    }
    datagrams.push(done);
    datagrams
}

impl Request<'_> {
    /// Whether a dump is asked for.
    pub(super) fn is_dump(&self) -> bool {
        self.flags & DUMP != 0
    }
}
