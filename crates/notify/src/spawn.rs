//! Starting the program under a filter.
//!
//! # Theory of operation
//! The filter must be on the thread that starts the program, and on no other thread of the
//! supervisor, so a dedicated thread installs it, starts the program and ends:
//!
//! 1. the thread installs the filter and hands the listener to the caller through a channel (a
//!    futex, which is not trapped): [`Spawner::start`] returns at this point;
//! 2. what allocates or may fail is prepared by the caller, who hands it to the thread ([`Spawner::spawn`]);
//! 3. the thread makes a child by `clone(CLONE_VM | CLONE_VFORK)`, as posix_spawn(3) does; the child sets its
//!    signals and executes the program, and leaves errno in the shared memory if it cannot;
//! 4. the thread tells a second, unfiltered thread the outcome, which makes [`Pending`] readable.
//!
//! All programs of a [`Spawner`] are under one filter, and so have one listener. [`Spawn::start`] is a spawner for one.
//!
//! No deadlock: nobody waits for the filtered thread but [`Pending::wait`], whose documentation says
//! so. Should one of the thread's own calls be trapped (steps 3 and 4 use none that the runner
//! traps, but that is the table's business), it waits for the caller's loop, which has
//! the listener already. The caller answers calls of threads that are not the program's with CONTINUE.
//!
//! # What the program gets
//! Environment, working directory, umask, descriptors 0 to 2 and all others without close-on-exec, limits,
//! process group and terminal: ours, where nothing else is asked for. Signals: the mask given, those we ignore stay ignored (nohup)
//! except the ones named by [`Spawn::default_signal`]; SIGPIPE is always among these, as Rust's start-up code
//! ignores it behind the user's back. Handlers become default by themselves.

use core::ffi::{c_char, c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr;
use std::ffi::{CString, NulError, OsStr, OsString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::{Arc, mpsc};

use thiserror::Error;

use crate::{Errno, Filter, InstallError, Interrupts, Listener, install_with};

/// The child's stack: execvpe's search for the program needs a path and an argument vector on it.
const STACK: usize = 256 * 1024;

/// Why the program was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// execve(2) of the program failed: ENOENT, EACCES, ENOEXEC ...
    #[error("cannot execute: {0}")]
    Exec(Errno),
    /// chdir(2) to the directory asked for failed.
    #[error("cannot enter the working directory: {0}")]
    WorkingDirectory(Errno),
    /// No process could be made.
    #[error("cannot create a process: {0}")]
    Clone(Errno),
    /// The thread ended without an answer, or the answer has been fetched already.
    #[error("the starting thread is gone")]
    Lost,
}

/// A set of blocked signals.
#[derive(Clone, Copy)]
pub struct SignalMask(libc::sigset_t);

impl core::fmt::Debug for SignalMask {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set()
            .entries((1..=64).filter(|&signal| self.contains(signal)))
            .finish()
    }
}

impl SignalMask {
    /// The calling thread's. Take it before the supervisor blocks any signal for itself.
    pub fn current() -> SignalMask {
        let mut set = MaybeUninit::uninit();
        // SAFETY: without a new set the call only stores the old one, which cannot fail.
        unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), set.as_mut_ptr());
            SignalMask(set.assume_init())
        }
    }

    /// No signal.
    pub fn empty() -> SignalMask {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset initialises the set.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            SignalMask(set.assume_init())
        }
    }

    fn full() -> SignalMask {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigfillset initialises the set.
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            SignalMask(set.assume_init())
        }
    }

    /// Whether `signal` is blocked.
    pub fn contains(&self, signal: c_int) -> bool {
        // SAFETY: the set is initialised; an impossible number gives -1.
        unsafe { libc::sigismember(&raw const self.0, signal) == 1 }
    }

    /// Makes it the calling thread's mask and returns the old one.
    fn set(&self) -> SignalMask {
        let mut old = MaybeUninit::uninit();
        // SAFETY: both sets are valid for the call, SIG_SETMASK cannot fail.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.0, old.as_mut_ptr());
            SignalMask(old.assume_init())
        }
    }
}

/// A program to be started under a filter.
#[derive(Clone, Debug)]
pub struct Spawn {
    arguments: Vec<OsString>,
    environment: Option<Vec<(OsString, OsString)>>,
    directory: Option<OsString>,
    mask: SignalMask,
    defaults: Vec<c_int>,
    process_group: bool,
    session: bool,
    interrupts: Interrupts,
    stdio: [Option<Arc<OwnedFd>>; 3],
    umask: Option<u32>,
}

impl Spawn {
    /// `program` is searched in our PATH if there is no slash in it. The signal mask is the calling thread's,
    /// now.
    pub fn new(program: impl AsRef<OsStr>) -> Spawn {
        Spawn {
            arguments: vec![program.as_ref().to_owned()],
            environment: None,
            directory: None,
            mask: SignalMask::current(),
            defaults: vec![libc::SIGPIPE],
            process_group: false,
            session: false,
            interrupts: Interrupts::Always,
            stdio: [None, None, None],
            umask: None,
        }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Spawn {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Spawn {
        self.arguments
            .extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// The whole environment, instead of ours at the time of the start.
    #[must_use]
    pub fn environment(mut self, variables: Vec<(OsString, OsString)>) -> Spawn {
        self.environment = Some(variables);
        self
    }

    /// The working directory, instead of ours.
    #[must_use]
    pub fn current_dir(mut self, directory: impl AsRef<OsStr>) -> Spawn {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// The blocked signals.
    #[must_use]
    pub fn signal_mask(mut self, mask: SignalMask) -> Spawn {
        self.mask = mask;
        self
    }

    /// One more signal that is not ignored even if we ignore it.
    #[must_use]
    pub fn default_signal(mut self, signal: c_int) -> Spawn {
        self.defaults.push(signal);
        self
    }

    /// setpgid(0, 0): the program leads a process group of its own.
    #[must_use]
    pub fn own_process_group(mut self) -> Spawn {
        self.process_group = true;
        self
    }

    /// setsid(): the program leads a session of its own, and a process group, and has no terminal that could stop it.
    #[must_use]
    pub fn own_session(mut self) -> Spawn {
        self.session = true;
        self
    }

    /// What interrupts a call that waits for the supervisor.
    #[must_use]
    pub fn interrupts(mut self, interrupts: Interrupts) -> Spawn {
        self.interrupts = interrupts;
        self
    }

    /// Standard input, output and error, each instead of ours.
    #[must_use]
    pub fn stdio(mut self, stdio: [Option<OwnedFd>; 3]) -> Spawn {
        self.stdio = stdio.map(|fd| fd.map(Arc::new));
        self
    }

    /// The file mode creation mask, instead of ours.
    #[must_use]
    pub fn umask(mut self, mask: u32) -> Spawn {
        self.umask = Some(mask);
        self
    }

    /// Installs the filter and returns its listener; the program is started in the background.
    /// From here on the caller must serve the listener.
    pub fn start(self, filter: Filter) -> Result<(Listener, Pending), InstallError> {
        // A NUL in a string: what execve would never find.
        let prepared = Prepared::new(&self).map_err(InstallError::Refused)?;
        let (listener, spawner) = Spawner::start(filter, self.interrupts)?;
        let pending = spawner.spawn_prepared(prepared);
        Ok((listener, pending.map_err(InstallError::Thread)?))
    }
}

/// Starts programs under one filter, for as long as it is there.
#[derive(Debug)]
pub struct Spawner {
    requests: mpsc::Sender<(Prepared, Report)>,
}

/// Tells a [`Pending`] of the outcome, or that there will be none.
#[derive(Debug)]
struct Report {
    outcome: mpsc::Sender<Result<Child, SpawnError>>,
    event: OwnedFd,
}

impl Drop for Report {
    fn drop(&mut self) {
        let one = 1u64;
        // SAFETY: eight bytes of ours are read. It cannot fail: the counter was zero.
        unsafe { libc::write(self.event.as_raw_fd(), (&raw const one).cast(), 8) };
    }
}

fn thread_error(error: &std::io::Error) -> InstallError {
    InstallError::Thread(Errno(error.raw_os_error().unwrap_or(libc::EAGAIN)))
}

impl Spawner {
    /// Installs the filter on a thread of its own and returns its listener. From here on the caller must serve it.
    pub fn start(
        filter: Filter,
        interrupts: Interrupts,
    ) -> Result<(Listener, Spawner), InstallError> {
        // Before anything is started that could not be served.
        Listener::check_kernel()?;
        let (installed, wait_installed) = mpsc::channel();
        let (requests, wait_requests) = mpsc::channel::<(Prepared, Report)>();
        let (outcomes, wait_outcomes) = mpsc::channel::<(_, Report)>();
        // The unfiltered one ends with the other.
        std::thread::Builder::new()
            .name("spawn-outcome".into())
            .spawn(move || {
                for (result, report) in wait_outcomes {
                    // The caller may have lost interest; then the child is its own.
                    drop(report.outcome.send(result));
                }
            })
            .map_err(|error| thread_error(&error))?;
        std::thread::Builder::new()
            .name("spawn".into())
            .spawn(move || {
                let made = install_with(&filter, interrupts);
                let failed = made.is_err();
                if installed.send(made).is_err() || failed {
                    return;
                }
                for (prepared, report) in wait_requests {
                    let result = prepared.clone_and_execute();
                    drop(outcomes.send((result, report)));
                }
            })
            .map_err(|error| thread_error(&error))?;
        let fd = wait_installed
            .recv()
            .unwrap_or(Err(InstallError::Thread(Errno(libc::EAGAIN))))?;
        Ok((Listener::new(fd)?, Spawner { requests }))
    }

    /// Starts a program in the background. EINVAL for a NUL in a string.
    pub fn spawn(&self, spawn: &Spawn) -> Result<Pending, Errno> {
        self.spawn_prepared(Prepared::new(spawn)?)
    }

    fn spawn_prepared(&self, prepared: Prepared) -> Result<Pending, Errno> {
        // SAFETY: eventfd takes and touches no memory.
        let event = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        let event = Errno::check(event.into())?;
        // SAFETY: just made, nobody else knows it.
        let event = unsafe { OwnedFd::from_raw_fd(event as i32) };
        let failed = |e: std::io::Error| Errno(e.raw_os_error().unwrap_or(libc::EAGAIN));
        let (outcome, wait_outcome) = mpsc::channel();
        let report = Report {
            outcome,
            event: event.try_clone().map_err(failed)?,
        };
        self.requests
            .send((prepared, report))
            .map_err(|_| Errno(libc::EAGAIN))?;
        Ok(Pending {
            event,
            outcome: wait_outcome,
        })
    }
}

/// A started program.
#[derive(Debug)]
pub struct Child {
    /// The process ID. It is our child: waitpid(2) is the caller's.
    pub pid: i32,
    /// Readable when it has ended.
    pub pidfd: OwnedFd,
}

/// A program that is being started; its descriptor is readable when the outcome is known.
#[derive(Debug)]
pub struct Pending {
    event: OwnedFd,
    outcome: mpsc::Receiver<Result<Child, SpawnError>>,
}

impl AsFd for Pending {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl Pending {
    /// The outcome, if it is known yet. Once.
    pub fn try_wait(&self) -> Option<Result<Child, SpawnError>> {
        match self.outcome.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(mpsc::TryRecvError::Empty) => None,
            Err(mpsc::TryRecvError::Disconnected) => Some(Err(SpawnError::Lost)),
        }
    }

    /// Waits for the outcome. Only where another thread serves the listener, or where the filter traps
    /// neither clone, execve, chdir nor the signal calls.
    pub fn wait(self) -> Result<Child, SpawnError> {
        self.outcome.recv().unwrap_or(Err(SpawnError::Lost))
    }
}

/// Everything the child needs, allocated beforehand.
#[derive(Debug)]
struct Prepared {
    // Own what the pointers below point to.
    _strings: Vec<CString>,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    directory: Option<CString>,
    mask: SignalMask,
    defaults: Vec<c_int>,
    process_group: bool,
    session: bool,
    /// Above 2, whatever the caller's were.
    stdio: [Option<OwnedFd>; 3],
    umask: Option<u32>,
    stack: Vec<u128>,
    failed: Option<SpawnError>,
}

// SAFETY: the pointers point into the heap buffers of `_strings`, which travel along and are not
// changed.
unsafe impl Send for Prepared {}

impl Prepared {
    fn new(spawn: &Spawn) -> Result<Prepared, Errno> {
        let nul = |_: NulError| Errno(libc::EINVAL);
        let mut strings = Vec::new();
        let mut keep = |bytes: &[u8]| -> Result<*const c_char, Errno> {
            let string = CString::new(bytes).map_err(nul)?;
            let pointer = string.as_ptr(); // the heap buffer does not move with the CString
            strings.push(string);
            Ok(pointer)
        };
        let mut arguments = Vec::new();
        for argument in &spawn.arguments {
            arguments.push(keep(argument.as_bytes())?);
        }
        arguments.push(ptr::null());
        let variables = match &spawn.environment {
            Some(variables) => variables.clone(),
            None => std::env::vars_os().collect(),
        };
        let mut environment = Vec::new();
        for (name, value) in variables {
            let mut line = name.into_vec();
            line.push(b'=');
            line.extend_from_slice(value.as_bytes());
            environment.push(keep(&line)?);
        }
        environment.push(ptr::null());
        let directory = match &spawn.directory {
            Some(directory) => Some(CString::new(directory.as_bytes()).map_err(nul)?),
            None => None,
        };
        let above = |fd: &Arc<OwnedFd>| {
            // SAFETY: no memory involved; a descriptor that is open.
            let fd = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) };
            // SAFETY: just made, nobody else knows it.
            Errno::check(fd.into()).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })
        };
        let [stdin, stdout, stderr] = &spawn.stdio;
        let stdio = [
            stdin.as_ref().map(above).transpose()?,
            stdout.as_ref().map(above).transpose()?,
            stderr.as_ref().map(above).transpose()?,
        ];
        Ok(Prepared {
            _strings: strings,
            arguments,
            environment,
            directory,
            mask: spawn.mask,
            defaults: spawn.defaults.clone(),
            process_group: spawn.process_group,
            session: spawn.session,
            stdio,
            umask: spawn.umask,
            stack: vec![0; STACK / 16],
            failed: None,
        })
    }

    fn clone_and_execute(mut self) -> Result<Child, SpawnError> {
        let mut pidfd: c_int = -1;
        // No handler of ours may run in the child, where it would act on our memory.
        let before = SignalMask::full().set();
        // SAFETY: one past the end of the stack's allocation; u128 keeps it 16-byte aligned.
        let top = unsafe { self.stack.as_mut_ptr().add(self.stack.len()) };
        // SAFETY: the child runs `child` on a stack of its own while this thread is suspended
        // (CLONE_VFORK) and everything `self` holds stays in place; it ends by execve or _exit. The
        // descriptor table and signal actions are copies (no CLONE_FILES, no CLONE_SIGHAND).
        let pid = unsafe {
            libc::clone(
                child,
                top.cast(),
                libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD,
                (&raw mut self).cast(),
                &raw mut pidfd,
            )
        };
        let cloned = Errno::check(pid.into());
        before.set();
        let pid = cloned.map_err(SpawnError::Clone)? as i32;
        // SAFETY: CLONE_PIDFD has stored a new descriptor there, nobody else knows it.
        let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
        // SAFETY: `self.failed` was written by the child through the pointer given to clone.
        if let Some(error) = unsafe { ptr::read_volatile(&raw const self.failed) } {
            // SAFETY: collects our own child, which has called _exit.
            let _collected =
                Errno::retry(|| unsafe { libc::waitpid(pid, ptr::null_mut(), 0) }.into());
            return Err(error);
        }
        Ok(Child { pid, pidfd })
    }
}

/// Runs in the child, in our memory: no allocation, no lock, nothing of the thread's own state.
extern "C" fn child(argument: *mut c_void) -> c_int {
    // SAFETY: clone_and_execute passes a pointer to its Prepared and is suspended.
    let prepared = unsafe { &mut *argument.cast::<Prepared>() };
    let error = execute(prepared);
    // SAFETY: a valid place; volatile, since the compiler of the other side cannot see this function run.
    unsafe { ptr::write_volatile(&raw mut prepared.failed, Some(error)) };
    // SAFETY: ends the child without running anything of ours.
    unsafe { libc::_exit(127) }
}

fn execute(prepared: &Prepared) -> SpawnError {
    let set_default = |signal: c_int| {
        // SAFETY: SIG_DFL for a signal number; the kernel refuses impossible ones. All-zero is a valid
        // sigaction.
        unsafe {
            let mut action: libc::sigaction = core::mem::zeroed();
            action.sa_sigaction = libc::SIG_DFL;
            libc::sigaction(signal, &raw const action, ptr::null_mut());
        }
    };
    // Handlers first: they must not run here when the mask is lifted below.
    for signal in 1..=64 {
        // SAFETY: reads the action of a signal number into a local; refused numbers leave it zero,
        // which is SIG_DFL.
        let handler = unsafe {
            let mut action: libc::sigaction = core::mem::zeroed();
            libc::sigaction(signal, ptr::null(), &raw mut action);
            action.sa_sigaction
        };
        if handler != libc::SIG_DFL && handler != libc::SIG_IGN {
            set_default(signal);
        }
    }
    for &signal in &prepared.defaults {
        set_default(signal);
    }
    if prepared.process_group {
        // SAFETY: no memory involved. Cannot fail for a new child that leads no session.
        unsafe { libc::setpgid(0, 0) };
    }
    if prepared.session {
        // SAFETY: no memory involved. Cannot fail for a new child that leads no process group.
        unsafe { libc::setsid() };
    }
    if let Some(mask) = prepared.umask {
        // SAFETY: no memory involved, cannot fail.
        unsafe { libc::umask(mask) };
    }
    for (number, fd) in (0..).zip(&prepared.stdio) {
        if let Some(fd) = fd {
            // SAFETY: no memory involved; the child's table is its own, and the copy has no close-on-exec.
            unsafe { libc::dup2(fd.as_raw_fd(), number) };
        }
    }
    if let Some(directory) = &prepared.directory {
        // SAFETY: a C string.
        if let Err(errno) = Errno::check(unsafe { libc::chdir(directory.as_ptr()) }.into()) {
            return SpawnError::WorkingDirectory(errno);
        }
    }
    prepared.mask.set();
    // SAFETY: null-terminated arrays of C strings, alive in the suspended parent.
    unsafe {
        libc::execvpe(
            prepared.arguments[0],
            prepared.arguments.as_ptr(),
            prepared.environment.as_ptr(),
        )
    };
    SpawnError::Exec(Errno::last())
}
