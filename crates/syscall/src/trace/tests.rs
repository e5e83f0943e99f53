use super::*;
use crate::call::MsgTimeout;
use crate::memory::Fault;

/// Memory that starts at address 0x1000.
struct Flat(alloc::vec::Vec<u8>);

impl Memory for Flat {
    fn read(&mut self, addr: u64, out: &mut [u8]) -> Result<(), Fault> {
        let at = addr.checked_sub(0x1000).ok_or(Fault)? as usize;
        let end = at.checked_add(out.len()).ok_or(Fault)?;
        out.copy_from_slice(self.0.get(at..end).ok_or(Fault)?);
        Ok(())
    }

    fn write(&mut self, _: u64, _: &[u8]) -> Result<(), Fault> {
        Err(Fault)
    }
}

fn text(what: Call, value: i64, bytes: &[u8]) -> String {
    call(&what, Word::Lp64, value, &mut Flat(bytes.to_vec()))
}

#[test]
fn calls_that_name() {
    let socket = Call::Socket {
        domain: 2,
        ty: 1 | SOCK_CLOEXEC,
        protocol: 6,
    };
    assert_eq!(
        text(socket, 3, &[]),
        "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_TCP) = 3"
    );
    let name = [2, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    let connect = Call::Connect {
        fd: 3,
        addr: 0x1000,
        len: 16,
    };
    assert_eq!(
        text(connect, -111, &name),
        "connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"127.0.0.1\")}, \
         16) = -1 ECONNREFUSED (Connection refused)"
    );
    let bind = Call::Bind {
        fd: 3,
        addr: 0x1000,
        len: 6,
    };
    assert_eq!(
        text(bind, 0, b"\x01\0/a\0x"),
        "bind(3, {sa_family=AF_UNIX, sun_path=\"/a\"}, 6) = 0"
    );
    assert_eq!(
        text(bind, 0, b"\x01\0\0a\0x"),
        "bind(3, {sa_family=AF_UNIX, sun_path=@\"a\\000x\"}, 6) = 0"
    );
    let accept = Call::Accept {
        fd: 3,
        addr: 0,
        addrlen: 0,
        flags: Some(SOCK_NONBLOCK),
    };
    assert_eq!(
        text(accept, 4, &[]),
        "accept4(3, NULL, NULL, SOCK_NONBLOCK) = 4"
    );
}

#[test]
fn calls_that_move_data() {
    let mut bytes = alloc::vec![b'x'; 40];
    bytes[..3].copy_from_slice(b"a\n\"");
    let send = Call::Sendto {
        fd: 4,
        buf: 0x1000,
        len: 40,
        flags: 0x4040,
        addr: 0,
        addrlen: 0,
    };
    assert_eq!(
        text(send, 40, &bytes),
        "sendto(4, \"a\\n\\\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"..., 40, \
         MSG_DONTWAIT|MSG_NOSIGNAL, NULL, 0) = 40"
    );
    let recv = Call::Read {
        fd: 4,
        buf: 0x1000,
        len: 40,
    };
    assert_eq!(text(recv, 2, &bytes), "read(4, \"a\\n\", 40) = 2");
    assert_eq!(
        text(recv, -11, &bytes),
        "read(4, 0x1000, 40) = -1 EAGAIN (Resource temporarily unavailable)"
    );
    let bad = Call::Write {
        fd: 4,
        buf: 0x10,
        len: 4,
    };
    assert_eq!(
        text(bad, -14, &bytes),
        "write(4, 0x10, 4) = -1 EFAULT (Bad address)"
    );
}

#[test]
fn options_and_timeouts() {
    let set = Call::Setsockopt {
        fd: 3,
        level: 1,
        name: SO_REUSEADDR,
        value: 0x1000,
        len: 4,
    };
    assert_eq!(
        text(set, 0, &[1, 0, 0, 0]),
        "setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0"
    );
    let get = Call::Getsockopt {
        fd: 3,
        level: 1,
        name: SO_ERROR,
        value: 0x1000,
        len: 0x1004,
    };
    assert_eq!(
        text(get, 0, &[111, 0, 0, 0, 4, 0, 0, 0]),
        "getsockopt(3, SOL_SOCKET, SO_ERROR, [ECONNREFUSED], [4]) = 0"
    );
    let timeout = Some(MsgTimeout {
        addr: 0x1000,
        wide: false,
    });
    let many = Call::Recvmmsg {
        fd: 3,
        vec: 0x2000,
        vlen: 2,
        flags: MSG_WAITFORONE,
        timeout,
    };
    assert_eq!(
        text(many, -9, &[1, 0, 0, 0, 2, 0, 0, 0]),
        "recvmmsg(3, 0x2000, 2, MSG_WAITFORONE, {tv_sec=1, tv_nsec=2}) = -1 EBADF (Bad file descriptor)"
    );
}

#[test]
fn messages() {
    let mut bytes = alloc::vec![0; 0x100];
    bytes[16..24].copy_from_slice(&0x1080u64.to_ne_bytes());
    bytes[24] = 1;
    bytes[32..40].copy_from_slice(&0x10a0u64.to_ne_bytes());
    bytes[40] = 24;
    bytes[0x80..0x88].copy_from_slice(&0x10f0u64.to_ne_bytes());
    bytes[0x88] = 5;
    bytes[0xa0] = 20;
    bytes[0xa8] = 1;
    bytes[0xac] = 1;
    bytes[0xb0] = 7;
    bytes[0xf0..0xf5].copy_from_slice(b"hello");
    let send = Call::Sendmsg {
        fd: 3,
        msg: 0x1000,
        flags: 0,
    };
    assert_eq!(
        text(send, 5, &bytes),
        "sendmsg(3, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base=\"hello\", iov_len=5}], \
         msg_iovlen=1, msg_control=[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, \
         cmsg_data=[7]}], msg_controllen=24, msg_flags=0}, 0) = 5"
    );
}
