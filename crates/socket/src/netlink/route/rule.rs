//! Rules: those that every host has.

use super::super::message::Request;
use super::{BY_KERNEL, Form, RTM_NEWRULE};
use alloc::vec::Vec;
use switchboard_abi::number::{AF_INET, AF_INET6};

/// The tables local, main and default in IPv4, local and main in IPv6.
pub(super) fn rules(request: &Request<'_>, port: u32, family: u8) -> Vec<Vec<u8>> {
    let all = [
        (AF_INET, 255, None),
        (AF_INET, 254, Some(32_766)),
        (AF_INET, 253, Some(32_767)),
        (AF_INET6, 255, None),
        (AF_INET6, 254, Some(32_766)),
    ];
    let wanted = all
        .iter()
        .filter(|(of, ..)| family == 0 || i32::from(family) == *of);
    let message = |&(of, table, priority): &(i32, u8, Option<u32>)| {
        // FR_ACT_TO_TBL
        let head = [of as u8, 0, 0, 0, table, 0, 0, 1, 0, 0, 0, 0];
        let mut m = Form::part(RTM_NEWRULE, request, port).message(&head);
        // FRA_TABLE, FRA_SUPPRESS_PREFIXLEN, FRA_PROTOCOL (the kernel), FRA_PRIORITY
        m.put_u32(15, table.into());
        m.put_u32(14, u32::MAX);
        m.put(21, &[BY_KERNEL]);
        if let Some(priority) = priority {
            m.put_u32(6, priority);
        }
        m.finish()
    };
    wanted.map(message).collect()
}
