//! A virtual host.

use crate::link::plug_in;
use crate::net::Net;
use crate::process::proc;
use crate::process::{Epolls, Process, ProcessBuilder};
use crate::sigio::Tasks;
use crate::world::HostState;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use switchboard_abi::Errno;
use switchboard_engine::{Config, Sysctl};
use switchboard_socket::{Cred, HostConfig, MemoryPaths};

/// A virtual host. Cloning gives another handle to the same host.
#[derive(Clone)]
pub struct Host {
    pub(crate) net: Net,
    pub(crate) index: usize,
}

/// Makes a [`Host`].
pub struct HostBuilder {
    net: Net,
    name: String,
    addresses: Vec<(IpAddr, u8)>,
    delay: Duration,
    sysctl: Sysctl,
}

impl HostBuilder {
    pub(crate) fn new(net: Net, name: &str) -> HostBuilder {
        HostBuilder {
            net,
            name: name.into(),
            addresses: Vec::new(),
            delay: Duration::ZERO,
            sysctl: Sysctl::default(),
        }
    }

    /// Gives the host an address on its interface `eth0`, which joins the net's segment.
    pub fn address(mut self, addr: IpAddr, prefix_len: u8) -> HostBuilder {
        self.addresses.push((addr, prefix_len));
        self
    }

    /// How long what the host sends takes to arrive.
    pub fn delay(mut self, delay: Duration) -> HostBuilder {
        self.delay = delay;
        self
    }

    /// The values under /proc/sys/net to start with.
    pub fn sysctl(mut self, sysctl: Sysctl) -> HostBuilder {
        self.sysctl = sysctl;
        self
    }

    /// Makes the host. Fails when an address is no host's, or another host has it.
    pub fn build(self) -> io::Result<Host> {
        let mut world = self.net.lock();
        let index = world.hosts.len();
        // Each host's random numbers are its own.
        let mut seed = world.seed;
        for (byte, n) in seed[8..].iter_mut().zip((index as u64).to_le_bytes()) {
            *byte ^= n;
        }
        let stack = Config {
            seed,
            sysctl: self.sysctl,
        };
        world.wires.may_attach(0, &self.addresses)?;
        let layer = switchboard_socket::Host::new(HostConfig { stack });
        world.hosts.push(HostState {
            name: self.name.into(),
            layer,
            paths: MemoryPaths::default(),
            cred: Arc::new(Cred::root(1)),
            waiters: Vec::new(),
            epolls: Epolls::default(),
            rights: BTreeMap::new(),
            next_token: 0,
            next_pid: 2,
            tasks: first_task(),
            quiet: None,
            touched: false,
        });
        world.wires.add_host();
        if !self.addresses.is_empty() {
            let (addresses, delay) = (&self.addresses, self.delay);
            let _ = plug_in(&self.net, &mut world, index, 0, addresses, delay)?;
        }
        drop(world);
        Ok(Host {
            net: self.net,
            index,
        })
    }
}

/// A typed socket is process 1's.
fn first_task() -> Tasks {
    let mut tasks = Tasks::default();
    tasks.insert(1, 1, &Cred::root(1));
    tasks
}

impl Host {
    /// The net it is in.
    pub fn net(&self) -> &Net {
        &self.net
    }

    /// Its name.
    pub fn name(&self) -> Arc<str> {
        self.net.lock().hosts[self.index].name.clone()
    }

    /// A new process of root's, with an empty descriptor table.
    pub fn process(&self) -> Process {
        self.process_builder().build()
    }

    /// A new process: choose its credentials and its architecture.
    pub fn process_builder(&self) -> ProcessBuilder {
        ProcessBuilder::new(self.clone())
    }

    /// unlink(2) of a name of an AF_UNIX socket: whether there was one.
    pub fn unlink(&self, path: &[u8]) -> bool {
        self.net.lock().hosts[self.index].paths.unlink(path)
    }

    /// How many sockets are open on it.
    pub fn socket_count(&self) -> usize {
        self.net.lock().hosts[self.index].layer.socket_count()
    }

    /// What a file of the host's /proc says, such as `/proc/net/tcp` or `/proc/sys/net/core/somaxconn`. `ENOENT` for
    /// what is not there.
    pub fn proc_read(&self, path: &str) -> Result<String, Errno> {
        proc::text(self, path)
    }

    /// The value of a tunable, such as `net.core.somaxconn`.
    pub fn sysctl(&self, name: &str) -> Result<String, Errno> {
        let world = self.net.lock();
        let text = world.hosts[self.index].layer.sysctl(name)?;
        Ok(text.trim_end().to_owned())
    }

    /// Sets a tunable, as root would: `ENOENT` for a name there is not, `EINVAL` for a value it does not take, `EACCES`
    /// where it is read-only.
    pub fn set_sysctl(&self, name: &str, value: &str) -> Result<(), Errno> {
        self.with_layer(|layer| layer.set_sysctl(name, value))
    }

    /// Works on the host's socket layer itself: sysctls, routes, counters. Sockets that the typed
    /// API or a process hold are not to be closed here.
    pub fn with_layer<T>(&self, f: impl FnOnce(&mut switchboard_socket::Host) -> T) -> T {
        let mut world = self.net.lock();
        let result = f(&mut world.hosts[self.index].layer);
        self.net.settle(&mut world, self.index);
        self.net.unlock(world);
        result
    }
}
