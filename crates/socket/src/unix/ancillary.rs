//! Ancillary data: credentials and files in flight.

use super::names::Namespace;
use super::queue::{Chunk, Extra};
use super::{State, UnixSocket};
use crate::call::Cx;
use crate::cred::{Caps, Cred};
use crate::host::Host;
use crate::message::{ControlOut, Right, SendControl, Ucred};
use crate::socket::{Common, CommonFlags};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use switchboard_abi::Errno;

/// What `SO_PASSCRED` tells of a message that carries no credentials: no process, and the overflow
/// user and group (from_kuid_munged() of an invalid one).
pub(super) const NO_SENDER: Ucred = Ucred {
    pid: 0,
    uid: 65_534,
    gid: 65_534,
};

/// What `SO_PASSCRED` tells at a stream's end: a scm_cookie of zeroes.
pub(super) const NO_MESSAGE: Ucred = Ucred {
    pid: 0,
    uid: 0,
    gid: 0,
};

/// What a socket will tell of its peer (init_peercred()).
#[derive(Clone)]
pub(crate) struct PeerCred {
    /// `SO_PEERCRED`: effective ids.
    pub(crate) ucred: Ucred,
    /// `SO_PEERGROUPS`
    pub(crate) groups: Arc<[u32]>,
}

/// What sockets will tell of this task.
pub(super) fn peer_credentials(cred: &Cred) -> PeerCred {
    let ucred = Ucred {
        pid: cred.pid,
        uid: cred.euid,
        gid: cred.egid,
    };
    PeerCred {
        ucred,
        groups: cred.groups.clone(),
    }
}

/// What a message carries of its sender unasked: real ids (unix_maybe_add_creds()).
fn sender_credentials(cred: &Cred) -> Ucred {
    Ucred {
        pid: cred.pid,
        uid: cred.ruid,
        gid: cred.rgid,
    }
}

/// __scm_send(): the control messages of a send.
pub(crate) fn check_control(cx: &Cx<'_>, control: &SendControl) -> Result<(), Errno> {
    for (given, stranger) in &control.former {
        check_credentials(cx.cred, *given, *stranger)?;
    }
    if let Some(given) = control.credentials {
        check_credentials(cx.cred, given, control.stranger)?;
    }
    crate::error::check_control(control)
}

/// scm_check_creds(): whose credentials may be given.
fn check_credentials(cred: &Cred, given: Ucred, stranger: bool) -> Result<(), Errno> {
    // (uid_t) -1 is no user.
    if given.uid == u32::MAX || given.gid == u32::MAX {
        return Err(Errno::EINVAL);
    }
    let pid = given.pid == cred.pid || cred.caps.contains(Caps::SYS_ADMIN);
    let uid =
        [cred.ruid, cred.euid, cred.suid].contains(&given.uid) || cred.caps.contains(Caps::SETUID);
    let gid =
        [cred.rgid, cred.egid, cred.sgid].contains(&given.gid) || cred.caps.contains(Caps::SETGID);
    if !(pid && uid && gid) {
        return Err(Errno::EPERM);
    }
    // None has number 0.
    if given.pid == 0 || (stranger && given.pid != cred.pid) {
        Err(Errno::ESRCH)
    } else {
        Ok(())
    }
}

/// Whether this side asks for credentials (unix_may_passcred()).
pub(super) fn may_passcred(common: &Common) -> bool {
    let asked = CommonFlags::PASSCRED | CommonFlags::PASSPIDFD;
    common.flags.intersects(asked)
}

/// The control messages of a receive, in Linux's order (scm_recv_unix()). `credentials` are there
/// when the socket asks for them in one way or the other.
pub(super) fn control_out(
    common: &Common,
    credentials: Option<Ucred>,
    rights: &[Right],
) -> Vec<ControlOut> {
    let mut control = Vec::new();
    if let Some(credentials) = credentials
        && common.has(CommonFlags::PASSCRED)
    {
        control.push(ControlOut::Credentials(credentials));
    }
    if !rights.is_empty() {
        control.push(ControlOut::Rights(rights.to_vec()));
    }
    if let Some(sender) = credentials
        && sender.pid != 0
        && common.has(CommonFlags::PASSPIDFD)
    {
        control.push(ControlOut::Pidfd(sender.pid));
    }
    control
}

/// Whether files may not be sent there (`SO_PASSRIGHTS`).
pub(super) fn refuses_rights(common: &Common, control: &SendControl) -> bool {
    !control.rights.is_empty() && common.has(CommonFlags::NO_PASSRIGHTS)
}

/// What an accepted socket has of its listener (sk_scm_recv_flags).
pub(super) const INHERITED: CommonFlags = CommonFlags::PASSCRED
    .union(CommonFlags::PASSPIDFD)
    .union(CommonFlags::PASSSEC)
    .union(CommonFlags::NO_PASSRIGHTS);

/// What a chunk has besides its bytes, made when it is queued.
pub(super) fn extra(
    cx: &Cx<'_>,
    given: Option<Ucred>,
    wanted: bool,
    rights: Vec<Right>,
) -> Option<Box<Extra>> {
    let credentials = given.or_else(|| wanted.then(|| sender_credentials(cx.cred)));
    if credentials.is_none() && rights.is_empty() {
        return None;
    }
    Some(Box::new(Extra {
        credentials,
        rights,
        user: cx.cred.ruid,
        at: None,
    }))
}

/// Whether the receiver makes a sender attach credentials. To a connection that is not accepted
/// yet they are attached always: who accepts it may ask for them.
pub(super) fn wants_credentials(common: &Common, unix: &UnixSocket) -> bool {
    let embryo = match &unix.state {
        State::Connected(c) => c.embryo,
        _ => false,
    };
    may_passcred(common) || embryo
}

impl Namespace {
    /// Files that are in flight from now on (unix_add_edges()).
    pub(super) fn rights_sent(&mut self, user: u32, rights: &[Right]) {
        if rights.is_empty() {
            return;
        }
        *self.in_flight.entry(user).or_default() += rights.len() as u64;
        self.sockets_in_flight += rights.iter().filter(|r| r.socket.is_some()).count();
    }

    /// Files that have arrived, or that nobody will receive (unix_del_edges()).
    pub(super) fn rights_landed(&mut self, extra: &Extra) {
        if extra.rights.is_empty() {
            return;
        }
        if let Some(count) = self.in_flight.get_mut(&extra.user) {
            *count = count.saturating_sub(extra.rights.len() as u64);
            if *count == 0 {
                self.in_flight.remove(&extra.user);
            }
        }
        let sockets = extra.rights.iter().filter(|r| r.socket.is_some()).count();
        self.sockets_in_flight = self.sockets_in_flight.saturating_sub(sockets);
    }
}

impl Host {
    /// too_many_unix_fds(): one user's files in flight are bounded by `RLIMIT_NOFILE`.
    pub(super) fn check_in_flight(&self, cred: &Cred, rights: &[Right]) -> Result<(), Errno> {
        if rights.is_empty() || cred.caps.intersects(Caps::SYS_RESOURCE | Caps::SYS_ADMIN) {
            return Ok(());
        }
        let count = self.unix.in_flight.get(&cred.ruid).copied().unwrap_or(0);
        if count > cred.nofile {
            Err(Errno::ETOOMANYREFS)
        } else {
            Ok(())
        }
    }

    /// Files of a send that went nowhere.
    pub(super) fn release_rights(&mut self, rights: Vec<Right>) {
        self.released
            .extend(rights.into_iter().map(|right| right.token));
    }

    /// A chunk goes away unread: its files with it.
    pub(super) fn drop_extra(&mut self, chunk: Chunk) {
        if let Some(extra) = chunk.extra {
            self.unix.rights_landed(&extra);
            self.release_rights(extra.rights);
        }
    }
}
