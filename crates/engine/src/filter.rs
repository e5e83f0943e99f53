//! Programs that decide over packets: what the stack asks of them.
//!
//! The stack knows no program; the layer above gives it values that answer. A socket's filter says how
//! much of a packet the socket gets (SO_ATTACH_FILTER), a group's filter which member of a SO_REUSEPORT
//! group gets it (SO_ATTACH_REUSEPORT_CBPF).

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt::Debug;
use core::net::SocketAddr;

use bytes::Bytes;
use switchboard_wire::{IpHeader, TcpSegment, UdpDatagram};

use crate::event::SocketHandle;
use crate::hash::Random;
use crate::iface::IfIndex;
use crate::tag::Tag;
use crate::time::Instant;

/// How a packet was addressed, with the numbers of packet(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketType {
    /// PACKET_HOST: to this host.
    Host = 0,
    /// PACKET_BROADCAST: to all on the link.
    Broadcast = 1,
    /// PACKET_MULTICAST: to a group.
    Multicast = 2,
    /// PACKET_LOOPBACK: to many, by this host.
    Loopback = 5,
}

/// A packet that came in, for a program to look at.
#[derive(Clone, Copy, Debug)]
pub struct Inspected<'a> {
    /// The time.
    pub now: Instant,
    /// What the run's random numbers are made of.
    pub seed: u64,
    /// The interface it came in by.
    pub interface: IfIndex,
    /// How it was addressed.
    pub packet_type: PacketType,
    /// The hash of its flow, as far as the sender had one; else 0.
    pub hash: u32,
    /// What its sender marked it with, if that is a socket of this host.
    pub tag: Tag,
    /// The socket sees it from its IP header on, not from the transport's: a raw IPv4 socket.
    pub from_network: bool,
    /// Its IP header.
    pub ip: &'a IpHeader,
    /// What it carries.
    pub transport: Transport<'a>,
}

/// What an [`Inspected`] packet carries.
#[derive(Clone, Copy, Debug)]
pub enum Transport<'a> {
    /// TCP.
    Tcp(&'a TcpSegment),
    /// UDP.
    Udp(&'a UdpDatagram),
    /// Another protocol, by its bytes.
    Other {
        /// The IP protocol number.
        protocol: u8,
        /// The bytes after the IP header.
        payload: &'a Bytes,
    },
}

/// A socket's filter.
pub trait SocketFilter: Debug + Send + Sync {
    /// sk_filter(): how many bytes of the packet the socket gets, counted from where it sees it; 0: it gets nothing.
    fn verdict(&self, packet: &Inspected<'_>) -> u32;
}

/// The filter of a SO_REUSEPORT group.
pub trait GroupFilter: Debug + Send + Sync {
    /// reuseport_select_sock(), reuseport_migrate_sock(): which member gets it.
    fn choose(&self, ask: &Ask<'_>) -> Choice;

    /// Whether it is asked for what a listener leaves behind too (BPF_SK_REUSEPORT_SELECT_OR_MIGRATE).
    fn migrates(&self) -> bool {
        false
    }
}

/// What a [`GroupFilter`] is asked.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The time.
    pub now: Instant,
    /// What the run's random numbers are made of.
    pub seed: u64,
    /// What came in; nothing did when a connection moves because its listener ends, or a timer runs.
    pub packet: Option<&'a Inspected<'a>>,
    /// They stand in the order in which they came, the last one in the place of one that has left.
    pub members: &'a [SocketHandle],
    /// What would choose otherwise.
    pub hash: u32,
    /// The member that was found, or the listener that ended.
    pub socket: Described,
    /// The connection, or half-open one, that moves to another listener.
    pub migrating: Option<Described>,
}

impl<'a> Ask<'a> {
    /// Who gets a packet that came in.
    pub(crate) fn about(
        packet: &'a Inspected<'a>,
        members: &'a [SocketHandle],
        hash: u32,
        socket: Described,
    ) -> Ask<'a> {
        Ask {
            now: packet.now,
            seed: packet.seed,
            packet: Some(packet),
            members,
            hash,
            socket,
            migrating: None,
        }
    }
}

/// A socket as a program sees it (`struct bpf_sock`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Described {
    /// What the layer above calls it.
    pub name: Option<u64>,
    /// SO_BINDTODEVICE.
    pub device: Option<IfIndex>,
    /// Of IPv6, whatever its addresses are.
    pub v6: bool,
    /// SO_MARK.
    pub mark: u32,
    /// Its own address, and that of its peer.
    pub local: SocketAddr,
    /// Of nobody when it has none.
    pub remote: SocketAddr,
    /// The number of its state, a TCP_* of linux/tcp.h.
    pub state: u8,
}

/// What a [`GroupFilter`] chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Nothing: the hash decides.
    Hash,
    /// The member of this number.
    Member(usize),
    /// Nobody gets it, as if there were no such socket.
    Nobody,
}

/// A call that changes a group's filter found none that it could change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The socket is in no SO_REUSEPORT group, nor will it be.
    #[error("not in a group")]
    NoGroup,
    /// The group has no filter.
    #[error("no filter")]
    NoFilter,
}

/// The filters of one socket: rare, so they stand apart from it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filters {
    pub(crate) socket: Option<Arc<dyn SocketFilter>>,
    /// Every member of a group has the same.
    pub(crate) group: Option<Arc<dyn GroupFilter>>,
}

impl Filters {
    /// Changes one of a socket's filters; without any it keeps no memory.
    pub(crate) fn change(place: &mut Option<Box<Filters>>, change: impl FnOnce(&mut Filters)) {
        let mut filters = place.take().unwrap_or_default();
        change(&mut filters);
        if filters.socket.is_some() || filters.group.is_some() {
            *place = Some(filters);
        }
    }

    pub(crate) fn group_of(place: &Option<Box<Filters>>) -> Option<Arc<dyn GroupFilter>> {
        place.as_ref()?.group.clone()
    }

    pub(crate) fn socket_of(place: &Option<Box<Filters>>) -> Option<Arc<dyn SocketFilter>> {
        place.as_ref()?.socket.clone()
    }
}

/// The seed of one run.
pub(crate) fn seed(random: &mut Random) -> u64 {
    u64::from(random.u32()) << 32 | u64::from(random.u32())
}
