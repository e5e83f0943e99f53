//! What attributes have to be before a request is looked at (`struct nla_policy`, validate_nla()).

use super::message::{HEADER, Message, Refusal, Request, attribute};
use alloc::vec::Vec;
use switchboard_abi::Errno;

/// `NLA_F_NESTED`
const NESTED: u16 = 0x8000;
/// `NLMSGERR_ATTR_POLICY`
const ERROR_POLICY: u16 = 4;

const RESERVED: &str = "reserved bit set";

/// What an attribute has to be. Where nothing else is said a longer one is taken, and what is too much of it is not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Anything: NLA_UNSPEC, or no row.
    Any,
    /// At least so many bytes.
    AtLeast(u16),
    /// An integer of so many bytes, from the one value to the other.
    Int(u8, u64, u64),
    /// The same with a sign.
    Signed(u8, i64, i64),
    /// An integer of so many bytes, of which no other bits may be set.
    Masked(u8, u64),
    /// An integer of so many bytes in network byte order.
    Network(u8),
    /// So many bytes at most, or 0 for any number.
    Binary(u16),
    /// Text of so many bytes at most, or 0 for any number; its NUL may be missing.
    Text(u16),
    /// Text of so many bytes at most, or 0 for any number, and its NUL.
    Terminated(u16),
    /// Attributes, or nothing.
    Nest,
    /// None may be there.
    Refused,
}

pub(crate) const U8: Shape = Shape::Int(1, 0, 0xff);
pub(crate) const U16: Shape = Shape::Int(2, 0, 0xffff);
pub(crate) const U32: Shape = Shape::Int(4, 0, 0xffff_ffff);
pub(crate) const S32: Shape = Shape::Signed(4, i32::MIN as i64, i32::MAX as i64);

/// The attributes of a kind of message.
pub(crate) struct Policy {
    /// By type, up to the last that there is.
    pub(crate) shapes: &'static [Shape],
    /// `strict_start_type`: from this type on lengths have to be exact, and nothing else is taken.
    pub(crate) strict_from: u16,
}

impl Shape {
    /// Why an attribute with this data is refused, unless it is fine.
    fn fault(self, kind: u16, data: &[u8], strict: bool) -> Option<(Errno, &'static str)> {
        let len = data.len();
        let invalid = |errno| Some((errno, "Attribute failed policy validation"));
        let width = match self {
            Shape::Int(width, ..)
            | Shape::Signed(width, ..)
            | Shape::Masked(width, _)
            | Shape::Network(width) => Some(usize::from(width)),
            _ => None,
        };
        if strict && width.is_some_and(|width| len != width) {
            return Some((Errno::EINVAL, "invalid attribute length"));
        }
        let nest = self == Shape::Nest;
        if strict && nest && kind & NESTED == 0 {
            return Some((Errno::EINVAL, "NLA_F_NESTED is missing"));
        }
        if strict && !nest && self != Shape::Any && kind & NESTED != 0 {
            return Some((Errno::EINVAL, "NLA_F_NESTED not expected"));
        }
        if width.is_some_and(|width| len < width) {
            return invalid(Errno::ERANGE);
        }
        match self {
            Shape::Any if strict => Some((Errno::EINVAL, "Unsupported attribute")),
            Shape::AtLeast(least) if len < usize::from(least) => invalid(Errno::ERANGE),
            Shape::Int(width, least, most) => {
                let fits = (least..=most).contains(&integer(data, width));
                (!fits).then_some((Errno::ERANGE, "integer out of range"))
            }
            Shape::Masked(width, mask) => {
                (integer(data, width) & !mask != 0).then_some((Errno::EINVAL, RESERVED))
            }
            Shape::Signed(width, least, most) => {
                let value = integer(data, width);
                let unused = 64 - 8 * u32::from(width);
                let value = (value << unused).cast_signed() >> unused;
                let fits = (least..=most).contains(&value);
                (!fits).then_some((Errno::ERANGE, "integer out of range"))
            }
            Shape::Binary(most) if most > 0 && len > usize::from(most) => invalid(Errno::ERANGE),
            Shape::Terminated(most) => {
                let room = match most {
                    0 => len,
                    most => len.min(usize::from(most) + 1),
                };
                match data[..room].contains(&0) {
                    false => invalid(Errno::EINVAL),
                    true => Shape::Text(most).fault(kind, data, false),
                }
            }
            Shape::Text(most) => {
                let told = len - usize::from(data.last() == Some(&0));
                let long = most > 0 && told > usize::from(most);
                if len == 0 || long {
                    invalid(Errno::ERANGE)
                } else {
                    None
                }
            }
            Shape::Nest if (1..4).contains(&len) => invalid(Errno::ERANGE),
            Shape::Refused => invalid(Errno::EINVAL),
            _ => None,
        }
    }

    /// netlink_policy_dump_write_attr(): NLMSGERR_ATTR_POLICY, where there is something to tell.
    pub(super) fn put(self, m: &mut Message) {
        // NL_POLICY_TYPE_ATTR_*: type, least and most of integers with and without a sign, of lengths.
        const TYPE: u16 = 1;
        const LEAST_SIGNED: u16 = 2;
        const MOST_SIGNED: u16 = 3;
        const LEAST: u16 = 4;
        const MOST: u16 = 5;
        const MOST_LEN: u16 = 7;
        const MASK: u16 = 12;
        let mut inner: Vec<u8> = Vec::new();
        let mut put = |kind, data: &[u8]| inner.extend(attribute(kind, data));
        // NL_ATTR_TYPE_*
        let order = |width: u8| width.trailing_zeros();
        let of = match self {
            Shape::Any | Shape::AtLeast(_) | Shape::Network(_) | Shape::Refused => return,
            Shape::Int(width, least, most) => {
                put(LEAST, &least.to_ne_bytes());
                put(MOST, &most.to_ne_bytes());
                2 + order(width)
            }
            Shape::Signed(width, least, most) => {
                put(LEAST_SIGNED, &least.to_ne_bytes());
                put(MOST_SIGNED, &most.to_ne_bytes());
                6 + order(width)
            }
            Shape::Masked(width, mask) => {
                put(MASK, &mask.to_ne_bytes());
                2 + order(width)
            }
            Shape::Binary(most) | Shape::Text(most) | Shape::Terminated(most) => {
                if most > 0 {
                    put(MOST_LEN, &u32::from(most).to_ne_bytes());
                }
                match self {
                    Shape::Text(_) => 11,
                    Shape::Terminated(_) => 12,
                    _ => 10,
                }
            }
            Shape::Nest => 13,
        };
        put(TYPE, &of.to_ne_bytes());
        m.put(ERROR_POLICY | NESTED, &inner);
    }
}

/// The first so many bytes as an integer in the machine's order.
fn integer(data: &[u8], width: u8) -> u64 {
    let own = &data[..usize::from(width)];
    let shift = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    if cfg!(target_endian = "little") {
        own.iter().rev().fold(0, shift)
    } else {
        own.iter().fold(0, shift)
    }
}

impl Request<'_> {
    /// nlmsg_parse_deprecated(): what follows a header of `skip` bytes is as the policy says. `strict`:
    /// nlmsg_parse_deprecated_strict().
    pub(super) fn check(&self, skip: usize, policy: &Policy, strict: bool) -> Result<(), Refusal> {
        if self.body().len() < skip {
            return Err(Refusal::new(Errno::EINVAL, "Invalid header length"));
        }
        let mut end = HEADER + skip.next_multiple_of(4);
        for (at, kind, data) in self.pieces(skip) {
            self.check_one(at, kind, data, policy, strict)?;
            end = at + 4 + data.len().next_multiple_of(4);
        }
        if strict && end < self.bytes.len() {
            let text = "bytes leftover after parsing attributes";
            return Err(Refusal::new(Errno::EINVAL, text));
        }
        Ok(())
    }

    /// Offset in the message, type with its flags, and data of each attribute, up to one that is cut short.
    fn pieces(&self, skip: usize) -> impl Iterator<Item = (usize, u16, &[u8])> {
        let mut at = HEADER + skip.next_multiple_of(4);
        core::iter::from_fn(move || {
            let head = self.bytes.get(at..at + 4)?;
            let len = usize::from(u16::from_ne_bytes([head[0], head[1]]));
            let data = self.bytes.get(at + 4..at + len)?;
            let here = at;
            at += len.next_multiple_of(4);
            Some((here, u16::from_ne_bytes([head[2], head[3]]), data))
        })
    }

    /// A refusal that tells of the last attribute of this type.
    pub(super) fn refuse_at(
        &self,
        skip: usize,
        kind: u16,
        errno: Errno,
        text: &'static str,
    ) -> Refusal {
        let own = self.pieces(skip).filter(|(_, of, _)| of & 0x3fff == kind);
        Refusal {
            at: own.last().map(|(at, ..)| at),
            ..Refusal::new(errno, text)
        }
    }

    fn check_one(
        &self,
        at: usize,
        kind: u16,
        data: &[u8],
        policy: &Policy,
        strict: bool,
    ) -> Result<(), Refusal> {
        let own = kind & 0x3fff;
        let refuse = |errno, text, told| {
            Err(Refusal {
                errno: Some(errno),
                text: Some(text),
                at: Some(at),
                policy: told,
                ..Refusal::NONE
            })
        };
        let Some(shape) = policy.shapes.get(usize::from(own)).filter(|_| own > 0) else {
            return match strict {
                true => refuse(Errno::EINVAL, "Unknown attribute type", None),
                false => Ok(()),
            };
        };
        match shape.fault(kind, data, own >= policy.strict_from) {
            // nla_validate_mask() does not tell.
            Some((errno, RESERVED)) => refuse(errno, RESERVED, None),
            Some((errno, text)) => refuse(errno, text, Some(*shape)),
            None => Ok(()),
        }
    }
}
