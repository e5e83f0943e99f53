//! Whose namespaces a program is in: the run's, or some that it has made (user_namespaces(7), unshare(2)).
//!
//! Users and groups have other numbers in a user namespace of one's own, and capabilities there are none over what is
//! outside of it: the virtual host, unless a network namespace was made along with it, whose administrator one is.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use switchboard_socket::{Caps, IdMap};

/// Namespaces by the inode of their file: there is one file system of them.
pub(super) struct Namespaces {
    user: Option<u64>,
    net: Option<u64>,
    pid: Option<u64>,
}

/// What another user namespace makes of somebody.
pub(super) struct Inside {
    pub(super) ids: Arc<IdMap>,
    /// Capabilities that are none here.
    pub(super) without: Caps,
}

impl Namespaces {
    /// Those of the supervisor, which the program starts in.
    pub(super) fn own() -> Namespaces {
        let own = |kind| of("self", kind);
        Namespaces {
            user: own("user"),
            net: own("net"),
            pid: own("pid"),
        }
    }

    /// `None` in the run's own user namespace, and where it cannot be found out.
    pub(super) fn inside(&self, tid: i32) -> Option<Inside> {
        let tid = tid.to_string();
        let user = of(&tid, "user")?;
        if self.user.is_none_or(|own| own == user) {
            return None;
        }
        let map = |name| fs::read_to_string(format!("/proc/{tid}/{name}")).unwrap_or_default();
        let mut without = Caps::SYS_RESOURCE;
        if of(&tid, "net") == self.net {
            without |=
                Caps::NET_ADMIN | Caps::NET_RAW | Caps::NET_BIND_SERVICE | Caps::NET_BROADCAST;
        }
        if of(&tid, "pid") == self.pid {
            without |= Caps::SYS_ADMIN;
        }
        Some(Inside {
            ids: Arc::new(IdMap::parse(&map("uid_map"), &map("gid_map"))),
            without,
        })
    }
}

fn of(process: &str, kind: &str) -> Option<u64> {
    let file = fs::metadata(format!("/proc/{process}/ns/{kind}")).ok()?;
    Some(file.ino())
}
