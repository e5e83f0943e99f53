//! What a sequence is made of.

use super::control::Control;
use super::place::Where;

/// How many slots the pool has.
pub(super) const SLOTS: usize = 10;

/// Calls that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    Recv(i32),
    Accept,
    Send(usize),
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Socket {
        family: i32,
        kind: i32,
        protocol: i32,
    },
    Pair {
        family: i32,
        kind: i32,
    },
    Bind {
        slot: usize,
        to: Where,
    },
    Connect {
        slot: usize,
        to: Where,
    },
    Listen {
        slot: usize,
        backlog: i32,
    },
    Accept {
        slot: usize,
        flags: i32,
        room: u32,
    },
    Send {
        slot: usize,
        len: usize,
        flags: i32,
        bad: bool,
    },
    SendTo {
        slot: usize,
        len: usize,
        flags: i32,
        to: Where,
    },
    SendMsg {
        slot: usize,
        lens: Vec<usize>,
        flags: i32,
        rights: Vec<usize>,
        control: Vec<Control>,
        to: Option<Where>,
    },
    /// An ICMP echo request; on other sockets so many bytes.
    Echo {
        slot: usize,
        v6: bool,
        len: usize,
        to: Where,
    },
    Recv {
        slot: usize,
        len: usize,
        flags: i32,
        bad: bool,
    },
    RecvFrom {
        slot: usize,
        len: usize,
        flags: i32,
        room: u32,
    },
    RecvMsg {
        slot: usize,
        lens: Vec<usize>,
        flags: i32,
        control: usize,
    },
    Read {
        slot: usize,
        len: usize,
    },
    Write {
        slot: usize,
        len: usize,
    },
    ReadV {
        slot: usize,
        lens: Vec<usize>,
    },
    WriteV {
        slot: usize,
        lens: Vec<usize>,
    },
    /// sendmmsg, one vector each.
    SendMany {
        slot: usize,
        lens: Vec<usize>,
        flags: i32,
        to: Option<Where>,
    },
    /// recvmmsg.
    RecvMany {
        slot: usize,
        lens: Vec<usize>,
        flags: i32,
    },
    /// The same send again and again, until nothing more is taken; not on TCP, nor on raw sockets, whose packets' memory is
    /// not modelled.
    Burst {
        slot: usize,
        len: usize,
        most: usize,
    },
    /// SO_SNDBUF or SO_RCVBUF; not on TCP, where autotuning moves them, and not on raw sockets.
    Buffer {
        slot: usize,
        name: i32,
        value: i32,
    },
    Shutdown {
        slot: usize,
        how: i32,
    },
    Close {
        slot: usize,
    },
    Dup {
        slot: usize,
    },
    SetOption {
        slot: usize,
        level: i32,
        name: i32,
        value: Vec<u8>,
    },
    GetOption {
        slot: usize,
        level: i32,
        name: i32,
        room: u32,
    },
    Name {
        slot: usize,
        room: u32,
    },
    Peer {
        slot: usize,
        room: u32,
    },
    Readable {
        slot: usize,
    },
    Unsent {
        slot: usize,
    },
    AtMark {
        slot: usize,
    },
    /// fcntl(2).
    Control {
        slot: usize,
        command: i32,
        arg: i64,
    },
    /// An ioctl(2) with a `struct ifreq`, or an int in its first bytes.
    Ioctl {
        slot: usize,
        request: u64,
        name: &'static [u8],
        value: i32,
    },
    /// epoll_ctl(2) on one of two instances.
    Watch {
        instance: usize,
        command: i32,
        slot: usize,
        events: u32,
    },
    /// epoll_wait(2), which does not wait.
    Collect {
        instance: usize,
    },
    /// A call that waits a few milliseconds at most.
    Waiting {
        slot: usize,
        call: Waits,
    },
}

impl Op {
    /// The call's name.
    pub(super) fn name(&self) -> String {
        let text = format!("{self:?}");
        text.split(' ').next().unwrap_or_default().to_string()
    }
}
