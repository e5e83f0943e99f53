//! `switchboard`: run unmodified Linux programs on a socket layer in user space.

mod args;
mod doctor;
mod run;
mod support;
mod units;

use clap::Parser;
use clap::error::ErrorKind;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    match args.command {
        args::Command::Run(args) => run::run(&args),
        args::Command::Lab(args) => run::lab::lab(&args),
        args::Command::Ctl(args) => run::lab::client::ctl(&args),
        args::Command::Exec(args) => run::lab::client::exec(&args),
        args::Command::Top(args) => run::lab::top::top(&args),
        args::Command::Support { json, markdown } => {
            show(&support::text(json, markdown), ExitCode::SUCCESS)
        }
        args::Command::Doctor => {
            let (text, status) = doctor::text();
            show(&text, status)
        }
    }
}

/// Help and version are what was asked for. A wrong command line ends with 125, like everything else that is
/// ours and not the program's.
fn usage(error: &clap::Error) -> ExitCode {
    // Nothing to be done if it cannot be shown.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::SUCCESS,
        _ => ExitCode::from(run::SETUP_FAILED),
    }
}

/// Writes to standard output.
pub(crate) fn show(text: &str, status: ExitCode) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => status,
        // head(1) and less(1) stop reading when they have seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => status,
        Err(error) => {
            complain(&format!("cannot write to standard output: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// A failing run ends with one clear line: what, where, what to do.
pub(crate) fn complain(what: &str) {
    eprintln!("switchboard: {what}");
}
