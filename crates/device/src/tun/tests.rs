use super::*;
use core::net::{IpAddr, Ipv4Addr};
use nix::poll::{PollFd, PollFlags, poll};
use nix::sched::{CloneFlags, unshare};
use std::eprintln;
use std::net::UdpSocket;
use std::process::Command;
use std::string::ToString;
use std::thread;
use switchboard_wire::{Body, IpHeader, Payload, UdpDatagram};

const OURS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const THEIRS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// Runs `test` on a thread with a network of its own. False, with a line that says so, where that is not allowed.
fn apart(test: fn()) -> bool {
    let allowed = thread::spawn(move || {
        let made = unshare(CloneFlags::CLONE_NEWNET).is_ok() && File::open("/dev/net/tun").is_ok();
        if made {
            test();
        }
        made
    });
    let allowed = allowed.join().expect("the test's thread");
    if !allowed {
        eprintln!("left out: no network namespace or no /dev/net/tun here");
    }
    allowed
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.is_ok_and(|s| s.success()), "ip {arguments}");
}

fn open(name: &str, kind: TunKind) -> io::Result<Tun> {
    Tun::open(&TunConfig {
        name: name.to_string(),
        kind,
        multi_queue: false,
    })
}

fn next(tun: &mut Tun) -> Packet {
    loop {
        // The kernel itself has things to say on a new interface (MLD, router solicitation).
        match tun.recv_packet().expect("read") {
            Some(packet) if matches!(packet.body, Body::Udp(_)) => return packet,
            Some(_) => continue,
            None => {}
        }
        let mut fds = [PollFd::new(tun.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, 5000u16), Ok(1), "nothing came");
    }
}

#[test]
fn packets_cross() {
    apart(|| {
        let mut tun = open("", TunKind::Tun).expect("a new device");
        assert_eq!((tun.name(), tun.kind()), ("tun0", TunKind::Tun));
        ip("addr add 10.77.0.1/24 dev tun0");
        ip("link set tun0 up");
        let socket = UdpSocket::bind((THEIRS, 7000)).expect("a socket");
        socket.send_to(b"there", (OURS, 7)).expect("sent");
        let packet = next(&mut tun);
        let Body::Udp(udp) = packet.body else {
            panic!("{packet:?}");
        };
        assert_eq!(packet.ip.src, IpAddr::from(THEIRS));
        assert_eq!((udp.src_port, udp.dst_port), (7000, 7));
        assert_eq!(udp.payload.to_vec(), b"there");
        tun.send_packet(&Packet {
            ip: IpHeader::new(OURS.into(), THEIRS.into()),
            body: Body::Udp(UdpDatagram {
                src_port: 7,
                dst_port: 7000,
                payload: Payload::from(&b"and back"[..]),
                segment: 0,
                unsummed: false,
                lite: None,
            }),
        })
        .expect("written");
        let mut buffer = [0; 64];
        let (n, from) = socket.recv_from(&mut buffer).expect("received");
        assert_eq!(&buffer[..n], b"and back");
        assert_eq!(from, (OURS, 7).into());
        assert_eq!(tun.malformed(), 0);
    });
}

#[test]
fn a_persistent_device_stays() {
    apart(|| {
        let tap = open("frames%d", TunKind::Tap).expect("a new device");
        assert_eq!(tap.name(), "frames0");
        tap.set_persistent(true).expect("persistent");
        drop(tap);
        // TUNSETIFF: the device is there, and of the other kind.
        let error = open("frames0", TunKind::Tun).expect_err("a TAP device");
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
        let tap = open("frames0", TunKind::Tap).expect("the device that stayed");
        let error = open("frames0", TunKind::Tap).expect_err("taken");
        assert_eq!(error.raw_os_error(), Some(libc::EBUSY));
        tap.set_persistent(false).expect("no longer");
        drop(tap);
        let tun = open("frames0", TunKind::Tun).expect("a new one");
        assert_eq!(tun.name(), "frames0");
    });
}

#[test]
fn names_are_checked() {
    for name in ["sixteen-letters-", "a\0b"] {
        let error = open(name, TunKind::Tun).expect_err("no name of an interface");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}
