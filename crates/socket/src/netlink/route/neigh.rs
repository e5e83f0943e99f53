//! Neighbours: RTM_GETNEIGH, RTM_NEWNEIGH, RTM_DELNEIGH.
//!
//! # Limits
//! No proxies (NTF_PROXY), no bridges, no daemons (NTF_USE, NTF_MANAGED) and nothing that says who made an entry
//! (NDA_PROTOCOL): EOPNOTSUPP.

use super::super::message::{
    Answer, CREATE, DUMP_FILTERED, EXCL, Message, REPLACE, Refusal, Request,
};
use super::super::serve::Asker;
use super::{
    Form, GROUP_NEIGH, Host, RTM_DELNEIGH, RTM_NEWNEIGH, Teller, family_of, octets, policies,
    strict, word_of,
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
const NDA_MASTER: u16 = 9;
const NDA_PROTOCOL: u16 = 12;
const NDA_FLAGS_EXT: u16 = 15;

/// NTF_PROXY, NTF_ROUTER
const NTF_PROXY: u8 = 8;
const NTF_ROUTER: u8 = 0x80;

/// The neighbour that a change is about.
struct Wanted {
    interface: IfIndex,
    addr: IpAddr,
    state: u16,
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

    /// neigh_dump_info(): of the header the family counts, and whether it is proxies that are asked for, of which there are
    /// none. Groups and broadcasts, which Linux keeps as entries without ARP, have none here.
    pub(super) fn neigh_dump(
        &self,
        asker: &Asker,
        request: &Request<'_>,
        family: u8,
    ) -> Result<Answer, Refusal> {
        // neigh_valid_dump_req()
        if asker.strict {
            let refuse = |text| Refusal::new(Errno::EINVAL, text);
            let head: Option<&[u8; NDMSG]> = request.body().first_chunk();
            let head = head.ok_or(refuse("Invalid header for neighbor dump request"))?;
            if head[1..10] != [0; 9] || head[10] & !NTF_PROXY != 0 || head[11] != 0 {
                return Err(refuse("Invalid values in header for neighbor dump request"));
            }
            request.check(NDMSG, &policies::NEIGH, true)?;
            let text = "Unsupported attribute in neighbor dump request";
            strict::only(asker, request, NDMSG, &[NDA_IFINDEX, NDA_MASTER], text)?;
        }
        let word = |kind| {
            let data = request.attribute(NDMSG, kind);
            data.and_then(|data| word_of(data).ok()).unwrap_or(0)
        };
        // No interface is the part of another.
        if request.body().get(10) == Some(&NTF_PROXY) || word(NDA_MASTER) != 0 {
            return Ok(Answer::dump(Vec::new()));
        }
        let by = IfIndex::new(word(NDA_IFINDEX));
        let mut form = Form::part(RTM_NEWNEIGH, request, asker.port);
        if by.is_some() {
            // neigh_dump_table(): the message that ends it does not say so.
            form.flags |= DUMP_FILTERED;
        }
        let all = self.stack.neighbours().into_iter().filter(|n| {
            (family == 0 || family_of(n.addr) == family)
                && by.is_none_or(|index| index == n.interface)
        });
        let messages = all.map(|n| neigh_message(&form, &n, asker.now).finish());
        Ok(Answer::dump(messages.collect()))
    }

    /// neigh_get()
    pub(super) fn one_neigh(
        &self,
        asker: &Asker,
        request: &Request<'_>,
        family: u8,
    ) -> Result<Answer, Refusal> {
        // neigh_valid_get_req()
        let refuse = |text| Refusal::new(Errno::EINVAL, text);
        let head: &[u8; NDMSG] = (request.body().first_chunk())
            .ok_or(refuse("Invalid header for neighbor get request"))?;
        let [_, pad @ .., _, _, _, _, _, _, _, _] = *head;
        let [.., state0, state1, flags, kind] = *head;
        let proxy = flags == NTF_PROXY;
        if pad != [0; 3] || [state0, state1, kind] != [0; 3] {
            return Err(refuse("Invalid values in header for neighbor get request"));
        }
        if !(proxy || flags == 0) {
            return Err(refuse("Invalid flags in header for neighbor get request"));
        }
        let index = IfIndex::new(word_of(&head[4..8])?);
        if index.is_none() && !proxy {
            return Err(Refusal::new(Errno::EINVAL, "No device specified"));
        }
        request.check(NDMSG, &policies::NEIGH, true)?;
        neigh_family(family)?;
        let text = "Invalid network address in neighbor get request";
        let addr = match request.attribute(NDMSG, NDA_DST) {
            Some(data) => {
                let addr = super::address_of(family, data).map_err(|_| refuse(text))?;
                if data.len() != octets(addr).len() {
                    return Err(refuse(text));
                }
                Some(addr)
            }
            None => None,
        };
        let text = "Unsupported attribute in neighbor get request";
        strict::only_known(request, NDMSG, &[NDA_DST], text)?;
        let addr = addr.ok_or(Refusal {
            missing: Some(NDA_DST),
            ..Errno::EINVAL.into()
        })?;
        if index.is_some_and(|index| self.stack.interface(index).is_none()) {
            return Err(Refusal::new(Errno::ENODEV, "Unknown device ifindex"));
        }
        let found = index.filter(|_| !proxy);
        let found = found
            .and_then(|index| self.stack.neighbour(index, addr))
            .ok_or(Refusal::new(Errno::ENOENT, "Neighbour entry not found"))?;
        let form = Form::part(RTM_NEWNEIGH, request, asker.port);
        Ok(Answer::One(
            neigh_message(&form, &found, asker.now).finish(),
        ))
    }

    fn neigh_wanted(&self, request: &Request<'_>, family: u8) -> Result<Wanted, Refusal> {
        let head: &[u8; NDMSG] = request.body().first_chunk().ok_or(Errno::EINVAL)?;
        let refuse = |text| Refusal::new(Errno::EINVAL, text);
        let given = match request.kind {
            // nlmsg_find_attr()
            RTM_DELNEIGH => request.first(NDMSG, NDA_DST),
            _ => request.attribute(NDMSG, NDA_DST),
        };
        let given = given.ok_or(refuse("Network address not specified"))?;
        let index = IfIndex::new(word_of(&head[4..8])?);
        let interface = match index {
            Some(index) => Some(self.stack.interface(index).ok_or(Errno::ENODEV)?),
            None => None,
        };
        if let (Some(data), Some(to)) = (request.attribute(NDMSG, NDA_LLADDR), interface)
            && request.kind == RTM_NEWNEIGH
            && to.is_ethernet()
            && data.len() < 6
        {
            return Err(refuse("Invalid link address"));
        }
        neigh_family(family)?;
        let len = if i32::from(family) == AF_INET { 4 } else { 16 };
        let text = "Invalid network address";
        let addr = super::address_of(family, given.get(..len).ok_or(refuse(text))?)?;
        let (index, interface) = index.zip(interface).ok_or(Errno::EINVAL)?;
        if head[10] & !NTF_ROUTER != 0 || !interface.is_ethernet() {
            return Err(Errno::EOPNOTSUPP.into());
        }
        Ok(Wanted {
            interface: index,
            addr,
            state: u16::from_ne_bytes([head[8], head[9]]),
        })
    }

    /// neigh_add()
    pub(super) fn new_neigh(
        &mut self,
        asker: &Asker,
        request: &Request<'_>,
        family: u8,
    ) -> Result<Answer, Refusal> {
        request.check(NDMSG, &policies::NEIGH, false)?;
        let Wanted {
            interface,
            addr,
            state,
        } = self.neigh_wanted(request, family)?;
        if (request.kinds(NDMSG)).any(|kind| matches!(kind, NDA_PROTOCOL | NDA_FLAGS_EXT)) {
            let text = "Not supported by this host's neighbours";
            return Err(Refusal::new(Errno::EOPNOTSUPP, text));
        }
        let given = match request.attribute(NDMSG, NDA_LLADDR) {
            Some(data) => Some(Mac(*data
                .first_chunk()
                .ok_or(Refusal::new(Errno::EINVAL, "Invalid link address"))?)),
            None => None,
        };
        let old = self.stack.neighbour(interface, addr);
        match old {
            None if request.flags & CREATE == 0 => return Err(Errno::ENOENT.into()),
            Some(_) if request.flags & EXCL != 0 => return Err(Errno::EEXIST.into()),
            _ => {}
        }
        let state = NeighState::from_bits(state).ok_or(Errno::EINVAL)?;
        // neigh_update(): a valid entry needs an address.
        let known = given.or(old.and_then(|n| n.mac));
        if state.is_valid() && known.is_none() {
            return Err(Errno::EINVAL.into());
        }
        let keeps = request.flags & REPLACE == 0 && old.is_some_and(|n| n.state.is_valid());
        let mac = if keeps {
            old.and_then(|n| n.mac)
        } else {
            known
        };
        let made = (self.stack).set_neighbour(asker.now, interface, addr, mac, state);
        if !made {
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
        let Wanted {
            interface, addr, ..
        } = self.neigh_wanted(request, family)?;
        let found = self.stack.neighbour(interface, addr).ok_or(Errno::ENOENT)?;
        self.stack.remove_neighbour(asker.now, interface, addr);
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
