//! Rights, waiting, and results that are not delivered.
#![allow(missing_docs)]

mod common;

use common::{BASE, Guest, Msg, err, sockaddr_in};
use std::time::Duration;
use switchboard_abi::number::*;
use switchboard_abi::{Errno, Word};
use switchboard_socket::PollMask;
use switchboard_syscall::{Abandoned, Call, Interrupted, Pending, Progress};

const MSG: u64 = BASE + 0x1000;
const IOV: u64 = BASE + 0x2000;
const CTL: u64 = BASE + 0x3000;
const NAME: u64 = BASE + 0x4000;
const DATA: u64 = BASE + 0x5000;

#[test]
fn rights_arrive_fit_and_are_given_back() {
    for mut g in Guest::both() {
        let (a, b) = g.pair(SOCK_STREAM);
        let word = g.word;
        let fds: Vec<u8> = [a, b, a]
            .iter()
            .flat_map(|fd: &i32| fd.to_ne_bytes())
            .collect();
        let space = g.poke_cmsg(CTL, SOL_SOCKET, SCM_RIGHTS, &fds);
        g.poke(DATA, b"x");
        g.poke_words(IOV, &[DATA, 1]);
        let m = Msg {
            iov: IOV,
            iovlen: 1,
            control: CTL,
            controllen: space,
            ..Msg::default()
        };
        let send = |g: &mut Guest| {
            g.poke_cmsg(CTL, SOL_SOCKET, SCM_RIGHTS, &fds);
            g.poke_msghdr(MSG, m);
            assert_eq!(g.sendmsg(a, MSG, 0), 1);
        };
        let recv = Call::Recvmsg {
            fd: b,
            msg: MSG,
            flags: MSG_CMSG_CLOEXEC,
        };
        send(&mut g);
        assert_eq!(g.table.held(), 3);

        // Not delivered: the descriptors go again, the message stays.
        let mut pending = Pending::new(recv, word);
        let Progress::Ready(reply) = g.attempt(&mut pending) else {
            panic!("waits")
        };
        assert_eq!(g.table.files.iter().flatten().count(), 5);
        assert_eq!(g.abandon(reply), Abandoned::Undone);
        assert_eq!(g.table.files.iter().flatten().count(), 2);
        assert_eq!(g.table.held(), 3);

        g.poke_msghdr(MSG, m);
        assert_eq!(g.call(recv), 1);
        assert_eq!(g.table.held(), 0);
        let layout = word.msghdr();
        assert_eq!(g.word_at(MSG + layout.controllen as u64), space);
        assert_eq!(g.int(MSG + layout.flags as u64), MSG_CMSG_CLOEXEC);
        let first = CTL + word.cmsghdr_size() as u64;
        assert_eq!(
            [g.int(first), g.int(first + 4), g.int(first + 8)],
            [2, 3, 4]
        );
        assert_eq!(g.word_at(CTL), word.cmsg_len(12) as u64);
        assert!(g.table.get(3).unwrap().cloexec);
        assert_eq!(g.socket_of(3), g.socket_of(b));

        // Room for two: the third is closed.
        send(&mut g);
        let room = word.cmsg_len(8) as u64;
        g.poke_msghdr(
            MSG,
            Msg {
                controllen: room,
                ..m
            },
        );
        assert_eq!(
            g.call(Call::Recvmsg {
                fd: b,
                msg: MSG,
                flags: 0
            }),
            1
        );
        assert_eq!(g.int(MSG + layout.flags as u64), MSG_CTRUNC);
        assert_eq!(g.word_at(CTL), room);
        assert_eq!(g.table.files.iter().flatten().count(), 7);
        assert_eq!(g.table.held(), 0);

        // Nobody asks for them.
        send(&mut g);
        assert_eq!(g.recv(b).unwrap(), b"x");
        assert_eq!(g.table.held(), 0);
        // A bad one: none is kept.
        let fds: Vec<u8> = [a, 99]
            .iter()
            .flat_map(|fd: &i32| fd.to_ne_bytes())
            .collect();
        let controllen = g.poke_cmsg(CTL, SOL_SOCKET, SCM_RIGHTS, &fds);
        g.poke_msghdr(MSG, Msg { controllen, ..m });
        assert_eq!(g.sendmsg(a, MSG, 0), err(Errno::EBADF));
        assert_eq!(g.table.held(), 0);
    }
}

#[test]
fn a_result_that_was_not_delivered_did_not_happen() {
    for ty in [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET] {
        let mut g = Guest::new(Word::Lp64);
        let (a, b) = g.pair(ty);
        g.poke(DATA, b"once");
        let send = Call::Write {
            fd: a,
            buf: DATA,
            len: 4,
        };
        let Progress::Ready(reply) = g.attempt(&mut Pending::new(send, g.word)) else {
            panic!()
        };
        assert_eq!(reply.value, 4);
        assert_eq!(g.abandon(reply), Abandoned::Undone);
        assert_eq!(g.recv(b), Err(Errno::EAGAIN));
        assert_eq!(g.call(send), 4);
        let recv = Call::Read {
            fd: b,
            buf: DATA,
            len: 100,
        };
        let Progress::Ready(reply) = g.attempt(&mut Pending::new(recv, g.word)) else {
            panic!()
        };
        assert_eq!(reply.value, 4);
        assert_eq!(g.abandon(reply), Abandoned::Undone);
        assert_eq!(g.call(recv), 4);
        assert_eq!(g.recv(b), Err(Errno::EAGAIN));
    }
    // A connection stays in the queue.
    let mut g = Guest::new(Word::Lp64);
    let (listener, client) = (
        g.socket(AF_INET, SOCK_STREAM),
        g.socket(AF_INET, SOCK_STREAM),
    );
    g.poke(NAME, &sockaddr_in(7005));
    assert_eq!(g.bind(listener, NAME), 0);
    assert_eq!(
        g.call(Call::Listen {
            fd: listener,
            backlog: 1
        }),
        0
    );
    assert_eq!(g.connect(client, NAME), 0);
    let accept = Call::Accept {
        fd: listener,
        addr: 0,
        addrlen: 0,
        flags: None,
    };
    let Progress::Ready(reply) = g.attempt(&mut Pending::new(accept, g.word)) else {
        panic!()
    };
    assert_eq!(g.abandon(reply), Abandoned::Undone);
    assert_eq!(g.call(accept), 2);
    // Binding cannot be taken back, and says so.
    let socket = g.socket(AF_INET, SOCK_STREAM);
    g.poke(NAME, &sockaddr_in(7006));
    let bind = Call::Bind {
        fd: socket,
        addr: NAME,
        len: 16,
    };
    let Progress::Ready(reply) = g.attempt(&mut Pending::new(bind, g.word)) else {
        panic!()
    };
    assert_eq!(g.abandon(reply), Abandoned::Happened);
    // An address that cannot be told loses the connection.
    let client = g.socket(AF_INET, SOCK_STREAM);
    g.poke(NAME, &sockaddr_in(7005));
    assert_eq!(g.connect(client, NAME), 0);
    let accept = Call::Accept {
        fd: listener,
        addr: 8,
        addrlen: NAME,
        flags: None,
    };
    assert_eq!(g.call(accept), err(Errno::EFAULT));
    assert_eq!(g.recv(client), Ok(vec![]));
}

#[test]
fn waiting_timing_out_and_being_interrupted() {
    for mut g in Guest::both() {
        let (a, b) = g.pair(SOCK_STREAM);
        let recv = Call::Recv {
            fd: b,
            buf: DATA,
            len: 4,
            flags: 0,
        };
        let (mut pending, parked) = g.park(recv);
        assert_eq!((parked.socket, parked.deadline), (g.socket_of(b), None));
        assert!(parked.interest.contains(PollMask::IN));
        assert_eq!(g.send(a, b"ab"), 2);
        assert_eq!(g.go_on(&mut pending), Ok(2));
        // MSG_WAITALL: the partial count when a signal comes, with everything in place after it.
        let all = Call::Recv {
            fd: b,
            buf: DATA,
            len: 4,
            flags: MSG_WAITALL,
        };
        let (mut pending, _) = g.park(all);
        assert_eq!(g.send(a, b"cd"), 2);
        assert!(g.go_on(&mut pending).is_err());
        match g.interrupt(pending) {
            Interrupted::Reply(reply) => assert_eq!(g.deliver(reply), 2),
            Interrupted::Restart => panic!("restart"),
        }
        assert_eq!(g.peek(DATA, 2), b"cd");
        let (pending, _) = g.park(recv);
        assert!(matches!(g.interrupt(pending), Interrupted::Restart));
        let (pending, _) = g.park(all);
        assert_eq!(g.send(a, b"ef"), 2);
        g.give_up(pending);
        assert_eq!(g.recv(b).unwrap(), b"ef");
        // SO_RCVTIMEO: EAGAIN when it passes, EINTR when a signal comes.
        g.poke_words(DATA, &[2, 0]);
        let len = g.word.old_time_size() as i32;
        let name = SO_RCVTIMEO_OLD;
        assert_eq!(
            g.call(Call::Setsockopt {
                fd: b,
                level: 1,
                name,
                value: DATA,
                len
            }),
            0
        );
        let (mut pending, parked) = g.park(recv);
        assert_eq!(parked.deadline, Some(g.now + Duration::from_secs(2)));
        g.now += Duration::from_secs(1);
        assert_eq!(g.go_on(&mut pending).unwrap_err().deadline, parked.deadline);
        g.now += Duration::from_secs(1);
        assert_eq!(g.go_on(&mut pending), Ok(err(Errno::EAGAIN)));
        let (pending, _) = g.park(recv);
        match g.interrupt(pending) {
            Interrupted::Reply(reply) => assert_eq!(g.deliver(reply), err(Errno::EINTR)),
            Interrupted::Restart => panic!("restart"),
        }
    }
}

#[test]
fn a_long_send_goes_piece_by_piece_and_can_be_resumed() {
    for mut g in Guest::both() {
        g.poke_int(DATA, 20_000);
        let (a, b) = g.pair(SOCK_STREAM);
        assert_eq!(
            g.call(Call::Setsockopt {
                fd: a,
                level: 1,
                name: SO_SNDBUF,
                value: DATA,
                len: 4
            }),
            0
        );
        let data: Vec<u8> = (0..150_000u32).map(|i| (i % 249) as u8).collect();
        g.poke(DATA, &data);
        let send = Call::Send {
            fd: a,
            buf: DATA,
            len: 150_000,
            flags: 0,
        };
        let (mut pending, parked) = g.park(send);
        assert!(parked.interest.contains(PollMask::OUT));
        let mut all = g.recv(b).unwrap();
        assert!(g.go_on(&mut pending).is_err());
        let (done, digest) = pending.sent_so_far().unwrap();
        assert!(done > all.len() && done < data.len());
        // The call is interrupted, nobody was told, and it is made again.
        g.give_up(pending);
        let mut again = Pending::new(send, g.word);
        again.resume(done, digest, &mut g.ram);
        let value = loop {
            match g.go_on(&mut again) {
                Ok(value) => break value,
                Err(_) => all.extend(g.recv(b).unwrap()),
            }
        };
        assert_eq!(value, 150_000);
        while let Ok(more) = g.recv(b) {
            all.extend(more);
        }
        assert!(all == data);
        // Other bytes are another call.
        let (mut other, _) = g.park(send);
        let (done, digest) = other.sent_so_far().unwrap();
        g.poke(DATA, b"!");
        let mut third = Pending::new(send, g.word);
        third.resume(done, digest, &mut g.ram);
        while g.recv(b).is_ok() {}
        assert!(g.go_on(&mut third).is_err());
        assert_eq!(&g.recv(b).unwrap()[..1], b"!");
        // A non-blocking one takes what there is room for, undone until it is delivered.
        while g.recv(b).is_ok() {}
        let call = Call::Send {
            fd: a,
            buf: DATA,
            len: 150_000,
            flags: MSG_DONTWAIT,
        };
        let Progress::Ready(reply) = g.attempt(&mut Pending::new(call, g.word)) else {
            panic!()
        };
        assert!(reply.value > 0 && reply.value < 150_000);
        assert_eq!(g.abandon(reply), Abandoned::Undone);
        assert_eq!(g.recv(b), Err(Errno::EAGAIN));
        let _ = g.go_on(&mut other);
    }
}
