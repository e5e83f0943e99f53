//! The user's calls on one connection (RFC 9293, 3.9.1).

use bytes::Bytes;

use super::congestion::Congestion;
use super::connection::{Connection, Cx, Out};
use super::options::{Linger2, TcpOptionsSet, TcpSet};
use super::state::{Shutdown, State, TcpError};
use crate::config::Sysctl;
use crate::event::EventKind;
use crate::time::Instant;

/// How send(2) was called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendFlags {
    /// MSG_MORE: do not send a segment that is not full yet.
    pub more: bool,
    /// MSG_OOB: the last byte is urgent.
    pub oob: bool,
    /// MSG_EOR: what follows goes into another segment.
    pub eor: bool,
}

/// What a SYN or SYN-ACK offers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InitialWindow {
    pub(crate) window: u32,
    pub(crate) clamp: u32,
    pub(crate) scale: u8,
}

/// The largest window that is none below zero to a peer that takes it for signed (MAX_TCP_WINDOW).
pub(crate) const SIGNED_WINDOW: u32 = 0x7fff;

/// tcp_select_initial_window.
pub(crate) fn initial_window(
    opts: &TcpOptionsSet,
    sysctl: &Sysctl,
    full_space: u32,
    mss: u32,
    scaling: bool,
) -> InitialWindow {
    let mut clamp = opts.window_clamp();
    if opts.recv_buffer_locked && (clamp == 0 || clamp > full_space) {
        clamp = full_space;
    }
    if clamp == 0 {
        clamp = 0xffff << super::input::MAX_WINDOW_SCALE;
    }
    let mut space = full_space.min(clamp);
    if space > mss && mss > 0 {
        space = space / mss * mss;
    }
    let window = if sysctl.tcp_workaround_signed_windows {
        space.min(SIGNED_WINDOW)
    } else {
        space.min(0xffff)
    };
    let mut scale = 0;
    if scaling {
        // The scale must do for the largest buffer that autotuning may give.
        let most = space
            .max(sysctl.tcp_rmem[2])
            .max(sysctl.rmem_max)
            .min(clamp);
        scale = (most.max(1).ilog2().saturating_sub(15) as u8).min(super::input::MAX_WINDOW_SCALE);
    }
    InitialWindow {
        window,
        clamp: clamp.min(0xffff << scale),
        scale,
    }
}

/// The MSS to announce for a path (ipv4_default_advmss, ip6_default_advmss), within TCP_MAXSEG.
pub(crate) fn announced_mss(mtu: u32, v6: bool, limit: u16) -> u16 {
    let mss = if v6 {
        mtu.saturating_sub(60)
    } else {
        mtu.min(0xffff).saturating_sub(40)
    };
    // RFC 9293, 3.7.1: not less than what every host must take.
    let mss = mss.clamp(256, 0xffff) as u16;
    if limit > 0 { mss.min(limit) } else { mss }
}

impl Connection {
    /// OPEN, active (tcp_connect): address, path and numbers are chosen.
    pub(crate) fn connect(&mut self, cx: Cx<'_>, isn: u32, ts_offset: u32) {
        let v6 = self.tuple.remote.is_ipv6();
        self.advmss = announced_mss(self.path.mtu, v6, self.opts.max_segment());
        self.mss_clamp = if self.opts.max_segment() > 0 {
            self.opts.max_segment()
        } else {
            u16::MAX
        };
        self.ts_offset = ts_offset;
        // tcp_connect_init.
        (self.max_window, self.snd_wnd) = (0, 0);
        self.mss = super::connection::MSS_DEFAULT;
        self.rcv_mss = super::receive::RCV_MSS_MIN;
        if cx.sysctl.tcp_timestamps {
            self.mss = super::connection::MSS_DEFAULT - 12;
        }
        self.cc = Congestion::new(self.opts.congestion, super::connection::MSS_DEFAULT);
        let initial = initial_window(
            &self.opts,
            cx.sysctl,
            self.full_space(),
            u32::from(self.advmss),
            cx.sysctl.tcp_window_scaling,
        );
        self.rcv_wnd = initial.window;
        self.rcv_ssthresh = initial.window;
        self.window_clamp = initial.clamp;
        self.rcv_wscale = initial.scale;
        let isn = switchboard_wire::SeqNum(isn);
        self.snd_una = isn;
        self.snd_nxt = isn;
        self.snd_max = isn;
        self.snd_up = isn;
        self.snd_sml = isn;
        // What was shut down before there was a connection stays shut.
        self.state = State::SynSent;
        // tcp_connect_init: what an earlier connection came to is over.
        self.error = None;
        self.out = Out::SYN;
    }

    /// SEND: queues all of `data`.
    pub(crate) fn send(&mut self, sysctl: &Sysctl, data: Bytes, flags: SendFlags) {
        debug_assert!(!self.fin_queued && !data.is_empty());
        // Something unsent is before it: small writes may share a buffer.
        let joinable = self.write_seq().gt(self.snd_nxt);
        self.queue.push(data, joinable);
        self.hold = flags.more;
        if flags.eor {
            let end = self.write_seq();
            self.stamps.get_or_insert_default().records.push_back(end);
        }
        if flags.oob {
            // RFC 9293, 3.9.1.2: the urgent pointer points behind the data of this call.
            self.snd_up = self.write_seq();
        }
        if !self.writable(sysctl) {
            self.no_space = true;
        }
    }

    /// Bytes that may be queued now (sk_stream_memory_free). With TCP_NOTSENT_LOWAT each piece is looked at anew.
    #[inline]
    pub(crate) fn send_room(&self, sysctl: &Sysctl) -> usize {
        let room = (self.opts.send_buffer as usize).saturating_sub(self.queue.charged());
        match self.not_sent_low_water(sysctl) {
            u32::MAX => room,
            limit if self.not_sent() < limit => room.min(1),
            _ => 0,
        }
    }

    /// shutdown(2) of a connected socket.
    pub(crate) fn shutdown(&mut self, how: Shutdown) {
        if how != Shutdown::Write {
            self.rcv_shutdown = true;
        }
        if how != Shutdown::Read {
            self.snd_shutdown = true;
            // In SYN_RECV the FIN waits for the handshake.
            if self.state != State::SynRecv {
                self.close_sending();
            }
        }
        self.events |= EventKind::HANGUP | EventKind::READABLE | EventKind::WRITABLE;
    }

    /// CLOSE, our direction (RFC 9293, 3.10.4; tcp_close_state): a FIN behind what is queued.
    fn close_sending(&mut self) {
        match self.state {
            State::Established | State::SynRecv => {
                // In SYN_RECV the state changes with the end of the handshake.
                if self.state == State::Established {
                    self.state = State::FinWait1;
                }
                self.fin_queued = true;
            }
            State::CloseWait => {
                self.state = State::LastAck;
                self.fin_queued = true;
            }
            State::SynSent => self.done(),
            _ => {}
        }
        // MSG_MORE and TCP_CORK end with the stream.
        self.hold = false;
    }

    /// close(2). Afterwards nobody refers to the connection; it finishes on its own.
    pub(crate) fn close(&mut self, abort: bool) {
        let unread = !self.recv.is_empty();
        self.rcv_shutdown = true;
        self.snd_shutdown = true;
        match self.state {
            State::Close => {}
            // RFC 2525, 2.17: what was not read is lost, and the peer must know.
            _ if unread => {
                if self.state.is_synchronized() || self.is_fast_child() {
                    self.out |= Out::RST;
                }
                self.done();
            }
            _ if abort => self.abort(),
            _ => self.close_sending(),
        }
        self.orphan = true;
    }

    /// ABORT (RFC 9293, 3.10.5; tcp_disconnect): RST where the peer has a connection.
    pub(crate) fn abort(&mut self) {
        match self.state {
            State::SynRecv
            | State::Established
            | State::FinWait1
            | State::FinWait2
            | State::CloseWait => {
                self.out |= Out::RST;
                self.error = Some(TcpError::ConnectionReset);
            }
            State::Closing | State::LastAck if self.queue.len() > 0 || !self.fin_sent => {
                self.out |= Out::RST;
                self.error = Some(TcpError::ConnectionReset);
            }
            State::SynSent => self.error = Some(TcpError::ConnectionReset),
            _ => {}
        }
        self.done();
    }

    /// Changes a setting and does what follows from it.
    pub(crate) fn set(&mut self, cx: Cx<'_>, set: TcpSet) {
        let kept_alive = self.opts.keep_alive;
        self.opts.store(set);
        match set {
            TcpSet::NoDelay(true) => {
                // What waits leaves now, even when corked (TCP_NAGLE_PUSH).
                self.push_now = self.has_unsent();
            }
            TcpSet::Cork(false) => {
                self.hold = false;
                self.push_now = self.opts.no_delay && self.has_unsent();
            }
            TcpSet::KeepAlive(false) => self.deadlines.keep = Instant::MAX,
            TcpSet::KeepAlive(true) if !kept_alive => self.begin_keepalive(cx),
            TcpSet::KeepIdle(_) => self.start_keepalive(cx),
            TcpSet::QuickAck(on) => self.set_quickack(on),
            TcpSet::SendBuffer(n) => self.set_send_buffer(cx, n),
            TcpSet::RtoMax(_) | TcpSet::RtoMin(_) => {
                self.rtt.set_bounds(self.opts.timing().rto_bounds());
            }
            TcpSet::ReceiveBuffer(n) => self.set_recv_buffer(n),
            TcpSet::RecvLowWater(n) => self.make_room_for(n),
            TcpSet::Congestion(algorithm) => {
                self.cc.switch(algorithm, cx.now, self.ts_offset);
                self.set_pacing(self.opts.max_pacing());
            }
            TcpSet::MaxPacing(rate) => self.set_pacing(rate),
            TcpSet::WindowClamp(clamp) if clamp > 0 && self.window_clamp > 0 => {
                self.set_window_clamp(clamp);
            }
            _ => {}
        }
    }

    /// tcp_set_window_clamp.
    pub(crate) fn set_window_clamp(&mut self, clamp: u32) {
        if clamp < self.window_clamp {
            self.rcv_ssthresh = self.rcv_ssthresh.min(clamp);
        } else {
            self.rcv_ssthresh = self.rcv_ssthresh.max(self.rcv_wnd.min(clamp));
        }
        self.window_clamp = clamp;
    }

    /// __tcp_sock_set_quickack.
    fn set_quickack(&mut self, on: bool) {
        self.ack.pingpong = !on;
        if on && matches!(self.state, State::Established | State::CloseWait) && self.ack.scheduled {
            self.ack.pushed = true;
            if self.recv.is_empty() || (self.rcv_nxt - self.rcv_wup) as u32 > self.rcv_mss {
                self.out |= Out::ACK;
            }
        }
    }

    fn set_send_buffer(&mut self, cx: Cx<'_>, bytes: u32) {
        self.opts.send_buffer = bytes;
        self.opts.send_buffer_locked = true;
        self.no_space |= !self.writable(cx.sysctl);
    }

    fn set_recv_buffer(&mut self, bytes: u32) {
        self.opts.recv_buffer = bytes;
        self.opts.recv_buffer_locked = true;
        if self.window_clamp > 0 {
            self.window_clamp = self.full_space();
        }
    }

    /// tcp_set_rcvlowat(): a buffer whose size nobody has chosen holds what a reader waits for.
    fn make_room_for(&mut self, bytes: u32) {
        if self.opts.recv_buffer_locked {
            return;
        }
        let space = u64::from(bytes) * 256 / u64::from(self.rcv_ratio);
        let space = u32::try_from(space).unwrap_or(i32::MAX as u32);
        if space > self.opts.recv_buffer {
            self.opts.recv_buffer = space;
            if self.window_clamp > 0 {
                self.window_clamp = self.window_clamp.max(bytes);
            }
        }
    }

    /// Whether an orphan in FIN_WAIT2 is to wait at all, and how long.
    pub(crate) fn fin_wait2_timeout(&self, sysctl: &Sysctl) -> Option<core::time::Duration> {
        match self.opts.linger2() {
            Linger2::Never => None,
            Linger2::Default => Some(sysctl.tcp_fin_timeout),
            Linger2::For(t) => Some(t),
        }
    }
}
