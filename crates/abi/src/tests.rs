//! Numbers and tables against the host's libc.
use crate::{Errno, SockAddr, number::*, socketcall::SocketCall, sysno};
use core::net::SocketAddr;

#[test]
fn numbers_are_libcs() {
    assert_eq!(SOCK_NONBLOCK, libc::SOCK_NONBLOCK);
    assert_eq!(SOCK_CLOEXEC, libc::SOCK_CLOEXEC);
    assert_eq!(MSG_WAITFORONE, libc::MSG_WAITFORONE);
    assert_eq!(MSG_ZEROCOPY, libc::MSG_ZEROCOPY);
    assert_eq!(MSG_FASTOPEN, libc::MSG_FASTOPEN);
    assert_eq!(u64::from(SIOCOUTQ), libc::TIOCOUTQ);
    assert_eq!(POLLRDHUP, libc::POLLRDHUP as u16);
    assert_eq!(POLLRDBAND, libc::POLLRDBAND as u16);
    assert_eq!(IPPROTO_ICMPV6, libc::IPPROTO_ICMPV6);
    assert_eq!(Errno::EAGAIN.0, libc::EAGAIN as u16);
    assert_eq!(Errno::ETOOMANYREFS.name(), Some("ETOOMANYREFS"));
    assert_eq!(Errno::ECONNREFUSED.to_ret(), -111);
}

#[test]
fn syscall_tables_ascend_and_agree_with_libc() {
    for arch in [sysno::Arch::X86_64, sysno::Arch::I386] {
        assert!(sysno::table(arch).windows(2).all(|w| w[0].0 < w[1].0));
    }
    let direct = |nr: libc::c_long| sysno::lookup(sysno::Arch::X86_64, nr as u32);
    assert_eq!(
        direct(libc::SYS_socket),
        Some(sysno::Sysno::Direct(SocketCall::Socket))
    );
    assert_eq!(
        direct(libc::SYS_sendmmsg),
        Some(sysno::Sysno::Direct(SocketCall::Sendmmsg))
    );
    assert_eq!(
        direct(libc::SYS_recvmmsg),
        Some(sysno::Sysno::Direct(SocketCall::Recvmmsg))
    );
    assert_eq!(
        direct(libc::SYS_getsockopt),
        Some(sysno::Sysno::Direct(SocketCall::Getsockopt))
    );
    assert_eq!(direct(libc::SYS_splice), Some(sysno::Sysno::Splice));
    assert_eq!(direct(libc::SYS_preadv2), Some(sysno::Sysno::Preadv2));
    assert_eq!(direct(libc::SYS_poll), None);
}

#[test]
fn socketcall_numbers() {
    for (i, call) in SocketCall::ALL.iter().enumerate() {
        assert_eq!(*call as usize, i + 1);
        assert_eq!(SocketCall::from_number(i as u64 + 1), Some(*call));
    }
    assert_eq!(SocketCall::from_number(0), None);
    assert_eq!(SocketCall::from_number(21), None);
    assert_eq!(SocketCall::from_number(u64::MAX), None);
}

#[test]
fn addresses_round_trip() {
    let mut buf = [0xff; 128];
    let a: SocketAddr = "[2001:db8::1%7]:443".parse().unwrap();
    let n = SockAddr::Inet(a).encode(&mut buf);
    assert_eq!(n, size_of::<libc::sockaddr_in6>());
    assert_eq!(
        crate::sockaddr::read_in6(&buf[..n]).map(SocketAddr::V6),
        Some(a)
    );
    let a: SocketAddr = "192.0.2.1:80".parse().unwrap();
    let n = SockAddr::Inet(a).encode(&mut buf);
    assert_eq!(n, size_of::<libc::sockaddr_in>());
    assert_eq!(crate::sockaddr::family(&buf), Some(AF_INET));
    assert_eq!(
        crate::sockaddr::read_in(&buf[..n]).map(SocketAddr::V4),
        Some(a)
    );
    assert_eq!(crate::sockaddr::read_in(&buf[..7]), None);
}

#[test]
fn tcp_info_is_as_long_as_the_headers_say() {
    // With the AccECN members of Linux 6.18.
    assert_eq!(crate::tcp_info::TcpInfo::default().encode().len(), 280);
}
