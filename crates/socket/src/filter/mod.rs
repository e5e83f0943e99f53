//! Filters: programs that decide over what a socket gets, and over who of a SO_REUSEPORT group gets
//! it.
//!
//! # Theory of operation
//!
//! A program is attached to a socket here, and handed to the engine as a value that answers; the
//! engine asks it where Linux does: before TCP looks at a segment (tcp_filter()), before UDP queues a
//! datagram, where the receiver of a group is chosen. AF_UNIX asks by itself, for datagrams and
//! records; a stream has no filter on Linux either, though it can be attached.
//!
//! A program sees the packet from its transport header on, a group's program from its data on, a raw
//! IPv4 socket's from its IP header on. The packet is not made bytes for it (`frame`).

mod frame;
mod objects;

pub(crate) use frame::{ETH_P_IP, ETH_P_IPV6, LINK, Written, device_kind};
pub(crate) use objects::Objects;
pub use objects::{BpfId, BpfObject, NamedProgram};

use crate::host::Host;
use crate::socket::Kind;
use crate::table::SocketId;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use frame::{Frame, Start};
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_bpf::classic::{Insn, Program};
use switchboard_bpf::ebpf::{self, ProgramKind};
use switchboard_bpf::{Env, Meta, Packet};
use switchboard_engine::{
    Ask, Choice, GroupError, GroupFilter, Inspected, Instant, SocketFilter, SocketHandle,
};
use switchboard_wire::Payload;

/// A program that was found valid.
#[derive(Debug)]
pub enum FilterProgram {
    /// `SO_ATTACH_FILTER`, `SO_ATTACH_REUSEPORT_CBPF`
    Classic(Program),
    /// `SO_ATTACH_BPF`, `SO_ATTACH_REUSEPORT_EBPF`
    Extended(Arc<NamedProgram>),
}

impl FilterProgram {
    /// What it returns for a packet.
    fn run(&self, env: &mut Env, packet: &dyn Packet) -> u32 {
        match self {
            FilterProgram::Classic(program) => program.run(env, packet),
            FilterProgram::Extended(named) => named.program.run(env, packet, &|_| false).value,
        }
    }

    /// What it returns for a frame (see `Host::frame_filtered`) that is no socket's yet.
    pub(crate) fn over_frame(
        &self,
        now: Instant,
        frame: (Vec<u8>, Payload, usize, usize),
        meta: Meta,
    ) -> u32 {
        let now = now.as_nanos();
        let mut env = Env {
            now,
            seed: now,
            cpu: 0,
        };
        self.run(&mut env, &Frame::link(frame, meta))
    }

    /// What a socket is charged for it.
    fn charge(&self) -> usize {
        match self {
            FilterProgram::Classic(program) => program.charge(),
            // struct bpf_prog and its instructions.
            FilterProgram::Extended(named) => 96 + 8 * named.program.len(),
        }
    }
}

/// What a program is to decide over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Attach {
    /// What the socket gets: `SO_ATTACH_FILTER`, `SO_ATTACH_BPF`.
    Socket,
    /// Who of the socket's group gets it: `SO_ATTACH_REUSEPORT_CBPF`, `SO_ATTACH_REUSEPORT_EBPF`.
    Group,
}

/// What a socket keeps of it.
#[derive(Clone, Default, Debug)]
pub(crate) struct FilterState {
    pub(crate) program: Option<Arc<FilterProgram>>,
    /// `SO_LOCK_FILTER`
    pub(crate) locked: bool,
}

/// A program at its place.
struct Attached {
    program: Arc<FilterProgram>,
    cookie: u64,
    uid: u32,
}

impl fmt::Debug for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attached")
    }
}

impl Attached {
    fn frame(&self, packet: &Inspected<'_>, start: Start) -> (Frame, Env) {
        let mut frame = Frame::of(packet, start);
        frame.meta.cookie = self.cookie;
        frame.meta.uid = self.uid;
        let env = Env {
            now: packet.now.as_nanos(),
            seed: packet.seed,
            cpu: 0,
        };
        (frame, env)
    }

    fn run(&self, packet: &Inspected<'_>, start: Start) -> u32 {
        let (frame, mut env) = self.frame(packet, start);
        self.program.run(&mut env, &frame)
    }
}

impl SocketFilter for Attached {
    fn verdict(&self, packet: &Inspected<'_>) -> u32 {
        let start = if packet.from_network {
            Start::Network
        } else {
            Start::Transport
        };
        self.run(packet, start)
    }
}

impl GroupFilter for Attached {
    fn choose(&self, ask: &Ask<'_>) -> Choice {
        if let FilterProgram::Extended(named) = &*self.program
            && named.program.kind() == ProgramKind::SkReuseport
        {
            return self.choose_by_map(&named.program, ask);
        }
        // run_bpf_filter(): what it returns is the number of a member.
        match ask.packet {
            Some(packet) => Choice::Member(self.run(packet, Start::Data) as usize),
            None => Choice::Hash,
        }
    }

    fn migrates(&self) -> bool {
        matches!(&*self.program, FilterProgram::Extended(named) if named.migrates)
    }
}

impl Attached {
    /// bpf_run_sk_reuseport(): it passes the packet or not, and may have chosen a socket of the group.
    fn choose_by_map(&self, program: &ebpf::Program, ask: &Ask<'_>) -> Choice {
        /// `SK_PASS`
        const PASS: u32 = 1;
        let mut frame = match ask.packet {
            Some(packet) => Frame::of(packet, Start::Transport),
            // An empty packet, which came over no link.
            None => Frame::message(&Payload::new(), Meta::default()),
        };
        let tcp = matches!(ask.members.first(), Some(SocketHandle::Tcp(_)));
        frame.meta = Meta {
            cookie: self.cookie,
            uid: self.uid,
            hash: ask.hash,
            ip_protocol: if tcp { 6 } else { 17 },
            bind_any: ask.socket.local.ip().is_unspecified(),
            ..frame.meta
        };
        frame.show_sockets(ask, tcp, self.cookie);
        let mut env = Env {
            now: ask.now.as_nanos(),
            seed: ask.seed,
            cpu: 0,
        };
        let member = |socket: u64| ask.members.iter().position(|m| m.to_u64() == socket);
        let verdict = program.run(&mut env, &frame, &|socket| member(socket).is_some());
        match (verdict.value, verdict.selected.and_then(member)) {
            (PASS, Some(member)) => Choice::Member(member),
            (PASS, None) => Choice::Hash,
            _ => Choice::Nobody,
        }
    }
}

impl Host {
    /// `SO_LOCK_FILTER`: whether the socket's filter can no longer be changed.
    pub fn filter_is_locked(&self, id: SocketId) -> Result<bool, Errno> {
        let filter = self.get(id)?.common.filter.as_ref();
        Ok(filter.is_some_and(|filter| filter.locked))
    }

    /// setsockopt(2) of `SO_ATTACH_FILTER` and `SO_ATTACH_REUSEPORT_CBPF`, whose value points to a
    /// program: `insns` is what lies there.
    pub fn attach_classic(
        &mut self,
        id: SocketId,
        to: Attach,
        insns: Vec<Insn>,
    ) -> Result<(), Errno> {
        if self.filter_is_locked(id)? {
            return Err(Errno::EPERM);
        }
        let program = Program::new(insns).map_err(|_| Errno::EINVAL)?;
        self.attach(id, to, Arc::new(FilterProgram::Classic(program)))
    }

    /// setsockopt(2) of `SO_ATTACH_BPF` and `SO_ATTACH_REUSEPORT_EBPF`: `object` is what the
    /// descriptor in the value stands for.
    pub fn attach_bpf(
        &mut self,
        id: SocketId,
        to: Attach,
        object: Result<Option<BpfId>, Errno>,
    ) -> Result<(), Errno> {
        if self.filter_is_locked(id)? {
            return Err(Errno::EPERM);
        }
        let object = object?.and_then(|object| self.bpf_object(object));
        let Some(BpfObject::Program(program)) = object else {
            return Err(Errno::EINVAL);
        };
        let program = program.clone();
        if program.program.kind() == ProgramKind::SkReuseport {
            if to == Attach::Socket {
                return Err(Errno::EINVAL);
            }
            // sk_reuseport_attach_bpf(): ENOTSUPP, which is none of errno(3)'s.
            let common = &self.get(id)?.common;
            let protocol = i32::from(common.protocol);
            let inet = matches!(i32::from(common.domain), AF_INET | AF_INET6);
            if !inet || !matches!(protocol, IPPROTO_TCP | IPPROTO_UDP) {
                return Err(Errno(524));
            }
        }
        self.attach(id, to, Arc::new(FilterProgram::Extended(program)))
    }

    /// __sk_attach_prog() and reuseport_attach_prog()
    pub fn attach(
        &mut self,
        id: SocketId,
        to: Attach,
        program: Arc<FilterProgram>,
    ) -> Result<(), Errno> {
        if self.filter_is_locked(id)? {
            return Err(Errno::EPERM);
        }
        let room = self.stack.sysctl().optmem_max as usize;
        let charge = program.charge();
        let socket = self.get(id)?;
        let attached = Arc::new(Attached {
            program: program.clone(),
            cookie: id.to_u64() + 1,
            uid: socket.common.uid,
        });
        if to == Attach::Group {
            if charge > room {
                return Err(Errno::ENOMEM);
            }
            return self.set_group_filter(id, Some(attached));
        }
        // sk_filter_charge(): the one that is there goes only when the new one is in.
        let old = socket.common.filter.as_ref();
        let old = old
            .and_then(|f| f.program.as_ref())
            .map_or(0, |p| p.charge());
        if charge > room || old + charge >= room {
            return Err(Errno::ENOMEM);
        }
        self.tcp_option_changes(id);
        self.set_socket_filter(id, Some(attached));
        let state = self.get_mut(id)?.common.filter.get_or_insert_default();
        state.program = Some(program);
        Ok(())
    }

    /// `SO_DETACH_FILTER`
    pub(crate) fn detach_filter(&mut self, id: SocketId) -> Result<(), Errno> {
        if self.filter_is_locked(id)? {
            return Err(Errno::EPERM);
        }
        let place = &mut self.get_mut(id)?.common.filter;
        if place.as_ref().is_none_or(|state| state.program.is_none()) {
            return Err(Errno::ENOENT);
        }
        *place = None;
        self.set_socket_filter(id, None);
        Ok(())
    }

    /// `SO_DETACH_REUSEPORT_BPF`, which does not ask whether the filter is locked.
    pub(crate) fn detach_group_filter(&mut self, id: SocketId) -> Result<(), Errno> {
        self.set_group_filter(id, None)
    }

    fn set_socket_filter(&mut self, id: SocketId, filter: Option<Arc<Attached>>) {
        let filter = filter.map(|filter| filter as Arc<dyn SocketFilter>);
        match self.get(id).map(|socket| &socket.kind) {
            Ok(Kind::Tcp(s)) => {
                let handle = s.handle;
                self.stack.tcp_set_filter(handle, filter);
            }
            Ok(Kind::Udp(s)) => {
                let handle = s.handle;
                self.stack.udp_set_filter(handle, filter);
            }
            // It is asked by whoever sends.
            Ok(Kind::Unix(_) | Kind::Netlink(_) | Kind::Packet(_)) | Err(_) => {}
        }
    }

    fn set_group_filter(
        &mut self,
        id: SocketId,
        filter: Option<Arc<Attached>>,
    ) -> Result<(), Errno> {
        let filter = filter.map(|filter| filter as Arc<dyn GroupFilter>);
        let set = match &self.get(id)?.kind {
            Kind::Tcp(s) => {
                let handle = s.handle;
                self.stack.tcp_set_group_filter(handle, filter)
            }
            Kind::Udp(s) => {
                let handle = s.handle;
                self.stack.udp_set_group_filter(handle, filter)
            }
            // SO_REUSEPORT is for the internet families.
            Kind::Unix(_) | Kind::Netlink(_) | Kind::Packet(_) => Err(GroupError::NoGroup),
        };
        set.map_err(|error| match error {
            GroupError::NoGroup => Errno::EINVAL,
            GroupError::NoFilter => Errno::ENOENT,
        })
    }

    /// sk_filter() of AF_UNIX: how much of a message a socket gets; `None`: nothing.
    pub(crate) fn unix_filtered(&self, now: u64, to: SocketId, data: &Payload) -> Option<usize> {
        let len = data.len();
        let Ok(socket) = self.get(to) else {
            return Some(len);
        };
        let state = socket.common.filter.as_ref();
        let Some(program) = state.and_then(|state| state.program.as_ref()) else {
            return Some(len);
        };
        let meta = Meta {
            cookie: to.to_u64() + 1,
            uid: socket.common.uid,
            ..Meta::default()
        };
        let mut env = Env {
            now,
            // Nothing here draws from the host's stream: the same seed gives the same run.
            seed: now ^ to.to_u64(),
            cpu: 0,
        };
        match program.run(&mut env, &Frame::message(data, meta)) as usize {
            0 => None,
            verdict => Some(verdict.min(len)),
        }
    }

    /// What a packet socket's filter says of a frame; `None` without one. The frame is written only for a filter.
    pub(crate) fn frame_filtered(
        &self,
        now: Instant,
        to: SocketId,
        frame: impl FnOnce() -> (Vec<u8>, Payload, usize, usize),
        meta: Meta,
    ) -> Option<u32> {
        let socket = self.get(to).ok()?;
        let program = socket.common.filter.as_ref()?.program.as_ref()?;
        let meta = Meta {
            cookie: to.to_u64() + 1,
            uid: socket.common.uid,
            ..meta
        };
        let now = now.as_nanos();
        let mut env = Env {
            now,
            // See `unix_filtered`.
            seed: now ^ to.to_u64(),
            cpu: 0,
        };
        Some(program.run(&mut env, &Frame::link(frame(), meta)))
    }
}
