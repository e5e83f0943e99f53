//! TCP_REPAIR: a connection's numbers, queues and options read from one host and written to another.
//!
//! # Theory of operation
//! Under repair nothing that is done to a socket is told to the peer: connect(2) makes a connection of the numbers that
//! were set, a send fills a queue, close(2) is silent. What is put into the send queue counts as sent, and is sent again
//! when nobody acknowledges it.

use bytes::Bytes;
use switchboard_wire::{Payload, SeqNum};

use super::connection::{Connection, Cx, MSS_DEFAULT, Out};
use super::input::MAX_WINDOW_SCALE;
use super::state::State;
use crate::event::{EventKind, TcpId};
use crate::stack::Stack;
use crate::time::Instant;

/// Which queue TCP_QUEUE_SEQ, send(2) and recv(2) are about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum RepairQueue {
    /// TCP_NO_QUEUE.
    #[default]
    None,
    /// TCP_RECV_QUEUE.
    Receive,
    /// TCP_SEND_QUEUE.
    Send,
}

/// What of a socket's settings is repair's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Repair {
    pub(crate) on: bool,
    pub(crate) queue: RepairQueue,
}

/// One of TCP_REPAIR_OPTIONS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairOption {
    /// TCPOPT_MSS: the peer's.
    Mss(u16),
    /// TCPOPT_WINDOW: the peer's scale, and ours.
    Scale(u8, u8),
    /// TCPOPT_TIMESTAMP.
    Timestamps,
}

/// `struct tcp_repair_window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are Linux's")]
pub struct RepairWindow {
    pub snd_wl1: u32,
    pub snd_wnd: u32,
    pub max_window: u32,
    pub rcv_wnd: u32,
    pub rcv_wup: u32,
}

impl Connection {
    /// tcp_finish_connect of a socket under repair: established, of the numbers that were set.
    pub(crate) fn connect_repaired(&mut self, cx: Cx<'_>) {
        self.out = Out::empty();
        self.mss_clamp = MSS_DEFAULT as u16;
        self.rcv_wup = self.rcv_nxt;
        self.establish(cx, None);
        self.events |= EventKind::CONNECTED;
    }

    /// The connection ends without a word.
    pub(crate) fn forget(&mut self) {
        self.done();
        self.out = Out::empty();
    }
}

impl Stack {
    /// TCP_REPAIR.
    pub fn tcp_is_repaired(&self, id: TcpId) -> bool {
        self.tcp.open(id).conn.opts.repair().on
    }

    /// TCP_REPAIR_QUEUE.
    pub fn tcp_repair_queue(&self, id: TcpId) -> RepairQueue {
        self.tcp.open(id).conn.opts.repair().queue
    }

    /// TCP_REPAIR; `probe`: when it ends, the peer is asked for its window.
    pub fn tcp_set_repair(&mut self, now: Instant, id: TcpId, on: bool, probe: bool) {
        let conn = &mut self.tcp.open_mut(id).conn;
        let mut repair = conn.opts.repair();
        repair.on = on;
        if on {
            repair.queue = RepairQueue::None;
        }
        conn.opts.set_repair(repair);
        if !on && probe && conn.state == State::Established {
            // tcp_send_window_probe: whatever the answer's number is, its window counts.
            conn.snd_wl1 = conn.rcv_nxt - 1u32;
            conn.out |= Out::PROBE;
            self.tcp_finish(now, id.index);
        }
    }

    /// TCP_REPAIR_QUEUE.
    pub fn tcp_set_repair_queue(&mut self, id: TcpId, queue: RepairQueue) {
        let opts = &mut self.tcp.open_mut(id).conn.opts;
        let repair = opts.repair();
        opts.set_repair(Repair { queue, ..repair });
    }

    /// TCP_QUEUE_SEQ: the number behind the queue's end. `None`: of no queue.
    pub fn tcp_queue_seq(&self, id: TcpId) -> Option<u32> {
        let conn = &self.tcp.open(id).conn;
        match conn.opts.repair().queue {
            RepairQueue::None => None,
            RepairQueue::Receive => Some(conn.rcv_nxt.0),
            RepairQueue::Send => Some(conn.write_seq().0),
        }
    }

    /// TCP_QUEUE_SEQ of a closed socket: where a connection to come begins.
    pub fn tcp_set_queue_seq(&mut self, id: TcpId, value: u32) {
        let conn = &mut self.tcp.open_mut(id).conn;
        let seq = SeqNum(value);
        match conn.opts.repair().queue {
            RepairQueue::None => {}
            RepairQueue::Receive => conn.rcv_nxt = seq,
            RepairQueue::Send => {
                conn.snd_una = seq;
                conn.snd_nxt = seq;
                conn.snd_max = seq;
            }
        }
    }

    /// Whether nothing was sent yet (tp->bytes_sent): only then TCP_REPAIR_OPTIONS are taken.
    pub fn tcp_is_unused(&self, id: TcpId) -> bool {
        let conn = &self.tcp.open(id).conn;
        conn.state == State::Established && conn.counters.bytes_sent == 0
    }

    /// TCP_REPAIR_OPTIONS: what the handshake had agreed on.
    pub fn tcp_repair_option(&mut self, id: TcpId, option: RepairOption) {
        let conn = &mut self.tcp.open_mut(id).conn;
        match option {
            RepairOption::Mss(mss) => conn.mss_clamp = mss,
            RepairOption::Scale(snd, rcv) => {
                conn.wscale_ok = true;
                conn.snd_wscale = snd.min(MAX_WINDOW_SCALE);
                conn.rcv_wscale = rcv.min(MAX_WINDOW_SCALE);
            }
            RepairOption::Timestamps if !conn.ts_ok => {
                conn.ts_ok = true;
                conn.advmss = conn.advmss.saturating_sub(12);
            }
            RepairOption::Timestamps => {}
        }
        conn.sync_mss(&self.sysctl);
    }

    /// TCP_TIMESTAMP: where the clock stands.
    pub fn tcp_set_timestamp(&mut self, now: Instant, id: TcpId, value: u32) {
        let conn = &mut self.tcp.open_mut(id).conn;
        conn.ts_offset = value.wrapping_sub(now.as_millis() as u32);
    }

    /// TCP_REPAIR_WINDOW.
    pub fn tcp_repair_window(&self, id: TcpId) -> RepairWindow {
        let conn = &self.tcp.open(id).conn;
        RepairWindow {
            snd_wl1: conn.snd_wl1.0,
            snd_wnd: conn.snd_wnd,
            max_window: conn.max_window,
            rcv_wnd: conn.rcv_wnd,
            rcv_wup: conn.rcv_wup.0,
        }
    }

    /// TCP_REPAIR_WINDOW; false when the numbers contradict each other.
    pub fn tcp_set_repair_window(&mut self, id: TcpId, window: RepairWindow) -> bool {
        let conn = &mut self.tcp.open_mut(id).conn;
        let possible = window.max_window >= window.snd_wnd
            && !SeqNum(window.snd_wl1).gt(conn.rcv_nxt + window.rcv_wnd)
            && !SeqNum(window.rcv_wup).gt(conn.rcv_nxt);
        if possible {
            conn.snd_wl1 = SeqNum(window.snd_wl1);
            conn.snd_wnd = window.snd_wnd;
            conn.max_window = window.max_window;
            conn.rcv_wnd = window.rcv_wnd;
            conn.rcv_wup = SeqNum(window.rcv_wup);
            conn.sync_mss(&self.sysctl);
        }
        possible
    }

    /// send(2) under repair: the bytes are received, or were sent and not acknowledged.
    pub fn tcp_repair_send(&mut self, now: Instant, id: TcpId, data: Bytes) {
        let conn = &mut self.tcp.open_mut(id).conn;
        let len = data.len() as u32;
        match conn.opts.repair().queue {
            RepairQueue::None => {}
            RepairQueue::Receive => {
                conn.recv.push(data);
                conn.rcv_nxt += len;
                conn.received += u64::from(len);
                conn.events |= EventKind::READABLE;
                self.tcp_finish(now, id.index);
            }
            RepairQueue::Send => {
                conn.queue.push(data, false);
                conn.snd_max += len;
                conn.snd_nxt = conn.snd_max;
                conn.restart_retransmit(now);
                self.tcp_finish(now, id.index);
            }
        }
    }

    /// recv(MSG_PEEK) of the send queue under repair.
    pub fn tcp_repair_peek(&mut self, id: TcpId, len: usize) -> Payload {
        let queue = &mut self.tcp.open_mut(id).conn.queue;
        queue.slice(0, len.min(queue.len()))
    }
}
