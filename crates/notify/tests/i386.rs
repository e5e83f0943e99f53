//! A real 32-bit program below the filter: the other audit architecture, and ILP32 memory.

mod common;

use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;

use common::{code, next};
use switchboard_notify::{
    Action, Arch, Errno, Filter, Placeholder, Processes, RemoteMemory, Rule, RuleTable, Spawn,
};

/// None: there is no 32-bit compiler here.
fn build() -> Option<std::path::PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/i386.c");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("i386");
    let built = Command::new("gcc")
        .args([
            "-m32",
            "-nostdlib",
            "-static",
            "-fno-stack-protector",
            "-fno-pie",
            "-no-pie",
            "-O1",
        ])
        .arg("-o")
        .arg(&program)
        .arg(source)
        .status();
    built
        .is_ok_and(|status| status.success())
        .then_some(program)
}

#[test]
fn a_freestanding_program() {
    let Some(program) = build() else {
        println!("SKIPPED: gcc -m32 -nostdlib -static does not work here");
        return;
    };
    let table = RuleTable {
        // The 64-bit numbers of the same values must not be touched.
        x86_64: vec![Rule::new(libc::SYS_socket as u32, Action::Notify)],
        i386: vec![
            Rule::new(102, Action::Notify),
            Rule::new(367, Action::Notify),
            Rule::new(55, Action::Errno(Errno(77))).when(1, u32::MAX, [4]),
        ],
    };
    let (listener, pending) = Spawn::new(program)
        .start(Filter::new(&table).unwrap())
        .unwrap();
    let child = match pending.wait() {
        Ok(child) => child,
        Err(error) => {
            println!("SKIPPED: this kernel does not run 32-bit programs ({error})");
            return;
        }
    };

    let socket = next(&listener);
    assert_eq!((socket.arch(), socket.data.nr), (Some(Arch::I386), 102));
    assert_eq!(socket.data.args[0], 1);
    assert!(socket.data.args[1] <= u64::from(u32::MAX));
    let mut args = [0; 12];
    assert_eq!(
        RemoteMemory::new(socket.tid).read(socket.data.args[1], &mut args),
        Ok(12)
    );
    assert_eq!(args, [2, 0, 0, 0, 1, 0, 0, 0, 6, 0, 0, 0]);
    let (a, placeholder) = Placeholder::new().unwrap();
    let fd = listener.reply_fd(socket.id, a.as_fd(), true).unwrap();
    drop(a);

    let name = next(&listener);
    assert_eq!(
        (name.arch(), name.data.nr, name.data.args[0]),
        (Some(Arch::I386), 367, fd as u64)
    );
    assert_eq!(
        Processes::new(4).identify(name.tid, fd),
        Ok(placeholder.identity())
    );
    let word = 0xfeed_beef_u32.to_ne_bytes();
    assert_eq!(
        RemoteMemory::new(name.tid).write(name.data.args[1], &word),
        Ok(4)
    );
    listener.reply_value(name.id, 0).unwrap();

    let unknown = next(&listener);
    assert_eq!((unknown.data.nr, unknown.data.args[0]), (102, 21));
    listener
        .reply_errno(unknown.id, Errno(libc::EINVAL))
        .unwrap();

    assert_ne!(common::poll(child.pidfd.as_fd(), libc::POLLIN, 20_000), 0);
    let mut status = 0;
    // SAFETY: our child; one int is written.
    let collected = unsafe { libc::waitpid(child.pid, &raw mut status, 0) };
    assert_eq!(collected, child.pid);
    assert_eq!(code(status), 0);
    assert!(placeholder.released());
}
