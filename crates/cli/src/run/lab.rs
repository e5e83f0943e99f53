//! `switchboard lab FILE`: several virtual hosts on bad networks, with programs on them, from one file.
//!
//! # Theory of operation
//! A file is read and checked as a whole ([`mod@file`], [`plan`]). The hosts, their wires and names are made ([`build`]),
//! each host with a listener under which all its programs are started. Then the [`director`] drives the room: it starts
//! programs when what they come after is ready, lets events happen, reads output, answers `switchboard ctl`, and says
//! in the end what was not as expected. docs/lab.md is the reference.

mod action;
mod addresses;
mod build;
pub(crate) mod client;
mod clients;
mod director;
mod file;
mod finish;
mod judge;
mod netem;
mod output;
mod plan;
mod programs;
mod reader;
mod report;
mod session;
mod streams;
pub(crate) mod top;

use std::ops::ControlFlow;
use std::process::ExitCode;

use super::{Failure, enter, reap, setup};
use crate::args::LabArgs;
use crate::complain;

use director::Director;

/// As timeout(1) has it.
const TIMED_OUT: u8 = 124;

pub(crate) fn lab(args: &LabArgs) -> ExitCode {
    super::exit(start(args))
}

fn start(args: &LabArgs) -> Result<u8, Failure> {
    let path = &args.file;
    if let Some(name) = &args.session
        && !file::is_session_name(name)
    {
        return Err(setup(format!("--session {name:?}: {}", file::NO_SESSION)));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| setup(format!("{}: {error}", path.display())))?;
    let mut plan = file::parse(path, &text).map_err(setup)?;
    if args.seed.is_some() {
        plan.seed = args.seed;
    }
    if args.check {
        println!(
            "{}: {} hosts, {} links and segments, {} programs, {} events",
            path.display(),
            plan.hosts.len(),
            plan.networks.len(),
            plan.programs.len(),
            plan.events.len()
        );
        return Ok(0);
    }
    let entered = match enter()? {
        ControlFlow::Break(status) => return Ok(status),
        ControlFlow::Continue(entered) => entered,
    };
    // Programs have standard streams of their own, and nothing else.
    entered.inherited.keep_from_programs();
    let built = build::build(&plan, args, entered.keep)?;
    // Packets arrive when they are to, and not up to 50 us later. The threads that start programs are there already, so
    // these have the machine's own.
    // SAFETY: no memory involved, cannot fail.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
    let mut director = Director::new(plan, built, entered.signals, entered.guard, args)?;
    let status = director.direct();
    if !reap::end_all() {
        complain(reap::SOME_STAYED);
    }
    Ok(director.finish(status))
}
