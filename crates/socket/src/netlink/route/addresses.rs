//! Addresses that are asked for: RTM_GETADDR of all, of an interface's, and of one of IPv6.

use super::super::message::{Answer, Refusal, Request};
use super::super::serve::Asker;
use super::address::{IFA_ADDRESS, IFA_LOCAL};
use super::{Form, Host, IFADDRMSG, RTM_NEWADDR, family_of, policies, strict, word_of};
use alloc::vec::Vec;
use core::net::IpAddr;
use switchboard_abi::Errno;
use switchboard_abi::number::{AF_INET, AF_INET6};
use switchboard_engine::IfIndex;

const IFA_TARGET_NETNSID: u16 = 10;

impl Host {
    /// inet_valid_dump_ifaddr_req(): which interface's addresses are asked for; or that there is no such interface.
    pub(super) fn dump_of_one(
        &self,
        asker: &Asker,
        request: &Request<'_>,
        family: u8,
    ) -> Result<Result<Option<IfIndex>, Answer>, Refusal> {
        if !asker.strict {
            return Ok(Ok(None));
        }
        let v6 = i32::from(family) == AF_INET6;
        let of = |v4, of_v6| if v6 { of_v6 } else { v4 };
        let text = of(
            "ipv4: Invalid header for address dump request",
            "ipv6: Invalid header for address dump request",
        );
        let head: &[u8; IFADDRMSG] =
            (request.body().first_chunk()).ok_or(Refusal::new(Errno::EINVAL, text))?;
        if head[1..4] != [0; 3] {
            let text = of(
                "ipv4: Invalid values in header for address dump request",
                "ipv6: Invalid values in header for address dump request",
            );
            return Err(Refusal::new(Errno::EINVAL, text));
        }
        request.check(IFADDRMSG, policies::addr(v6), true)?;
        let text = of(
            "ipv4: Unsupported attribute in dump request",
            "ipv6: Unsupported attribute in dump request",
        );
        strict::only(asker, request, IFADDRMSG, &[IFA_TARGET_NETNSID], text)?;
        let only = IfIndex::new(word_of(&head[4..])?);
        Ok(match only {
            Some(index) if self.stack.interface(index).is_none() => Err(Answer::NoDump {
                why: Errno::ENODEV.into(),
                filtered: true,
            }),
            only => Ok(only),
        })
    }

    pub(super) fn address_dump(
        &self,
        asker: &Asker,
        request: &Request<'_>,
        family: u8,
    ) -> Result<Answer, Refusal> {
        let only = match self.dump_of_one(asker, request, family)? {
            Ok(only) => only,
            Err(none) => return Ok(none),
        };
        let form = Form::part(RTM_NEWADDR, request, asker.port);
        let mut messages = Vec::new();
        for wanted in [AF_INET as u8, AF_INET6 as u8] {
            if family != 0 && family != wanted {
                continue;
            }
            let all = self.stack.interfaces();
            for interface in all.filter(|i| only.is_none_or(|only| i.index() == only)) {
                let own = interface.addresses().iter();
                for address in own.filter(|a| family_of(a.addr) == wanted) {
                    let secondary = interface.primary(address).is_some();
                    let m = self.address_message(&form, interface, address, secondary);
                    messages.push(m.finish());
                }
            }
        }
        Ok(Answer::Dump {
            messages,
            filtered: only.is_some(),
        })
    }

    /// inet6_rtm_getaddr()
    pub(super) fn one_address(
        &self,
        asker: &Asker,
        request: &Request<'_>,
    ) -> Result<Answer, Refusal> {
        let text = "ipv6: Invalid header for get address request";
        let head: &[u8; IFADDRMSG] =
            (request.body().first_chunk()).ok_or(Refusal::new(Errno::EINVAL, text))?;
        if asker.strict && head[1..4] != [0; 3] {
            let text = "ipv6: Invalid values in header for get address request";
            return Err(Refusal::new(Errno::EINVAL, text));
        }
        request.check(IFADDRMSG, &policies::ADDR6, asker.strict)?;
        let known = [IFA_TARGET_NETNSID, IFA_ADDRESS, IFA_LOCAL];
        let text = "ipv6: Unsupported attribute in get address request";
        strict::only(asker, request, IFADDRMSG, &known, text)?;
        let given = |kind| -> Option<IpAddr> {
            let raw: &[u8; 16] = request.attribute(IFADDRMSG, kind)?.first_chunk()?;
            Some((*raw).into())
        };
        let addr = given(IFA_LOCAL)
            .or(given(IFA_ADDRESS))
            .ok_or(Errno::EINVAL)?;
        let index = IfIndex::new(word_of(&head[4..])?);
        let mut all = (self.stack.interfaces())
            .filter(|i| index.is_none_or(|index| index == i.index()))
            .flat_map(|i| i.addresses().iter().map(move |a| (i, a)));
        let (interface, address) = all
            .find(|(_, a)| a.addr == addr)
            .ok_or(Errno::EADDRNOTAVAIL)?;
        let form = Form::part(RTM_NEWADDR, request, asker.port);
        let m = self.address_message(&form, interface, address, false);
        Ok(Answer::One(m.finish()))
    }
}
