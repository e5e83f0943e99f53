//! A process's descriptors, as the system calls reach them.

use super::Process;
use super::open::{Kind, OpenFile};
use crate::sigio::{Owner, Tasks};
use std::collections::BTreeMap;
use std::sync::Arc;
use switchboard_abi::Errno;
use switchboard_socket::{FileToken, Inode, Right, SocketId};
use switchboard_syscall::{FileRef, Files};

pub(crate) struct ProcessFiles<'a> {
    pub(crate) process: &'a Process,
    pub(crate) rights: &'a mut BTreeMap<u64, Arc<OpenFile>>,
    pub(crate) next_token: &'a mut u64,
    pub(crate) tasks: &'a mut Tasks,
    pub(crate) trash: &'a mut Vec<Arc<OpenFile>>,
}

impl ProcessFiles<'_> {
    fn socket(&self, fd: i32) -> Result<SocketId, Errno> {
        let table = self.process.table();
        table.file(fd)?.socket().ok_or(Errno::ENOTTY)
    }
}

impl Files for ProcessFiles<'_> {
    fn process_exists(&mut self, pid: u32) -> bool {
        self.tasks.exists(pid)
    }

    fn lookup(&mut self, fd: i32) -> Result<FileRef, Errno> {
        let table = self.process.table();
        Ok(match table.file(fd)?.kind {
            // fdget() does not see it.
            Kind::Path(_) => return Err(Errno::EBADF),
            Kind::Socket(id) => FileRef::Socket(id),
            Kind::Bpf(id) => FileRef::Bpf(id),
            Kind::Epoll(_) | Kind::Proc | Kind::Process(_) => FileRef::Other,
        })
    }

    fn nonblocking(&mut self, fd: i32) -> bool {
        self.process
            .table()
            .file(fd)
            .is_ok_and(OpenFile::nonblocking)
    }

    fn set_nonblocking(&mut self, fd: i32, on: bool) {
        if let Ok(file) = self.process.table().file(fd) {
            file.set_nonblocking(on);
        }
    }

    fn set_async(&mut self, fd: i32, on: bool) -> Result<(), Errno> {
        let id = self.socket(fd)?;
        self.tasks.set_async(id, on.then_some(fd));
        Ok(())
    }

    fn set_owner(&mut self, fd: i32, owner: i32) -> Result<(), Errno> {
        let id = self.socket(fd)?;
        let owner = Owner::from_number(owner)?;
        self.tasks.set_owner(id, owner, &self.process.cred)
    }

    fn owner(&mut self, fd: i32) -> Result<i32, Errno> {
        let id = self.socket(fd)?;
        Ok(self.tasks.owner(id).number())
    }

    fn reserve(&mut self, count: usize) -> Result<(), Errno> {
        if self.process.table().fits(count) {
            Ok(())
        } else {
            Err(Errno::EMFILE)
        }
    }

    fn right(&mut self, fd: i32) -> Result<Right, Errno> {
        let file = self.process.table().get(fd)?;
        let socket = file.socket();
        let token = FileToken(*self.next_token);
        *self.next_token += 1;
        let _ = self.rights.insert(token.0, file);
        Ok(Right { token, socket })
    }

    fn install_right(&mut self, right: &Right, cloexec: bool) -> Result<i32, Errno> {
        let file = self.rights.get(&right.token.0).ok_or(Errno::EBADF)?;
        self.process.table().add(file.clone(), cloexec, 0)
    }

    fn open_pidfd(&mut self, pid: u32) -> Result<i32, Errno> {
        if !self.tasks.exists(pid) {
            return Err(Errno::ESRCH);
        }
        let file = OpenFile::new(&self.process.host, Kind::Process(pid), false);
        self.process.table().add(file, true, 0)
    }

    fn open_path(&mut self, path: Inode) -> Result<i32, Errno> {
        let file = OpenFile::new(&self.process.host, Kind::Path(path), false);
        self.process.table().add(file, true, 0)
    }

    fn uninstall(&mut self, fd: i32) {
        self.trash.extend(self.process.table().remove(fd));
    }

    fn release(&mut self, token: FileToken) {
        self.trash.extend(self.rights.remove(&token.0));
    }
}
