//! Who makes a call: credentials(7) and capabilities(7).

use alloc::sync::Arc;
use alloc::vec::Vec;
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
    /// How the user namespace of the task numbers users and groups, where it is another than the host's; the ids above are
    /// the host's in each case.
    pub ids: Option<Arc<IdMap>>,
}

/// /proc/PID/uid_map and gid_map of a user namespace, user_namespaces(7).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IdMap {
    users: Vec<Extent>,
    groups: Vec<Extent>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Extent {
    inside: u32,
    outside: u32,
    count: u32,
}

/// overflowuid and overflowgid: who is not numbered in a namespace.
const OVERFLOW: u32 = 65_534;

impl IdMap {
    /// Of the texts of the two files.
    pub fn parse(users: &str, groups: &str) -> IdMap {
        IdMap {
            users: extents(users),
            groups: extents(groups),
        }
    }

    /// Whether both files have been written.
    pub fn is_complete(&self) -> bool {
        !self.users.is_empty() && !self.groups.is_empty()
    }

    /// from_kuid_munged(): the number inside of one of the host's users.
    pub fn user(&self, outside: u32) -> u32 {
        inside(&self.users, outside)
    }

    /// from_kgid_munged().
    pub fn group(&self, outside: u32) -> u32 {
        inside(&self.groups, outside)
    }

    /// make_kuid(): the host's user, or (uid_t) -1, which is none.
    pub fn host_user(&self, inside: u32) -> u32 {
        outside(&self.users, inside)
    }

    /// make_kgid().
    pub fn host_group(&self, inside: u32) -> u32 {
        outside(&self.groups, inside)
    }
}

fn extents(text: &str) -> Vec<Extent> {
    let extent = |line: &str| {
        let mut numbers = line.split_ascii_whitespace().map(|n| n.parse().ok());
        Some(Extent {
            inside: numbers.next()??,
            outside: numbers.next()??,
            count: numbers.next()??,
        })
    };
    text.lines().filter_map(extent).collect()
}

fn inside(extents: &[Extent], id: u32) -> u32 {
    let mut found = extents.iter().filter_map(|e| {
        let at = id.checked_sub(e.outside).filter(|at| *at < e.count)?;
        e.inside.checked_add(at)
    });
    found.next().unwrap_or(OVERFLOW)
}

fn outside(extents: &[Extent], id: u32) -> u32 {
    let mut found = extents.iter().filter_map(|e| {
        let at = id.checked_sub(e.inside).filter(|at| *at < e.count)?;
        e.outside.checked_add(at)
    });
    found.next().unwrap_or(u32::MAX)
}

impl Cred {
    /// The number by which the task knows one of the host's users.
    pub fn user_seen(&self, user: u32) -> u32 {
        self.ids.as_ref().map_or(user, |ids| ids.user(user))
    }

    /// The same of a group.
    pub fn group_seen(&self, group: u32) -> u32 {
        self.ids.as_ref().map_or(group, |ids| ids.group(group))
    }

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
            ids: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::IdMap;

    #[test]
    fn ids_of_a_user_namespace() {
        let ids = IdMap::parse(
            "         0       1000          1\n 1 100000 65536\n",
            "0 1001 1\n",
        );
        assert!(ids.is_complete());
        assert_eq!(
            [1000, 100_000, 165_535, 165_536, 0].map(|id| ids.user(id)),
            [0, 1, 65_536, 65_534, 65_534]
        );
        assert_eq!(
            [0, 1, 65_536, 65_537].map(|id| ids.host_user(id)),
            [1000, 100_000, 165_535, u32::MAX]
        );
        assert_eq!((ids.group(1001), ids.group(1000)), (0, 65_534));
        assert_eq!((ids.host_group(0), ids.host_group(1)), (1001, u32::MAX));
        assert!(!IdMap::parse("0 0 4294967295\n", "").is_complete());
    }
}
