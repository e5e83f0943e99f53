//! Connections: connect(2), listen(2), accept(2) and socketpair(2).

use super::ancillary::{INHERITED, PeerCred, may_passcred, peer_credentials};
use super::names::{Bound, address_of, parse};
use super::{Connected, Listening, Peer, Shut, State, UnixType, unix_type, wait};
use crate::call::{AcceptChild, AcceptPlan, Attempt, Cx, Fail};
use crate::host::Host;
use crate::mask::PollMask;
use crate::message::Ucred;
use crate::table::SocketId;
use alloc::boxed::Box;
use switchboard_abi::Errno;

impl Host {
    /// unix_socketpair().
    pub(crate) fn unix_socketpair(
        &mut self,
        cx: &mut Cx<'_>,
        ty: i32,
        protocol: i32,
    ) -> Result<(SocketId, SocketId), Errno> {
        let ty = unix_type(ty, protocol)?;
        let (a, b) = (self.unix_new(cx, ty), self.unix_new(cx, ty));
        for (id, other) in [(a, b), (b, a)] {
            if ty == UnixType::Dgram {
                self.dgram_attach(id, other);
            }
            if let Some(unix) = self.unix_mut(id) {
                unix.peercred = Some(peer_credentials(cx.cred));
                if ty != UnixType::Dgram {
                    unix.state = State::Connected(Connected {
                        peer: Peer::new(other),
                        embryo: false,
                    });
                }
            }
        }
        Ok((a, b))
    }

    /// connect(2). It takes effect here: there is nothing to hand out.
    pub(crate) fn unix_attempt_connect(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        raw: &[u8],
        last: bool,
    ) -> Result<Attempt<()>, Fail> {
        match self.unix(id).ok_or(Errno::EBADF)?.ty {
            UnixType::Dgram => Ok(Attempt::Ready(self.dgram_connect(cx, id, raw)?)),
            ty => self.stream_connect(cx, id, raw, ty, last),
        }
    }

    /// unix_stream_connect(): the connection stands when this returns, accepted or not.
    fn stream_connect(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        raw: &[u8],
        ty: UnixType,
        last: bool,
    ) -> Result<Attempt<()>, Fail> {
        let address = parse(raw)?;
        if may_passcred(&self.get(id)?.common) {
            self.unix_autobind(id)?;
        }
        // The listener is looked at before the socket's own state.
        let to = self.find_other(cx, address, ty)?;
        let timeout = self.get(id)?.common.sndtimeo;
        let other = self.sockets.get_mut(to).ok_or(Errno::ECONNREFUSED)?;
        let inherited = other.common.flags & INHERITED;
        let crate::socket::Kind::Unix(listener) = &mut other.kind else {
            return Err(Errno::ECONNREFUSED.into());
        };
        if listener.shut.contains(Shut::READ) {
            return Err(Errno::ECONNREFUSED.into());
        }
        let State::Listening(listening) = &mut listener.state else {
            return Err(Errno::ECONNREFUSED.into());
        };
        if listening.embryos.len() > listening.backlog as usize {
            let outcome = wait(last, PollMask::OUT, timeout);
            if outcome.is_ok() && !listening.waiting.contains(&id) {
                listening.waiting.push(id);
            }
            return outcome;
        }
        let (name, file) = (listener.name.clone(), listener.file());
        let credentials = listener.peercred.clone();
        match self.unix(id).ok_or(Errno::EBADF)?.state {
            State::Unconnected => {}
            State::Connected(_) => return Err(Errno::EISCONN.into()),
            State::Listening(_) | State::Datagram(_) => return Err(Errno::EINVAL.into()),
        }
        let child = self.unix_new(cx, ty);
        if let Some(socket) = self.sockets.get_mut(child) {
            // sk_scm_recv_flags
            socket.common.flags |= inherited;
        }
        if let Some(unix) = self.unix_mut(child) {
            unix.state = State::Connected(Connected {
                peer: Peer::new(id),
                embryo: true,
            });
            unix.peercred = Some(peer_credentials(cx.cred));
            // It shares the listener's name, but the name finds the listener.
            unix.name = name;
            unix.bound = file.map_or(Bound::No, Bound::Shared);
        }
        if let Some(unix) = self.unix_mut(id) {
            unix.state = State::Connected(Connected {
                peer: Peer::new(child),
                embryo: false,
            });
            unix.peercred = credentials;
        }
        if let Some(State::Listening(listening)) = self.unix_mut(to).map(|unix| &mut unix.state) {
            listening.embryos.push_back(child);
        }
        self.wake(to, PollMask::READABLE);
        Ok(Attempt::Ready(()))
    }

    /// unix_listen().
    pub(crate) fn unix_listen(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        backlog: u32,
    ) -> Result<(), Errno> {
        let unix = self.unix_mut(id).ok_or(Errno::EBADF)?;
        if unix.ty == UnixType::Dgram {
            return Err(Errno::EOPNOTSUPP);
        }
        if unix.name.is_none() {
            return Err(Errno::EINVAL);
        }
        let grown = match &mut unix.state {
            State::Unconnected => {
                let listening = Listening {
                    backlog,
                    ..Listening::default()
                };
                unix.state = State::Listening(Box::new(listening));
                false
            }
            State::Listening(listening) => {
                let grown = backlog > listening.backlog;
                listening.backlog = backlog;
                grown
            }
            State::Connected(_) | State::Datagram(_) => return Err(Errno::EINVAL),
        };
        // "Set credentials so connect can copy them."
        unix.peercred = Some(peer_credentials(cx.cred));
        if grown {
            self.wake_connecting(id);
        }
        Ok(())
    }

    /// unix_accept(), first half.
    pub(crate) fn unix_attempt_accept(
        &mut self,
        _cx: &mut Cx<'_>,
        id: SocketId,
        last: bool,
    ) -> Result<Attempt<AcceptPlan>, Fail> {
        let socket = self.get(id)?;
        let unix = self.unix(id).ok_or(Errno::EBADF)?;
        let listening = match &unix.state {
            State::Listening(listening) => listening,
            State::Datagram(_) => return Err(Errno::EOPNOTSUPP.into()),
            State::Unconnected | State::Connected(_) => return Err(Errno::EINVAL.into()),
        };
        let Some(&child) = listening.embryos.front() else {
            // "This means receive shutdown"; who may not wait does not see it.
            if unix.shut.contains(Shut::READ) && !last {
                return Err(Errno::EINVAL.into());
            }
            return wait(last, PollMask::IN, socket.common.rcvtimeo);
        };
        let name = self.unix(child).and_then(|unix| self.peer_name(unix));
        Ok(Attempt::Ready(AcceptPlan {
            peer: address_of(name),
            listener: id,
            child: AcceptChild::Unix(child),
        }))
    }

    /// unix_accept(), second half.
    pub(crate) fn unix_commit_accept(
        &mut self,
        _cx: &mut Cx<'_>,
        listener: SocketId,
        child: SocketId,
    ) -> SocketId {
        if let Some(State::Listening(l)) = self.unix_mut(listener).map(|unix| &mut unix.state)
            && l.embryos.front() == Some(&child)
        {
            l.embryos.pop_front();
        }
        if let Some(State::Connected(c)) = self.unix_mut(child).map(|unix| &mut unix.state) {
            c.embryo = false;
        }
        self.wake_connecting(listener);
        child
    }

    /// There may be room in the backlog: everyone whose connect(2) waits for it tries again.
    pub(super) fn wake_connecting(&mut self, listener: SocketId) {
        let Some(State::Listening(l)) = self.unix_mut(listener).map(|unix| &mut unix.state) else {
            return;
        };
        for id in core::mem::take(&mut l.waiting) {
            self.wake(id, PollMask::WRITABLE);
        }
    }

    /// `SO_PEERCRED`: nobody is process 0 and user and group -1.
    pub(crate) fn unix_peercred(&self, id: SocketId) -> Ucred {
        let none = Ucred {
            pid: 0,
            uid: u32::MAX,
            gid: u32::MAX,
        };
        self.unix_peer(id).map_or(none, |peer| peer.ucred)
    }

    /// Who the peer is.
    pub(crate) fn unix_peer(&self, id: SocketId) -> Option<&PeerCred> {
        self.unix(id)?.peercred.as_ref()
    }
}
