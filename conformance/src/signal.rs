//! Signals for bodies: a timer that strikes, and signals that wait to be taken.

use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

/// How often the timer has struck.
static STRUCK: AtomicU32 = AtomicU32::new(0);
/// At which stroke the handler helps, and the descriptor it writes a byte to.
static HELP_AT: AtomicU32 = AtomicU32::new(0);
static HELP_FD: AtomicI32 = AtomicI32::new(-1);

extern "C" fn strike(_: libc::c_int) {
    let n = STRUCK.fetch_add(1, Ordering::Relaxed) + 1;
    if n == HELP_AT.load(Ordering::Relaxed) {
        // SAFETY: write is async-signal-safe and reads one byte of a static. errno is the interrupted
        // call's to set afterwards.
        unsafe { libc::write(HELP_FD.load(Ordering::Relaxed), b"!".as_ptr().cast(), 1) };
    }
}

/// SIGALRM at an interval, with a handler. Ends when dropped.
pub(crate) struct Timer(());

impl Timer {
    /// Strikes every `every`; calls are restarted if `restart` and the call allows it.
    pub(crate) fn start(every: Duration, restart: bool) -> Timer {
        STRUCK.store(0, Ordering::Relaxed);
        HELP_AT.store(0, Ordering::Relaxed);
        // SAFETY: the handler does what is safe in one; the structures are locals, zero is valid in them.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = strike as *const () as usize;
            action.sa_flags = if restart { libc::SA_RESTART } else { 0 };
            libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut());
        }
        Timer::arm(every);
        Timer(())
    }

    fn arm(every: Duration) {
        let interval = libc::timeval {
            tv_sec: 0,
            tv_usec: i64::from(every.subsec_micros()),
        };
        let value = libc::itimerval {
            it_interval: interval,
            it_value: interval,
        };
        // SAFETY: `value` is a local.
        unsafe { libc::setitimer(libc::ITIMER_REAL, &value, std::ptr::null_mut()) };
    }

    /// At stroke `n` the handler writes a byte to `fd`.
    pub(crate) fn help(&self, n: u32, fd: i64) {
        HELP_FD.store(fd as i32, Ordering::Relaxed);
        HELP_AT.store(n, Ordering::Relaxed);
    }

    /// How often it has struck.
    pub(crate) fn struck(&self) -> u32 {
        STRUCK.load(Ordering::Relaxed)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        Timer::arm(Duration::ZERO);
    }
}

/// Blocks a signal in this thread, so that it waits for [`taken`].
pub(crate) fn hold(signal: i32) {
    // SAFETY: a local set; blocking a signal changes nothing that Rust relies on.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
    }
}

/// What a signal that was held says: `si_code`, `si_band` and `si_fd`. A plain SIGIO or SIGURG says
/// no more than that it is the kernel's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raised {
    /// `si_code`
    pub code: i32,
    /// `si_band`
    pub band: i64,
    /// `si_fd`
    pub fd: i32,
}

/// The held signal, if it comes in time.
pub(crate) fn raised(signal: i32, wait: Duration) -> Option<Raised> {
    // SAFETY: locals; the members read are those that a SIGPOLL-like siginfo has, and zeroes otherwise:
    // _sifields begins at offset 16 on 64-bit Linux, si_band (long) first, si_fd after it.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        let wait = libc::timespec {
            tv_sec: wait.as_secs() as i64,
            tv_nsec: i64::from(wait.subsec_nanos()),
        };
        let mut info: libc::siginfo_t = std::mem::zeroed();
        if libc::sigtimedwait(&set, &mut info, &wait) != signal {
            return None;
        }
        let fields = (&raw const info).cast::<u8>().add(16);
        Some(Raised {
            code: info.si_code,
            band: fields.cast::<i64>().read(),
            fd: fields.add(8).cast::<i32>().read(),
        })
    }
}

/// Of the held signal, if it comes in time: `si_band` (poll events) and `si_fd`.
pub(crate) fn taken(signal: i32, wait: Duration) -> Option<(i64, i32)> {
    raised(signal, wait).map(|raised| (raised.band, raised.fd))
}
