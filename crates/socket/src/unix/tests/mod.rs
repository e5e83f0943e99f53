//! Traces of calls. Every expectation was seen on Linux 6.18 first.

mod connections;
mod credentials;
mod cycles;
mod datagrams;
mod names;
mod oob;
mod queue;
mod rights;
mod streams;
mod waits;

use crate::call::{Attempt, ConnectProgress, Cx, Fail};
use crate::cred::Cred;
use crate::host::{Host, HostConfig};
use crate::mask::PollMask;
use crate::message::{
    ControlOut, FileToken, Received, RecvProgress, RecvRequest, Right, SendControl, SendRequest,
    Skip, Ucred,
};
use crate::socket::CommonFlags;
use crate::table::SocketId;
use crate::unix::paths::MemoryPaths;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use switchboard_abi::number::*;
use switchboard_abi::{Errno, SockAddr};
use switchboard_engine::Instant;
use switchboard_wire::Payload;

/// poll(2)'s masks by the names they have here.
const IN: u16 = 0x41;
const OUT: u16 = 0x304;
const ERR: u16 = 0x8;
const HUP: u16 = 0x10;
const RDHUP: u16 = 0x2000;

/// A host and one task on it.
struct World {
    host: Host,
    cred: Arc<Cred>,
    paths: MemoryPaths,
    realtime: Duration,
}

/// What recvmsg(2) returned.
#[derive(PartialEq, Debug)]
struct Got {
    data: Vec<u8>,
    flags: i32,
    name: Option<Vec<u8>>,
    control: Vec<ControlOut>,
}

fn bytes(data: &[u8]) -> Got {
    Got {
        data: data.to_vec(),
        flags: 0,
        name: None,
        control: vec![],
    }
}

impl Got {
    fn from(self, name: &[u8]) -> Got {
        Got {
            name: Some(name.to_vec()),
            ..self
        }
    }
    fn cut(self) -> Got {
        Got {
            flags: MSG_TRUNC,
            ..self
        }
    }
    fn creds(mut self, pid: u32, uid: u32, gid: u32) -> Got {
        self.control
            .push(ControlOut::Credentials(Ucred { pid, uid, gid }));
        self
    }
    fn rights(mut self, tokens: &[u64]) -> Got {
        let rights = tokens.iter().map(|&t| Right {
            token: FileToken(t),
            socket: None,
        });
        self.control.push(ControlOut::Rights(rights.collect()));
        self
    }
}

/// `sockaddr_un` of these `sun_path` bytes.
fn un(path: &[u8]) -> Vec<u8> {
    let mut raw = (AF_UNIX as u16).to_ne_bytes().to_vec();
    raw.extend_from_slice(path);
    raw
}

fn files(tokens: &[u64]) -> SendControl {
    let rights = tokens
        .iter()
        .map(|&t| Right {
            token: FileToken(t),
            socket: None,
        })
        .collect();
    SendControl {
        rights,
        ..SendControl::default()
    }
}

fn socket_file(token: u64, socket: SocketId) -> SendControl {
    let rights = vec![Right {
        token: FileToken(token),
        socket: Some(socket),
    }];
    SendControl {
        rights,
        ..SendControl::default()
    }
}

fn creds(pid: u32, uid: u32, gid: u32) -> SendControl {
    let credentials = Some(Ucred { pid, uid, gid });
    SendControl {
        credentials,
        ..SendControl::default()
    }
}

const PID: u32 = 100;

impl World {
    fn new() -> World {
        World {
            host: Host::new(HostConfig::default()),
            cred: Arc::new(Cred::root(PID)),
            paths: MemoryPaths::default(),
            realtime: Duration::from_secs(1_700_000_000),
        }
    }

    fn with<T>(&mut self, call: impl FnOnce(&mut Host, &mut Cx<'_>) -> T) -> T {
        let mut cx = Cx {
            now: Instant::BOOT,
            realtime: self.realtime,
            cred: &self.cred,
            paths: &mut self.paths,
        };
        call(&mut self.host, &mut cx)
    }

    fn become_user(&mut self, pid: u32, uid: u32) {
        self.cred = Arc::new(Cred::user(pid, uid, uid));
    }

    fn socket(&mut self, ty: i32) -> SocketId {
        self.with(|h, cx| h.socket(cx, AF_UNIX, ty, 0)).unwrap()
    }

    fn pair(&mut self, ty: i32) -> (SocketId, SocketId) {
        self.with(|h, cx| h.socketpair(cx, AF_UNIX, ty, 0)).unwrap()
    }

    fn bind(&mut self, id: SocketId, path: &[u8]) -> Result<(), Errno> {
        self.with(|h, cx| h.bind(cx, id, &un(path)))
    }

    /// A socket bound to a name.
    fn bound(&mut self, ty: i32, path: &[u8]) -> SocketId {
        let id = self.socket(ty);
        self.bind(id, path).unwrap();
        id
    }

    fn listen(&mut self, id: SocketId, backlog: i32) -> Result<(), Errno> {
        self.with(|h, cx| h.listen(cx, id, backlog))
    }

    fn listener(&mut self, ty: i32, path: &[u8], backlog: i32) -> SocketId {
        let id = self.bound(ty, path);
        self.listen(id, backlog).unwrap();
        id
    }

    fn try_connect(&mut self, id: SocketId, raw: &[u8], last: bool) -> Result<bool, Fail> {
        let mut progress = ConnectProgress::default();
        match self.with(|h, cx| h.attempt_connect(cx, id, raw, &mut progress, last))? {
            Attempt::Ready(()) => Ok(true),
            Attempt::Blocked(b) => {
                assert_eq!(b.interest, PollMask::OUT);
                Ok(false)
            }
        }
    }

    /// Without waiting.
    fn connect(&mut self, id: SocketId, path: &[u8]) -> Result<(), Errno> {
        self.try_connect(id, &un(path), true)
            .map(|done| assert!(done))
            .map_err(|f| f.errno)
    }

    /// A new socket, connected without waiting.
    fn client(&mut self, ty: i32, path: &[u8]) -> Result<SocketId, Errno> {
        let id = self.socket(ty);
        self.connect(id, path).map(|()| id)
    }

    fn accept(&mut self, id: SocketId) -> Result<(SocketId, Vec<u8>), Errno> {
        let attempt = self
            .with(|h, cx| h.attempt_accept(cx, id, true))
            .map_err(|f| f.errno)?;
        let Attempt::Ready(plan) = attempt else {
            panic!("waits")
        };
        let peer = path_of(plan.peer.clone());
        Ok((self.with(|h, cx| h.commit_accept(cx, plan)), peer))
    }

    /// sendmsg(2): `Ok(None)` means it would wait.
    fn try_send(
        &mut self,
        id: SocketId,
        data: &[u8],
        name: Option<&[u8]>,
        control: &SendControl,
        flags: i32,
        last: bool,
    ) -> Result<Option<usize>, Fail> {
        let request = SendRequest {
            len: data.len(),
            done: 0,
            skip: Skip::default(),
            flags,
            name,
            control,
            last,
        };
        match self.with(|h, cx| h.attempt_send(cx, id, &request))? {
            Attempt::Ready(plan) => {
                let n = plan.take;
                self.with(|h, cx| h.commit_send(cx, id, plan, Payload::from(&data[..n])));
                Ok(Some(n))
            }
            Attempt::Blocked(b) => {
                assert_eq!(b.interest, PollMask::OUT);
                Ok(None)
            }
        }
    }

    fn sendmsg(
        &mut self,
        id: SocketId,
        data: &[u8],
        control: &SendControl,
    ) -> Result<usize, Errno> {
        match self.try_send(id, data, None, control, 0, true) {
            Ok(n) => Ok(n.unwrap()),
            Err(fail) => self.fail(id, fail),
        }
    }

    fn send(&mut self, id: SocketId, data: &[u8]) -> Result<usize, Errno> {
        self.sendmsg(id, data, &SendControl::default())
    }

    fn sendto(&mut self, id: SocketId, data: &[u8], path: &[u8]) -> Result<usize, Errno> {
        let control = SendControl::default();
        match self.try_send(id, data, Some(&un(path)), &control, 0, true) {
            Ok(n) => Ok(n.unwrap()),
            Err(fail) => self.fail(id, fail),
        }
    }

    /// Whether a send fails with EPIPE and a signal.
    fn sigpipe(&mut self, id: SocketId) -> bool {
        let control = SendControl::default();
        let fail = self
            .try_send(id, b"x", None, &control, 0, true)
            .unwrap_err();
        assert_eq!(fail.errno, Errno::EPIPE);
        fail.sigpipe
    }

    fn try_recv(
        &mut self,
        id: SocketId,
        len: usize,
        flags: i32,
        skip: Skip,
        progress: &mut RecvProgress,
        last: bool,
    ) -> Result<Option<Received>, Fail> {
        let mut request = RecvRequest {
            len,
            flags,
            skip,
            progress,
            last,
        };
        match self.with(|h, cx| h.attempt_recv(cx, id, &mut request))? {
            Attempt::Ready(received) => Ok(Some(received)),
            Attempt::Blocked(b) => {
                assert_eq!(b.interest, PollMask::IN);
                Ok(None)
            }
        }
    }

    /// recvmsg(2) that may wait (`None`), committed at once.
    fn blocking_recv(&mut self, id: SocketId, len: usize) -> Result<Option<Got>, Errno> {
        let mut progress = RecvProgress::default();
        match self.try_recv(id, len, 0, Skip::default(), &mut progress, false) {
            Ok(Some(received)) => Ok(Some(self.deliver(id, received))),
            Ok(None) => Ok(None),
            Err(fail) => self.fail(id, fail),
        }
    }

    fn recvmsg(&mut self, id: SocketId, len: usize, flags: i32) -> Result<Got, Errno> {
        let mut progress = RecvProgress::default();
        match self.try_recv(id, len, flags, Skip::default(), &mut progress, true) {
            Ok(received) => Ok(self.deliver(id, received.unwrap())),
            Err(fail) => self.fail(id, fail),
        }
    }

    fn recv(&mut self, id: SocketId, len: usize) -> Result<Got, Errno> {
        self.recvmsg(id, len, 0)
    }

    fn deliver(&mut self, id: SocketId, received: Received) -> Got {
        if received.msg_flags & MSG_TRUNC == 0 {
            assert_eq!(received.ret, received.data.len());
        }
        let got = Got {
            data: received.data.to_vec(),
            flags: received.msg_flags,
            name: received.name.clone().map(path_of),
            control: received.control.clone(),
        };
        self.with(|h, cx| h.commit_recv(cx, id, received));
        got
    }

    fn fail<T>(&mut self, id: SocketId, fail: Fail) -> Result<T, Errno> {
        self.with(|host, cx| host.commit_fail(cx, id, fail));
        Err(fail.errno)
    }

    fn shutdown(&mut self, id: SocketId, how: i32) {
        self.with(|h, cx| h.shutdown(cx, id, how)).unwrap();
    }

    fn close(&mut self, id: SocketId) {
        self.with(|h, cx| h.close(cx, id));
    }

    fn poll(&self, id: SocketId) -> u16 {
        self.host.poll(id).bits()
    }

    fn name(&self, id: SocketId) -> Vec<u8> {
        path_of(self.host.getsockname(id).unwrap())
    }

    fn peer(&self, id: SocketId) -> Result<Vec<u8>, Errno> {
        self.host.getpeername(id).map(path_of)
    }

    fn passcred(&mut self, id: SocketId, on: bool) {
        self.host
            .get_mut(id)
            .unwrap()
            .common
            .flags
            .set(CommonFlags::PASSCRED, on);
    }

    fn sndbuf(&mut self, id: SocketId, value: u32) {
        self.host.get_mut(id).unwrap().common.sndbuf = value;
    }

    /// The wake-ups since the last look, with those of one socket merged.
    fn wakes(&mut self) -> Vec<(SocketId, PollMask)> {
        let mut wakes: Vec<(SocketId, PollMask)> = vec![];
        while let Some(event) = self.host.poll_event() {
            match wakes.iter_mut().find(|(id, _)| *id == event.socket) {
                Some((_, mask)) => *mask |= event.wake,
                None => wakes.push((event.socket, event.wake)),
            }
        }
        wakes
    }

    /// The files given up since the last look, in order of number.
    fn released(&mut self) -> Vec<u64> {
        let mut tokens = vec![];
        while let Some(token) = self.host.poll_released() {
            tokens.push(token.0);
        }
        tokens.sort_unstable();
        tokens
    }

    fn inq(&self, id: SocketId) -> i32 {
        self.host.unix_inq(id).unwrap()
    }

    fn outq(&self, id: SocketId) -> i32 {
        self.host.unix_outq(id).unwrap()
    }

    fn so_error(&mut self, id: SocketId) -> Option<Errno> {
        self.host.take_pending_error(id)
    }
}

fn path_of(address: SockAddr) -> Vec<u8> {
    match address {
        SockAddr::Unix(path) => path.to_vec(),
        other => panic!("{other:?}"),
    }
}
