//! Socket addresses as the bytes that are passed to the kernel.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// `struct sockaddr` and its length.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr(pub Vec<u8>);

const LOOPBACK6: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

impl Addr {
    /// `sockaddr_in`.
    pub fn v4(ip: [u8; 4], port: u16) -> Addr {
        let mut bytes = (libc::AF_INET as u16).to_ne_bytes().to_vec();
        bytes.extend(port.to_be_bytes());
        bytes.extend(ip);
        bytes.extend([0; 8]);
        Addr(bytes)
    }

    /// 127.0.0.1.
    pub fn lo4(port: u16) -> Addr {
        Addr::v4([127, 0, 0, 1], port)
    }

    /// 0.0.0.0.
    pub fn any4(port: u16) -> Addr {
        Addr::v4([0; 4], port)
    }

    /// `sockaddr_in6` with flow and scope 0.
    pub fn v6(ip: [u8; 16], port: u16) -> Addr {
        let mut bytes = (libc::AF_INET6 as u16).to_ne_bytes().to_vec();
        bytes.extend(port.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(ip);
        bytes.extend([0; 4]);
        Addr(bytes)
    }

    /// ::1.
    pub fn lo6(port: u16) -> Addr {
        Addr::v6(LOOPBACK6, port)
    }

    /// ::.
    pub fn any6(port: u16) -> Addr {
        Addr::v6([0; 16], port)
    }

    /// ::ffff:a.b.c.d.
    pub fn mapped(ip: [u8; 4], port: u16) -> Addr {
        let mut v6 = [0; 16];
        v6[10] = 0xff;
        v6[11] = 0xff;
        v6[12..].copy_from_slice(&ip);
        Addr::v6(v6, port)
    }

    /// The loopback address of a family.
    pub fn lo(family: i32, port: u16) -> Addr {
        if family == libc::AF_INET6 {
            Addr::lo6(port)
        } else {
            Addr::lo4(port)
        }
    }

    /// The wildcard address of a family.
    pub fn any(family: i32, port: u16) -> Addr {
        if family == libc::AF_INET6 {
            Addr::any6(port)
        } else {
            Addr::any4(port)
        }
    }

    /// AF_UNSPEC in 16 bytes: what disconnects.
    pub fn unspec() -> Addr {
        Addr(vec![0; 16])
    }

    /// `sockaddr_un` holding exactly these bytes of sun_path.
    pub fn unix(sun_path: &[u8]) -> Addr {
        let mut bytes = (libc::AF_UNIX as u16).to_ne_bytes().to_vec();
        bytes.extend(sun_path);
        Addr(bytes)
    }

    /// A pathname with its NUL, as the kernel returns it.
    pub fn path(path: &Path) -> Addr {
        let mut sun_path = path.as_os_str().as_bytes().to_vec();
        sun_path.push(0);
        Addr::unix(&sun_path)
    }

    /// An abstract name: a NUL, then these bytes.
    pub fn abstract_name(name: &[u8]) -> Addr {
        let mut sun_path = vec![0];
        sun_path.extend(name);
        Addr::unix(&sun_path)
    }

    /// An abstract name that nothing else on this machine uses.
    pub fn fresh_abstract(tag: &str) -> Addr {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        Addr::abstract_name(format!("switchboard-{}-{n}-{tag}", std::process::id()).as_bytes())
    }

    /// sa_family, or -1 where there are not even two bytes.
    pub fn family(&self) -> i32 {
        match self.0[..] {
            [a, b, ..] => i32::from(u16::from_ne_bytes([a, b])),
            _ => -1,
        }
    }

    /// The port of an internet address.
    pub fn port(&self) -> u16 {
        match self.0[..] {
            [_, _, a, b, ..] => u16::from_be_bytes([a, b]),
            _ => 0,
        }
    }

    /// The same address with another port.
    pub fn with_port(&self, port: u16) -> Addr {
        let mut other = self.clone();
        other.0[2..4].copy_from_slice(&port.to_be_bytes());
        other
    }

    /// The same address with another family.
    pub fn with_family(&self, family: i32) -> Addr {
        let mut other = self.clone();
        other.0[..2].copy_from_slice(&(family as u16).to_ne_bytes());
        other
    }

    /// Only the first `len` bytes.
    pub fn cut(&self, len: usize) -> Addr {
        Addr(self.0[..len].to_vec())
    }

    /// Padded with zeroes to `len` bytes.
    pub fn padded(&self, len: usize) -> Addr {
        let mut bytes = self.0.clone();
        bytes.resize(len.max(bytes.len()), 0);
        Addr(bytes)
    }

    /// The length of the address.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The address of its first byte.
    pub(crate) fn ptr(&self) -> u64 {
        self.0.as_ptr() as u64
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.family(), self.0.len()) {
            (libc::AF_INET, 16..) => {
                let ip = &self.0[4..8];
                write!(f, "{}.{}.{}.{}:{}", ip[0], ip[1], ip[2], ip[3], self.port())
            }
            (libc::AF_INET6, 28..) => {
                let mut ip = [0; 16];
                ip.copy_from_slice(&self.0[8..24]);
                write!(f, "[{}]:{}", std::net::Ipv6Addr::from(ip), self.port())
            }
            (libc::AF_UNIX, _) => {
                write!(f, "unix:{:?}", self.0[2..].escape_ascii().to_string())
            }
            _ => write!(f, "sockaddr{:?}", self.0),
        }
    }
}
