//! `support`, `doctor` and the like.

use std::io::Read;
use std::process::Stdio;

use crate::support::{Ended, Started, output, switchboard, wait};

fn of(words: &[&str]) -> Ended {
    let mut command = switchboard();
    command.args(words);
    output(command)
}

#[test]
fn doctor_says_that_programs_can_be_run() {
    let ended = of(&["doctor"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.out.starts_with("Linux "), "{ended:?}");
    assert!(
        ended.out.contains("\nseccomp user notification "),
        "{ended:?}"
    );
    assert!(
        ended
            .out
            .ends_with("Programs can be run here: switchboard run -- PROGRAM\n")
    );
    let of_ping = ended
        .out
        .lines()
        .find(|line| line.starts_with("ping sockets "));
    let of_ping = of_ping.unwrap_or_default();
    assert!(
        of_ping.ends_with(" yes") || of_ping.contains("ping_group_range"),
        "{ended:?}"
    );
    assert_eq!(ended.err, "");
}

#[test]
fn the_support_matrix_is_json() {
    let ended = of(&["support", "--json"]);
    assert_eq!((ended.status, &*ended.err), (0, ""));
    let matrix: serde_json::Value = serde_json::from_str(&ended.out).expect("JSON");
    for (table, keys) in [
        ("rows", &["kind", "name"][..]),
        ("options", &["level", "name"]),
    ] {
        let rows = matrix[table].as_array().expect("an array");
        assert!(rows.len() > 20, "{table}: {}", rows.len());
        for row in rows {
            for key in keys {
                assert!(row[key].as_str().is_some_and(|s| !s.is_empty()), "{row}");
            }
            let status = row["status"].as_str().unwrap_or_default();
            assert!(["done", "stored", "refused"].contains(&status), "{row}");
        }
    }
    let options = matrix["options"].as_array().expect("an array");
    assert!(
        options
            .iter()
            .any(|row| row["name"] == "SO_REUSEADDR" && row["status"] == "done")
    );
}

#[test]
fn the_support_matrix_is_text_and_a_table() {
    let text = of(&["support"]);
    assert_eq!((text.status, &*text.err), (0, ""));
    assert!(
        text.out
            .lines()
            .any(|line| line.starts_with("SOL_SOCKET   SO_TYPE "))
    );
    let table = of(&["support", "--markdown"]);
    assert_eq!((table.status, &*table.err), (0, ""));
    assert!(
        table
            .out
            .starts_with("| what | done | stored | refused |\n|---|---|---|---|\n")
    );
    assert!(
        table
            .out
            .lines()
            .all(|line| line.starts_with('|') && line.ends_with('|'))
    );
    assert_ne!(of(&["support", "--json", "--markdown"]).status, 0);
}

#[test]
fn version_and_help() {
    let version = of(&["--version"]);
    assert_eq!(version.status, 0);
    assert_eq!(
        version.out,
        format!("switchboard {}\n", env!("CARGO_PKG_VERSION"))
    );
    let help = of(&["run", "--help"]);
    assert_eq!((help.status, &*help.err), (0, ""));
    assert!(help.out.contains("--trace"), "{help:?}");
}

/// As head(1) does: a line, and no more.
#[test]
fn a_reader_that_stops_reading_is_no_error() {
    let mut command = switchboard();
    command
        .args(["support", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program is there");
    drop(child.stdout.take());
    assert_eq!(wait(&mut child).code(), Some(0));
    let mut err = String::new();
    let _ = child.stderr.take().expect("piped").read_to_string(&mut err);
    assert_eq!(err, "");
}

#[test]
fn a_full_disk_is_one() {
    let full = std::fs::File::create("/dev/full").expect("/dev/full");
    let mut command = switchboard();
    command.arg("doctor");
    command.stdout(full).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program is there");
    let status = wait(&mut child);
    let ended = Started::of(child).ends();
    assert_eq!(status.code(), Some(1));
    assert_eq!(
        ended.err,
        "switchboard: cannot write to standard output: No space left on device (os error 28)\n"
    );
}
