//! What Linux shows of its network under /proc: /proc/sys/net.

mod sysctl;

pub(crate) use sysctl::Kept;
pub use sysctl::{SysctlRow, Tunable, sysctl_table};
