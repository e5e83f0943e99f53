//! `conformance`: runs the tests on one arm, or the lockstep comparison of two.

use clap::{Parser, Subcommand, ValueEnum};
use std::process::ExitCode;
use switchboard_conformance::{Expectations, HostKernel, Kernel, LibraryKernel, Needs, RunOptions};
use switchboard_conformance::{
    SocketcallEntry, all_tests, expectations, lockstep, run_tests, support_document,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Arm {
    /// The kernel this program runs on.
    Host,
    /// The same calls, under `switchboard run --`.
    Runner,
    /// A process on a virtual host inside this program.
    Library,
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
    /// Take no account of the arm's expectation file.
    #[arg(long)]
    strict: bool,
    /// What the runner is expected not to do where pidfd_getfd(2) is refused.
    #[arg(long)]
    without_getfd: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Seeded random sequences of calls on the host's kernel and another arm, compared call by call.
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
        /// What the host is compared with.
        #[arg(long, value_enum, default_value = "library")]
        with: Arm,
        /// Print each call of each sequence.
        #[arg(long)]
        trace: bool,
        /// Print how often each call had each result.
        #[arg(long)]
        stats: bool,
    },
    /// Print docs/support.md.
    Support,
}

/// A kernel of this arm for a test that needs `needs`.
fn make(arm: Arm, entry: Entry, needs: Needs) -> Result<Box<dyn Kernel>, String> {
    let threads = needs.contains(Needs::THREADS);
    Ok(match (arm, entry) {
        (Arm::Host, Entry::Direct) => Box::new(HostKernel::new()),
        (Arm::Host, Entry::Socketcall) => Box::new(SocketcallEntry(HostKernel::new())),
        (Arm::Runner, Entry::Direct) => Box::new(HostKernel::under_runner()?),
        (Arm::Runner, Entry::Socketcall) => Box::new(SocketcallEntry(HostKernel::under_runner()?)),
        (Arm::Library, Entry::Direct) => Box::new(LibraryKernel::new(threads)),
        (Arm::Library, Entry::Socketcall) => Box::new(SocketcallEntry(LibraryKernel::new(threads))),
    })
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("conformance: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all went well.
fn run(args: Args) -> Result<bool, String> {
    let mut out = std::io::stdout();
    let (arm, entry) = (args.arm, args.entry);
    if let Some(Command::Support) = args.command {
        print!("{}", support_document()?);
        return Ok(true);
    }
    if let Some(Command::Lockstep {
        seed,
        sequences,
        calls,
        with,
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
        if with == Arm::Runner || arm == Arm::Runner {
            return Err("lockstep compares the host with the library or with itself".to_string());
        }
        let made = |arm| match arm {
            Arm::Library => Box::new(LibraryKernel::new(false).as_caller()) as Box<dyn Kernel>,
            _ => make(arm, entry, Needs::empty()).expect("the runner was excluded"),
        };
        let (make_a, make_b) = (|| made(arm), || made(with));
        return lockstep::run(options, &make_a, &make_b, &mut out).map_err(|e| e.to_string());
    }
    let all = all_tests();
    let mut tests = all.clone();
    tests.retain(|t| {
        let named = |s: &String| t.short_name().contains(s.as_str());
        (args.filter.is_empty() || args.filter.iter().any(named)) && !args.except.iter().any(named)
    });
    if args.list {
        for test in &tests {
            println!("{} {:?}", test.short_name(), test.needs);
        }
        return Ok(true);
    }
    let options = RunOptions {
        in_process: args.in_process,
        timeout_ms: args.timeout_ms,
        quiet: args.quiet,
        again: if arm == Arm::Host { 2 } else { 0 },
    };
    // Once here, for the error; each body makes its own.
    make(arm, entry, Needs::empty())?;
    let expected = match arm {
        _ if args.strict => Expectations::default(),
        Arm::Host => Expectations::default(),
        Arm::Runner if args.without_getfd => {
            Expectations::parse(expectations::RUNNER_WITHOUT_GETFD, &all)?
        }
        Arm::Runner => Expectations::parse(expectations::RUNNER, &all)?,
        Arm::Library => Expectations::parse(expectations::LIBRARY, &all)?,
    };
    if arm == Arm::Runner {
        println!(
            "note: expected poll masks are mapped to what the runner's placeholders can show \
             (conformance/src/arm/shown.rs)"
        );
    }
    let maker = |needs| make(arm, entry, needs).expect("made once already");
    let summary =
        run_tests(&tests, &maker, &expected, options, &mut out).map_err(|e| e.to_string())?;
    println!("{summary}");
    Ok(summary.failed == 0)
}
