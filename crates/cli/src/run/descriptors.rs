//! Whether programs' descriptors are to be had here, and how.

use switchboard_notify::{FdError, Processes, Support, probe};

/// What allows pidfd_getfd(2) in a container: profiles have it among what goes with this capability.
pub(crate) const ALLOW: &str = "in a container, `--cap-add SYS_PTRACE` (docker, podman) or SYS_PTRACE in \
     securityContext.capabilities.add (Kubernetes) allows it";

/// The way to a program's end of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// pidfd_getfd(2), when it is needed.
    Fetch,
    /// A copy is kept from the beginning, as a container's profile refuses that call (docs/design/without-getfd.md).
    Keep,
}

/// Tried on ourselves, as what refuses it is most often a container's profile. An error is one line for the user.
pub(super) fn check() -> Result<Way, String> {
    match Processes::new(1).getfd(std::process::id() as i32, 0) {
        Ok(_) | Err(FdError::NotOpen) => check_yama().map(|()| Way::Fetch),
        Err(error) => match probe().proc_fd {
            Support::Yes => Ok(Way::Keep),
            _ => Err(format!(
                "neither pidfd_getfd ({error}) nor /proc/PID/fd of other processes is to be had here; {ALLOW}; \
                 `switchboard doctor` says what else is missing"
            )),
        },
    }
}

/// Yama lets everybody look at their own, but from 2 on at nobody else without privileges.
fn check_yama() -> Result<(), String> {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let Ok(scope @ 2..) = scope.trim().parse::<u32>() else {
        return Ok(());
    };
    match probe().pidfd_getfd {
        Support::No(errno) => Err(format!(
            "pidfd_getfd does not work here ({errno}): kernel.yama.ptrace_scope is {scope}, and 1 or 0 is needed without CAP_SYS_PTRACE"
        )),
        _ => Ok(()),
    }
}
