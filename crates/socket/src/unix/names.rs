//! Addresses and the namespace: bind(2), autobind, and who has a name.

use super::paths::Inode;
use super::{State, UnixType};
use crate::call::Cx;
use crate::cred::Caps;
use crate::host::Host;
use crate::table::SocketId;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use switchboard_abi::number::*;
use switchboard_abi::sockaddr::{SOCKADDR_UN_SIZE, family};
use switchboard_abi::{Errno, SockAddr};

/// Offset of `sun_path`.
const PATH_OFFSET: usize = 2;

/// Autobind draws from this many names: five hexadecimal digits.
const AUTOBIND_NAMES: u32 = 1 << 20;

/// net.unix.max_dgram_qlen's default.
const MAX_DGRAM_QLEN: u32 = 10;

/// Every name of the host, and what of the family is counted per user.
pub(crate) struct Namespace {
    /// Abstract names, per type: the same name may be taken once in each.
    by_name: [BTreeMap<Arc<[u8]>, SocketId>; 3],
    by_inode: BTreeMap<Inode, SocketId>,
    /// Where the next autobind starts to look. Linux draws it at random; a sequence is as good for
    /// a namespace whose names are free to read for everyone on the host.
    next_auto: u32,
    /// net.unix.max_dgram_qlen: what a new datagram socket's queue may hold.
    pub(super) max_dgram_qlen: u32,
    /// Files in flight per user (`user->unix_inflight`).
    pub(super) in_flight: BTreeMap<u32, u64>,
    /// Datagram sockets that have closed and whose messages wait to be read still.
    pub(super) departed: BTreeMap<SocketId, Departed>,
    /// Of the files in flight, how many are sockets.
    pub(super) sockets_in_flight: usize,
}

impl Default for Namespace {
    fn default() -> Namespace {
        Namespace {
            by_name: [BTreeMap::new(), BTreeMap::new(), BTreeMap::new()],
            by_inode: BTreeMap::new(),
            next_auto: 0,
            max_dgram_qlen: MAX_DGRAM_QLEN,
            in_flight: BTreeMap::new(),
            departed: BTreeMap::new(),
            sockets_in_flight: 0,
        }
    }
}

/// What a closed socket's messages tell of it.
pub(super) struct Departed {
    pub(super) name: Arc<[u8]>,
    /// The memory of its messages: forgotten when that is zero.
    pub(super) charged: u32,
}

/// A socket's entry in the namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bound {
    No,
    Abstract,
    File(Inode),
    /// An accepted connection, whose listener's file it is: the name finds the listener.
    Shared(Inode),
}

/// An address that names something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Address<'a> {
    /// Without its NUL.
    Path(&'a [u8]),
    /// With the leading NUL; every byte counts.
    Abstract(&'a [u8]),
}

/// unix_validate_addr() and unix_mkname_bsd().
pub(super) fn parse(raw: &[u8]) -> Result<Address<'_>, Errno> {
    if raw.len() <= PATH_OFFSET || raw.len() > SOCKADDR_UN_SIZE || family(raw) != Some(AF_UNIX) {
        return Err(Errno::EINVAL);
    }
    let path = &raw[PATH_OFFSET..];
    if path[0] == 0 {
        return Ok(Address::Abstract(path));
    }
    // A path ends at its NUL or where the address ends, whatever comes first.
    let end = path.iter().position(|&b| b == 0).unwrap_or(path.len());
    Ok(Address::Path(&path[..end]))
}

impl Namespace {
    /// The abstract name's owner.
    fn abstract_owner(&self, ty: UnixType, name: &[u8]) -> Option<SocketId> {
        self.by_name[ty as usize].get(name).copied()
    }

    /// A free name for autobind: five hexadecimal digits in the abstract namespace.
    fn auto_name(&mut self, ty: UnixType) -> Result<Arc<[u8]>, Errno> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for _ in 0..AUTOBIND_NAMES {
            self.next_auto = (self.next_auto + 1) % AUTOBIND_NAMES;
            let mut name = [0; 6];
            for (i, digit) in name[1..].iter_mut().enumerate() {
                *digit = DIGITS[(self.next_auto >> (4 * (4 - i)) & 0xf) as usize];
            }
            if self.abstract_owner(ty, &name).is_none() {
                return Ok(Arc::from(name));
            }
        }
        Err(Errno::ENOSPC)
    }
}

impl Host {
    /// unix_bind().
    pub(crate) fn unix_bind(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        raw: &[u8],
    ) -> Result<(), Errno> {
        if raw.len() == PATH_OFFSET && family(raw) == Some(AF_UNIX) {
            return self.unix_autobind(id);
        }
        let address = parse(raw)?;
        let unix = self.unix(id).ok_or(Errno::EBADF)?;
        let (ty, named) = (unix.ty, unix.name.is_some());
        let in_use = |errno| {
            if errno == Errno::EEXIST {
                Errno::EADDRINUSE
            } else {
                errno
            }
        };
        match address {
            Address::Path(path) => {
                if named {
                    // Linux makes the file first, and only then finds the socket bound.
                    cx.paths.check_create(path).map_err(in_use)?;
                    return Err(Errno::EINVAL);
                }
                let inode = cx.paths.create(path).map_err(in_use)?;
                let mut name = Vec::with_capacity(path.len() + 1);
                name.extend_from_slice(path);
                name.push(0);
                // An inode number of an unlinked file may come again while its socket lives: the
                // newer file is the one that can be found.
                self.unix.by_inode.insert(inode, id);
                self.set_name(id, name.into(), Bound::File(inode));
            }
            Address::Abstract(name) => {
                if named {
                    return Err(Errno::EINVAL);
                }
                if self.unix.abstract_owner(ty, name).is_some() {
                    return Err(Errno::EADDRINUSE);
                }
                self.bind_abstract(id, ty, name.into());
            }
        }
        Ok(())
    }

    /// unix_autobind(): nothing to do for a socket that has a name.
    pub(super) fn unix_autobind(&mut self, id: SocketId) -> Result<(), Errno> {
        let unix = self.unix(id).ok_or(Errno::EBADF)?;
        if unix.name.is_some() {
            return Ok(());
        }
        let ty = unix.ty;
        let name = self.unix.auto_name(ty)?;
        self.bind_abstract(id, ty, name);
        Ok(())
    }

    fn bind_abstract(&mut self, id: SocketId, ty: UnixType, name: Arc<[u8]>) {
        self.unix.by_name[ty as usize].insert(name.clone(), id);
        self.set_name(id, name, Bound::Abstract);
    }

    fn set_name(&mut self, id: SocketId, name: Arc<[u8]>, bound: Bound) {
        if let Some(unix) = self.unix_mut(id) {
            unix.name = Some(name);
            unix.bound = bound;
        }
    }

    /// Takes a closing socket's entry out.
    pub(super) fn unbind(&mut self, id: SocketId) {
        let Some(unix) = self.unix(id) else { return };
        match (unix.bound, unix.name.clone()) {
            (Bound::Abstract, Some(name)) => {
                let ty = unix.ty;
                self.unix.by_name[ty as usize].remove(&name);
            }
            (Bound::File(inode), _) => {
                if self.unix.by_inode.get(&inode) == Some(&id) {
                    self.unix.by_inode.remove(&inode);
                }
            }
            (Bound::Shared(_) | Bound::Abstract | Bound::No, _) => {}
        }
    }

    /// unix_find_other(): the socket of type `ty` that an address names.
    pub(super) fn find_other(
        &self,
        cx: &mut Cx<'_>,
        address: Address<'_>,
        ty: UnixType,
    ) -> Result<SocketId, Errno> {
        match address {
            Address::Path(path) => {
                let inode = cx.paths.resolve(path)?;
                let id = *self.unix.by_inode.get(&inode).ok_or(Errno::ECONNREFUSED)?;
                let other = self.unix(id).ok_or(Errno::ECONNREFUSED)?;
                if other.ty == ty {
                    Ok(id)
                } else {
                    Err(Errno::EPROTOTYPE)
                }
            }
            Address::Abstract(name) => self
                .unix
                .abstract_owner(ty, name)
                .ok_or(Errno::ECONNREFUSED),
        }
    }

    /// getsockname(2).
    pub(crate) fn unix_getsockname(&self, id: SocketId) -> Result<SockAddr, Errno> {
        let unix = self.unix(id).ok_or(Errno::EBADF)?;
        Ok(address_of(unix.name.clone()))
    }

    /// getpeername(2): works on after the peer has closed.
    pub(crate) fn unix_getpeername(&self, id: SocketId) -> Result<SockAddr, Errno> {
        let unix = self.unix(id).ok_or(Errno::EBADF)?;
        if unix.peer().is_none() {
            return Err(Errno::ENOTCONN);
        }
        Ok(address_of(self.peer_name(unix)))
    }

    /// The peer's name, also when it has closed.
    pub(super) fn peer_name(&self, unix: &super::UnixSocket) -> Option<Arc<[u8]>> {
        let peer = unix.peer()?;
        match self.unix(peer.id) {
            Some(other) => other.name.clone(),
            None => peer.last_name.clone(),
        }
    }

    /// ioctl(2) `SIOCUNIXFILE`: the file a pathname socket is bound to. `ENOENT` for one without, `ENOTTY` for what is no
    /// AF_UNIX socket.
    pub fn unix_file(&self, cx: &Cx<'_>, id: SocketId) -> Result<Inode, Errno> {
        let unix = self.unix(id).ok_or(Errno::ENOTTY)?;
        // unix_open_file(): who may comes first.
        if !cx.cred.caps.contains(Caps::NET_ADMIN) {
            return Err(Errno::EPERM);
        }
        unix.file().ok_or(Errno::ENOENT)
    }

    /// net.unix.max_dgram_qlen, for sockets made from now on.
    pub fn set_unix_max_dgram_qlen(&mut self, limit: u32) {
        self.unix.max_dgram_qlen = limit;
    }

    /// net.unix.max_dgram_qlen.
    pub fn unix_max_dgram_qlen(&self) -> u32 {
        self.unix.max_dgram_qlen
    }

    /// Whether the socket is in a listener's queue still, where no descriptor can name it.
    pub(super) fn is_embryo(&self, id: SocketId) -> bool {
        match self.unix(id).map(|unix| &unix.state) {
            Some(State::Connected(c)) => c.embryo,
            _ => false,
        }
    }
}

/// A name as a call returns it; unnamed is an empty `sun_path`.
pub(super) fn address_of(name: Option<Arc<[u8]>>) -> SockAddr {
    SockAddr::Unix(name.unwrap_or_else(|| Arc::from([])))
}
