//! What joins hosts, as the wires keep it: a segment or a link, its chances, and whose interfaces are on it.

use std::time::Duration;
use switchboard_device::{
    Cable, End, Link, Outlet, Pipe, PipeConfig, Port, Random, Segment, SegmentConfig,
};
use switchboard_engine::{IfIndex, Instant};
use switchboard_wire::Frame;

/// Where an interface is plugged in: a network, and a member of it.
#[derive(Clone, Copy, Debug)]
pub struct Plug {
    pub(crate) network: usize,
    pub(crate) member: usize,
}

impl Plug {
    /// The network's number, as [`Wires`](crate::wires::Wires) gave it.
    pub fn network(self) -> usize {
        self.network
    }

    /// Which of the network's members: 0 was plugged in first.
    pub fn member(self) -> usize {
        self.member
    }
}

/// An interface on a network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) host: usize,
    pub(crate) interface: IfIndex,
    port: Option<Port>,
}

pub(crate) enum Medium {
    Segment(Segment),
    /// Its members are its ends.
    Link(Box<Link>),
    /// Has one member, and the real host.
    Outlet(Box<WayOut>),
}

/// A member's link to the real host: its ends are the member and the outlet.
pub(crate) struct WayOut {
    pub(crate) outlet: Outlet,
    link: Link,
    /// Of the member's interface. What comes from the real host is as long as it is there.
    mtu: u32,
}

impl WayOut {
    /// Hands on what arrives at the outlet, until something arrives at the member.
    fn poll_frame(&mut self, now: Instant, random: &mut Random) -> Option<Frame> {
        loop {
            match self.link.poll_frame(now, random) {
                Some((End::A, _, frame)) => return Some(frame),
                Some((End::B, _, frame)) => self.outlet.send(now, frame),
                None => {
                    let frame = self.outlet.next(now)?;
                    self.link.send_frame(now, random, End::B, frame);
                }
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let ends = [self.link.poll_timeout(), self.outlet.poll_timeout()];
        ends.into_iter().flatten().min()
    }
}

pub(crate) struct Network {
    pub(crate) medium: Medium,
    pub(crate) random: Random,
    pub(crate) members: Vec<Member>,
}

impl Network {
    /// The chances of each network are its own, whatever happens on others.
    pub(crate) fn segment(config: SegmentConfig, seed: [u8; 32], number: usize) -> Network {
        Network {
            medium: Medium::Segment(Segment::new(config)),
            random: Random::new(seed, number as u64),
            members: Vec::new(),
        }
    }

    pub(crate) fn link(config: PipeConfig, seed: [u8; 32], number: usize) -> Network {
        let mut random = Random::new(seed, number as u64);
        Network {
            medium: Medium::Link(Box::new(Link::new(config, &mut random))),
            random,
            members: Vec::new(),
        }
    }

    pub(crate) fn outlet(outlet: Outlet, mtu: u32, seed: [u8; 32], number: usize) -> Network {
        let mut random = Random::new(seed, number as u64);
        let config = PipeConfig {
            mtu: u32::MAX,
            ..PipeConfig::default()
        };
        let link = Link::new(config, &mut random);
        Network {
            medium: Medium::Outlet(Box::new(WayOut { outlet, link, mtu })),
            random,
            members: Vec::new(),
        }
    }

    /// Whether its interfaces have hardware addresses.
    pub(crate) fn is_ethernet(&self) -> bool {
        match &self.medium {
            Medium::Segment(_) | Medium::Link(_) => true,
            Medium::Outlet(way) => way.outlet.is_ethernet(),
        }
    }

    /// Whether it takes segments that travel as one. What leads outside has its own sizes.
    pub(crate) fn takes_large_segments(&self) -> bool {
        !matches!(self.medium, Medium::Outlet(_))
    }

    /// The largest packet of a new member.
    pub(crate) fn mtu(&self) -> u32 {
        match &self.medium {
            Medium::Segment(segment) => segment.mtu(),
            Medium::Link(link) => link.pipe(End::A).config().mtu,
            Medium::Outlet(way) => way.mtu,
        }
    }

    /// Plugs an interface in; what it sends takes `delay`, on a segment. The member's number.
    pub(crate) fn attach(&mut self, host: usize, interface: IfIndex, delay: Duration) -> usize {
        let port = match &mut self.medium {
            Medium::Segment(segment) => Some(segment.attach(&mut self.random, delay)),
            Medium::Link(_) | Medium::Outlet(..) => None,
        };
        self.members.push(Member {
            host,
            interface,
            port,
        });
        self.members.len() - 1
    }

    /// A member's port of a segment.
    pub(crate) fn port(&self, member: usize) -> Option<Port> {
        self.members.get(member)?.port
    }

    fn end(member: usize) -> End {
        if member == 0 { End::A } else { End::B }
    }

    /// At which end of a member's link that is sent.
    fn sender(member: usize, cable: Cable) -> End {
        let own = Self::end(member);
        match cable {
            Cable::Up => own,
            Cable::Down => own.other(),
        }
    }

    /// The pipe in which a member sends, or gets.
    pub(crate) fn pipe(&self, member: usize, cable: Cable) -> Option<&Pipe> {
        match &self.medium {
            Medium::Segment(segment) => Some(segment.pipe(self.port(member)?, cable)),
            Medium::Link(link) => Some(link.pipe(Self::sender(member, cable))),
            Medium::Outlet(way) => Some(way.link.pipe(Self::sender(member, cable))),
        }
    }

    pub(crate) fn change(
        &mut self,
        now: Instant,
        member: usize,
        cable: Cable,
        change: impl FnOnce(&mut PipeConfig),
    ) {
        let Some(pipe) = self.pipe(member, cable) else {
            return;
        };
        let mut config = *pipe.config();
        change(&mut config);
        let port = self.port(member);
        let random = &mut self.random;
        match (&mut self.medium, port) {
            (Medium::Segment(segment), Some(port)) => {
                segment.change(now, random, (port, cable), config);
            }
            (Medium::Link(link), _) => {
                link.change(now, random, Self::sender(member, cable), config);
            }
            (Medium::Outlet(way), _) => {
                let from = Self::sender(member, cable);
                way.link.change(now, random, from, config);
            }
            (Medium::Segment(_), None) => {}
        }
    }

    /// A member sends a frame.
    pub(crate) fn send(&mut self, now: Instant, member: usize, frame: Frame) {
        let Some(from) = self.members.get(member) else {
            return;
        };
        let random = &mut self.random;
        match (&mut self.medium, from.port) {
            (Medium::Segment(segment), Some(port)) => {
                segment.send_frame(now, random, port, None, frame);
            }
            (Medium::Link(link), _) => link.send_frame(now, random, Self::end(member), frame),
            (Medium::Outlet(way), _) => way.link.send_frame(now, random, End::A, frame),
            (Medium::Segment(_), None) => {}
        }
    }

    /// The next frame that has arrived, and at whose interface.
    pub(crate) fn poll_arrival(&mut self, now: Instant) -> Option<(Member, Frame)> {
        let (member, frame) = match &mut self.medium {
            Medium::Segment(segment) => {
                let (port, _, frame) = segment.poll_frame(now, &mut self.random)?;
                (port.index(), frame)
            }
            Medium::Link(link) => {
                let (end, _, frame) = link.poll_frame(now, &mut self.random)?;
                (end as usize, frame)
            }
            Medium::Outlet(way) => (0, way.poll_frame(now, &mut self.random)?),
        };
        Some((*self.members.get(member)?, frame))
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        match &self.medium {
            Medium::Segment(segment) => segment.poll_timeout(),
            Medium::Link(link) => link.poll_timeout(),
            Medium::Outlet(way) => way.poll_timeout(),
        }
    }
}
