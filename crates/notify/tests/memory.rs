//! RemoteMemory against a live child: exact counts at a fault, vectors longer than IOV_MAX.

mod common;

use std::io::{IoSlice, IoSliceMut};

use common::{Kid, guarded};
use switchboard_notify::{MemoryError, RemoteMemory, RemoteSlice};

const PAGE: usize = 4096;

fn pauses() -> i32 {
    loop {
        // SAFETY: no memory involved.
        unsafe { libc::pause() };
    }
}

/// A child with 20 readable pages of a pattern and a page without access behind.
fn child() -> (Kid, u64, [RemoteMemory; 2]) {
    let base = guarded(21);
    for i in 0..20 * PAGE {
        // SAFETY: within the mapping, which nobody else uses.
        unsafe { base.add(i).write(pattern(i)) };
    }
    let kid = Kid::fork(pauses);
    let memory = RemoteMemory::new(kid.0);
    (kid, base as u64, [memory, memory.through_proc()])
}

fn pattern(i: usize) -> u8 {
    (i * 7 + i / 256) as u8
}

#[test]
fn read_stops_exactly_at_the_fault() {
    let (_kid, base, ways) = child();
    let end = base + 20 * PAGE as u64;
    for memory in ways {
        for before in [
            0,
            1,
            10,
            PAGE - 1,
            PAGE,
            PAGE + 1,
            3 * PAGE + 5,
            17 * PAGE,
            20 * PAGE,
        ] {
            let mut buffer = vec![0xaa; before + 3 * PAGE];
            assert_eq!(memory.read(end - before as u64, &mut buffer), Ok(before));
            let first = 20 * PAGE - before;
            assert!(
                buffer[..before]
                    .iter()
                    .enumerate()
                    .all(|(i, &b)| b == pattern(first + i))
            );
            assert!(
                buffer[before..].iter().all(|&b| b == 0xaa),
                "touched behind the fault"
            );
        }
    }
}

#[test]
fn write_stops_exactly_at_the_fault() {
    let (_kid, base, ways) = child();
    let end = base + 20 * PAGE as u64;
    for (round, memory) in ways.into_iter().enumerate() {
        for before in [0, 1, PAGE - 1, PAGE + 1, 17 * PAGE + 3] {
            let bytes = vec![before as u8 ^ round as u8; before + PAGE];
            assert_eq!(memory.write(end - before as u64, &bytes), Ok(before));
            let mut back = vec![0; before];
            assert_eq!(memory.read(end - before as u64, &mut back), Ok(before));
            assert_eq!(back, bytes[..before]);
        }
    }
}

#[test]
fn nonsense_addresses_fault_at_once() {
    let (_kid, _, ways) = child();
    for memory in ways {
        for address in [
            0,
            1,
            0x1000,
            u64::MAX,
            u64::MAX - 3,
            1 << 63,
            0xffff_8000_0000_0000,
        ] {
            assert_eq!(memory.read(address, &mut [0; 16]), Ok(0), "{address:#x}");
            assert_eq!(memory.write(address, &[0; 16]), Ok(0), "{address:#x}");
        }
        assert_eq!(memory.read(0, &mut []), Ok(0));
    }
}

#[test]
fn a_fault_between_pieces() {
    let (_kid, base, ways) = child();
    let end = base + 20 * PAGE as u64;
    let remote = [
        RemoteSlice {
            address: base,
            len: 5,
        },
        RemoteSlice {
            address: base + 100,
            len: 0,
        },
        RemoteSlice {
            address: end - 3,
            len: 10,
        },
        RemoteSlice {
            address: base,
            len: 10,
        },
    ];
    for memory in ways {
        let (mut one, mut two) = ([0; 7], [0; 50]);
        let mut local = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!(memory.read_vectored(&remote, &mut local), Ok(8));
        assert_eq!(one[..5], [0, 1, 2, 3, 4].map(pattern));
        assert_eq!(one[5], pattern(20 * PAGE - 3));
        assert_eq!(two[0], pattern(20 * PAGE - 1));
        assert_eq!(two[1], 0);
    }
}

#[test]
fn absurd_lengths_do_no_harm() {
    let (_kid, base, ways) = child();
    let remote = [
        RemoteSlice {
            address: base,
            len: u64::MAX,
        },
        RemoteSlice {
            address: 0,
            len: u64::MAX,
        },
    ];
    for memory in ways {
        let mut buffer = [0; 100];
        assert_eq!(
            memory.read_vectored(&remote, &mut [IoSliceMut::new(&mut buffer)]),
            Ok(100)
        );
        assert_eq!(buffer[99], pattern(99));
    }
}

#[test]
fn more_pieces_than_one_call_takes() {
    let (_kid, base, ways) = child();
    // 3000 pieces of 1 to 3 bytes on the other side, 2500 of 2 here.
    let remote: Vec<RemoteSlice> = (0..3000u64)
        .map(|i| RemoteSlice {
            address: base + i * 20,
            len: i % 3 + 1,
        })
        .collect();
    let expected: Vec<u8> = (0..3000usize)
        .flat_map(|i| (0..i % 3 + 1).map(move |j| pattern(i * 20 + j)))
        .take(5000)
        .collect();
    for memory in ways {
        let mut buffer = vec![0; 5000];
        let mut local: Vec<IoSliceMut<'_>> = buffer.chunks_mut(2).map(IoSliceMut::new).collect();
        assert_eq!(memory.read_vectored(&remote, &mut local), Ok(5000));
        assert_eq!(buffer, expected);

        let reversed: Vec<u8> = expected.iter().map(|b| !b).collect();
        let pieces: Vec<IoSlice<'_>> = reversed.chunks(3).map(IoSlice::new).collect();
        assert_eq!(memory.write_vectored(&remote, &pieces), Ok(5000));
        let mut local: Vec<IoSliceMut<'_>> = buffer.chunks_mut(7).map(IoSliceMut::new).collect();
        assert_eq!(memory.read_vectored(&remote, &mut local), Ok(5000));
        assert_eq!(buffer, reversed);
        let pieces: Vec<IoSlice<'_>> = expected.chunks(3).map(IoSlice::new).collect();
        assert_eq!(memory.write_vectored(&remote, &pieces), Ok(5000));
    }
}

/// /proc/PID/mem would write through read-only pages; a system call never does.
#[test]
fn protections_hold_both_ways() {
    let base = guarded(3);
    // SAFETY: our mapping, which nobody else uses.
    let protected = unsafe { libc::mprotect(base.cast(), PAGE, libc::PROT_READ) };
    assert_eq!(protected, 0);
    let kid = Kid::fork(pauses);
    for memory in [
        RemoteMemory::new(kid.0),
        RemoteMemory::new(kid.0).through_proc(),
    ] {
        assert_eq!(memory.write(base as u64, &[1; 8]), Ok(0));
        assert_eq!(memory.read(base as u64, &mut [0; 8]), Ok(8));
        assert_eq!(memory.write(base as u64 + PAGE as u64, &[1; 8]), Ok(8));
        assert_eq!(
            memory.read(base as u64 + 2 * PAGE as u64, &mut [0; 8]),
            Ok(0)
        );
    }
}

/// process_vm_readv(2) refuses what a processor without such a protection lets the kernel read.
#[test]
fn pages_to_be_written_are_read() {
    let base = guarded(2);
    // SAFETY: our mapping, which nobody else uses.
    unsafe {
        base.write(7);
        let protected = libc::mprotect(base.cast(), PAGE, libc::PROT_WRITE);
        assert_eq!(protected, 0);
    }
    let kid = Kid::fork(pauses);
    for memory in [
        RemoteMemory::new(kid.0),
        RemoteMemory::new(kid.0).through_proc(),
    ] {
        let mut out = [0; 2 * PAGE];
        assert_eq!(memory.read(base as u64, &mut out[..8]), Ok(8));
        assert_eq!(out[0], 7);
        assert_eq!(memory.read(base as u64, &mut out), Ok(PAGE));
    }
}

#[test]
fn a_dead_process_is_gone() {
    let kid = Kid::fork(|| 0);
    let memory = RemoteMemory::new(kid.0);
    assert_eq!(kid.wait(), 0);
    assert_eq!(memory.read(0x1000, &mut [0; 8]), Err(MemoryError::Gone));
    assert_eq!(
        memory.through_proc().read(0x1000, &mut [0; 8]),
        Err(MemoryError::Gone)
    );
}
