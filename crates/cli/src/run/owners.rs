//! Which program a captured packet is of.
//!
//! A packet says at which port it is, and a call says which thread is at which port: who was there last. Names are looked up
//! when somebody is at a port for the first time, since /proc has none of those who have ended.

use std::collections::HashMap;
use std::rc::Rc;

use switchboard_device::Seen;
use switchboard_wire::{Body, Frame, IcmpMessage};

/// A protocol and a port; of echoes the identifier.
type Place = (u8, u16);

#[derive(Default)]
pub(super) struct Owners {
    /// The thread that was there last, and what its process is called.
    at: HashMap<Place, (i32, Rc<str>)>,
}

impl Owners {
    /// A thread has made a call on the socket that is there.
    pub(super) fn note(&mut self, place: Place, tid: i32) {
        if self.at.get(&place).is_none_or(|(known, _)| *known != tid)
            && let Some(name) = name_of(tid)
        {
            self.at.insert(place, (tid, name));
        }
    }

    /// The program of a packet that was sent, or got; of both ends where both are here.
    pub(super) fn of(&self, seen: Seen, frame: &Frame) -> Option<Rc<str>> {
        let [from, to] = places(frame)?;
        let at = |place: Option<Place>| self.at.get(&place?).map(|(_, name)| name.clone());
        match seen {
            Seen::Outbound => at(from),
            Seen::Inbound => at(to),
        }
    }

    /// The same on `lo`, where both ends are the host's.
    pub(super) fn of_both(&self, frame: &Frame) -> Option<Rc<str>> {
        match (
            self.of(Seen::Outbound, frame),
            self.of(Seen::Inbound, frame),
        ) {
            (Some(from), Some(to)) if from != to => Some(format!("{from} to {to}").into()),
            (from, to) => from.or(to),
        }
    }
}

/// Where a packet comes from, and where it goes to; none where it is no program's.
fn places(frame: &Frame) -> Option<[Option<Place>; 2]> {
    let packet = frame.packet()?;
    let protocol = packet.protocol();
    let body = match &packet.body {
        Body::Extended(extended) => &extended.body,
        body => body,
    };
    let at = |port: u16| Some((protocol, port));
    Some(match body {
        Body::Tcp(tcp) => [at(tcp.src_port), at(tcp.dst_port)],
        Body::Udp(udp) => [at(udp.src_port), at(udp.dst_port)],
        // Who is asked is no program, nor is who answers.
        Body::Icmp(IcmpMessage::EchoRequest { ident, .. }) => [at(*ident), None],
        Body::Icmp(IcmpMessage::EchoReply { ident, .. }) => [None, at(*ident)],
        _ => return None,
    })
}

/// `curl[1234]`
fn name_of(tid: i32) -> Option<Rc<str>> {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?;
    let pid = status
        .lines()
        .find_map(|line| line.strip_prefix("Tgid:"))?
        .trim();
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(format!("{}[{pid}]", name.trim_end()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use switchboard_wire::{IpHeader, Packet, UdpDatagram};

    #[test]
    fn packets_are_of_who_was_at_their_port_last() {
        let own = std::process::id() as i32;
        let mut owners = Owners::default();
        owners.note((17, 53), own);
        let packet = |src_port, dst_port| -> Frame {
            let ip = |text: &str| text.parse().unwrap();
            Packet {
                ip: IpHeader::new(ip("10.0.0.1"), ip("10.0.0.2")),
                body: Body::Udp(UdpDatagram {
                    src_port,
                    dst_port,
                    payload: Default::default(),
                    segment: 0,
                    unsummed: false,
                    lite: None,
                }),
            }
            .into()
        };
        let name = name_of(own).unwrap();
        assert!(name.ends_with(&format!("[{own}]")), "{name}");
        assert_eq!(
            owners.of(Seen::Outbound, &packet(53, 9)),
            Some(name.clone())
        );
        assert_eq!(owners.of(Seen::Inbound, &packet(53, 9)), None);
        assert_eq!(owners.of(Seen::Inbound, &packet(9, 53)), Some(name.clone()));
        assert_eq!(owners.of_both(&packet(53, 53)), Some(name));
        // Who has ended is nobody new.
        owners.note((17, 53), i32::MAX);
        assert!(owners.of_both(&packet(9, 53)).is_some());
    }
}
