//! Whether programs' descriptors are to be had here: without them poll could not be told that a socket is empty again.

use rustix::process::{PidfdFlags, getpid, pidfd_open};
use switchboard_notify::{FdError, Processes, Support, probe};

/// What allows pidfd_getfd(2) in a container: profiles have it among what goes with this capability.
pub(crate) const ALLOW: &str = "in a container, `--cap-add SYS_PTRACE` (docker, podman) or SYS_PTRACE in \
     securityContext.capabilities.add (Kubernetes) allows it";

/// Tried on ourselves, as what refuses it is most often a container's profile. An error is one line for the user.
pub(super) fn check() -> Result<(), String> {
    let error = match Processes::new(1).getfd(std::process::id() as i32, 0) {
        Ok(_) | Err(FdError::NotOpen) => return check_yama(),
        Err(error) => error,
    };
    if let Err(errno) = pidfd_open(getpid(), PidfdFlags::empty()) {
        return Err(format!(
            "pidfd_open does not work here ({errno}): Linux 5.3 has it, and a container's seccomp profile has to allow it; \
             `switchboard doctor` says what else is missing"
        ));
    }
    let why = match error {
        FdError::Refused(errno) if errno.0 == libc::ENOSYS => {
            "no such call: the kernel is older than Linux 5.6, or not Linux's, or a container's seccomp profile hides it"
                .to_string()
        }
        FdError::Refused(errno) | FdError::Failed(errno) => {
            format!("{errno}: a container's seccomp profile refuses it")
        }
        error => error.to_string(),
    };
    Err(format!(
        "pidfd_getfd does not work here ({why}); {ALLOW}; `switchboard doctor` says what else is missing"
    ))
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
