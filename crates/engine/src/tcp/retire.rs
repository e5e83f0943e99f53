//! Connections that are over: what stays of them in the tables (TIME_WAIT), and what goes.

use alloc::boxed::Box;
use core::time::Duration;

use super::table::Kind;
use super::time_wait::TimeWait;
use super::timers::TIME_WAIT_LEN;
use crate::event::{Queued, TcpId};
use crate::ports::{BindKey, BindState};
use crate::stack::Stack;
use crate::time::Instant;

impl Stack {
    /// The connection is over (tcp_done): it is found no more, and a port that was not bound is free.
    pub(super) fn tcp_closed(&mut self, index: u32) {
        let Kind::Socket(socket) = &mut self.tcp.entries[index as usize].kind else {
            return;
        };
        let orphan = socket.conn.orphan;
        if core::mem::take(&mut socket.hashed) {
            if !socket.port_locked
                && let Some(key) = socket.bind.take()
            {
                self.tcp_ports.remove(&key);
            }
            self.tcp.hash_out(index);
        }
        if orphan {
            self.tcp_release(index);
        }
    }

    /// Forgets an entry and all that it holds.
    pub(crate) fn tcp_release(&mut self, index: u32) {
        let Some(entry) = self.tcp.entries.get_mut(index as usize) else {
            return;
        };
        let generation = entry.generation;
        if let Some(timer) = entry.timer.take() {
            self.timers.remove(timer);
        }
        let (key, hashed, orphan) = match &mut entry.kind {
            Kind::Socket(socket) => (
                socket.bind.take(),
                core::mem::take(&mut socket.hashed),
                socket.conn.orphan,
            ),
            Kind::Request(_) => (None, true, false),
            Kind::TimeWait(time_wait) => {
                self.tcp.time_waits -= 1;
                (time_wait.bind.take(), true, false)
            }
        };
        if let Some(key) = key {
            self.tcp_ports.remove(&key);
        }
        if hashed {
            self.tcp.hash_out(index);
        }
        if orphan {
            self.tcp.orphans -= 1;
            self.events
                .push(Queued::Released(TcpId { index, generation }));
        }
        self.tcp.entries.remove(index as usize);
    }

    /// tcp_time_wait: a small entry takes the connection's place; the socket, if there still is one, is closed.
    pub(super) fn tcp_enter_time_wait(&mut self, now: Instant, index: u32, fin_wait2: bool) {
        let full = self.tcp.time_waits >= self.sysctl.tcp_max_tw_buckets;
        let Kind::Socket(socket) = &mut self.tcp.entries[index as usize].kind else {
            return;
        };
        let conn = &mut socket.conn;
        let wait = if fin_wait2 {
            // tcp_close: `Never` has been dealt with there.
            conn.fin_wait2_timeout(&self.sysctl)
                .unwrap_or(Duration::ZERO)
        } else {
            TIME_WAIT_LEN
        };
        let Some(route) = socket.route.filter(|_| !full && !wait.is_zero()) else {
            conn.done();
            let orphan = conn.orphan;
            if !orphan {
                self.tcp_settle(now, index);
            } else {
                self.tcp_closed(index);
            }
            return;
        };
        let port_stays = socket.port_locked && !conn.orphan;
        let bind = if port_stays {
            socket.bind
        } else {
            socket.bind.take()
        };
        let time_wait = TimeWait {
            tuple: conn.tuple,
            route,
            bind: bind.map(|key| BindKey {
                state: BindState::TimeWait,
                ..key
            }),
            fin_wait2,
            snd_nxt: conn.snd_max,
            rcv_nxt: conn.rcv_nxt,
            rcv_wnd: conn.receive_window(),
            rcv_wscale: conn.rcv_wscale,
            ts_recent: conn.ts_ok.then_some(conn.ts_recent),
            ts_offset: conn.ts_offset,
            ts_recent_at: conn.ts_recent_at,
            last_answer: Instant::BOOT,
            since: now,
            deadline: now + wait,
            md5: (conn.opts.md5_key(conn.tuple.remote)).map(|key| Box::new(key.clone())),
            tos: conn.opts.tos_of(conn.tuple.remote.is_ipv6()),
            ttl: if conn.tuple.remote.is_ipv4() {
                conn.opts.ttl
            } else {
                conn.opts.hops
            },
        };
        if let (Some(old), Some(new)) = (bind, time_wait.bind) {
            if port_stays {
                self.tcp_ports.insert(new);
            } else {
                self.tcp_ports.replace(&old, new);
            }
        }
        let deadline = time_wait.deadline;
        let orphan = conn.orphan;
        conn.done();
        conn.out = super::connection::Out::empty();
        self.tcp.time_waits += 1;
        self.counters.tcp_waits(wait);
        let kind = Kind::TimeWait(Box::new(time_wait));
        if orphan {
            // Same place in the tables. The name changes, since the old one was the socket's.
            self.tcp.orphans -= 1;
            let entry = &mut self.tcp.entries[index as usize];
            entry.kind = kind;
            let released = TcpId {
                index,
                generation: entry.generation,
            };
            self.events.push(Queued::Released(released));
            self.tcp_arm(index, deadline);
        } else {
            socket.hashed = false;
            self.tcp.hash_out(index);
            let id = self.tcp.insert(kind);
            self.tcp.hash_in(id.index);
            self.tcp_arm(id.index, deadline);
            self.tcp_settle(now, index);
        }
    }

    pub(super) fn tcp_time_wait_ack(&mut self, now: Instant, index: u32) {
        let Kind::TimeWait(tw) = &self.tcp.entries[index as usize].kind else {
            return;
        };
        let (route, tuple, tos, ttl) = (tw.route, tw.tuple, tw.tos, tw.ttl);
        let segment = tw.ack(now);
        self.tcp_emit(&route, tuple, tos, ttl, segment);
    }
}
