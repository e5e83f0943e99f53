//! What an attempt, a commit and their like are given: the clocks, the caller's credentials, its files and paths.

use std::sync::Arc;

use switchboard_abi::{Errno, Word};
use switchboard_notify::Notification;
use switchboard_socket::{Caps, Cred, Cx, Host, SocketId};

use super::super::files::{AtHand, TargetFiles};
use super::super::paths::TargetPaths;
use super::super::stand_in::Shape;
use super::Supervisor;

impl Supervisor {
    /// Runs `work` on the host, on behalf of a thread.
    pub(super) fn with_cx<T>(
        &mut self,
        tid: i32,
        cred: &Arc<Cred>,
        work: impl FnOnce(&mut Host, &mut Cx<'_>) -> T,
    ) -> T {
        let (now, realtime) = (self.clock.now(), self.clock.realtime());
        let mut paths = TargetPaths {
            processes: &self.processes,
            tid,
            fd: None,
        };
        let mut cx = Cx {
            now,
            realtime,
            cred,
            paths: &mut paths,
        };
        work(&mut self.host, &mut cx)
    }

    /// The same for a call, which has descriptors too; `at_hand` has been looked at since it was received.
    pub(super) fn with_files<T>(
        &mut self,
        call: &Notification,
        cred: &Arc<Cred>,
        at_hand: Option<AtHand>,
        work: impl FnOnce(&mut Host, &mut Cx<'_>, &mut TargetFiles<'_>) -> T,
    ) -> T {
        let (now, realtime) = (self.clock.now(), self.clock.realtime());
        let mut files = TargetFiles::new(
            &self.processes,
            &self.mirror,
            &self.listener,
            &mut self.rights,
            call.id,
            call.tid,
        )
        .with(at_hand);
        let fd = files.fd();
        let mut paths = TargetPaths {
            processes: &self.processes,
            tid: call.tid,
            fd,
        };
        let mut cx = Cx {
            now,
            realtime,
            cred,
            paths: &mut paths,
        };
        work(&mut self.host, &mut cx, &mut files)
    }

    /// An option of SOL_SOCKET that is a number.
    pub(super) fn number_option(&mut self, id: SocketId, name: i32) -> Option<i32> {
        let value = self.with_cx(0, &nobody(), |host, cx| {
            host.getsockopt(cx, id, libc::SOL_SOCKET, name, 4, Word::Lp64)
        });
        let bytes = value.ok()?.bytes;
        Some(i32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?))
    }

    /// What the placeholder of a socket has to show.
    pub(super) fn shape(&self, id: SocketId) -> Shape {
        Shape::of(self.host.family(id).map_or(0, |(_, kind)| kind))
    }

    /// Whose call it is; kept until the thread makes a call that changes it.
    pub(super) fn cred(&mut self, tid: i32) -> Arc<Cred> {
        if let Some(cred) = self.creds.get(&tid) {
            return cred.clone();
        }
        let Ok(status) = self.processes.borrow_mut().status(tid) else {
            return nobody();
        };
        let inside = self.namespaces.inside(tid);
        let without = inside
            .as_ref()
            .map_or(Caps::empty(), |inside| inside.without);
        let cred = Arc::new(Cred {
            pid: status.tgid as u32,
            ruid: status.uid[0],
            euid: status.uid[1],
            suid: status.uid[2],
            rgid: status.gid[0],
            egid: status.gid[1],
            sgid: status.gid[2],
            groups: status.groups.into(),
            caps: Caps::from_bits_truncate(status.cap_effective).difference(without) | self.caps,
            nofile: 1024,
            ids: inside.map(|inside| inside.ids),
        });
        if self.creds.len() > 4096 {
            self.creds.clear();
        }
        self.keep_cred(tid, &cred);
        cred
    }

    pub(super) fn keep_cred(&mut self, tid: i32, cred: &Arc<Cred>) {
        // The maps of a user namespace are written some calls after it was made, and once.
        let numbered = cred.ids.as_ref().is_none_or(|ids| ids.is_complete());
        // Nobody tells us of execve(2), which takes saved ids, and capabilities from all but root.
        let root = cred.user_seen(cred.euid) == 0;
        let lasting = (root || cred.caps.difference(self.caps).is_empty())
            && (cred.suid, cred.sgid) == (cred.euid, cred.egid);
        if numbered && lasting {
            self.creds.insert(tid, cred.clone());
        }
    }
}

/// RLIMIT_NOFILE of a process.
pub(in super::super) fn descriptor_limit(pid: i32) -> Option<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the kernel writes the limit to `limit`; no new limit is given.
    let got = unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, std::ptr::null(), &raw mut limit) };
    if got == 0 {
        return Some(limit.rlim_cur);
    }
    // prlimit(2) of another user's process wants CAP_SYS_RESOURCE, which containers lack.
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let row = limits
        .lines()
        .find_map(|l| l.strip_prefix("Max open files"))?;
    match row.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        soft => soft.parse().ok(),
    }
}

/// Who closes what nobody holds any more.
pub(super) fn nobody() -> Arc<Cred> {
    Arc::new(Cred::user(0, u32::MAX, u32::MAX))
}

pub(super) fn host_errno(errno: Errno) -> switchboard_notify::Errno {
    switchboard_notify::Errno(i32::from(errno.0))
}
