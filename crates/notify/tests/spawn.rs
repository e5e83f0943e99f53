//! Starting real programs under a filter.

mod common;

use std::os::fd::AsFd;

use common::{code, next, notify_of};
use switchboard_notify::{
    Child, Errno, Listener, Pending, Received, SignalMask, Spawn, SpawnError, probe,
};

fn wait(child: &Child) -> i32 {
    assert_ne!(
        common::poll(child.pidfd.as_fd(), libc::POLLIN, 20_000),
        0,
        "still running"
    );
    let mut status = 0;
    // SAFETY: our child; one int is written.
    let collected = unsafe { libc::waitpid(child.pid, &raw mut status, 0) };
    assert_eq!(collected, child.pid);
    code(status)
}

/// A listener that lets everything pass until the last filtered process is gone.
fn serve(listener: Listener) -> std::thread::JoinHandle<usize> {
    std::thread::spawn(move || {
        let mut calls = 0;
        while let Ok(Received::Call(call)) = listener.recv() {
            calls += 1;
            // Not delivered: then it was interrupted, and comes again if need be.
            let _gone = listener.reply_continue(call.id);
        }
        calls
    })
}

fn outcome(pending: &Pending) -> Result<Child, SpawnError> {
    assert_ne!(
        common::poll(pending.as_fd(), libc::POLLIN, 20_000),
        0,
        "no outcome"
    );
    pending.try_wait().expect("readable, so it is known")
}

fn shell(script: &str) -> Spawn {
    Spawn::new("sh").args(["-c", script])
}

#[test]
fn exit_statuses() {
    for (script, expected) in [("exit 0", 0), ("exit 42", 42), ("kill -TERM $$", 128 + 15)] {
        let (listener, pending) = shell(script).start(notify_of(&[libc::SYS_socket])).unwrap();
        let server = serve(listener);
        assert_eq!(wait(&outcome(&pending).unwrap()), expected, "{script}");
        server.join().unwrap();
        // Nothing more, then or a moment later: the thread that told us is about to end.
        assert!(!matches!(pending.try_wait(), Some(Ok(_))));
    }
}

/// Everything that the start itself uses is trapped, and the descendants' calls too.
#[test]
fn starting_under_a_filter_that_traps_everything_used() {
    let numbers = [
        libc::SYS_clone,
        libc::SYS_execve,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_openat,
        libc::SYS_close,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_madvise,
        libc::SYS_chdir,
        libc::SYS_ioctl,
        libc::SYS_sigaltstack,
        libc::SYS_exit,
        libc::SYS_setpgid,
        libc::SYS_wait4,
    ];
    let spawn = shell("(exit 3); test $? = 3")
        .current_dir("/")
        .own_process_group();
    let (listener, pending) = spawn.start(notify_of(&numbers)).unwrap();
    let server = serve(listener);
    let child = outcome(&pending).unwrap();
    assert_eq!(wait(&child), 0);
    assert!(server.join().unwrap() > 20);
}

#[test]
fn programs_that_cannot_be_started() {
    let try_start = |spawn: Spawn| {
        let (_listener, pending) = spawn.start(notify_of(&[libc::SYS_socket])).unwrap();
        pending.wait().err()
    };
    let exec = |errno| Some(SpawnError::Exec(Errno(errno)));
    assert_eq!(
        try_start(Spawn::new("/no/such/program")),
        exec(libc::ENOENT)
    );
    // execvp(3): EACCES if a directory of PATH could not be searched.
    let nowhere = try_start(Spawn::new("no-such-program-anywhere"));
    assert!(
        nowhere == exec(libc::ENOENT) || nowhere == exec(libc::EACCES),
        "{nowhere:?}"
    );
    assert_eq!(try_start(Spawn::new("/")), exec(libc::EACCES));
    assert_eq!(try_start(Spawn::new("/etc/passwd")), exec(libc::EACCES));
    assert_eq!(try_start(Spawn::new("/etc/passwd/x")), exec(libc::ENOTDIR));
    assert_eq!(
        try_start(Spawn::new("true").current_dir("/nowhere")),
        Some(SpawnError::WorkingDirectory(Errno(libc::ENOENT)))
    );
}

/// SIGPIPE is default although Rust ignores it for us; the mask is the one given.
#[test]
fn signals_are_the_users() {
    // Not a shell: some clear the mask.
    let out = std::env::temp_dir().join(format!("switchboard-notify-{}", std::process::id()));
    for (mask, expected) in [
        (SignalMask::empty(), 0u64),
        (some_mask(), 1 << (libc::SIGUSR1 - 1)),
    ] {
        let spawn = Spawn::new("cp")
            .arg("/proc/self/status")
            .arg(&out)
            .signal_mask(mask);
        let (listener, pending) = spawn.start(notify_of(&[libc::SYS_socket])).unwrap();
        let server = serve(listener);
        assert_eq!(wait(&outcome(&pending).unwrap()), 0);
        server.join().unwrap();
        let text = std::fs::read_to_string(&out).unwrap();
        std::fs::remove_file(&out).unwrap();
        let field = |name: &str| {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        assert_eq!(field("SigBlk:"), expected);
        assert_eq!(
            field("SigIgn:") & (1 << (libc::SIGPIPE - 1)),
            0,
            "SIGPIPE is ignored"
        );
    }
}

fn some_mask() -> SignalMask {
    std::thread::spawn(|| {
        // SAFETY: a set on the stack; the thread's own mask.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGUSR1);
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
        }
        SignalMask::current()
    })
    .join()
    .unwrap()
}

/// The filter reaches the program's children, and nobody else.
#[test]
fn descendants_are_filtered_and_we_are_not() {
    // ppid of a shell's child: a call nobody else makes
    let (listener, pending) = Spawn::new("sh")
        .args([
            "-c",
            "(sh -c 'exec sh -c \"exit $(( $(umask) + 0 ))\"'); exit $?",
        ])
        .start(notify_of(&[libc::SYS_umask]))
        .unwrap();
    let child = outcome(&pending).unwrap();
    let call = next(&listener);
    assert_ne!(call.tid, child.pid, "a grandchild asks");
    listener.reply_value(call.id, 0o12).unwrap();
    // umask(2) is asked twice by a shell: to read it and to put it back.
    let server = serve(listener);
    assert_eq!(wait(&child), 12 - 2);
    server.join().unwrap();
    // SAFETY: no memory involved; set and put back.
    unsafe { libc::umask(libc::umask(0o22)) };
}

#[test]
fn the_probe_leaves_nothing_behind() {
    let count = |path: &str| std::fs::read_dir(path).unwrap().count();
    let status = |name: &str| {
        let text = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        text.lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned()
    };
    let before = (status("NoNewPrivs"), status("Seccomp:"));
    let report = probe();
    println!("{report:#?}");
    assert_eq!(before, (status("NoNewPrivs"), status("Seccomp:")));
    assert_eq!(report.listener, Ok(()));
    assert!(report.add_fd_send.is_yes());
    assert!(report.process_vm.is_yes() || report.proc_mem.is_yes());
    assert!(report.pidfd_open.is_yes());
    assert!(count("/proc/self/task") > 0);
    // SAFETY: no status is stored. Nothing of the probe's can be collected by anybody.
    let left = unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::__WCLONE | libc::WNOHANG) };
    assert_eq!(left, -1);
}
