//! Files under /etc that are the host's and not the machine's.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{self, FileType, Mode, OFlags};
use switchboard_abi::Errno;
use switchboard_notify::{Notification, ReplyError};

use super::super::files::errno;
use super::super::opens::{Open, directory};
use super::super::procfs::sealed;
use super::{Supervisor, host_errno};

impl Supervisor {
    /// Answers an open(2) for reading of such a file. False: it is none.
    pub(super) fn open_etc(&mut self, call: &Notification, open: &Open) -> bool {
        let Some(text) = self.etc_file(call.tid, open) else {
            return false;
        };
        let made = if writes(open) {
            Err(Errno::EROFS)
        } else {
            read_only(&text, open.flags)
        };
        // Whoever was asked about is the one who asked only if they still wait.
        if !self.listener.is_valid(call.id) {
            return true;
        }
        let result = made.and_then(|fd| {
            let cloexec = open.flags.contains(OFlags::CLOEXEC);
            match self.listener.reply_fd(call.id, fd.as_fd(), cloexec) {
                Err(ReplyError::Refused(errno)) => Err(Errno(errno.0 as u16)),
                // Gone, if it was not delivered: nobody hears an answer.
                Ok(_) | Err(ReplyError::NotDelivered) => Ok(()),
            }
        });
        if let Err(errno) = result {
            let _ = self.listener.reply_errno(call.id, host_errno(errno));
        }
        true
    }

    fn etc_file(&self, tid: i32, open: &Open) -> Option<String> {
        let is_at = |path: &str| {
            let there = fs::fstat(directory(tid, open)?).ok()?;
            let wanted = fs::stat(path).ok()?;
            Some((there.st_dev, there.st_ino) == (wanted.st_dev, wanted.st_ino))
        };
        if let Some(named) = &self.named
            && open.base() == b"hostname"
            && is_at("/proc/sys/kernel") == Some(true)
        {
            return Some(format!("{}\n", named.nodename));
        }
        let text = match &self.named {
            Some(named) => named.etc(open.base())?,
            None => {
                let mut own = self.etc.iter();
                own.find(|(name, _)| name.as_bytes() == open.base())?
                    .1
                    .clone()
            }
        };
        // Who writes means the machine's, where hosts are not several.
        if self.named.is_none() && writes(open) || open.flags.contains(OFlags::DIRECTORY) {
            return None;
        }
        (is_at(&format!("/proc/{tid}/root/etc")) == Some(true)).then_some(text)
    }
}

fn writes(open: &Open) -> bool {
    open.flags & OFlags::RWMODE != OFlags::RDONLY || open.flags.contains(OFlags::TRUNC)
}

impl Supervisor {
    /// Whether what is opened is /dev/net/tun, under whatever path ends like this; or under its own, where the machine has none,
    /// as most containers.
    pub(super) fn is_tun_device(&self, tid: i32, open: &Open) -> bool {
        if open.base() != TUN {
            return false;
        }
        let there = directory(tid, open)
            .ok_or(rustix::io::Errno::NOENT)
            .and_then(|dir| fs::statat(dir, TUN, fs::AtFlags::empty()));
        match there {
            Ok(file) => {
                let device = (FileType::from_raw_mode(file.st_mode), file.st_rdev);
                device == (FileType::CharacterDevice, fs::makedev(10, 200))
            }
            Err(error) => error == rustix::io::Errno::NOENT && open.path == TUN_PATH,
        }
    }
}

/// The last word of its path; its numbers are those of Documentation/admin-guide/devices.txt.
const TUN: &[u8] = b"tun";
const TUN_PATH: &[u8] = b"/dev/net/tun";

/// A descriptor of a file with this text.
fn read_only(text: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let make = || -> rustix::io::Result<OwnedFd> {
        let whole = sealed("etc", text)?;
        fs::fchmod(&whole, Mode::from_raw_mode(0o644))?;
        let path = format!("/proc/self/fd/{}", whole.as_raw_fd());
        let kept = flags & OFlags::NONBLOCK;
        fs::open(
            &path,
            kept | OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )
    };
    make().map_err(errno)
}
