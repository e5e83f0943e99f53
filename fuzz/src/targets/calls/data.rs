//! Sends and receives, and what is known of the data.

use super::{Parked, Token, World};
use crate::model::{counted, counting};
use crate::{Source, note, trace};
use std::time::Duration;
use switchboard_abi::number::*;
use switchboard_socket::{
    Attempt, ControlOut, Cx, FileToken, PollMask, Received, RecvProgress, RecvRequest, Right,
    SendControl, SendRequest, Skip, SocketId, Ucred,
};
use switchboard_wire::Payload;

use super::check::View;

impl World {
    pub(super) fn control(&mut self, s: &mut Source<'_>) -> SendControl {
        let mut control = SendControl::default();
        if s.one_in(2) {
            for _ in 0..1 + s.below(4) {
                let socket = if s.one_in(2) { self.any(s) } else { None };
                let token = FileToken(self.next_token);
                self.next_token += 1;
                control.rights.push(Right { token, socket });
            }
        }
        if s.one_in(4) {
            let pid = s.pick(&[7, 8, 0]);
            let uid = s.pick(&[1000, 0]);
            control.credentials = Some(Ucred { pid, uid, gid: uid });
        }
        if s.one_in(8) {
            control.other.push((s.int(), s.int(), s.bytes(8).to_vec()));
        }
        control
    }

    /// Sends one message or, as sendmmsg(2) does, several.
    pub(super) fn send(&mut self, s: &mut Source<'_>, id: SocketId) {
        let unix = self.known[&id].domain == AF_UNIX;
        let stream = self.known[&id].ty == SOCK_STREAM;
        let mut flags = MSG_NOSIGNAL;
        if s.one_in(4) {
            flags |= s.pick(&[
                MSG_OOB,
                MSG_MORE,
                MSG_EOR,
                MSG_DONTWAIT,
                MSG_CONFIRM,
                0x40_0000,
            ]);
        }
        let before = self.views();
        let drop_it = s.one_in(4);
        let mut skip = Skip::default();
        let mut plans = Vec::new();
        for _ in 0..if s.one_in(4) { 3 } else { 1 } {
            let control = if unix && s.one_in(3) {
                self.control(s)
            } else {
                SendControl::default()
            };
            let name = s.one_in(3).then(|| self.address(s));
            let len = s.length(300_000);
            let last = s.one_in(2);
            let request = SendRequest {
                len,
                done: 0,
                skip,
                flags,
                name: name.as_deref(),
                control: &control,
                last,
            };
            let result = self.host.attempt_send(cx!(self), id, &request);
            trace(|| format!("send {id:?} {request:?} = {result:?}"));
            match result {
                Ok(Attempt::Ready(plan)) => {
                    note(("send", unix, stream, plan.take.min(1), plan.take == len));
                    assert!(plan.take <= len, "takes {} of {len}", plan.take);
                    assert!(stream || plan.take == len, "a part of a message");
                    assert!(plan.take > 0 || len == 0, "takes nothing of {len}");
                    skip.bytes += plan.take;
                    skip.messages += 1;
                    plans.push((plan, control));
                }
                Ok(Attempt::Blocked(blocked)) => {
                    note(("send blocked", unix, stream, blocked.interest.bits()));
                    break;
                }
                Err(fail) => {
                    note(("send", unix, stream, fail.errno));
                    if plans.is_empty() && fail.has_effect() && s.one_in(2) {
                        self.host.commit_fail(cx!(self), id, fail);
                        assert!(before.0 == self.host.socket_count());
                        return;
                    }
                    break;
                }
            }
        }
        if drop_it || plans.is_empty() {
            drop(plans);
            let mut after = self.views();
            for ((_, after), (_, before)) in after.2.iter_mut().zip(&before.2) {
                after.unbind(before);
            }
            assert_eq!(before, after, "a dropped send");
            return;
        }
        for (plan, control) in plans {
            for right in &control.rights {
                let _ = self.tokens.insert(
                    right.token.0,
                    Token {
                        socket: right.socket,
                    },
                );
                if let Some(socket) = right.socket {
                    self.known.get_mut(&socket).expect("an open socket").rights += 1;
                }
            }
            let known = self.known.get_mut(&id).expect("an open socket");
            let take = plan.take;
            // A datagram, too, may be put together by several sends.
            let from = known.sent;
            known.sent += take as i64;
            let mut data = Payload::new();
            let whole = counting(from, take);
            let cut = s.u16() as usize % (take + 1);
            data.push(whole[..cut].to_vec().into());
            data.push(whole[cut..].to_vec().into());
            if flags & MSG_OOB != 0 {
                self.urgent = true;
            }
            self.host.commit_send(cx!(self), id, plan, data);
        }
    }

    /// Looks at what would be received.
    pub(super) fn check_received(
        &self,
        id: SocketId,
        received: &Received,
        expected: Option<i64>,
        peek: bool,
    ) {
        let data = received.data.to_vec();
        let known = &self.known[&id];
        // What the host speaks itself has headers, and quotes, that do not count.
        let headed = matches!(known.protocol, 1 | 6 | 17 | 58 | 136);
        if known.ty == SOCK_RAW && (headed || self.summed) {
            return;
        }
        // A raw socket of IPv4 hears the header too, with its options.
        let header = match data.first() {
            Some(first) if known.domain == AF_INET && known.ty == SOCK_RAW => {
                usize::from(first & 15) * 4
            }
            _ => 0,
        };
        let data = data.get(header..).unwrap_or_default();
        if let Some(first) = data.first() {
            let from = expected.unwrap_or(i64::from(*first));
            let wrong = (0..data.len()).find(|i| data[*i] != counted(from + *i as i64));
            if !self.urgent || known.ty != SOCK_STREAM {
                assert_eq!(wrong, None, "another byte, of {data:?} from {from}");
            }
        }
        for message in &received.control {
            let ControlOut::Rights(rights) = message else {
                continue;
            };
            for right in rights {
                assert!(
                    self.tokens.contains_key(&right.token.0),
                    "{right:?} not in flight"
                );
            }
            note(("rights", rights.len(), peek));
        }
    }

    pub(super) fn recv(&mut self, s: &mut Source<'_>, id: SocketId) {
        // Two readers of one stream share it in any order.
        if self.parked.iter().any(|parked| parked.id == id) {
            return;
        }
        let stream = self.known[&id].ty == SOCK_STREAM;
        let mut flags = 0;
        if s.one_in(2) {
            flags |= s.pick(&[
                MSG_PEEK,
                MSG_TRUNC,
                MSG_WAITALL,
                MSG_OOB,
                MSG_PEEK | MSG_TRUNC,
                MSG_ERRQUEUE,
                MSG_PEEK | MSG_WAITALL,
            ]);
        }
        let peek = flags & MSG_PEEK != 0;
        let before = self.views();
        let mask = self.host.poll(id);
        let drop_it = s.one_in(4);
        let many = s.one_in(4) && flags & (MSG_OOB | MSG_WAITALL) == 0;
        let mut skip = Skip::default();
        let mut all: Vec<Received> = Vec::new();
        let mut expected = self.known[&id].expected;
        for _ in 0..if many { 3 } else { 1 } {
            let len = s.length(300_000);
            let mut progress = RecvProgress::default();
            let last = s.one_in(2) || many;
            let mut request = RecvRequest {
                len,
                flags,
                skip,
                progress: &mut progress,
                last,
            };
            let result = self.host.attempt_recv(cx!(self), id, &mut request);
            trace(|| format!("recv {id:?} {len} {flags:#x} {skip:?} {last} = {result:?}"));
            match result {
                Ok(Attempt::Ready(received)) => {
                    let room = if flags & MSG_TRUNC != 0 {
                        usize::MAX
                    } else {
                        len
                    };
                    // An out-of-band byte counts, room or not.
                    let room = room.max(usize::from(flags & MSG_OOB != 0));
                    assert!(
                        received.ret <= room && received.data.len() <= len,
                        "{received:?}"
                    );
                    note((
                        "recv",
                        flags,
                        received.ret.min(1),
                        received.msg_flags,
                        mask.bits(),
                    ));
                    let same = if flags & MSG_OOB == 0 && stream {
                        expected
                    } else {
                        None
                    };
                    self.check_received(id, &received, same, peek);
                    if stream && flags & MSG_OOB == 0 {
                        let known = &self.known[&id];
                        let first = received.data.iter().next().map(|chunk| i64::from(chunk[0]));
                        expected = expected.or(first).map(|from| from + received.ret as i64);
                        // Bytes dropped unseen: their numbers are not known.
                        if known.expected.is_none() && received.data.is_empty() {
                            expected = None;
                        }
                    }
                    if !peek {
                        skip.bytes += received.ret;
                        skip.messages += 1;
                    }
                    let end = received.ret == 0;
                    all.push(received);
                    if end && stream || peek {
                        break;
                    }
                }
                Ok(Attempt::Blocked(blocked)) => {
                    note(("recv blocked", flags, blocked.interest.bits()));
                    if !last && flags & MSG_WAITALL != 0 && self.parked.len() < 3 && s.one_in(2) {
                        self.parked.push(Parked {
                            id,
                            len,
                            flags,
                            progress,
                        });
                        return;
                    }
                    self.host.abandon_recv(cx!(self), id, progress);
                    break;
                }
                Err(fail) => {
                    note(("recv", flags, fail.errno));
                    self.host.abandon_recv(cx!(self), id, progress);
                    if all.is_empty() && fail.has_effect() && s.one_in(2) {
                        self.host.commit_fail(cx!(self), id, fail);
                        return;
                    }
                    break;
                }
            }
        }
        if drop_it || all.is_empty() {
            drop(all);
            let held = flags & MSG_WAITALL != 0 || self.known[&id].low_water;
            self.same(&before, held, id);
            return;
        }
        let leaves = self.host.leaves_readable(id, &all);
        self.take(id, all, peek);
        if !peek {
            self.known.get_mut(&id).expect("an open socket").expected = expected;
            let really = self.host.poll(id).contains(PollMask::IN);
            let unix = self.known[&id].domain == AF_UNIX;
            let odd = self.known[&id].low_water || unix && self.out_of_band(id);
            let exact = flags & (MSG_OOB | MSG_ERRQUEUE) == 0 && !odd;
            assert!(!exact || really || !leaves, "leaves_readable said true");
            // The room it made may have brought more: then that woke somebody.
            if exact && really && !leaves {
                self.arrived = Some(id);
            }
        }
    }

    /// A reader that meets an out-of-band byte and goes to sleep has stepped over it, in Linux too;
    /// the one of AF_UNIX shows as IN.
    pub(super) fn out_of_band(&self, id: SocketId) -> bool {
        let known = &self.known[&id];
        self.urgent && known.ty == SOCK_STREAM
    }

    /// A waiting `MSG_WAITALL` may have made room for the sender before it was given up.
    pub(super) fn same(
        &self,
        before: &(usize, bool, Vec<(SocketId, View)>),
        held: bool,
        id: SocketId,
    ) {
        let after = self.views();
        if self.out_of_band(id) {
            return;
        }
        if !held {
            assert_eq!(*before, after, "a dropped receive");
            return;
        }
        let inq = |views: &Vec<(SocketId, View)>| {
            views
                .iter()
                .find(|view| view.0 == id)
                .map(|view| view.1.counts[0])
        };
        assert_eq!(before.0, after.0);
        assert!(
            inq(&after.2) >= inq(&before.2),
            "bytes lost in a dropped receive"
        );
    }

    /// Commits receives, and takes the files they bring.
    pub(super) fn take(&mut self, id: SocketId, all: Vec<Received>, peek: bool) {
        for received in all {
            if !peek {
                for message in &received.control {
                    let ControlOut::Rights(rights) = message else {
                        continue;
                    };
                    for right in rights {
                        let token = self
                            .tokens
                            .remove(&right.token.0)
                            .expect("a file in flight");
                        assert_eq!(token.socket, right.socket);
                        if let Some(socket) = right.socket {
                            // The receiver has a descriptor of it.
                            let known = self.known.get_mut(&socket).expect("a socket in flight");
                            known.rights -= 1;
                            known.fds += 1;
                        }
                    }
                }
            }
            self.host.commit_recv(cx!(self), id, received);
        }
    }

    pub(super) fn resume(&mut self, s: &mut Source<'_>) {
        if self.parked.is_empty() {
            return;
        }
        let at = s.below(self.parked.len());
        let Parked {
            id,
            len,
            flags,
            mut progress,
        } = self.parked.swap_remove(at);
        let stream = self.known[&id].ty == SOCK_STREAM;
        let expected = if stream {
            self.known[&id].expected
        } else {
            None
        };
        let last = s.one_in(2);
        let skip = Skip::default();
        let mut request = RecvRequest {
            len,
            flags,
            skip,
            progress: &mut progress,
            last,
        };
        let result = self.host.attempt_recv(cx!(self), id, &mut request);
        trace(|| format!("resume {id:?} {len} {flags:#x} {last} = {result:?}"));
        match result {
            Ok(Attempt::Ready(received)) if s.one_in(2) => {
                assert!(received.ret <= len);
                self.check_received(id, &received, expected, false);
                let first = received.data.iter().next().map(|chunk| i64::from(chunk[0]));
                let expected = expected.or(first).map(|from| from + received.ret as i64);
                let peek = flags & MSG_PEEK != 0;
                self.take(id, vec![received], peek);
                if !peek && stream {
                    self.known.get_mut(&id).expect("an open socket").expected = expected;
                }
                if peek {
                    self.host.abandon_recv(cx!(self), id, progress);
                }
            }
            Ok(Attempt::Blocked(_)) if s.one_in(2) => {
                self.parked.push(Parked {
                    id,
                    len,
                    flags,
                    progress,
                });
            }
            other => {
                drop(other);
                self.host.abandon_recv(cx!(self), id, progress);
            }
        }
    }
}
