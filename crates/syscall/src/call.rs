//! A system call, decoded from registers; structures it points to are still in memory.

/// A socket system call with its arguments. Addresses are the guest's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Call {
    /// socket(2)
    Socket { domain: i32, ty: i32, protocol: i32 },
    /// socketpair(2)
    Socketpair {
        domain: i32,
        ty: i32,
        protocol: i32,
        sv: u64,
    },
    /// bind(2)
    Bind { fd: i32, addr: u64, len: i32 },
    /// connect(2)
    Connect { fd: i32, addr: u64, len: i32 },
    /// listen(2)
    Listen { fd: i32, backlog: i32 },
    /// accept(2) when `flags` is `None`, else accept4(2)
    Accept {
        fd: i32,
        addr: u64,
        addrlen: u64,
        flags: Option<i32>,
    },
    /// getsockname(2)
    Getsockname { fd: i32, addr: u64, addrlen: u64 },
    /// getpeername(2)
    Getpeername { fd: i32, addr: u64, addrlen: u64 },
    /// send(2) of socketcall(2)
    Send {
        fd: i32,
        buf: u64,
        len: u64,
        flags: i32,
    },
    /// recv(2) of socketcall(2)
    Recv {
        fd: i32,
        buf: u64,
        len: u64,
        flags: i32,
    },
    /// sendto(2)
    Sendto {
        fd: i32,
        buf: u64,
        len: u64,
        flags: i32,
        addr: u64,
        addrlen: i32,
    },
    /// recvfrom(2)
    Recvfrom {
        fd: i32,
        buf: u64,
        len: u64,
        flags: i32,
        addr: u64,
        addrlen: u64,
    },
    /// shutdown(2)
    Shutdown { fd: i32, how: i32 },
    /// setsockopt(2)
    Setsockopt {
        fd: i32,
        level: i32,
        name: i32,
        value: u64,
        len: i32,
    },
    /// getsockopt(2)
    Getsockopt {
        fd: i32,
        level: i32,
        name: i32,
        value: u64,
        len: u64,
    },
    /// sendmsg(2)
    Sendmsg { fd: i32, msg: u64, flags: i32 },
    /// recvmsg(2)
    Recvmsg { fd: i32, msg: u64, flags: i32 },
    /// sendmmsg(2)
    Sendmmsg {
        fd: i32,
        vec: u64,
        vlen: u32,
        flags: i32,
    },
    /// recvmmsg(2)
    Recvmmsg {
        fd: i32,
        vec: u64,
        vlen: u32,
        flags: i32,
        timeout: Option<MsgTimeout>,
    },
    /// read(2)
    Read { fd: i32, buf: u64, len: u64 },
    /// write(2)
    Write { fd: i32, buf: u64, len: u64 },
    /// readv(2), and preadv2(2) when there is an offset or there are flags
    Readv {
        fd: i32,
        iov: u64,
        iovlen: u64,
        offset: Option<i64>,
        flags: i32,
    },
    /// writev(2), and pwritev2(2) when there is an offset or there are flags
    Writev {
        fd: i32,
        iov: u64,
        iovlen: u64,
        offset: Option<i64>,
        flags: i32,
    },
    /// ioctl(2)
    Ioctl { fd: i32, cmd: u32, arg: u64 },
    /// bpf(2)
    Bpf { cmd: i32, attr: u64, size: u32 },
    /// sendfile(2)
    Sendfile {
        out_fd: i32,
        in_fd: i32,
        offset: Option<Offset>,
        count: u64,
    },
    /// splice(2)
    Splice {
        fd_in: i32,
        off_in: u64,
        fd_out: i32,
        off_out: u64,
        len: u64,
        flags: u32,
    },
}

/// recvmmsg(2)'s timeout in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MsgTimeout {
    /// Where the `timespec` lies.
    pub addr: u64,
    /// Its members are 64 bits wide; else 32.
    pub wide: bool,
}

/// sendfile(2)'s offset in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offset {
    /// Where it lies.
    pub addr: u64,
    /// It is 64 bits wide; else 32.
    pub wide: bool,
}

impl Call {
    /// The descriptor the call is made on, where it names one.
    pub fn fd(&self) -> Option<i32> {
        match *self {
            Call::Socket { .. } | Call::Socketpair { .. } | Call::Bpf { .. } => None,
            Call::Bind { fd, .. }
            | Call::Connect { fd, .. }
            | Call::Listen { fd, .. }
            | Call::Accept { fd, .. }
            | Call::Getsockname { fd, .. }
            | Call::Getpeername { fd, .. }
            | Call::Send { fd, .. }
            | Call::Recv { fd, .. }
            | Call::Sendto { fd, .. }
            | Call::Recvfrom { fd, .. }
            | Call::Shutdown { fd, .. }
            | Call::Setsockopt { fd, .. }
            | Call::Getsockopt { fd, .. }
            | Call::Sendmsg { fd, .. }
            | Call::Recvmsg { fd, .. }
            | Call::Sendmmsg { fd, .. }
            | Call::Recvmmsg { fd, .. }
            | Call::Read { fd, .. }
            | Call::Write { fd, .. }
            | Call::Readv { fd, .. }
            | Call::Writev { fd, .. }
            | Call::Ioctl { fd, .. } => Some(fd),
            Call::Sendfile { out_fd, .. } => Some(out_fd),
            Call::Splice { fd_in, .. } => Some(fd_in),
        }
    }
}
