//! setsockopt(2) and getsockopt(2): every option is a row of a table.
//!
//! A row names an option, says where it applies and whether it is done, stored or refused, and
//! holds the functions that read and write it. What has no function is refused as Linux refuses
//! what it does not know: nothing is accepted without effect, but for what is *stored*, where on a
//! virtual host there is nothing for it to change. `switchboard support` prints the rows.
//!
//! See [getsockopt(2)] and [socket(7)].
//!
//! [getsockopt(2)]: https://man7.org/linux/man-pages/man2/getsockopt.2.html
//! [socket(7)]: https://man7.org/linux/man-pages/man7/socket.7.html

mod buffers;
pub(crate) mod control;
mod device;
mod filter;
mod flow_label;
mod ip;
mod ip_options;
mod ipv4;
mod ipv6;
pub(crate) mod ipv6_headers;
mod multicast;
mod netlink;
mod pace;
mod packet;
pub(crate) mod peek;
pub(crate) mod rare;
mod raw;
mod rows;
mod socket;
mod source;
mod tcp;
mod tcp_md5;
mod tcp_repair;
mod tcp_syn;
pub(crate) mod timestamping;
mod udp;
mod unix;

use crate::call::Cx;
use crate::host::Host;
use crate::inet::raw::Datagram;
use crate::packet::Stats;
use crate::socket::Kind;
use crate::table::SocketId;
use alloc::vec::Vec;
use switchboard_abi::number::*;
use switchboard_abi::{Errno, Word};

/// How far an option is implemented.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Status {
    /// It has its effect.
    Done,
    /// It is kept and given back; on a virtual host there is nothing for it to change.
    Stored,
    /// It is refused with the errno Linux uses for an option it does not have.
    Refused,
}

/// One option, as the support table shows it.
#[derive(Clone, Copy)]
pub struct OptionRow {
    /// `SOL_SOCKET` and kin.
    pub level: i32,
    /// The option's number.
    pub number: i32,
    /// Its name in the man pages, `SO_TYPE` and kin.
    pub name: &'static str,
    /// How far it is implemented.
    pub status: Status,
    /// What is missing of it, if anything.
    pub note: &'static str,
    pub(crate) on: On,
    pub(crate) get: Option<Get>,
    pub(crate) set: Option<Set>,
}

impl core::fmt::Debug for OptionRow {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} {:?}", self.name, self.status)
    }
}

impl OptionRow {
    /// Its level's name in the man pages.
    pub fn level_name(&self) -> &'static str {
        match self.level {
            SOL_SOCKET => "SOL_SOCKET",
            SOL_TCP => "IPPROTO_TCP",
            SOL_UDP => "IPPROTO_UDP",
            SOL_UDPLITE => "IPPROTO_UDPLITE",
            SOL_IP => "IPPROTO_IP",
            SOL_IPV6 => "IPPROTO_IPV6",
            SOL_RAW => "IPPROTO_RAW",
            SOL_ICMPV6 => "IPPROTO_ICMPV6",
            SOL_NETLINK => "SOL_NETLINK",
            SOL_PACKET => "SOL_PACKET",
            _ => "another level",
        }
    }

    /// Whether getsockopt(2) and setsockopt(2) take it.
    pub fn access(&self) -> (bool, bool) {
        (self.get.is_some(), self.set.is_some())
    }
}

/// Which sockets an option exists on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum On {
    All,
    Tcp,
    Udp,
    Inet,
    Inet6,
    /// SOCK_RAW of either family.
    Raw,
    Netlink,
    Packet,
}

pub(crate) type Get = fn(&Host, &Cx<'_>, SocketId, &GetArg) -> Result<OptValue, Errno>;
pub(crate) type Set = fn(&mut Host, &mut Cx<'_>, SocketId, &SetArg<'_>) -> Result<(), Errno>;

/// What getsockopt(2)'s caller offers.
pub(crate) struct GetArg {
    /// `*optlen`
    pub(crate) len: usize,
    pub(crate) word: Word,
    /// What stands at `optval` already, as far as it can be read: a few options look at it.
    pub(crate) given: Vec<u8>,
}

impl GetArg {
    /// The first `n` bytes at `optval`: EINVAL when fewer are offered, EFAULT when they cannot be read.
    pub(crate) fn given(&self, n: usize) -> Result<&[u8], Errno> {
        if self.len < n {
            return Err(Errno::EINVAL);
        }
        self.given.get(..n).ok_or(Errno::EFAULT)
    }
}

/// What setsockopt(2)'s caller gives.
pub(crate) struct SetArg<'a> {
    /// The bytes at `optval` as far as they can be read.
    pub(crate) raw: &'a [u8],
    /// `optlen`, which may be more.
    pub(crate) len: usize,
    pub(crate) word: Word,
    /// `optval` is null, which do_ipv6_setsockopt() takes for an `int` of 0 and xfrm_user_policy() for no policy.
    pub(crate) null: bool,
}

impl SetArg<'_> {
    /// The first `n` bytes: EINVAL when fewer are offered, EFAULT when they cannot be read.
    pub(crate) fn bytes(&self, n: usize) -> Result<&[u8], Errno> {
        if self.len < n {
            return Err(Errno::EINVAL);
        }
        self.raw.get(..n).ok_or(Errno::EFAULT)
    }

    /// The value as an `int`.
    pub(crate) fn int(&self) -> Result<i32, Errno> {
        if self.null && self.len >= 4 {
            return Ok(0);
        }
        let b = self.bytes(4)?;
        Ok(i32::from_ne_bytes([b[0], b[1], b[2], b[3]]))
    }

    pub(crate) fn bool(&self) -> Result<bool, Errno> {
        Ok(self.int()? != 0)
    }
}

/// The value of an option, cut to what the caller has room for, as Linux cuts it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OptValue {
    /// The bytes to write; their number is the new `*optlen`.
    pub bytes: Vec<u8>,
    /// Delivering the value clears the pending error (`SO_ERROR`): then call
    /// [`Host::commit_getsockopt`].
    pub clears_error: bool,
    /// Delivering the value takes it away (`TCP_SAVED_SYN`, `PACKET_STATISTICS`); as above.
    pub(crate) takes: bool,
    /// There is no room for the value: `EINVAL`, with this many bytes as the new `*optlen`.
    pub wanted: Option<usize>,
    /// What is said instead of `EINVAL` then.
    pub wanted_errno: Errno,
    /// The value is a descriptor of this process, which the embedder makes (`SO_PEERPIDFD`).
    pub pidfd: Option<u32>,
    /// What `*optlen` becomes, where that is not the number of bytes.
    pub count: Option<u32>,
}

impl OptValue {
    /// An `int`, cut to the room there is.
    pub(crate) fn int(value: i32, arg: &GetArg) -> OptValue {
        OptValue::bytes(&value.to_ne_bytes(), arg)
    }

    pub(crate) fn bool(value: bool, arg: &GetArg) -> OptValue {
        OptValue::int(i32::from(value), arg)
    }

    /// A structure whose maker has looked at the room there is.
    pub(crate) fn whole(bytes: Vec<u8>) -> OptValue {
        OptValue {
            bytes,
            clears_error: false,
            takes: false,
            wanted: None,
            wanted_errno: Errno::EINVAL,
            pidfd: None,
            count: None,
        }
    }

    /// A structure, cut to the room there is.
    pub(crate) fn bytes(value: &[u8], arg: &GetArg) -> OptValue {
        OptValue {
            bytes: value[..value.len().min(arg.len)].to_vec(),
            clears_error: false,
            takes: false,
            wanted: None,
            wanted_errno: Errno::EINVAL,
            pidfd: None,
            count: None,
        }
    }
}

/// put_cmsg() into the value of an option: what does not fit is cut.
fn put_control(out: &mut Vec<u8>, a: &GetArg, level: i32, kind: i32, data: &[u8]) {
    let header = a.word.cmsghdr_size();
    let left = a.len - out.len();
    if left < header {
        return;
    }
    let (at, len) = (out.len(), left.min(header + data.len()));
    out.extend_from_slice(&(len as u64).to_ne_bytes()[..a.word.size()]);
    out.extend_from_slice(&level.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&data[..len - header]);
    out.resize(at + left.min(a.word.cmsg_space(data.len())), 0);
}

/// Every option the layer knows by name, whether it has it or refuses it.
pub fn support_table() -> &'static [OptionRow] {
    rows::ROWS
}

fn find(level: i32, number: i32) -> Option<&'static OptionRow> {
    // udp_lib_setsockopt() is for both levels, and knows all options of both.
    let also = match level {
        SOL_UDP => SOL_UDPLITE,
        SOL_UDPLITE => SOL_UDP,
        _ => level,
    };
    rows::ROWS
        .iter()
        .find(|row| (row.level == level || row.level == also) && row.number == number)
}

impl Host {
    /// setsockopt(2). `value` holds the `optlen` bytes at `optval`; the caller has refused a
    /// negative length with `EINVAL`.
    pub fn setsockopt(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        level: i32,
        name: i32,
        value: &[u8],
        word: Word,
    ) -> Result<(), Errno> {
        self.setsockopt_partial(cx, id, level, name, Some(value), value.len(), word)
    }

    /// setsockopt(2) of `len` bytes of which only those of `value` can be read: an option that
    /// needs more of them is `EFAULT`, at the point where Linux would read them. `None` is a null pointer.
    #[allow(clippy::too_many_arguments)] // They are the system call's.
    pub fn setsockopt_partial(
        &mut self,
        cx: &mut Cx<'_>,
        id: SocketId,
        level: i32,
        name: i32,
        value: Option<&[u8]>,
        len: usize,
        word: Word,
    ) -> Result<(), Errno> {
        self.check_option_level(id, level, true)?;
        // rawv6_setsockopt() answers for these two before, and reads.
        let raw6 = matches!(name, IPV6_CHECKSUM | IPV6_HDRINCL)
            && i32::from(self.get(id)?.common.ty) == SOCK_RAW;
        let arg = SetArg {
            raw: value.unwrap_or_default(),
            len,
            word,
            null: value.is_none()
                && match level {
                    SOL_IPV6 => !raw6,
                    SOL_IP => matches!(name, IP_IPSEC_POLICY | IP_XFRM_POLICY),
                    _ => false,
                },
        };
        match level {
            // sk_setsockopt(), do_tcp_setsockopt() and udp_lib_setsockopt() read an int before they
            // look at the name, but for what is a string.
            SOL_SOCKET if name == SO_BINDTODEVICE => {}
            // unix_setsockopt(), which streams alone have, looks at the length before.
            SOL_SOCKET
                if name == SO_INQ
                    && len != 4
                    && i32::from(self.get(id)?.common.ty) == SOCK_STREAM
                    && matches!(self.kind(id)?, Kind::Unix(_)) =>
            {
                return Err(Errno::EINVAL);
            }
            SOL_TCP if matches!(name, TCP_CONGESTION | TCP_ULP | TCP_FASTOPEN_KEY) => {}
            SOL_SOCKET | SOL_TCP | SOL_UDP | SOL_UDPLITE => drop(arg.int()?),
            // do_rawv6_setsockopt()
            SOL_RAW if i32::from(self.get(id)?.common.domain) == AF_INET6 => drop(arg.int()?),
            // netlink_setsockopt(): of an int that is offered, whatever the option.
            SOL_NETLINK if len >= 4 => drop(arg.int()?),
            // do_ipv6_setsockopt() reads one too, but leaves it to the option to want it.
            SOL_IPV6 if len >= 4 => drop(arg.int()?),
            _ => {}
        }
        let row = self.row(id, level, name)?;
        let Some(set) = row.set else {
            self.count_refused(row);
            return Err(Errno::ENOPROTOOPT);
        };
        self.tcp_option_changes(id);
        set(self, cx, id, &arg)
    }

    /// What getsockopt(2) takes `*optlen` for: nearly everyone refuses what is below 0, but do_ipv6_getsockopt() and
    /// do_rawv6_getsockopt() compare it as an unsigned number.
    pub fn getsockopt_room(
        &self,
        id: SocketId,
        level: i32,
        name: i32,
        len: i32,
    ) -> Result<usize, Errno> {
        let unsigned = match level {
            SOL_IPV6 => name != MCAST_MSFILTER,
            SOL_RAW => i32::from(self.get(id)?.common.domain) == AF_INET6,
            _ => false,
        };
        if len < 0 && !unsigned {
            return Err(Errno::EINVAL);
        }
        Ok(len as u32 as usize)
    }

    /// getsockopt(2). `len` is `*optlen`, as [`Host::getsockopt_room`] has it.
    pub fn getsockopt(
        &self,
        cx: &Cx<'_>,
        id: SocketId,
        level: i32,
        name: i32,
        len: usize,
        word: Word,
    ) -> Result<OptValue, Errno> {
        self.getsockopt_given(cx, id, level, name, len, word, Vec::new())
    }

    /// getsockopt(2) of an option that [reads what it is given](Self::getsockopt_reads): `given` are the bytes at
    /// `optval`, as far as they can be read.
    #[allow(clippy::too_many_arguments)] // They are the system call's.
    pub fn getsockopt_given(
        &self,
        cx: &Cx<'_>,
        id: SocketId,
        level: i32,
        name: i32,
        len: usize,
        word: Word,
        given: Vec<u8>,
    ) -> Result<OptValue, Errno> {
        self.check_option_level(id, level, false)?;
        let row = self.row(id, level, name)?;
        let get = row.get.ok_or(Errno::ENOPROTOOPT)?;
        get(self, cx, id, &GetArg { len, word, given })
    }

    /// Whether getsockopt(2) looks at what stands at `optval`: which group's filter is asked for.
    pub fn getsockopt_reads(level: i32, name: i32) -> bool {
        matches!(
            (level, name),
            (SOL_IP, IP_MSFILTER)
                | (SOL_IPV6, IPV6_FLOWLABEL_MGR)
                | (SOL_IP | SOL_IPV6, MCAST_MSFILTER)
                | (SOL_PACKET, PACKET_HDRLEN)
        )
    }

    /// Delivers what a value said it does when it is delivered.
    pub fn commit_getsockopt(&mut self, id: SocketId, value: &OptValue) {
        if value.clears_error && self.take_pending_error(id).is_none() {
            self.clear_soft_error(id);
        }
        if value.takes
            && let Ok(s) = self.packet_mut(id)
        {
            s.stats = Stats::default();
            if let Some(ring) = &mut s.ring {
                ring.forget_freezes();
            }
        }
        if value.takes
            && let Ok(s) = self.tcp(id)
        {
            let handle = s.handle;
            self.stack.tcp_forget_syn(handle);
        }
    }

    /// How often setsockopt(2) was refused for an option that Linux has and this layer has not.
    pub fn refused_options(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.refused.iter().map(|(name, count)| (*name, *count))
    }

    fn count_refused(&mut self, row: &OptionRow) {
        *self.refused.entry(row.name).or_insert(0) += 1;
    }

    /// Levels a socket's protocol does not have, which Linux refuses before it reads a length:
    /// ENOPROTOOPT, but EOPNOTSUPP for reading from an AF_INET socket, and both ways for AF_UNIX.
    pub fn check_option_level(&self, id: SocketId, level: i32, set: bool) -> Result<(), Errno> {
        let socket = self.get(id)?;
        let v6 = i32::from(socket.common.domain) == AF_INET6;
        let has = match (level, &socket.kind) {
            (SOL_SOCKET, _) => true,
            (_, Kind::Unix(_)) => return Err(Errno::EOPNOTSUPP),
            (SOL_NETLINK, Kind::Netlink(_)) => true,
            // packet_ops_spkt has neither of the calls.
            (_, Kind::Packet(_)) if i32::from(socket.common.ty) == SOCK_PACKET => {
                return Err(Errno::EOPNOTSUPP);
            }
            (SOL_PACKET, Kind::Packet(_)) => true,
            (_, Kind::Netlink(_) | Kind::Packet(_)) => return Err(Errno::ENOPROTOOPT),
            (SOL_TCP, Kind::Tcp(_)) => true,
            (SOL_UDP | SOL_UDPLITE, Kind::Udp(_)) => socket.datagram() == Datagram::Udp,
            // An AF_INET6 socket has the IPv4 options too, but for a raw one.
            (SOL_IP, _) => i32::from(socket.common.ty) != SOCK_RAW || !v6,
            (SOL_IPV6, _) => v6,
            (SOL_RAW, Kind::Udp(_)) => socket.datagram() == Datagram::Raw,
            (SOL_ICMPV6, Kind::Udp(_)) => v6 && socket.datagram() == Datagram::Raw,
            _ => false,
        };
        if has {
            Ok(())
        } else if set || v6 {
            Err(Errno::ENOPROTOOPT)
        } else {
            Err(Errno::EOPNOTSUPP)
        }
    }

    /// rawv6_setsockopt() and rawv6_getsockopt() ask for the protocol first, and then for the name; both before a length.
    /// do_raw_getsockopt() does it the other way round.
    pub fn check_icmpv6_option(&self, id: SocketId, level: i32, name: i32) -> Result<(), Errno> {
        let v4 = i32::from(self.get(id)?.common.domain) == AF_INET;
        if level == SOL_RAW && v4 {
            return match name {
                ICMP_FILTER => raw::only_protocol(self, id, IPPROTO_ICMP),
                _ => Err(Errno::ENOPROTOOPT),
            };
        }
        if level != SOL_ICMPV6 || name == ICMPV6_FILTER {
            return Ok(());
        }
        raw::only_protocol(self, id, IPPROTO_ICMPV6)?;
        Err(Errno::ENOPROTOOPT)
    }

    fn row(&self, id: SocketId, level: i32, name: i32) -> Result<&'static OptionRow, Errno> {
        let Some(row) = find(level, name) else {
            self.check_icmpv6_option(id, level, name)?;
            return Err(Errno::ENOPROTOOPT);
        };
        let socket = self.get(id)?;
        let applies = match row.on {
            On::All => true,
            On::Tcp => matches!(socket.kind, Kind::Tcp(_)),
            On::Udp => matches!(socket.kind, Kind::Udp(_)) && socket.datagram() == Datagram::Udp,
            On::Inet => matches!(socket.kind, Kind::Tcp(_) | Kind::Udp(_)),
            On::Netlink => matches!(socket.kind, Kind::Netlink(_)),
            On::Packet => matches!(socket.kind, Kind::Packet(_)),
            On::Inet6 => i32::from(socket.common.domain) == AF_INET6,
            On::Raw => matches!(socket.kind, Kind::Udp(_)) && socket.datagram() == Datagram::Raw,
        };
        if applies {
            Ok(row)
        } else {
            Err(Errno::ENOPROTOOPT)
        }
    }
}
