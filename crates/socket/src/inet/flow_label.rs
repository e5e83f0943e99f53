//! Flow labels of IPv6: which one a datagram has, and the leases of labels that `IPV6_FLOWLABEL_MGR` gives out.
//!
//! # Theory of operation
//! A label is leased to sockets: to one alone, to those of a process or of a user, or to everybody. As long as there is a
//! lease that is not everybody's, a socket may send with a label only if it has a lease of it. A lease that nobody has
//! any more lingers, so that no router takes the next flow for the old one.

use super::udp_plan::UdpSendPlan;
use super::{InetFlags, InetOptions};
use crate::call::Cx;
use crate::cred::Caps;
use crate::host::Host;
use crate::options::ipv6_headers::messages;
use crate::table::SocketId;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::Ipv6Addr;
use core::time::Duration;
use switchboard_abi::Errno;
use switchboard_engine::{Instant, SendHeaders};

/// `IPV6_FLOWINFO_FLOWLABEL`: of `sin6_flowinfo` the label.
pub(crate) const LABEL: u32 = 0xf_ffff;
/// `IPV6_FLOWLABEL_STATELESS_FLAG`: with net.ipv6.flowlabel_state_ranges such labels are not leased.
const STATELESS: u32 = 0x8_0000;
/// `FL_MIN_LINGER` and `FL_MAX_LINGER`, in seconds: more is for the privileged.
const MIN_LINGER: u64 = 6;
const MAX_LINGER: u64 = 150;
/// `FL_MAX_PER_SOCK`, `FL_MAX_SIZE`
const MAX_PER_SOCKET: usize = 32;
const MAX: usize = 4096;

/// `IPV6_FL_F_CREATE`, `IPV6_FL_F_EXCL`, `IPV6_FL_F_REFLECT`
const CREATE: u16 = 1;
const EXCL: u16 = 2;
const REFLECT: u16 = 4;

/// `IPV6_FL_S_NONE`, `_EXCL`, `_PROCESS`, `_USER` and `_ANY`: with whom a label is shared.
const NOBODY: u8 = 0;
const ALONE: u8 = 1;
const PROCESS: u8 = 2;
const USER: u8 = 3;
const ANYBODY: u8 = 255;

/// `struct in6_flowlabel_req`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LabelRequest {
    pub(crate) dst: Ipv6Addr,
    pub(crate) label: u32,
    pub(crate) action: u8,
    pub(crate) share: u8,
    pub(crate) flags: u16,
    pub(crate) expires: u16,
    pub(crate) linger: u16,
}

/// A leased label.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) dst: Ipv6Addr,
    pub(crate) share: u8,
    /// A process or a user.
    pub(crate) owner: u32,
    pub(crate) users: u32,
    pub(crate) linger: Duration,
    /// When it goes, if nobody has it.
    pub(crate) expires: Duration,
    /// In which order they were made.
    made: u64,
}

/// All leases of a host.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    table: BTreeMap<u32, Lease>,
    made: u64,
}

/// The labels that a socket has leased; what is accepted from it has none of them.
#[derive(Debug, Default)]
pub(crate) struct Leased(Vec<u32>);

impl Clone for Leased {
    fn clone(&self) -> Leased {
        Leased::default()
    }
}

fn since_boot(now: Instant) -> Duration {
    Duration::from_nanos(now.as_nanos())
}

/// check_linger()
fn linger(cx: &Cx<'_>, seconds: u16) -> Result<Duration, Errno> {
    let seconds = u64::from(seconds).max(MIN_LINGER);
    if seconds > MAX_LINGER && !cx.cred.caps.contains(Caps::NET_ADMIN) {
        return Err(Errno::EPERM);
    }
    Ok(Duration::from_secs(seconds))
}

impl Lease {
    /// fl6_renew()
    fn renew(&mut self, now: Duration, linger: Duration, expires: Duration) {
        self.linger = self.linger.max(linger);
        self.expires = self.expires.max(now + expires.max(self.linger));
    }

    fn is_gone(&self, now: Duration) -> bool {
        self.users == 0 && self.expires <= now
    }
}

impl Leases {
    /// ip6_fl_gc()
    fn collect(&mut self, now: Duration) {
        self.table.retain(|_, lease| !lease.is_gone(now));
    }

    /// Those that are there, as /proc/net/ip6_flowlabel lists them: by the last eight bits, the newest first.
    pub(crate) fn listed(&self, now: Instant) -> Vec<(u32, &Lease)> {
        let now = since_boot(now);
        let all = self.table.iter().map(|(label, lease)| (*label, lease));
        let mut all: Vec<_> = all.filter(|(_, lease)| !lease.is_gone(now)).collect();
        all.sort_by_key(|(label, lease)| (label & 0xff, core::cmp::Reverse(lease.made)));
        all
    }

    /// fl_release()
    fn release(&mut self, now: Duration, label: u32) {
        if let Some(lease) = self.table.get_mut(&label) {
            lease.users = lease.users.saturating_sub(1);
            if lease.users == 0 {
                lease.expires = lease.expires.max(now + lease.linger);
            }
        }
    }

    /// `flowlabel_has_excl`: whether labels have owners.
    fn are_owned(&self, now: Duration) -> bool {
        let owned = |lease: &Lease| lease.share != ANYBODY && !lease.is_gone(now);
        self.table.values().any(owned)
    }
}

impl Host {
    /// ipv6_flowlabel_opt(): what a request of setsockopt(2) does.
    pub(crate) fn flow_label_request(
        &mut self,
        cx: &Cx<'_>,
        id: SocketId,
        request: &LabelRequest,
        options: &[u8],
    ) -> Result<(), Errno> {
        let now = since_boot(cx.now);
        self.inet.leases.collect(now);
        match request.action {
            0 => self.lease_label(cx, id, request, options),
            1 => self.put_label(now, id, request),
            2 => self.renew_label(cx, id, request),
            _ => Err(Errno::EINVAL),
        }
    }

    /// ipv6_flowlabel_get()
    fn lease_label(
        &mut self,
        cx: &Cx<'_>,
        id: SocketId,
        request: &LabelRequest,
        options: &[u8],
    ) -> Result<(), Errno> {
        if request.flags & REFLECT != 0 {
            // net.ipv6.flowlabel_consistency
            return Err(Errno::EPERM);
        }
        if request.label & !LABEL != 0 {
            return Err(Errno::EINVAL);
        }
        let ranges = self.stack.sysctl().flowlabel_state_ranges;
        if ranges && request.label & STATELESS != 0 {
            return Err(Errno::ERANGE);
        }
        // What is shorter than a control message is none.
        let headers = self.headers_of(cx, id, &messages(options)?)?;
        if headers.destination.is_some() || headers.routing.is_some() {
            return Err(Errno::EINVAL);
        }
        if headers != SendHeaders::default() {
            // Extension headers that go with the label.
            return Err(Errno::EOPNOTSUPP);
        }
        // fl_create()
        let now = since_boot(cx.now);
        let mut lease = Lease {
            dst: request.dst,
            share: request.share,
            owner: 0,
            users: 1,
            linger: Duration::ZERO,
            expires: now,
            made: 0,
        };
        lease.renew(
            now,
            linger(cx, request.linger)?,
            linger(cx, request.expires)?,
        );
        if request.dst.is_unspecified() || request.dst.to_ipv4_mapped().is_some() {
            return Err(Errno::EINVAL);
        }
        lease.owner = match request.share {
            ALONE | ANYBODY => 0,
            PROCESS => cx.cred.pid,
            USER => cx.cred.euid,
            _ => return Err(Errno::EINVAL),
        };
        let own = self.inet_options(id)?.rare(|rare| rare.labels.0.len());
        let create = request.flags & CREATE != 0;
        // One that lingers is found by who would make it anew only.
        let old = match self.inet.leases.table.get_mut(&request.label) {
            Some(old) if request.label != 0 && (old.users > 0 || create) => Some(old),
            _ => None,
        };
        if let Some(old) = old {
            if request.flags & EXCL != 0 {
                return Err(Errno::EEXIST);
            }
            let alike = (old.share, old.owner) == (lease.share, lease.owner);
            if !alike || old.share == ALONE {
                return Err(Errno::EPERM);
            }
            old.users += 1;
            old.linger = old.linger.max(lease.linger);
            old.expires = old.expires.max(lease.expires);
            self.note_label(id, request.label)?;
            return Ok(());
        }
        if !create {
            return Err(Errno::ENOENT);
        }
        self.check_lease_room(cx, own)?;
        let mut label = request.label;
        while label == 0 || (request.label == 0 && self.inet.leases.table.contains_key(&label)) {
            label = self.stack.random_u32() & LABEL;
        }
        lease.made = self.inet.leases.made;
        self.inet.leases.made += 1;
        self.inet.leases.table.insert(label, lease);
        self.note_label(id, label)
    }

    /// mem_check(): a few are everybody's, many are for the privileged.
    fn check_lease_room(&self, cx: &Cx<'_>, own: usize) -> Result<(), Errno> {
        let room = MAX.saturating_sub(self.inet.leases.table.len());
        if room > MAX - MAX_PER_SOCKET {
            return Ok(());
        }
        let much = own >= MAX_PER_SOCKET || (own > 0 && room < MAX / 2) || room < MAX / 4;
        if room == 0 || (much && !cx.cred.caps.contains(Caps::NET_ADMIN)) {
            return Err(Errno::ENOBUFS);
        }
        Ok(())
    }

    fn note_label(&mut self, id: SocketId, label: u32) -> Result<(), Errno> {
        let rare = self.inet_options_mut(id)?.rare_mut();
        rare.labels.0.push(label);
        Ok(())
    }

    /// ipv6_flowlabel_put()
    fn put_label(
        &mut self,
        now: Duration,
        id: SocketId,
        request: &LabelRequest,
    ) -> Result<(), Errno> {
        let options = self.inet_options_mut(id)?;
        // Nobody reflects labels.
        let has = options.rare(|rare| rare.labels.0.contains(&request.label));
        if !has || request.flags & REFLECT != 0 {
            return Err(Errno::ESRCH);
        }
        let rare = options.rare_mut();
        if let Some(at) = rare.labels.0.iter().rposition(|l| *l == request.label) {
            rare.labels.0.remove(at);
        }
        if rare.flow_label == request.label {
            rare.flow_label = 0;
        }
        self.inet.leases.release(now, request.label);
        Ok(())
    }

    /// ipv6_flowlabel_renew(): one's own, or if one administers the network any.
    fn renew_label(
        &mut self,
        cx: &Cx<'_>,
        id: SocketId,
        request: &LabelRequest,
    ) -> Result<(), Errno> {
        let options = self.inet_options(id)?;
        let own = options.rare(|rare| rare.labels.0.contains(&request.label));
        let any = request.share == NOBODY && cx.cred.caps.contains(Caps::NET_ADMIN);
        let found = self.inet.leases.table.get_mut(&request.label);
        let lease = found.filter(|lease| own || (any && lease.users > 0));
        let lease = lease.ok_or(Errno::ESRCH)?;
        let (linger, expires) = (linger(cx, request.linger)?, linger(cx, request.expires)?);
        lease.renew(since_boot(cx.now), linger, expires);
        Ok(())
    }

    /// The label that the socket has leased last: who asked for none in particular is told which it got.
    pub fn newest_flow_label(&self, id: SocketId) -> Option<u32> {
        let options = self.inet_options(id).ok()?;
        options.rare(|rare| rare.labels.0.last().copied())
    }

    /// ipv6_flowlabel_opt_get(): the label of a connection, if it is leased, with its lease; seconds that are left.
    pub(crate) fn flow_label_of(
        &self,
        cx: &Cx<'_>,
        id: SocketId,
    ) -> Result<(u32, Lease, u64), Errno> {
        let options = self.inet_options(id)?;
        let label = options.rare(|rare| rare.flow_label);
        let own = options.rare(|rare| rare.labels.0.contains(&label));
        let lease = self.inet.leases.table.get(&label).filter(|_| own);
        let lease = lease.ok_or(Errno::ENOENT)?;
        let left = lease.expires.saturating_sub(since_boot(cx.now));
        Ok((label, lease.clone(), left.as_secs()))
    }

    /// fl6_free_socklist(): the socket is gone.
    pub(crate) fn release_flow_labels(&mut self, now: Instant, id: SocketId) {
        if self.inet.leases.table.is_empty() {
            return;
        }
        let Ok(options) = self.inet_options_mut(id) else {
            return;
        };
        let Some(rare) = options.rare.as_deref_mut() else {
            return;
        };
        let labels = core::mem::take(&mut rare.labels.0);
        for label in labels {
            self.inet.leases.release(since_boot(now), label);
        }
    }

    /// fl6_sock_lookup(): whether the socket may send with this label.
    pub(crate) fn check_flow_label(
        &self,
        now: Instant,
        id: SocketId,
        label: u32,
    ) -> Result<(), Errno> {
        let own = || {
            let options = self.inet_options(id);
            options.is_ok_and(|o| o.rare(|rare| rare.labels.0.contains(&label)))
        };
        if label == 0 || !self.inet.leases.are_owned(since_boot(now)) || own() {
            return Ok(());
        }
        Err(Errno::EINVAL)
    }

    /// `sin6_flowinfo` of a name counts for who says so (`IPV6_FLOWINFO_SEND`).
    pub(crate) fn named_flow_label(&self, id: SocketId, raw: &[u8]) -> u32 {
        let sends = |o: &InetOptions| o.has(InetFlags::FLOWINFO_SEND);
        if !self.inet_options(id).is_ok_and(sends) {
            return 0;
        }
        let flow = raw.get(4..8).and_then(|b| b.try_into().ok());
        flow.map_or(0, u32::from_be_bytes) & LABEL
    }

    /// ip6_autoflowlabel(): what the socket says, or else net.ipv6.auto_flowlabels.
    pub(crate) fn auto_flow_label(&self, options: &InetOptions) -> bool {
        if options.has(InetFlags::AUTOFLOWLABEL_SET) {
            return options.has(InetFlags::AUTOFLOWLABEL);
        }
        matches!(self.stack.sysctl().auto_flowlabels, 1 | 3)
    }

    /// ip6_make_flowlabel(): whether a packet without a label gets one, which may be for none or for all.
    fn labels_by_itself(&self, options: &InetOptions) -> bool {
        match self.stack.sysctl().auto_flowlabels {
            0 => false,
            3 => true,
            _ => self.auto_flow_label(options),
        }
    }

    /// The label of a planned datagram: its own, its name's or its connection's, else one that is made of addresses and
    /// ports, or none (ip6_make_flowlabel()).
    pub(super) fn settle_flow_label(
        &self,
        now: Instant,
        id: SocketId,
        name: Option<&[u8]>,
        plan: &mut UdpSendPlan,
    ) -> Result<(), Errno> {
        if plan.dst.is_ipv4() {
            return Ok(());
        }
        let options = self.inet_options(id)?;
        let started = match name {
            Some(raw) => self.named_flow_label(id, raw),
            None => options.rare(|rare| rare.flow_label),
        };
        if name.is_some() {
            self.check_flow_label(now, id, started)?;
        }
        let said = plan.flow_label.unwrap_or(0);
        self.check_flow_label(now, id, said)?;
        plan.flow_label = match (said, started) {
            (0, 0) if self.labels_by_itself(options) => None,
            (0, started) => Some(started),
            (said, _) => Some(said),
        };
        Ok(())
    }
}
