//! As in a container whose seccomp profile refuses process_vm_* and pidfd_getfd: the fallbacks.
//! A file of its own, as the filter stays on the thread and the children inherit it.

mod common;

use std::os::fd::{AsFd, AsRawFd};

use common::{Kid, guarded};
use switchboard_notify::{
    Action, Errno, FdError, Filter, Identity, InstallError, Processes, RemoteMemory, Rule,
    RuleTable, Support, install, probe,
};

#[test]
fn what_is_refused_has_a_fallback() {
    let eperm = Action::Errno(Errno(libc::EPERM));
    let calls = [
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_pidfd_getfd,
    ];
    let x86_64 = calls
        .iter()
        .map(|&nr| Rule::new(nr as u32, eperm))
        .collect();
    let filter = Filter::new(&RuleTable {
        x86_64,
        i386: vec![],
    })
    .unwrap();
    let base = guarded(3) as u64;
    let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
    let kid = Kid::fork(|| {
        // SAFETY: no memory involved.
        unsafe { libc::pause() }
    });
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _listener = install(&filter).unwrap();
            let memory = RemoteMemory::new(kid.0);
            let end = base + 2 * 4096;
            assert_eq!(memory.write(end - 5, b"hello, world"), Ok(5));
            let mut back = [0; 12];
            assert_eq!(memory.read(end - 5, &mut back), Ok(5));
            assert_eq!(&back[..5], b"hello");

            let mut processes = Processes::new(4);
            let fd = socket.as_raw_fd();
            let refused = processes.getfd(kid.0, fd).map(drop);
            assert_eq!(refused, Err(FdError::Refused(Errno(libc::EPERM))));
            let identity = Identity::of(socket.as_fd());
            assert_eq!(
                processes.identify(kid.0, fd).map_err(drop),
                identity.map_err(drop)
            );
            assert_eq!(processes.identify(kid.0, 9999), Err(FdError::NotOpen));
            assert_eq!(processes.status_flags(kid.0, fd), Ok(libc::O_RDWR));
            let (_, flags, copy) = processes.look(kid.0, fd).unwrap();
            assert!(flags == libc::O_RDWR && copy.is_none());

            let report = probe();
            let no = Support::No(Errno(libc::EPERM));
            assert_eq!(report.listener, Err(InstallError::AlreadyHasListener));
            assert_eq!((report.process_vm, report.pidfd_getfd), (no, no));
            assert!(report.proc_mem.is_yes() && report.proc_fd.is_yes());
            assert_eq!(report.add_fd_send, Support::Untested);
        });
    });
}
