//! `switchboard support`: what is implemented, option by option.

use std::fmt::Write;
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
                row.level_name(),
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

/// The table of the README: a line a kind or level. What works is counted; the whole of it is in docs/support.md.
fn put_markdown(out: &mut String) {
    put!(out, "| what | done | stored | refused |");
    put!(out, "|---|---|---|---|");
    for wanted in [
        Kind::Family,
        Kind::Call,
        Kind::Flag,
        Kind::Ioctl,
        Kind::Control,
        Kind::Sysctl,
        Kind::Proc,
    ] {
        let rows = support();
        let of_kind = rows.iter().filter(|row| row.kind == wanted);
        let names = of_kind.flat_map(|row| row.names().map(|name| (row.status, name)));
        put_line(out, kind(wanted), names);
    }
    let mut levels: Vec<&str> = Vec::new();
    for row in support_table() {
        if !levels.contains(&row.level_name()) {
            levels.push(row.level_name());
        }
    }
    for level in levels {
        let of_level = support_table()
            .iter()
            .filter(|row| row.level_name() == level);
        put_line(out, level, of_level.map(|row| (row.status, row.name)));
    }
}

fn put_line<'a>(out: &mut String, what: &str, names: impl Iterator<Item = (Status, &'a str)>) {
    let (mut done, mut stored, mut refused) = (0, Vec::new(), Vec::new());
    for (status, name) in names {
        match status {
            Status::Done => done += 1,
            Status::Stored => stored.push(name),
            Status::Refused => refused.push(name),
        }
    }
    // Tunables that are stored are many and alike.
    let stored = match stored.len() {
        many @ 30.. => many.to_string(),
        _ => stored.join(", "),
    };
    put!(
        out,
        "| {what} | {done} | {stored} | {} |",
        refused.join(", ")
    );
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
        "level": row.level_name(), "name": row.name, "number": row.number,
        "status": word(row.status), "note": row.note, "get": get, "set": set,
    })
}
