//! No name of the reference is forgotten: each is used by a test, or is refused and listed as that.
#![allow(missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use switchboard_conformance::{all_tests, reference_name, reference_names, support_document};
use switchboard_socket::{Status, support_table};
use switchboard_syscall::{Kind, support};

/// Names that bodies write otherwise.
const WRITTEN: &[(&str, &[&str])] = &[
    ("AF_LOCAL", &["AF_UNIX"]),
    ("SOCK_NONBLOCK", &["NB"]),
    ("POLLIN", &["IN", "R"]),
    ("POLLOUT", &["OUT", "W"]),
    ("POLLPRI", &["PRI"]),
    ("SIGPIPE", &["take_sigpipe"]),
    ("FIONREAD", &["fionread"]),
    ("SIOCOUTQ", &["outq"]),
    ("recvfrom", &["recv", "recvfrom"]),
    ("sendto", &["send", "sendto"]),
];

fn manifest(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The words of a text that may be names.
fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .collect()
}

/// Every row of the support matrix, a name each, and whether it is refused.
fn rows() -> BTreeMap<String, bool> {
    let mut rows = BTreeMap::new();
    for row in support_table() {
        let _ = rows.insert(row.name.to_string(), row.status == Status::Refused);
    }
    // Tunables have a list of their own.
    for row in support().iter().filter(|row| row.kind != Kind::Sysctl) {
        for name in row.names() {
            let refused = row.status == Status::Refused;
            let _ = rows.insert(reference_name(row, name), refused);
        }
    }
    rows
}

#[test]
fn each_name_is_tested_or_refused() {
    let tests: BTreeSet<&str> = all_tests().iter().map(|t| t.short_name()).collect();
    let rows = rows();
    let mut wrong = Vec::new();
    for (name, place) in reference_names().expect("the list") {
        if place == "refused" {
            if rows.get(name) != Some(&true) {
                wrong.push(format!(
                    "{name}: the support matrix does not refuse it (any more)"
                ));
            }
            continue;
        }
        if rows.get(name) == Some(&true) && !place.starts_with("not tested") {
            // Tested on the host already, and expected to fail on the other arms.
            continue;
        }
        if let Some(why) = place.strip_prefix("not tested:") {
            assert!(!why.trim().is_empty(), "{name}: no reason");
            continue;
        }
        if !tests.contains(place) {
            wrong.push(format!("{name}: there is no test {place}"));
            continue;
        }
        let area = place.split("::").next().unwrap_or_default();
        let source = std::fs::read_to_string(manifest(&format!("src/bodies/{area}.rs")));
        let source = source.expect("the area's file");
        let source = words(&source);
        for word in words(name) {
            let written = WRITTEN.iter().find(|(n, _)| *n == word);
            let found = match written {
                Some((_, others)) => others.iter().any(|other| source.contains(other)),
                None => mentioned(&source, word),
            };
            if !found {
                wrong.push(format!("{name}: {place} is in a file without {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether a file has the word: as it is, as a variant of SocketCall, or in the name of a helper.
fn mentioned(source: &BTreeSet<&str>, word: &str) -> bool {
    if let Some(call) = word.strip_prefix("SYS_") {
        let variant = call[..1].to_string() + &call[1..].to_lowercase();
        return source.contains(variant.as_str());
    }
    let call = word.chars().all(|c| !c.is_ascii_uppercase());
    source.contains(word) || (call && source.iter().any(|w| w.contains(word)))
}

#[test]
fn the_support_document_is_up_to_date() {
    let document = std::fs::read_to_string(manifest("../docs/support.md")).unwrap_or_default();
    assert!(
        support_document().expect("made") == document,
        "docs/support.md is not what `conformance support` prints"
    );
}

/// Each tunable is in the list that `sysctl::defaults` and `sysctl::values_taken_and_refused` go through.
#[test]
fn each_tunable_is_tested() {
    let list = std::fs::read_to_string(manifest("sysctls.txt")).expect("the list");
    let listed: BTreeSet<String> = list
        .lines()
        .filter_map(|line| line.split(';').next())
        .flat_map(|name| {
            let any = |word: &str| name.replace(word, "/*/");
            [
                any("/lo/"),
                any("/conf/default/").replace("ipv6/*/", "ipv6/conf/*/"),
            ]
        })
        .collect();
    let missing: Vec<&str> = support()
        .iter()
        .filter(|row| row.kind == Kind::Sysctl && row.status != Status::Refused)
        .map(|row| row.name)
        .filter(|name| {
            let family = |family| listed.contains(&name.replacen('*', family, 1));
            let both = name.starts_with('*') && family("ipv4");
            !both && !listed.contains(*name)
        })
        .collect();
    assert!(missing.is_empty(), "no line in sysctls.txt: {missing:?}");
}

#[test]
fn what_is_done_is_listed() {
    let names = reference_names().expect("the list");
    let missing: Vec<String> = rows()
        .into_iter()
        .filter(|(name, refused)| !refused && !names.contains_key(name.as_str()))
        .map(|(name, _)| name)
        .collect();
    assert!(missing.is_empty(), "no test is named for: {missing:?}");
}

/// Where the reference lies beside the project, the list has all of its names.
#[test]
fn the_reference_is_covered() {
    let beside = manifest("../../shared/reference");
    if !beside.exists() {
        return;
    }
    let names = reference_names().expect("the list");
    let read = |file: &str| std::fs::read_to_string(beside.join(file)).unwrap_or_default();
    let mut missing = BTreeSet::new();
    let calls = read("socketcall.2.txt");
    let is_call = |w: &&str| w.starts_with("SYS_") && w.len() > 4 && *w != "SYS_socketcall";
    missing.extend(
        words(&calls)
            .into_iter()
            .filter(is_call)
            .map(str::to_string),
    );
    let options = read("socket.7.txt");
    let is_option = |w: &&str| {
        ["SO_", "SCM_", "MSG_", "SIOC", "FIO", "F_SET", "O_", "POLL"]
            .iter()
            .any(|prefix| w.starts_with(prefix) && w.len() > prefix.len())
    };
    missing.extend(
        words(&options)
            .into_iter()
            .filter(is_option)
            .map(str::to_string),
    );
    // "sys_accept / sys_accept4" heads the lines with their errors, "EBADF(-9): ...".
    let mut heads: Vec<String> = Vec::new();
    for line in read("sys-socket-calls.txt").lines() {
        if line.starts_with("sys_") {
            heads = line
                .split(" / ")
                .map(|call| call.trim()[4..].to_string())
                .collect();
            missing.extend(heads.iter().cloned());
        }
        for (at, _) in line.match_indices("(-") {
            let piece = &line[..at];
            let start = piece
                .rfind(|c: char| !c.is_ascii_uppercase())
                .map_or(0, |at| at + 1);
            // Errors follow each other without a space: "pointerEBADF".
            let errno = &piece[start..];
            missing.extend(heads.iter().map(|call| format!("{call}:{errno}")));
        }
    }
    missing.retain(|name| !names.contains_key(name.as_str()));
    assert!(
        missing.is_empty(),
        "not in reference-names.txt: {missing:?}"
    );
}
