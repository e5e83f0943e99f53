//! The exit status, and what is said when there is no program to have one.

use std::process::Command;

use crate::support::{Scratch, output, run, switchboard};

fn options(words: &[&str]) -> Command {
    let mut command = switchboard();
    command.args(words);
    command
}

#[test]
fn the_programs_status_is_ours() {
    for status in [0, 1, 2, 77, 124, 125, 126, 127, 128, 255] {
        let ended = output(run(&["sh", "-c", &format!("exit {status}")]));
        assert_eq!(ended.status, status, "{ended:?}");
        assert_eq!(ended.err, "");
    }
}

#[test]
fn a_signal_is_128_and_its_number() {
    for signal in [1, 2, 3, 6, 9, 10, 11, 13, 14, 15] {
        let script = format!("ulimit -c 0; kill -{signal} $$");
        let ended = output(run(&["sh", "-c", &script]));
        assert_eq!(ended.status, 128 + signal, "{ended:?}");
    }
}

#[test]
fn arguments_and_streams_are_the_programs() {
    let ended = output(run(&[
        "sh",
        "-c",
        "echo \"$0 $#\"; echo err >&2",
        "--stats",
        "-x",
        "",
    ]));
    assert_eq!(ended.out, "--stats 2\n");
    assert_eq!(ended.err, "err\n");
    // Options of the program behind its name, without --.
    let ended = output(options(&["run", "sh", "-c", "exit 3"]));
    assert_eq!(ended.status, 3);
}

#[test]
fn a_missing_program_is_127() {
    output(run(&["no-such-program-anywhere"]))
        .complains(127, "no-such-program-anywhere: not found");
    let mut unreadable = run(&["no-such-program-anywhere"]);
    // A directory where an ordinary user may not look.
    unreadable.env("PATH", "/root/bin:/usr/bin:/bin:/proc/1/fd");
    output(unreadable).complains(127, "no-such-program-anywhere: not found");
    output(run(&["/nonexistent/program"])).complains(127, "/nonexistent/program: not found");
    output(run(&[""])).complains(127, "not found");
}

#[test]
fn a_missing_interpreter_is_127_and_named_as_such() {
    let scratch = Scratch::new("interpreter");
    let script = scratch.file("script", "#!/nonexistent/interpreter\n", 0o755);
    output(run(&[&script])).complains(127, "interpreter");
}

#[test]
fn what_cannot_be_executed_is_126() {
    let scratch = Scratch::new("executable");
    let file = scratch.file("data", "just text\n", 0o644);
    output(run(&[&file])).complains(126, "Permission denied");
    output(run(&["/"])).complains(126, "cannot be executed");
    let under_a_file = format!("{file}/program");
    output(run(&[&under_a_file])).complains(126, "Not a directory");
}

#[test]
fn a_script_without_an_interpreter_line_is_the_shells() {
    let scratch = Scratch::new("script");
    let script = scratch.file("script", "exit 4\n", 0o755);
    assert_eq!(output(run(&[&script])).status, 4);
}

#[test]
fn a_wrong_command_line_is_125() {
    for words in [
        &["run"][..],
        &["run", "--no-such-option", "--", "true"],
        &["run", "--seed", "x", "--", "true"],
        &["no-such-command"],
        &[],
    ] {
        let ended = output(options(words));
        assert_eq!(ended.status, 125, "{words:?}: {ended:?}");
        assert_eq!(ended.out, "");
        assert!(ended.err.contains("--help"), "{words:?}: {ended:?}");
    }
}

#[test]
fn a_run_inside_a_run_is_refused() {
    let switchboard = env!("CARGO_BIN_EXE_switchboard");
    output(run(&[switchboard, "run", "--", "true"]))
        .complains(125, "cannot run inside another run");
}
