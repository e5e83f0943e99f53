//! INET_DIAG_REQ_BYTECODE: which sockets a dump shows. Audited before it runs, as Linux does: each step goes forward, to
//! where an instruction begins.

use core::net::IpAddr;
use switchboard_abi::Errno;
use switchboard_abi::number::{AF_INET, AF_INET6, AF_UNSPEC};

/// INET_DIAG_BC_*
const NOP: u8 = 0;
const JMP: u8 = 1;
const S_GE: u8 = 2;
const S_LE: u8 = 3;
const D_GE: u8 = 4;
const D_LE: u8 = 5;
const AUTO: u8 = 6;
const S_COND: u8 = 7;
const D_COND: u8 = 8;
const DEV_COND: u8 = 9;
const MARK_COND: u8 = 10;
const S_EQ: u8 = 11;
const D_EQ: u8 = 12;
const CGROUP_COND: u8 = 13;

/// `sizeof(struct inet_diag_bc_op)`, and of `struct inet_diag_hostcond` without its address.
const OP: usize = 4;
const HOST_COND: usize = 8;

/// What is asked about a socket.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) v6: bool,
    pub(super) local: (IpAddr, u16),
    pub(super) remote: (IpAddr, u16),
    pub(super) device: u32,
    pub(super) mark: u32,
    /// bind(2) named the port.
    pub(super) port_was_given: bool,
}

/// A program that was audited.
pub(super) struct Program<'a>(&'a [u8]);

/// Code, and how far to go on yes and on no.
fn op(code: &[u8]) -> Option<(u8, usize, usize)> {
    let &[kind, yes, a, b, ..] = code else {
        return None;
    };
    Some((kind, yes.into(), u16::from_ne_bytes([a, b]).into()))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let word = bytes.get(at..at + 4).and_then(|b| b.try_into().ok());
    u32::from_ne_bytes(word.unwrap_or([0; 4]))
}

/// valid_cc(): whether an instruction begins `left` bytes before the end.
fn begins(mut code: &[u8], left: usize) -> bool {
    while left <= code.len() {
        if left == code.len() {
            return true;
        }
        match op(code) {
            Some((_, yes, _)) if yes >= OP && yes.is_multiple_of(4) && yes <= code.len() => {
                code = &code[yes..];
            }
            _ => return false,
        }
    }
    false
}

/// How long an instruction is at least.
fn least(code: &[u8], kind: u8, admin: bool) -> Result<usize, Errno> {
    Ok(match kind {
        S_COND | D_COND => {
            let cond = code.get(OP..OP + HOST_COND).ok_or(Errno::EINVAL)?;
            let addr = match i32::from(cond[0]) {
                AF_UNSPEC => 0,
                AF_INET => 4,
                AF_INET6 => 16,
                _ => return Err(Errno::EINVAL),
            };
            if 8 * addr < usize::from(cond[1]) {
                return Err(Errno::EINVAL);
            }
            OP + HOST_COND + addr
        }
        S_GE | S_LE | D_GE | D_LE | S_EQ | D_EQ | DEV_COND => 2 * OP,
        MARK_COND if !admin => return Err(Errno::EPERM),
        MARK_COND | CGROUP_COND => OP + 8,
        AUTO | JMP | NOP => OP,
        _ => return Err(Errno::EINVAL),
    })
}

impl<'a> Program<'a> {
    /// inet_diag_bc_audit()
    pub(super) fn new(all: &'a [u8], admin: bool) -> Result<Program<'a>, Errno> {
        let mut code = all;
        if code.len() < OP {
            return Err(Errno::EINVAL);
        }
        while let Some((kind, yes, no)) = op(code) {
            let least = least(code, kind, admin)?;
            if least > code.len() {
                return Err(Errno::EINVAL);
            }
            let fits =
                |step: usize| step >= least && step <= code.len() + OP && step.is_multiple_of(4);
            if kind != NOP {
                if !fits(no) {
                    return Err(Errno::EINVAL);
                }
                if no < code.len() && !begins(all, code.len() - no) {
                    return Err(Errno::EINVAL);
                }
            }
            if !fits(yes) {
                return Err(Errno::EINVAL);
            }
            if yes > code.len() {
                return Err(Errno::EINVAL);
            }
            code = &code[yes..];
        }
        if code.is_empty() {
            Ok(Program(all))
        } else {
            Err(Errno::EINVAL)
        }
    }

    /// inet_diag_bc_run(): a way that ends exactly at the end is a yes.
    pub(super) fn shows(&self, entry: &Entry) -> bool {
        let mut code = self.0;
        while let Some((kind, yes, no)) = op(code) {
            let port = |side: (IpAddr, u16)| usize::from(side.1);
            // The number of a comparison stands where the next instruction would have its own.
            let than = op(code.get(OP..).unwrap_or(&[])).map_or(0, |(_, _, no)| no);
            let is = match kind {
                JMP => false,
                S_EQ => port(entry.local) == than,
                S_GE => port(entry.local) >= than,
                S_LE => port(entry.local) <= than,
                D_EQ => port(entry.remote) == than,
                D_GE => port(entry.remote) >= than,
                D_LE => port(entry.remote) <= than,
                AUTO => !entry.port_was_given,
                S_COND => matches(&code[OP..], entry.v6, entry.local),
                D_COND => matches(&code[OP..], entry.v6, entry.remote),
                DEV_COND => word(code, OP) == entry.device,
                MARK_COND => entry.mark & word(code, 2 * OP) == word(code, OP),
                // Every socket of a virtual host is in the root of no hierarchy.
                CGROUP_COND => word(code, OP) | word(code, 2 * OP) == 0,
                _ => true,
            };
            let step = if is { yes } else { no };
            match code.get(step..) {
                Some(rest) => code = rest,
                None => return false,
            }
        }
        code.is_empty()
    }
}

/// A `struct inet_diag_hostcond`: port, then prefix.
fn matches(cond: &[u8], v6: bool, (addr, port): (IpAddr, u16)) -> bool {
    let &[family, prefix, ..] = cond else {
        return false;
    };
    let wanted = word(cond, 4);
    if wanted != u32::MAX && wanted != u32::from(port) {
        return false;
    }
    let mut own = [0; 16];
    let (own, of_v4): (&[u8], bool) = match addr {
        IpAddr::V4(a) => {
            own[..4].copy_from_slice(&a.octets());
            (&own[..4], true)
        }
        IpAddr::V6(a) => {
            own = a.octets();
            (&own, false)
        }
    };
    let wants = i32::from(family);
    if wants != AF_UNSPEC {
        // An IPv4 prefix also finds the mapped addresses of IPv6 sockets.
        let fits = match wants {
            AF_INET => of_v4,
            _ => v6 && !of_v4,
        };
        if !fits {
            return false;
        }
    }
    let (bytes, bits) = (usize::from(prefix / 8), prefix % 8);
    let given = &cond[HOST_COND..];
    let mask = !(u8::MAX >> bits);
    given.get(..bytes) == own.get(..bytes)
        && (bits == 0
            || matches!((given.get(bytes), own.get(bytes)), (Some(a), Some(b)) if (a ^ b) & mask == 0))
}
