//! The ioctls about what no virtual host has: hardware, bridges, VLANs, bonds. See netdevice(7) and linux/sockios.h.

use super::ifreq::{self, NAME, name_of};
use crate::memory::read_array;
use crate::pending::Env;
use switchboard_abi::number::*;
use switchboard_abi::{Errno, Word};
use switchboard_socket::may_administer;

/// sock_ioctl(), sock_do_ioctl() and dev_ioctl() of what nobody has answered: why not.
pub(super) fn refuse(env: &mut Env<'_, '_>, word: Word, cmd: u32, arg: u64) -> Errno {
    answer(env, word, cmd, arg).unwrap_or_else(|errno| errno)
}

/// ipmr_ioctl() and ip6mr_ioctl(): counters of a multicast router, which no raw socket here is.
pub(super) fn multicast_routing(
    env: &mut Env<'_, '_>,
    word: Word,
    v6: bool,
    cmd: u32,
    arg: u64,
) -> Result<Errno, Errno> {
    // Words behind an index, or behind two addresses.
    let (len, errno) = match (cmd, v6) {
        (SIOCGETVIFCNT, _) => (5 * word.size(), Errno::EINVAL),
        (SIOCGETSGCNT, false) => (8 + 3 * word.size(), Errno::EADDRNOTAVAIL),
        (SIOCGETSGCNT, true) => (56 + 3 * word.size(), Errno::EADDRNOTAVAIL),
        _ => return Ok(Errno::ENOTTY),
    };
    let mut request = [0; 80];
    env.mem.read(arg, &mut request[..len])?;
    Ok(errno)
}

fn answer(env: &mut Env<'_, '_>, word: Word, cmd: u32, arg: u64) -> Result<Errno, Errno> {
    let admin = may_administer(env.cx.cred);
    match cmd {
        // The families without datagrams of the Internet have no gettstamp().
        SIOCGSTAMP_OLD | SIOCGSTAMPNS_OLD | SIOCGSTAMP_NEW | SIOCGSTAMPNS_NEW => {
            return Ok(Errno::ENOTTY);
        }
        // br_ioctl_call() and vlan_ioctl_hook of a kernel without bridges and VLANs.
        SIOCGIFBR | SIOCSIFBR | SIOCBRADDBR | SIOCBRDELBR | SIOCBRADDIF | SIOCBRDELIF
        | SIOCGIFVLAN | SIOCSIFVLAN => return Ok(Errno::ENOPKG),
        _ if word == Word::Ilp32 && !compat_knows(cmd) => return Ok(Errno::ENOTTY),
        _ => {}
    }
    let request = ifreq::read(env, word, arg)?;
    let data = word.read_ulong(&request, NAME);
    let administers = matches!(
        cmd,
        SIOCGMIIPHY
            | SIOCGMIIREG
            | SIOCSMIIREG
            | SIOCSHWTSTAMP
            | SIOCSIFSLAVE
            | SIOCADDMULTI
            | SIOCDELMULTI
            | SIOCSIFHWBROADCAST
            | SIOCBONDENSLAVE
            | SIOCBONDRELEASE
            | SIOCBONDSETHWADDR
            | SIOCBONDCHANGEACTIVE
    );
    let anyone = matches!(
        cmd,
        SIOCGHWTSTAMP
            | SIOCGIFSLAVE
            | SIOCWANDEV
            | SIOCBONDSLAVEINFOQUERY
            | SIOCBONDINFOQUERY
            | SIOCDEVPRIVATE..=SIOCDEVPRIVATE_LAST
    );
    if !administers && !anyone {
        return Ok(Errno::ENOTTY);
    }
    if administers && !admin {
        return Ok(Errno::EPERM);
    }
    // "Labels" end at the colon.
    let name = name_of(&request[..NAME]);
    let end = name.iter().position(|byte| *byte == b':');
    let name = &name[..end.unwrap_or(name.len())];
    let stack = env.host.stack();
    let Some(interface) = stack.interfaces().find(|i| i.name().as_bytes() == name) else {
        return Ok(Errno::ENODEV);
    };
    let kind = u16::from_ne_bytes([request[NAME], request[NAME + 1]]);
    match cmd {
        SIOCGIFSLAVE | SIOCSIFSLAVE | SIOCADDMULTI | SIOCDELMULTI => Ok(Errno::EINVAL),
        SIOCSIFHWBROADCAST if kind != interface.link_type() => Ok(Errno::EINVAL),
        SIOCSHWTSTAMP => {
            // dev_set_hwtstamp() reads its struct hwtstamp_config first.
            read_array::<12>(env.mem, data)?;
            Ok(Errno::EOPNOTSUPP)
        }
        _ => Ok(Errno::EOPNOTSUPP),
    }
}

/// What compat_sock_ioctl_trans() passes on, of what comes here: other commands are refused before anything is read.
fn compat_knows(cmd: u32) -> bool {
    matches!(
        cmd,
        SIOCGIFMEM
            | SIOCSIFMEM
            | SIOCADDMULTI
            | SIOCDELMULTI
            | SIOCSIFHWBROADCAST
            | SIOCDIFADDR
            | SIOCGIFPFLAGS
            | SIOCSIFPFLAGS
            | SIOCGIFADDR
            | SIOCSIFADDR
            | SIOCGIFDSTADDR
            | SIOCSIFDSTADDR
            | SIOCGIFBRDADDR
            | SIOCSIFBRDADDR
            | SIOCGIFNETMASK
            | SIOCSIFNETMASK
            | SIOCSARP
            | SIOCGARP
            | SIOCDARP
            | SIOCATMARK
            | SIOCOUTQNSD
            | SIOCGMIIPHY
            | SIOCGMIIREG
            | SIOCSMIIREG
            | SIOCSHWTSTAMP
            | SIOCGHWTSTAMP
            | SIOCWANDEV
            | SIOCBONDENSLAVE..=SIOCBONDCHANGEACTIVE
            | SIOCDEVPRIVATE..=SIOCDEVPRIVATE_LAST
    )
}
