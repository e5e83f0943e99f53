//! /proc/TID/status: who a thread is.

/// What /proc/TID/status says, as far as a socket layer asks. User and group IDs are as our user
/// namespace sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The process's ID: `getpid()` of the thread.
    pub tgid: i32,
    /// The parent process.
    pub ppid: i32,
    /// The process's file mode creation mask.
    pub umask: u32,
    /// Real, effective, saved and file system user ID.
    pub uid: [u32; 4],
    /// Real, effective, saved and file system group ID.
    pub gid: [u32; 4],
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Inheritable capabilities, bit n for capability n.
    pub cap_inheritable: u64,
    /// Permitted capabilities.
    pub cap_permitted: u64,
    /// Effective capabilities: those that decide.
    pub cap_effective: u64,
    /// Signals pending for this thread or its process, blocked ones included; bit n-1 for signal n.
    pub signals_pending: u64,
    /// Of these, the signals pending for this thread alone.
    pub thread_signals_pending: u64,
    /// How many threads the process has.
    pub threads: u32,
    /// The thread is stopped by a signal (state T).
    pub stopped: bool,
    /// Signals this thread blocks, bit n-1 for signal n.
    pub signals_blocked: u64,
    /// Signals the process ignores.
    pub signals_ignored: u64,
    /// Signals the process catches.
    pub signals_caught: u64,
}

impl Status {
    /// Parses the file. `None`: a line that has been there since Linux 4.7 is missing.
    pub(crate) fn parse(text: &[u8]) -> Option<Status> {
        let mut status = Status::default();
        let mut seen = 0u32;
        for line in text.split(|&byte| byte == b'\n') {
            // The value of Name can hold anything but a newline; no other line matters before its colon.
            let Some(colon) = line.iter().position(|&byte| byte == b':') else {
                continue;
            };
            let Ok(value) = core::str::from_utf8(&line[colon + 1..]) else {
                continue;
            };
            let value = value.trim_ascii();
            let bit = match &line[..colon] {
                b"Umask" => {
                    status.umask = u32::from_str_radix(value, 8).ok()?;
                    0
                }
                b"Tgid" => {
                    status.tgid = value.parse().ok()?;
                    1
                }
                b"PPid" => {
                    status.ppid = value.parse().ok()?;
                    2
                }
                b"Uid" => {
                    status.uid = four(value)?;
                    3
                }
                b"Gid" => {
                    status.gid = four(value)?;
                    4
                }
                b"Groups" => {
                    for group in value.split_ascii_whitespace() {
                        status.groups.push(group.parse().ok()?);
                    }
                    5
                }
                b"SigPnd" => {
                    status.thread_signals_pending = hex(value)?;
                    status.signals_pending |= status.thread_signals_pending;
                    12
                }
                b"Threads" => {
                    status.threads = value.parse().ok()?;
                    14
                }
                b"State" => {
                    status.stopped = value.starts_with('T');
                    15
                }
                b"ShdPnd" => {
                    status.signals_pending |= hex(value)?;
                    13
                }
                b"SigBlk" => {
                    status.signals_blocked = hex(value)?;
                    6
                }
                b"SigIgn" => {
                    status.signals_ignored = hex(value)?;
                    7
                }
                b"SigCgt" => {
                    status.signals_caught = hex(value)?;
                    8
                }
                b"CapInh" => {
                    status.cap_inheritable = hex(value)?;
                    9
                }
                b"CapPrm" => {
                    status.cap_permitted = hex(value)?;
                    10
                }
                b"CapEff" => {
                    status.cap_effective = hex(value)?;
                    11
                }
                _ => continue,
            };
            seen |= 1 << bit;
        }
        (seen == (1 << 16) - 1).then_some(status)
    }
}

fn four(value: &str) -> Option<[u32; 4]> {
    let mut words = value.split_ascii_whitespace().map(|word| word.parse().ok());
    Some([
        words.next()??,
        words.next()??,
        words.next()??,
        words.next()??,
    ])
}

fn hex(value: &str) -> Option<u64> {
    u64::from_str_radix(value, 16).ok()
}
