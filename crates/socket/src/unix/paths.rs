//! Pathname sockets: how names in the file system are made and found.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use switchboard_abi::Errno;

/// The file a pathname socket is bound to. Names may be linked and unlinked: the file counts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Inode {
    /// `st_dev`
    pub dev: u64,
    /// `st_ino`
    pub ino: u64,
}

/// The file system as the calling task sees it. Paths are without their terminating NUL.
pub trait Paths {
    /// mknod(2) of a socket at `path`; `EEXIST` when something is there.
    fn create(&mut self, path: &[u8]) -> Result<Inode, Errno>;

    /// Would [`Paths::create`] succeed? Asked when the bind(2) will fail for another reason, which
    /// Linux finds after it has made the file (and unlinks it again).
    fn check_create(&mut self, path: &[u8]) -> Result<(), Errno> {
        let _ = path;
        Ok(())
    }

    /// The socket file at `path`, symbolic links followed. `EACCES` when the task may not write
    /// it, `ECONNREFUSED` when it is not a socket.
    fn resolve(&mut self, path: &[u8]) -> Result<Inode, Errno>;
}

/// A flat file system in memory: every path is a name of its own, without directories or
/// permissions.
#[derive(Clone, Debug, Default)]
pub struct MemoryPaths {
    files: BTreeMap<Vec<u8>, Inode>,
    next: u64,
}

impl MemoryPaths {
    /// unlink(2): whether there was such a file. A socket bound to it keeps working.
    pub fn unlink(&mut self, path: &[u8]) -> bool {
        self.files.remove(path).is_some()
    }
}

impl Paths for MemoryPaths {
    fn create(&mut self, path: &[u8]) -> Result<Inode, Errno> {
        self.check_create(path)?;
        // Numbers are never used again, so an unlinked socket cannot be found by a new name.
        self.next += 1;
        let inode = Inode {
            dev: 0,
            ino: self.next,
        };
        self.files.insert(path.to_vec(), inode);
        Ok(inode)
    }

    fn check_create(&mut self, path: &[u8]) -> Result<(), Errno> {
        if self.files.contains_key(path) {
            Err(Errno::EEXIST)
        } else {
            Ok(())
        }
    }

    fn resolve(&mut self, path: &[u8]) -> Result<Inode, Errno> {
        self.files.get(path).copied().ok_or(Errno::ENOENT)
    }
}
