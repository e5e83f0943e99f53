//! Options.

use crate::effect::{Effect, Kind, Reply};
use crate::memory::{IoVec, Memory, read_int, write_int};
use crate::pending::{Env, Pending, Step};
use alloc::vec;
use alloc::vec::Vec;
use switchboard_abi::Errno;
use switchboard_abi::number::{
    IP_MSFILTER, IPV6_FLOWLABEL_MGR, MCAST_MSFILTER, PACKET_FANOUT_DATA, SOL_IP, SOL_IPV6,
    SOL_PACKET, SOL_SOCKET,
};
use switchboard_socket::Host;
use switchboard_socket::OptValue;

/// The most bytes of an option's value that are looked at. Linux reads what the option needs and
/// ignores the rest; none that the layer has needs more.
const VALUE_MAX: usize = 16_384;

/// Of filters of groups all that is offered has to be readable, up to net.core.optmem_max.
const FILTER_MAX: usize = 131_072;

impl Pending {
    /// __sys_setsockopt()
    pub(crate) fn setsockopt(
        &mut self,
        env: &mut Env<'_, '_>,
        fd: i32,
        level: i32,
        name: i32,
        value: u64,
        len: i32,
    ) -> Result<Step, Errno> {
        let target = self.target(env, fd)?;
        let offered = usize::try_from(len).map_err(|_| Errno::EINVAL)?;
        let most = match (level, name) {
            (SOL_IP, IP_MSFILTER) | (SOL_IP | SOL_IPV6, MCAST_MSFILTER) => FILTER_MAX,
            _ => VALUE_MAX,
        };
        let len = offered.min(most);
        let mut small = [0; 64];
        let mut large;
        let bytes = if len <= small.len() {
            &mut small[..len]
        } else {
            large = vec![0; len];
            &mut large[..]
        };
        if level == SOL_SOCKET && super::filter::points_to_program(name) {
            return self.attach_filter(env, target.id, name, value, len);
        }
        if level == SOL_PACKET
            && name == PACKET_FANOUT_DATA
            && let Some(takes) = env.host.fanout_data(target.id)?
        {
            return self.fanout_data(env, target.id, takes, value, len);
        }
        if level == SOL_SOCKET && super::filter::names_program(name) {
            return self.attach_bpf(env, target.id, name, value, len);
        }
        // How far the value can be read: an option reads what it needs, not what it is offered.
        let got = env.mem.gather(&[IoVec { addr: value, len }], bytes);
        env.host.setsockopt_partial(
            env.cx,
            target.id,
            level,
            name,
            (value != 0).then_some(&bytes[..got]),
            offered,
            self.word,
        )?;
        if (level, name) == (SOL_IPV6, IPV6_FLOWLABEL_MGR) && bytes.get(16..21) == Some(&[0; 5]) {
            // ipv6_flowlabel_get(): any label was asked for. That it cannot be told is no error.
            let label = env.host.newest_flow_label(target.id).unwrap_or(0);
            let _ = env.mem.write(value + 16, &label.to_be_bytes());
        }
        Ok(Reply::happened(0).into())
    }

    /// __sys_getsockopt(): the length is read first; `SOL_SOCKET` then writes the value first, the
    /// protocols their length.
    pub(crate) fn getsockopt(
        &mut self,
        env: &mut Env<'_, '_>,
        fd: i32,
        level: i32,
        name: i32,
        value: u64,
        len: u64,
    ) -> Result<Step, Errno> {
        let id = self.target(env, fd)?.id;
        env.host.check_option_level(id, level, false)?;
        env.host.check_icmpv6_option(id, level, name)?;
        let room = read_int(env.mem, len)?;
        let room = env.host.getsockopt_room(id, level, name, room)?;
        let given = match Host::getsockopt_reads(level, name) {
            true => {
                let mut bytes = vec![0; room.min(VALUE_MAX)];
                let len = bytes.len();
                let got = env.mem.gather(&[IoVec { addr: value, len }], &mut bytes);
                bytes.truncate(got);
                bytes
            }
            false => Vec::new(),
        };
        let mut result = env
            .host
            .getsockopt_given(env.cx, id, level, name, room, self.word, given)?;
        if let Some(pid) = result.pidfd {
            let fd = env.files.open_pidfd(pid)?.to_ne_bytes();
            let n = result.bytes.len().min(fd.len());
            result.bytes[..n].copy_from_slice(&fd[..n]);
        }
        let written = match result.wanted {
            // The caller learns how much room it needs.
            Some(wanted) => write_int(env.mem, len, wanted as i32)
                .map_err(Errno::from)
                .and(Err(result.wanted_errno)),
            None => write_option(env.mem, level, value, &result, len),
        };
        let ret = written.map_or_else(Errno::to_ret, |()| 0);
        // SO_ERROR is taken even when it cannot be told.
        let effect = Effect(Kind::Option { id, value: result });
        Ok(Step::Done(Reply {
            effect,
            ..Reply::value(ret)
        }))
    }
}

fn write_option(
    mem: &mut dyn Memory,
    level: i32,
    value: u64,
    option: &OptValue,
    len: u64,
) -> Result<(), Errno> {
    let bytes = &option.bytes;
    let n = option.count.map_or(bytes.len() as i32, |n| n as i32);
    if level == SOL_SOCKET {
        mem.write(value, bytes)?;
        write_int(mem, len, n)?;
    } else {
        write_int(mem, len, n)?;
        mem.write(value, bytes)?;
    }
    Ok(())
}
