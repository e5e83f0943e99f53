//! The LP64 layouts against the host's libc; the ILP32 ones against the i386 ABI's arithmetic.
use super::*;
use core::mem::{offset_of, size_of};

#[test]
fn lp64_is_the_hosts() {
    let w = Word::Lp64;
    let m = w.msghdr();
    assert_eq!(m.size, size_of::<libc::msghdr>());
    assert_eq!(m.name, offset_of!(libc::msghdr, msg_name));
    assert_eq!(m.namelen, offset_of!(libc::msghdr, msg_namelen));
    assert_eq!(m.iov, offset_of!(libc::msghdr, msg_iov));
    assert_eq!(m.iovlen, offset_of!(libc::msghdr, msg_iovlen));
    assert_eq!(m.control, offset_of!(libc::msghdr, msg_control));
    assert_eq!(m.controllen, offset_of!(libc::msghdr, msg_controllen));
    assert_eq!(m.flags, offset_of!(libc::msghdr, msg_flags));
    assert_eq!(w.mmsghdr_size(), size_of::<libc::mmsghdr>());
    assert_eq!(w.iovec_size(), size_of::<libc::iovec>());
    assert_eq!(w.cmsghdr_size(), size_of::<libc::cmsghdr>());
    assert_eq!(w.old_time_size(), size_of::<libc::timeval>());
    for len in 0..20 {
        assert_eq!(w.cmsg_len(len), 16 + len);
        assert_eq!(w.cmsg_space(len), 16 + len.div_ceil(8) * 8);
    }
}

#[test]
fn ilp32_is_i386() {
    let w = Word::Ilp32;
    assert_eq!(w.msghdr().size, 7 * 4);
    assert_eq!(w.mmsghdr_size(), 8 * 4);
    assert_eq!(w.cmsg_len(4), 16);
    assert_eq!(w.cmsg_space(5), 12 + 8);
    assert_eq!(w.read_ulong(&[1, 0, 0, 0x80, 9], 0), 0x8000_0001);
    assert_eq!(w.read_long(&[0xff, 0xff, 0xff, 0xff], 0), -1);
}
