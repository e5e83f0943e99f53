//! Which kind of socket a handle names.

use crate::call::AcceptPlan;
use crate::host::Host;
use crate::table::SocketId;

impl Host {
    /// The socket's `AF_*` and `SOCK_*` numbers; `None` when it is closed.
    pub fn family(&self, id: SocketId) -> Option<(i32, i32)> {
        let common = &self.get(id).ok()?.common;
        Some((i32::from(common.domain), i32::from(common.ty)))
    }
}

impl AcceptPlan {
    /// The listener that the connection waits at.
    pub fn listener(&self) -> SocketId {
        self.listener
    }
}
