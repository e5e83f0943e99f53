//! `SIOCETHTOOL`, of linux/ethtool.h: what an interface without hardware has to tell.

use super::ifreq::{self, NAME, name_of};
use crate::memory::read_array;
use crate::pending::Env;
use switchboard_abi::{Errno, Word};
use switchboard_socket::{interface_flags, may_administer};

/// `ETHTOOL_GLINK` and `ETHTOOL_GET_TS_INFO`
const GLINK: u32 = 0xa;
const GET_TS_INFO: u32 = 0x41;

/// `IFF_RUNNING` of netdevice(7)
const IFF_RUNNING: u16 = 0x40;

/// SOF_TIMESTAMPING_TX_SOFTWARE, SOF_TIMESTAMPING_RX_SOFTWARE, SOF_TIMESTAMPING_SOFTWARE.
const BY_SOFTWARE: u32 = 0x2 | 0x8 | 0x10;

/// dev_ethtool(): what everyone may ask, up to the last command there is a permission for.
fn is_for_everyone(cmd: u32) -> bool {
    matches!(
        cmd,
        0x1 | 0x3
            | 0x7
            | 0xa
            | 0xe
            | 0x10
            | 0x12
            | 0x14
            | 0x16
            | 0x18
            | 0x1b
            | 0x1d
            | 0x1e
            | 0x20
            | 0x21
            | 0x23
            | 0x25
            | 0x27
            | 0x29
            | 0x2b
            | 0x2d
            ..=0x30
                | 0x37
                | 0x38
                | 0x3a
                | 0x3c
                | 0x41
                | 0x44
                | 0x46
                | 0x48
                | 0x4a
                | 0x4c
                | 0x4e
                | 0x50
    )
}

/// dev_ethtool(): the link's state and who makes time stamps. The rest is `EOPNOTSUPP`: there is no driver.
pub(super) fn ioctl(env: &mut Env<'_, '_>, word: Word, arg: u64) -> Result<(), Errno> {
    let request = ifreq::read(env, word, arg)?;
    // What is wanted is looked at before the interface is looked for.
    let at = word.read_ulong(&request, NAME);
    let cmd = u32::from_ne_bytes(read_array(env.mem, at)?);
    let may = may_administer(env.cx.cred);
    // "Labels" end at the colon.
    let name = name_of(&request[..NAME]);
    let name = name.split(|byte| *byte == b':').next().unwrap_or(name);
    let mut all = env.host.stack().interfaces();
    let found = all.find(|interface| interface.name().as_bytes() == name);
    let interface = found.ok_or(Errno::ENODEV)?;
    if !may && !is_for_everyone(cmd) {
        return Err(Errno::EPERM);
    }
    match cmd {
        GLINK => {
            let running = u32::from(interface_flags(interface) & IFF_RUNNING != 0);
            Ok(env.mem.write(at + 4, &running.to_ne_bytes())?)
        }
        GET_TS_INFO => {
            // struct ethtool_ts_info: no clock of its own (phc_index is -1), no types, no filters.
            let mut info = [0; 40];
            info[..4].copy_from_slice(&BY_SOFTWARE.to_ne_bytes());
            info[4..8].copy_from_slice(&(-1i32).to_ne_bytes());
            Ok(env.mem.write(at + 4, &info)?)
        }
        _ => Err(Errno::EOPNOTSUPP),
    }
}
