use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;

use super::*;

const TOKEN: TimerToken = TimerToken::Tcp(TcpId {
    index: 7,
    generation: 1,
});

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

#[test]
fn fires_in_order_and_is_disarmed_by_firing() {
    let mut timers = Timers::new();
    let a = timers.create(TOKEN);
    let b = timers.create(TOKEN);
    assert_eq!(timers.next(), None);
    timers.arm(a, at(20));
    timers.arm(b, at(10));
    assert_eq!(timers.next(), Some(at(10)));
    assert_eq!(timers.pop_due(at(9)), None);
    assert_eq!(timers.pop_due(at(25)), Some((b, TOKEN)));
    assert_eq!(timers.deadline(b), None);
    assert_eq!(timers.pop_due(at(25)), Some((a, TOKEN)));
    assert_eq!(timers.pop_due(at(25)), None);
}

#[test]
fn the_next_deadline_is_exact_after_lazy_moves() {
    let mut timers = Timers::new();
    let a = timers.create(TOKEN);
    let b = timers.create(TOKEN);
    timers.arm(a, at(10));
    timers.arm(b, at(50));
    timers.arm(a, at(200));
    assert_eq!(timers.next(), Some(at(50)));
    timers.arm(b, Instant::MAX);
    assert_eq!(timers.next(), Some(at(200)));
    timers.remove(a);
    assert_eq!(timers.next(), None);
}

#[test]
fn rearming_a_thousand_times_keeps_one_entry() {
    let mut timers = Timers::new();
    let a = timers.create(TOKEN);
    for n in 0..1000 {
        timers.arm(a, at(n) + Duration::from_millis(200));
        timers.arm(a, at(n) + Duration::from_millis(40));
    }
    assert_eq!(timers.heap.len(), 1);
}

#[derive(Clone, Debug)]
enum Op {
    Create,
    Arm(prop::sample::Index, u64),
    Disarm(prop::sample::Index),
    Remove(prop::sample::Index),
    Advance(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        Just(Op::Create),
        (any::<prop::sample::Index>(), 0u64..500).prop_map(|(i, t)| Op::Arm(i, t)),
        (any::<prop::sample::Index>(), 0u64..500).prop_map(|(i, t)| Op::Arm(i, t)),
        any::<prop::sample::Index>().prop_map(Op::Disarm),
        any::<prop::sample::Index>().prop_map(Op::Remove),
        (0u64..20).prop_map(Op::Advance),
    ]
}

proptest! {
    /// Against a plain map: whatever the operations, the next deadline and the set that fires are the map's.
    #[test]
    fn agrees_with_a_plain_map(ops in prop::collection::vec(op(), 1..200)) {
        let mut timers = Timers::new();
        let mut ids: Vec<TimerId> = Vec::new();
        let mut model: BTreeMap<u32, Instant> = BTreeMap::new();
        let mut now = 0;
        for op in ops {
            match op {
                Op::Create => ids.push(timers.create(TOKEN)),
                _ if ids.is_empty() => {}
                Op::Arm(i, t) => {
                    let id = *i.get(&ids);
                    timers.arm(id, at(now + t));
                    model.insert(id.0, at(now + t));
                }
                Op::Disarm(i) => {
                    let id = *i.get(&ids);
                    timers.arm(id, Instant::MAX);
                    model.remove(&id.0);
                }
                Op::Remove(i) => {
                    let id = ids.swap_remove(i.index(ids.len()));
                    timers.remove(id);
                    model.remove(&id.0);
                }
                Op::Advance(t) => {
                    now += t;
                    let mut fired = Vec::new();
                    let mut last = Instant::BOOT;
                    while let Some(deadline) = timers.next().filter(|&d| d <= at(now)) {
                        prop_assert!(deadline >= last);
                        last = deadline;
                        fired.push(timers.pop_due(at(now)).unwrap().0.0);
                    }
                    fired.sort_unstable();
                    let due: Vec<u32> =
                        model.iter().filter(|(_, d)| **d <= at(now)).map(|(id, _)| *id).collect();
                    prop_assert_eq!(&fired, &due);
                    due.iter().for_each(|id| { model.remove(id); });
                }
            }
            prop_assert_eq!(timers.next(), model.values().min().copied());
        }
    }
}
