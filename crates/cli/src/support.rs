//! `switchboard support`: what is implemented, option by option.

use std::fmt::Write;
use switchboard_abi::number::{SOL_IP, SOL_IPV6, SOL_SOCKET, SOL_TCP, SOL_UDP, SOL_UDPLITE};
use switchboard_socket::{OptionRow, Status, support_table};
use switchboard_syscall::{Kind, SupportRow, support};

/// A line to a string, which takes everything.
macro_rules! put {
    ($out:expr, $($format:tt)+) => {{
        let _ = writeln!($out, $($format)+);
    }};
}

pub(crate) fn text(json: bool, markdown: bool) -> String {
    let mut out = String::new();
    if markdown {
        put_markdown(&mut out);
    } else if json {
        let rows: Vec<_> = support_table().iter().map(to_json).collect();
        let others: Vec<_> = support().iter().map(other_to_json).collect();
        put!(
            out,
            "{}",
            serde_json::json!({ "rows": others, "options": rows })
        );
    } else {
        for row in support() {
            let note = if row.note.is_empty() {
                String::new()
            } else {
                format!("  {}", row.note)
            };
            put!(
                out,
                "{:12} {:28} {}{note}",
                kind(row.kind),
                row.name,
                word(row.status)
            );
        }
        for row in support_table() {
            let note = if row.note.is_empty() {
                String::new()
            } else {
                format!("  {}", row.note)
            };
            put!(
                out,
                "{:12} {:28} {}{note}",
                level(row),
                row.name,
                status(row)
            );
        }
    }
    out
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Family => "family",
        Kind::Call => "call",
        Kind::Flag => "flag",
        Kind::Ioctl => "ioctl",
        Kind::Control => "control",
        Kind::Sysctl => "sysctl",
        Kind::Proc => "proc",
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Done => "done",
        Status::Stored => "stored",
        Status::Refused => "refused",
    }
}

fn other_to_json(row: &SupportRow) -> serde_json::Value {
    serde_json::json!({
        "kind": kind(row.kind), "name": row.name, "status": word(row.status), "note": row.note,
    })
}

/// The table of the README: a line a kind or level and status.
fn put_markdown(out: &mut String) {
    put!(out, "| what | status | names |");
    put!(out, "|---|---|---|");
    for wanted_kind in [
        Kind::Family,
        Kind::Call,
        Kind::Flag,
        Kind::Ioctl,
        Kind::Control,
        Kind::Sysctl,
        Kind::Proc,
    ] {
        for wanted in ["done", "stored", "refused"] {
            let names: Vec<_> = support()
                .iter()
                .filter(|row| row.kind == wanted_kind && word(row.status) == wanted)
                .map(|row| match row.note {
                    "" => row.name.to_owned(),
                    note => format!("{} ({note})", row.name),
                })
                .collect();
            if !names.is_empty() {
                put!(
                    out,
                    "| {} | {wanted} | {} |",
                    kind(wanted_kind),
                    names.join("; ")
                );
            }
        }
    }
    for level_number in [SOL_SOCKET, SOL_TCP, SOL_UDP, SOL_UDPLITE, SOL_IP, SOL_IPV6] {
        for wanted in ["done", "done, read-only", "stored", "refused"] {
            let names: Vec<_> = support_table()
                .iter()
                .filter(|row| row.level == level_number && status(row) == wanted)
                .map(|row| match row.note {
                    "" => row.name.to_owned(),
                    note => format!("{} ({note})", row.name),
                })
                .collect();
            if let Some(row) = support_table().iter().find(|row| row.level == level_number)
                && !names.is_empty()
            {
                put!(out, "| {} | {wanted} | {} |", level(row), names.join(", "));
            }
        }
    }
}

fn level(row: &OptionRow) -> &'static str {
    match row.level {
        SOL_SOCKET => "SOL_SOCKET",
        SOL_TCP => "IPPROTO_TCP",
        SOL_UDP => "IPPROTO_UDP",
        SOL_UDPLITE => "IPPROTO_UDPLITE",
        SOL_IP => "IPPROTO_IP",
        SOL_IPV6 => "IPPROTO_IPV6",
        _ => "?",
    }
}

fn status(row: &OptionRow) -> &'static str {
    match (row.status, row.access()) {
        (Status::Done, (_, true)) => "done",
        (Status::Done, (_, false)) => "done, read-only",
        (Status::Stored, _) => "stored",
        (Status::Refused, _) => "refused",
    }
}

fn to_json(row: &OptionRow) -> serde_json::Value {
    let (get, set) = row.access();
    serde_json::json!({
        "level": level(row), "name": row.name, "number": row.number,
        "status": word(row.status), "note": row.note, "note": row.note, "get": get, "set": set,
    })
}
