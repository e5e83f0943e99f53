//! Tables about a lab: for `switchboard ctl`, `switchboard top` and the end.

use std::time::Duration;

use serde_json::{Value, json};
use switchboard::wires::{Plug, Wires};
use switchboard_device::{Cable, PipeCounters};
use switchboard_socket::{Host, SocketId};

use super::netem;
use super::plan::{Kind, Plan};

/// Columns of text, each as wide as its widest entry; the first row is the head.
pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |n: usize| {
        rows.iter()
            .filter_map(|row| row.get(n))
            .map(|c| c.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..count).map(|n| width(n).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line += &format!("{cell:width$}  ");
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// `1.234 s`
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// `1.5 MB`
pub(super) fn bytes(count: u64) -> String {
    let count = count as f64;
    for (unit, size) in [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)] {
        if count >= size {
            return format!("{:.1} {unit}", count / size);
        }
    }
    format!("{count} B")
}

/// One direction of a cable.
pub(super) struct Direction {
    pub(super) network: usize,
    pub(super) name: String,
    pub(super) counters: PipeCounters,
    pub(super) waiting: usize,
    pub(super) like: String,
}

/// Each direction of each cable: what a member sends, and behind a switch what it gets, where that is not as it is.
pub(super) fn directions(plan: &Plan, wires: &Wires, plugs: &[Vec<Plug>]) -> Vec<Direction> {
    let mut all = Vec::new();
    for (number, network) in plan.networks.iter().enumerate() {
        for (member, plug) in network.members.iter().zip(&plugs[number]) {
            let host = &plan.hosts[member.host].name;
            let mut push = |cable: Cable, name: String| {
                if let Some(pipe) = wires.pipe(*plug, cable) {
                    all.push(Direction {
                        network: number,
                        name,
                        counters: pipe.counters(),
                        waiting: pipe.queued().0,
                        like: netem::describe(pipe.config()),
                    });
                }
            };
            push(Cable::Up, format!("{}/{host}", network.name));
            if network.kind == Kind::Segment {
                push(Cable::Down, format!("{}/{host}/in", network.name));
            }
        }
    }
    all
}

/// `links`: what each direction has done.
pub(super) fn links(directions: &[Direction]) -> String {
    let head = [
        "DIRECTION",
        "SENT",
        "BYTES",
        "ARRIVED",
        "LOST",
        "QUEUE",
        "OTHER",
        "MARKED",
        "WAITING",
        "IS",
    ];
    let mut rows = vec![head.map(String::from).to_vec()];
    for direction in directions {
        let c = &direction.counters;
        let queue = c.queue_full + c.aqm_dropped;
        rows.push(vec![
            direction.name.clone(),
            c.sent.to_string(),
            bytes(c.sent_bytes),
            c.delivered.to_string(),
            c.lost.to_string(),
            queue.to_string(),
            (c.dropped() - c.lost - queue).to_string(),
            c.marked.to_string(),
            direction.waiting.to_string(),
            direction.like.clone(),
        ]);
    }
    columns(&rows)
}

/// The same for programs.
pub(super) fn links_json(directions: &[Direction]) -> Value {
    let all = directions.iter().map(|direction| {
        let c = &direction.counters;
        json!({
            "name": direction.name, "sent": c.sent, "sent_bytes": c.sent_bytes, "delivered": c.delivered,
            "delivered_bytes": c.delivered_bytes, "dropped": c.dropped(), "marked": c.marked,
            "waiting": direction.waiting, "is": direction.like,
        })
    });
    Value::Array(all.collect())
}

/// A socket of a host, by /proc/net.
pub(super) struct Socket {
    pub(super) kind: String,
    pub(super) state: &'static str,
    pub(super) local: String,
    pub(super) remote: String,
    pub(super) queues: (u64, u64),
}

/// By the number of tcp_states.h.
const STATES: [&str; 12] = [
    "",
    "ESTAB",
    "SYN-SENT",
    "SYN-RECV",
    "FIN-WAIT-1",
    "FIN-WAIT-2",
    "TIME-WAIT",
    "CLOSE",
    "CLOSE-WAIT",
    "LAST-ACK",
    "LISTEN",
    "CLOSING",
];

/// The Internet sockets of a host.
pub(super) fn sockets(host: &Host, now: switchboard_engine::Instant) -> Vec<Socket> {
    let mut all = Vec::new();
    for kind in ["tcp", "tcp6", "udp", "udp6"] {
        let Some(file) = host.proc_file(&format!("net/{kind}")) else {
            continue;
        };
        let none = |_: SocketId| 0;
        let text = host.proc_text(now, &none, &file);
        all.extend(text.lines().skip(1).filter_map(|line| socket(kind, line)));
    }
    all
}

fn socket(kind: &str, line: &str) -> Option<Socket> {
    let mut words = line.split_whitespace().skip(1);
    let (local, remote, state) = (words.next()?, words.next()?, words.next()?);
    let (out, incoming) = words.next()?.split_once(':')?;
    let number = |text: &str| u64::from_str_radix(text, 16).ok();
    let state = usize::try_from(number(state)?).ok()?;
    let state = match (kind.starts_with("udp"), state) {
        (true, 7) => "UNCONN",
        (_, state) => STATES.get(state).copied().unwrap_or("?"),
    };
    Some(Socket {
        kind: kind.to_owned(),
        state,
        local: name(local)?,
        remote: name(remote)?,
        queues: (number(incoming)?, number(out)?),
    })
}

/// `0100007F:0050`: words of the host's byte order.
fn name(text: &str) -> Option<String> {
    let (addr, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut octets = Vec::new();
    for word in addr.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        octets.extend(word.to_ne_bytes());
    }
    let addr = match octets.len() {
        4 => std::net::Ipv4Addr::from(<[u8; 4]>::try_from(octets).ok()?).to_string(),
        16 => format!(
            "[{}]",
            std::net::Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?)
        ),
        _ => return None,
    };
    match port {
        0 => Some(format!("{addr}:*")),
        port => Some(format!("{addr}:{port}")),
    }
}

/// Whether a host has a listening TCP socket on a port.
pub(super) fn listens(host: &Host, now: switchboard_engine::Instant, port: u16) -> bool {
    let end = format!(":{port}");
    let all = sockets(host, now);
    let mut all = all.iter().filter(|socket| socket.state == "LISTEN");
    all.any(|socket| socket.local.ends_with(&end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc_net_are_read() {
        let line = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 1 1";
        let socket = socket("tcp", line).unwrap();
        assert_eq!(
            (socket.state, socket.local.as_str()),
            ("LISTEN", "127.0.0.1:8080")
        );
        assert_eq!(
            (socket.remote.as_str(), socket.queues),
            ("0.0.0.0:*", (3, 0))
        );
        let six = name("00000000000000000000000001000000:0050").unwrap();
        assert_eq!(six, "[::1]:80");
    }

    #[test]
    fn columns_are_even() {
        let rows = [["A", "B"], ["long", "x"]].map(|row| row.map(String::from).to_vec());
        assert_eq!(columns(&rows), "A     B\nlong  x\n");
    }
}
