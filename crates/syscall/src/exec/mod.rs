//! What each call does, one file per group of calls.

mod absent;
mod bpf;
mod ethtool;
mod filter;
mod ifreq;
mod ioctl;
mod name;
mod option;
mod recv;
mod recvmmsg;
mod rtentry;
mod rw;
mod send;
mod sendmmsg;
mod splice;

pub(crate) use recv::RecvWork;
pub(crate) use recvmmsg::Had;
pub(crate) use send::SendWork;
pub(crate) use sendmmsg::Sendmmsg;

use crate::files::FileRef;
use crate::pending::Env;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_socket::SocketId;

/// The socket a call is made on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) id: SocketId,
    /// The descriptor it was found by.
    pub(crate) fd: i32,
    pub(crate) unix: bool,
    /// Which control messages of `SOL_SOCKET` it takes.
    pub(crate) passes: crate::cmsg::Passes,
    /// `SOCK_STREAM`: bytes, not messages.
    pub(crate) stream: bool,
    /// `SOCK_SEQPACKET`: write(2) ends a record.
    pub(crate) seqpacket: bool,
}

impl Target {
    /// `EBADF` for a closed descriptor, `None` for what is no socket.
    pub(crate) fn lookup(env: &mut Env<'_, '_>, fd: i32) -> Result<Option<Target>, Errno> {
        let FileRef::Socket(id) = env.files.lookup(fd)? else {
            return Ok(None);
        };
        let (domain, ty) = env.host.family(id).ok_or(Errno::EBADF)?;
        Ok(Some(Target {
            id,
            fd,
            unix: domain == AF_UNIX,
            passes: match domain {
                AF_UNIX => crate::cmsg::Passes::Both,
                AF_NETLINK => crate::cmsg::Passes::Credentials,
                _ => crate::cmsg::Passes::Neither,
            },
            stream: ty == SOCK_STREAM,
            seqpacket: ty == SOCK_SEQPACKET,
        }))
    }
}
