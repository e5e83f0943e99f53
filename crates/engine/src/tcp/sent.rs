//! The scoreboard: what was sent and is not acknowledged, segment by segment (Linux's retransmission queue).
//!
//! # Theory of operation
//! [`Scoreboard`] holds a [`Sent`] for each segment from SND.UNA to SND.NXT, in the order of sequence numbers, and a second
//! queue with the order of transmission. Acknowledgments, selective ones too, mark records and say in a [`Round`] what they
//! told; RACK (RFC 8985) marks as lost what was sent well before something that has arrived. Counters are in bytes, so
//! that what is in flight is a subtraction.
//!
//! # Limits
//! A record for each segment, or for the segments that left as one, and [`SPLITS`] more for pieces that the peer's blocks
//! cut. A record costs 48 bytes.

use alloc::collections::VecDeque;
use core::time::Duration;

use switchboard_wire::{SackList, SeqNum};

use crate::time::Instant;

/// Records that selective acknowledgments may cut out of segments.
const SPLITS: usize = 1024;

bitflags::bitflags! {
    /// What is known of a segment.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Mark: u8 {
        /// The peer has it, and may still drop it (RFC 2018, 8).
        const SACKED = 1;
        /// Taken for lost.
        const LOST = 1 << 1;
        /// Sent again, and that copy is in flight.
        const AGAIN = 1 << 2;
        /// Sent again some time.
        const EVER_AGAIN = 1 << 3;
        /// Sent while the application had nothing more (delivery rate).
        const APP_LIMITED = 1 << 4;
        /// It ends with a PSH.
        const PUSHED = 1 << 5;
    }
}

/// One segment, or several that left as one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) seq: SeqNum,
    pub(crate) end: SeqNum,
    /// When it was sent last.
    pub(crate) at: Instant,
    pub(crate) marks: Mark,
    /// Of several: how long each is, but for the last; else 0.
    pub(crate) each: u16,
    /// When it left: bytes delivered until then, when the last of them were, and when the first of this flight was sent
    /// (draft-cheng-iccrg-delivery-rate-estimation).
    pub(crate) delivered: u64,
    pub(crate) delivered_at: Instant,
    pub(crate) first_at: Instant,
}

impl Sent {
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        (self.end - self.seq) as u32
    }

    /// How many segments it is (tcp_skb_pcount).
    #[inline]
    pub(crate) fn segments(&self) -> u32 {
        match self.each {
            0 => 1,
            each => self.len().div_ceil(each.into()).max(1),
        }
    }

    /// How long the longest of them is.
    fn longest(&self) -> u32 {
        match self.each {
            0 => self.len(),
            each => self.len().min(each.into()),
        }
    }

    /// Whether one of them ends there.
    fn is_between(&self, at: SeqNum) -> bool {
        self.each != 0 && ((at - self.seq) as u32).is_multiple_of(self.each.into())
    }
}

/// What one acknowledgment told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Round {
    /// What was known before: the right edge of what is SACKED, and the least round-trip time.
    pub(crate) highest: Option<SeqNum>,
    pub(crate) min_rtt_us: u32,
    /// Bytes acknowledged in order, and those selectively for the first time.
    pub(crate) acked: u32,
    pub(crate) sacked: u32,
    /// Both, less what had been known to be delivered.
    pub(crate) delivered: u32,
    /// Bytes newly taken for lost.
    pub(crate) lost: u32,
    /// When the first and the last segment acknowledged in order were sent, of those never sent again.
    pub(crate) first_at: Option<Instant>,
    pub(crate) last_at: Option<Instant>,
    /// Something that was sent again is acknowledged in order.
    pub(crate) again: bool,
    /// The same of segments acknowledged selectively.
    pub(crate) sack_at: Option<Instant>,
    /// Data below `recover` that was sent once has arrived: F-RTO's evidence.
    pub(crate) original: bool,
    /// The peer got something twice (RFC 2883).
    pub(crate) duplicate: Option<(SeqNum, SeqNum)>,
    /// A segment arrived after one that was sent later: the lowest such.
    pub(crate) reordered: Option<SeqNum>,
    /// The newest segment delivered, for the delivery rate.
    pub(crate) newest: Option<Sent>,
}

impl Round {
    /// Of the newest segment that was sent once.
    pub(crate) fn latest_rtt_us(&self, now: Instant) -> Option<u32> {
        let at = self.last_at.max(self.sack_at)?;
        Some(now.micros_since(at).min(u64::from(u32::MAX)) as u32)
    }
}

/// RACK's variables (RFC 8985, 5.2 and 5.3).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rack {
    /// RACK.xmit_ts and RACK.end_seq.
    pub(crate) at: Instant,
    pub(crate) end: SeqNum,
    pub(crate) rtt_us: u32,
    pub(crate) advanced: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Scoreboard {
    segments: VecDeque<Sent>,
    /// In the order of transmission: when, from, to. Entries of what was dealt with since are left until they are first.
    order: VecDeque<(Instant, SeqNum, SeqNum)>,
    /// How many segments the records are, and how many of them are SACKED.
    count: u32,
    sacked_segments: u32,
    sacked: u32,
    lost: u32,
    again: u32,
    /// LOST and not sent again since.
    waiting: u32,
    /// No record before this is LOST and waits.
    hint: SeqNum,
    /// The blocks of the last acknowledgment: what they cover is marked.
    blocks: SackList,
    /// The right edge of what is SACKED.
    pub(crate) highest: SeqNum,
    pub(crate) rack: Rack,
    splits: usize,
}

impl Scoreboard {
    pub(crate) fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    pub(crate) fn first(&self) -> Option<&Sent> {
        self.segments.front()
    }

    pub(crate) fn last(&self) -> Option<&Sent> {
        self.segments.back()
    }

    /// Segments in flight or arrived out of order.
    pub(crate) fn segments(&self) -> u32 {
        self.count
    }

    pub(crate) const fn sacked(&self) -> u32 {
        self.sacked
    }

    pub(crate) const fn sacked_segments(&self) -> u32 {
        self.sacked_segments
    }

    pub(crate) const fn lost(&self) -> u32 {
        self.lost
    }

    pub(crate) const fn again(&self) -> u32 {
        self.again
    }

    /// Bytes to be sent again.
    pub(crate) const fn waiting(&self) -> u32 {
        self.waiting
    }

    /// RFC 6675's pipe as Linux counts it: what was sent and is neither acknowledged nor taken for lost, and what of that
    /// was sent again.
    pub(crate) fn in_flight(&self, outstanding: u32) -> u32 {
        (outstanding + self.again).saturating_sub(self.sacked + self.lost)
    }

    /// The last segment ends with a PSH.
    pub(crate) fn push_last(&mut self) {
        if let Some(last) = self.segments.back_mut() {
            last.marks |= Mark::PUSHED;
        }
    }

    /// What the segment that begins there says of its end.
    pub(crate) fn is_pushed(&self, seq: SeqNum, end: SeqNum) -> bool {
        let at = self.segments.get(self.index_of(seq));
        at.is_some_and(|s| s.end == end && s.marks.contains(Mark::PUSHED))
    }

    /// A segment leaves for the first time.
    pub(crate) fn push(&mut self, sent: Sent) {
        self.order.push_back((sent.at, sent.seq, sent.end));
        self.count += sent.segments();
        self.segments.push_back(sent);
    }

    fn index_of(&self, seq: SeqNum) -> usize {
        self.segments.partition_point(|s| s.end.leq(seq))
    }

    /// Cuts a record in two at `at`, which is within it.
    fn split(&mut self, index: usize, at: SeqNum) {
        let sent = &mut self.segments[index];
        let (mut rest, before) = (*sent, sent.segments());
        sent.end = at;
        sent.marks.remove(Mark::PUSHED);
        rest.seq = at;
        // A cut between two of its segments makes no more of them.
        let more = (sent.segments() + rest.segments()).saturating_sub(before);
        self.count += more;
        if sent.marks.contains(Mark::SACKED) {
            self.sacked_segments += more;
        }
        self.segments.insert(index + 1, rest);
    }

    /// Marks what the blocks say (RFC 2018), against what is acknowledged in order by the same segment.
    pub(crate) fn on_blocks(
        &mut self,
        now: Instant,
        blocks: &SackList,
        (una, ack, max): (SeqNum, SeqNum, SeqNum),
        recover: SeqNum,
        round: &mut Round,
    ) {
        let list = blocks.as_slice();
        let Some(&(left, right)) = list.first() else {
            return;
        };
        // RFC 2883, 4: the first block is a duplicate if it is below the acknowledgment or within the second.
        let inside = list
            .get(1)
            .is_some_and(|&(l, r)| l.leq(left) && right.leq(r));
        let mut skip = 0;
        if left.lt(right) && (left.lt(ack) || inside) {
            // What was never sent cannot have come twice.
            if !right.gt(max) {
                round.duplicate = Some((left, right));
            }
            skip = 1;
        }
        for &(left, right) in &list[skip.min(list.len())..] {
            // tcp_is_sackblock_valid.
            if !left.lt(right) || right.gt(max) || !right.gt(ack) || left.lt(una) {
                continue;
            }
            self.mark_new(now, left.max(ack), right, recover, round);
        }
        self.blocks = *blocks;
    }

    /// The parts of a block that the last acknowledgment did not have.
    fn mark_new(
        &mut self,
        now: Instant,
        left: SeqNum,
        right: SeqNum,
        recover: SeqNum,
        round: &mut Round,
    ) {
        let mut from = left;
        while from.lt(right) {
            // A known block over `from` is passed by; else up to where the next known one begins.
            let known = self.blocks;
            if let Some((_, r)) = known
                .iter()
                .find(|&(l, r)| l.leq(from) && from.lt(r) && self.is_sacked(l))
            {
                from = r;
                continue;
            }
            let to = known
                .iter()
                .map(|(l, _)| l)
                .filter(|l| l.gt(from) && l.lt(right))
                .fold(right, SeqNum::min);
            self.mark(now, from, to, recover, round);
            from = to;
        }
    }

    fn is_sacked(&self, seq: SeqNum) -> bool {
        let at = self.index_of(seq);
        self.segments
            .get(at)
            .is_some_and(|s| s.marks.contains(Mark::SACKED))
    }

    fn mark(&mut self, now: Instant, from: SeqNum, to: SeqNum, recover: SeqNum, round: &mut Round) {
        let mut index = self.index_of(from);
        while let Some(sent) = self.segments.get(index) {
            if !sent.seq.lt(to) {
                break;
            }
            if sent.marks.contains(Mark::SACKED) {
                index += 1;
                continue;
            }
            if sent.seq.lt(from) || sent.end.gt(to) {
                let next = sent.seq.lt(from);
                let at = if next { from } else { to };
                if !sent.is_between(at) {
                    if self.splits >= SPLITS {
                        index += 1;
                        continue;
                    }
                    self.splits += 1;
                }
                self.split(index, at);
                index += usize::from(next);
                continue;
            }
            self.mark_sacked(now, index, recover, round);
            index += 1;
        }
    }

    fn mark_sacked(&mut self, now: Instant, index: usize, recover: SeqNum, round: &mut Round) {
        let sent = self.segments[index];
        let len = sent.len();
        if !sent.marks.intersects(Mark::AGAIN | Mark::EVER_AGAIN) {
            if round.highest.is_some_and(|highest| sent.seq.lt(highest)) {
                let low = round.reordered.map_or(sent.seq, |seq| seq.min(sent.seq));
                round.reordered = Some(low);
            }
            if sent.end.leq(recover) {
                round.original = true;
            }
            round.sack_at = Some(round.sack_at.map_or(sent.at, |at| at.max(sent.at)));
        }
        self.unlose(index);
        let sent = &mut self.segments[index];
        sent.marks |= Mark::SACKED;
        self.sacked += len;
        self.sacked_segments += sent.segments();
        self.highest = if self.sacked == len {
            sent.end
        } else {
            self.highest.max(sent.end)
        };
        let sent = *sent;
        round.sacked += len;
        round.delivered += len;
        self.delivered(now, &sent, round);
    }

    /// Takes LOST and AGAIN off a record that has arrived.
    fn unlose(&mut self, index: usize) {
        let sent = &mut self.segments[index];
        let len = sent.len();
        if sent.marks.contains(Mark::LOST) {
            self.lost -= len;
            if !sent.marks.contains(Mark::AGAIN) {
                self.waiting -= len;
            }
        }
        if sent.marks.contains(Mark::AGAIN) {
            self.again -= len;
        }
        sent.marks.remove(Mark::LOST | Mark::AGAIN);
    }

    /// RFC 8985, 6.2 step 2, and the newest segment for the delivery rate.
    fn delivered(&mut self, now: Instant, sent: &Sent, round: &mut Round) {
        if round
            .newest
            .is_none_or(|newest| (sent.delivered, sent.at, 0) > (newest.delivered, newest.at, 0))
        {
            round.newest = Some(*sent);
        }
        let rtt = now.micros_since(sent.at).min(u64::from(u32::MAX)) as u32;
        // What comes back faster than anything ever did answers the first copy.
        if sent.marks.contains(Mark::EVER_AGAIN) && rtt < round.min_rtt_us {
            return;
        }
        let rack = &mut self.rack;
        // Of each that arrives, in the order of the stream, so that after a timeout that was wrong the time is that of what was
        // sent once, and what else was sent then is not taken for lost (tcp_rack_advance).
        rack.rtt_us = rtt;
        rack.advanced = true;
        if sent.at > rack.at || (sent.at == rack.at && sent.end.gt(rack.end)) {
            (rack.at, rack.end) = (sent.at, sent.end);
        }
    }

    /// Everything before `ack` has arrived.
    pub(crate) fn on_ack(&mut self, now: Instant, ack: SeqNum, recover: SeqNum, round: &mut Round) {
        while let Some(front) = self.segments.front() {
            if front.seq.geq(ack) {
                break;
            }
            if front.end.gt(ack) {
                self.split(0, ack);
            }
            self.unlose(0);
            let Some(sent) = self.segments.pop_front() else {
                break;
            };
            let len = sent.len();
            self.count = self.count.saturating_sub(sent.segments());
            round.acked += len;
            let again = sent.marks.contains(Mark::EVER_AGAIN);
            round.again |= again;
            if sent.marks.contains(Mark::SACKED) {
                self.sacked -= len;
                self.sacked_segments = self.sacked_segments.saturating_sub(sent.segments());
            } else {
                round.delivered += len;
                self.delivered(now, &sent, round);
            }
            if !again && !sent.marks.contains(Mark::SACKED) {
                if sent.end.leq(recover) {
                    round.original = true;
                }
                if round.highest.is_some_and(|highest| sent.seq.lt(highest)) {
                    let low = round.reordered.map_or(sent.seq, |seq| seq.min(sent.seq));
                    round.reordered = Some(low);
                }
                round.first_at.get_or_insert(sent.at);
                round.last_at = Some(sent.at);
            }
        }
        if self.segments.is_empty() {
            self.order.clear();
            self.count = 0;
            self.splits = 0;
            self.blocks = SackList::new();
        } else if self.order.len() > 64 + 4 * self.segments.len() {
            self.compact();
        }
    }

    /// Drops what is dealt with from the order of transmission.
    fn compact(&mut self) {
        let order = core::mem::take(&mut self.order);
        self.order = order
            .into_iter()
            .filter(|&(at, seq, end)| {
                let index = self.index_of(seq);
                let of = self.segments.range(index..).take_while(|s| s.seq.lt(end));
                of.clone().any(|s| s.at == at)
            })
            .collect();
    }

    fn lose(&mut self, index: usize) -> u32 {
        let sent = &mut self.segments[index];
        let len = sent.len();
        if sent.marks.contains(Mark::SACKED)
            || (sent.marks.contains(Mark::LOST) && !sent.marks.contains(Mark::AGAIN))
        {
            return 0;
        }
        if sent.marks.contains(Mark::AGAIN) {
            self.again -= len;
            sent.marks.remove(Mark::AGAIN);
        }
        if !sent.marks.contains(Mark::LOST) {
            sent.marks |= Mark::LOST;
            self.lost += len;
        }
        self.hint = if self.waiting == 0 {
            sent.seq
        } else {
            self.hint.min(sent.seq)
        };
        self.waiting += len;
        len
    }

    /// RACK_detect_loss() (RFC 8985, 6.2 step 5): marks what was sent longer before the newest delivered segment than
    /// reordering explains. When the next is due, if any is.
    pub(crate) fn detect(
        &mut self,
        now: Instant,
        window_us: u32,
        round: &mut Round,
    ) -> Option<Instant> {
        let rack = self.rack;
        let patience = Duration::from_micros(u64::from(rack.rtt_us) + u64::from(window_us));
        while let Some(&(at, seq, end)) = self.order.front() {
            let mut index = self.index_of(seq);
            let mut due = None;
            let mut live = false;
            while let Some(sent) = self.segments.get(index).filter(|s| s.seq.lt(end)) {
                let dealt_with = sent.at != at
                    || sent.marks.contains(Mark::SACKED)
                    || (sent.marks.contains(Mark::LOST) && !sent.marks.contains(Mark::AGAIN));
                if !dealt_with {
                    let before = sent.at < rack.at || (sent.at == rack.at && sent.end.lt(rack.end));
                    if before && sent.at + patience <= now {
                        round.lost += self.lose(index);
                    } else {
                        live = true;
                        if before {
                            due = Some(sent.at + patience);
                        }
                    }
                }
                index += 1;
            }
            if live {
                return due;
            }
            self.order.pop_front();
        }
        None
    }

    /// The first segment is taken for lost (RFC 6582: a peer without SACK).
    pub(crate) fn lose_first(&mut self) -> u32 {
        if self.segments.is_empty() {
            0
        } else {
            self.lose(0)
        }
    }

    /// After a timeout everything that is not known to have arrived is lost, but what was sent a moment ago (RFC 8985,
    /// 6.3).
    pub(crate) fn lose_all(&mut self, now: Instant, patience: Duration) {
        for index in 0..self.segments.len() {
            if index == 0 || self.segments[index].at + patience <= now {
                self.lose(index);
            }
        }
    }

    /// Segments larger than the path carries are lost (tcp_simple_retransmit).
    pub(crate) fn lose_larger(&mut self, mss: u32) {
        for index in 0..self.segments.len() {
            if self.segments[index].longest() > mss {
                self.lose(index);
            }
        }
    }

    /// What was taken for lost was not (tcp_undo_cwnd_reduction): what was not sent again is in flight again.
    pub(crate) fn find_all(&mut self) {
        for sent in &mut self.segments {
            sent.marks.remove(Mark::LOST);
        }
        (self.lost, self.waiting) = (0, 0);
        self.judge_again();
    }

    /// What was dealt with may be found lost anew.
    fn judge_again(&mut self) {
        let segments = self.segments.iter();
        self.order = segments.map(|s| (s.at, s.seq, s.end)).collect();
        self.order.make_contiguous().sort_by_key(|(at, ..)| *at);
    }

    /// The peer has dropped what it had acknowledged selectively (RFC 2018, 8).
    pub(crate) fn forget_sacked(&mut self) {
        for sent in &mut self.segments {
            sent.marks.remove(Mark::SACKED);
        }
        (self.sacked, self.sacked_segments) = (0, 0);
        self.blocks = SackList::new();
        self.judge_again();
    }

    /// The first segment says it arrived, though nothing in order says so.
    pub(crate) fn is_reneged(&self) -> bool {
        self.first().is_some_and(|s| s.marks.contains(Mark::SACKED))
    }

    /// The next segment to be sent again.
    pub(crate) fn next_lost(&mut self) -> Option<Sent> {
        if self.waiting == 0 {
            return None;
        }
        let mut index = self.index_of(self.hint);
        while let Some(sent) = self.segments.get(index) {
            if sent.marks.contains(Mark::LOST) && !sent.marks.contains(Mark::AGAIN) {
                self.hint = sent.seq;
                return Some(*sent);
            }
            index += 1;
        }
        None
    }

    /// tcp_retrans_try_collapse: small segments behind the one at `seq` that fit before `most` become one with it. `stop`
    /// says where two may not be joined. Where the record ends then.
    pub(crate) fn collapse(
        &mut self,
        seq: SeqNum,
        most: SeqNum,
        stop: impl Fn(SeqNum) -> bool,
    ) -> SeqNum {
        let index = self.index_of(seq);
        while let Some(next) = self.segments.get(index + 1) {
            let end = next.end;
            if next.marks.contains(Mark::SACKED) || end.gt(most) || stop(next.seq) {
                break;
            }
            self.unlose(index + 1);
            let Some(next) = self.segments.remove(index + 1) else {
                break;
            };
            let sent = &mut self.segments[index];
            let apart = sent.segments() + next.segments();
            (sent.end, sent.each) = (end, 0);
            sent.marks |= next.marks & (Mark::EVER_AGAIN | Mark::PUSHED);
            self.count = self.count + 1 - apart;
            if sent.marks.contains(Mark::LOST) {
                self.lost += next.len();
                if !sent.marks.contains(Mark::AGAIN) {
                    self.waiting += next.len();
                }
            }
            if sent.marks.contains(Mark::AGAIN) {
                self.again += next.len();
            }
        }
        self.segments[index].end
    }

    /// Cuts what was sent last, so that the last piece is the last segment, of at most `len` bytes; where that begins.
    pub(crate) fn cut_last(&mut self, len: u32) -> SeqNum {
        let Some(last) = self.segments.back().copied() else {
            return SeqNum(0);
        };
        if last.len() <= len {
            return last.seq;
        }
        let before = (last.segments() - 1) * u32::from(last.each);
        let at = (last.seq + before).max(last.end - len);
        self.split(self.segments.len() - 1, at);
        at
    }

    /// The segment at `seq` is sent again, up to `end`.
    pub(crate) fn resend(&mut self, seq: SeqNum, end: SeqNum, now: Instant, stamp: Stamp) {
        let index = self.index_of(seq);
        if self.segments.get(index).is_none_or(|s| s.seq != seq) {
            return;
        }
        if self.segments[index].end.gt(end) {
            self.split(index, end);
        }
        let sent = &mut self.segments[index];
        let len = sent.len();
        if sent.marks.contains(Mark::LOST) && !sent.marks.contains(Mark::AGAIN) {
            self.waiting -= len;
        }
        if !sent.marks.contains(Mark::AGAIN) {
            self.again += len;
        }
        sent.marks |= Mark::AGAIN | Mark::EVER_AGAIN;
        sent.at = now;
        (sent.delivered, sent.delivered_at, sent.first_at) = stamp;
        self.order.push_back((now, seq, end));
    }
}

/// Of the delivery rate: `delivered`, `delivered_at`, `first_at` of a [`Sent`].
pub(crate) type Stamp = (u64, Instant, Instant);

#[cfg(test)]
mod tests;
