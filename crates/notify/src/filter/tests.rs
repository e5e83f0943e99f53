//! The assembled program is run by an evaluator of its own and compared with the table, call by
//! call.

use super::*;

/// Runs a program as kernel/seccomp.c would; also says how many instructions it took and whether an
/// argument was loaded.
fn run(filter: &Filter, data: &Data) -> (u32, usize, bool) {
    let mut words = [0u32; 16];
    words[0] = data.nr as u32;
    words[1] = data.arch;
    for (i, arg) in data.args.iter().enumerate() {
        words[4 + 2 * i] = *arg as u32;
        words[5 + 2 * i] = (*arg >> 32) as u32;
    }
    let program = filter.instructions();
    let (mut pc, mut a, mut steps, mut looked) = (0usize, 0u32, 0usize, false);
    loop {
        let i = program[pc];
        pc += 1;
        steps += 1;
        match i.code {
            LD_ABS => {
                assert_eq!(i.k % 4, 0);
                looked |= i.k >= 8;
                a = words[i.k as usize / 4];
            }
            AND_K => a &= i.k,
            JA => pc += i.k as usize,
            JEQ => pc += usize::from(if a == i.k { i.jt } else { i.jf }),
            JGE => pc += usize::from(if a >= i.k { i.jt } else { i.jf }),
            RET_K => return (i.k, steps, looked),
            code => panic!("instruction {code:#x} is not one we emit"),
        }
    }
}

/// What the table says, by reading it from top to bottom.
fn expected(table: &RuleTable, data: &Data) -> u32 {
    let nr = data.nr as u32;
    let rules = match data.arch {
        ARCH_X86_64 if nr == SKIPPED => return libc::SECCOMP_RET_ALLOW,
        ARCH_X86_64 if nr >= X32_BIT => {
            return libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
        }
        ARCH_X86_64 => &table.x86_64,
        ARCH_I386 => &table.i386,
        _ => return libc::SECCOMP_RET_KILL_PROCESS,
    };
    for rule in rules.iter().filter(|rule| rule.nr == nr) {
        if rule.args.iter().all(|arg| {
            arg.values
                .contains(&(data.args[usize::from(arg.index)] as u32 & arg.mask))
        }) {
            return match rule.action {
                Action::Notify => libc::SECCOMP_RET_USER_NOTIF,
                Action::Errno(errno) => libc::SECCOMP_RET_ERRNO | errno.0 as u32,
                Action::Allow => libc::SECCOMP_RET_ALLOW,
            };
        }
    }
    libc::SECCOMP_RET_ALLOW
}

fn compare(table: &RuleTable, data: Data) {
    let filter = Filter::new(table).unwrap();
    assert_eq!(run(&filter, &data).0, expected(table, &data), "{data:?}");
}

fn call(arch: u32, nr: u32, args: [u64; 6]) -> Data {
    Data {
        nr: nr as i32,
        arch,
        instruction_pointer: 0,
        args,
    }
}

/// The shape of the runner's real table.
fn typical() -> RuleTable {
    let mut table = RuleTable::default();
    for nr in [0, 1, 3, 17, 18, 19, 20, 40, 257, 275, 288, 299, 307] {
        table.x86_64.push(Rule::new(nr, Action::Notify));
    }
    for nr in 41..=55 {
        table.x86_64.push(Rule::new(nr, Action::Notify));
    }
    let commands: Vec<u32> = (0x8900..0x8990)
        .step_by(3)
        .chain([0x5421, 0x541b])
        .collect();
    table
        .x86_64
        .push(Rule::new(16, Action::Notify).when(1, u32::MAX, commands.clone()));
    table
        .x86_64
        .push(Rule::new(72, Action::Notify).when(1, u32::MAX, [4]));
    table
        .x86_64
        .push(Rule::new(425, Action::Errno(Errno(libc::ENOSYS))));
    for nr in [3, 4, 6, 102, 145, 146, 187, 239, 337, 345] {
        table.i386.push(Rule::new(nr, Action::Notify));
    }
    for nr in 359..=373 {
        table.i386.push(Rule::new(nr, Action::Notify));
    }
    table
        .i386
        .push(Rule::new(54, Action::Notify).when(1, u32::MAX, commands));
    table
        .i386
        .push(Rule::new(55, Action::Allow).when(1, u32::MAX, [3]));
    table.i386.push(
        Rule::new(55, Action::Notify)
            .when(1, 0xff, [4])
            .when(2, 0x800, [0x800]),
    );
    table
        .i386
        .push(Rule::new(55, Action::Errno(Errno(libc::EPERM))).when(2, 0x1, [1]));
    table
        .i386
        .push(Rule::new(425, Action::Errno(Errno(libc::ENOSYS))));
    table
}

#[test]
fn every_number_of_both_architectures() {
    let table = typical();
    let filter = Filter::new(&table).unwrap();
    let seconds = [
        0u64,
        3,
        4,
        0x104,
        0x8900,
        0x8903,
        0x8901,
        0x5421,
        0x5422,
        0xdead_0000_5421,
    ];
    for arch in [ARCH_X86_64, ARCH_I386] {
        for nr in (0..=600).chain([u32::MAX, X32_BIT - 1, X32_BIT, X32_BIT + 41, 1 << 31]) {
            for second in seconds {
                for third in [0u64, 1, 0x800, 0x801, u64::MAX] {
                    let data = call(arch, nr, [9, second, third, 9, 9, 9]);
                    assert_eq!(run(&filter, &data).0, expected(&table, &data), "{data:x?}");
                }
            }
        }
    }
}

#[test]
fn the_path_of_other_calls_is_short_and_looks_at_no_argument() {
    let table = typical();
    let filter = Filter::new(&table).unwrap();
    for arch in [ARCH_X86_64, ARCH_I386] {
        for nr in 0..=600 {
            let rules = if arch == ARCH_I386 {
                &table.i386
            } else {
                &table.x86_64
            };
            if rules.iter().any(|rule| rule.nr == nr) {
                continue;
            }
            let (outcome, steps, looked) = run(&filter, &call(arch, nr, [0; 6]));
            assert_eq!(outcome, libc::SECCOMP_RET_ALLOW);
            assert!(!looked, "the kernel's action cache would not take {nr}");
            assert!(steps <= 12, "{nr} took {steps}");
        }
    }
}

#[test]
fn unknown_architecture_dies() {
    compare(&typical(), call(0xc000_00b7, 0, [0; 6]));
    compare(&RuleTable::default(), call(0, 0, [0; 6]));
}

#[test]
fn empty_table_allows() {
    for arch in [ARCH_X86_64, ARCH_I386] {
        for nr in [0, 1, 600, X32_BIT, u32::MAX] {
            compare(&RuleTable::default(), call(arch, nr, [0; 6]));
        }
    }
}

/// Seeded tables, large enough that conditional jumps need trampolines.
#[test]
fn random_tables() {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move |bound: u32| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as u32) % bound
    };
    let mut longest = 0;
    for round in 0..60u32 {
        let mut table = RuleTable::default();
        for rules in [&mut table.x86_64, &mut table.i386] {
            for _ in 0..next(40 + round) {
                let nr = next(500);
                let action = match next(4) {
                    0 => Action::Allow,
                    1 => Action::Errno(Errno(1 + next(133) as i32)),
                    _ => Action::Notify,
                };
                let mut rule = Rule::new(nr, action);
                for _ in 0..next(3) {
                    let mask = [u32::MAX, 0xff, 0x7][next(3) as usize];
                    let values: Vec<u32> = (0..1 + next(30)).map(|_| next(300) & mask).collect();
                    rule = rule.when(next(6) as u8, mask, values);
                }
                let same = || rules.iter().filter(|other| other.nr == nr);
                if same().all(|other| !other.args.is_empty()) {
                    rules.push(rule);
                }
            }
        }
        let filter = Filter::new(&table).unwrap();
        longest = longest.max(filter.instructions().len());
        for _ in 0..4000 {
            let arch = [ARCH_X86_64, ARCH_I386][next(2) as usize];
            let args = core::array::from_fn(|_| u64::from(next(310)) | u64::from(next(2)) << 40);
            let data = call(arch, next(520), args);
            assert_eq!(
                run(&filter, &data).0,
                expected(&table, &data),
                "round {round} {data:x?}"
            );
        }
    }
    assert!(longest > 1000, "no long jump was ever needed: {longest}");
}

#[test]
fn neighbours_share_one_interval() {
    let mut table = RuleTable::default();
    for nr in 10..400 {
        table.x86_64.push(Rule::new(nr, Action::Notify));
    }
    // arch load, two arch tests, two loads of nr, four returns, and a handful of comparisons
    assert!(Filter::new(&table).unwrap().instructions().len() < 16);
}

#[test]
fn impossible_rules_are_refused() {
    let one = |rule: Rule| {
        Filter::new(&RuleTable {
            x86_64: vec![rule],
            i386: vec![],
        })
        .err()
    };
    let nr = 5;
    assert_eq!(
        one(Rule::new(nr, Action::Notify).when(6, 1, [1])),
        Some(FilterError::NoSuchArgument { nr, index: 6 })
    );
    assert_eq!(
        one(Rule::new(nr, Action::Notify).when(0, 1, [])),
        Some(FilterError::NeverTrue { nr })
    );
    assert_eq!(
        one(Rule::new(nr, Action::Notify).when(0, 1, [2])),
        Some(FilterError::NeverTrue { nr })
    );
    assert_eq!(
        one(Rule::new(nr, Action::Errno(Errno(4096)))),
        Some(FilterError::OutOfRange { nr })
    );
    assert_eq!(
        one(Rule::new(X32_BIT | 1, Action::Notify)),
        Some(FilterError::OutOfRange { nr: X32_BIT | 1 })
    );
    let twice = vec![Rule::new(nr, Action::Notify), Rule::new(nr, Action::Allow)];
    assert_eq!(
        Filter::new(&RuleTable {
            x86_64: twice,
            i386: vec![]
        })
        .err(),
        Some(FilterError::Unreachable { nr })
    );
    let many = (0..3000)
        .map(|nr| Rule::new(nr * 2, Action::Notify))
        .collect();
    assert!(matches!(
        Filter::new(&RuleTable {
            x86_64: many,
            i386: vec![]
        }),
        Err(FilterError::TooLong(_))
    ));
}
