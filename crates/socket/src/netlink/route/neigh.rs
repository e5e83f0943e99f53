//! Neighbours: RTM_GETNEIGH, RTM_NEWNEIGH, RTM_DELNEIGH.
//!
//! # Limits
//! No proxies (NTF_PROXY), no bridges and no daemons (NTF_USE, NTF_MANAGED): EOPNOTSUPP. No tables' parameters
//! (RTM_GETNEIGHTBL).

use super::super::message::{Answer, CREATE, EXCL, Message, REPLACE, Refusal, Request};
use super::super::serve::Asker;
use super::{
    Form, GROUP_NEIGH, Host, RTM_DELNEIGH, RTM_NEWNEIGH, Teller, address_of, family_of, octets,
    word_of,
};
use alloc::vec::Vec;
use core::net::IpAddr;
use switchboard_abi::Errno;
use switchboard_abi::number::{AF_INET, AF_INET6};
use switchboard_engine::{IfIndex, Instant, NeighState, Neighbour};
use switchboard_wire::Mac;

/// `sizeof(struct ndmsg)`
const NDMSG: usize = 12;

const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NDA_CACHEINFO: u16 = 3;
const NDA_PROBES: u16 = 4;
const NDA_IFINDEX: u16 = 8;

/// NTF_USE, NTF_PROXY, NTF_MANAGED (of the first eight), NTF_ROUTER
const NTF_ROUTER: u8 = 0x80;

/// What a request says of a neighbour.
struct Wanted {
    interface: Option<IfIndex>,
    addr: Option<IpAddr>,
    mac: Option<Mac>,
    state: u16,
    flags: u8,
}

impl Host {
    /// What the stack has found out goes to who listens (__neigh_notify).
    pub(crate) fn tell_neighbours(&mut self) {
        while let Some((interface, addr)) = self.stack.poll_neighbour_change() {
            let Some(found) = self.stack.neighbour(interface, addr) else {
                continue;
            };
            let now = found.times[2];
            let form = Form::news(RTM_NEWNEIGH);
            let message = neigh_message(&form, &found, now);
            let teller = Teller::ioctl(now);
            self.tell(&teller, GROUP_NEIGH, message);
        }
    }

    /// neigh_dump_info(). Groups and broadcasts, which Linux keeps as entries without ARP, have none here.
    pub(super) fn neigh_dump(
        &self,
        asker: &Asker,
        request: &Request<'_>,
        family: u8,
    ) -> Result<Answer, Refusal> {
        let wanted = self.neigh_wanted(request, family)?;
        if wanted.flags & !NTF_ROUTER != 0 {
            return Ok(Answer::dump(Vec::new()));
        }
        let form = Form::part(RTM_NEWNEIGH, request, asker.port);
        let all = self.stack.neighbours().into_iter().filter(|n| {
            (family == 0 || family_of(n.addr) == family)
                && wanted.interface.is_none_or(|index| index == n.interface)
        });
        let messages = all.map(|n| neigh_message(&form, &n, asker.now).finish());
        Ok(Answer::Dump {
            messages: messages.collect(),
            filtered: wanted.interface.is_some(),
        })
    }

    fn neigh_wanted(&self, request: &Request<'_>, family: u8) -> Result<Wanted, Refusal> {
        let body = request.body();
        // rtnl_dump_all(): programs that ask for all may send a smaller header.
        let Some(head) = body.first_chunk::<NDMSG>() else {
            return Ok(Wanted {
                interface: None,
                addr: None,
                mac: None,
                state: 0,
                flags: 0,
            });
        };
        let mut index = word_of(&head[4..8])?;
        if let Some(data) = request.attribute(NDMSG, NDA_IFINDEX) {
            index = word_of(data)?;
        }
        let addr = request.attribute(NDMSG, NDA_DST);
        let mac = match request.attribute(NDMSG, NDA_LLADDR) {
            Some(data) => Some(Mac(<[u8; 6]>::try_from(data)
                .map_err(|_| Refusal::new(Errno::EINVAL, "Invalid link address"))?)),
            None => None,
        };
        Ok(Wanted {
            interface: IfIndex::new(index),
            addr: addr.map(|data| address_of(family, data)).transpose()?,
            mac,
            state: u16::from_ne_bytes([head[8], head[9]]),
            flags: head[10],
        })
    }

    /// neigh_get()
    pub(super) fn one_neigh(
        &self,
        asker: &Asker,
        request: &Request<'_>,
        family: u8,
    ) -> Result<Answer, Refusal> {
        let wanted = self.neigh_wanted(request, family)?;
        let addr = wanted
            .addr
            .ok_or(Refusal::new(Errno::EINVAL, "Network address not specified"))?;
        let index = wanted
            .interface
            .ok_or(Refusal::new(Errno::EINVAL, "No device specified"))?;
        if self.stack.interface(index).is_none() {
            return Err(Refusal::new(Errno::ENODEV, "Unknown device ifindex"));
        }
        let found = self
            .stack
            .neighbour(index, addr)
            .ok_or(Refusal::new(Errno::ENOENT, "Neighbour entry not found"))?;
        let form = Form::part(RTM_NEWNEIGH, request, asker.port);
        Ok(Answer::One(
            neigh_message(&form, &found, asker.now).finish(),
        ))
    }

    /// The interface and the address of a change.
    fn neigh_named(&self, wanted: &Wanted) -> Result<(IfIndex, IpAddr), Refusal> {
        let addr = wanted
            .addr
            .ok_or(Refusal::new(Errno::EINVAL, "Network address not specified"))?;
        let index = wanted.interface.ok_or(Errno::EINVAL)?;
        let interface = self.stack.interface(index).ok_or(Errno::ENODEV)?;
        if wanted.flags & !NTF_ROUTER != 0 || !interface.is_ethernet() {
            return Err(Errno::EOPNOTSUPP.into());
        }
        Ok((index, addr))
    }

    /// neigh_add()
    pub(super) fn new_neigh(
        &mut self,
        asker: &Asker,
        request: &Request<'_>,
        family: u8,
    ) -> Result<Answer, Refusal> {
        neigh_family(family)?;
        let wanted = self.neigh_wanted(request, family)?;
        let (index, addr) = self.neigh_named(&wanted)?;
        let old = self.stack.neighbour(index, addr);
        match old {
            None if request.flags & CREATE == 0 => return Err(Errno::ENOENT.into()),
            Some(_) if request.flags & EXCL != 0 => return Err(Errno::EEXIST.into()),
            _ => {}
        }
        let state = NeighState::from_bits(wanted.state).ok_or(Errno::EINVAL)?;
        // neigh_update(): a valid entry needs an address.
        let known = wanted.mac.or(old.and_then(|n| n.mac));
        if state.is_valid() && known.is_none() {
            return Err(Errno::EINVAL.into());
        }
        let keeps = request.flags & REPLACE == 0 && old.is_some_and(|n| n.state.is_valid());
        let mac = if keeps {
            old.and_then(|n| n.mac)
        } else {
            known
        };
        if !self.stack.set_neighbour(asker.now, index, addr, mac, state) {
            return Err(Errno::ENOBUFS.into());
        }
        self.collect_stack_events();
        Ok(Answer::Done)
    }

    /// neigh_delete()
    pub(super) fn delete_neigh(
        &mut self,
        asker: &Asker,
        request: &Request<'_>,
        family: u8,
    ) -> Result<Answer, Refusal> {
        neigh_family(family)?;
        let wanted = self.neigh_wanted(request, family)?;
        let (index, addr) = self.neigh_named(&wanted)?;
        let Some(found) = self.stack.neighbour(index, addr) else {
            return Err(Errno::ENOENT.into());
        };
        self.stack.remove_neighbour(asker.now, index, addr);
        let teller = Teller::of(asker, request);
        let gone = Neighbour {
            state: NeighState::Failed,
            ..found
        };
        let message = neigh_message(&teller.form(RTM_DELNEIGH), &gone, asker.now);
        self.tell(&teller, GROUP_NEIGH, message);
        self.collect_stack_events();
        Ok(Answer::Done)
    }
}

fn neigh_family(family: u8) -> Result<(), Errno> {
    match i32::from(family) {
        AF_INET | AF_INET6 => Ok(()),
        // neigh_find_table()
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// neigh_fill_info()
fn neigh_message(form: &Form, found: &Neighbour, now: Instant) -> Message {
    let mut head = [0; NDMSG];
    head[0] = family_of(found.addr);
    head[4..8].copy_from_slice(&found.interface.get().to_ne_bytes());
    head[8..10].copy_from_slice(&(found.state as u16).to_ne_bytes());
    head[10] = if found.router { NTF_ROUTER } else { 0 };
    // RTN_UNICAST
    head[11] = 1;
    let mut m = form.message(&head);
    m.put(NDA_DST, &octets(found.addr));
    if let Some(mac) = found.mac.filter(|_| found.state.is_valid()) {
        m.put(NDA_LLADDR, &mac.0);
    }
    // In hundredths of a second, confirmed before used.
    let ago = |at: Instant| now.saturating_sub(at).as_millis() as u32 / 10;
    let [confirmed, used, updated] = found.times.map(ago);
    let mut cache = [0; 16];
    for (at, value) in [confirmed, used, updated, 0].into_iter().enumerate() {
        cache[at * 4..at * 4 + 4].copy_from_slice(&value.to_ne_bytes());
    }
    m.put(NDA_PROBES, &found.probes.to_ne_bytes());
    m.put(NDA_CACHEINFO, &cache);
    m
}
