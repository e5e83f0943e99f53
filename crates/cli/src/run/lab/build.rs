//! Hosts, wires, addresses, routes and names, as the plan has them.

use std::fs::File;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::Mode;
use switchboard::wires::{Capture, Plug, add_route};
use switchboard_device::{Cable, PipeConfig, SegmentConfig};
use switchboard_engine::{Config, IfIndex, InterfaceChange, NatConfig};
use switchboard_notify::{Filter, InstallError, Interrupts, Listener, Spawner};
use switchboard_socket::{Host, HostConfig};

use super::super::loopback::Loopback;
use super::super::names::{Directory, ETC, Named};
use super::super::opens::Names;
use super::super::outside::{self, Outside};
use super::super::room::Room;
use super::super::supervisor::Supervisor;
use super::super::trace::Trace;
use super::super::{Failure, bpf, capability, clock, explain, filter, setup, sysctl};
use super::addresses;
use super::plan::{HostPlan, Kind, Plan};
use crate::args::LabArgs;

/// A switch hands on what its cables take, each of which has an MTU of its own.
const SWITCH_MTU: u32 = 65_535;

/// A lab before anything runs in it.
pub(super) struct Built {
    pub(super) room: Room,
    /// Each host's.
    pub(super) spawners: Vec<Spawner>,
    /// Where each member of each network is plugged in.
    pub(super) plugs: Vec<Vec<Plug>>,
    pub(super) captures: Vec<(PathBuf, Capture)>,
    /// The programs' file mode creation mask.
    pub(super) umask: Mode,
}

/// The filter on a thread of its own, which is to start a host's programs. Whether calls that were received wait through
/// signals.
fn install(filter: &Filter) -> Result<(Listener, Spawner, bool), InstallError> {
    match Spawner::start(filter.clone(), Interrupts::UntilReceived) {
        Ok((listener, spawner)) => Ok((listener, spawner, true)),
        // Before Linux 5.19.
        Err(InstallError::Unsupported(_)) => {
            let (listener, spawner) = Spawner::start(filter.clone(), Interrupts::Always)?;
            Ok((listener, spawner, false))
        }
        Err(error) => Err(error),
    }
}

/// `keep`: copies of programs' ends of sockets are kept (docs/design/without-getfd.md).
pub(super) fn build(plan: &Plan, args: &LabArgs, keep: bool) -> Result<Built, Failure> {
    let seed = clock::seed(plan.seed);
    let mut room =
        Room::new(seed, keep).map_err(|error| setup(format!("no epoll instance: {error}")))?;
    let filter =
        filter::filter(plan.linger || keep, true).map_err(|e| setup(format!("the filter: {e}")))?;
    if let Some(directory) = &args.output {
        std::fs::create_dir_all(directory)
            .map_err(|error| setup(format!("{}: {error}", directory.display())))?;
    }
    let mut spawners = Vec::new();
    let mut names: Option<Rc<Names>> = None;
    for number in 0..plan.hosts.len() {
        let host = host(plan, number, seed)?;
        let names = names.get_or_insert_with(|| Rc::new(Names::new(&host).with(ETC.into_iter())));
        let (listener, spawner, uninterruptible) =
            install(&filter).map_err(|error| setup(explain(&error)))?;
        spawners.push(spawner);
        let mirror = room.mirror_of_next();
        let mirror = mirror.map_err(|error| setup(format!("no epoll instance: {error}")))?;
        room.add(Supervisor::new(
            listener,
            host,
            mirror,
            room.clock.clone(),
            names.clone(),
            uninterruptible,
        ));
        let supervisor = &mut room.supervisors[number];
        supervisor.caps = capability::all(&plan.hosts[number].caps);
        if let Some(path) = &plan.hosts[number].trace {
            let path = result_path(args, path);
            let trace = Trace::open(&path).map_err(|error| unwritten("trace", &path, error))?;
            supervisor.trace = Some(trace);
        }
    }
    let plugs = wires(plan, &mut room)?;
    let (outer, ways) = outside(plan, seed, &mut room)?;
    for (number, own) in plan.hosts.iter().enumerate() {
        sysctls(&mut room.supervisors[number].host, own, true)?;
    }
    translations(plan, &mut room, &plugs);
    routes(plan, &mut room)?;
    names_of(plan, outer, &mut room)?;
    let mut captures = captures(plan, args, &mut room, &plugs, &ways)?;
    loopbacks(plan, args, seed, &mut room, &mut captures)?;
    // Ours must not count where a socket's file is made for a program, which has its own.
    let umask = rustix::process::umask(Mode::empty());
    Ok(Built {
        room,
        spawners,
        plugs,
        captures,
        umask,
    })
}

/// Each host's random numbers are its own.
fn seed_of(number: usize, mut seed: [u8; 32]) -> [u8; 32] {
    for (byte, n) in seed[8..].iter_mut().zip((number as u64 + 1).to_le_bytes()) {
        *byte ^= n;
    }
    seed
}

/// What could not be written.
fn unwritten(what: &str, path: &Path, error: std::io::Error) -> Failure {
    setup(format!(
        "cannot write the {what} to {}: {error}",
        path.display()
    ))
}

/// Where each host asks for the names of others, and the interfaces that lead to the real host.
type WaysOut = (Vec<Option<outside::Names>>, Vec<(usize, IfIndex)>);

/// The ways out of those hosts that have one.
fn outside(plan: &Plan, seed: [u8; 32], room: &mut Room) -> Result<WaysOut, Failure> {
    let members = plan.networks.iter().flat_map(|network| &network.members);
    let addresses = members.flat_map(|member| &member.addresses);
    let taken: Vec<IpAddr> = addresses.map(|(addr, _)| *addr).collect();
    let (mut outer, mut ways) = (Vec::new(), Vec::new());
    for (number, host) in plan.hosts.iter().enumerate() {
        let failed = |what| setup(format!("host.{}: {what}", host.name));
        let opened = Outside::open(&host.outside, seed_of(number, seed), &taken);
        let opened = opened.map_err(failed)?;
        outer.push(opened.as_ref().and_then(Outside::names).cloned());
        if let Some(opened) = opened {
            ways.push((number, opened.join(room, number).map_err(failed)?));
        }
    }
    Ok((outer, ways))
}

/// Those that are not as always.
fn loopbacks(
    plan: &Plan,
    args: &LabArgs,
    seed: [u8; 32],
    room: &mut Room,
    captures: &mut Vec<(PathBuf, Capture)>,
) -> Result<(), Failure> {
    for (number, host) in plan.hosts.iter().enumerate() {
        let Some(lo) = &host.lo else { continue };
        let mut tap = None;
        if let Some(path) = &lo.pcap {
            let path = result_path(args, path);
            let name = format!("{}:lo", host.name);
            let file = File::create(&path);
            let capture =
                file.and_then(|file| Capture::start_of(&[(&name, false)], Box::new(file)));
            let capture = capture.map_err(|error| unwritten("capture", &path, error))?;
            tap = Some(capture.tap(0));
            captures.push((path, capture));
            room.supervisors[number].owners.get_or_insert_default();
        }
        let supervisor = &mut room.supervisors[number];
        supervisor.host.stack_mut().carry_loopback(true);
        supervisor.loopback = Some(Loopback::new(lo.pipe, tap, seed_of(number, seed)));
    }
    Ok(())
}

fn host(plan: &Plan, number: usize, seed: [u8; 32]) -> Result<Host, Failure> {
    let stack = Config {
        seed: seed_of(number, seed),
        ..Config::default()
    };
    let mut host = Host::new(HostConfig { stack });
    host.set_possible_cpus(bpf::possible_cpus());
    let own = &plan.hosts[number];
    let mut set = |(name, value)| sysctl::set(&mut host, name, value).map_err(setup);
    set(sysctl::PING_FOR_ALL)?;
    if own.router {
        set(("net.ipv4.ip_forward", "1"))?;
        set(("net.ipv6.conf.all.forwarding", "1"))?;
    }
    sysctls(&mut host, own, false)?;
    Ok(host)
}

/// Those of interfaces, or the others.
fn sysctls(host: &mut Host, own: &HostPlan, of_interfaces: bool) -> Result<(), Failure> {
    let them = own.sysctl.iter();
    for (name, value) in them.filter(|(name, _)| sysctl::names_interface(name) == of_interfaces) {
        sysctl::set(host, name, value)
            .map_err(|what| setup(format!("host.{}.sysctl.{name}: {what}", own.name)))?;
    }
    Ok(())
}

fn wires(plan: &Plan, room: &mut Room) -> Result<Vec<Vec<Plug>>, Failure> {
    let now = room.clock.now();
    let mut all = Vec::new();
    for network in &plan.networks {
        let number = match network.kind {
            Kind::Segment => room.wires.add_segment(SegmentConfig {
                mtu: SWITCH_MTU,
                ..SegmentConfig::default()
            }),
            Kind::Link => room.wires.add_link(PipeConfig::default()),
        };
        let mut plugs = Vec::new();
        for member in &network.members {
            let layer = &mut room.supervisors[member.host].host;
            let zero = std::time::Duration::ZERO;
            let plugged =
                (room.wires).plug_in((member.host, layer), number, &member.addresses, zero);
            let (interface, plug) = plugged.map_err(|error| {
                let host = &plan.hosts[member.host].name;
                setup(format!("{} of {host}: {error}", network.name))
            })?;
            let change = InterfaceChange::Mtu(member.out.mtu);
            layer.stack_mut().change_interface(interface, change);
            if network.asks {
                layer.stack_mut().solicit_routers(now, interface);
            }
            plugs.push(plug);
        }
        for (member, plug) in network.members.iter().zip(&plugs) {
            room.wires
                .change(now, *plug, Cable::Up, |own| *own = member.out);
            if network.kind == Kind::Segment {
                (room.wires).change(now, *plug, Cable::Down, |own| *own = member.incoming);
            }
        }
        all.push(plugs);
    }
    Ok(all)
}

fn translations(plan: &Plan, room: &mut Room, plugs: &[Vec<Plug>]) {
    for (number, host) in plan.hosts.iter().enumerate() {
        let Some(nat) = host.nat else { continue };
        let members = plan.networks[nat.outside].members.iter();
        let mut own = members
            .zip(&plugs[nat.outside])
            .filter(|(m, _)| m.host == number);
        if let Some(outside) = own.next().and_then(|(_, plug)| room.wires.interface(*plug)) {
            let stack = room.supervisors[number].host.stack_mut();
            stack.set_nat(Some(NatConfig::new(outside, nat.kind)));
        }
    }
}

fn routes(plan: &Plan, room: &mut Room) -> Result<(), Failure> {
    for (number, host) in plan.hosts.iter().enumerate() {
        let routes = match &host.routes {
            Some(routes) => routes.clone(),
            None => addresses::routes(plan, number),
        };
        for route in routes {
            let layer = &mut room.supervisors[number].host;
            add_route(layer, route.prefix, route.len, route.gateway).map_err(|error| {
                setup(format!(
                    "host.{}.routes: {}/{} via {}: {error}",
                    host.name, route.prefix, route.len, route.gateway
                ))
            })?;
        }
    }
    Ok(())
}

fn names_of(
    plan: &Plan,
    outer: Vec<Option<outside::Names>>,
    room: &mut Room,
) -> Result<(), Failure> {
    let mut directory = Directory::default();
    let mut near = vec![Vec::new(); plan.hosts.len()];
    for (number, host) in plan.hosts.iter().enumerate() {
        let mut addresses = Vec::new();
        for (network, known) in plan.networks.iter().enumerate() {
            for member in known.members.iter().filter(|member| member.host == number) {
                near[number].push(network);
                addresses.extend(member.addresses.iter().map(|(addr, _)| (network, *addr)));
            }
        }
        if addresses.is_empty() {
            addresses.push((usize::MAX, std::net::Ipv4Addr::LOCALHOST.into()));
        }
        directory.add(&host.name, addresses);
    }
    let directory = Rc::new(directory);
    for (number, (near, outer)) in near.into_iter().zip(outer).enumerate() {
        let supervisor = &mut room.supervisors[number];
        let named = Named::new(number, directory.clone(), near, plan.dns, outer);
        supervisor.named = Some(named);
        if plan.dns {
            (supervisor.start_dns()).map_err(|errno| setup(format!("no name server: {errno}")))?;
        }
    }
    Ok(())
}

/// Where a file of the lab's results goes.
pub(super) fn result_path(args: &LabArgs, path: &Path) -> PathBuf {
    match &args.output {
        Some(directory) => directory.join(path),
        None => path.to_path_buf(),
    }
}

/// A host's capture has all its interfaces but lo, a network's all that are on it.
fn captures(
    plan: &Plan,
    args: &LabArgs,
    room: &mut Room,
    plugs: &[Vec<Plug>],
    ways: &[(usize, IfIndex)],
) -> Result<Vec<(PathBuf, Capture)>, Failure> {
    let mut captures = Vec::new();
    let mut interfaces: Vec<Vec<(usize, IfIndex)>> = Vec::new();
    for (network, plugs) in plan.networks.iter().zip(plugs) {
        let with = network.members.iter().zip(plugs);
        let found = with.filter_map(|(member, plug)| {
            let index = room.wires.interface(*plug)?;
            Some((member.host, index))
        });
        interfaces.push(found.collect());
    }
    let mut start = |path: &Path, taps: Vec<(usize, IfIndex)>| {
        let path = result_path(args, path);
        let failed = |error| unwritten("capture", &path, error);
        let names: Vec<String> = taps
            .iter()
            .map(|(host, index)| {
                let stack = room.supervisors[*host].host.stack();
                let name = stack.interface(*index).map_or("", |i| i.name());
                format!("{}:{name}", plan.hosts[*host].name)
            })
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let file = File::create(&path).map_err(failed)?;
        let capture = Capture::start(&names, Box::new(file)).map_err(failed)?;
        for (number, (host, index)) in (0..).zip(taps) {
            room.wires.tap(host, index, capture.tap(number));
            room.supervisors[host].owners.get_or_insert_default();
        }
        captures.push((path, capture));
        Ok(())
    };
    for (network, interfaces) in plan.networks.iter().zip(&interfaces) {
        if let Some(path) = &network.pcap {
            start(path, interfaces.clone())?;
        }
    }
    for (number, host) in plan.hosts.iter().enumerate() {
        if let Some(path) = &host.pcap {
            let own = interfaces
                .iter()
                .flatten()
                .chain(ways)
                .filter(|(host, _)| *host == number);
            start(path, own.copied().collect())?;
        }
    }
    Ok(captures)
}
