//! Who makes a call: credentials(7) and capabilities(7).

use alloc::sync::Arc;
use bitflags::bitflags;

bitflags! {
    /// The capabilities the socket layer asks for, as bits of capabilities(7)'s effective set.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
    pub struct Caps: u64 {
        /// `CAP_DAC_OVERRIDE`: bypass file permission checks.
        const DAC_OVERRIDE = 1 << 1;
        /// `CAP_SETGID`: forge the gid of `SCM_CREDENTIALS`.
        const SETGID = 1 << 6;
        /// `CAP_SETUID`: forge the uid of `SCM_CREDENTIALS`.
        const SETUID = 1 << 7;
        /// `CAP_NET_BIND_SERVICE`: bind ports below `ip_unprivileged_port_start`.
        const NET_BIND_SERVICE = 1 << 10;
        /// `CAP_NET_BROADCAST`: hear other network namespaces.
        const NET_BROADCAST = 1 << 11;
        /// `CAP_NET_ADMIN`: administer the network.
        const NET_ADMIN = 1 << 12;
        /// `CAP_NET_RAW`: raw sockets.
        const NET_RAW = 1 << 13;
        /// `CAP_SYS_ADMIN`: forge the pid of `SCM_CREDENTIALS`.
        const SYS_ADMIN = 1 << 21;
        /// `CAP_SYS_RESOURCE`: exceed limits.
        const SYS_RESOURCE = 1 << 24;
    }
}

/// The credentials of a task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cred {
    /// The process (thread group), as getpid(2) tells it.
    pub pid: u32,
    /// Real user ID.
    pub ruid: u32,
    /// Effective user ID.
    pub euid: u32,
    /// Saved set-user-ID.
    pub suid: u32,
    /// Real group ID.
    pub rgid: u32,
    /// Effective group ID.
    pub egid: u32,
    /// Saved set-group-ID.
    pub sgid: u32,
    /// Supplementary groups.
    pub groups: Arc<[u32]>,
    /// Effective capabilities.
    pub caps: Caps,
    /// `RLIMIT_NOFILE`: the limit on descriptors, which also bounds those in flight (unix(7)).
    pub nofile: u64,
}

impl Cred {
    /// Root with every capability.
    pub fn root(pid: u32) -> Cred {
        Cred::new(pid, 0, 0, Caps::all())
    }

    /// An ordinary user, without capabilities.
    pub fn user(pid: u32, uid: u32, gid: u32) -> Cred {
        Cred::new(pid, uid, gid, Caps::empty())
    }

    /// The same user and group in every role.
    pub fn new(pid: u32, uid: u32, gid: u32, caps: Caps) -> Cred {
        Cred {
            pid,
            ruid: uid,
            euid: uid,
            suid: uid,
            rgid: gid,
            egid: gid,
            sgid: gid,
            groups: Arc::from([]),
            caps,
            nofile: 1024,
        }
    }
}
