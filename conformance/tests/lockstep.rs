//! The lockstep comparison finds a kernel that is wrong, and says where in few calls.

use std::time::Duration;
use switchboard_conformance::{HostKernel, Kernel, Needs, Ring, lockstep};

/// The host's kernel, except that one call's answer is spoiled.
struct Wrong {
    host: HostKernel,
    spoil: fn(i64, i64) -> i64,
}

impl Kernel for Wrong {
    fn name(&self) -> &'static str {
        "wrong"
    }

    fn syscall(&mut self, nr: i64, args: [u64; 6]) -> i64 {
        (self.spoil)(nr, self.host.syscall(nr, args))
    }

    fn socketcall(&mut self, call: u32, args: &[u64]) -> Option<i64> {
        self.host.socketcall(call, args)
    }

    fn int80(&mut self, nr: u32, args: [u32; 6]) -> Option<i64> {
        self.host.int80(nr, args)
    }

    fn poll(&mut self, fds: &mut [libc::pollfd], timeout_ms: i32) -> i64 {
        let got = self.host.poll(fds, timeout_ms);
        for fd in fds {
            fd.revents = (self.spoil)(libc::SYS_poll, i64::from(fd.revents)) as i16;
        }
        got
    }

    fn ring(&mut self, fd: i64, len: usize) -> Result<Box<dyn Ring>, i64> {
        self.host.ring(fd, len)
    }

    fn pause(&mut self, time: Duration) {
        self.host.pause(time);
    }

    fn another_thread(&self) -> Option<Box<dyn Kernel + Send>> {
        None
    }

    fn take_sigpipe(&mut self) -> Option<bool> {
        self.host.take_sigpipe()
    }

    fn drop_privileges(&mut self) -> bool {
        false
    }

    fn privileged(&self) -> bool {
        self.host.privileged()
    }

    fn descriptor_count(&self) -> Option<usize> {
        None
    }

    fn offers(&self) -> Needs {
        self.host.offers()
    }
}

/// Runs sequences of the host and of a wrong kernel; whether they agreed, and the report.
fn compare(sequences: u64, spoil: fn(i64, i64) -> i64) -> (bool, String) {
    let host = || -> Box<dyn Kernel> { Box::new(HostKernel::new()) };
    let wrong = || -> Box<dyn Kernel> {
        Box::new(Wrong {
            host: HostKernel::new(),
            spoil,
        })
    };
    let options = lockstep::Options {
        seed: 7,
        sequences,
        calls: 40,
        trace: false,
        stats: false,
    };
    let mut report = Vec::new();
    let agreed = lockstep::run(options, &host, &wrong, &mut report).unwrap_or(false);
    (agreed, String::from_utf8_lossy(&report).into_owned())
}

/// The fewest calls to which a difference was shrunk.
fn shortest(report: &str) -> usize {
    let counts = report
        .lines()
        .filter_map(|line| line.strip_suffix(" calls are enough:"));
    counts
        .filter_map(|n| n.parse().ok())
        .min()
        .unwrap_or(usize::MAX)
}

#[test]
fn an_honest_kernel_agrees() {
    let (agreed, report) = compare(200, |_, value| value);
    assert!(agreed, "{report}");
}

#[test]
fn a_wrong_errno_is_found() {
    let (agreed, report) = compare(60, |nr, value| {
        let eisconn = -i64::from(libc::EISCONN);
        if nr == libc::SYS_connect && value == eisconn {
            -i64::from(libc::EINVAL)
        } else {
            value
        }
    });
    assert!(!agreed, "{report}");
    assert!(
        report.contains("a: EISCONN") && report.contains("b: EINVAL"),
        "{report}"
    );
    assert!(shortest(&report) <= 4, "{report}");
}

#[test]
fn a_wrong_mask_is_found() {
    // RDHUP forgotten.
    let (agreed, report) = compare(8, |nr, value| {
        if nr == libc::SYS_poll {
            value & !i64::from(libc::POLLRDHUP)
        } else {
            value
        }
    });
    assert!(!agreed, "{report}");
    assert!(
        report.contains("masks a:") && shortest(&report) <= 3,
        "{report}"
    );
}

#[test]
fn a_short_count_is_found() {
    let (agreed, report) = compare(60, |nr, value| {
        if nr == libc::SYS_recvfrom && value > 1 {
            value - 1
        } else {
            value
        }
    });
    assert!(!agreed, "{report}");
    assert!(shortest(&report) <= 8, "{report}");
}
