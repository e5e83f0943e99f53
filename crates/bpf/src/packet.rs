//! A packet as a program sees it.

/// What a program may know of a packet beside its bytes: fields of Linux's `sk_buff`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Meta {
    /// `skb->protocol`, an `ETH_P_*`; 0 for what came over no link (AF_UNIX).
    pub protocol: u16,
    /// `skb->pkt_type`, a `PACKET_*`.
    pub pkt_type: u8,
    /// The device it came in by: its index and its `ARPHRD_*`.
    pub device: Option<(u32, u16)>,
    /// `skb->mark`
    pub mark: u32,
    /// `skb->priority`
    pub priority: u32,
    /// `skb->queue_mapping`
    pub queue: u16,
    /// `skb->hash`
    pub hash: u32,
    /// Where the transport's data starts, from the program's first byte (`skb_get_poff()`); 0 when
    /// that cannot be told.
    pub payload_offset: u32,
    /// The IP protocol.
    pub ip_protocol: u8,
    /// The socket is bound to no address of its own.
    pub bind_any: bool,
    /// `SO_COOKIE` of the socket.
    pub cookie: u64,
    /// The user who owns the socket.
    pub uid: u32,
}

/// A packet. Offsets count from the first byte that the program may see; headers before it have
/// negative ones.
pub trait Packet {
    /// How many bytes there are from the first on.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies bytes at `offset`; false, and nothing promised of `out`, when they are not all there.
    fn load(&self, offset: i64, out: &mut [u8]) -> bool;

    /// Where the network header is.
    fn network_offset(&self) -> i32;

    /// Where the link header is; `None`: there is none.
    fn link_offset(&self) -> Option<i32>;

    /// The rest of what is known.
    fn meta(&self) -> &Meta;

    /// A socket that the program may look at, if it is there.
    fn socket(&self, _which: Which) -> Option<&SocketFields> {
        None
    }
}

/// A socket of a `struct sk_reuseport_md`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// `sk`: the member that was found, or the listener that ended.
    Found,
    /// `migrating_sk`: what goes to another listener.
    Migrating,
}

/// A socket as a program sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SocketFields {
    /// `struct bpf_sock`, in words as a program reads them.
    pub words: [u32; SocketFields::WORDS],
    /// `SO_COOKIE`
    pub cookie: u64,
}

impl SocketFields {
    /// How long a `struct bpf_sock` is, in words.
    pub const WORDS: usize = 20;
}

/// A packet in one piece of memory.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a> {
    /// All of it, headers included.
    pub bytes: &'a [u8],
    /// Where in it the program's first byte is.
    pub start: usize,
    /// Where in it the network header is.
    pub network: usize,
    /// It begins with a link header.
    pub link: bool,
    /// The rest of what is known.
    pub meta: Meta,
}

impl<'a> Bytes<'a> {
    /// Data without headers.
    pub fn new(bytes: &'a [u8]) -> Bytes<'a> {
        Bytes {
            bytes,
            start: 0,
            network: 0,
            link: false,
            meta: Meta::default(),
        }
    }
}

impl Packet for Bytes<'_> {
    fn len(&self) -> usize {
        self.bytes.len().saturating_sub(self.start)
    }

    fn load(&self, offset: i64, out: &mut [u8]) -> bool {
        let at = (self.start as i64).checked_add(offset);
        let Some(at) = at.and_then(|at| usize::try_from(at).ok()) else {
            return false;
        };
        let found = at
            .checked_add(out.len())
            .and_then(|end| self.bytes.get(at..end));
        match found {
            Some(bytes) => {
                out.copy_from_slice(bytes);
                true
            }
            None => false,
        }
    }

    fn network_offset(&self) -> i32 {
        self.network as i32 - self.start as i32
    }

    fn link_offset(&self) -> Option<i32> {
        self.link.then(|| -(self.start as i32))
    }

    fn meta(&self) -> &Meta {
        &self.meta
    }
}
