//! FQ-CoDel: RFC 8290. Each flow has a queue of its own under CoDel, and they take turns.

use alloc::collections::{BTreeMap, VecDeque};
use core::hash::{Hash, Hasher};
use core::time::Duration;

use siphasher::sip::SipHasher13;
use switchboard_engine::Instant;
use switchboard_wire::{Body, Frame};

use crate::codel::{CodelConfig, Control};
use crate::counters::PipeCounters;
use crate::queue::{Line, Waiting};

/// What an FQ-CoDel queue is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FqCodelConfig {
    /// CoDel's parameters of each flow; its limit is that of all flows together.
    pub codel: CodelConfig,
    /// How many queues flows are spread over.
    pub flows: u32,
    /// How many bytes a flow sends before it is another's turn.
    pub quantum: u32,
    /// How many bytes may wait in all flows.
    pub memory_limit: u64,
}

impl Default for FqCodelConfig {
    /// tc-fq_codel(8)'s.
    fn default() -> FqCodelConfig {
        FqCodelConfig {
            codel: CodelConfig {
                ecn: true,
                limit: 10_240,
                ..CodelConfig::default()
            },
            flows: 1024,
            quantum: 1514,
            memory_limit: 32 << 20,
        }
    }
}

/// How many packets of the longest queue go at once when there are too many (tc-fq_codel(8): drop_batch).
const DROP_BATCH: usize = 64;

#[derive(Debug, Default)]
struct Flow {
    line: Line,
    control: Control,
    /// How many bytes it may still send in this turn (RFC 8290, 3: credits).
    deficit: i64,
    /// It is in one of the two lists.
    listed: bool,
}

#[derive(Debug)]
pub(crate) struct FqCodel {
    config: FqCodelConfig,
    key: (u64, u64),
    maxpacket: u32,
    /// The queues that have been used. There are `flows` of them at most.
    flows: BTreeMap<u32, Flow>,
    new: VecDeque<u32>,
    old: VecDeque<u32>,
    packets: usize,
    bytes: u64,
}

impl FqCodel {
    pub(crate) fn new(config: FqCodelConfig, key: (u64, u64), maxpacket: u32) -> FqCodel {
        FqCodel {
            config,
            key,
            maxpacket,
            flows: BTreeMap::new(),
            new: VecDeque::new(),
            old: VecDeque::new(),
            packets: 0,
            bytes: 0,
        }
    }

    /// RFC 8290, 4.1.1: by the five-tuple, keyed so that nobody can choose whom to meet.
    fn classify(&self, frame: &Frame) -> u32 {
        // fq_codel_hash() knows what IP is; all that is not is one flow.
        let Some(packet) = frame.packet() else {
            return 0;
        };
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        (packet.ip.src, packet.ip.dst, packet.protocol()).hash(&mut hasher);
        let body = match &packet.body {
            Body::Extended(extended) => &extended.body,
            body => body,
        };
        match body {
            Body::Tcp(tcp) => (tcp.src_port, tcp.dst_port).hash(&mut hasher),
            Body::Udp(udp) => (udp.src_port, udp.dst_port).hash(&mut hasher),
            _ => {}
        }
        (((hasher.finish() >> 32) * u64::from(self.config.flows.max(1))) >> 32) as u32
    }

    /// RFC 8290, 4.1.
    pub(crate) fn push(&mut self, waiting: Waiting, counters: &mut PipeCounters) {
        let index = self.classify(&waiting.frame);
        self.packets += 1;
        self.bytes += u64::from(waiting.len);
        let flow = self.flows.entry(index).or_default();
        flow.line.push(waiting);
        if !flow.listed {
            flow.listed = true;
            flow.deficit = self.config.quantum.max(1).into();
            self.new.push_back(index);
        }
        if self.packets > self.config.codel.limit as usize || self.bytes > self.config.memory_limit
        {
            self.drop_from_longest(counters);
        }
    }

    /// RFC 8290, 4.1.3: from the head of the longest queue, half of it at most.
    fn drop_from_longest(&mut self, counters: &mut PipeCounters) {
        let longest = self.flows.values_mut().max_by_key(|flow| flow.line.bytes());
        let Some(flow) = longest else { return };
        let half = flow.line.bytes() / 2;
        for _ in 0..DROP_BATCH {
            let Some(waiting) = flow.line.pop() else {
                return;
            };
            self.packets -= 1;
            self.bytes -= u64::from(waiting.len);
            counters.queue_full += 1;
            if flow.line.bytes() <= half {
                return;
            }
        }
    }

    /// RFC 8290, 4.2.
    pub(crate) fn pop(&mut self, now: Instant, counters: &mut PipeCounters) -> Option<Waiting> {
        loop {
            let is_new = !self.new.is_empty();
            let list = if is_new { &mut self.new } else { &mut self.old };
            let index = *list.front()?;
            let flow = self.flows.entry(index).or_default();
            if flow.deficit <= 0 {
                flow.deficit += i64::from(self.config.quantum.max(1));
                list.pop_front();
                self.old.push_back(index);
                continue;
            }
            let (packets, bytes) = (flow.line.len(), flow.line.bytes());
            let (codel, others) = (&self.config.codel, self.bytes - bytes);
            let popped =
                (flow.control).pop(codel, self.maxpacket, now, &mut flow.line, others, counters);
            self.packets -= packets - flow.line.len();
            self.bytes -= bytes - flow.line.bytes();
            let Some(waiting) = popped else {
                list.pop_front();
                if is_new && !self.old.is_empty() {
                    // Else a flow that sends just often enough would always be a new one.
                    self.old.push_back(index);
                } else {
                    flow.listed = false;
                }
                continue;
            };
            flow.deficit -= i64::from(waiting.len);
            return Some(waiting);
        }
    }

    pub(crate) fn give_up(&mut self) -> Option<Waiting> {
        let waiting = self.flows.values_mut().find_map(|flow| flow.line.pop())?;
        self.packets -= 1;
        self.bytes -= u64::from(waiting.len);
        Some(waiting)
    }

    pub(crate) fn len(&self) -> usize {
        self.packets
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// The target that a slow link needs: time for one and a half packets of this length (tc-codel(8) leaves it to the
/// reader; RFC 8289, 4.4 asks for it).
pub fn target_for_rate(bits_per_second: u64, mtu: u32) -> Duration {
    let default = CodelConfig::default().target;
    let nanos = u128::from(mtu) * 12 * 1_000_000_000 / u128::from(bits_per_second.max(1));
    default.max(Duration::from_nanos(
        u64::try_from(nanos).unwrap_or(u64::MAX),
    ))
}

#[cfg(test)]
mod tests;
