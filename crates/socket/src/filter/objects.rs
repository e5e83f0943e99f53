//! What bpf(2) makes: programs and maps, behind descriptors that are the embedder's.

use crate::host::Host;
use crate::socket::Kind;
use crate::table::SocketId;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_bpf::ebpf::{Map, MapKind, MapSpec, Program, SocketRef};
use switchboard_engine::SocketHandle;

/// `ENOTSUPP`, which is none of errno(3)'s.
const ENOTSUPP: Errno = Errno(524);

/// What a descriptor of bpf(2) stands for. It outlives its object safely: it then names nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct BpfId(pub u64);

/// An object of bpf(2).
#[derive(Clone, Debug)]
pub enum BpfObject {
    /// `BPF_PROG_LOAD`
    Program(Arc<NamedProgram>),
    /// `BPF_MAP_CREATE`
    Map(Arc<Map>, [u8; 16]),
}

/// A program and what it is called.
#[derive(Debug)]
pub struct NamedProgram {
    /// The program.
    pub program: Program,
    /// `prog_name`
    pub name: [u8; 16],
    /// `BPF_SK_REUSEPORT_SELECT_OR_MIGRATE`
    pub migrates: bool,
}

/// The objects of a host.
#[derive(Default)]
pub(crate) struct Objects {
    objects: BTreeMap<u64, BpfObject>,
    last: u64,
    /// Maps that hold sockets, which leave them when they are closed.
    sockarrays: Vec<Weak<Map>>,
    /// How many processors percpu maps are told for.
    cpus: u32,
}

impl Host {
    /// How many processors the programs of this host believe there are; one unless said.
    pub fn set_possible_cpus(&mut self, cpus: u32) {
        self.bpf.cpus = cpus;
    }

    /// `BPF_MAP_CREATE`, but for the map's descriptor.
    pub fn bpf_new_map(&mut self, spec: MapSpec, name: [u8; 16]) -> Result<BpfId, Errno> {
        let cpus = self.bpf.cpus.max(1);
        let map = Map::new(MapSpec { cpus, ..spec }).map_err(|e| Errno(e.0))?;
        let map = Arc::new(map);
        if spec.kind == MapKind::ReuseportSockarray {
            let arrays = &mut self.bpf.sockarrays;
            arrays.retain(|map| map.strong_count() > 0);
            arrays.push(Arc::downgrade(&map));
        }
        Ok(self.bpf_insert(BpfObject::Map(map, name)))
    }

    /// `BPF_PROG_LOAD`, but for the program's descriptor.
    pub fn bpf_new_program(&mut self, program: Program, name: [u8; 16], migrates: bool) -> BpfId {
        self.bpf_insert(BpfObject::Program(Arc::new(NamedProgram {
            program,
            name,
            migrates,
        })))
    }

    fn bpf_insert(&mut self, object: BpfObject) -> BpfId {
        self.bpf.last += 1;
        self.bpf.objects.insert(self.bpf.last, object);
        BpfId(self.bpf.last)
    }

    /// The object behind a descriptor.
    pub fn bpf_object(&self, id: BpfId) -> Option<&BpfObject> {
        self.bpf.objects.get(&id.0)
    }

    /// close(2) of the last descriptor. What a socket or a program uses stays with them.
    pub fn bpf_close(&mut self, id: BpfId) {
        self.bpf.objects.remove(&id.0);
    }

    /// How many objects have descriptors.
    pub fn bpf_count(&self) -> usize {
        self.bpf.objects.len()
    }

    /// bpf_fd_reuseport_array_update_elem(): puts a socket in a sockarray.
    pub fn bpf_set_socket(
        &mut self,
        map: &Map,
        key: &[u8],
        id: SocketId,
        flags: u64,
    ) -> Result<(), Errno> {
        // reuseport_array_update_check(): the place comes before the socket.
        map.check_place(key, flags).map_err(|e| Errno(e.0))?;
        let grouped = match &self.get(id)?.kind {
            Kind::Tcp(s) => self.stack.tcp_is_grouped(s.handle),
            Kind::Udp(s) if i32::from(self.get(id)?.common.protocol) == IPPROTO_UDP => {
                self.stack.udp_is_grouped(s.handle)
            }
            _ => return Err(ENOTSUPP),
        };
        if !grouped {
            return Err(Errno::EINVAL);
        }
        let handle = self.bpf_handle(id).ok_or(Errno::EINVAL)?.to_u64();
        // One place in one map, for each socket.
        let arrays = self.bpf.sockarrays.iter().filter_map(Weak::upgrade);
        if arrays.into_iter().any(|map| map.has_socket(handle)) {
            return Err(Errno::EBUSY);
        }
        let socket = SocketRef {
            id: handle,
            cookie: id.to_u64() + 1,
        };
        map.set_socket(key, socket, flags).map_err(|e| Errno(e.0))
    }

    fn bpf_handle(&self, id: SocketId) -> Option<SocketHandle> {
        match &self.get(id).ok()?.kind {
            Kind::Tcp(s) => Some(SocketHandle::Tcp(s.handle)),
            Kind::Udp(s) => Some(SocketHandle::Udp(s.handle)),
            Kind::Unix(_) | Kind::Netlink(_) | Kind::Packet(_) => None,
        }
    }

    /// A socket is closed: it leaves the sockarrays.
    pub(crate) fn bpf_forget_socket(&mut self, id: SocketId) {
        if self.bpf.sockarrays.is_empty() {
            return;
        }
        if let Some(handle) = self.bpf_handle(id) {
            for map in self.bpf.sockarrays.iter().filter_map(Weak::upgrade) {
                map.forget_socket(handle.to_u64());
            }
        }
    }
}
