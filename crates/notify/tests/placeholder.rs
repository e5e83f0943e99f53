//! What the host kernel really shows on end A, by poll(2) and by epoll, level and edge.

mod common;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use common::Kid;
use switchboard_notify::{Identity, Mask, Pairs, Placeholder, Signalled};

const ALL: i16 = libc::POLLIN | libc::POLLOUT | libc::POLLPRI | libc::POLLRDHUP;
const HUNG_UP: Mask = Mask::IN.union(Mask::RDHUP).union(Mask::HUP);

fn polled(a: &OwnedFd) -> Mask {
    Mask::from_bits(common::poll(a.as_fd(), ALL, 0) as u16).unwrap()
}

/// An epoll set with one descriptor.
struct Epoll(OwnedFd);

impl Epoll {
    fn new(fd: BorrowedFd<'_>, events: i32) -> Epoll {
        // SAFETY: a new descriptor, nobody else knows it; the kernel reads one event.
        unsafe {
            let epoll = OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC));
            let mut event = libc::epoll_event {
                events: events as u32,
                u64: 7,
            };
            let (add, ours) = (libc::EPOLL_CTL_ADD, epoll.as_raw_fd());
            assert_eq!(
                libc::epoll_ctl(ours, add, fd.as_raw_fd(), &raw mut event),
                0
            );
            Epoll(epoll)
        }
    }

    fn all(fd: &OwnedFd, more: i32) -> Epoll {
        Epoll::new(fd.as_fd(), i32::from(ALL) | more)
    }

    /// None: no event.
    fn wait(&self) -> Option<Mask> {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: room for one event.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), &raw mut event, 1, 0) };
        assert!(count >= 0);
        (count == 1).then(|| Mask::from_bits_truncate({ event.events } as u16))
    }
}

/// Placeholder, poll and level-triggered epoll agree.
#[track_caller]
fn agree(a: &OwnedFd, placeholder: &Placeholder, level: &Epoll, expected: Mask) {
    assert_eq!(polled(a), expected, "poll");
    assert_eq!(placeholder.mask(), expected, "mask()");
    assert_eq!(level.wait().unwrap_or_default(), expected, "epoll");
}

#[test]
fn a_new_pair() {
    let _alone = common::alone();
    let (a, placeholder) = Placeholder::with_flags(libc::O_NONBLOCK).unwrap();
    assert_eq!(polled(&a), Mask::OUT);
    assert_eq!(placeholder.mask(), Mask::OUT);
    assert_eq!(Identity::of(a.as_fd()), Ok(placeholder.identity()));
    // SAFETY: no memory involved.
    let flags = unsafe { libc::fcntl(a.as_raw_fd(), libc::F_GETFL) };
    assert_eq!(flags, libc::O_RDWR | libc::O_NONBLOCK);
    let (a, _placeholder) = Placeholder::new().unwrap();
    // SAFETY: no memory involved.
    let flags = unsafe { libc::fcntl(a.as_raw_fd(), libc::F_GETFL) };
    assert_eq!(flags, libc::O_RDWR);
}

/// Every reversible mask, from every other, and back.
#[test]
fn reversible_masks() {
    let _alone = common::alone();
    let masks = [
        Mask::empty(),
        Mask::IN,
        Mask::OUT,
        Mask::IN | Mask::OUT,
        Mask::IN | Mask::PRI,
        Mask::IN | Mask::OUT | Mask::PRI,
    ];
    let (a, mut placeholder) = Placeholder::new().unwrap();
    let level = Epoll::all(&a, 0);
    for _ in 0..20 {
        for from in masks {
            for to in masks {
                placeholder.show(from, Some(a.as_fd()));
                agree(&a, &placeholder, &level, from);
                // Without A: what rises has risen, what should fall stands, and that is said.
                let half = placeholder.show(to, None);
                agree(&a, &placeholder, &level, from | to);
                assert_eq!(
                    (half.mask, half.missing, half.excess),
                    (from | to, Mask::empty(), from - to)
                );
                assert_eq!(half.needs_a, !(from - to).is_empty(), "{from:?} {to:?}");
                let shown = placeholder.show(to, Some(a.as_fd()));
                agree(&a, &placeholder, &level, to);
                assert_eq!(
                    (shown.mask, shown.missing, shown.excess),
                    (to, Mask::empty(), Mask::empty())
                );
                assert!(!shown.needs_a && !shown.needs_replacing && !shown.rewatch);
            }
        }
    }
    assert!(!placeholder.released());
}

#[test]
fn pri_needs_in() {
    let _alone = common::alone();
    let (a, mut placeholder) = Placeholder::new().unwrap();
    let shown = placeholder.show(Mask::PRI | Mask::OUT, Some(a.as_fd()));
    assert_eq!((shown.missing, shown.excess), (Mask::empty(), Mask::IN));
    assert!(!shown.needs_a && !shown.needs_replacing);
    assert_eq!(polled(&a), Mask::PRI | Mask::OUT | Mask::IN);
}

#[test]
fn half_closed_both_ways() {
    let _alone = common::alone();
    let (a, mut placeholder) = Placeholder::new().unwrap();
    let level = Epoll::all(&a, 0);
    let read_closed = Mask::IN | Mask::RDHUP;
    for _ in 0..3 {
        for want in [read_closed, read_closed | Mask::OUT] {
            let shown = placeholder.show(want, Some(a.as_fd()));
            assert_eq!((shown.mask, shown.needs_replacing), (want, false));
            agree(&a, &placeholder, &level, want);
        }
    }
    assert_eq!(placeholder.signal_in(), Signalled::Final);
    // Connected anew: only with another pair.
    let shown = placeholder.show(Mask::OUT, Some(a.as_fd()));
    assert_eq!((shown.excess, shown.needs_replacing), (read_closed, true));
    agree(&a, &placeholder, &level, read_closed | Mask::OUT);

    let (a, mut placeholder) = Placeholder::new().unwrap();
    let level = Epoll::all(&a, 0);
    placeholder.block_out(a.as_fd());
    placeholder.close_send();
    agree(&a, &placeholder, &level, Mask::OUT);
    placeholder.signal_in();
    agree(&a, &placeholder, &level, Mask::OUT | Mask::IN);
    placeholder.drain_in(a.as_fd());
    let shown = placeholder.show(Mask::empty(), Some(a.as_fd()));
    assert_eq!((shown.excess, shown.needs_replacing), (Mask::OUT, true));
    // SAFETY: one byte is read.
    let sent = unsafe { libc::send(a.as_raw_fd(), b"x".as_ptr().cast(), 1, libc::MSG_NOSIGNAL) };
    assert_eq!(
        (sent, std::io::Error::last_os_error().raw_os_error()),
        (-1, Some(libc::EPIPE))
    );
    assert!(!placeholder.released());
    placeholder.rdhup();
    agree(&a, &placeholder, &level, HUNG_UP | Mask::OUT);
    assert!(!placeholder.released());
    drop(a);
    assert!(placeholder.released());
}

#[test]
fn hang_up_gives_out_back() {
    let _alone = common::alone();
    for blocked in [false, true] {
        for half_closed in [false, true] {
            let (a, mut placeholder) = Placeholder::new().unwrap();
            let level = Epoll::all(&a, 0);
            if blocked {
                placeholder.block_out(a.as_fd());
            }
            if half_closed {
                placeholder.rdhup();
            }
            let want = HUNG_UP | Mask::OUT;
            let shown = placeholder.show(want, None);
            assert_eq!((shown.mask, shown.rewatch), (want, false));
            agree(&a, &placeholder, &level, want);
            let shown = placeholder.show(HUNG_UP, Some(a.as_fd()));
            assert_eq!((shown.excess, shown.needs_a), (Mask::OUT, false));
            agree(&a, &placeholder, &level, want);
        }
    }
}

#[test]
fn what_is_not_asked_for_is_not_done_for_good() {
    let _alone = common::alone();
    let (a, mut placeholder) = Placeholder::new().unwrap();
    // A fresh TCP socket.
    let shown = placeholder.show(Mask::OUT | Mask::HUP, None);
    assert_eq!(
        (shown.mask, shown.missing, shown.excess),
        (Mask::OUT, Mask::HUP, Mask::empty())
    );
    assert!(!shown.needs_a && !shown.needs_replacing);
    // A datagram socket's error shows as IN.
    let shown = placeholder.show(Mask::OUT | Mask::ERR, None);
    assert_eq!(
        (shown.mask, shown.missing, shown.excess),
        (Mask::OUT | Mask::IN, Mask::ERR, Mask::IN)
    );
    assert!(!shown.needs_a);
    assert_eq!(polled(&a), Mask::OUT | Mask::IN);
    let shown = placeholder.show(Mask::OUT, Some(a.as_fd()));
    assert_eq!((shown.mask, polled(&a)), (Mask::OUT, Mask::OUT));
}

/// ERR from every state before, without A; it goes by SO_ERROR; the end of A is still seen.
#[test]
fn reset_and_its_end() {
    let _alone = common::alone();
    let reset = HUNG_UP | Mask::OUT | Mask::ERR;
    type Before = fn(&mut Placeholder, &OwnedFd);
    let states: [Before; 6] = [
        |_, _| {},
        |p, a| p.block_out(a.as_fd()),
        |p, a| {
            p.block_out(a.as_fd());
            p.unblock_out();
        },
        |p, _| {
            p.signal_in();
            p.signal_pri();
            p.signal_in();
        },
        |p, _| p.rdhup(),
        |p, _| p.close_send(),
    ];
    for (number, before) in states.into_iter().enumerate() {
        let (a, mut placeholder) = Placeholder::new().unwrap();
        let level = Epoll::all(&a, 0);
        let edge = Epoll::all(&a, libc::EPOLLET);
        before(&mut placeholder, &a);
        edge.wait();
        let pri = placeholder.mask() & Mask::PRI;
        let shown = placeholder.show(reset, None);
        assert!(shown.rewatch, "state {number}");
        assert_eq!(
            (shown.missing, shown.excess, shown.needs_a),
            (Mask::empty(), pri, !pri.is_empty())
        );
        agree(&a, &placeholder, &level, reset | pri);
        assert_eq!(edge.wait(), Some(reset | pri), "state {number}: an edge");
        assert!(!placeholder.show(reset, None).rewatch);

        let watched = Epoll::new(placeholder.watch().unwrap(), libc::EPOLLET);
        assert_eq!(watched.wait(), None);
        let want = HUNG_UP | Mask::OUT;
        let shown = placeholder.show(want, None);
        assert_eq!((shown.excess, shown.needs_a), (Mask::ERR | pri, true));
        let shown = placeholder.show(want, Some(a.as_fd()));
        assert_eq!(
            (shown.mask, shown.excess, shown.needs_a),
            (want, Mask::empty(), false),
            "{number}"
        );
        agree(&a, &placeholder, &level, want);
        assert!(
            placeholder.show(reset, Some(a.as_fd())).needs_replacing,
            "a second error"
        );

        let copy = a.try_clone().unwrap();
        drop((a, level, edge));
        assert!(!placeholder.released());
        assert_eq!(watched.wait(), None);
        drop(copy);
        assert!(placeholder.released());
        assert_eq!(watched.wait(), Some(Mask::HUP));
    }
}

/// The last copy's end is seen in every state, when it dies with another process, by a B registered at the start.
#[test]
fn the_end_of_the_last_copy() {
    let _alone = common::alone();
    type Before = fn(&mut Placeholder, &OwnedFd);
    let states: [Before; 6] = [
        |_, _| {},
        |p, _| {
            p.signal_in();
        },
        |p, a| p.block_out(a.as_fd()),
        |p, _| p.rdhup(),
        |p, _| p.hup(),
        |p, _| p.close_send(),
    ];
    for (number, before) in states.into_iter().enumerate() {
        let (a, mut placeholder) = Placeholder::new().unwrap();
        let watched = Epoll::new(placeholder.watch().unwrap(), libc::EPOLLET);
        before(&mut placeholder, &a);
        watched.wait(); // our own shutdown shows on B
        let kid = Kid::fork(|| {
            // SAFETY: no memory involved.
            unsafe { libc::pause() }
        });
        drop(a);
        assert!(
            !placeholder.released(),
            "state {number}: the child has a copy"
        );
        assert_eq!(watched.wait(), None, "state {number}");
        drop(kid); // SIGKILL
        assert!(placeholder.released(), "state {number}");
        assert!(watched.wait().is_some(), "state {number}: no event");
    }
}

/// Edge-triggered epoll, as a program uses it: an event for each arrival, none without one.
#[test]
fn edges() {
    let _alone = common::alone();
    let (a, mut placeholder) = Placeholder::new().unwrap();
    let edge = Epoll::all(&a, libc::EPOLLET);
    let only_in = Epoll::new(a.as_fd(), libc::EPOLLIN | libc::EPOLLET);
    assert_eq!(edge.wait(), Some(Mask::OUT));
    assert_eq!((edge.wait(), only_in.wait()), (None, None));
    for _ in 0..3 {
        assert_eq!(placeholder.signal_in(), Signalled::Edge);
        assert_eq!(edge.wait(), Some(Mask::IN | Mask::OUT));
        assert_eq!(only_in.wait(), Some(Mask::IN));
        assert_eq!((edge.wait(), only_in.wait()), (None, None));
    }
    // Shown already: no edge.
    placeholder.show(Mask::IN | Mask::OUT, Some(a.as_fd()));
    assert_eq!((edge.wait(), only_in.wait()), (None, None));
    // Falling: no edge for those who wait for IN.
    placeholder.show(Mask::OUT, Some(a.as_fd()));
    assert_eq!(only_in.wait(), None);
    edge.wait();
    placeholder.block_out(a.as_fd());
    assert_eq!(edge.wait(), None);
    placeholder.unblock_out();
    assert_eq!(edge.wait(), Some(Mask::OUT));
    assert_eq!(placeholder.signal_pri(), Signalled::Edge);
    assert_eq!(edge.wait(), Some(Mask::OUT | Mask::IN | Mask::PRI));
    placeholder.rdhup();
    assert_eq!(only_in.wait(), Some(Mask::IN));
    assert_eq!(
        edge.wait(),
        Some(Mask::OUT | Mask::IN | Mask::PRI | Mask::RDHUP)
    );
    placeholder.hup();
    assert_eq!(edge.wait(), Some(Mask::OUT | Mask::PRI | HUNG_UP));
    assert_eq!(edge.wait(), None);
}

/// Arrivals without end are counted, and refused without harm when there is no more room.
#[test]
fn wake_bytes_are_bounded() {
    let _alone = common::alone();
    let (a, mut placeholder) = Placeholder::new().unwrap();
    let mut count = 0;
    while placeholder.signal_in() == Signalled::Edge {
        count += 1;
        assert!(count < 100_000);
    }
    println!("{count} wake bytes fit");
    assert!(count >= 500, "{count}");
    assert_eq!(polled(&a), Mask::IN | Mask::OUT);
    placeholder.drain_in(a.as_fd());
    assert_eq!(polled(&a), Mask::OUT);
    assert_eq!(placeholder.signal_in(), Signalled::Edge);
    // Full, and then hung up: the canary has no room, yet the end is seen.
    while placeholder.signal_in() == Signalled::Edge {}
    let shown = placeholder.show(HUNG_UP | Mask::OUT | Mask::ERR, None);
    assert_eq!(shown.missing, Mask::ERR);
    assert_eq!(polled(&a), HUNG_UP | Mask::OUT);
    assert!(!placeholder.released());
    drop(a);
    assert!(placeholder.released());
}

/// Who takes a little of much again and again, and waits for edges, gets one for each arrival.
#[test]
fn no_edge_is_lost_while_something_is_left() {
    let _alone = common::alone();
    for packets in [false, true] {
        let mut pairs = Pairs::default();
        let made = if packets {
            pairs.make_packets(0)
        } else {
            pairs.make(0)
        };
        let (a, mut placeholder) = made.unwrap();
        let edge = Epoll::all(&a, libc::EPOLLET);
        edge.wait();
        for arrival in 0..6000 {
            assert_eq!(placeholder.signal_in(), Signalled::Edge, "{arrival}");
            assert_eq!(edge.wait(), Some(Mask::IN | Mask::OUT), "{arrival}");
            placeholder.thin(a.as_fd());
            assert_eq!(edge.wait(), None, "{arrival}: nothing new");
            assert_eq!(polled(&a), Mask::IN | Mask::OUT, "{arrival}");
        }
        placeholder.drain_in(a.as_fd());
        assert_eq!(polled(&a), Mask::OUT);
        // An urgent byte among them stays.
        if !packets {
            for _ in 0..100 {
                placeholder.signal_in();
            }
            placeholder.signal_pri();
            placeholder.thin(a.as_fd());
            assert_eq!(polled(&a), Mask::IN | Mask::OUT | Mask::PRI);
            placeholder.show(Mask::IN | Mask::OUT, Some(a.as_fd()));
            placeholder.thin(a.as_fd());
            assert_eq!(polled(&a), Mask::IN | Mask::OUT);
            placeholder.drain_in(a.as_fd());
            assert_eq!(polled(&a), Mask::OUT);
        }
    }
}

/// SIGURG and SIGIO work on A by themselves.
#[test]
fn signals_to_the_owner() {
    let _alone = common::alone();
    let (a, mut placeholder) = Placeholder::new().unwrap();
    let kid = Kid::fork(|| {
        // SAFETY: signal sets on the stack, descriptors of our own; the child is single-threaded.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&raw mut set);
            libc::sigaddset(&raw mut set, libc::SIGURG);
            libc::sigaddset(&raw mut set, libc::SIGIO);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
            libc::fcntl(a.as_raw_fd(), libc::F_SETOWN, libc::getpid());
            libc::fcntl(a.as_raw_fd(), libc::F_SETFL, libc::O_ASYNC);
            libc::raise(libc::SIGSTOP);
            let limit = libc::timespec {
                tv_sec: 10,
                tv_nsec: 0,
            };
            let one = libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const limit);
            let two = libc::sigtimedwait(&raw const set, std::ptr::null_mut(), &raw const limit);
            i32::from(one + two == libc::SIGURG + libc::SIGIO && one != two)
        }
    });
    // SAFETY: our child; stops at SIGSTOP.
    unsafe {
        let mut status = 0;
        libc::waitpid(kid.0, &raw mut status, libc::WUNTRACED);
        assert!(libc::WIFSTOPPED(status));
    }
    placeholder.signal_pri();
    // SAFETY: our child.
    unsafe { libc::kill(kid.0, libc::SIGCONT) };
    assert_eq!(kid.wait(), 1);
}

/// Both ends of a connection are closed at once: the one that is told of the other's end last must not
/// hide its own.
#[test]
fn hung_up_after_its_end() {
    for step in [
        Placeholder::hup,
        Placeholder::rdhup,
        |p: &mut Placeholder| {
            let _shown = p.err();
        },
    ] {
        let (a, mut placeholder) = Placeholder::new().unwrap();
        drop(a);
        step(&mut placeholder);
        assert!(placeholder.released());
    }
}

/// The end of A, after each way to hang up: what is watched wakes once more, and then it is released.
#[test]
fn the_end_is_there_when_it_is_told() {
    for _ in 0..200 {
        for step in [
            Placeholder::rdhup,
            Placeholder::hup,
            |p: &mut Placeholder| {
                p.rdhup();
                p.hup();
            },
        ] {
            let (a, mut placeholder) = Placeholder::new().unwrap();
            let watched = Epoll::new(placeholder.watch().unwrap(), libc::EPOLLET);
            step(&mut placeholder);
            // Hanging up wakes it, too.
            let _ = watched.wait();
            assert!(!placeholder.released());
            let closing = std::thread::spawn(move || drop(a));
            while watched.wait().is_none() {}
            assert!(placeholder.released());
            closing.join().unwrap();
        }
    }
}

/// Who waits for a hang-up sees it whole, and never IN alone.
#[test]
fn a_hang_up_comes_at_once() {
    for _ in 0..200 {
        let (a, mut placeholder) = Placeholder::new().unwrap();
        let waiting = std::thread::spawn(move || common::poll(a.as_fd(), libc::POLLIN, 5000));
        std::thread::yield_now();
        placeholder.hup();
        assert_eq!(waiting.join().unwrap(), libc::POLLIN | libc::POLLHUP);
    }
}

#[test]
fn each_of_many_is_released_by_itself() {
    let mut pairs = Pairs::default();
    let mut made: Vec<_> = (0..40)
        .map(|_| pairs.make(0).map(|(a, placeholder)| (Some(a), placeholder)))
        .collect::<Result<_, _>>()
        .unwrap();
    // From now on only the census tells.
    made.iter_mut()
        .for_each(|(_, placeholder)| placeholder.hup());
    for at in (0..40).step_by(3) {
        made[at].0 = None;
    }
    for (at, (a, placeholder)) in made.iter().enumerate() {
        assert_eq!(placeholder.released(), a.is_none(), "number {at}");
    }
}
