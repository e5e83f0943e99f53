//! Which system calls come to the supervisor.

use super::opens::{self, OPENS_I386, OPENS_X86_64};
use super::supervisor::aio::{IO_SUBMIT_I386, IO_SUBMIT_X86_64};
use super::supervisor::listing::{LISTINGS_I386, LISTINGS_X86_64};
use super::supervisor::rings::{MMAP_I386, MMAP_X86_64};
use super::supervisor::{NAMES_I386, NAMES_X86_64};
use switchboard_abi::number::{FIOGETOWN, FIONREAD, FIOSETOWN, SIOCGPGRP, SIOCOUTQ, SIOCSPGRP};
use switchboard_abi::sysno::{self, Arch, Sysno};
use switchboard_notify::{Action, Errno, Filter, FilterError, Rule, RuleTable};

/// ioctl(2) commands that are a socket's: those by number, and 0x89xx as a whole.
const IOCTLS: &[u32] = &[FIONREAD, SIOCOUTQ];
/// The type byte of the socket ioctls.
const SIOC: u32 = 0x89;
/// Of those, the ones about who gets SIGIO and SIGURG: the kernel answers them on the placeholder,
/// where they work by themselves.
const OWNER: &[u32] = &[FIOSETOWN, SIOCSPGRP, FIOGETOWN, SIOCGPGRP];

/// The ioctls of /dev/net/tun: the upper numbers of the type byte 'T', whose lower ones are terminals'.
const TUN: u32 = 0x54c0;
const TUN_MASK: u32 = 0xffc0;

/// Calls after which a thread's credentials may be others: setuid(2) and kin, capset(2).
const CREDENTIALS_X86_64: &[u32] = &[105, 106, 113, 114, 116, 117, 119, 122, 123, 126, 272, 308];
const CREDENTIALS_I386: &[u32] = &[
    23, 46, 70, 71, 81, 138, 139, 164, 170, 185, 203, 204, 206, 208, 210, 213, 214, 215, 216, 310,
    346,
];

/// dup2(2) and dup3(2), which close a descriptor.
pub(super) const DUPS_X86_64: &[u32] = &[33, 292];
pub(super) const DUPS_I386: &[u32] = &[63, 330];

/// close_range(2), the same number everywhere.
pub(super) const CLOSE_RANGE: u32 = 436;

/// io_uring_setup(2), the same number everywhere: through a ring sockets would pass by the filter.
const IO_URING_SETUP: u32 = 425;
const ENOSYS: Errno = Errno(libc::ENOSYS);

/// Whether the call is one of the credentials' calls.
pub(super) fn changes_credentials(arch: Arch, nr: u32) -> bool {
    match arch {
        Arch::X86_64 => CREDENTIALS_X86_64.contains(&nr),
        Arch::I386 => CREDENTIALS_I386.contains(&nr),
    }
}

/// `closes`: those are looked at, too (docs/design/lingering-close.md and docs/design/without-getfd.md).
/// `named`: the host has a name of its own.
pub(super) fn filter(closes: bool, named: bool) -> Result<Filter, FilterError> {
    let mut table = RuleTable {
        x86_64: rules(Arch::X86_64, CREDENTIALS_X86_64, closes),
        i386: rules(Arch::I386, CREDENTIALS_I386, closes),
    };
    if named {
        let notify = |nr: &u32| Rule::new(*nr, Action::Notify);
        table.x86_64.extend(NAMES_X86_64.iter().map(notify));
        table.i386.extend(NAMES_I386.iter().map(notify));
    }
    Filter::new(&table)
}

fn rules(arch: Arch, credentials: &[u32], closes: bool) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (nr, call) in sysno::table(arch) {
        match call {
            Sysno::Ioctl => {
                rules.push(Rule::new(*nr, Action::Allow).when(1, u32::MAX, OWNER));
                rules.push(Rule::new(*nr, Action::Notify).when(1, u32::MAX, IOCTLS));
                rules.push(Rule::new(*nr, Action::Notify).when(1, 0xff00, vec![SIOC << 8]));
                rules.push(Rule::new(*nr, Action::Notify).when(1, TUN_MASK, [TUN]));
            }
            Sysno::Close if !closes => {}
            _ => rules.push(Rule::new(*nr, Action::Notify)),
        }
    }
    let dups = match arch {
        _ if !closes => &[],
        Arch::X86_64 => DUPS_X86_64,
        Arch::I386 => DUPS_I386,
    };
    rules.extend(dups.iter().map(|nr| Rule::new(*nr, Action::Notify)));
    if closes {
        rules.push(Rule::new(CLOSE_RANGE, Action::Notify));
    }
    let opens = match arch {
        Arch::X86_64 => OPENS_X86_64,
        Arch::I386 => OPENS_I386,
    };
    for nr in opens {
        if let Some(flags) = opens::flags_argument(arch, *nr) {
            // A directory, a name, a new file: the kernel's, whatever the path is.
            let (o_directory, o_path) = (libc::O_DIRECTORY as u32, libc::O_PATH as u32);
            let new = (libc::O_CREAT | libc::O_EXCL) as u32;
            let directory_or_name = [o_directory, o_path, o_directory | o_path];
            let rule = Rule::new(*nr, Action::Allow);
            rules.push(
                rule.clone()
                    .when(flags, o_directory | o_path, directory_or_name),
            );
            rules.push(rule.when(flags, new, [new]));
        }
        rules.push(Rule::new(*nr, Action::Notify));
    }
    let listings = match arch {
        Arch::X86_64 => LISTINGS_X86_64,
        Arch::I386 => LISTINGS_I386,
    };
    rules.extend(listings.map(|nr| Rule::new(nr, Action::Notify)));
    rules.extend(credentials.iter().map(|nr| Rule::new(*nr, Action::Notify)));
    let mmap = match arch {
        Arch::X86_64 => MMAP_X86_64,
        Arch::I386 => MMAP_I386,
    };
    // A file that is shared: few are, and one may be a packet socket's ring.
    let how = (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as u32;
    let shared = Rule::new(mmap, Action::Notify).when(3, how, [libc::MAP_SHARED as u32]);
    rules.push(shared);
    let io_submit = match arch {
        Arch::X86_64 => IO_SUBMIT_X86_64,
        Arch::I386 => IO_SUBMIT_I386,
    };
    rules.push(Rule::new(io_submit, Action::Notify));
    rules.push(Rule::new(IO_URING_SETUP, Action::Errno(ENOSYS)));
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_makes_a_filter() {
        for closes in [false, true] {
            let filter = filter(closes, closes).expect("a valid table");
            assert!(filter.instructions().len() < 500);
        }
    }

    #[test]
    fn setuid_and_kin_are_libcs() {
        for nr in [
            libc::SYS_setuid,
            libc::SYS_setgid,
            libc::SYS_setreuid,
            libc::SYS_setregid,
            libc::SYS_setgroups,
            libc::SYS_setresuid,
            libc::SYS_setresgid,
            libc::SYS_setfsuid,
            libc::SYS_setfsgid,
            libc::SYS_capset,
            libc::SYS_unshare,
            libc::SYS_setns,
        ] {
            assert!(changes_credentials(Arch::X86_64, nr as u32), "{nr}");
        }
    }
}
