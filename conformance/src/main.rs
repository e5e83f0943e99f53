//! `conformance`: runs the tests on one arm, or the lockstep comparison of two.

use clap::{Parser, Subcommand, ValueEnum};
use std::process::ExitCode;
use switchboard_conformance::{HostKernel, Kernel, RunOptions, SocketcallEntry};
use switchboard_conformance::{all_tests, lockstep, run_tests};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Arm {
    /// The kernel this program runs on; under `switchboard run --` that is the runner.
    Host,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Entry {
    /// The direct system calls.
    Direct,
    /// Every socket call through socketcall.
    Socketcall,
}

#[derive(Debug, Parser)]
#[command(about = "One body per behaviour of Linux's socket layer, run on one arm")]
struct Args {
    #[arg(long, value_enum, default_value = "host")]
    arm: Arm,
    #[arg(long, value_enum, default_value = "direct")]
    entry: Entry,
    /// Print the names and end.
    #[arg(long)]
    list: bool,
    /// Run only tests whose name contains one of these.
    #[arg(long)]
    filter: Vec<String>,
    /// Leave out tests whose name contains one of these.
    #[arg(long)]
    except: Vec<String>,
    /// Run bodies in this process instead of one process each.
    #[arg(long)]
    in_process: bool,
    /// A body that takes longer has hung.
    #[arg(long, default_value_t = 20_000)]
    timeout_ms: i32,
    /// Print failures and the summary only.
    #[arg(long, short)]
    quiet: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Seeded random sequences of calls on two kernels, compared call by call.
    Lockstep {
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many sequences, with one seed each.
        #[arg(long, default_value_t = 1000)]
        sequences: u64,
        /// Calls in a sequence.
        #[arg(long, default_value_t = 40)]
        calls: usize,
        /// Print each call of each sequence.
        #[arg(long)]
        trace: bool,
        /// Print how often each call had each result.
        #[arg(long)]
        stats: bool,
    },
}

fn make(arm: Arm, entry: Entry) -> Box<dyn Kernel> {
    match (arm, entry) {
        (Arm::Host, Entry::Direct) => Box::new(HostKernel::new()),
        (Arm::Host, Entry::Socketcall) => Box::new(SocketcallEntry(HostKernel::new())),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut out = std::io::stdout();
    if let Some(Command::Lockstep {
        seed,
        sequences,
        calls,
        trace,
        stats,
    }) = args.command
    {
        let options = lockstep::Options {
            seed,
            sequences,
            calls,
            trace,
            stats,
        };
        let make_a = || make(args.arm, args.entry);
        let make_b = || make(args.arm, args.entry);
        return match lockstep::run(options, &make_a, &make_b, &mut out) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) | Err(_) => ExitCode::FAILURE,
        };
    }
    let mut tests = all_tests();
    tests.retain(|t| {
        let named = |s: &String| t.short_name().contains(s.as_str());
        (args.filter.is_empty() || args.filter.iter().any(named)) && !args.except.iter().any(named)
    });
    if args.list {
        for test in &tests {
            println!("{} {:?}", test.short_name(), test.needs);
        }
        return ExitCode::SUCCESS;
    }
    let options = RunOptions {
        in_process: args.in_process,
        timeout_ms: args.timeout_ms,
        quiet: args.quiet,
    };
    match run_tests(&tests, &|| make(args.arm, args.entry), options, &mut out) {
        Ok(s) => {
            println!(
                "{} passed, {} failed, {} skipped",
                s.passed, s.failed, s.skipped
            );
            if s.failed == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("conformance: {error}");
            ExitCode::FAILURE
        }
    }
}
