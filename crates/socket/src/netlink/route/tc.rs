//! RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC: the queueing disciplines of interfaces (net/sched/sch_api.c).
//!
//! # Limits
//! Each discipline has one child at most: there are tbf and netem, but none with classes of its own, and no filters. No estimators
//! and no size tables (EOPNOTSUPP).

mod options;

use alloc::vec;
use alloc::vec::Vec;

use switchboard_abi::Errno;
use switchboard_device::QdiscChain;
use switchboard_engine::{IfIndex, Interface};

use super::super::message::{Answer, CREATE, EXCL, Message, REPLACE, Refusal, Request, attribute};
use super::super::serve::Asker;
use super::{Form, Teller, text_of, word_of};
use crate::host::Host;
use crate::queues::Device;
use options::Settings;

const NEW_QDISC: u16 = 36;
const DEL_QDISC: u16 = 37;
/// RTNLGRP_TC
const GROUP: u32 = 4;

/// `sizeof(struct tcmsg)`
const TCMSG: usize = 20;
const KIND: u16 = 1;
const OPTIONS: u16 = 2;
/// TCA_RATE, TCA_STAB, TCA_INGRESS_BLOCK, TCA_EGRESS_BLOCK: what is not there.
const UNKNOWN: [u16; 4] = [5, 8, 13, 14];

/// `TC_H_ROOT`, `TC_H_INGRESS`
const ROOT: u32 = u32::MAX;
const INGRESS: u32 = 0xffff_fff1;
const MAJOR: u32 = 0xffff_0000;

/// What is told of a discipline.
pub(crate) struct QdiscEntry {
    handle: u32,
    parent: u32,
    settings: Settings,
}

/// `struct tcmsg`, and the attribute that names the kind.
struct Asked<'a> {
    index: IfIndex,
    handle: u32,
    parent: u32,
    kind: Option<&'a [u8]>,
}

fn refuse<T>(errno: Errno, text: &'static str) -> Result<T, Refusal> {
    Err(Refusal::new(errno, text))
}

/// Bytes of the link layer's header (`hard_header_len`): `lo` has as much as an Ethernet.
fn header_of(interface: &Interface) -> u32 {
    if interface.is_tunnel() { 0 } else { 14 }
}

impl Host {
    fn asked<'a>(&self, request: &Request<'a>) -> Result<Asked<'a>, Refusal> {
        let head = request.body().get(..TCMSG).ok_or(Errno::EINVAL)?;
        let word = |at: usize| word_of(&head[at..at + 4]);
        let link = self.link(word(4)? as i32).ok_or(Errno::ENODEV)?;
        Ok(Asked {
            index: link.index(),
            handle: word(8)?,
            parent: word(12)?,
            kind: request.attribute(TCMSG, KIND).map(text_of),
        })
    }

    /// What an interface has that somebody made; what it has of itself has no handle.
    fn qdiscs(&self, index: IfIndex) -> &[QdiscEntry] {
        let device = self.queues.as_ref().and_then(|q| q.devices.get(&index));
        device.map_or(&[], |device| &device.entries)
    }

    /// The name of an interface's root (IFLA_QDISC).
    pub(super) fn root_qdisc(&self, index: IfIndex) -> &'static str {
        let root = self.qdiscs(index).first();
        root.map_or("noqueue", |root| root.settings.kind())
    }

    /// qdisc_lookup()
    fn place_of(&self, index: IfIndex, handle: u32) -> Option<usize> {
        let all = self.qdiscs(index);
        all.iter().position(|q| q.handle == handle && handle != 0)
    }

    /// qdisc_leaf(): the place of the child of the discipline that a class is of.
    fn place_behind(
        &self,
        index: IfIndex,
        parent: u32,
        nobody: &'static str,
    ) -> Result<usize, Refusal> {
        let Some(place) = self.place_of(index, parent & MAJOR) else {
            return refuse(Errno::ENOENT, nobody);
        };
        let parent = &self.qdiscs(index)[place].settings;
        if parent.has_child() {
            Ok(place + 1)
        } else if parent.is_classful() {
            refuse(Errno::ENOENT, "Specified class not found")
        } else {
            refuse(Errno::EOPNOTSUPP, "Parent qdisc is not classful")
        }
    }

    /// tc_modify_qdisc()
    pub(super) fn new_qdisc(
        &mut self,
        asker: &Asker,
        request: &Request<'_>,
    ) -> Result<Answer, Refusal> {
        let asked = self.asked(request)?;
        let flag = |flag: u16| request.flags & flag != 0;
        let changes = !flag(CREATE) && !flag(REPLACE) && !flag(EXCL);
        let differs = |q: &QdiscEntry| {
            let own = q.settings.kind().as_bytes();
            asked.kind.is_some_and(|kind| kind != own)
        };
        let place = match asked.parent {
            0 if asked.handle == 0 => return refuse(Errno::EINVAL, "Handle cannot be zero"),
            0 => match self.place_of(asked.index, asked.handle) {
                Some(place) => return self.change_qdisc(asker, request, &asked, place),
                None => return refuse(Errno::ENOENT, "Specified qdisc not found"),
            },
            ROOT => 0,
            // There is no hook for what comes in.
            INGRESS if flag(CREATE) => {
                return refuse(Errno::ENOENT, "Specified qdisc kind is unknown");
            }
            INGRESS => return refuse(Errno::ENOENT, "Specified qdisc not found"),
            parent => self.place_behind(asked.index, parent, "Failed to find specified qdisc")?,
        };
        let there = self.qdiscs(asked.index).get(place);
        let makes = match there {
            Some(q) if asked.handle != 0 && q.handle == asked.handle => false,
            _ if asked.handle != 0 => {
                if there.is_some() && !flag(REPLACE) {
                    return refuse(Errno::EEXIST, "NLM_F_REPLACE needed to override");
                }
                if asked.handle & !MAJOR != 0 {
                    return refuse(Errno::EINVAL, "Invalid minor handle");
                }
                if let Some(other) = self.place_of(asked.index, asked.handle) {
                    if flag(EXCL) {
                        return refuse(Errno::EEXIST, "Exclusivity flag on, cannot override");
                    }
                    let text = if differs(&self.qdiscs(asked.index)[other]) {
                        "Invalid qdisc name: must match existing qdisc"
                    } else {
                        "Cannot move an existing qdisc to a different parent"
                    };
                    return refuse(Errno::EINVAL, text);
                }
                true
            }
            None => true,
            // req_create_or_replace(), req_create_exclusive(), req_change()
            Some(q) => {
                let creates = flag(CREATE) && (flag(REPLACE) || flag(EXCL));
                differs(q) && (creates || changes)
            }
        };
        if !makes {
            return self.change_qdisc(asker, request, &asked, place);
        }
        // A change to another kind makes one all the same.
        if !(flag(CREATE) || changes && asked.handle == 0 && there.is_some()) {
            let text = "Qdisc not found. To create specify NLM_F_CREATE flag";
            return refuse(Errno::ENOENT, text);
        }
        self.make_qdisc(asker, request, &asked, place)
    }

    fn qdisc_seed(&mut self) -> u64 {
        let (high, low) = (self.stack.random_u32(), self.stack.random_u32());
        (u64::from(high) << 32) | u64::from(low)
    }

    fn settings_asked(
        &self,
        request: &Request<'_>,
        index: IfIndex,
        kind: &[u8],
        old: Option<&Settings>,
    ) -> Result<Settings, Refusal> {
        if request.kinds(TCMSG).any(|kind| UNKNOWN.contains(&kind)) {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let interface = self.stack.interface(index).ok_or(Errno::ENODEV)?;
        let queue_len = interface.queue_len().max(1);
        let mtu = interface.mtu().saturating_add(header_of(interface));
        let options = request.attribute(TCMSG, OPTIONS);
        match old {
            None => Settings::new(kind, options, queue_len, mtu),
            Some(old) => old.changed(options, queue_len, mtu),
        }
    }

    /// qdisc_create(), qdisc_graft()
    fn make_qdisc(
        &mut self,
        asker: &Asker,
        request: &Request<'_>,
        asked: &Asked<'_>,
        place: usize,
    ) -> Result<Answer, Refusal> {
        let index = asked.index;
        let kind = asked.kind.unwrap_or(b"");
        let settings = self.settings_asked(request, index, kind, None)?;
        if place >= QdiscChain::DEEPEST {
            return Err(Errno::ELOOP.into());
        }
        if place > 0 && settings.is_noqueue() {
            return refuse(Errno::EINVAL, "Cannot assign noqueue to a class");
        }
        let seed = self.qdisc_seed();
        let settings = settings.seeded(seed);
        self.check_duplicates(index, place, &settings)?;
        let interface = self.stack.interface(index).ok_or(Errno::ENODEV)?;
        let empty = QdiscChain::new(header_of(interface), interface.mtu());
        let form = |kind, flags| Form {
            kind,
            flags,
            sequence: request.sequence,
            port: asker.port,
        };
        let gone = self.qdisc_gone(&form(DEL_QDISC, 0), index, place, asked.parent);
        // A tbf has something behind it, if only its own queue.
        let replaces = gone.is_some() || self.keeps_itself(index, place);
        let queues = self.make_queues();
        let handle = match asked.handle {
            0 => {
                // qdisc_alloc_handle()
                queues.last_handle = (queues.last_handle | 0x8000_0000).wrapping_add(0x1_0000);
                queues.last_handle | 0x8000_0000
            }
            handle => handle,
        };
        let device = queues.devices.entry(index).or_insert_with(|| Device {
            entries: Vec::new(),
            chain: empty,
        });
        device
            .chain
            .graft(place, &settings.discipline(), settings.seed());
        device.entries.truncate(place);
        device.entries.push(QdiscEntry {
            handle,
            parent: asked.parent,
            settings,
        });
        self.queues_changed();
        let flags = if replaces { REPLACE } else { 0 };
        let made = self.qdisc_message(&form(NEW_QDISC, flags), index, place, asked.parent);
        let news = [gone, made].into_iter().flatten();
        let news: Vec<u8> = news.flat_map(Message::finish).collect();
        self.tell_bytes(&Teller::of(asker, request), GROUP, news);
        Ok(Answer::Done)
    }

    /// What is told of what goes: of the root it is also the one that nobody made.
    fn qdisc_gone(
        &self,
        form: &Form,
        index: IfIndex,
        place: usize,
        parent: u32,
    ) -> Option<Message> {
        if place == 0 && self.qdiscs(index).is_empty() {
            return Some(own(form, index, 1));
        }
        self.qdisc_message(form, index, place, parent)
    }

    /// Whether what is before a place has a queue of its own, as long as it was given none.
    fn keeps_itself(&self, index: IfIndex, place: usize) -> bool {
        let before = place.checked_sub(1);
        let before = before.and_then(|before| self.qdiscs(index).get(before));
        before.is_some_and(|q| matches!(q.settings, Settings::Tbf(_)))
    }

    /// qdisc_change()
    fn change_qdisc(
        &mut self,
        asker: &Asker,
        request: &Request<'_>,
        asked: &Asked<'_>,
        place: usize,
    ) -> Result<Answer, Refusal> {
        let index = asked.index;
        let Some(old) = self.qdiscs(index).get(place) else {
            return refuse(Errno::ENOENT, "Specified qdisc not found");
        };
        if request.flags & EXCL != 0 {
            return refuse(Errno::EEXIST, "Exclusivity flag on, cannot modify");
        }
        let kind = old.settings.kind().as_bytes();
        if asked.kind.is_some_and(|asked| asked != kind) {
            let text = "Invalid qdisc name: must match existing qdisc";
            return refuse(Errno::EINVAL, text);
        }
        if request.attribute(TCMSG, OPTIONS).is_some() {
            let settings = self.settings_asked(request, index, kind, Some(&old.settings))?;
            let seed = self.qdisc_seed();
            let settings = settings.seeded(seed);
            self.check_duplicates(index, place, &settings)?;
            let queues = self.make_queues();
            if let Some(device) = queues.devices.get_mut(&index) {
                let seed = settings.seed();
                (device.chain).change(asker.now, place, &settings.discipline(), seed);
                if let (Some(limit), Some(child)) =
                    (settings.limit_of_child(), device.entries.get_mut(place + 1))
                {
                    child.settings.set_fifo_limit(limit);
                }
                device.entries[place].settings = settings;
            }
        } else if request.kinds(TCMSG).any(|kind| UNKNOWN.contains(&kind)) {
            return Err(Errno::EOPNOTSUPP.into());
        }
        self.tell_qdisc(asker, request, asked, place);
        Ok(Answer::Done)
    }

    /// qdisc_get_notify(): also who asks is told as one of the group only.
    fn tell_qdisc(
        &mut self,
        asker: &Asker,
        request: &Request<'_>,
        asked: &Asked<'_>,
        place: usize,
    ) {
        let teller = Teller::of(asker, request);
        let form = teller.form(NEW_QDISC);
        if let Some(message) = self.qdisc_message(&form, asked.index, place, asked.parent) {
            self.tell(&teller, GROUP, message);
        }
    }

    /// check_netem_in_tree(): packets that are sent twice by one and again by another would have no end.
    fn check_duplicates(
        &self,
        index: IfIndex,
        place: usize,
        new: &Settings,
    ) -> Result<(), Refusal> {
        let others = self.qdiscs(index).iter().enumerate();
        let others = others.filter(|(at, _)| *at != place);
        let netems: Vec<&Settings> = (others.map(|(_, q)| &q.settings))
            .filter(|s| s.is_netem())
            .collect();
        let doubles = new.doubles() || netems.iter().any(|s| s.doubles());
        if new.is_netem() && !netems.is_empty() && doubles {
            let text = "netem: cannot mix duplicating netems with other netems in tree";
            return refuse(Errno::EINVAL, text);
        }
        Ok(())
    }

    /// tc_get_qdisc(), of one that is there; `None`: the one that the interface has of itself.
    fn qdisc_asked(&self, asked: &Asked<'_>) -> Result<Option<usize>, Refusal> {
        let place = match asked.parent {
            0 => match self.place_of(asked.index, asked.handle) {
                Some(place) => place,
                None => return refuse(Errno::ENOENT, "Failed to find qdisc with specified handle"),
            },
            ROOT => 0,
            parent if parent & MAJOR == INGRESS & MAJOR => {
                return refuse(
                    Errno::ENOENT,
                    "Cannot find specified qdisc on specified device",
                );
            }
            parent => {
                let nobody = "Failed to find qdisc with specified classid";
                self.place_behind(asked.index, parent, nobody)?
            }
        };
        let found = self.qdiscs(asked.index).get(place);
        let handle = found.map_or(0, |q| q.handle);
        if found.is_none() && place > 0 && !self.keeps_itself(asked.index, place) {
            return refuse(
                Errno::ENOENT,
                "Cannot find specified qdisc on specified device",
            );
        }
        if asked.parent != 0 && asked.handle != 0 && asked.handle != handle {
            return refuse(Errno::EINVAL, "Invalid handle");
        }
        let itself = if place == 0 { "noqueue" } else { "bfifo" };
        let kind = found.map_or(itself, |q| q.settings.kind());
        if asked.kind.is_some_and(|asked| asked != kind.as_bytes()) {
            let text = "Invalid qdisc name: must match existing qdisc";
            return refuse(Errno::EINVAL, text);
        }
        Ok(found.map(|_| place))
    }

    pub(super) fn one_qdisc(
        &mut self,
        asker: &Asker,
        request: &Request<'_>,
    ) -> Result<Answer, Refusal> {
        let asked = self.asked(request)?;
        let place = self.qdisc_asked(&asked)?;
        // One that was not made by anybody is not told of by itself.
        if let Some(place) = place {
            self.tell_qdisc(asker, request, &asked, place);
        }
        Ok(Answer::Done)
    }

    pub(super) fn delete_qdisc(
        &mut self,
        asker: &Asker,
        request: &Request<'_>,
    ) -> Result<Answer, Refusal> {
        let asked = self.asked(request)?;
        let place = self.qdisc_asked(&asked)?;
        if asked.parent == 0 {
            return refuse(Errno::EINVAL, "Classid cannot be zero");
        }
        let Some(place) = place else {
            return refuse(Errno::ENOENT, "Cannot delete qdisc with handle of zero");
        };
        let teller = Teller::of(asker, request);
        let form = teller.form(DEL_QDISC);
        let message = self.qdisc_message(&form, asked.index, place, asked.parent);
        if let Some(device) = (self.queues.as_mut()).and_then(|q| q.devices.get_mut(&asked.index)) {
            device.chain.cut(place);
            device.entries.truncate(place);
        }
        self.queues_changed();
        if let Some(message) = message {
            self.tell(&teller, GROUP, message);
        }
        Ok(Answer::Done)
    }

    /// tc_fill_qdisc()
    fn qdisc_message(
        &self,
        form: &Form,
        index: IfIndex,
        place: usize,
        parent: u32,
    ) -> Option<Message> {
        let device = self.queues.as_ref()?.devices.get(&index)?;
        let entry = device.entries.get(place)?;
        let (counters, len) = (device.chain.counters(place), device.chain.len_at(place));
        // tcm_info: how many hold it; a root is held by the device's queue, too, until it goes.
        let held = if place == 0 && form.kind == NEW_QDISC {
            2
        } else {
            1
        };
        let mut m = head(form, index, [entry.handle, parent, held]);
        m.put_text(KIND, entry.settings.kind());
        if let Some(options) = entry.settings.shown() {
            m.put(OPTIONS, &options);
        }
        // TCA_HW_OFFLOAD
        m.put(12, &[0]);
        let low = |n: u64| (n as u32).to_ne_bytes();
        // struct gnet_stats_basic, struct gnet_stats_queue
        let basic = [
            &counters.bytes.to_ne_bytes()[..],
            &low(counters.packets),
            &[0; 4],
        ]
        .concat();
        let queue = [
            low(len.packets),
            low(len.bytes),
            low(counters.drops),
            low(0),
            low(counters.overlimits),
        ];
        // TCA_STATS2, TCA_STATS (struct tc_stats, padded)
        let mut nested = attribute(1, &basic);
        nested.extend(attribute(3, &queue.concat()));
        m.put(7, &nested);
        let mut old = counters.bytes.to_ne_bytes().to_vec();
        for n in [counters.packets, counters.drops, counters.overlimits, 0, 0] {
            old.extend(low(n));
        }
        old.extend([low(len.packets), low(len.bytes), low(0)].concat());
        m.put(3, &old);
        Some(m)
    }

    /// tc_dump_qdisc()
    pub(super) fn qdisc_dump(&self, request: &Request<'_>, port: u32) -> Answer {
        if request.body().len() < TCMSG {
            return Answer::no_dump(Errno::EINVAL);
        }
        let form = Form::part(NEW_QDISC, request, port);
        let mut all = Vec::new();
        for index in self.stack.interfaces().map(Interface::index) {
            let count = self.qdiscs(index).len();
            if count == 0 {
                all.push(own(&form, index, 2).finish());
            }
            let made = self.qdiscs(index).iter().enumerate();
            let made = made.filter_map(|(at, q)| self.qdisc_message(&form, index, at, q.parent));
            all.extend(made.map(Message::finish));
        }
        Answer::dump(all)
    }
}

/// `struct tcmsg`, with handle, parent and who holds it.
fn head(form: &Form, index: IfIndex, words: [u32; 3]) -> Message {
    let mut head = vec![0; 4];
    head.extend(index.get().to_ne_bytes());
    for word in words {
        head.extend(word.to_ne_bytes());
    }
    form.message(&head)
}

/// What an interface has of itself: the one that keeps no queue, and counts nothing.
fn own(form: &Form, index: IfIndex, held: u32) -> Message {
    let mut m = head(form, index, [0, ROOT, held]);
    m.put_text(KIND, "noqueue");
    m.put(12, &[0]);
    let mut nested = attribute(1, &[0; 16]);
    nested.extend(attribute(3, &[0; 20]));
    m.put(7, &nested);
    m.put(3, &[0; 40]);
    m
}
