//! sendmmsg(2): several messages in one call.

use super::send::{SendWork, waits};
use crate::cmsg::release;
use crate::effect::{Effect, Kind, Reply, SendEffect};
use crate::memory::write_int;
use crate::pending::{Env, Pending, Step, Work};
use alloc::vec::Vec;
use smallvec::SmallVec;
use switchboard_abi::Errno;
use switchboard_abi::number::*;
use switchboard_socket::{Attempt, Fail, Right, SendPlan, Skip};
use switchboard_wire::Payload;

/// How far a sendmmsg(2) has come.
#[derive(Debug, Default)]
pub(crate) struct Sendmmsg {
    /// Messages that took effect and were counted.
    sent: usize,
    /// The message being sent.
    pub(crate) current: Option<SendWork>,
}

/// Messages that are planned and not queued.
#[derive(Default)]
struct Batch {
    plans: SmallVec<[(SendPlan, Payload); 1]>,
    rights: Vec<Right>,
    skip: Skip,
    counted: usize,
}

impl Pending {
    /// __sys_sendmmsg(): an error counts only when no message could be sent.
    pub(crate) fn sendmmsg(
        &mut self,
        env: &mut Env<'_, '_>,
        fd: i32,
        vec: u64,
        vlen: u32,
        flags: i32,
    ) -> Result<Step, Errno> {
        let flags = self.msg_flags(flags)?;
        let target = self.target(env, fd)?;
        let vlen = (vlen as usize).min(UIO_MAXIOV);
        let last = self.is_last(env, &target, flags);
        let word = self.word;
        if matches!(self.work, Work::None) {
            self.work = Work::Sendmmsg(Sendmmsg::default());
        }
        let Work::Sendmmsg(state) = &mut self.work else {
            return Err(Errno::EINVAL);
        };
        let mut batch = Batch::default();
        let mut failed: Option<Fail> = None;
        while state.sent + batch.counted < vlen {
            let entry =
                vec.wrapping_add(((state.sent + batch.counted) * word.mmsghdr_size()) as u64);
            let mut work = match state.current.take() {
                Some(work) => work,
                None => match SendWork::from_header(env, &target, word, entry, flags, MSG_EOR) {
                    Ok(work) => work,
                    Err(errno) => {
                        failed = Some(errno.into());
                        break;
                    }
                },
            };
            let planned = work.plan(env, &target, batch.skip, last);
            if let Some(blocked) = waits(&planned) {
                state.current = Some(work);
                if batch.plans.is_empty() {
                    return Ok(Step::Wait(target.id, blocked));
                }
                // What is planned has to make room first.
                state.sent += batch.queue(env, target.id);
                continue;
            }
            let (plan, data) = match planned {
                Ok(Attempt::Ready(ready)) => ready,
                Ok(Attempt::Blocked(_)) => continue,
                Err(fail) => {
                    release(env.files, &mut work.control.rights);
                    // A piece of this message went before: that is its length.
                    if work.done > 0 {
                        batch.counted += count(env, word, entry, work.done, &mut failed);
                    } else {
                        failed = Some(fail);
                    }
                    break;
                }
            };
            let end = work.done + plan.take;
            batch.skip.bytes += plan.take;
            batch.skip.messages += 1;
            batch.skip.charge += plan.charge;
            batch.rights.append(&mut work.control.rights);
            batch.plans.push((plan, data));
            if end < work.len && !last {
                state.sent += batch.queue(env, target.id);
                work.done = end;
                state.current = Some(work);
                continue;
            }
            batch.counted += count(env, word, entry, end, &mut failed);
            if end < work.len || failed.is_some() {
                break;
            }
            if state.sent + batch.counted < vlen && env.host.send_is_answered(target.id) {
                // The answer decides what becomes of the next message.
                state.sent += batch.queue(env, target.id);
            }
        }
        let total = state.sent + batch.counted;
        if total == 0
            && let Some(fail) = failed
            && batch.plans.is_empty()
        {
            return Ok(Reply::fail(target.id, fail, flags & MSG_NOSIGNAL != 0).into());
        }
        let value = match failed {
            Some(fail) if total == 0 => fail.errno.to_ret(),
            _ => total as i64,
        };
        if state.sent > 0 {
            let _ = batch.queue(env, target.id);
            if let Some(fail) = failed {
                env.host.commit_fail(env.cx, target.id, fail);
            }
            return Ok(Reply::happened(value).into());
        }
        let Batch { plans, rights, .. } = batch;
        let effect = SendEffect {
            id: target.id,
            plans,
            rights,
            ended: failed,
            source: None,
        };
        Ok(Step::Done(Reply {
            effect: Effect(Kind::Send(effect)),
            ..Reply::value(value)
        }))
    }
}

impl Batch {
    /// Queues what is planned; how many messages that completes.
    fn queue(&mut self, env: &mut Env<'_, '_>, id: switchboard_socket::SocketId) -> usize {
        for (plan, data) in self.plans.drain(..) {
            env.host.commit_send(env.cx, id, plan, data);
        }
        self.rights.clear();
        self.skip = Skip::default();
        core::mem::take(&mut self.counted)
    }
}

/// Writes `msg_len`. A message whose length cannot be told is sent and not counted.
fn count(
    env: &mut Env<'_, '_>,
    word: switchboard_abi::Word,
    entry: u64,
    len: usize,
    failed: &mut Option<Fail>,
) -> usize {
    match write_int(env.mem, entry + word.msghdr().size as u64, len as i32) {
        Ok(()) => 1,
        Err(fault) => {
            *failed = Some(Errno::from(fault).into());
            0
        }
    }
}
