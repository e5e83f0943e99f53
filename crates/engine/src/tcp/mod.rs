//! TCP: RFC 9293 as Linux does it.
//!
//! # Theory of operation
//! [`connection::Connection`] is the machine of one connection, sans-IO. [`table::TcpTable`] holds all of them, with
//! half-open ones ([`listen::Request`]) and those in TIME_WAIT ([`time_wait::TimeWait`]) as small entries of their own.
//! `api` is what the socket layer calls; `stack` (and for passive
//! opens `passive`) brings segments and timers to their connection, and carries out what
//! follows: segments to IP, events to the layer above, state changes to the tables.

mod ack;
mod admit;
mod answer;
mod api;
mod bbr;
mod challenge;
mod chunks;
mod congestion;
mod connection;
mod cubic;
mod ecn;
mod fastopen;
mod filter;
mod hystart;
mod info;
mod input;
mod listen;
mod listing;
mod loss;
mod md5;
mod migrate;
mod mtu;
mod options;
mod output;
mod pace;
mod passive;
mod rate;
mod reassembly;
mod receive;
mod recovery;
mod repair;
mod resend;
mod retire;
mod rtt;
mod send_queue;
mod sent;
mod stack;
mod stamps;
mod state;
mod stream_queue;
mod syncookies;
mod table;
mod tally;
mod time_wait;
mod timers;
mod timing;
mod tune;
mod urgent;
mod user;
mod view;

pub use api::{ConnectError, ListenError, NotConnected, Status};
pub use congestion::Algorithm;
pub(crate) use connection::FourTuple;
pub use fastopen::FastOpenKeys;
pub use info::TcpInfo;
pub use listing::{TcpEntry, TcpFlow, TcpTimer};
pub use md5::Md5Error;
pub use options::{TcpOptions, TcpSet};
pub use repair::{RepairOption, RepairQueue, RepairWindow};
pub(crate) use stamps::Reports as StampReports;
pub use stamps::{Moments, TcpStamp};
pub use state::{Shutdown, State, TcpError};
pub use stream_queue::StreamQueue;
pub use table::Arrival;
pub(crate) use table::TcpTable;
pub use urgent::UrgentView;
pub use user::SendFlags;
pub use view::TcpView;
