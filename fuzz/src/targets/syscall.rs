//! Any numbers and registers, with a small memory that has holes: no panic, errnos in range, and
//! what a guest held at its end is not held.

use crate::guest::{BASE, Guest, PAGE, PAGES, argument, check_value};
use crate::{Source, note};
use switchboard_abi::sysno::{Arch, Sysno, table};
use switchboard_abi::{Errno, Word};
use switchboard_syscall::{Abandoned, Call, Pending, Progress, decode, decode_socketcall, trace};

pub(crate) fn target(data: &[u8]) {
    let mut s = Source::new(data);
    let which = s.u8();
    let word = if which & 1 == 0 {
        Word::Lp64
    } else {
        Word::Ilp32
    };
    let arch = if which & 1 == 0 {
        Arch::X86_64
    } else {
        Arch::I386
    };
    let mut g = Guest::new(word, which & 2 == 0);
    for page in 1..PAGES {
        match s.below(12) {
            0 => g.ram.writable[page] = false,
            1 => (g.ram.readable[page], g.ram.writable[page]) = (false, false),
            _ => {}
        }
    }
    for _ in 0..2 {
        let sv = BASE + 64;
        let ty = s.pick(&[1, 2, 5]);
        let _ = g.call(Call::Socketpair {
            domain: 1,
            ty,
            protocol: 0,
            sv,
        });
    }
    for (domain, ty) in [(2, 1), (2, 2), (10, 1), (10, 2), (1, 1)] {
        let _ = g.call(Call::Socket {
            domain,
            ty,
            protocol: 0,
        });
    }
    let mut parked: Vec<Pending> = Vec::new();
    while !s.done() {
        fill(&mut s, &mut g);
        let call = match s.below(10) {
            0 => decode_socketcall(word, s.int(), argument(&mut s), &mut g.ram).map(Some),
            1 => {
                // Any number at all, and any registers.
                let nr = if s.one_in(2) { s.u32() } else { s.u16().into() };
                decode(arch, nr, [0; 6].map(|_: u64| s.u64()), &mut g.ram)
            }
            _ => {
                let numbers = table(arch);
                let (nr, sysno) = numbers[s.below(numbers.len())];
                let mut args = [0; 6].map(|_: u64| argument(&mut s));
                if sysno == Sysno::Socketcall {
                    args[0] = u64::from(s.u8() % 24);
                } else if !s.one_in(8) {
                    // A descriptor that is open, mostly.
                    args[0] = s.below(14) as u64;
                }
                decode(arch, nr, args, &mut g.ram)
            }
        };
        match call {
            Ok(Some(call)) => one(&mut s, &mut g, call, &mut parked),
            Ok(None) => {}
            Err(errno) => check_value(errno.to_ret()),
        }
        g.now += crate::model::step(&mut s);
        g.host.handle_timeout(g.now);
        g.settle();
        resume(&mut s, &mut g, &mut parked);
        if s.one_in(16) {
            let fds = g.table.descriptors();
            if fds.len() > 20 || s.one_in(4) {
                g.table.close(fds[s.below(fds.len())]);
            }
            g.settle();
            g.collect();
        }
    }
    for pending in parked {
        g.give_up(pending);
    }
    g.settle();
    g.end();
}

/// Memory full of small numbers and of pointers into itself.
fn fill(s: &mut Source<'_>, g: &mut Guest) {
    for _ in 0..s.below(10) {
        let at = match s.below(4) {
            0 => BASE + u64::from(s.u16()) % (PAGES * PAGE) as u64,
            n => {
                BASE + s.below(16) as u64 * 256
                    + if n == 1 { 20_000 } else { 0 }
                    + s.below(12) as u64 * 4
            }
        };
        match s.below(4) {
            0 => {
                let n = s.below(32);
                let bytes = s.bytes(n);
                g.ram.poke(at, bytes);
            }
            1 => {
                // An address.
                let mut name = vec![s.pick(&[1, 2, 10, 0]), 0, 15, 160 + s.below(4) as u8];
                name.extend_from_slice(&[127, 0, 0, 1, 0, 0, 0, 0]);
                g.ram.poke(at, &name);
            }
            _ => {
                let value = argument(s).to_ne_bytes();
                g.ram.poke(at, &value[..g.word.size()]);
            }
        }
    }
}

fn one(s: &mut Source<'_>, g: &mut Guest, call: Call, parked: &mut Vec<Pending>) {
    let fds = g.table.descriptors();
    let held = g.table.held();
    let sockets = g.host.socket_count();
    crate::trace(|| format!("{call:?}"));
    let mut pending = Pending::new(call, g.word);
    match g.attempt(&mut pending) {
        Progress::Blocked(wait) => {
            note((std::mem::discriminant(&call), "waits", wait.interest.bits()));
            if parked.len() < 12 {
                parked.push(pending);
            } else {
                g.give_up(pending);
            }
        }
        Progress::Ready(reply) if s.one_in(4) => {
            let value = reply.value;
            check_value(value);
            let told = trace::call(&call, g.word, value, &mut g.ram);
            if g.abandon(reply) == Abandoned::Undone {
                assert_eq!(
                    g.table.descriptors(),
                    fds,
                    "descriptors after {told}, abandoned"
                );
                assert_eq!(g.table.held(), held, "rights after {told}, abandoned");
                assert_eq!(
                    g.host.socket_count(),
                    sockets,
                    "sockets after {told}, abandoned"
                );
            } else {
                let fine = value >= 0 || value == Errno::EINPROGRESS.to_ret();
                assert!(fine, "{told} failed, and had an effect");
            }
        }
        Progress::Ready(reply) => {
            let value = g.deliver(reply);
            let told = trace::call(&call, g.word, value, &mut g.ram);
            assert!(told.contains(" = "), "{told}");
            crate::trace(|| told);
            note((std::mem::discriminant(&call), value.clamp(-200, 40)));
        }
    }
    g.settle();
}

fn resume(s: &mut Source<'_>, g: &mut Guest, parked: &mut Vec<Pending>) {
    if parked.is_empty() || s.one_in(2) {
        return;
    }
    let mut pending = parked.swap_remove(s.below(parked.len()));
    match s.below(6) {
        0 => g.give_up(pending),
        1 => g.interrupt(pending),
        n => {
            if n == 2 {
                pending.timed_out();
            }
            match g.attempt(&mut pending) {
                Progress::Ready(reply) => {
                    let value = g.deliver(reply);
                    note((
                        std::mem::discriminant(pending.call()),
                        "in the end",
                        value.signum(),
                    ));
                }
                Progress::Blocked(_) => parked.push(pending),
            }
        }
    }
    g.settle();
}
