//! Path MTUs that routers have told (RFC 1191, RFC 8201): what Linux keeps in route exceptions.
//!
//! # Limits
//! [`MOST`] destinations are remembered; when there are more, all are forgotten, and learned again. What was learned is
//! forgotten after `mtu_expires`, so that a path that has grown is found.

use core::net::IpAddr;

use crate::hash::{KeyedMap, KeyedState};
use crate::route::{RouteInfo, RouteKind};
use crate::time::Instant;

/// Destinations remembered.
const MOST: usize = 4096;
/// IPv6's least (RFC 8200, 5).
pub(crate) const LEAST_V6: u32 = 1280;

#[derive(Debug)]
pub(crate) struct PathMtus {
    known: KeyedMap<IpAddr, (u32, Instant)>,
}

impl PathMtus {
    pub(crate) fn new(hash: KeyedState) -> PathMtus {
        PathMtus {
            known: KeyedMap::with_hasher(hash),
        }
    }

    /// The route with what is known of its path.
    #[inline]
    pub(crate) fn narrow(&self, mut route: RouteInfo) -> RouteInfo {
        if !self.known.is_empty()
            && route.kind == RouteKind::Unicast
            && let Some((mtu, _)) = self.known.get(&route.destination)
        {
            route.mtu = route.mtu.min(*mtu);
        }
        route
    }

    /// A router says that packets to `dst` must not be larger than `mtu`, which is believed `until` then; `now_takes` is
    /// what was sent until now. Says whether that is news.
    pub(crate) fn learn(
        &mut self,
        dst: IpAddr,
        (mtu, until): (u32, Instant),
        now_takes: u32,
    ) -> bool {
        if mtu >= now_takes {
            return false;
        }
        if self.known.len() >= MOST && !self.known.contains_key(&dst) {
            self.known.clear();
        }
        self.known.insert(dst, (mtu, until));
        true
    }

    /// When something is to be forgotten.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.known.values().map(|(_, until)| *until).min()
    }

    /// Forgets what is due; says whether there was any.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let before = self.known.len();
        self.known.retain(|_, (_, until)| *until > now);
        self.known.len() < before
    }
}
