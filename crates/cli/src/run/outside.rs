//! `--net`, `-p`, `--host-loopback`: the interface of a run's host that leads to the real one.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use switchboard::wires::add_route;
use switchboard_device::{
    Nat, NatAddresses, NatConfig, Outlet, PipeConfig, Publish, PublishProtocol, Tun, TunConfig,
    TunKind,
};
use switchboard_engine::IfIndex;

use super::room::Room;
use crate::args::RunArgs;
use crate::complain;

/// The MTU of an interface that leads to a device, which has the same if nobody has changed it.
const DEVICE_MTU: u32 = 1500;

/// What `--net` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NetMode {
    None,
    Nat,
    Tun(String),
    Tap(String),
}

impl FromStr for NetMode {
    type Err = String;

    fn from_str(text: &str) -> Result<NetMode, String> {
        match text.split_once('=') {
            None if text == "none" => Ok(NetMode::None),
            None if text == "nat" => Ok(NetMode::Nat),
            Some(("tun", name)) => Ok(NetMode::Tun(name.into())),
            Some(("tap", name)) => Ok(NetMode::Tap(name.into())),
            _ => Err("none, nat, tun=NAME or tap=NAME".into()),
        }
    }
}

/// What `--address` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address(IpAddr, u8);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let wrong = || "an address and the length of its prefix, such as 192.0.2.7/24".to_string();
        let (addr, len) = text.split_once('/').ok_or_else(wrong)?;
        let addr: IpAddr = addr.parse().map_err(|_| wrong())?;
        let len: u8 = len.parse().map_err(|_| wrong())?;
        if len > if addr.is_ipv4() { 32 } else { 128 } {
            return Err(wrong());
        }
        Ok(Address(addr, len))
    }
}

/// What one `-p` says: each port, at each of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ports(Vec<Publish>);

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Ports, String> {
        let (ports, protocol) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.trim_end_matches("/tcp"), PublishProtocol::Tcp),
            Some((ports, "udp")) => (ports, PublishProtocol::Udp),
            Some((_, other)) => return Err(format!("{other:?} is neither tcp nor udp")),
        };
        let wrong = || {
            "[ADDRESS:]PORT:PORT[/udp], an IPv6 address in brackets, a range as 8000-8009"
                .to_string()
        };
        let (ports, inside) = ports.rsplit_once(':').ok_or_else(wrong)?;
        let (addr, outside) = match ports.rsplit_once(':') {
            None => (None, ports),
            Some((addr, outside)) => (Some(addr), outside),
        };
        let addrs: Vec<IpAddr> = match addr {
            None => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            Some(addr) => {
                let bare = addr.strip_prefix('[').and_then(|a| a.strip_suffix(']'));
                let parsed = match bare {
                    Some(v6) => v6.parse::<Ipv6Addr>().map(IpAddr::V6),
                    None => addr.parse::<Ipv4Addr>().map(IpAddr::V4),
                };
                vec![parsed.map_err(|_| wrong())?]
            }
        };
        let (outside, inside) = (range(outside), range(inside));
        let (outside, inside) = outside.zip(inside).ok_or_else(wrong)?;
        if outside.clone().count() != inside.clone().count() {
            return Err("both ranges have the same number of ports".into());
        }
        if *inside.start() == 0 {
            return Err("no program can be at port 0".into());
        }
        let ports = outside.zip(inside).flat_map(|(real, port)| {
            let at = addrs.iter().map(move |&addr| SocketAddr::new(addr, real));
            at.map(move |at| Publish { protocol, at, port })
        });
        Ok(Ports(ports.collect()))
    }
}

/// `8000` or `8000-8009`.
fn range(text: &str) -> Option<std::ops::RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last).then_some(first..=last)
}

/// What is to lead outside.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) net: NetMode,
    pub(super) publish: Vec<Ports>,
    pub(super) host_loopback: Vec<IpAddr>,
    pub(super) address: Vec<Address>,
    pub(super) gateway: Vec<IpAddr>,
    /// What the link there is like, if it is not as on a wire.
    pub(super) impairment: Option<PipeConfig>,
}

impl Default for Wanted {
    /// Nothing.
    fn default() -> Wanted {
        Wanted {
            net: NetMode::None,
            publish: Vec::new(),
            host_loopback: Vec::new(),
            address: Vec::new(),
            gateway: Vec::new(),
            impairment: None,
        }
    }
}

impl Wanted {
    /// What the options of a run say.
    pub(super) fn of(args: &RunArgs) -> Wanted {
        Wanted {
            net: args.net.clone(),
            publish: args.publish.clone(),
            host_loopback: args.host_loopback.clone(),
            address: args.address.clone(),
            gateway: args.gateway.clone(),
            impairment: args.impairment(),
        }
    }

    /// Whether there is an interface besides those to other hosts.
    pub(super) fn leads_out(&self) -> bool {
        self.net != NetMode::None || !self.publish.is_empty()
    }
}

/// The way in and out of a host, open but not joined to it.
pub(super) struct Outside {
    outlet: Outlet,
    mtu: u32,
    addresses: Vec<(IpAddr, u8)>,
    gateways: Vec<IpAddr>,
    impairment: Option<PipeConfig>,
    names: Option<Names>,
}

/// Where a host behind the way out asks for names.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) resolver: IpAddr,
    /// What programs find as /etc/resolv.conf, in place of the machine's.
    pub(super) resolv_conf: String,
}

impl Outside {
    /// As it is wanted; `None` when nothing leads outside. `taken` are addresses that others on the host's networks have.
    pub(super) fn open(
        args: &Wanted,
        seed: [u8; 32],
        taken: &[IpAddr],
    ) -> Result<Option<Outside>, String> {
        let device = match &args.net {
            NetMode::None if args.publish.is_empty() => None,
            NetMode::None | NetMode::Nat => return nat(args, seed, taken).map(Some),
            NetMode::Tun(name) => Some((name, TunKind::Tun)),
            NetMode::Tap(name) => Some((name, TunKind::Tap)),
        };
        let only_nat = [
            (!args.publish.is_empty(), "-p"),
            (!args.host_loopback.is_empty(), "--host-loopback"),
        ];
        if let Some((_, option)) = only_nat.iter().find(|(given, _)| *given) {
            return Err(format!("{option} is about --net nat"));
        }
        let Some((name, kind)) = device else {
            return match (args.address.is_empty(), args.gateway.is_empty()) {
                (true, true) => Ok(None),
                _ => Err("--address and --gateway are about --net tun=NAME and tap=NAME".into()),
            };
        };
        let config = TunConfig {
            name: name.clone(),
            kind,
            multi_queue: false,
        };
        let device = Tun::open(&config).map_err(|error| match error.kind() {
            ErrorKind::PermissionDenied => format!(
                "the device {name}: {error}; it takes CAP_NET_ADMIN, or a persistent device of this \
                 user's (ip tuntap add {name} mode {} user ...)",
                if kind == TunKind::Tun { "tun" } else { "tap" }
            ),
            _ => format!("the device {name}: {error}"),
        })?;
        Ok(Some(Outside {
            outlet: Outlet::from(device),
            mtu: DEVICE_MTU,
            addresses: args.address.iter().map(|a| (a.0, a.1)).collect(),
            gateways: args.gateway.clone(),
            names: None,
            impairment: args.impairment,
        }))
    }

    /// Where names are asked for, where that is not as on the machine.
    pub(super) fn names(&self) -> Option<&Names> {
        self.names.as_ref()
    }

    /// Gives the host its interface.
    pub(super) fn join(self, room: &mut Room, host: usize) -> Result<IfIndex, String> {
        let addresses = &self.addresses;
        let joined = room.join_outside(host, self.outlet, self.mtu, addresses, self.impairment);
        let interface = joined.map_err(|error| format!("the way out: {error}"))?;
        for gateway in self.gateways {
            let any = match gateway {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            add_route(&mut room.supervisors[host].host, any, 0, gateway)
                .map_err(|_| format!("--gateway {gateway} is in no subnet of --address"))?;
        }
        Ok(interface)
    }
}

fn nat(args: &Wanted, seed: [u8; 32], taken: &[IpAddr]) -> Result<Outside, String> {
    if !(args.address.is_empty() && args.gateway.is_empty()) {
        return Err("--address and --gateway are about --net tun=NAME and tap=NAME".into());
    }
    let config = NatConfig {
        seed: seed.map(|byte| !byte),
        addresses: NatAddresses::beside_those_of_this_host(taken),
        outside: args.net == NetMode::Nat,
        host_loopback: args.host_loopback.clone(),
        ..NatConfig::default()
    };
    let mut nat = Nat::new(config).map_err(|error| match error.kind() {
        ErrorKind::InvalidInput => {
            "--host-loopback: an address of each version that nobody else has".to_string()
        }
        _ => format!("the way out: {error}"),
    })?;
    for publish in args.publish.iter().flat_map(|ports| &ports.0) {
        match nat.publish(publish) {
            Ok(at) if publish.at.port() == 0 => {
                complain(&format!("{at} leads to port {}", publish.port));
            }
            Ok(_) => {}
            // A machine without IPv6, where both versions are meant.
            Err(error)
                if publish.at.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
                    && error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
            Err(error) => return Err(format!("-p: {}: {error}", publish.at)),
        }
    }
    let (subnets, mtu) = (nat.addresses().subnets(), nat.mtu());
    let names = (args.net == NetMode::Nat).then(|| Names {
        resolver: nat.addresses().v4.resolver,
        resolv_conf: nat.resolv_conf(),
    });
    Ok(Outside {
        outlet: Outlet::from(nat),
        mtu,
        addresses: subnets.map(|net| (net.host, net.prefix_len)).into(),
        gateways: subnets.map(|net| net.gateway).into(),
        names,
        impairment: args.impairment,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(text: &str) -> Vec<(String, u16)> {
        let ports: Ports = text.parse().expect(text);
        let name = |p: &Publish| match p.protocol {
            PublishProtocol::Tcp => p.at.to_string(),
            PublishProtocol::Udp => format!("{}/udp", p.at),
        };
        ports.0.iter().map(|p| (name(p), p.port)).collect()
    }

    #[test]
    fn ports_are_read_as_they_are_written_elsewhere() {
        let of = |at: &str, port: u16| (at.to_string(), port);
        for (text, expected) in [
            ("8080:80", vec![of("0.0.0.0:8080", 80), of("[::]:8080", 80)]),
            ("127.0.0.1:8080:80", vec![of("127.0.0.1:8080", 80)]),
            ("127.0.0.1:8080:80/tcp", vec![of("127.0.0.1:8080", 80)]),
            ("[::1]:53:5353/udp", vec![of("[::1]:53/udp", 5353)]),
            (
                "127.0.0.1:7000-7001:80-81",
                vec![of("127.0.0.1:7000", 80), of("127.0.0.1:7001", 81)],
            ),
        ] {
            assert_eq!(ports(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in [
            "",
            "80",
            ":80",
            "80:",
            "80:0",
            "80:65536",
            "80:80/sctp",
            "::1:80:80",
            "[::1:80:80",
            "[127.0.0.1]:80:80",
            "host:80:80",
            "80-90:80-91",
            "90-80:90-80",
            "-1:1",
        ] {
            assert!(text.parse::<Ports>().is_err(), "{text:?}");
        }
        for text in ["", "192.0.2.1", "192.0.2.1/33", "::/129", "x/1"] {
            assert!(text.parse::<Address>().is_err(), "{text:?}");
        }
        assert_eq!("tun=t0".parse(), Ok(NetMode::Tun("t0".into())));
        assert!("bridge".parse::<NetMode>().is_err());
    }
}
