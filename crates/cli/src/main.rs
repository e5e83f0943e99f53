//! `switchboard`: run unmodified Linux programs on a socket layer in user space.

mod args;
mod doctor;
mod run;
mod support;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = args::Args::parse();
    match args.command {
        args::Command::Run(args) => run::run(&args),
        args::Command::Support { json, markdown } => support::print(json, markdown),
        args::Command::Doctor => doctor::print(),
    }
}

/// A failing run ends with one clear line: what, where, what to do.
pub(crate) fn complain(what: &str) {
    eprintln!("switchboard: {what}");
}
