//! ioctl(2) on a socket.

use super::ifreq;
use crate::effect::Reply;
use crate::memory::{read_int, write_int};
use crate::pending::{Env, Pending, Step};
use switchboard_abi::Errno;
use switchboard_abi::number::*;

impl Pending {
    /// What the socket layer answers; commands it does not have are `ENOTTY`, as sock_ioctl()
    /// answers what no protocol knows.
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
            _ if ifreq::is_interface(cmd) => {
                let inet = env
                    .host
                    .family(id)
                    .is_some_and(|(domain, _)| domain == AF_INET);
                ifreq::ioctl(env, self.word, inet, cmd, arg)?;
                return Ok(Reply::value(0).into());
            }
            _ => env.host.ioctl(id, cmd)?,
        };
        write_int(env.mem, arg, value)?;
        Ok(Reply::value(0).into())
    }
}
