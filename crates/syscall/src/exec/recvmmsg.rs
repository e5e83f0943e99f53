//! recvmmsg(2): several messages in one call.

use super::recv::RecvWork;
use crate::call::MsgTimeout;
use crate::effect::{Effect, Kind, RecvEffect, Reply};
use crate::memory::{Memory, read_array, write_int};
use crate::msghdr::Header;
use crate::pending::{Env, Pending, Step, Work};
use core::time::Duration;
use smallvec::SmallVec;
use switchboard_abi::layout::{read_i32, read_i64};
use switchboard_abi::number::*;
use switchboard_abi::{Errno, Word};
use switchboard_socket::{Attempt, Fail, RecvProgress, Skip};

/// The lengths of the messages that were there before a call had to wait. What a stream gets while it waits belongs to the
/// messages that follow.
pub(crate) type Had = SmallVec<[usize; 4]>;

impl Pending {
    /// do_recvmmsg(): an error counts only when no message came; the socket keeps it for the next
    /// call. The timeout is looked at after each message.
    pub(crate) fn recvmmsg(
        &mut self,
        env: &mut Env<'_, '_>,
        fd: i32,
        vec: u64,
        vlen: u32,
        flags: i32,
        timeout: Option<MsgTimeout>,
    ) -> Result<Step, Errno> {
        let mut flags = self.msg_flags(flags)?;
        let limit = match timeout {
            Some(timeout) => Some(read_timeout(env.mem, self.word, timeout)?),
            None => None,
        };
        let target = self.target(env, fd)?;
        let (had, mut first, began) = match core::mem::replace(&mut self.work, Work::None) {
            Work::Recvmmsg { had, first, began } => (had, first, began),
            _ => {
                if flags & MSG_ERRQUEUE == 0
                    && let Some(fail) = pending_error(env, target.id, self.word)
                {
                    return Ok(Reply::fail(target.id, fail, true).into());
                }
                (Had::new(), RecvProgress::default(), env.cx.now)
            }
        };
        let mut effect = RecvEffect {
            id: target.id,
            received: SmallVec::new(),
            installed: SmallVec::new(),
            peek: flags & MSG_PEEK != 0,
            progress: RecvProgress::default(),
            kept: None,
            pipe: None,
        };
        let mut skip = Skip::default();
        let mut count = 0;
        let mut failed: Option<Fail> = None;
        let mut left = limit;
        while count < vlen as usize {
            let entry = vec.wrapping_add((count * self.word.mmsghdr_size()) as u64);
            let header = match Header::read(env.mem, self.word, entry, false) {
                Ok((header, _)) => header,
                Err(errno) => {
                    env.host
                        .abandon_recv(env.cx, target.id, core::mem::take(&mut first));
                    failed = Some(errno.into());
                    break;
                }
            };
            // What was there is all that there is of it.
            let last = count < had.len() || self.is_last(env, &target, flags);
            let mut work = RecvWork::from_header(header, flags & !MSG_WAITFORONE);
            if let Some(&had) = had.get(count)
                && target.stream
            {
                work.limit(had);
            }
            if count == 0 {
                work.progress = core::mem::take(&mut first);
            }
            let held = work.progress.held();
            let shown = match work.show(env, &target, skip, last) {
                Ok(Attempt::Ready(shown)) => shown,
                Ok(Attempt::Blocked(blocked)) => {
                    // Look at them anew next time: others may read in between.
                    effect
                        .installed
                        .iter()
                        .for_each(|fd| env.files.uninstall(*fd));
                    // But what the first has taken, as recvmsg(2) does that waits for all, it has.
                    let mut first = core::mem::take(&mut effect.progress);
                    if count == 0 {
                        first = work.progress;
                    }
                    let had = effect
                        .received
                        .iter()
                        .map(|received| received.ret)
                        .collect();
                    self.work = Work::Recvmmsg { had, first, began };
                    return Ok(Step::Wait(target.id, blocked));
                }
                Err(fail) => {
                    env.host.abandon_recv(env.cx, target.id, work.progress);
                    failed = Some(fail);
                    break;
                }
            };
            effect.installed.extend(shown.installed);
            if count == 0 {
                effect.progress = work.progress;
            }
            if let Some(received) = shown.received {
                // The error queue does not know MSG_PEEK.
                if flags & MSG_PEEK == 0 || received.msg_flags & MSG_ERRQUEUE != 0 {
                    skip.bytes += received.ret.saturating_sub(held);
                    skip.messages += 1;
                    skip.error |= received.takes_error();
                } else {
                    skip.peeked += received.peeked();
                    skip.empty += usize::from(received.ret == 0);
                }
                effect.received.push(received);
            }
            let value = match i32::try_from(shown.value) {
                Ok(n) if n >= 0 => n,
                _ => {
                    failed = Some(Errno((-shown.value) as u16).into());
                    break;
                }
            };
            let at = entry + self.word.msghdr().size as u64;
            if let Err(fault) = write_int(env.mem, at, value) {
                failed = Some(Errno::from(fault).into());
                break;
            }
            if count >= had.len() {
                // SO_RCVTIMEO is for each message anew.
                self.started = Some(env.cx.now);
                if core::mem::take(&mut self.overdue) {
                    self.last = false;
                }
            }
            count += 1;
            if flags & MSG_WAITFORONE != 0 {
                flags |= MSG_DONTWAIT;
            }
            if let Some(limit) = limit
                && count > had.len()
            {
                left = Some(limit.saturating_sub(env.cx.now.saturating_sub(began)));
                if left == Some(Duration::ZERO) {
                    break;
                }
            }
            if shown.msg_flags & MSG_OOB != 0 {
                break;
            }
        }
        let mut value = count as i64;
        match failed {
            Some(fail) if count == 0 => {
                if effect.received.is_empty() {
                    return Ok(Reply::fail(target.id, fail, true).into());
                }
                value = fail.errno.to_ret();
            }
            // "... where we record the error to return on the next call or if the app asks about it
            // using getsockopt(SO_ERROR)."
            failed => effect.kept = failed,
        }
        if count > 0
            && let (Some(timeout), Some(left)) = (timeout, left)
            && write_timeout(env.mem, timeout, left).is_err()
        {
            value = Errno::EFAULT.to_ret();
        }
        Ok(Step::Done(Reply {
            effect: Effect(Kind::Recv(effect)),
            ..Reply::value(value)
        }))
    }
}

/// sock_error() before the first message: the pending error, if there is one.
fn pending_error(
    env: &mut Env<'_, '_>,
    id: switchboard_socket::SocketId,
    word: Word,
) -> Option<Fail> {
    let value = env
        .host
        .getsockopt(env.cx, id, SOL_SOCKET, SO_ERROR, 4, word)
        .ok()?;
    let errno = u16::try_from(read_i32(value.bytes.get(..4)?, 0)).ok()?;
    (errno != 0).then(|| Fail::pending(Errno(errno)))
}

/// get_timespec64() and poll_select_set_timeout(): `EFAULT`, then `EINVAL` for what is no time.
fn read_timeout(mem: &mut dyn Memory, word: Word, timeout: MsgTimeout) -> Result<Duration, Errno> {
    let (sec, nsec) = if timeout.wide {
        let bytes = read_array::<16>(mem, timeout.addr)?;
        let mut nsec = read_i64(&bytes, 8);
        if word == Word::Ilp32 {
            // The upper half is padding for a 32-bit caller.
            nsec &= 0xffff_ffff;
        }
        (read_i64(&bytes, 0), nsec)
    } else {
        let bytes = read_array::<8>(mem, timeout.addr)?;
        (
            i64::from(read_i32(&bytes, 0)),
            i64::from(read_i32(&bytes, 4)),
        )
    };
    let sec = u64::try_from(sec).map_err(|_| Errno::EINVAL)?;
    let nsec = u32::try_from(nsec).map_err(|_| Errno::EINVAL)?;
    if nsec >= 1_000_000_000 {
        return Err(Errno::EINVAL);
    }
    Ok(Duration::new(sec, nsec))
}

fn write_timeout(
    mem: &mut dyn Memory,
    timeout: MsgTimeout,
    left: Duration,
) -> Result<(), crate::memory::Fault> {
    let (sec, nsec) = (left.as_secs(), left.subsec_nanos());
    if timeout.wide {
        mem.write(timeout.addr, &sec.to_ne_bytes())?;
        mem.write(timeout.addr.wrapping_add(8), &u64::from(nsec).to_ne_bytes())
    } else {
        write_int(mem, timeout.addr, sec as i32)?;
        write_int(mem, timeout.addr.wrapping_add(4), nsec as i32)
    }
}
