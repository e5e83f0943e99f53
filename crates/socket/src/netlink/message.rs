//! `struct nlmsghdr` and its attributes, in and out.

use alloc::vec::Vec;

/// `NLMSG_HDRLEN`
pub(super) const HEADER: usize = 16;
/// `NLMSG_MIN_TYPE`: smaller ones are control messages.
pub(super) const MIN_TYPE: u16 = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
pub(super) const REQUEST: u16 = 1;
const MULTI: u16 = 2;
pub(super) const ACK: u16 = 4;
/// `NLM_F_ROOT` or `NLM_F_MATCH`: one of them makes a dump.
pub(super) const DUMP: u16 = 0x300;
const CAPPED: u16 = 0x100;

/// A request.
pub(super) struct Request<'a> {
    /// The whole message, header and all.
    pub(super) bytes: &'a [u8],
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
}

impl<'a> Request<'a> {
    /// What follows the header.
    pub(super) fn body(&self) -> &'a [u8] {
        &self.bytes[HEADER..]
    }

    /// The attribute of this type behind a family header of `skip` bytes.
    pub(super) fn attribute(&self, skip: usize, wanted: u16) -> Option<&'a [u8]> {
        let mut rest = self.body().get(align(skip)..)?;
        loop {
            let (len, kind) = (word(rest, 0)?, word(rest, 2)?);
            let len = usize::from(len);
            if len < 4 {
                return None;
            }
            let data = rest.get(4..len)?;
            // NLA_F_NESTED and NLA_F_NET_BYTEORDER are no part of the type.
            if kind & 0x3fff == wanted {
                return Some(data);
            }
            rest = rest.get(align(len)..)?;
        }
    }
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

    /// One of the many that answer a dump.
    pub(super) fn part(kind: u16, request: &Request<'_>, port: u32, body: &[u8]) -> Message {
        let flags = if request.flags & DUMP != 0 { MULTI } else { 0 };
        Message::new(kind, flags, request.sequence, port, body)
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

/// netlink_ack(): 0, or a negative errno and the request that it is about. `capped` leaves that at its header.
pub(super) fn ack(request: &Request<'_>, port: u32, error: i32, capped: bool) -> Vec<u8> {
    let capped = capped || error == 0;
    let (flags, quoted) = if capped {
        (CAPPED, &request.bytes[..HEADER])
    } else {
        (0, request.bytes)
    };
    let mut body = error.to_ne_bytes().to_vec();
    body.extend_from_slice(quoted);
    Message::new(ERROR, flags, request.sequence, port, &body).finish()
}

/// NLMSG_DONE, which ends a dump.
pub(super) fn done(request: &Request<'_>, port: u32) -> Vec<u8> {
    Message::new(DONE, MULTI, request.sequence, port, &[0; 4]).finish()
}
