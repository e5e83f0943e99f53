//! Structures in the caller's memory.

use super::names::{family, msg_flags};
use super::{SHOWN, pointer};
use crate::call::{MsgTimeout, Offset};
use crate::memory::{IoVec, Memory, read_array, read_int};
use crate::msghdr::{IoVecs, import_iovec};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use core::fmt::Write;
use switchboard_abi::Word;
use switchboard_abi::layout::{read_i32, read_i64};
use switchboard_abi::number::*;
use switchboard_abi::sockaddr::{self as abi, SOCKADDR_STORAGE_SIZE};

/// Bytes as a C string.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for &byte in bytes {
        let _ = match byte {
            b'"' | b'\\' => write!(text, "\\{}", char::from(byte)),
            b'\n' => text.write_str("\\n"),
            b'\r' => text.write_str("\\r"),
            b'\t' => text.write_str("\\t"),
            0x20..0x7f => text.write_char(char::from(byte)),
            // Three digits always: what follows may be a digit.
            _ => write!(text, "\\{byte:03o}"),
        };
    }
    text.push('"');
    text
}

/// The first bytes of a vector that holds `len`.
fn shown(mem: &mut dyn Memory, iov: &[IoVec], len: usize) -> Option<String> {
    let n = len.min(SHOWN);
    let mut bytes = [0; SHOWN];
    if mem.gather(iov, &mut bytes[..n]) < n {
        return None;
    }
    let text = quoted(&bytes[..n]);
    Some(if len > n { format!("{text}...") } else { text })
}

/// A buffer that the call reads.
pub(super) fn data(mem: &mut dyn Memory, addr: u64, len: u64) -> String {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    shown(mem, &[IoVec { addr, len }], len).unwrap_or_else(|| pointer(addr))
}

/// A buffer that the call fills.
pub(super) fn data_out(mem: &mut dyn Memory, value: i64, addr: u64, len: u64) -> String {
    match u64::try_from(value) {
        // MSG_TRUNC may return more than there is room for.
        Ok(got) => data(mem, addr, got.min(len)),
        Err(_) => pointer(addr),
    }
}

pub(super) fn sockaddr(mem: &mut dyn Memory, addr: u64, len: i32) -> String {
    let len = usize::try_from(len).unwrap_or(0).min(SOCKADDR_STORAGE_SIZE);
    let mut bytes = [0; SOCKADDR_STORAGE_SIZE];
    let bytes = &mut bytes[..len];
    if addr == 0 || mem.read(addr, bytes).is_err() {
        return pointer(addr);
    }
    let Some(domain) = abi::family(bytes) else {
        return pointer(addr);
    };
    let name = family(domain);
    match domain {
        AF_INET => match abi::read_in(bytes) {
            Some(a) => format!(
                "{{sa_family={name}, sin_port=htons({}), sin_addr=inet_addr(\"{}\")}}",
                a.port(),
                a.ip()
            ),
            None => format!("{{sa_family={name}, ...}}"),
        },
        AF_INET6 => match abi::read_in6(bytes) {
            Some(a) => format!(
                "{{sa_family={name}, sin6_port=htons({}), sin6_flowinfo=htonl({}), \
                 inet_pton(AF_INET6, \"{}\", &sin6_addr), sin6_scope_id={}}}",
                a.port(),
                a.flowinfo(),
                a.ip(),
                a.scope_id()
            ),
            None => format!("{{sa_family={name}, ...}}"),
        },
        AF_UNIX => {
            let path = &bytes[2..];
            let path = match path.split_first() {
                None => return format!("{{sa_family={name}}}"),
                // strace's way to write a name in the abstract namespace.
                Some((0, rest)) => format!("@{}", quoted(rest)),
                Some(_) => quoted(path.split(|byte| *byte == 0).next().unwrap_or(path)),
            };
            format!("{{sa_family={name}, sun_path={path}}}")
        }
        _ => format!("{{sa_family={name}, sa_data={}}}", quoted(&bytes[2..])),
    }
}

/// A value-result address and its length.
pub(super) fn name_out(mem: &mut dyn Memory, ok: bool, addr: u64, addrlen: u64) -> String {
    match read_int(mem, addrlen) {
        Ok(len) if ok && addr != 0 => format!("{}, [{len}]", sockaddr(mem, addr, len)),
        _ => format!("{}, {}", pointer(addr), pointer(addrlen)),
    }
}

/// An I/O vector; `limit`: how many bytes of it were filled.
pub(super) fn iovecs(
    mem: &mut dyn Memory,
    word: Word,
    addr: u64,
    count: u64,
    limit: Option<usize>,
) -> String {
    /// How many elements are shown.
    const ELEMENTS: usize = 16;
    let Ok(iov) = import_iovec(mem, word, addr, count) else {
        return pointer(addr);
    };
    let mut left = limit.unwrap_or(usize::MAX);
    let mut text = String::from("[");
    for (i, element) in iov.iter().enumerate() {
        if i > 0 {
            text.push_str(", ");
        }
        if i == ELEMENTS {
            text.push_str("...");
            break;
        }
        let n = element.len.min(left);
        left -= n;
        let base = if n == 0 && element.len > 0 {
            pointer(element.addr)
        } else {
            shown(mem, &[*element], n).unwrap_or_else(|| pointer(element.addr))
        };
        let _ = write!(text, "{{iov_base={base}, iov_len={}}}", element.len);
    }
    text.push(']');
    text
}

/// A `msghdr`; `filled`: it was received into, this many bytes.
pub(super) fn msghdr(mem: &mut dyn Memory, word: Word, addr: u64, filled: Option<usize>) -> String {
    let layout = word.msghdr();
    let mut bytes = vec![0; layout.size];
    if mem.read(addr, &mut bytes).is_err() {
        return pointer(addr);
    }
    let name = word.read_ulong(&bytes, layout.name);
    let namelen = read_i32(&bytes, layout.namelen);
    let iov = word.read_ulong(&bytes, layout.iov);
    let iovlen = word.read_ulong(&bytes, layout.iovlen);
    let control = word.read_ulong(&bytes, layout.control);
    let controllen = word.read_ulong(&bytes, layout.controllen);
    let flags = read_i32(&bytes, layout.flags);
    let name = sockaddr(mem, name, namelen);
    let iov = iovecs(mem, word, iov, iovlen, filled);
    let mut text = format!("{{msg_name={name}, msg_namelen={namelen}, msg_iov={iov}, ");
    let _ = write!(text, "msg_iovlen={iovlen}, ");
    if controllen > 0 {
        let _ = write!(
            text,
            "msg_control={}, ",
            control_messages(mem, word, control, controllen)
        );
    }
    let _ = write!(
        text,
        "msg_controllen={controllen}, msg_flags={}}}",
        msg_flags(flags)
    );
    text
}

fn control_messages(mem: &mut dyn Memory, word: Word, addr: u64, len: u64) -> String {
    /// The most bytes of control messages that are looked at.
    const MOST: u64 = 4096;
    let mut bytes = vec![0; len.min(MOST) as usize];
    if mem.read(addr, &mut bytes).is_err() {
        return pointer(addr);
    }
    let header = word.cmsghdr_size();
    let mut text = String::from("[");
    let mut rest = &bytes[..];
    while rest.len() >= header {
        let len = word.read_ulong(rest, 0);
        let Ok(size) = usize::try_from(len) else {
            break;
        };
        if size < header || size > rest.len() {
            break;
        }
        if text.len() > 1 {
            text.push_str(", ");
        }
        let level = read_i32(rest, word.size());
        let kind = read_i32(rest, word.size() + 4);
        let _ = write!(
            text,
            "{{cmsg_len={len}, {}}}",
            control_message(level, kind, &rest[header..size])
        );
        rest = &rest[word.align(size).min(rest.len())..];
    }
    text.push(']');
    text
}

fn control_message(level: i32, kind: i32, data: &[u8]) -> String {
    let ints = || data.chunks_exact(4).map(|int| read_i32(int, 0).to_string());
    match (level, kind) {
        (SOL_SOCKET, SCM_RIGHTS) => {
            let fds = ints().collect::<alloc::vec::Vec<_>>().join(", ");
            format!("cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, cmsg_data=[{fds}]")
        }
        (SOL_SOCKET, SCM_CREDENTIALS) if data.len() == 12 => format!(
            "cmsg_level=SOL_SOCKET, cmsg_type=SCM_CREDENTIALS, cmsg_data={{pid={}, uid={}, gid={}}}",
            read_i32(data, 0),
            read_i32(data, 4),
            read_i32(data, 8)
        ),
        _ => {
            let level = super::level_name(level);
            format!(
                "cmsg_level={level}, cmsg_type={kind:#x}, cmsg_data={}",
                quoted(data)
            )
        }
    }
}

pub(super) fn mmsghdrs(
    mem: &mut dyn Memory,
    word: Word,
    addr: u64,
    count: usize,
    received: bool,
) -> String {
    /// How many messages are shown.
    const MESSAGES: usize = 8;
    let mut text = String::from("[");
    for i in 0..count.min(UIO_MAXIOV) {
        if i > 0 {
            text.push_str(", ");
        }
        if i == MESSAGES {
            text.push_str("...");
            break;
        }
        let at = addr.wrapping_add((i * word.mmsghdr_size()) as u64);
        let len = read_int(mem, at.wrapping_add(word.msghdr().size as u64)).unwrap_or(0);
        let filled = received.then_some(usize::try_from(len).unwrap_or(0));
        let header = msghdr(mem, word, at, filled);
        let _ = write!(text, "{{msg_hdr={header}, msg_len={len}}}");
    }
    text.push(']');
    text
}

pub(super) fn timespec(mem: &mut dyn Memory, timeout: MsgTimeout) -> String {
    let (sec, nsec) = if timeout.wide {
        let Ok(bytes) = read_array::<16>(mem, timeout.addr) else {
            return pointer(timeout.addr);
        };
        (read_i64(&bytes, 0), read_i64(&bytes, 8))
    } else {
        let Ok(bytes) = read_array::<8>(mem, timeout.addr) else {
            return pointer(timeout.addr);
        };
        (
            i64::from(read_i32(&bytes, 0)),
            i64::from(read_i32(&bytes, 4)),
        )
    };
    format!("{{tv_sec={sec}, tv_nsec={nsec}}}")
}

pub(super) fn file_offset(mem: &mut dyn Memory, offset: Offset) -> String {
    let value = if offset.wide {
        read_array(mem, offset.addr).map(i64::from_ne_bytes)
    } else {
        read_int(mem, offset.addr).map(i64::from)
    };
    value.map_or_else(|_| pointer(offset.addr), |value| format!("[{value}]"))
}

/// The value of an option: an `int`, a known structure, or its bytes.
pub(super) fn option_value(
    mem: &mut dyn Memory,
    word: Word,
    level: i32,
    name: i32,
    addr: u64,
    len: i32,
) -> String {
    let len = usize::try_from(len).unwrap_or(0).min(SOCKADDR_STORAGE_SIZE);
    let mut bytes = [0; SOCKADDR_STORAGE_SIZE];
    let bytes = &mut bytes[..len];
    if addr == 0 || mem.read(addr, bytes).is_err() {
        return pointer(addr);
    }
    match (level, name, len) {
        (SOL_SOCKET, SO_ERROR, 4) => {
            let errno = read_i32(bytes, 0);
            let known = u16::try_from(errno)
                .ok()
                .and_then(|n| switchboard_abi::Errno(n).name());
            match known {
                Some(known) => format!("[{known}]"),
                None => format!("[{errno}]"),
            }
        }
        (SOL_SOCKET, SO_LINGER, 8) => {
            format!(
                "{{l_onoff={}, l_linger={}}}",
                read_i32(bytes, 0),
                read_i32(bytes, 4)
            )
        }
        (SOL_SOCKET, SO_PEERCRED, 12) => format!(
            "{{pid={}, uid={}, gid={}}}",
            read_i32(bytes, 0),
            read_i32(bytes, 4),
            read_i32(bytes, 8)
        ),
        (SOL_SOCKET, SO_RCVTIMEO_OLD | SO_SNDTIMEO_OLD, n) if n == word.old_time_size() => format!(
            "{{tv_sec={}, tv_usec={}}}",
            word.read_long(bytes, 0),
            word.read_long(bytes, word.size())
        ),
        (SOL_SOCKET, SO_RCVTIMEO_NEW | SO_SNDTIMEO_NEW, 16) => {
            format!(
                "{{tv_sec={}, tv_usec={}}}",
                read_i64(bytes, 0),
                read_i64(bytes, 8)
            )
        }
        (_, _, 4) => format!("[{}]", read_i32(bytes, 0)),
        _ => {
            let iov: IoVecs = IoVecs::from_elem(IoVec { addr, len }, 1);
            shown(mem, &iov, len).unwrap_or_else(|| pointer(addr))
        }
    }
}
