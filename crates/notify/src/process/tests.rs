use super::*;
use std::os::fd::AsFd;

fn own_tid() -> i32 {
    // SAFETY: no memory involved.
    unsafe { libc::gettid() }
}

#[test]
fn status_of_ourselves() {
    let status = Processes::new(4).status(own_tid()).unwrap();
    assert_eq!(status.tgid, std::process::id() as i32);
    // SAFETY: no memory involved.
    assert_eq!(status.uid[1], unsafe { libc::geteuid() });
    assert_ne!(status.ppid, 0);
}

#[test]
fn status_lines() {
    let text = b"Name:\tx:Uid:\nState:\tT (stopped)\nThreads:\t3\nUmask:\t0022\nTgid:\t7\nPPid:\t1\nUid:\t1 2 3 4\nGid:\t5 6 7 8\n\
        Groups:\t1 2 \nSigPnd:\t04\nShdPnd:\t08\nSigBlk:\t01\nSigIgn:\t02\nSigCgt:\tff\nCapInh:\t0\nCapPrm:\t1\nCapEff:\t3\n";
    let status = Status::parse(text).unwrap();
    assert_eq!(
        (status.umask, status.tgid, status.uid),
        (0o22, 7, [1, 2, 3, 4])
    );
    assert_eq!((status.groups, status.cap_effective), (vec![1, 2], 3));
    assert_eq!(status.signals_pending, 12);
    assert_eq!(
        (
            status.thread_signals_pending,
            status.threads,
            status.stopped
        ),
        (4, 3, true)
    );
    assert_eq!(Status::parse(b"Tgid:\t7\n"), None);
    assert_eq!(Status::parse(b"Uid:\t7 8\n"), None);
    assert_eq!(Status::parse(b""), None);
}

#[test]
fn fdinfo_lines() {
    assert_eq!(
        fdinfo_flags(b"pos:\t0\nflags:\t02004002\nmnt_id:\t1\n"),
        Some(0o4002)
    );
    assert_eq!(fdinfo_flags(b"pos:\t0\n"), None);
}

/// All three ways give the same answers: thread pidfd, process pidfd, /proc.
#[test]
fn every_way_to_a_descriptor() {
    let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
    socket.set_nonblocking(true).unwrap();
    let identity = Identity::of(socket.as_fd()).unwrap();
    let fd = socket.as_raw_fd();
    let mut no_threads = Processes::new(4);
    no_threads.threads = false;
    for mut processes in [
        Processes::new(4),
        no_threads,
        Processes::new(4).through_proc(),
    ] {
        let flags = libc::O_RDWR | libc::O_NONBLOCK;
        for _ in 0..2 {
            assert_eq!(processes.identify(own_tid(), fd), Ok(identity));
            assert_eq!(processes.status_flags(own_tid(), fd), Ok(flags));
            let looked = processes.look(own_tid(), fd).unwrap();
            assert_eq!((looked.0, looked.1), (identity, flags));
            assert_eq!(
                processes.identify(own_tid(), 999_999),
                Err(FdError::NotOpen)
            );
            assert_eq!(
                processes.status_flags(own_tid(), 999_999),
                Err(FdError::NotOpen)
            );
            assert_eq!(processes.identify(own_tid(), -1), Err(FdError::NotOpen));
        }
    }
}

/// A dead thread's entry, with the process alive, is never believed.
#[test]
fn a_dead_thread_is_gone() {
    let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
    let fd = socket.as_raw_fd();
    let mut no_threads = Processes::new(4);
    no_threads.threads = false;
    for mut processes in [
        Processes::new(4),
        no_threads,
        Processes::new(4).through_proc(),
    ] {
        let (send, receive) = std::sync::mpsc::channel();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            send.send(own_tid()).unwrap();
            stopped.recv().unwrap_err();
        });
        let tid = receive.recv().unwrap();
        assert!(processes.identify(tid, fd).is_ok());
        drop(stop);
        thread.join().unwrap();
        // join returns a moment before the kernel has let go of the thread.
        while std::path::Path::new(&format!("/proc/{tid}")).exists() {
            std::thread::yield_now();
        }
        assert_eq!(processes.identify(tid, fd), Err(FdError::Gone));
        assert_eq!(processes.status(tid), Err(FdError::Gone));
        assert!(processes.entries.is_empty());
    }
}

#[test]
fn the_cache_is_bounded() {
    let mut processes = Processes::new(2);
    for tid in [own_tid(), std::process::id() as i32, 1] {
        // 1 may be out of reach; what counts is what is kept.
        drop(processes.status(tid));
        assert!(processes.entries.len() <= 2);
    }
    assert!(processes.cwd(own_tid()).is_ok());
    let root = processes.root(own_tid()).unwrap();
    let slash = File::open("/").unwrap();
    assert_eq!(Identity::of(root.as_fd()), Identity::of(slash.as_fd()));
    processes.set_capacity(1);
    assert!(processes.entries.len() <= 1);
    processes.forget(own_tid());
    assert!(!processes.entries.contains_key(&own_tid()));
}
