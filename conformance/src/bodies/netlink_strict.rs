//! NETLINK_GET_STRICT_CHK of netlink(7): headers and attributes of requests to read.

use super::netlink::{Answer, answers, attribute, request, route};
use super::netlink_route::{ASK, GETADDR, GETROUTE};
use crate::check::{Got, Outcome, eq, ok, ret};
use crate::kernel::Kernel;
use crate::registry::tests;
use libc::{EINVAL, ENETUNREACH, EOPNOTSUPP, NETLINK_GET_STRICT_CHK, NLM_F_DUMP, SOL_NETLINK};

tests! {
    attributes_of_dumps,
    headers_of_neighbours_and_rules,
    one_route,
    a_short_request_for_a_route,
}

const GETLINK: u16 = 18;
const GETNEIGH: u16 = 30;
const GETRULE: u16 = 34;

/// The error that ends the answer, for a socket that is checked and for one that is not.
fn both(k: &mut dyn Kernel, kind: u16, flags: u16, body: &[u8]) -> Got<(i32, i32)> {
    let mut errors = [0; 2];
    for (strict, error) in [1, 0].into_iter().zip(&mut errors) {
        let fd = route(k)?;
        ret!(
            k.set_int(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, strict),
            0
        );
        let m = request(kind, flags, 3, body);
        ret!(k.send(fd, &m, 0), m.len());
        let last: Option<Answer> = answers(k, fd).pop();
        ok!(k.close(fd));
        *error = last.map_or(0, |m| match m.kind {
            2 | 3 => -m.errno(),
            _ => 0,
        });
    }
    Ok((errors[0], errors[1]))
}

fn dump(k: &mut dyn Kernel, kind: u16, body: &[u8]) -> Got<(i32, i32)> {
    both(k, kind, 1 | NLM_F_DUMP as u16, body)
}

fn attributes_of_dumps(k: &mut dyn Kernel) -> Outcome {
    let one = 1u32.to_ne_bytes();
    for (kind, head, known, unknown) in [
        (GETLINK, 16, 29, 1),
        (GETADDR, 8, 0, 1),
        (GETADDR, 8, 0, 3),
        (GETROUTE, 12, 15, 6),
        (GETROUTE, 12, 0, 7),
        (GETNEIGH, 12, 9, 1),
    ] {
        let mut body = vec![0; head];
        if kind == GETROUTE {
            body[0] = libc::AF_INET as u8;
        }
        eq!(dump(k, kind, &body)?, (0, 0));
        let with = |of: u16| [body.clone(), attribute(of, &one)].concat();
        if kind != GETROUTE && known > 0 {
            eq!(dump(k, kind, &with(known))?, (0, 0));
        }
        eq!(
            (kind, unknown, dump(k, kind, &with(unknown))?),
            (kind, unknown, (EINVAL, 0))
        );
    }
    Ok(())
}

fn headers_of_neighbours_and_rules(k: &mut dyn Kernel) -> Outcome {
    for kind in [GETNEIGH, GETRULE] {
        eq!(dump(k, kind, &[0; 12])?, (0, 0));
        eq!(dump(k, kind, &[0; 4])?, (EINVAL, 0));
        for at in 1..12 {
            let mut body = [0; 12];
            body[at] = 4;
            eq!((kind, at, dump(k, kind, &body)?.0), (kind, at, EINVAL));
        }
    }
    eq!(dump(k, GETRULE, &[0; 16])?, (EINVAL, 0));
    Ok(())
}

fn one_route(k: &mut dyn Kernel) -> Outcome {
    for (family, lo) in [(2u8, &[127u8, 0, 0, 1][..]), (10, &[0; 15])] {
        let bits = if family == 2 { 32 } else { 128 };
        let lo = if family == 2 {
            lo.to_vec()
        } else {
            [lo, &[1]].concat()
        };
        let ask = |at: usize, value: u8| {
            let mut head = [0; 12];
            (head[0], head[1]) = (family, bits);
            head[at] = value;
            [head.to_vec(), attribute(1, &lo)].concat()
        };
        eq!(both(k, GETROUTE, ASK, &ask(1, bits))?, (0, 0));
        for (at, value) in [
            (1, 0),
            (1, 7),
            (2, 7),
            (4, 254),
            (5, 1),
            (6, 1),
            (7, 1),
            (9, 1),
        ] {
            let got = both(k, GETROUTE, ASK, &ask(at, value))?;
            // RTM_F_NOTIFY is one of IPv4.
            let fine = family == 2 && at == 9;
            let expected = (if fine { 0 } else { EINVAL }, 0);
            eq!((family, at, got), (family, at, expected));
        }
        // RTA_PRIORITY
        let more = [ask(1, bits), attribute(6, &1u32.to_ne_bytes())].concat();
        eq!(both(k, GETROUTE, ASK, &more)?, (EINVAL, 0));
    }
    Ok(())
}

fn a_short_request_for_a_route(k: &mut dyn Kernel) -> Outcome {
    // No family but those of IP has a way, whatever the rest is.
    for family in [0, 7, 17] {
        eq!(both(k, GETROUTE, ASK, &[family])?.1, EOPNOTSUPP);
        eq!(both(k, GETROUTE, ASK, &[family, 0, 0, 0])?.1, EOPNOTSUPP);
    }
    eq!(both(k, GETROUTE, ASK, &[2])?.1, EINVAL);
    // The unspecified address is no way to this host.
    if !std::fs::read_to_string("/proc/net/ipv6_route").is_ok_and(|text| defaults(&text)) {
        let any = [&[10u8][..], &[0; 11]].concat();
        eq!(both(k, GETROUTE, ASK, &any)?.1, ENETUNREACH);
    }
    Ok(())
}

/// Whether a way to everywhere is among them that is not refused by way of lo.
fn defaults(text: &str) -> bool {
    let mut lines = text.lines();
    lines.any(|line| line[33..].starts_with("00 ") && !line.trim_end().ends_with(" lo"))
}
