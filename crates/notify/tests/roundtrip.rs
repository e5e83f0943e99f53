//! The filter, the listener and a live child, on this kernel.

mod common;

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use common::{Kid, fork_filtered, next, notify_of};
use switchboard_notify::{
    ARCH_X86_64, Action, Errno, Filter, InstallError, Listener, Placeholder, Processes, Received,
    RemoteMemory, ReplyError, Rule, RuleTable, install,
};

/// A system call with its errno as a negative result.
fn call(nr: libc::c_long, args: [u64; 3]) -> i64 {
    // SAFETY: the callers pass numbers or pointers that are valid for the call.
    let result = unsafe { libc::syscall(nr, args[0], args[1], args[2]) };
    if result == -1 {
        -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap())
    } else {
        result
    }
}

#[test]
fn value_errno_and_continue() {
    let _alone = common::alone();
    let (listener, kid) = fork_filtered(notify_of(&[libc::SYS_socket, libc::SYS_getpid]), || {
        let checks = [
            call(libc::SYS_socket, [1, 2, 3]) == 4711,
            call(libc::SYS_socket, [0, 0, 0]) == -i64::from(libc::ENOBUFS),
            call(libc::SYS_socket, [0, 0, u64::MAX]) == -5,
            call(libc::SYS_getpid, [0; 3]) > 1,
        ];
        checks
            .iter()
            .position(|ok| !ok)
            .map_or(0, |at| at as i32 + 1)
    });
    let first = next(&listener);
    assert_eq!((first.tid, first.data.arch), (kid.0, ARCH_X86_64));
    assert_eq!(i64::from(first.data.nr), libc::SYS_socket);
    assert_eq!(first.data.args[..3], [1, 2, 3]);
    assert!(listener.is_valid(first.id));
    assert_eq!(listener.try_recv(), Ok(Received::Empty));
    listener.reply_value(first.id, 4711).unwrap();
    assert!(!listener.is_valid(first.id));
    // EINPROGRESS until the child has woken up and taken it.
    assert!(matches!(
        listener.reply_value(first.id, 1),
        Err(ReplyError::NotDelivered | ReplyError::Refused(Errno(libc::EINPROGRESS)))
    ));
    let second = next(&listener);
    assert_ne!(first.id, second.id);
    listener
        .reply_errno(second.id, Errno(libc::ENOBUFS))
        .unwrap();
    let third = next(&listener);
    assert_eq!(third.data.args[2], u64::MAX);
    // -5 as a value is an errno to the C library's wrapper, as with the kernel's own results.
    listener.reply_value(third.id, -5).unwrap();
    let fourth = next(&listener);
    listener.reply_continue(fourth.id).unwrap();
    assert_eq!(kid.wait(), 0);
    assert_eq!(listener.recv(), Ok(Received::Ended));
    assert_eq!(listener.try_recv(), Ok(Received::Ended));
}

#[test]
fn an_interrupted_call_is_not_delivered() {
    let _alone = common::alone();
    extern "C" fn ignore(_: i32) {}
    let (listener, kid) = fork_filtered(notify_of(&[libc::SYS_socket]), || {
        // SAFETY: a handler that does nothing, without SA_RESTART; then a timer that fires once.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = ignore as *const () as usize;
            libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut());
            if call(libc::SYS_socket, [0; 3]) != -i64::from(libc::EINTR) {
                return 1;
            }
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut());
        }
        i32::from(call(libc::SYS_socket, [0; 3]) != 77)
    });
    let lost = next(&listener);
    // SAFETY: our child.
    unsafe { libc::kill(kid.0, libc::SIGALRM) };
    // The child may make its next call before or after this.
    let again = next(&listener);
    assert!(!listener.is_valid(lost.id));
    assert_eq!(
        listener.reply_value(lost.id, 1),
        Err(ReplyError::NotDelivered)
    );
    assert_eq!(
        listener.add_fd(lost.id, listener.as_fd(), true),
        Err(ReplyError::NotDelivered)
    );
    // SA_RESTART: the same call comes again, under another id.
    // SAFETY: our child.
    unsafe { libc::kill(kid.0, libc::SIGALRM) };
    let restarted = next(&listener);
    assert_ne!(restarted.id, again.id);
    assert_eq!(
        listener.reply_value(again.id, 1),
        Err(ReplyError::NotDelivered)
    );
    listener.reply_value(restarted.id, 77).unwrap();
    assert_eq!(kid.wait(), 0);
}

/// A call that vanishes between poll and recv does not make recv wait.
#[test]
fn a_vanished_call_does_not_block() {
    let _alone = common::alone();
    let (listener, kid) = fork_filtered(notify_of(&[libc::SYS_socket]), || {
        call(libc::SYS_socket, [0; 3]);
        0
    });
    assert_ne!(
        common::poll(listener.as_fd(), libc::POLLIN, 10_000) & libc::POLLIN,
        0
    );
    drop(kid); // SIGKILL, and collected: the call is gone for certain
    assert_eq!(listener.recv_ready(), Ok(None));
    assert_eq!(listener.try_recv(), Ok(Received::Ended));
}

/// A placeholder into the child's table, its memory, its descriptor back, its flags, its end.
#[test]
fn a_socket_made_used_and_closed() {
    let _alone = common::alone();
    let numbers = [libc::SYS_socket, libc::SYS_sendto, libc::SYS_setsockopt];
    let (listener, kid) = fork_filtered(notify_of(&numbers), || {
        let fd = call(libc::SYS_socket, [2, 1, 0]);
        let text = *b"over the switchboard";
        // SAFETY: no memory involved.
        if unsafe { libc::fcntl(fd as i32, libc::F_GETFD) } != libc::FD_CLOEXEC {
            return 1;
        }
        let sent = call(libc::SYS_sendto, [fd as u64, text.as_ptr() as u64, 20]);
        // SAFETY: no memory involved.
        unsafe { libc::fcntl(fd as i32, libc::F_SETFL, libc::O_NONBLOCK) };
        let again = call(libc::SYS_sendto, [fd as u64, text.as_ptr() as u64, 20]);
        // SAFETY: no memory involved.
        unsafe { libc::close(fd as i32) };
        let closed = call(libc::SYS_sendto, [fd as u64, 0, 0]);
        // SETFD puts a descriptor where we say.
        let set = call(libc::SYS_setsockopt, [200, 0, 0]);
        // SAFETY: no memory involved.
        let there = unsafe { libc::fcntl(200, libc::F_GETFD) };
        i32::from(sent != 20 || again != 20 || closed != -9 || set != 0 || there != 0)
    });
    let mut processes = Processes::new(8);
    let create = next(&listener);
    let (a, placeholder) = Placeholder::new().unwrap();
    let fd = listener.reply_fd(create.id, a.as_fd(), true).unwrap();
    drop(a);

    let send = next(&listener);
    assert_eq!(send.data.args[0], fd as u64);
    assert!(!placeholder.released());
    let mut text = [0; 20];
    let memory = RemoteMemory::new(send.tid);
    assert_eq!(memory.read(send.data.args[1], &mut text), Ok(20));
    assert_eq!(&text, b"over the switchboard");
    assert!(listener.is_valid(send.id));
    assert_eq!(processes.identify(send.tid, fd), Ok(placeholder.identity()));
    assert_eq!(
        Processes::new(1).through_proc().identify(send.tid, fd),
        Ok(placeholder.identity())
    );
    assert_eq!(
        processes.status_flags(send.tid, fd).unwrap() & libc::O_NONBLOCK,
        0
    );
    assert_ne!(processes.identify(send.tid, 0), Ok(placeholder.identity()));
    listener.reply_value(send.id, 20).unwrap();

    let send = next(&listener);
    let (identity, flags, copy) = processes.look(send.tid, fd).unwrap();
    assert_eq!(identity, placeholder.identity());
    assert_ne!(flags & libc::O_NONBLOCK, 0);
    drop(copy);
    let flags = Processes::new(1)
        .through_proc()
        .status_flags(send.tid, fd)
        .unwrap();
    assert_ne!(flags & libc::O_NONBLOCK, 0);
    listener.reply_value(send.id, 20).unwrap();

    // close(2) is seen before the process makes its next call.
    let send = next(&listener);
    assert!(placeholder.released());
    assert!(processes.identify(send.tid, fd).is_err());
    listener.reply_errno(send.id, Errno(libc::EBADF)).unwrap();

    let set = next(&listener);
    assert_eq!(
        listener.set_fd(set.id, listener.as_fd(), 200, false),
        Ok(200)
    );
    listener.reply_value(set.id, 0).unwrap();
    assert_eq!(kid.wait(), 0);
}

/// The target's RLIMIT_NOFILE is its own: EMFILE is told, and the call still waits.
#[test]
fn no_descriptor_free() {
    let _alone = common::alone();
    let (listener, kid) = fork_filtered(notify_of(&[libc::SYS_socket]), || {
        let none = libc::rlimit {
            rlim_cur: 3,
            rlim_max: 3,
        };
        // SAFETY: a structure of ours is read.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const none) };
        i32::from(call(libc::SYS_socket, [0; 3]) != -i64::from(libc::EMFILE))
    });
    let create = next(&listener);
    let refused = listener.reply_fd(create.id, listener.as_fd(), true);
    assert_eq!(refused, Err(ReplyError::Refused(Errno(libc::EMFILE))));
    assert!(listener.is_valid(create.id));
    listener
        .reply_errno(create.id, Errno(libc::EMFILE))
        .unwrap();
    assert_eq!(kid.wait(), 0);
}

/// The kernel evaluates the program as our own evaluator does.
#[test]
fn arguments_errnos_and_x32_in_the_kernel() {
    let _alone = common::alone();
    let nosys = Action::Errno(Errno(libc::ENOSYS));
    let table = RuleTable {
        x86_64: vec![
            Rule::new(libc::SYS_io_uring_setup as u32, nosys),
            Rule::new(libc::SYS_ioctl as u32, Action::Errno(Errno(99))).when(
                1,
                u32::MAX,
                [0x541b, 0x5421, 0x8905],
            ),
            Rule::new(libc::SYS_fcntl as u32, Action::Errno(Errno(98)))
                .when(1, u32::MAX, [libc::F_SETFL as u32])
                .when(2, libc::O_NONBLOCK as u32, [libc::O_NONBLOCK as u32]),
        ],
        i386: vec![],
    };
    let (_listener, kid) = fork_filtered(Filter::new(&table).unwrap(), || {
        let enosys = -i64::from(libc::ENOSYS);
        let nonblock = libc::O_NONBLOCK as u64;
        let checks = [
            call(libc::SYS_io_uring_setup, [0; 3]) == enosys,
            call(libc::SYS_ioctl, [u64::MAX, 0x541b, 0]) == -99,
            call(libc::SYS_ioctl, [u64::MAX, 0xdead_0000_541b, 0]) == -99,
            call(libc::SYS_ioctl, [u64::MAX, 0x541c, 0]) == -9,
            call(libc::SYS_fcntl, [0, libc::F_SETFL as u64, nonblock]) == -98,
            call(libc::SYS_fcntl, [u64::MAX, libc::F_SETFL as u64, 0]) == -9,
            call(libc::SYS_fcntl, [u64::MAX, libc::F_GETFL as u64, nonblock]) == -9,
            call(libc::SYS_getpid | 0x4000_0000, [0; 3]) == enosys,
            call(libc::SYS_getpid, [0; 3]) > 0,
        ];
        checks
            .iter()
            .position(|ok| !ok)
            .map_or(0, |at| at as i32 + 1)
    });
    assert_eq!(kid.wait(), 0);
}

#[test]
fn runs_do_not_nest() {
    let _alone = common::alone();
    let filter = notify_of(&[libc::SYS_socket]);
    let inner = filter.clone();
    std::thread::spawn(move || {
        let _outer = install(&filter).unwrap();
        assert_eq!(
            install(&inner).err(),
            Some(InstallError::AlreadyHasListener)
        );
    })
    .join()
    .unwrap();
}

/// When the supervisor dies, no program hangs: waiting calls and later ones are ENOSYS.
#[test]
fn a_dead_supervisor_hangs_nobody() {
    let _alone = common::alone();
    let (listener, kid) = fork_filtered(notify_of(&[libc::SYS_socket]), || {
        // SAFETY: the child's own copy, which would keep the listener alive. No runner's program has one.
        unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
        let enosys = -i64::from(libc::ENOSYS);
        let (waiting, later) = (
            call(libc::SYS_socket, [0; 3]),
            call(libc::SYS_socket, [0; 3]),
        );
        i32::from(waiting != enosys || later != enosys)
    });
    next(&listener);
    drop(listener);
    assert_eq!(kid.wait(), 0);
}

/// Thousands of calls wait at the same time, and are answered in another order.
#[test]
fn many_waiting_threads() {
    let _alone = common::alone();
    const THREADS: usize = 200;
    let (send, receive) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        send.send(install(&notify_of(&[libc::SYS_socket])).unwrap())
            .unwrap();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|i| {
                    scope.spawn(move || call(libc::SYS_socket, [i as u64, 0, 0]) == 1000 + i as i64)
                })
                .collect();
            threads.into_iter().all(|thread| thread.join().unwrap())
        })
    });
    let listener = Listener::new(receive.recv().unwrap()).unwrap();
    let mut waiting: Vec<_> = (0..THREADS).map(|_| next(&listener)).collect();
    waiting.reverse();
    for call in waiting {
        listener
            .reply_value(call.id, 1000 + call.data.args[0] as i64)
            .unwrap();
    }
    assert!(thread.join().unwrap());
}

/// A thread that is not the first executes: its number becomes the process's, and the caches follow.
#[test]
fn exec_by_another_thread() {
    let _alone = common::alone();
    let mut out = [-1; 2];
    // SAFETY: two descriptors are written, nobody else knows them.
    let (reader, writer) = unsafe {
        assert_eq!(libc::pipe2(out.as_mut_ptr(), 0), 0);
        (OwnedFd::from_raw_fd(out[0]), OwnedFd::from_raw_fd(out[1]))
    };
    // python: a second thread calls execv; the new program sleeps.
    let script = "import os,threading\n\
        def run():\n os.write(1,b'%d '%threading.get_native_id())\n os.read(0,1)\n \
        os.execv('/bin/sh',['sh','-c','echo done; exec sleep 100'])\n\
        t=threading.Thread(target=run); t.start(); t.join()";
    let mut feed = [-1; 2];
    // SAFETY: as above.
    let (feed_reader, feed_writer) = unsafe {
        assert_eq!(libc::pipe2(feed.as_mut_ptr(), libc::O_CLOEXEC), 0);
        (OwnedFd::from_raw_fd(feed[0]), OwnedFd::from_raw_fd(feed[1]))
    };
    let child = std::process::Command::new("python3")
        .args(["-c", script])
        .stdin(feed_reader)
        .stdout(writer.try_clone().unwrap())
        .spawn();
    let Ok(child) = child else {
        println!("SKIPPED: no python3 on this machine");
        return;
    };
    let kid = Kid(child.id() as i32);
    let mut text = String::new();
    let mut read_word = |end: char| {
        while !text.contains(end) {
            let mut bytes = [0; 64];
            // SAFETY: room for the bytes.
            let got = unsafe { libc::read(reader.as_raw_fd(), bytes.as_mut_ptr().cast(), 64) };
            assert!(got > 0);
            text.push_str(std::str::from_utf8(&bytes[..got as usize]).unwrap());
        }
        text.clone()
    };
    let tid: i32 = read_word(' ').trim().parse().unwrap();
    assert_ne!(tid, kid.0);
    for mut processes in [Processes::new(8), Processes::new(8).through_proc()] {
        assert_eq!(processes.identify(tid, 1), processes.identify(kid.0, 1));
        assert!(processes.identify(tid, 1).is_ok());
    }
    let mut cached = [Processes::new(8), Processes::new(8).through_proc()];
    for processes in &mut cached {
        processes.identify(kid.0, 1).unwrap();
        processes.identify(tid, 1).unwrap();
    }
    // SAFETY: one byte is read.
    let fed = unsafe { libc::write(feed_writer.as_raw_fd(), b"x".as_ptr().cast(), 1) };
    assert_eq!(fed, 1);
    read_word('\n');
    let now = switchboard_notify::Identity::of(writer.as_fd());
    for processes in &mut cached {
        assert_eq!(
            processes.identify(kid.0, 1).map_err(drop),
            now.map_err(drop)
        );
        assert_eq!(
            processes.identify(tid, 1),
            Err(switchboard_notify::FdError::Gone)
        );
        assert_eq!(processes.status(kid.0).unwrap().tgid, kid.0);
    }
}
