//! ioctl(2) on a socket.

use super::{absent, ethtool, ifreq, rtentry};
use crate::effect::Reply;
use crate::memory::{read_int, write_int};
use crate::pending::{Env, Pending, Step};
use switchboard_abi::number::*;
use switchboard_abi::{Errno, Word};
use switchboard_socket::{SocketId, may_administer};

/// `SOCK_IOC_TYPE`: the second byte of the commands that every socket may be asked.
const SOCKET_IOCTL: u32 = 0x89;

/// Whose ioctls about addresses and routes a socket has: packet_ioctl() passes those on to AF_INET.
fn ip_family(env: &Env<'_, '_>, id: SocketId, cmd: u32) -> i32 {
    match env.host.family(id) {
        Some((AF_PACKET, _)) if cmd != SIOCDIFADDR => AF_INET,
        Some((domain, _)) => domain,
        None => AF_UNIX,
    }
}

fn domain(env: &Env<'_, '_>, id: SocketId) -> i32 {
    env.host.family(id).map_or(AF_UNIX, |(domain, _)| domain)
}

impl Pending {
    /// What the socket's family answers, then what is said of any socket.
    pub(crate) fn ioctl(
        &mut self,
        env: &mut Env<'_, '_>,
        fd: i32,
        cmd: u32,
        arg: u64,
    ) -> Result<Step, Errno> {
        let id = match self.target(env, fd) {
            Err(Errno::ENOTSOCK) => return Err(Errno::ENOTTY),
            target => target?.id,
        };
        match self.family_ioctl(env, (fd, id), cmd, arg) {
            Err(Errno::ENOTTY) if cmd >> 8 & 0xff == SOCKET_IOCTL => {
                Err(absent::refuse(env, self.word, cmd, arg))
            }
            step => step,
        }
    }

    /// `ENOTTY` is what no protocol knows.
    fn family_ioctl(
        &mut self,
        env: &mut Env<'_, '_>,
        (fd, id): (i32, SocketId),
        cmd: u32,
        arg: u64,
    ) -> Result<Step, Errno> {
        let value = match cmd {
            FIONBIO => {
                let on = read_int(env.mem, arg)? != 0;
                env.files.set_nonblocking(fd, on);
                return Ok(Reply::happened(0).into());
            }
            FIOASYNC => {
                let on = read_int(env.mem, arg)? != 0;
                env.files.set_async(fd, on)?;
                return Ok(Reply::happened(0).into());
            }
            FIOSETOWN | SIOCSPGRP => {
                let owner = read_int(env.mem, arg)?;
                env.files.set_owner(fd, owner)?;
                return Ok(Reply::happened(0).into());
            }
            FIOGETOWN | SIOCGPGRP => env.files.owner(fd)?,
            SIOCGSTAMP_OLD | SIOCGSTAMPNS_OLD | SIOCGSTAMP_NEW | SIOCGSTAMPNS_NEW => {
                return self.receive_stamp(env, id, cmd, arg);
            }
            SIOCUNIXFILE if domain(env, id) == AF_UNIX => {
                let file = env.host.unix_file(env.cx, id)?;
                let fd = env.files.open_path(file)?;
                return Ok(Reply::happened(fd.into()).into());
            }
            SIOCGSKNS => {
                if !may_administer(env.cx.cred) {
                    return Err(Errno::EPERM);
                }
                let fd = env.files.open_namespace()?;
                return Ok(Reply::happened(fd.into()).into());
            }
            _ if ifreq::is_setting(cmd) => {
                let family = ip_family(env, id, cmd);
                ifreq::set(env, self.word, family, cmd, arg)?;
                return Ok(Reply::happened(0).into());
            }
            // packet_ioctl() has no twin for 32-bit callers, and compat_sock_ioctl_trans() does not pass these on.
            SIOCADDRT | SIOCDELRT if self.word == Word::Ilp32 && domain(env, id) == AF_PACKET => {
                return Err(Errno::ENOTTY);
            }
            // inet_ioctl() and inet_compat_ioctl(), which has no such case.
            SIOCRTMSG if self.word == Word::Lp64 && domain(env, id) == AF_INET => {
                return Err(Errno::EINVAL);
            }
            SIOCGIFPFLAGS | SIOCSIFPFLAGS if domain(env, id) == AF_INET => {
                ifreq::read(env, self.word, arg)?;
                return Err(Errno::EINVAL);
            }
            _ if rtentry::is_route(cmd) => {
                let family = ip_family(env, id, cmd);
                rtentry::ioctl(env, self.word, family, cmd, arg)?;
                return Ok(Reply::happened(0).into());
            }
            SIOCETHTOOL => {
                ethtool::ioctl(env, self.word, arg)?;
                return Ok(Reply::value(0).into());
            }
            _ if ifreq::is_interface(cmd) => {
                let inet = ip_family(env, id, cmd) == AF_INET;
                ifreq::ioctl(env, self.word, inet, cmd, arg)?;
                return Ok(Reply::value(0).into());
            }
            SIOCGETVIFCNT | SIOCGETSGCNT
                if let Some((domain @ (AF_INET | AF_INET6), SOCK_RAW)) = env.host.family(id) =>
            {
                let v6 = domain == AF_INET6;
                return Err(absent::multicast_routing(env, self.word, v6, cmd, arg)?);
            }
            _ => env.host.ioctl(id, cmd)?,
        };
        if cmd == SIOCINQ {
            env.host.commit_inq(id);
        }
        write_int(env.mem, arg, value)?;
        Ok(Reply::value(0).into())
    }

    /// SIOCGSTAMP and SIOCGSTAMPNS: the old forms have the caller's `long`s, the new ones 64 bits.
    fn receive_stamp(
        &mut self,
        env: &mut Env<'_, '_>,
        id: SocketId,
        cmd: u32,
        arg: u64,
    ) -> Result<Step, Errno> {
        let stamp = env.host.receive_stamp(env.cx, id)?;
        let fraction = match cmd {
            SIOCGSTAMP_OLD | SIOCGSTAMP_NEW => stamp.subsec_micros(),
            _ => stamp.subsec_nanos(),
        };
        let old = matches!(cmd, SIOCGSTAMP_OLD | SIOCGSTAMPNS_OLD);
        let mut bytes = [0; 16];
        let half = if old { self.word.size() } else { 8 };
        let seconds = stamp.as_secs().to_ne_bytes();
        bytes[..half].copy_from_slice(&seconds[..half]);
        let fraction = u64::from(fraction).to_ne_bytes();
        bytes[half..2 * half].copy_from_slice(&fraction[..half]);
        env.mem.write(arg, &bytes[..2 * half])?;
        Ok(Reply::happened(0).into())
    }
}
