//! What a lab's file says.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;
use switchboard_device::PipeConfig;
use switchboard_engine::NatKind;

use super::super::capability::Capability;
use super::super::outside::Wanted;
use super::action::Action;

/// All of a file, checked: names are numbers here.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) seed: Option<u64>,
    /// After it everything is ended, and the lab has failed.
    pub(super) time_limit: Duration,
    /// After it everything is ended, and that is as it should be.
    pub(super) duration: Option<Duration>,
    pub(super) dns: bool,
    pub(super) ipv6: bool,
    /// close(2) waits as SO_LINGER asks.
    pub(super) linger: bool,
    pub(super) hosts: Vec<HostPlan>,
    pub(super) networks: Vec<NetworkPlan>,
    pub(super) programs: Vec<ProgramPlan>,
    pub(super) events: Vec<EventPlan>,
}

#[derive(Debug)]
pub(super) struct HostPlan {
    pub(super) name: String,
    pub(super) router: bool,
    pub(super) nat: Option<NatPlan>,
    /// The prefix and its length, and the router. None: by the shortest way.
    pub(super) routes: Option<Vec<RoutePlan>>,
    /// NAME=VALUE
    pub(super) sysctl: Vec<(String, String)>,
    pub(super) pcap: Option<PathBuf>,
    /// What leads to the real host.
    pub(super) outside: Wanted,
    /// What programs may do there, beside what they may on the machine.
    pub(super) caps: Vec<Capability>,
    pub(super) lo: Option<LoPlan>,
    pub(super) trace: Option<PathBuf>,
}

/// A loopback interface that is not as it always is.
#[derive(Debug)]
pub(super) struct LoPlan {
    pub(super) pcap: Option<PathBuf>,
    pub(super) pipe: PipeConfig,
}

/// What a router does with the addresses of those behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NatPlan {
    /// The network that sees the router's address alone.
    pub(super) outside: usize,
    pub(super) kind: NatKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RoutePlan {
    pub(super) prefix: IpAddr,
    pub(super) len: u8,
    pub(super) gateway: IpAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Segment,
    Link,
}

#[derive(Debug)]
pub(super) struct NetworkPlan {
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) members: Vec<Member>,
    pub(super) pcap: Option<PathBuf>,
    /// Hosts ask for routers, which say what IPv6 addresses are made of.
    pub(super) asks: bool,
}

/// A host's interface on a network.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) host: usize,
    pub(super) addresses: Vec<(IpAddr, u8)>,
    /// What it sends.
    pub(super) out: PipeConfig,
    /// What it gets: of a segment's cable, behind the switch. Of a link it is what the other end sends.
    pub(super) incoming: PipeConfig,
}

#[derive(Debug)]
pub(super) struct ProgramPlan {
    pub(super) name: String,
    pub(super) host: usize,
    pub(super) run: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) cwd: PathBuf,
    /// It runs until the lab ends.
    pub(super) service: bool,
    /// Only an event starts it.
    pub(super) by_event: bool,
    /// Those that have to be ready first.
    pub(super) after: Vec<usize>,
    pub(super) ready: Ready,
    pub(super) expect: Expect,
}

/// When what waits for a program may go on.
#[derive(Debug)]
pub(super) enum Ready {
    Started,
    /// It, or another on its host, listens on this TCP port.
    Port(u16),
    /// A line of its output matches.
    Line(Regex),
    /// It has ended, with what was expected.
    Exit,
}

#[derive(Debug, Default)]
pub(super) struct Expect {
    /// None: 0 of a program that ends by itself; nothing of a service that is ended.
    pub(super) status: Option<Vec<u8>>,
    /// Of each there is a line that matches.
    pub(super) output: Vec<Regex>,
    /// Of none of these.
    pub(super) not_output: Vec<Regex>,
}

#[derive(Debug)]
pub(super) struct EventPlan {
    pub(super) at: Duration,
    /// Since when that counts: since this program was ready, or since the lab began.
    pub(super) after: Option<usize>,
    pub(super) actions: Vec<Action>,
    /// As it is written.
    pub(super) text: String,
}
