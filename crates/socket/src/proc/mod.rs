//! What Linux shows of its network under /proc: /proc/net and /proc/sys/net.
//!
//! A path is looked up once ([`Host::proc_file`]); the file it names is then asked who may open it, read as a whole, and
//! written.

mod net;
mod sysctl;

pub use net::Inodes;
pub(crate) use net::{Alias, Datagrams, datagram_sockets, listening_groups};
pub(crate) use sysctl::Kept;
pub use sysctl::{SysctlRow, Tunable, sysctl_table};

use crate::cred::{Caps, Cred};
use crate::host::Host;
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use switchboard_abi::Errno;
use switchboard_engine::Instant;

/// A file below /proc that is the network's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProcFile {
    /// Below /proc/net.
    Net(&'static str),
    /// Below /proc/sys/net.
    Tunable(Tunable),
}

/// A file that is being read: the text is made when it is read at the beginning, and stays until then.
#[derive(Debug)]
pub struct ProcReading {
    file: ProcFile,
    shown: String,
}

impl ProcReading {
    /// A file that was just opened.
    pub fn new(file: ProcFile) -> ProcReading {
        ProcReading {
            file,
            shown: String::new(),
        }
    }

    /// Which file.
    pub fn file(&self) -> &ProcFile {
        &self.file
    }

    /// What a read at this offset finds.
    pub fn rest(&mut self, host: &Host, now: Instant, inodes: Inodes<'_>, offset: u64) -> &[u8] {
        if offset == 0 || self.shown.is_empty() {
            self.shown = host.proc_text(now, inodes, &self.file);
        }
        let bytes = self.shown.as_bytes();
        let from = match &self.file {
            // A number is read in one piece (do_proc_dointvec).
            ProcFile::Tunable(_) if offset > 0 => bytes.len(),
            _ => usize::try_from(offset).unwrap_or(usize::MAX),
        };
        bytes.get(from..).unwrap_or_default()
    }
}

/// How a file is opened: the parts of open(2)'s flags that matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ProcOpen {
    /// `O_RDONLY` or `O_RDWR`.
    pub read: bool,
    /// `O_WRONLY` or `O_RDWR`.
    pub write: bool,
    /// `O_TRUNC`, which needs the right to write.
    pub truncate: bool,
    /// `O_CREAT` with `O_EXCL`.
    pub exclusive: bool,
    /// `O_DIRECTORY`.
    pub directory: bool,
}

impl ProcFile {
    /// The mode of the file. Its owner is root.
    pub fn mode(&self) -> u16 {
        match self {
            ProcFile::Net(_) => 0o444,
            ProcFile::Tunable(tunable) => tunable.mode(),
        }
    }

    /// open(2), as far as it can be refused.
    pub fn open(&self, cred: &Cred, how: ProcOpen) -> Result<(), Errno> {
        if how.exclusive {
            return Err(Errno::EEXIST);
        }
        if how.directory {
            return Err(Errno::ENOTDIR);
        }
        let write = how.write || how.truncate;
        let permitted = match self {
            // seq_open_net() lets nobody write.
            ProcFile::Net(_) => {
                !how.write && (!how.truncate || cred.caps.contains(Caps::DAC_OVERRIDE))
            }
            ProcFile::Tunable(tunable) => tunable.permits(cred, how.read, write),
        };
        if permitted {
            Ok(())
        } else {
            Err(Errno::EACCES)
        }
    }
}

impl Host {
    /// The file of this path below /proc (`net/tcp`, `sys/net/core/somaxconn`), if there is one.
    pub fn proc_file(&self, path: &str) -> Option<ProcFile> {
        if let Some(name) = path.strip_prefix("sys/") {
            return self.tunable(name).map(ProcFile::Tunable);
        }
        let name = path.strip_prefix("net/")?;
        let file = net::FILES.iter().find(|file| **file == name)?;
        Some(ProcFile::Net(file))
    }

    /// Every path that [`Host::proc_file`] knows.
    pub fn proc_files(&self) -> Vec<String> {
        let below = |prefix: &str, name: &str| {
            let mut path = prefix.to_owned();
            path.push_str(name);
            path
        };
        let mut paths: Vec<String> = net::FILES.iter().map(|name| below("net/", name)).collect();
        paths.extend(self.tunables().iter().map(|name| below("sys/net/", name)));
        paths
    }

    /// The whole text of a file.
    pub fn proc_text(&self, now: Instant, inodes: Inodes<'_>, file: &ProcFile) -> String {
        match file {
            ProcFile::Net(name) => self.proc_net(now, inodes, name),
            ProcFile::Tunable(tunable) => self.sysctl_text(tunable),
        }
    }

    /// write(2) on a file that is open for writing: how much was taken. `offset` is the file's position.
    pub fn proc_write(
        &mut self,
        file: &ProcFile,
        offset: &mut u64,
        data: &[u8],
    ) -> Result<usize, Errno> {
        match file {
            ProcFile::Net(_) => Err(Errno::EIO),
            ProcFile::Tunable(tunable) => self.sysctl_write(tunable, offset, data),
        }
    }
}
