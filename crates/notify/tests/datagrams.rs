//! What the host kernel really shows on the placeholder of a datagram socket.

mod common;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use switchboard_notify::{Closing, Closings, DatagramPlaceholder, Mask, Pairs, Signalled};

const ALL: i16 = libc::POLLIN | libc::POLLOUT | libc::POLLPRI | libc::POLLRDHUP;

fn pair() -> (OwnedFd, DatagramPlaceholder, Closings) {
    let closings = Closings::new().unwrap();
    let (a, placeholder) = Pairs::default().make_datagrams(&closings, 0).unwrap();
    (a, placeholder, closings)
}

fn polled(a: &OwnedFd) -> Mask {
    Mask::from_bits(common::poll(a.as_fd(), ALL, 0) as u16).unwrap()
}

#[track_caller]
fn agree(a: &OwnedFd, placeholder: &DatagramPlaceholder, expected: Mask) {
    assert_eq!(placeholder.mask(), expected, "mask()");
    assert_eq!(polled(a), expected, "poll");
}

/// The edges of everything.
struct Edges(OwnedFd);

impl Edges {
    fn of(fd: BorrowedFd<'_>) -> Edges {
        // SAFETY: a new descriptor, nobody else knows it; the kernel reads one event.
        let edges = unsafe {
            let epoll = OwnedFd::from_raw_fd(libc::epoll_create1(libc::EPOLL_CLOEXEC));
            let mut event = libc::epoll_event {
                events: ALL as u32 | libc::EPOLLET as u32,
                u64: 0,
            };
            let (add, ours) = (libc::EPOLL_CTL_ADD, epoll.as_raw_fd());
            let added = libc::epoll_ctl(ours, add, fd.as_raw_fd(), &raw mut event);
            assert_eq!(added, 0);
            Edges(epoll)
        };
        edges.wait();
        edges
    }

    fn wait(&self) -> Mask {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: room for one event.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), &raw mut event, 1, 0) };
        assert!(count >= 0);
        Mask::from_bits_truncate({ event.events } as u16)
    }
}

fn closed(closings: &Closings) -> Vec<Closing> {
    let mut told = Vec::new();
    closings.read(|closing| told.push(closing));
    told
}

/// IN, OUT and ERR, which has OUT with it, in each combination; from each other, and back.
#[test]
fn every_mask() {
    let _alone = common::alone();
    let err = Mask::ERR | Mask::OUT;
    let masks = [
        Mask::empty(),
        Mask::IN,
        Mask::OUT,
        Mask::IN | Mask::OUT,
        err,
        Mask::IN | err,
    ];
    let (a, mut placeholder, _closings) = pair();
    for _ in 0..20 {
        for from in masks {
            for to in masks {
                let shown = placeholder.show(from, Some(a.as_fd()));
                assert_eq!((shown.mask, shown.needs_replacing), (from, false));
                agree(&a, &placeholder, from);
                // Without A: what rises has risen, what should fall stands, and that is said.
                let half = placeholder.show(to, None);
                assert_eq!(half.mask, from | to);
                agree(&a, &placeholder, half.mask);
                assert_eq!(half.needs_a, half.mask != to, "{from:?} {to:?}");
                placeholder.show(to, Some(a.as_fd()));
                agree(&a, &placeholder, to);
            }
        }
    }
}

/// The error stays, and a full buffer is none beside it.
#[test]
fn an_error_brings_room() {
    let _alone = common::alone();
    let (a, mut placeholder, _closings) = pair();
    placeholder.show(Mask::empty(), Some(a.as_fd()));
    agree(&a, &placeholder, Mask::empty());
    let shown = placeholder.show(Mask::ERR, Some(a.as_fd()));
    assert_eq!((shown.excess, shown.needs_a), (Mask::OUT, false));
    agree(&a, &placeholder, Mask::ERR | Mask::OUT);
    placeholder.show(Mask::empty(), Some(a.as_fd()));
    agree(&a, &placeholder, Mask::empty());
}

#[test]
fn each_error_is_an_edge() {
    let _alone = common::alone();
    let (a, mut placeholder, _closings) = pair();
    let edges = Edges::of(a.as_fd());
    for _ in 0..5 {
        placeholder.signal_err();
        assert_eq!(edges.wait(), Mask::OUT | Mask::ERR);
        assert_eq!(edges.wait(), Mask::empty());
    }
    assert_eq!(placeholder.signal_in(), Signalled::Edge);
    assert_eq!(edges.wait(), Mask::IN | Mask::OUT | Mask::ERR);
    placeholder.show(Mask::OUT, Some(a.as_fd()));
    agree(&a, &placeholder, Mask::OUT);
    placeholder.signal_err();
    assert_eq!(edges.wait(), Mask::OUT | Mask::ERR);
}

#[test]
fn an_error_is_urgent_where_that_is_wanted() {
    let (a, mut placeholder, _closings) = pair();
    placeholder.signal_err();
    placeholder.set_select_err(a.as_fd(), true);
    agree(&a, &placeholder, Mask::OUT | Mask::ERR | Mask::PRI);
    placeholder.show(Mask::OUT, Some(a.as_fd()));
    agree(&a, &placeholder, Mask::OUT);
    placeholder.signal_err();
    placeholder.set_select_err(a.as_fd(), false);
    agree(&a, &placeholder, Mask::OUT | Mask::ERR);
}

#[test]
fn many_arrivals() {
    let (a, mut placeholder, _closings) = pair();
    let told = (0..1000).filter(|_| placeholder.signal_in() == Signalled::Edge);
    assert!(told.count() >= 250);
    placeholder.show(Mask::OUT, Some(a.as_fd()));
    agree(&a, &placeholder, Mask::OUT);
    // None is lost as long as somebody makes calls.
    for arrival in 0..6000 {
        assert_eq!(placeholder.signal_in(), Signalled::Edge, "{arrival}");
        placeholder.thin(a.as_fd());
        agree(&a, &placeholder, Mask::IN | Mask::OUT);
    }
}

#[test]
fn shut_down_for_good() {
    let (a, mut placeholder, _closings) = pair();
    let end = Mask::IN | Mask::RDHUP;
    let without = placeholder.show(end | Mask::OUT, None);
    assert!(without.needs_a);
    placeholder.show(end | Mask::OUT, Some(a.as_fd()));
    agree(&a, &placeholder, end | Mask::OUT);
    placeholder.signal_err();
    agree(&a, &placeholder, end | Mask::OUT | Mask::ERR);
    let all = end | Mask::HUP | Mask::OUT;
    placeholder.show(all, Some(a.as_fd()));
    agree(&a, &placeholder, all);
    let shown = placeholder.show(Mask::OUT, Some(a.as_fd()));
    assert!(shown.needs_replacing);
}

#[test]
fn the_last_close_is_told() {
    let (a, placeholder, closings) = pair();
    let copy = a.try_clone().unwrap();
    drop(a);
    assert_eq!(closed(&closings), []);
    assert!(!placeholder.released());
    drop(copy);
    assert_eq!(closed(&closings), [Closing::Of(placeholder.watch_number())]);
    assert!(placeholder.released());
    drop(placeholder);
    assert_eq!(closed(&closings), []);
}

#[test]
fn nobody_else_may_send_to_it() {
    let (a, mut placeholder, _closings) = pair();
    placeholder.signal_err();
    placeholder.show(Mask::OUT, Some(a.as_fd()));
    let mut name = [0u8; 110];
    let mut len = name.len() as u32;
    // SAFETY: the kernel writes at most `len` bytes; sendto reads as many as it wrote.
    let sent = unsafe {
        libc::getsockname(a.as_raw_fd(), name.as_mut_ptr().cast(), &raw mut len);
        let other = OwnedFd::from_raw_fd(libc::socket(libc::AF_UNIX, libc::SOCK_DGRAM, 0));
        let to = name.as_ptr().cast();
        libc::sendto(other.as_raw_fd(), [0u8].as_ptr().cast(), 1, 0, to, len)
    };
    assert_eq!(sent, -1);
    let errno = std::io::Error::last_os_error().raw_os_error();
    assert_eq!(errno, Some(libc::EPERM));
    agree(&a, &placeholder, Mask::OUT);
}
