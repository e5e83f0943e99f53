//! The way in and out: a host's interface that leads to the machine that this runs on.

use crate::host::Host;
use crate::link::{Interface, plug_in};
use crate::net::{Net, Shared};
use rustix::event::{PollFd, PollFlags, poll};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;
use switchboard_device::{Nat, NatAddresses, NatConfig, NatCounts, Outlet, Publish, Tun};

/// A gateway between a virtual host and the real one: what the virtual host's programs reach through it is what this
/// process reaches.
#[derive(Clone)]
pub struct Gateway {
    interface: Interface,
}

impl Net {
    /// Gives a host an interface that leads to a gateway, and routes by it: TCP, UDP and echo requests by the sockets of
    /// the real host, and DNS by the gateway's address in [`Gateway::resolv_conf`]. Real time only
    /// ([`ErrorKind::Unsupported`]).
    pub fn nat(&self, host: &Host, mut config: NatConfig) -> io::Result<Gateway> {
        let world = self.lock();
        if world.is_virtual() {
            return Err(ErrorKind::Unsupported.into());
        }
        config.seed = world.wires.seed_of(world.wires.networks());
        drop(world);
        let nat = Nat::new(config)?;
        let (addresses, mtu) = (*nat.addresses(), nat.mtu());
        let own = addresses.subnets().map(|net| (net.host, net.prefix_len));
        let interface = self.outlet(host, Outlet::from(nat), mtu, &own)?;
        for net in addresses.subnets() {
            host.default_route(net.gateway)?;
        }
        Ok(Gateway { interface })
    }

    /// Gives a host an interface whose other end is a TUN or TAP device of the real host. Real time only
    /// ([`ErrorKind::Unsupported`]).
    pub fn tun(
        &self,
        host: &Host,
        device: Tun,
        mtu: u32,
        addresses: &[(IpAddr, u8)],
    ) -> io::Result<Interface> {
        self.outlet(host, Outlet::from(device), mtu, addresses)
    }

    fn outlet(
        &self,
        host: &Host,
        outlet: Outlet,
        mtu: u32,
        addresses: &[(IpAddr, u8)],
    ) -> io::Result<Interface> {
        let readable = outlet.as_fd().try_clone_to_owned()?;
        let (stop, stopped) = UnixStream::pair()?;
        let mut guard = self.lock();
        let world = &mut *guard;
        if world.is_virtual() {
            return Err(ErrorKind::Unsupported.into());
        }
        let number = world.wires.add_outlet(outlet, mtu);
        let zero = Duration::ZERO;
        let interface = plug_in(self, world, host.index, number, addresses, zero)?;
        world.watchers.push(stop);
        drop(guard);
        let shared = self.inner.shared.clone();
        std::thread::Builder::new()
            .name("switchboard-out".into())
            .spawn(move || watch(&shared, number, &readable, &stopped))?;
        Ok(interface)
    }
}

/// Waits for the outside, until that or the net is gone.
fn watch(shared: &Arc<Shared>, network: usize, readable: &impl AsFd, stopped: &UnixStream) {
    loop {
        let mut fds = [
            PollFd::new(readable, PollFlags::IN),
            PollFd::new(stopped, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Ok(_) if fds[1].revents().is_empty() && shared.look(network) => {}
            Err(rustix::io::Errno::INTR) => {}
            _ => return,
        }
    }
}

impl Gateway {
    /// The host's interface that leads to it.
    pub fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Publishes a port of the host on the real host; where, when the port was left to be chosen. Clients are seen by
    /// their own addresses, those on the real host itself by the gateway's.
    pub fn publish(&self, publish: &Publish) -> io::Result<SocketAddr> {
        self.with(|nat| nat.publish(publish))
            .unwrap_or(Err(ErrorKind::NotConnected.into()))
    }

    /// What the host's /etc/resolv.conf would say.
    pub fn resolv_conf(&self) -> String {
        self.with(|nat| nat.resolv_conf()).unwrap_or_default()
    }

    /// Who is who on the link to the gateway.
    pub fn addresses(&self) -> NatAddresses {
        self.with(|nat| *nat.addresses()).unwrap_or_default()
    }

    /// How many conversations there are.
    pub fn counts(&self) -> NatCounts {
        self.with(|nat| nat.counts()).unwrap_or_default()
    }

    fn with<T>(&self, f: impl FnOnce(&mut Nat) -> T) -> Option<T> {
        let mut world = self.interface.net.lock();
        let outlet = world.wires.outlet(self.interface.plug.network)?;
        outlet.nat_mut().map(f)
    }
}
