//! When a datagram socket last received something: SIOCGSTAMP and SIOCGSTAMPNS of socket(7).
//!
//! The time is noted while SO_TIMESTAMP and kin are off, from the first time on that somebody has asked for it
//! (sock_gettstamp(), sock_recv_timestamp()). TCP notes none.

use crate::call::Cx;
use crate::host::Host;
use crate::options::timestamping::change_stamps;
use crate::socket::{CommonFlags, Kind};
use crate::table::SocketId;
use core::time::Duration;
use switchboard_abi::Errno;
use switchboard_engine::Instant;

/// Linux's sk_stamp and the flag SOCK_TIMESTAMP.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Stamp {
    /// Somebody has asked.
    wanted: bool,
    /// Since the epoch; zero: something came before anybody had asked.
    last: Option<Duration>,
}

impl Stamp {
    /// The last one, from now on noted.
    fn last(&mut self, cx: &Cx<'_>) -> Result<Duration, Errno> {
        self.wanted = true;
        let last = self.last.as_mut().ok_or(Errno::ENOENT)?;
        if last.is_zero() {
            *last = cx.realtime;
        }
        Ok(*last)
    }
}

impl Host {
    /// SIOCGSTAMP, SIOCGSTAMPNS: `ENOENT` before the first datagram. `ENOTTY` where there are no datagrams of the Internet.
    pub fn receive_stamp(&mut self, cx: &mut Cx<'_>, id: SocketId) -> Result<Duration, Errno> {
        if !matches!(self.kind(id)?, Kind::Unix(_) | Kind::Netlink(_)) {
            // sock_gettstamp(): from now on what comes in is stamped.
            change_stamps(self, cx, id, |common| {
                common.flags.insert(CommonFlags::STAMPED);
            })?;
        }
        match self.kind(id)? {
            Kind::Unix(_) | Kind::Netlink(_) => Err(Errno::ENOTTY),
            Kind::Tcp(_) => Err(Errno::ENOENT),
            Kind::Udp(_) => self.udp_mut(id)?.stamp.last(cx),
            Kind::Packet(_) => self.packet_mut(id)?.stamp.last(cx),
        }
    }

    /// A datagram that came at `at` was received, or looked at.
    pub(crate) fn note_stamp(&mut self, cx: &Cx<'_>, id: SocketId, at: Instant) {
        let Ok(socket) = self.get_mut(id) else { return };
        let told = socket.common.stamps();
        let stamp = match &mut socket.kind {
            Kind::Udp(s) => &mut s.stamp,
            Kind::Packet(s) => &mut s.stamp,
            _ => return,
        };
        if told {
            // The control message tells it, and this is left as it is.
        } else if stamp.wanted {
            let ago = cx.now.saturating_sub(at);
            stamp.last = Some(cx.realtime.saturating_sub(ago));
        } else if stamp.last.is_none() {
            stamp.last = Some(Duration::ZERO);
        }
    }
}
