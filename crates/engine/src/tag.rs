//! What a packet carries on its host beside its bytes.

/// Linux's `skb->mark` and `skb->priority`: set by the sending socket, kept over `lo`, lost on a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tag {
    /// SO_MARK.
    pub mark: u32,
    /// SO_PRIORITY.
    pub priority: u32,
    /// Its data came in pages, as a batch's does (UDP_SEGMENT): what a receiver is charged goes by that.
    pub paged: bool,
}
