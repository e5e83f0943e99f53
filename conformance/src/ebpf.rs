//! Extended BPF programs, and the calls of bpf(2).

use crate::check::{Got, fail};
use crate::kernel::Kernel;
use crate::names::ret_name;
use crate::sys::Fd;

/// `struct bpf_insn`
pub(crate) const fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> [u8; 8] {
    let (o, i) = (off.to_le_bytes(), imm.to_le_bytes());
    [code, dst | src << 4, o[0], o[1], i[0], i[1], i[2], i[3]]
}

pub(crate) const fn mov(dst: u8, imm: i32) -> [u8; 8] {
    insn(0xb7, dst, 0, 0, imm)
}

pub(crate) const fn mov_reg(dst: u8, src: u8) -> [u8; 8] {
    insn(0xbf, dst, src, 0, 0)
}

pub(crate) const fn call(helper: i32) -> [u8; 8] {
    insn(0x85, 0, 0, 0, helper)
}

pub(crate) const EXIT: [u8; 8] = insn(0x95, 0, 0, 0, 0);

/// A map by its descriptor: two places.
pub(crate) const fn map_fd(dst: u8, fd: Fd) -> [[u8; 8]; 2] {
    [insn(0x18, dst, 1, 0, fd as i32), [0; 8]]
}

pub(crate) const SOCKET_FILTER: u32 = 1;
pub(crate) const SK_REUSEPORT: u32 = 21;

pub(crate) const HASH: u32 = 1;
pub(crate) const ARRAY: u32 = 2;
pub(crate) const REUSEPORT_SOCKARRAY: u32 = 20;

/// `union bpf_attr` of `words`, which follow each other.
pub(crate) fn attr(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn halves(value: u64) -> [u32; 2] {
    [value as u32, (value >> 32) as u32]
}

impl<'k> dyn Kernel + 'k {
    /// `bpf(cmd, attr, size)`
    pub(crate) fn bpf(&mut self, cmd: u32, attr: &mut [u8]) -> i64 {
        let args = [cmd.into(), attr.as_mut_ptr() as u64, attr.len() as u64];
        self.call(libc::SYS_bpf, &args)
    }

    /// Whether bpf(2) is there for who asks; else the body has nothing to look at.
    pub(crate) fn bpf_is_there(&mut self) -> bool {
        let got = self.map_create(ARRAY, 4, 4, 1);
        if got >= 0 {
            self.close(got);
        }
        got >= 0
    }

    pub(crate) fn map_create(&mut self, kind: u32, key: u32, value: u32, max: u32) -> i64 {
        self.bpf(0, &mut attr(&[kind, key, value, max, 0]))
    }

    fn element(&mut self, cmd: u32, map: Fd, key: &[u8], value: u64, flags: u64) -> i64 {
        let mut words = vec![map as u32, 0];
        words.extend(halves(key.as_ptr() as u64));
        words.extend(halves(value));
        words.extend(halves(flags));
        let bytes = if cmd == 3 { 16 } else { 32 };
        self.bpf(cmd, &mut attr(&words)[..bytes])
    }

    pub(crate) fn map_lookup(&mut self, map: Fd, key: &[u8], value: &mut [u8]) -> i64 {
        self.element(1, map, key, value.as_mut_ptr() as u64, 0)
    }

    pub(crate) fn map_update(&mut self, map: Fd, key: &[u8], value: &[u8], flags: u64) -> i64 {
        self.element(2, map, key, value.as_ptr() as u64, flags)
    }

    pub(crate) fn map_delete(&mut self, map: Fd, key: &[u8]) -> i64 {
        self.element(3, map, key, 0, 0)
    }

    /// `BPF_MAP_GET_NEXT_KEY`; without a key it begins.
    pub(crate) fn map_next(&mut self, map: Fd, key: Option<&[u8]>, next: &mut [u8]) -> i64 {
        let mut words = vec![map as u32, 0];
        words.extend(halves(key.map_or(0, |key| key.as_ptr() as u64)));
        words.extend(halves(next.as_mut_ptr() as u64));
        self.bpf(4, &mut attr(&words))
    }

    /// `BPF_PROG_LOAD`: the result, and the log.
    pub(crate) fn prog_load(&mut self, kind: u32, program: &[[u8; 8]]) -> (i64, String) {
        self.prog_load_as(kind, 0, program)
    }

    /// The same with `expected_attach_type`.
    pub(crate) fn prog_load_as(
        &mut self,
        kind: u32,
        attach: u32,
        program: &[[u8; 8]],
    ) -> (i64, String) {
        let insns = program.concat();
        let mut log = vec![0u8; 65536];
        let license = c"GPL";
        let mut words = vec![kind, program.len() as u32];
        words.extend(halves(insns.as_ptr() as u64));
        words.extend(halves(license.as_ptr() as u64));
        words.extend([1, log.len() as u32]);
        words.extend(halves(log.as_mut_ptr() as u64));
        // kern_version, prog_flags, prog_name, prog_ifindex
        words.extend([0; 7]);
        words.push(attach);
        let got = self.bpf(5, &mut attr(&words));
        let end = log.iter().position(|byte| *byte == 0).unwrap_or(0);
        (got, String::from_utf8_lossy(&log[..end]).into_owned())
    }

    /// A program that must load.
    pub(crate) fn program(&mut self, kind: u32, program: &[[u8; 8]]) -> Got<Fd> {
        self.program_as(kind, 0, program)
    }

    /// The same with `expected_attach_type`.
    pub(crate) fn program_as(&mut self, kind: u32, attach: u32, program: &[[u8; 8]]) -> Got<Fd> {
        match self.prog_load_as(kind, attach, program) {
            (fd, _) if fd >= 0 => Ok(fd),
            (got, log) => fail("prog_load", format!("{}: {log}", ret_name(got))),
        }
    }
}
