//! A call and its result as text, in strace(1)'s manner.
//!
//! ```text
//! connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr("127.0.0.1")}, 16) = 0
//! ```
//!
//! Structures are read from the caller's memory when the text is made, after the call: what cannot
//! be read is shown as its address.

mod names;
mod structs;

#[cfg(test)]
mod tests;

use crate::call::Call;
use crate::memory::{Memory, read_int};
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt::Write;
use names::*;
use structs::*;
use switchboard_abi::number::*;
use switchboard_abi::{Errno, Word};

/// How many bytes of a buffer are shown, as strace's default is.
const SHOWN: usize = 32;

/// The call with its arguments, ` = `, and its result.
pub fn call(call: &Call, word: Word, value: i64, mem: &mut dyn Memory) -> String {
    let mut text = arguments(call, word, value, mem);
    text.push_str(" = ");
    text.push_str(&result(value));
    text
}

/// A system call's value: a number, or `-1` with the error's name and description.
pub fn result(value: i64) -> String {
    match u16::try_from(-value) {
        Ok(errno @ 1..4096) => {
            let errno = Errno(errno);
            match (errno.name(), description(errno)) {
                (Some(name), Some(why)) => format!("-1 {name} ({why})"),
                (Some(name), None) => format!("-1 {name}"),
                _ => format!("-1 (errno {})", errno.0),
            }
        }
        _ => value.to_string(),
    }
}

/// The call with its arguments. Memory that the call fills is shown only when `value` says that it
/// did.
pub fn arguments(call: &Call, word: Word, value: i64, mem: &mut dyn Memory) -> String {
    let ok = value >= 0;
    let got = usize::try_from(value).unwrap_or(0);
    match *call {
        Call::Socket {
            domain,
            ty,
            protocol,
        } => {
            let protocol = protocol_name(domain, protocol);
            format!(
                "socket({}, {}, {protocol})",
                family(domain),
                socket_type(ty)
            )
        }
        Call::Socketpair {
            domain,
            ty,
            protocol,
            sv,
        } => {
            let fds = match (ok, read_int(mem, sv), read_int(mem, sv.wrapping_add(4))) {
                (true, Ok(a), Ok(b)) => format!("[{a}, {b}]"),
                _ => pointer(sv),
            };
            let protocol = protocol_name(domain, protocol);
            format!(
                "socketpair({}, {}, {protocol}, {fds})",
                family(domain),
                socket_type(ty)
            )
        }
        Call::Bind { fd, addr, len } => format!("bind({fd}, {}, {len})", sockaddr(mem, addr, len)),
        Call::Connect { fd, addr, len } => {
            format!("connect({fd}, {}, {len})", sockaddr(mem, addr, len))
        }
        Call::Listen { fd, backlog } => format!("listen({fd}, {backlog})"),
        Call::Accept {
            fd,
            addr,
            addrlen,
            flags,
        } => {
            let name = name_out(mem, ok, addr, addrlen);
            match flags {
                None => format!("accept({fd}, {name})"),
                Some(flags) => format!("accept4({fd}, {name}, {})", type_flags(flags)),
            }
        }
        Call::Getsockname { fd, addr, addrlen } => {
            format!("getsockname({fd}, {})", name_out(mem, ok, addr, addrlen))
        }
        Call::Getpeername { fd, addr, addrlen } => {
            format!("getpeername({fd}, {})", name_out(mem, ok, addr, addrlen))
        }
        Call::Send {
            fd,
            buf,
            len,
            flags,
        } => {
            format!(
                "send({fd}, {}, {len}, {})",
                data(mem, buf, len),
                msg_flags(flags)
            )
        }
        Call::Sendto {
            fd,
            buf,
            len,
            flags,
            addr,
            addrlen,
        } => {
            let name = sockaddr(mem, addr, addrlen);
            let data = data(mem, buf, len);
            format!(
                "sendto({fd}, {data}, {len}, {}, {name}, {addrlen})",
                msg_flags(flags)
            )
        }
        Call::Recv {
            fd,
            buf,
            len,
            flags,
        } => {
            format!(
                "recv({fd}, {}, {len}, {})",
                data_out(mem, value, buf, len),
                msg_flags(flags)
            )
        }
        Call::Recvfrom {
            fd,
            buf,
            len,
            flags,
            addr,
            addrlen,
        } => {
            let data = data_out(mem, value, buf, len);
            let name = name_out(mem, ok, addr, addrlen);
            format!(
                "recvfrom({fd}, {data}, {len}, {}, {name})",
                msg_flags(flags)
            )
        }
        Call::Shutdown { fd, how } => format!("shutdown({fd}, {})", shutdown_how(how)),
        Call::Setsockopt {
            fd,
            level,
            name,
            value,
            len,
        } => {
            let text = option_value(mem, word, level, name, value, len);
            format!(
                "setsockopt({fd}, {}, {}, {text}, {len})",
                level_name(level),
                option(level, name)
            )
        }
        Call::Getsockopt {
            fd,
            level,
            name,
            value,
            len,
        } => {
            let n = read_int(mem, len);
            let text = match n {
                Ok(n) if ok => option_value(mem, word, level, name, value, n),
                _ => pointer(value),
            };
            let n = n.map_or_else(|_| pointer(len), |n| format!("[{n}]"));
            format!(
                "getsockopt({fd}, {}, {}, {text}, {n})",
                level_name(level),
                option(level, name)
            )
        }
        Call::Sendmsg { fd, msg, flags } => {
            let header = msghdr(mem, word, msg, None);
            format!("sendmsg({fd}, {header}, {})", msg_flags(flags))
        }
        Call::Recvmsg { fd, msg, flags } => {
            let header = if ok {
                msghdr(mem, word, msg, Some(got))
            } else {
                pointer(msg)
            };
            format!("recvmsg({fd}, {header}, {})", msg_flags(flags))
        }
        Call::Sendmmsg {
            fd,
            vec,
            vlen,
            flags,
        } => {
            let list = mmsghdrs(mem, word, vec, if ok { got } else { vlen as usize }, false);
            format!("sendmmsg({fd}, {list}, {vlen}, {})", msg_flags(flags))
        }
        Call::Recvmmsg {
            fd,
            vec,
            vlen,
            flags,
            timeout,
        } => {
            let list = if ok {
                mmsghdrs(mem, word, vec, got, true)
            } else {
                pointer(vec)
            };
            let timeout = timeout.map_or_else(|| "NULL".into(), |t| timespec(mem, t));
            format!(
                "recvmmsg({fd}, {list}, {vlen}, {}, {timeout})",
                msg_flags(flags)
            )
        }
        Call::Read { fd, buf, len } => {
            format!("read({fd}, {}, {len})", data_out(mem, value, buf, len))
        }
        Call::Write { fd, buf, len } => format!("write({fd}, {}, {len})", data(mem, buf, len)),
        Call::Readv {
            fd,
            iov,
            iovlen,
            offset,
            flags,
        } => {
            let list = iovecs(mem, word, iov, iovlen, if ok { Some(got) } else { Some(0) });
            vector_call("readv", "preadv2", fd, &list, iovlen, offset, flags)
        }
        Call::Writev {
            fd,
            iov,
            iovlen,
            offset,
            flags,
        } => {
            let list = iovecs(mem, word, iov, iovlen, None);
            vector_call("writev", "pwritev2", fd, &list, iovlen, offset, flags)
        }
        Call::Ioctl { fd, cmd, arg } => {
            let name = ioctl_name(cmd);
            let shown = match cmd {
                FIONBIO | SIOCINQ | SIOCOUTQ | SIOCOUTQNSD | SIOCATMARK if ok => {
                    read_int(mem, arg).map_or_else(|_| pointer(arg), |n| format!("[{n}]"))
                }
                _ => pointer(arg),
            };
            format!("ioctl({fd}, {name}, {shown})")
        }
        Call::Bpf { cmd, attr, size } => format!("bpf({cmd}, {}, {size})", pointer(attr)),
        Call::Sendfile {
            out_fd,
            in_fd,
            offset,
            count,
        } => {
            let offset = offset.map_or_else(|| "NULL".into(), |offset| file_offset(mem, offset));
            format!("sendfile({out_fd}, {in_fd}, {offset}, {count})")
        }
        Call::Splice {
            fd_in,
            off_in,
            fd_out,
            off_out,
            len,
            flags,
        } => {
            let (a, b) = (pointer(off_in), pointer(off_out));
            format!(
                "splice({fd_in}, {a}, {fd_out}, {b}, {len}, {})",
                splice_flags(flags)
            )
        }
    }
}

fn vector_call(
    plain: &str,
    full: &str,
    fd: i32,
    list: &str,
    count: u64,
    offset: Option<i64>,
    flags: i32,
) -> String {
    if offset.is_none() && flags == 0 {
        return format!("{plain}({fd}, {list}, {count})");
    }
    format!(
        "{full}({fd}, {list}, {count}, {}, {flags:#x})",
        offset.unwrap_or(-1)
    )
}

/// An address, `NULL` for none.
fn pointer(addr: u64) -> String {
    if addr == 0 {
        "NULL".into()
    } else {
        format!("{addr:#x}")
    }
}

/// Flags by name; bits without one in hexadecimal, `0` for none.
fn flags(value: u32, names: &[(u32, &str)]) -> String {
    let mut text = String::new();
    let mut left = value;
    for &(bit, name) in names {
        if left & bit != 0 {
            if !text.is_empty() {
                text.push('|');
            }
            text.push_str(name);
            left &= !bit;
        }
    }
    if left != 0 || text.is_empty() {
        if !text.is_empty() {
            text.push('|');
        }
        let _ = if left == 0 {
            text.write_char('0')
        } else {
            write!(text, "{left:#x}")
        };
    }
    text
}
