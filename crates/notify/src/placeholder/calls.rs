//! The calls that placeholders are made with.

use core::mem::{MaybeUninit, size_of, size_of_val, zeroed};
use core::ptr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use crate::Errno;

pub(super) fn poll(fd: BorrowedFd<'_>) -> i16 {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: 0,
        revents: 0,
    };
    // SAFETY: one pollfd, ours. With no timeout it neither waits nor is interrupted.
    unsafe { libc::poll(&raw mut poll, 1, 0) };
    poll.revents
}

pub(super) fn send(fd: BorrowedFd<'_>, bytes: &[u8], flags: i32) -> Result<usize, Errno> {
    let flags = flags | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: `bytes` is read, within its length.
    let sent = Errno::retry(|| unsafe {
        libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) as i64
    });
    sent.map(|count| count as usize)
}

/// What is read is of no interest: nobody looks at `room` again.
pub(super) fn receive(
    fd: BorrowedFd<'_>,
    room: &mut [MaybeUninit<u8>],
    flags: i32,
) -> Result<usize, Errno> {
    let flags = flags | libc::MSG_DONTWAIT;
    // SAFETY: `room` is written, within its length.
    let got = Errno::retry(|| unsafe {
        libc::recv(fd.as_raw_fd(), room.as_mut_ptr().cast(), room.len(), flags) as i64
    });
    got.map(|count| count as usize)
}

/// Whether O_ASYNC is set on the file.
pub(super) fn is_async(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: no memory involved.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    flags >= 0 && flags & libc::O_ASYNC != 0
}

/// An option of SOL_SOCKET.
pub(super) fn set_option(fd: BorrowedFd<'_>, option: i32, value: i32) -> Result<(), Errno> {
    // SAFETY: the kernel reads one int of ours.
    let set = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast(),
            size_of::<i32>() as u32,
        )
    };
    Errno::check(set.into()).map(drop)
}

pub(super) fn shutdown(fd: BorrowedFd<'_>, how: i32) {
    // SAFETY: no memory involved. Fails only for sockets that are not connected; this one is, or its
    // peer is gone and nobody looks.
    unsafe { libc::shutdown(fd.as_raw_fd(), how) };
}

/// getsockopt(2) of SO_ERROR, which takes the error. Whether that was done.
pub(super) fn take_error(fd: BorrowedFd<'_>) -> bool {
    let mut error = 0i32;
    let mut len = size_of::<i32>() as u32;
    // SAFETY: the kernel writes at most `len` bytes of ours.
    let taken = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            (&raw mut error).cast(),
            &raw mut len,
        )
    };
    taken == 0
}

/// `sendmsg(b, SCM_RIGHTS: write end of a new pipe)`; returns the read end.
pub(super) fn send_canary(b: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let mut pipe = [-1; 2];
    // SAFETY: the kernel writes two descriptors.
    let made = unsafe { libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) };
    Errno::check(made.into())?;
    // SAFETY: just made, nobody else knows them.
    let (reader, writer) =
        unsafe { (OwnedFd::from_raw_fd(pipe[0]), OwnedFd::from_raw_fd(pipe[1])) };

    let mut byte = 0u8;
    let mut data = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    let mut control = [0u64; 4];
    // SAFETY: an all-zero msghdr is valid.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut data;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    // SAFETY: pure arithmetic.
    message.msg_controllen = unsafe { libc::CMSG_SPACE(size_of::<i32>() as u32) } as usize;
    debug_assert!(message.msg_controllen <= size_of_val(&control));
    // SAFETY: the control buffer is large enough for the header and one descriptor, and aligned as
    // the header is.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<i32>() as u32) as usize;
        ptr::write_unaligned(libc::CMSG_DATA(header).cast::<i32>(), writer.as_raw_fd());
    }
    // SAFETY: everything the message points to lives in this frame.
    Errno::retry(|| unsafe {
        libc::sendmsg(
            b.as_raw_fd(),
            &raw const message,
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        ) as i64
    })?;
    Ok(reader)
}
