//! From registers to a [`Call`].
//!
//! An argument that C declares `int` is the low 32 bits of its register, whatever lies above; a
//! pointer, `size_t` or `long` is the whole word of the caller's word size.

use crate::call::{Call, MsgTimeout, Offset};
use crate::memory::Memory;
use switchboard_abi::socketcall::SocketCall;
use switchboard_abi::sysno::{Arch, Sysno, lookup};
use switchboard_abi::{Errno, Word};

/// The call with number `nr` of an architecture and these registers; `None` when it is not one of
/// the layer's. socketcall(2) reads its argument block from `mem`.
pub fn decode(
    arch: Arch,
    nr: u32,
    args: [u64; 6],
    mem: &mut dyn Memory,
) -> Result<Option<Call>, Errno> {
    let word = arch.word();
    let args = Args { word, args };
    let Some(sysno) = lookup(arch, nr) else {
        return Ok(None);
    };
    let call = match sysno {
        Sysno::Direct(call) => direct(call, &args),
        Sysno::RecvmmsgTime64 => recvmmsg(&args, true),
        Sysno::Socketcall => decode_socketcall(word, args.int(0), args.word(1), mem)?,
        Sysno::Read => Call::Read {
            fd: args.int(0),
            buf: args.word(1),
            len: args.word(2),
        },
        Sysno::Write => Call::Write {
            fd: args.int(0),
            buf: args.word(1),
            len: args.word(2),
        },
        Sysno::Readv => Call::Readv {
            fd: args.int(0),
            iov: args.word(1),
            iovlen: vector_length(&args),
            offset: None,
            flags: 0,
        },
        Sysno::Writev => Call::Writev {
            fd: args.int(0),
            iov: args.word(1),
            iovlen: vector_length(&args),
            offset: None,
            flags: 0,
        },
        Sysno::Preadv2 => Call::Readv {
            fd: args.int(0),
            iov: args.word(1),
            iovlen: vector_length(&args),
            offset: args.offset(),
            flags: args.int(5),
        },
        Sysno::Pwritev2 => Call::Writev {
            fd: args.int(0),
            iov: args.word(1),
            iovlen: vector_length(&args),
            offset: args.offset(),
            flags: args.int(5),
        },
        Sysno::Ioctl => Call::Ioctl {
            fd: args.int(0),
            cmd: args.int(1) as u32,
            arg: args.word(2),
        },
        Sysno::Sendfile => sendfile(&args, word == Word::Lp64),
        Sysno::Sendfile64 => sendfile(&args, true),
        Sysno::Splice => Call::Splice {
            fd_in: args.int(0),
            off_in: args.word(1),
            fd_out: args.int(2),
            off_out: args.word(3),
            len: args.word(4),
            flags: args.int(5) as u32,
        },
        Sysno::Bpf => Call::Bpf {
            cmd: args.int(0),
            attr: args.word(1),
            size: args.int(2) as u32,
        },
        // The descriptor table is the embedder's.
        Sysno::Close => return Ok(None),
    };
    Ok(Some(call))
}

/// socketcall(2): call number `call` with its argument block at `block`. `EINVAL` for an unknown
/// call, whatever the block is; then `EFAULT` when the block cannot be read.
#[doc(alias = "socketcall")]
pub fn decode_socketcall(
    word: Word,
    call: i32,
    block: u64,
    mem: &mut dyn Memory,
) -> Result<Call, Errno> {
    let call = u64::try_from(call)
        .ok()
        .and_then(SocketCall::from_number)
        .ok_or(Errno::EINVAL)?;
    let mut bytes = [0; 6 * 8];
    let bytes = &mut bytes[..call.args() * word.size()];
    mem.read(block, bytes)?;
    let mut args = [0; 6];
    for (i, arg) in args.iter_mut().take(call.args()).enumerate() {
        *arg = word.read_ulong(bytes, i * word.size());
    }
    Ok(direct(call, &Args { word, args }))
}

struct Args {
    word: Word,
    args: [u64; 6],
}

impl Args {
    /// An `int`.
    fn int(&self, n: usize) -> i32 {
        self.args[n] as i32
    }

    /// A pointer, `size_t` or `unsigned long`.
    fn word(&self, n: usize) -> u64 {
        match self.word {
            Word::Lp64 => self.args[n],
            Word::Ilp32 => self.args[n] & 0xffff_ffff,
        }
    }

    /// pos_from_hilo() of preadv2(2) and pwritev2(2): -1 means none.
    fn offset(&self) -> Option<i64> {
        let offset = match self.word {
            Word::Lp64 => self.args[3] as i64,
            Word::Ilp32 => ((self.word(4) << 32) | self.word(3)) as i64,
        };
        (offset != -1).then_some(offset)
    }
}

fn direct(call: SocketCall, a: &Args) -> Call {
    match call {
        SocketCall::Socket => Call::Socket {
            domain: a.int(0),
            ty: a.int(1),
            protocol: a.int(2),
        },
        SocketCall::Bind => Call::Bind {
            fd: a.int(0),
            addr: a.word(1),
            len: a.int(2),
        },
        SocketCall::Connect => Call::Connect {
            fd: a.int(0),
            addr: a.word(1),
            len: a.int(2),
        },
        SocketCall::Listen => Call::Listen {
            fd: a.int(0),
            backlog: a.int(1),
        },
        SocketCall::Accept => Call::Accept {
            fd: a.int(0),
            addr: a.word(1),
            addrlen: a.word(2),
            flags: None,
        },
        SocketCall::Accept4 => Call::Accept {
            fd: a.int(0),
            addr: a.word(1),
            addrlen: a.word(2),
            flags: Some(a.int(3)),
        },
        SocketCall::Getsockname => Call::Getsockname {
            fd: a.int(0),
            addr: a.word(1),
            addrlen: a.word(2),
        },
        SocketCall::Getpeername => Call::Getpeername {
            fd: a.int(0),
            addr: a.word(1),
            addrlen: a.word(2),
        },
        SocketCall::Socketpair => Call::Socketpair {
            domain: a.int(0),
            ty: a.int(1),
            protocol: a.int(2),
            sv: a.word(3),
        },
        SocketCall::Send => Call::Send {
            fd: a.int(0),
            buf: a.word(1),
            len: a.word(2),
            flags: a.int(3),
        },
        SocketCall::Recv => Call::Recv {
            fd: a.int(0),
            buf: a.word(1),
            len: a.word(2),
            flags: a.int(3),
        },
        SocketCall::Sendto => Call::Sendto {
            fd: a.int(0),
            buf: a.word(1),
            len: a.word(2),
            flags: a.int(3),
            addr: a.word(4),
            addrlen: a.int(5),
        },
        SocketCall::Recvfrom => Call::Recvfrom {
            fd: a.int(0),
            buf: a.word(1),
            len: a.word(2),
            flags: a.int(3),
            addr: a.word(4),
            addrlen: a.word(5),
        },
        SocketCall::Shutdown => Call::Shutdown {
            fd: a.int(0),
            how: a.int(1),
        },
        SocketCall::Setsockopt => Call::Setsockopt {
            fd: a.int(0),
            level: a.int(1),
            name: a.int(2),
            value: a.word(3),
            len: a.int(4),
        },
        SocketCall::Getsockopt => Call::Getsockopt {
            fd: a.int(0),
            level: a.int(1),
            name: a.int(2),
            value: a.word(3),
            len: a.word(4),
        },
        SocketCall::Sendmsg => Call::Sendmsg {
            fd: a.int(0),
            msg: a.word(1),
            flags: a.int(2),
        },
        SocketCall::Recvmsg => Call::Recvmsg {
            fd: a.int(0),
            msg: a.word(1),
            flags: a.int(2),
        },
        SocketCall::Recvmmsg => recvmmsg(a, a.word == Word::Lp64),
        SocketCall::Sendmmsg => Call::Sendmmsg {
            fd: a.int(0),
            vec: a.word(1),
            vlen: a.int(2) as u32,
            flags: a.int(3),
        },
    }
}

fn recvmmsg(a: &Args, wide: bool) -> Call {
    let addr = a.word(4);
    Call::Recvmmsg {
        fd: a.int(0),
        vec: a.word(1),
        vlen: a.int(2) as u32,
        flags: a.int(3),
        timeout: (addr != 0).then_some(MsgTimeout { addr, wide }),
    }
}

/// import_iovec() takes an `unsigned`, whatever the call was given.
fn vector_length(args: &Args) -> u64 {
    args.word(2) & u64::from(u32::MAX)
}

fn sendfile(a: &Args, wide: bool) -> Call {
    let addr = a.word(2);
    Call::Sendfile {
        out_fd: a.int(0),
        in_fd: a.int(1),
        offset: (addr != 0).then_some(Offset { addr, wide }),
        count: a.word(3),
    }
}
