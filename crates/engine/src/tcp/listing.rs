//! Every TCP socket, request and TIME_WAIT entry of a host, as /proc/net/tcp shows them.

use core::net::SocketAddr;
use core::time::Duration;

use super::congestion::INFINITE_SSTHRESH;
use super::connection::Connection;
use super::state::State;
use super::table::{Entry, Kind};
use super::timers::Purpose;
use crate::event::TcpId;
use crate::ports::Family;
use crate::stack::Stack;
use crate::time::Instant;

/// Which timer of a connection runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpTimer {
    /// None.
    Off = 0,
    /// Retransmission.
    Retransmit = 1,
    /// Keepalive, or the SYN-ACK of a request.
    Keepalive = 2,
    /// TIME_WAIT.
    TimeWait = 3,
    /// Zero-window probes.
    Probe = 4,
}

/// One line of the listing.
#[derive(Clone, Copy, Debug)]
pub struct TcpEntry {
    /// Names it to [`Stack::tcp_destroy`].
    pub entry: TcpId,
    /// The socket, while the layer above has it: not for orphans, requests and TIME_WAIT.
    pub socket: Option<TcpId>,
    /// IPv4 or IPv6 socket.
    pub family: Family,
    /// The state.
    pub state: State,
    /// Local address and port.
    pub local: SocketAddr,
    /// The peer; unspecified without one.
    pub remote: SocketAddr,
    /// Bytes queued and not acknowledged.
    pub send_queue: u32,
    /// Bytes received and not read; of a listener, connections to accept.
    pub receive_queue: u32,
    /// The timer that runs, and when it will be due.
    pub timer: TcpTimer,
    /// Time until the timer fires.
    pub timer_in: Duration,
    /// Timeouts of the oldest segment.
    pub retransmits: u8,
    /// Probes without an answer.
    pub probes: u8,
    /// The owner's effective user.
    pub uid: u32,
    /// Retransmission timeout; `None` where there is no connection.
    pub flow: Option<TcpFlow>,
}

/// What only a socket has.
#[derive(Clone, Copy, Debug)]
pub struct TcpFlow {
    /// Retransmission timeout.
    pub rto: Duration,
    /// Delay of acknowledgments.
    pub ato: Duration,
    /// Segments still to be acknowledged at once, and whether the session is interactive.
    pub quick: (u8, bool),
    /// Congestion window in segments.
    pub window: u32,
    /// Slow start threshold in segments, if it is known.
    pub threshold: Option<u32>,
}

impl Stack {
    /// All of them; listeners first.
    pub fn tcp_entries(&self, now: Instant) -> impl Iterator<Item = TcpEntry> + '_ {
        let all = || self.tcp.entries.iter();
        let shown = move |(index, entry): (usize, &Entry)| {
            let id = TcpId {
                index: index as u32,
                generation: entry.generation,
            };
            self.tcp_entry(now, id, entry)
        };
        let is_listener = |entry: &TcpEntry| entry.state == State::Listen;
        let listeners = all().filter_map(shown).filter(is_listener);
        let others = all()
            .filter_map(shown)
            .filter(move |entry| !is_listener(entry));
        listeners.chain(others)
    }

    fn tcp_entry(&self, now: Instant, id: TcpId, entry: &Entry) -> Option<TcpEntry> {
        let of = |tuple: &super::connection::FourTuple| {
            let family = match tuple.local.is_ipv4() {
                true => Family::V4,
                false => Family::V6,
            };
            (family, tuple.local_addr(), tuple.remote_addr())
        };
        match &entry.kind {
            Kind::Socket(socket) => {
                let conn = &socket.conn;
                // A socket that is not hashed has no line.
                if conn.state == State::Close {
                    return None;
                }
                let (timer, timer_in) = running(conn, now);
                let (send_queue, receive_queue) = match &conn.listener {
                    Some(listener) => (0, listener.accept.len() as u32),
                    None => (
                        (conn.write_seq() - conn.snd_una).max(0) as u32,
                        (conn.rcv_nxt - conn.copied_seq()).max(0) as u32,
                    ),
                };
                Some(TcpEntry {
                    entry: id,
                    socket: Some(id).filter(|_| !conn.orphan),
                    family: conn.family,
                    state: conn.state,
                    local: conn.tuple.local_addr(),
                    remote: conn.tuple.remote_addr(),
                    send_queue,
                    receive_queue,
                    timer,
                    timer_in,
                    retransmits: conn.retransmits,
                    probes: conn.probes_out,
                    uid: socket.uid,
                    flow: Some(flow(conn)),
                })
            }
            Kind::Request(request) => {
                let (family, local, remote) = of(&request.tuple);
                let listener = self.tcp.get(request.listener);
                Some(TcpEntry {
                    entry: id,
                    socket: None,
                    family: listener.map_or(family, |socket| socket.conn.family),
                    state: State::SynRecv,
                    local,
                    remote,
                    send_queue: 0,
                    receive_queue: 0,
                    timer: TcpTimer::Retransmit,
                    timer_in: entry.armed.saturating_sub(now),
                    retransmits: request.timeouts,
                    probes: 0,
                    uid: listener.map_or(0, |socket| socket.uid),
                    flow: None,
                })
            }
            Kind::TimeWait(time_wait) => {
                let (family, local, remote) = of(&time_wait.tuple);
                Some(TcpEntry {
                    entry: id,
                    socket: None,
                    family,
                    state: if time_wait.fin_wait2 {
                        State::FinWait2
                    } else {
                        State::TimeWait
                    },
                    local,
                    remote,
                    send_queue: 0,
                    receive_queue: 0,
                    timer: TcpTimer::TimeWait,
                    timer_in: time_wait.deadline.saturating_sub(now),
                    retransmits: 0,
                    probes: 0,
                    uid: 0,
                    flow: None,
                })
            }
        }
    }

    /// Sockets that have no owner any more, and entries in TIME_WAIT.
    pub fn tcp_orphans(&self) -> (u32, u32) {
        (self.tcp.orphans, self.tcp.time_waits)
    }
}

/// get_tcp4_sock(): the retransmission timer goes before the keepalive timer.
fn running(conn: &Connection, now: Instant) -> (TcpTimer, Duration) {
    let deadlines = &conn.deadlines;
    let (timer, at) = if deadlines.retransmit != Instant::MAX {
        match deadlines.purpose {
            Purpose::Retransmit | Purpose::LossProbe | Purpose::Reorder => {
                (TcpTimer::Retransmit, deadlines.retransmit)
            }
            Purpose::Probe => (TcpTimer::Probe, deadlines.retransmit),
        }
    } else if deadlines.keep != Instant::MAX {
        (TcpTimer::Keepalive, deadlines.keep)
    } else {
        return (TcpTimer::Off, Duration::ZERO);
    };
    (timer, at.saturating_sub(now))
}

fn flow(conn: &Connection) -> TcpFlow {
    let threshold = conn.cc.ssthresh_segments(conn.mss);
    TcpFlow {
        rto: conn.rtt.rto(),
        ato: Duration::from_micros(conn.ack.ato_us.into()),
        quick: (conn.ack.quick, conn.ack.pingpong),
        window: conn.cc.cwnd_segments(conn.mss),
        threshold: Some(threshold).filter(|&t| t < INFINITE_SSTHRESH),
    }
}
