//! Lockstep
use crate::kernel::Kernel;
use std::io::Write;
/// o
#[derive(Clone, Copy, Debug)]
pub struct Options { /// s
 pub seed: u64, /// s
 pub sequences: u64, /// c
 pub calls: usize, /// t
 pub trace: bool }
/// run
pub fn run(_o: Options, _a: &dyn Fn() -> Box<dyn Kernel>, _b: &dyn Fn() -> Box<dyn Kernel>, _w: &mut dyn Write) -> std::io::Result<bool> { Ok(false) }
