//! One virtual host's network stack, without I/O.
//!
//! A [`Stack`] is a plain value with one owner. Packets of its interfaces go in with [`Stack::deliver`] and come out of
//! [`Stack::poll_transmit`]; time is an argument; what happened to sockets comes out of [`Stack::poll_event`]. The
//! loopback interface is served inside: what a call sends to 127.0.0.1 has arrived when the call returns. The engine
//! knows no errno, no descriptor and no process.
//!
//! The same seed and the same calls give the same packets.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod conf;
mod config;
mod counters;
mod divert;
mod event;
mod extended;
mod filter;
mod forward;
mod fragments;
mod hash;
mod icmp;
mod iface;
mod ip_options;
mod link;
mod multicast;
mod nat;
mod neigh;
mod pmtu;
mod policy;
mod ports;
mod report;
mod reports;
mod route;
mod stack;
mod tag;
mod taps;
mod tcp;
mod time;
mod timer;
mod udp;

pub use conf::{Conf, Tunable4};
pub use config::{Config, Sysctl};
pub use counters::{Counters, IcmpCounters, LiteCounters, V6Counters};
pub use divert::Diverted;
pub use event::{Event, EventKind, SocketHandle, TcpId, UdpId};
pub use extended::{Arrived, SendExtra, SendHeaders};
pub use filter::{
    Ask, Choice, Described, GroupError, GroupFilter, Inspected, PacketType, SocketFilter, Transport,
};
pub use iface::{
    AddressTraits, IfIndex, Interface, InterfaceAddress, InterfaceConfig, Lifetime, Traffic,
};
pub use ip_options::{BadOption, IpOptions, MAX_OPTIONS};
pub use link::Departure;
pub use multicast::{FilterMode, Membership};
pub use nat::{NatConfig, NatCounters, NatKind, NatTimeouts};
pub use neigh::{
    DadParams, NeighLimits, NeighParams, NeighState, Neighbour, RaParams, RouterNews,
    solicited_node,
};
pub use policy::{Flow, Ports, Rule, RuleAction, Service, TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN};
pub use ports::{BindError, BindRequest, Family};
pub use report::IcmpReport;
pub use route::{Leads, RouteConfig, RouteError, RouteInfo, RouteKind, Share};
pub use stack::{InterfaceChange, Outgoing, Stack};
pub use tag::Tag;
pub use taps::{Shown, Tapped};
pub use tcp::{
    Algorithm, Arrival, ConnectError, FastOpenKeys, ListenError, Md5Error, Moments, NotConnected,
    RepairOption, RepairQueue, RepairWindow, SendFlags, Shutdown, State, Status, StreamQueue,
    TcpEntry, TcpError, TcpFlow, TcpInfo, TcpOptions, TcpSet, TcpStamp, TcpTimer, TcpView,
    UrgentView,
};
pub use time::Instant;
pub use udp::{
    RawSettings, UdpError, UdpReceived, UdpSend, UdpSendError, UdpSet, Way, datagram_memory,
};
