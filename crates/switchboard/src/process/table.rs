//! A descriptor table.

use super::open::OpenFile;
use std::sync::Arc;
use switchboard_abi::Errno;

/// The flags of a descriptor (not of its open file).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FdFlags {
    /// `FD_CLOEXEC`: execve(2) closes it.
    pub cloexec: bool,
}

#[derive(Clone)]
struct Entry {
    file: Arc<OpenFile>,
    flags: FdFlags,
}

#[derive(Clone)]
pub(crate) struct Table {
    entries: Vec<Option<Entry>>,
    limit: usize,
}

impl Table {
    pub(crate) fn new(limit: u64) -> Table {
        Table {
            entries: Vec::new(),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
        }
    }

    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = usize::try_from(limit).unwrap_or(usize::MAX);
    }

    fn entry(&self, fd: i32) -> Result<&Entry, Errno> {
        let at = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        self.entries
            .get(at)
            .and_then(Option::as_ref)
            .ok_or(Errno::EBADF)
    }

    pub(crate) fn get(&self, fd: i32) -> Result<Arc<OpenFile>, Errno> {
        Ok(self.entry(fd)?.file.clone())
    }

    pub(crate) fn file(&self, fd: i32) -> Result<&OpenFile, Errno> {
        Ok(&self.entry(fd)?.file)
    }

    /// The lowest free descriptor from `least` on. `EINVAL` when `least` is none, `EMFILE` when the
    /// table is full.
    fn free(&self, least: i32) -> Result<usize, Errno> {
        let least = usize::try_from(least).map_err(|_| Errno::EINVAL)?;
        if least >= self.limit {
            return Err(Errno::EINVAL);
        }
        let taken = self.entries.get(least..).unwrap_or(&[]);
        let at = taken
            .iter()
            .position(Option::is_none)
            .unwrap_or(taken.len())
            + least;
        if at >= self.limit {
            Err(Errno::EMFILE)
        } else {
            Ok(at)
        }
    }

    /// Whether `count` more descriptors fit.
    pub(crate) fn fits(&self, count: usize) -> bool {
        let free = self.entries.iter().filter(|entry| entry.is_none()).count();
        free + self.limit.saturating_sub(self.entries.len()) >= count
    }

    pub(crate) fn add(
        &mut self,
        file: Arc<OpenFile>,
        cloexec: bool,
        least: i32,
    ) -> Result<i32, Errno> {
        let at = self.free(least)?;
        if self.entries.len() <= at {
            self.entries.resize(at + 1, None);
        }
        self.entries[at] = Some(Entry {
            file,
            flags: FdFlags { cloexec },
        });
        Ok(at as i32)
    }

    /// Puts a file under a given number; the file that was there.
    pub(crate) fn set(
        &mut self,
        fd: i32,
        file: Arc<OpenFile>,
        cloexec: bool,
    ) -> Result<Option<Arc<OpenFile>>, Errno> {
        let at = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        if at >= self.limit {
            return Err(Errno::EBADF);
        }
        if self.entries.len() <= at {
            self.entries.resize(at + 1, None);
        }
        let entry = Entry {
            file,
            flags: FdFlags { cloexec },
        };
        Ok(self.entries[at].replace(entry).map(|entry| entry.file))
    }

    pub(crate) fn remove(&mut self, fd: i32) -> Result<Arc<OpenFile>, Errno> {
        let at = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        let entry = self
            .entries
            .get_mut(at)
            .and_then(Option::take)
            .ok_or(Errno::EBADF)?;
        Ok(entry.file)
    }

    pub(crate) fn flags(&self, fd: i32) -> Result<FdFlags, Errno> {
        Ok(self.entry(fd)?.flags)
    }

    pub(crate) fn set_flags(&mut self, fd: i32, flags: FdFlags) -> Result<(), Errno> {
        let at = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        let entry = self
            .entries
            .get_mut(at)
            .and_then(Option::as_mut)
            .ok_or(Errno::EBADF)?;
        entry.flags = flags;
        Ok(())
    }

    pub(crate) fn take_cloexec(&mut self) -> Vec<Arc<OpenFile>> {
        let mut taken = Vec::new();
        for slot in &mut self.entries {
            if slot.as_ref().is_some_and(|entry| entry.flags.cloexec) {
                taken.extend(slot.take().map(|entry| entry.file));
            }
        }
        taken
    }

    pub(crate) fn take_all(&mut self) -> Vec<Arc<OpenFile>> {
        std::mem::take(&mut self.entries)
            .into_iter()
            .flatten()
            .map(|entry| entry.file)
            .collect()
    }

    pub(crate) fn open(&self) -> Vec<i32> {
        let open = self
            .entries
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.is_some());
        open.map(|(fd, _)| fd as i32).collect()
    }
}
