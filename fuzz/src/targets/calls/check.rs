//! What can be seen of sockets, and what must agree.

use super::World;
use crate::note;
use std::collections::BTreeMap;
use std::time::Duration;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_socket::{
    Attempt, Cx, PollMask, RecvProgress, RecvRequest, SendControl, SendRequest, Skip, SocketId,
};

/// What a caller can see of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) mask: PollMask,
    pub(super) counts: [Result<i32, Errno>; 4],
    pub(super) name: String,
    pub(super) peer: String,
}

impl View {
    /// Linux, too, gives a socket its port, or a name of its own when it passes credentials, before
    /// it looks at the message: that is no change.
    pub(super) fn unbind(&mut self, before: &View) {
        if before.name.ends_with(":0))") || before.name == "Ok(Unix([]))" {
            self.name.clone_from(&before.name);
        }
        if before.peer == "Ok(Unix([]))" {
            self.peer.clone_from(&before.peer);
        }
    }
}

impl World {
    pub(super) fn view(&self, id: SocketId) -> View {
        let count = |command| self.host.ioctl(id, command);
        View {
            mask: self.host.poll(id),
            counts: [
                count(SIOCINQ),
                count(SIOCOUTQ),
                count(SIOCOUTQNSD),
                count(SIOCATMARK),
            ],
            name: format!("{:?}", self.host.getsockname(id)),
            peer: format!("{:?}", self.host.getpeername(id)),
        }
    }

    pub(super) fn views(&self) -> (usize, bool, Vec<(SocketId, View)>) {
        let all = self.known.keys().map(|id| (*id, self.view(*id))).collect();
        (
            self.host.socket_count(),
            self.host.has_rights_in_flight(),
            all,
        )
    }

    /// Readiness is what a following attempt finds.
    pub(super) fn masks(&mut self) {
        for id in self.open() {
            let mask = self.host.poll(id);
            let known = self.known[&id].clone();
            let before = self.view(id);
            let accept = self.host.attempt_accept(cx!(self), id, false);
            let listens = accept.is_ok();
            if let Ok(attempt) = accept {
                let ready = matches!(attempt, Attempt::Ready(_));
                assert_eq!(mask.contains(PollMask::IN), ready, "accept, {mask:?}");
                continue;
            }
            assert!(!listens);
            if self.out_of_band(id) {
                continue;
            }
            let mut progress = RecvProgress::default();
            let skip = Skip::default();
            let mut request = RecvRequest {
                len: 1,
                flags: 0,
                skip,
                progress: &mut progress,
                last: false,
            };
            let result = self.host.attempt_recv(cx!(self), id, &mut request);
            let waits = matches!(result, Ok(Attempt::Blocked(_)));
            // Linux's UDP shows IN on a socket that is shut down, and waits.
            let udp = known.ty == SOCK_DGRAM && known.domain != AF_UNIX;
            if mask.contains(PollMask::IN) && !(udp && known.shut_read) {
                assert!(
                    !waits,
                    "{mask:?}, and a receive waits: {result:?}, {known:?}"
                );
            }
            if let Ok(Attempt::Ready(received)) = &result
                && received.ret > 0
                && !known.low_water
            {
                assert!(mask.contains(PollMask::IN), "{mask:?}, and {received:?}");
            }
            drop(result);
            self.host.abandon_recv(cx!(self), id, progress);
            let control = SendControl::default();
            let request = SendRequest {
                len: 1,
                done: 0,
                skip,
                flags: MSG_NOSIGNAL,
                name: None,
                control: &control,
                last: false,
            };
            let result = self.host.attempt_send(cx!(self), id, &request);
            // netlink_unicast() waits for room in the receiver's buffer, of which the sender's mask tells nothing.
            if mask.contains(PollMask::OUT) && known.domain != AF_NETLINK {
                let waits = matches!(result, Ok(Attempt::Blocked(_)));
                assert!(!waits, "{mask:?}, and a send waits: {known:?}");
            }
            drop(result);
            let mut after = self.view(id);
            after.unbind(&before);
            assert_eq!(before, after, "looking changed something");
            note(("mask", known.domain, known.ty, mask.bits()));
        }
    }

    /// Wake-ups since the last look, and whether each rise of a mask had one.
    pub(super) fn events(&mut self, before: &BTreeMap<SocketId, PollMask>) {
        let mut woken: BTreeMap<SocketId, PollMask> = BTreeMap::new();
        let mut count = 0;
        while let Some(event) = self.host.poll_event() {
            count += 1;
            assert!(count < 100_000, "events without end");
            *woken.entry(event.socket).or_default() |= event.wake;
        }
        let always = PollMask::ERR | PollMask::HUP;
        if let Some(id) = self.arrived.take() {
            let wake = woken.get(&id).copied().unwrap_or_default();
            assert!(
                wake.intersects(PollMask::IN | always),
                "more arrived, woken by {wake:?}"
            );
        }
        let changed = self.changed.take();
        for id in self.known.keys().filter(|id| Some(**id) != changed) {
            let Some(old) = before.get(id) else { continue };
            let now = self.host.poll(*id);
            let wake = woken.get(id).copied().unwrap_or_default();
            for bit in (now - *old).iter() {
                // Waiters for one bit are woken by it, by an error or by a hangup.
                let bit = if PollMask::READABLE.contains(bit) {
                    PollMask::READABLE
                } else {
                    bit
                };
                let bit = if PollMask::WRITABLE.contains(bit) {
                    PollMask::WRITABLE
                } else {
                    bit
                };
                assert!(
                    wake.intersects(bit | always),
                    "{id:?} {:?}: {old:?} became {now:?}, woken by {wake:?}",
                    self.known[id]
                );
            }
        }
    }
}
