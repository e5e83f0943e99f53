//! NETLINK_GENERIC: nlctrl, which knows the families by name and number.

use super::netlink::{Answer, answers, attribute, request};
use crate::check::{Got, Outcome, check, eq, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use crate::scene::NB;
use libc::{AF_NETLINK, SOCK_RAW};

tests! {
    family_by_name,
    family_by_number,
    all_families,
    requests_that_name_nothing,
    groups_of_the_control,
}

const GENERIC: i32 = 16;
/// GENL_ID_CTRL; NLM_F_REQUEST; NLM_F_DUMP
const CONTROL: u16 = 16;
const REQUEST: u16 = 1;
const DUMP: u16 = 0x301;
const GET_FAMILY: u8 = 3;

fn ask(k: &mut dyn Kernel, kind: u16, flags: u16, command: u8, rest: &[u8]) -> Got<Vec<Answer>> {
    let fd = ok!(k.socket(AF_NETLINK, SOCK_RAW | NB, GENERIC));
    let mut body = vec![command, 1, 0, 0];
    body.extend(rest);
    let m = request(kind, flags, 3, &body);
    ret!(k.send(fd, &m, 0), m.len());
    let all = answers(k, fd);
    k.close(fd);
    Ok(all)
}

/// The errno of the only answer, without the sign.
fn refused(k: &mut dyn Kernel, kind: u16, command: u8, rest: &[u8]) -> Got<i32> {
    let all = ask(k, kind, REQUEST, command, rest)?;
    eq!((all.len(), all[0].kind), (1, 2));
    Ok(-all[0].errno())
}

/// A message of nlctrl about itself.
fn is_control(m: &Answer) -> Outcome {
    eq!(m.kind, CONTROL);
    // CTRL_CMD_NEWFAMILY, version 2.
    eq!(m.body[..4].to_vec(), vec![1, 2, 0, 0]);
    eq!(m.attribute(4, 2), Some(b"nlctrl\0".to_vec()));
    eq!(m.attribute(4, 1), Some(16u16.to_ne_bytes().to_vec()));
    for (kind, value) in [(3, 2u32), (4, 0), (5, 0)] {
        eq!(
            (kind, m.attribute(4, kind)),
            (kind, Some(value.to_ne_bytes().to_vec()))
        );
    }
    // The first command of the list is CTRL_CMD_GETFAMILY; the only group is called notify.
    let mut op = attribute(1, &3u32.to_ne_bytes());
    op.extend(attribute(2, &0xeu32.to_ne_bytes()));
    let op = attribute(1, &op);
    let ops = m.attribute(4, 6).unwrap_or_default();
    check!(ops.starts_with(&op), "{ops:?}");
    let mut group = attribute(2, &16u32.to_ne_bytes());
    group.extend(attribute(1, b"notify\0"));
    eq!(m.attribute(4, 7), Some(attribute(1, &group)));
    Ok(())
}

fn family_by_name(k: &mut dyn Kernel) -> Outcome {
    let all = ask(k, CONTROL, REQUEST, GET_FAMILY, &attribute(2, b"nlctrl\0"))?;
    eq!(all.len(), 1);
    is_control(&all[0])?;
    // With an acknowledgment behind it. A name counts for more than a number.
    let mut both = attribute(1, &99u16.to_ne_bytes());
    both.extend(attribute(2, b"nlctrl\0"));
    let all = ask(k, CONTROL, REQUEST | 4, GET_FAMILY, &both)?;
    eq!((all.len(), all[1].kind, all[1].errno()), (2, 2, 0));
    is_control(&all[0])
}

fn family_by_number(k: &mut dyn Kernel) -> Outcome {
    let id = attribute(1, &CONTROL.to_ne_bytes());
    let all = ask(k, CONTROL, REQUEST, GET_FAMILY, &id)?;
    eq!(all.len(), 1);
    is_control(&all[0])
}

fn all_families(k: &mut dyn Kernel) -> Outcome {
    let all = ask(k, CONTROL, DUMP, GET_FAMILY, &[])?;
    is_control(&all[0])?;
    eq!(all.last().map(|m| m.kind), Some(3));
    // One of the two bits makes no dump.
    eq!(
        ask(k, CONTROL, 0x101, GET_FAMILY, &[])?[0].errno(),
        -libc::EINVAL
    );
    Ok(())
}

fn requests_that_name_nothing(k: &mut dyn Kernel) -> Outcome {
    let name = |name: &[u8]| attribute(2, name);
    eq!(refused(k, CONTROL, GET_FAMILY, &[])?, libc::EINVAL);
    eq!(
        refused(k, CONTROL, GET_FAMILY, &name(b"none\0"))?,
        libc::ENOENT
    );
    eq!(refused(k, CONTROL, GET_FAMILY, &name(b"\0"))?, libc::ENOENT);
    eq!(
        refused(k, CONTROL, GET_FAMILY, &name(b"nlctrl"))?,
        libc::EINVAL
    );
    eq!(
        refused(k, CONTROL, GET_FAMILY, &name(b"a name of 16 let\0"))?,
        libc::EINVAL
    );
    eq!(
        refused(
            k,
            CONTROL,
            GET_FAMILY,
            &attribute(1, &9999u16.to_ne_bytes())
        )?,
        libc::ENOENT
    );
    let long = [b"nlctrl".as_slice(), &[0; 11]].concat();
    eq!(refused(k, CONTROL, GET_FAMILY, &name(&long))?, libc::ERANGE);
    eq!(
        refused(k, CONTROL, GET_FAMILY, &attribute(1, &[16]))?,
        libc::ERANGE
    );
    eq!(refused(k, CONTROL, 99, &[])?, libc::EOPNOTSUPP);
    eq!(
        refused(k, CONTROL, 1, &name(b"nlctrl\0"))?,
        libc::EOPNOTSUPP
    );
    eq!(
        refused(k, 999, GET_FAMILY, &name(b"nlctrl\0"))?,
        libc::ENOENT
    );
    let fd = ok!(k.socket(AF_NETLINK, SOCK_RAW | NB, GENERIC));
    let m = request(CONTROL, REQUEST, 3, &[]);
    ret!(k.send(fd, &m, 0), m.len());
    eq!(answers(k, fd)[0].errno(), -libc::EINVAL);
    Ok(())
}

fn groups_of_the_control(k: &mut dyn Kernel) -> Outcome {
    const SOL_NETLINK: i32 = 270;
    let fd = ok!(k.socket(AF_NETLINK, SOCK_RAW | NB, GENERIC));
    // NETLINK_ADD_MEMBERSHIP, NETLINK_DROP_MEMBERSHIP
    ret!(k.set_int(fd, SOL_NETLINK, 1, 16), 0);
    ret!(k.set_int(fd, SOL_NETLINK, 2, 16), 0);
    Ok(())
}
