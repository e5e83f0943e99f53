//! Names of errnos and poll bits, for reports.

macro_rules! errno_table {
    ($($name:ident)*) => {
        const ERRNOS: &[(i32, &str)] = &[$((libc::$name, stringify!($name))),*];
    };
}

errno_table! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK
    EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE
    EROFS EMLINK EPIPE EDOM ERANGE ENAMETOOLONG ENOSYS ELOOP ENOMSG EPROTO EOVERFLOW ENOTSOCK
    EDESTADDRREQ EMSGSIZE EPROTOTYPE ENOPROTOOPT EPROTONOSUPPORT ESOCKTNOSUPPORT EOPNOTSUPP
    EPFNOSUPPORT EAFNOSUPPORT EADDRINUSE EADDRNOTAVAIL ENETDOWN ENETUNREACH ENETRESET ECONNABORTED
    ECONNRESET ENOBUFS EISCONN ENOTCONN ESHUTDOWN ETOOMANYREFS ETIMEDOUT ECONNREFUSED EHOSTDOWN
    EHOSTUNREACH EALREADY EINPROGRESS ESTALE ENODATA
}

/// `EAGAIN` for 11; the number where there is no name.
pub(crate) fn errno_name(errno: i32) -> String {
    ERRNOS
        .iter()
        .find(|(number, _)| *number == errno)
        .map_or_else(|| format!("errno {errno}"), |(_, name)| (*name).to_string())
}

/// A system call's result: the value, or the name of the errno.
pub(crate) fn ret_name(value: i64) -> String {
    if (-4095..0).contains(&value) {
        errno_name(-value as i32)
    } else {
        value.to_string()
    }
}

/// `IN|OUT|HUP` for a poll mask.
pub(crate) fn show_mask(mask: i16) -> String {
    const BITS: [(i16, &str); 12] = [
        (libc::POLLIN, "IN"),
        (libc::POLLPRI, "PRI"),
        (libc::POLLOUT, "OUT"),
        (libc::POLLERR, "ERR"),
        (libc::POLLHUP, "HUP"),
        (libc::POLLNVAL, "NVAL"),
        (libc::POLLRDNORM, "RDNORM"),
        (libc::POLLRDBAND, "RDBAND"),
        (libc::POLLWRNORM, "WRNORM"),
        (libc::POLLWRBAND, "WRBAND"),
        (0x400, "MSG"),
        (libc::POLLRDHUP, "RDHUP"),
    ];
    let names: Vec<&str> = BITS
        .iter()
        .filter(|(bit, _)| mask & bit != 0)
        .map(|(_, name)| *name)
        .collect();
    if names.is_empty() {
        "0".to_string()
    } else {
        names.join("|")
    }
}
