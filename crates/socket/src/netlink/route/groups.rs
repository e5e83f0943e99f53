//! RTM_GETMULTICAST: the groups that interfaces listen to.
//!
//! # Limits
//! When a group was joined is not kept: the times are zero.

use super::{Form, IFADDRMSG, RTM_GETMULTICAST, UNIVERSE, bits, octets};
use crate::host::Host;
use crate::netlink::message::{Answer, Refusal, Request};
use crate::netlink::serve::Asker;
use crate::proc::listening_groups;
use alloc::vec::Vec;
use switchboard_abi::number::AF_INET6;

const IFA_CACHEINFO: u16 = 6;
const IFA_MULTICAST: u16 = 7;
/// IFA_F_PERMANENT
const PERMANENT: u8 = 0x80;

impl Host {
    /// inet_dump_ifmcaddr() and inet6_dump_ifmcaddr()
    pub(super) fn group_dump(
        &self,
        asker: &Asker,
        request: &Request<'_>,
        family: u8,
    ) -> Result<Answer, Refusal> {
        let only = match self.dump_of_one(asker, request, family)? {
            Ok(only) => only,
            Err(none) => return Ok(none),
        };
        let form = Form::part(RTM_GETMULTICAST, request, asker.port);
        let v6 = i32::from(family) == AF_INET6;
        let mut messages = Vec::new();
        let all = self.stack.interfaces();
        for interface in all.filter(|i| only.is_none_or(|only| i.index() == only)) {
            for (group, _) in listening_groups(self, interface, v6) {
                let mut head = [0; IFADDRMSG];
                head[..4].copy_from_slice(&[family, bits(group), PERMANENT, UNIVERSE]);
                if v6 && octets(group)[1] & 15 == SITE_LOCAL {
                    head[3] = SITE;
                }
                head[4..].copy_from_slice(&interface.index().get().to_ne_bytes());
                let mut message = form.message(&head);
                message.put(IFA_MULTICAST, &octets(group));
                message.put(IFA_CACHEINFO, &self.address_times(None, false));
                messages.push(message.finish());
            }
        }
        Ok(Answer::Dump {
            messages,
            filtered: only.is_some(),
        })
    }
}

/// The scope in a group's address (RFC 4291, 2.7), and RT_SCOPE_SITE.
const SITE_LOCAL: u8 = 5;
const SITE: u8 = 200;
