//! Classic filters, differentially: random programs on the host's kernel and on the library. Both take or refuse
//! the same ones, and what they take lets pass the same bytes of the same messages.
#![allow(missing_docs)]

use switchboard_conformance::{Addr, HostKernel, Kernel, LibraryKernel};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// Loads of the packet, of memory and of lengths; arithmetic; jumps.
const LOADS: &[u16] = &[
    0x20, 0x28, 0x30, 0x40, 0x48, 0x50, 0x00, 0x60, 0x80, 0x01, 0x61, 0x81, 0xb1, 0x02, 0x03,
];
const ARITHMETIC: &[u16] = &[
    0x04, 0x0c, 0x14, 0x1c, 0x24, 0x2c, 0x34, 0x3c, 0x44, 0x4c, 0x54, 0x5c, 0x64, 0x6c, 0x74, 0x7c,
    0x84, 0x94, 0x9c, 0xa4, 0xac, 0x07, 0x87,
];
const JUMPS: &[u16] = &[0x05, 0x15, 0x1d, 0x25, 0x2d, 0x35, 0x3d, 0x45, 0x4d];

/// Ancillary data that is the same on every machine: not the hash, the processor, random numbers.
const ANCILLARY: &[i32] = &[0, 4, 8, 12, 16, 20, 24, 28, 40, 44, 48, 52, 60];

/// Places in the IPv4 header and before it whose bytes do not differ from packet to packet.
const HEADERS: &[(u16, i32)] = &[
    (0x20, -0x10_0000),
    (0x28, -0x10_0000 + 2),
    (0x28, -0x10_0000 + 8),
    (0x20, -0x10_0000 + 12),
    (0x30, -0x10_0000 + 9),
    (0x20, -0x10_0000 + 24),
    (0x20, -0x20_0000),
    (0x28, -0x20_0000 + 12),
    (0x20, -0x20_0000 - 8),
];

fn program(r: &mut Random) -> Vec<libc::sock_filter> {
    let len = 1 + r.below(30);
    let mut all = Vec::new();
    for at in 0..len {
        let left = len - at;
        let mut insn = match r.below(10) {
            0..4 => {
                let code = r.pick(LOADS);
                let k = match code {
                    0x60 | 0x61 | 0x02 | 0x03 => r.below(4) as u32,
                    0x00 | 0x01 if r.one_in(4) => r.next() as u32 >> r.below(32),
                    _ => r.below(70) as u32,
                };
                libc::sock_filter {
                    code,
                    jt: 0,
                    jf: 0,
                    k,
                }
            }
            4 if r.one_in(2) => {
                let (code, k) = r.pick(HEADERS);
                libc::sock_filter {
                    code,
                    jt: 0,
                    jf: 0,
                    k: k as u32,
                }
            }
            4 => libc::sock_filter {
                code: r.pick(&[0x20, 0x28, 0x30]),
                jt: 0,
                jf: 0,
                k: (-0x1000 + r.pick(ANCILLARY)) as u32,
            },
            5..8 => libc::sock_filter {
                code: r.pick(ARITHMETIC),
                jt: 0,
                jf: 0,
                k: if r.one_in(3) {
                    r.next() as u32 >> r.below(32)
                } else {
                    r.below(33) as u32
                },
            },
            _ => libc::sock_filter {
                code: r.pick(JUMPS),
                jt: r.below(left) as u8,
                jf: r.below(left) as u8,
                k: r.below(left.max(2)) as u32,
            },
        };
        if r.one_in(200) {
            insn.code = r.next() as u16 >> r.below(16);
        }
        all.push(insn);
    }
    all.push(libc::sock_filter {
        code: r.pick(&[0x06, 0x16, 0x16]),
        jt: 0,
        jf: 0,
        k: r.below(60) as u32,
    });
    all
}

fn call(k: &mut dyn Kernel, nr: i64, args: &[u64]) -> i64 {
    let mut six = [0; 6];
    six[..args.len()].copy_from_slice(args);
    k.syscall(nr, six)
}

/// Two pairs of connected sockets: AF_UNIX datagrams, and UDP on these ports (0: any).
fn sockets(k: &mut dyn Kernel, ports: [u16; 2]) -> ([(i64, i64); 2], [u16; 2]) {
    let kind = (libc::SOCK_DGRAM | libc::SOCK_NONBLOCK) as u64;
    let mut pair = [0i32; 2];
    let at = pair.as_mut_ptr() as u64;
    assert_eq!(
        call(
            k,
            libc::SYS_socketpair,
            &[libc::AF_UNIX as u64, kind, 0, at]
        ),
        0
    );
    let mut fds = [0; 2];
    let mut bound = [0; 2];
    for (n, port) in ports.into_iter().enumerate() {
        fds[n] = call(k, libc::SYS_socket, &[libc::AF_INET as u64, kind, 0]);
        let mut addr = Addr::lo4(port).0;
        let bytes = [fds[n] as u64, addr.as_ptr() as u64, addr.len() as u64];
        assert_eq!(call(k, libc::SYS_bind, &bytes), 0, "port {port}");
        let mut len = addr.len() as u32;
        let bytes = [fds[n] as u64, addr.as_mut_ptr() as u64, &raw mut len as u64];
        assert_eq!(call(k, libc::SYS_getsockname, &bytes), 0);
        bound[n] = u16::from_be_bytes([addr[2], addr[3]]);
    }
    for n in 0..2 {
        let addr = Addr::lo4(bound[1 - n]).0;
        let bytes = [fds[n] as u64, addr.as_ptr() as u64, addr.len() as u64];
        assert_eq!(call(k, libc::SYS_connect, &bytes), 0);
    }
    let unix = (pair[0].into(), pair[1].into());
    ([unix, (fds[0], fds[1])], bound)
}

/// What became of a program and of a message under it.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    attached: i64,
    received: i64,
    bytes: Vec<u8>,
}

fn outcome(
    k: &mut dyn Kernel,
    (from, to): (i64, i64),
    program: &[libc::sock_filter],
    message: &[u8],
) -> Outcome {
    let mut fprog = (program.len() as u16).to_ne_bytes().to_vec();
    fprog.resize(8, 0);
    fprog.extend((program.as_ptr() as u64).to_ne_bytes());
    let attach = [
        to as u64,
        libc::SOL_SOCKET as u64,
        libc::SO_ATTACH_FILTER as u64,
        fprog.as_ptr() as u64,
        16,
    ];
    let attached = call(k, libc::SYS_setsockopt, &attach);
    let (at, len) = (message.as_ptr() as u64, message.len() as u64);
    let sent = call(k, libc::SYS_sendto, &[from as u64, at, len]);
    assert_eq!(sent, message.len() as i64);
    let mut bytes = vec![0; 256];
    let room = [to as u64, bytes.as_mut_ptr() as u64, 256];
    let received = call(k, libc::SYS_recvfrom, &room);
    bytes.truncate(received.max(0) as usize);
    Outcome {
        attached,
        received,
        bytes,
    }
}

#[test]
fn random_programs_decide_alike() {
    let mut host = HostKernel::new();
    let mut library = LibraryKernel::new(false);
    let (on_host, ports) = sockets(&mut host, [0, 0]);
    let (on_library, _) = sockets(&mut library, ports);
    let mut taken = 0;
    for seed in 1..=6000 {
        let mut r = Random(seed);
        let program = program(&mut r);
        let message: Vec<u8> = (0..r.below(80))
            .map(|_| r.next() as u8 >> r.below(8))
            .collect();
        for kind in 0..2 {
            let want = outcome(&mut host, on_host[kind], &program, &message);
            let got = outcome(&mut library, on_library[kind], &program, &message);
            assert_eq!(
                want, got,
                "seed {seed}, kind {kind}: {program:x?} {message:x?}"
            );
            taken += u32::from(want.attached == 0);
        }
    }
    // They are not refused all the same.
    assert!(taken > 2000, "{taken} were valid");
}
