//! docs/support.md: each name of the support matrix with the body that shows it.

use crate::registry::all_tests;
use std::collections::BTreeMap;
use std::fmt::Write;
use switchboard_socket::{OptionRow, Status, support_table};
use switchboard_syscall::{Kind, SupportRow, support};

const NAMES: &str = include_str!("../reference-names.txt");
/// The column of reference-names.txt where the test's name begins.
const COLUMN: usize = 29;
/// The bodies that go through sysctls.txt.
const TUNABLES: &str = "sysctl::values_taken_and_refused";

/// reference-names.txt: each name, and what looks at it. An error names a line that is wrong.
pub fn reference_names() -> Result<BTreeMap<&'static str, &'static str>, String> {
    let mut names = BTreeMap::new();
    for line in NAMES
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        let (name, place) = line
            .split_at_checked(COLUMN)
            .ok_or_else(|| format!("reference-names.txt: {line}: no test"))?;
        if names.insert(name.trim(), place.trim()).is_some() {
            return Err(format!("reference-names.txt: {} twice", name.trim()));
        }
    }
    Ok(names)
}

/// The name under which reference-names.txt has one of a row's.
pub fn reference_name(row: &SupportRow, name: &str) -> String {
    match row.kind {
        Kind::Proc => format!("/proc/net/{name}"),
        _ => name.split(" (").next().unwrap_or(name).to_string(),
    }
}

/// The document: a table for each kind and level.
pub fn support_document() -> Result<String, String> {
    let names = reference_names()?;
    let mut out = String::from(
        "# What is implemented\n\n\
         A row for each family, call, flag, ioctl, control message, option, tunable and file of /proc/net, and the body of\n\
         `conformance/src/bodies` that shows it on Linux and here (`conformance --filter NAME` runs it). Made by\n\
         `conformance support`; a test compares. *done*: as on Linux, but for what the note says. *stored*: set, checked and read as on\n\
         Linux; there is nothing on a virtual host for it to change. *refused*: Linux's error for what a kernel does not have.\n",
    );
    for (kind, title) in [
        (Kind::Family, "Families and types, socket(2)"),
        (Kind::Call, "Calls"),
        (Kind::Flag, "Flags of send(2) and recv(2)"),
        (Kind::Ioctl, "ioctl(2)"),
        (Kind::Control, "Control messages, cmsg(3)"),
    ] {
        head(&mut out, title);
        put_kind(&mut out, &names, kind)?;
    }
    let mut level = "";
    for row in sorted() {
        if row.level_name() != level {
            level = row.level_name();
            head(&mut out, &format!("Options of {level}"));
        }
        put(&mut out, &names, row.name, row.name, row.status, &note(row))?;
    }
    head(&mut out, "Files of /proc/net");
    put_kind(&mut out, &names, Kind::Proc)?;
    head(&mut out, "Tunables of /proc/sys/net");
    for row in support().iter().filter(|row| row.kind == Kind::Sysctl) {
        line(&mut out, row.name, row.status, row.note, TUNABLES);
    }
    Ok(out)
}

/// The rows of a kind, a line for each name.
fn put_kind(out: &mut String, names: &BTreeMap<&str, &str>, kind: Kind) -> Result<(), String> {
    for row in support().iter().filter(|row| row.kind == kind) {
        for name in row.names() {
            let reference = reference_name(row, name);
            put(out, names, &reference, name, row.status, row.note)?;
        }
    }
    Ok(())
}

/// By level, in the table's order.
fn sorted() -> Vec<&'static OptionRow> {
    let mut rows: Vec<&OptionRow> = support_table().iter().collect();
    let first = |row: &OptionRow| support_table().iter().position(|r| r.level == row.level);
    rows.sort_by_key(|row| first(row));
    rows
}

fn note(row: &OptionRow) -> String {
    let access = match (row.status, row.access()) {
        (Status::Refused, _) | (_, (true, true)) => "",
        (_, (true, false)) => "getsockopt only",
        (_, (false, _)) => "setsockopt only",
    };
    let notes = [access, row.note];
    let notes: Vec<&str> = notes.into_iter().filter(|note| !note.is_empty()).collect();
    notes.join("; ")
}

fn head(out: &mut String, title: &str) {
    let _ = write!(
        out,
        "\n## {title}\n\n| name | status | note | shown by |\n|---|---|---|---|\n"
    );
}

fn put(
    out: &mut String,
    names: &BTreeMap<&str, &str>,
    reference: &str,
    name: &str,
    status: Status,
    note: &str,
) -> Result<(), String> {
    let place = names.get(reference).copied().unwrap_or_default();
    let shown = all_tests().iter().any(|test| test.short_name() == place);
    if status != Status::Refused && !shown && !place.starts_with("not tested: ") {
        return Err(format!(
            "reference-names.txt: no test is named for {reference}"
        ));
    }
    line(
        out,
        name,
        status,
        note,
        if status == Status::Refused && !shown {
            ""
        } else {
            place
        },
    );
    Ok(())
}

fn line(out: &mut String, name: &str, status: Status, note: &str, place: &str) {
    let status = match status {
        Status::Done => "done",
        Status::Stored => "stored",
        Status::Refused => "refused",
    };
    let _ = writeln!(out, "| {name} | {status} | {note} | {place} |");
}
