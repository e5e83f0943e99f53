//! What became of the packets that were sent into a link.

/// What one direction of a link did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipeCounters {
    /// Packets that were sent into it.
    pub sent: u64,
    /// Their bytes, from the IP header on.
    pub sent_bytes: u64,
    /// Packets that arrived at the other end.
    pub delivered: u64,
    /// Their bytes.
    pub delivered_bytes: u64,
    /// Dropped: by [`Loss`](crate::Loss).
    pub lost: u64,
    /// Dropped: the queue was full.
    pub queue_full: u64,
    /// Dropped: CoDel found the queue too long.
    pub aqm_dropped: u64,
    /// Dropped: too many were on the way (netem's limit).
    pub over_limit: u64,
    /// Dropped: larger than the MTU.
    pub too_big: u64,
    /// Dropped: the link was down, or went down while they were on the way.
    pub down: u64,
    /// A bit of these was changed.
    pub corrupted: u64,
    /// Of these, dropped, since no host would take them for a packet.
    pub unreadable: u64,
    /// Sent twice.
    pub duplicated: u64,
    /// Sent without the delay, before others.
    pub reordered: u64,
    /// Marked "congestion experienced" in place of being dropped.
    pub marked: u64,
}

impl PipeCounters {
    /// All that was dropped.
    pub fn dropped(&self) -> u64 {
        self.lost
            + self.queue_full
            + self.aqm_dropped
            + self.over_limit
            + self.too_big
            + self.down
            + self.unreadable
    }
}
