//! Any control bytes to sendmsg(2), any control buffer to recvmsg(2), for both word sizes: no
//! panic, and no file is lost or released twice.

use crate::guest::{BASE, Guest, check_value};
use crate::{Source, note};
use switchboard_abi::Word;
use switchboard_abi::number::*;
use switchboard_syscall::{Call, Pending, Progress};

const MSG: u64 = BASE + 0x100;
const IOV: u64 = BASE + 0x200;
const CONTROL: u64 = BASE + 0x1000;
const DATA: u64 = BASE + 0x6000;

fn msghdr(g: &mut Guest, control: u64, controllen: u64, len: u64) {
    let (word, layout) = (g.word, g.word.msghdr());
    let put = |g: &mut Guest, at: u64, value: u64| {
        let bytes = value.to_ne_bytes();
        g.ram.poke(at, &bytes[..word.size()]);
    };
    g.ram.poke(MSG, &vec![0; layout.size]);
    put(g, MSG + layout.iov as u64, IOV);
    put(g, MSG + layout.iovlen as u64, 1);
    put(g, MSG + layout.control as u64, control);
    put(g, MSG + layout.controllen as u64, controllen);
    put(g, IOV, DATA);
    put(g, IOV + word.size() as u64, len);
}

/// One control message: right, nearly right, or any bytes.
fn message(s: &mut Source<'_>, g: &Guest, out: &mut Vec<u8>) {
    let word = g.word;
    let mut data = Vec::new();
    let (mut level, mut kind) = (SOL_SOCKET, SCM_RIGHTS);
    match s.u8() {
        0..130 => {
            let fds = g.table.descriptors();
            let count = if s.one_in(32) {
                252 + s.below(4)
            } else {
                s.below(5)
            };
            for _ in 0..count {
                let fd = if s.one_in(24) { s.int() } else { s.pick(&fds) };
                data.extend_from_slice(&fd.to_ne_bytes());
            }
        }
        130..170 => {
            kind = SCM_CREDENTIALS;
            let (pid, uid) = (s.pick(&[100, 0, 1]), s.pick(&[0, 1000, u32::MAX]));
            for number in [pid, uid, uid] {
                data.extend_from_slice(&number.to_ne_bytes());
            }
        }
        _ => {
            level = s.pick(&[SOL_SOCKET, SOL_IP, SOL_IPV6, SOL_TCP, SOL_UDP, -1, 0x7777]);
            kind = s.int();
            let len = s.below(40);
            data.extend_from_slice(s.bytes(len));
        }
    }
    if s.one_in(12) {
        data.truncate(s.below(data.len() + 1));
    }
    let mut len = word.cmsg_len(data.len()) as u64;
    if s.one_in(12) {
        len = match s.below(6) {
            0 => s.u64(),
            1 => len.wrapping_add(s.u8().into()),
            2 => len.wrapping_sub(s.u8().into()),
            3 => u64::MAX,
            4 => 0,
            _ => 1 << 31,
        };
    }
    out.extend_from_slice(&len.to_ne_bytes()[..word.size()]);
    out.extend_from_slice(&level.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&data);
    while !s.one_in(24) && !out.len().is_multiple_of(word.size()) {
        out.push(0);
    }
}

pub(crate) fn target(data: &[u8]) {
    let mut s = Source::new(data);
    let which = s.u8();
    let word = if which & 1 == 0 {
        Word::Lp64
    } else {
        Word::Ilp32
    };
    let mut g = Guest::new(word, which & 2 == 0);
    let ty = s.pick(&[SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET]);
    let (a, b) = g.socketpair(ty);
    let udp = g.call(Call::Socket {
        domain: AF_INET,
        ty: SOCK_DGRAM,
        protocol: 0,
    }) as i32;
    while !s.done() {
        let fd = s.pick(&[a, b, a, b, udp]);
        match s.below(8) {
            0..3 => {
                let mut control = Vec::new();
                for _ in 0..s.below(4) {
                    message(&mut s, &g, &mut control);
                }
                if s.one_in(6) {
                    let n = s.below(64);
                    control.extend_from_slice(s.bytes(n));
                }
                g.ram.poke(CONTROL, &control);
                let mut len = control.len() as u64;
                if s.one_in(16) {
                    len = s.pick(&[131_071, 131_072, u64::MAX, 1 << 31, 15, 11, 1]);
                }
                let data = s.below(5) as u64;
                msghdr(&mut g, CONTROL, len, data);
                one(
                    &mut g,
                    &mut s,
                    Call::Sendmsg {
                        fd,
                        msg: MSG,
                        flags: MSG_NOSIGNAL,
                    },
                );
            }
            3..6 => {
                let len = s.length(2000) as u64;
                // Sometimes the buffer ends where memory does.
                let end = s.one_in(4);
                g.ram.writable[3] = !end;
                let control = if end {
                    BASE + 0x3000 - len.min(0x800)
                } else {
                    CONTROL
                };
                let room = s.below(8) as u64;
                msghdr(&mut g, if s.one_in(16) { 0 } else { control }, len, room);
                let flags = s.pick(&[0, MSG_PEEK, MSG_CMSG_CLOEXEC, MSG_TRUNC, MSG_WAITALL]);
                one(
                    &mut g,
                    &mut s,
                    Call::Recvmsg {
                        fd,
                        msg: MSG,
                        flags: flags | MSG_DONTWAIT,
                    },
                );
                g.ram.writable[3] = true;
            }
            6 => {
                let name = s.pick(&[SO_PASSCRED, SO_TIMESTAMP_OLD, SO_TIMESTAMP_NEW]);
                g.ram.poke(DATA, &1_i32.to_ne_bytes());
                let level = SOL_SOCKET;
                let _ = g.call(Call::Setsockopt {
                    fd,
                    level,
                    name,
                    value: DATA,
                    len: 4,
                });
            }
            _ => {
                // Room for more descriptors.
                if let Some(fd) = g.table.descriptors().pop()
                    && ![0, 1, a, b, udp].contains(&fd)
                {
                    g.table.close(fd);
                }
                g.settle();
                g.collect();
            }
        }
    }
    g.end();
}

/// Makes a call; now and then its caller cannot be told.
fn one(g: &mut Guest, s: &mut Source<'_>, call: Call) {
    let held = g.table.held();
    let fds = g.table.descriptors();
    let sends = matches!(call, Call::Sendmsg { .. });
    let mut pending = Pending::new(call, g.word);
    match g.attempt(&mut pending) {
        Progress::Blocked(_) => {
            g.give_up(pending);
            assert_eq!(g.table.held(), held, "rights of a call that was given up");
        }
        Progress::Ready(reply) if s.one_in(5) => {
            check_value(reply.value);
            let _ = g.abandon(reply);
            assert_eq!(g.table.held(), held, "rights of a call that was abandoned");
            assert_eq!(
                g.table.descriptors(),
                fds,
                "descriptors of a call that was abandoned"
            );
        }
        Progress::Ready(reply) => {
            let value = g.deliver(reply);
            note((sends, value.signum(), g.table.held() as i64 - held as i64));
            if value < 0 && sends {
                assert_eq!(g.table.held(), held, "rights of a send that failed");
            }
        }
    }
    g.settle();
}
