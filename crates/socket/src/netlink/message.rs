//! `struct nlmsghdr` and its attributes, in and out.

use super::NetlinkFlags;
use super::policy::Shape;
use alloc::vec::Vec;
use switchboard_abi::Errno;

/// `NLMSG_HDRLEN`
pub(super) const HEADER: usize = 16;
/// `NLMSG_MIN_TYPE`: smaller ones are control messages.
pub(super) const MIN_TYPE: u16 = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
pub(super) const REQUEST: u16 = 1;
pub(super) const MULTI: u16 = 2;
pub(super) const ACK: u16 = 4;
/// `NLM_F_ROOT` or `NLM_F_MATCH`: one of them makes a dump.
pub(super) const DUMP: u16 = 0x300;
/// What a request that makes something says: replace it, only if it is not there, make it, at the end.
pub(super) const REPLACE: u16 = 0x100;
pub(super) const EXCL: u16 = 0x200;
pub(crate) const CREATE: u16 = 0x400;
pub(super) const APPEND: u16 = 0x800;
/// The request's fields have narrowed the dump.
pub(super) const DUMP_FILTERED: u16 = 0x20;
const CAPPED: u16 = 0x100;
const ACK_TLVS: u16 = 0x200;
/// `NLMSGERR_ATTR_MSG`, `NLMSGERR_ATTR_OFFS`
const ERROR_TEXT: u16 = 1;
const ERROR_OFFSET: u16 = 2;
/// `NLMSGERR_ATTR_MISS_TYPE`
const ERROR_MISSING: u16 = 5;

/// What a request gets.
pub(super) enum Answer {
    /// Nothing but the acknowledgment that it may ask for.
    Done,
    /// One message.
    One(Vec<u8>),
    /// A dump that ends with an error before it has begun.
    NoDump {
        why: Refusal,
        /// The request's fields had narrowed it by then.
        filtered: bool,
    },
    /// The messages of a dump, without the one that ends it.
    Dump {
        messages: Vec<Vec<u8>>,
        /// The request's fields have narrowed it.
        filtered: bool,
    },
}

impl Answer {
    pub(super) fn no_dump(why: impl Into<Refusal>) -> Answer {
        Answer::NoDump {
            why: why.into(),
            filtered: false,
        }
    }

    pub(super) fn dump(messages: Vec<Vec<u8>>) -> Answer {
        Answer::Dump {
            messages,
            filtered: false,
        }
    }
}

/// Why a request is refused (`struct netlink_ext_ack`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) errno: Option<Errno>,
    /// What NETLINK_EXT_ACK tells.
    pub(super) text: Option<&'static str>,
    /// The attribute that is at fault, as an offset in the message.
    pub(super) at: Option<usize>,
    /// What it should have been.
    pub(super) policy: Option<Shape>,
    /// The type of one that is not there and should be.
    pub(super) missing: Option<u16>,
}

impl Refusal {
    pub(super) const NONE: Refusal = Refusal {
        errno: None,
        text: None,
        at: None,
        policy: None,
        missing: None,
    };

    pub(super) const fn new(errno: Errno, text: &'static str) -> Refusal {
        Refusal {
            errno: Some(errno),
            text: Some(text),
            ..Refusal::NONE
        }
    }
}

impl Refusal {
    /// The same, told in other words.
    pub(super) fn reworded(self, text: &'static str) -> Refusal {
        Refusal {
            text: Some(text),
            ..self
        }
    }

    /// Whether there is more to tell than the errno, to somebody who wants to know (NETLINK_EXT_ACK).
    fn told(&self, socket: NetlinkFlags) -> bool {
        socket.contains(NetlinkFlags::EXT_ACK)
            && (self.text.is_some() || self.at.is_some() || self.missing.is_some())
    }

    /// netlink_ack_tlv_fill()
    fn put(&self, m: &mut Message) {
        if let Some(text) = self.text {
            m.put_text(ERROR_TEXT, text);
        }
        if let Some(at) = self.at {
            m.put_u32(ERROR_OFFSET, at as u32);
        }
        if let Some(shape) = self.policy {
            shape.put(m);
        }
        if let Some(kind) = self.missing {
            m.put_u32(ERROR_MISSING, kind.into());
        }
    }
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Refusal {
        Refusal {
            errno: Some(errno),
            ..Refusal::NONE
        }
    }
}

/// A request.
pub(super) struct Request<'a> {
    /// The whole message, header and all.
    pub(super) bytes: &'a [u8],
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
}

impl<'a> Request<'a> {
    /// The flags of an answer: a part of a dump, or all there is.
    pub(super) fn reply_flags(&self) -> u16 {
        if self.flags & DUMP != 0 { MULTI } else { 0 }
    }

    /// What follows the header.
    pub(super) fn body(&self) -> &'a [u8] {
        &self.bytes[HEADER..]
    }

    /// The attribute of this type behind a family header of `skip` bytes; of several the last, as nla_parse() has it.
    pub(super) fn attribute(&self, skip: usize, wanted: u16) -> Option<&'a [u8]> {
        let all = attributes(self.body().get(align(skip)..)?);
        all.filter(|(kind, _)| *kind == wanted)
            .last()
            .map(|(_, data)| data)
    }

    /// The first attribute of this type.
    pub(super) fn first(&self, skip: usize, wanted: u16) -> Option<&'a [u8]> {
        let mut all = attributes(self.body().get(align(skip)..)?);
        all.find(|(kind, _)| *kind == wanted).map(|(_, data)| data)
    }

    /// The types of all attributes there.
    pub(super) fn kinds(&self, skip: usize) -> impl Iterator<Item = u16> + 'a {
        let rest = self.body().get(align(skip)..).unwrap_or(&[]);
        attributes(rest).map(|(kind, _)| kind)
    }
}

/// Types and data of attributes, up to one that is cut short.
pub(super) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    core::iter::from_fn(move || {
        let (len, kind) = (usize::from(word(rest, 0)?), word(rest, 2)?);
        let data = rest.get(4..len)?;
        rest = rest.get(align(len)..).unwrap_or(&[]);
        // NLA_F_NESTED and NLA_F_NET_BYTEORDER are no part of the type.
        Some((kind & 0x3fff, data))
    })
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let b = bytes.get(at..at + 2)?;
    Some(u16::from_ne_bytes([b[0], b[1]]))
}

fn long(bytes: &[u8], at: usize) -> Option<u32> {
    let b = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes([b[0], b[1], b[2], b[3]]))
}

const fn align(len: usize) -> usize {
    len.next_multiple_of(4)
}

/// netlink_rcv_skb(): the messages of a datagram. One that is cut short ends the list.
pub(super) fn requests(mut bytes: &[u8]) -> Vec<Request<'_>> {
    let mut out = Vec::new();
    while let (Some(len), true) = (long(bytes, 0), bytes.len() >= HEADER) {
        let len = len as usize;
        if len < HEADER || len > bytes.len() {
            break;
        }
        let field = |at| word(bytes, at).unwrap_or(0);
        out.push(Request {
            bytes: &bytes[..len],
            kind: field(4),
            flags: field(6),
            sequence: long(bytes, 8).unwrap_or(0),
        });
        bytes = bytes.get(align(len)..).unwrap_or(&[]);
    }
    out
}

/// An attribute by itself, for a list of them.
pub(super) fn attribute(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + align(data.len()));
    out.extend_from_slice(&(4 + data.len() as u16).to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(data);
    out.resize(align(out.len()), 0);
    out
}

/// A message that is being written.
pub(super) struct Message {
    bytes: Vec<u8>,
}

impl Message {
    pub(super) fn new(kind: u16, flags: u16, sequence: u32, port: u32, body: &[u8]) -> Message {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&port.to_ne_bytes());
        bytes.extend_from_slice(body);
        Message { bytes }
    }

    /// nla_put()
    pub(super) fn put(&mut self, kind: u16, data: &[u8]) {
        let len = 4 + data.len() as u16;
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(data);
        self.bytes.resize(align(self.bytes.len()), 0);
    }

    pub(super) fn put_u32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_ne_bytes());
    }

    /// With its terminating NUL.
    pub(super) fn put_text(&mut self, kind: u16, text: &str) {
        let mut data = text.as_bytes().to_vec();
        data.push(0);
        self.put(kind, &data);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let len = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&len.to_ne_bytes());
        self.bytes
    }
}

/// netlink_ack(): 0, or a negative errno and the request that it is about, which NETLINK_CAP_ACK leaves at its header;
/// with NETLINK_EXT_ACK what is known beside.
pub(super) fn ack(
    request: &Request<'_>,
    port: u32,
    refusal: &Refusal,
    socket: NetlinkFlags,
) -> Vec<u8> {
    let error = refusal.errno.map_or(0, |errno| -i32::from(errno.0));
    let capped = error == 0 || socket.contains(NetlinkFlags::CAP_ACK);
    let (mut flags, quoted) = if capped {
        (CAPPED, &request.bytes[..HEADER])
    } else {
        (0, request.bytes)
    };
    let told = refusal.told(socket);
    if told {
        flags |= ACK_TLVS;
    }
    let mut body = error.to_ne_bytes().to_vec();
    body.extend_from_slice(quoted);
    body.resize(align(body.len()), 0);
    let mut m = Message::new(ERROR, flags, request.sequence, port, &body);
    if told {
        refusal.put(&mut m);
    }
    m.finish()
}

/// netlink_dump_done(): NLMSG_DONE, which ends a dump, with 0 or a negative errno.
pub(super) fn done(
    request: &Request<'_>,
    port: u32,
    filtered: bool,
    refusal: &Refusal,
    socket: NetlinkFlags,
) -> Vec<u8> {
    let error = refusal.errno.map_or(0, |errno| -i32::from(errno.0));
    let told = refusal.told(socket);
    let flags = MULTI | if told { ACK_TLVS } else { 0 } | if filtered { DUMP_FILTERED } else { 0 };
    let mut m = Message::new(DONE, flags, request.sequence, port, &error.to_ne_bytes());
    if told {
        refusal.put(&mut m);
    }
    m.finish()
}

/// Sets flags of a message that is written.
pub(super) fn add_flags(message: &mut [u8], flags: u16) {
    if let Some(field) = message.get_mut(6..8) {
        let old = u16::from_ne_bytes([field[0], field[1]]);
        field.copy_from_slice(&(old | flags).to_ne_bytes());
    }
}
