use super::*;
use std::string::ToString;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn translation(outside: bool, loopback: &[&str]) -> io::Result<Translation> {
    let loopback: Vec<IpAddr> = loopback.iter().map(|text| ip(text)).collect();
    Translation::new(&NatAddresses::default(), outside, &loopback)
}

#[test]
fn addresses_lead_where_they_should() {
    let closed = translation(false, &[]).unwrap();
    let open = translation(true, &["10.0.2.4", "fd00::4"]).unwrap();
    for (to, from_closed, from_open) in [
        ("10.0.2.3:53", Target::Resolver, Target::Resolver),
        ("10.0.2.3:54", Target::Gateway, Target::Gateway),
        ("10.0.2.2:53", Target::Gateway, Target::Gateway),
        ("[fd00::3]:53", Target::Resolver, Target::Resolver),
        (
            "10.0.2.9:1",
            Target::Nobody(Fault::Host),
            Target::Nobody(Fault::Host),
        ),
        (
            "10.0.2.4:80",
            Target::Nobody(Fault::Host),
            Target::Real(at("127.0.0.1:80")),
        ),
        (
            "[fd00::4]:80",
            Target::Nobody(Fault::Host),
            Target::Real(at("[::1]:80")),
        ),
        (
            "192.0.2.1:80",
            Target::Nobody(Fault::Net),
            Target::Real(at("192.0.2.1:80")),
        ),
        (
            "[2001:db8::1]:80",
            Target::Nobody(Fault::Net),
            Target::Real(at("[2001:db8::1]:80")),
        ),
    ] {
        assert_eq!(closed.target(at(to)), from_closed, "{to}");
        assert_eq!(open.target(at(to)), from_open, "{to}");
    }
    assert_eq!(open.seen(ip("127.0.0.53")), ip("10.0.2.4"));
    assert_eq!(closed.seen(ip("::1")), ip("fd00::2"));
    assert_eq!(open.seen(ip("192.0.2.1")), ip("192.0.2.1"));
}

#[test]
fn clients_keep_their_addresses() {
    let translation = translation(false, &[]).unwrap();
    let local = Some(ip("192.0.2.2"));
    for (client, seen) in [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.2", "10.0.2.2"),
        ("127.0.0.1", "10.0.2.2"),
        ("10.0.2.15", "10.0.2.2"),
        ("fe80::7", "fd00::2"),
        ("2001:db8::7", "2001:db8::7"),
    ] {
        let found = translation.client(ip(client), local).to_string();
        assert_eq!(found, seen, "{client}");
    }
}

#[test]
fn a_name_of_the_loopback_must_be_free() {
    for bad in [
        "127.0.0.2",
        "10.0.2.2",
        "10.0.2.15",
        "fd00::3",
        "224.0.0.1",
        "::",
    ] {
        assert!(translation(true, &[bad]).is_err(), "{bad}");
    }
    assert!(translation(true, &["10.0.2.4", "10.0.2.5"]).is_err());
}

#[test]
fn subnets_stand_beside_the_real_ones() {
    let none = NatAddresses::beside(&[ip("192.0.2.2"), ip("fe80::1")]);
    assert_eq!(none, NatAddresses::default());
    let other = NatAddresses::beside(&[ip("10.0.2.15"), ip("10.0.3.1"), ip("fd00::2")]);
    assert_eq!(other.v4.host, ip("10.55.2.15"));
    assert_eq!(other.v6.host, ip("fd00:0:0:1::15"));
    assert!(other.v4.covers(other.v4.gateway) && !other.v4.covers(ip("10.55.3.1")));
    assert!(other.v6.covers(other.v6.resolver) && !other.v6.covers(ip("fd00::15")));
}

#[test]
fn errors_are_what_they_are() {
    use rustix::io::Errno;
    for (errno, fault) in [
        (Errno::CONNREFUSED, Some(Fault::Port)),
        (Errno::NETUNREACH, Some(Fault::Net)),
        (Errno::HOSTUNREACH, Some(Fault::Host)),
        (Errno::ACCESS, Some(Fault::Prohibited)),
        (Errno::TIMEDOUT, None),
    ] {
        assert_eq!(Fault::of_errno(errno), fault, "{errno}");
    }
    for (v6, kind, code, fault) in [
        (false, 3, 3, Some(Fault::Port)),
        (true, 1, 4, Some(Fault::Port)),
        (false, 11, 0, Some(Fault::Time(0))),
        (true, 3, 0, Some(Fault::Time(0))),
        (false, 3, 4, Some(Fault::TooBig(1400))),
        (true, 2, 0, Some(Fault::TooBig(1400))),
        (true, 1, 1, Some(Fault::Prohibited)),
        (false, 3, 9, Some(Fault::Unreachable(9))),
        (false, 4, 0, None),
    ] {
        assert_eq!(Fault::of_icmp(v6, kind, code, 1400), fault, "{v6} {kind}");
    }
}
