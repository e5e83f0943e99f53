//! Random calls with random arguments: whatever a guest passes, nothing panics, and what it did not
//! hold at the end is not held.
#![allow(missing_docs)]

mod common;

use common::{BASE, Guest, SIZE};
use std::time::Duration;
use switchboard_abi::sysno::{Arch, Sysno, table};
use switchboard_abi::{Errno, Word};
use switchboard_syscall::{Abandoned, Pending, Progress, decode, trace};

/// splitmix64
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn argument(&mut self) -> u64 {
        match self.below(12) {
            0..4 => self.below(8),
            4..8 => BASE + self.below(64) * 64,
            8 => BASE + SIZE as u64 - self.below(40),
            9 => [
                u64::MAX,
                1 << 31,
                (1 << 32) - 1,
                1 << 63,
                0x7fff_ffff_ffff_fff0,
                8,
            ][self.below(6) as usize],
            10 => self.below(300),
            _ => 1 << self.below(32),
        }
    }
}

fn run(seed: u64, word: Word) {
    let mut r = Random(seed);
    let mut g = Guest::new(word);
    let arch = if word == Word::Lp64 {
        Arch::X86_64
    } else {
        Arch::I386
    };
    let mut parked: Vec<Pending> = Vec::new();
    for _ in 0..300 {
        // Memory full of small numbers and of pointers into itself.
        for _ in 0..16 {
            let (at, value) = (BASE + r.below(1024) * 4, r.argument());
            g.poke_words(at, &[value]);
        }
        let numbers = table(arch);
        let (nr, sysno) = numbers[r.below(numbers.len() as u64) as usize];
        let mut args = [0; 6].map(|_: u64| r.argument());
        if sysno == Sysno::Socketcall {
            args[0] = r.below(22);
        }
        // Sockets that exist make the other calls worth making.
        if r.below(4) == 0 {
            let domain = [1, 2, 10][r.below(3) as usize];
            let _ = g.socket(domain, [1, 2][r.below(2) as usize]);
            if g.table.files.len() > 40 {
                break;
            }
        }
        let Ok(Some(call)) = decode(arch, nr, args, &mut g.ram) else {
            continue;
        };
        let mut pending = Pending::new(call, word);
        match g.attempt(&mut pending) {
            Progress::Blocked(_) => {
                if parked.len() < 16 {
                    parked.push(pending);
                } else {
                    g.give_up(pending);
                }
            }
            Progress::Ready(reply) if r.below(3) == 0 => {
                let told = trace::call(&call, word, reply.value, &mut g.ram);
                assert!(told.contains(" = "), "{told}");
                let value = reply.value;
                let what = format!("{:?}", reply.effect);
                if g.abandon(reply) == Abandoned::Happened {
                    assert!(
                        value >= 0 || value == Errno::EINPROGRESS.to_ret(),
                        "{told} {what}"
                    );
                }
            }
            Progress::Ready(reply) => {
                let value = g.deliver(reply);
                let told = trace::call(&call, word, value, &mut g.ram);
                assert!(value >= -133, "{told}");
            }
        }
        g.now += Duration::from_millis(r.below(50));
        g.host.handle_timeout(g.now);
        if let Some(mut pending) = parked.pop() {
            match g.attempt(&mut pending) {
                Progress::Ready(reply) => {
                    let _ = g.deliver(reply);
                }
                Progress::Blocked(_) if r.below(2) == 0 => g.give_up(pending),
                Progress::Blocked(_) => parked.push(pending),
            }
        }
    }
    for pending in parked {
        g.give_up(pending);
    }
    // What is still in flight lies in queues of sockets.
    assert!(g.table.held() == 0 || g.host.socket_count() > 0);
}

#[test]
fn random_calls() {
    for seed in 0..400 {
        for word in [Word::Lp64, Word::Ilp32] {
            let result = std::panic::catch_unwind(|| run(seed, word));
            assert!(result.is_ok(), "seed {seed}, {word:?}");
        }
    }
}
