//! The list of tests.

use crate::bodies;
use crate::check::Outcome;
use crate::kernel::Kernel;
use bitflags::bitflags;

bitflags! {
    /// What a body needs beyond socket calls and `poll`. A test is skipped on an arm that lacks it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Needs: u32 {
        /// The process must start as root.
        const ROOT = 1;
        /// A second thread that may block in a call ([`Kernel::another_thread`]).
        const THREADS = 1 << 1;
        /// epoll_create1, epoll_ctl and epoll_wait as system calls.
        const EPOLL = 1 << 2;
        /// Descriptors of pipes and regular files beside sockets, and the calls that every file has.
        const FILES = 1 << 3;
        /// AF_UNIX sockets have names in a file system.
        const PATHS = 1 << 4;
        /// SIGPIPE can be observed ([`Kernel::take_sigpipe`]).
        const SIGPIPE = 1 << 5;
        /// Calls that block until a timeout, in one thread.
        const TIMEOUTS = 1 << 6;
        /// The i386 entry ([`Kernel::int80`]).
        const INT80 = 1 << 7;
        /// The process can become an ordinary user ([`Kernel::drop_privileges`]).
        const DROP = 1 << 8;
        /// An interface address that is not on loopback.
        const NIC = 1 << 9;
        /// Descriptors can be counted ([`Kernel::descriptor_count`]).
        const COUNT = 1 << 10;
        /// RLIMIT_NOFILE can be set.
        const LIMITS = 1 << 11;
        /// Signals interrupt calls, and sockets raise them.
        const SIGNALS = 1 << 12;
        /// The file system is this program's own: names are inodes there, with directories and modes.
        const INODES = 1 << 13;
        /// Sockets have owners who get SIGIO and SIGURG ([`Kernel::take_signal`]).
        const SIGIO = 1 << 20;
    }
}

/// One test: a body and what it needs.
#[derive(Clone, Copy)]
pub struct Test {
    /// `area::body`.
    pub name: &'static str,
    /// The body.
    pub body: fn(&mut dyn Kernel) -> Outcome,
    /// What the arm must offer.
    pub needs: Needs,
}

/// Lists the bodies of a file: `tests! { body, body [ROOT | PATHS], ... }`. A body that is not listed
/// is dead code, which the compiler reports.
macro_rules! tests {
    ($($(#[$meta:meta])* $name:ident $([$($need:ident)|+])?),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::registry::Test] = &[
            $($crate::registry::Test {
                name: concat!(module_path!(), "::", stringify!($name)),
                body: $name,
                needs: $crate::registry::Needs::empty()
                    $($(.union($crate::registry::Needs::$need))+)?,
            }),*
        ];
    };
}
pub(crate) use tests;

impl Test {
    /// The name without the crate's own path.
    pub fn short_name(&self) -> &'static str {
        self.name
            .split_once("bodies::")
            .map_or(self.name, |(_, short)| short)
    }
}

/// Every test, in a fixed order.
pub fn all_tests() -> Vec<Test> {
    bodies::ALL
        .iter()
        .flat_map(|area| area.iter().copied())
        .collect()
}
