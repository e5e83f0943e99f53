//! NETLINK_GENERIC: families by name, of which there is the first, nlctrl, which tells of itself alone.
//!
//! # Limits
//! No driver of the host has a family, so every other name is ENOENT. CTRL_CMD_GETPOLICY is left out of what nlctrl
//! says that it can.

use super::message::{Answer, DUMP, MULTI, Message, Refusal, Request, attribute};
use super::serve::Asker;
use alloc::vec::Vec;
use switchboard_abi::Errno;

/// `GENL_ID_CTRL`
const CONTROL: u16 = 16;
const NAME: &str = "nlctrl";
/// `GENL_HDRLEN`: command, version, reserved.
const HEAD: usize = 4;
const NEW_FAMILY: u8 = 1;
const GET_FAMILY: u8 = 3;
/// CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME, CTRL_ATTR_OPS, CTRL_ATTR_MCAST_GROUPS
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
const OPS: u16 = 6;
const GROUPS: u16 = 7;
/// GENL_CMD_CAP_DO, GENL_CMD_CAP_DUMP, GENL_CMD_CAP_HASPOL
const CAPABILITIES: u32 = 0xe;
/// `GENL_NAMSIZ`
const NAME_ROOM: usize = 16;

/// genl_rcv_msg()
pub(super) fn answer(
    asker: &Asker,
    request: &Request<'_>,
    dumping: bool,
) -> Result<Answer, Refusal> {
    if request.kind != CONTROL {
        return Err(Errno::ENOENT.into());
    }
    let head: &[u8; HEAD] = request.body().first_chunk().ok_or(Errno::EINVAL)?;
    let [command, ..] = *head;
    if command != GET_FAMILY {
        return Err(Errno::EOPNOTSUPP.into());
    }
    // Both bits, other than rtnetlink.
    if request.flags & DUMP == DUMP {
        if dumping {
            return Err(Errno::EBUSY.into());
        }
        return Ok(Answer::dump(alloc::vec![family(asker, request, true)]));
    }
    // ctrl_getfamily(): a name counts for more than a number.
    let id = request.attribute(HEAD, FAMILY_ID);
    let name = request.attribute(HEAD, FAMILY_NAME);
    let by_id = match id.map(<[u8; 2]>::try_from) {
        None => None,
        Some(Err(_)) => return Err(Errno::ERANGE.into()),
        Some(Ok(id)) => Some(u16::from_ne_bytes(id) == CONTROL),
    };
    let by_name = match name {
        None => None,
        Some(name) => {
            // NLA_NUL_STRING: what is behind the NUL counts, too, but for one more.
            let room = &name[..name.len().min(NAME_ROOM)];
            let end = room.iter().position(|b| *b == 0).ok_or(Errno::EINVAL)?;
            let len = name.len() - usize::from(name.last() == Some(&0));
            if len >= NAME_ROOM {
                return Err(Errno::ERANGE.into());
            }
            Some(&name[..end] == NAME.as_bytes())
        }
    };
    match by_name.or(by_id) {
        Some(true) => Ok(Answer::One(family(asker, request, false))),
        Some(false) => Err(Errno::ENOENT.into()),
        None => Err(Errno::EINVAL.into()),
    }
}

/// ctrl_fill_info()
fn family(asker: &Asker, request: &Request<'_>, part: bool) -> Vec<u8> {
    let flags = if part { MULTI } else { 0 };
    let head = [NEW_FAMILY, 2, 0, 0];
    let mut m = Message::new(CONTROL, flags, request.sequence, asker.port, &head);
    m.put_text(FAMILY_NAME, NAME);
    m.put(FAMILY_ID, &CONTROL.to_ne_bytes());
    // CTRL_ATTR_VERSION, CTRL_ATTR_HDRSIZE, CTRL_ATTR_MAXATTR (a policy for each command has none)
    m.put_u32(3, 2);
    m.put_u32(4, 0);
    m.put_u32(5, 0);
    // Lists: CTRL_ATTR_OP_ID and _FLAGS; CTRL_ATTR_MCAST_GRP_ID and _NAME.
    let mut op = attribute(1, &u32::from(GET_FAMILY).to_ne_bytes());
    op.extend(attribute(2, &CAPABILITIES.to_ne_bytes()));
    m.put(OPS, &attribute(1, &op));
    let mut group = attribute(2, &16u32.to_ne_bytes());
    group.extend(attribute(1, b"notify\0"));
    m.put(GROUPS, &attribute(1, &group));
    m.finish()
}
