//! The command line.
#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "the texts are those of --help, where brackets mean what may be left out"
)]

use switchboard_device::{Delay, Loss, PipeConfig, Rate};

use crate::run::capability::Capability;
use crate::run::outside::{Address, NetMode, Ports};
use crate::units;
use clap::{Args as ClapArgs, Parser, Subcommand};
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Parser, Debug)]
#[command(name = "switchboard", version, about = "Linux sockets in user space")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Run a program and its children on a virtual host of their own.
    ///
    /// The host has a loopback interface and, unless --net or -p are given, nothing else. The exit status is the program's, or
    /// 128 and the signal's number; 125 when the run could not be set up, 126 when the program
    /// could not be executed, 127 when it was not found.
    Run(Box<RunArgs>),
    /// Run programs on several virtual hosts, joined by links as bad as they are to be: see docs/lab.md for the file.
    ///
    /// The exit status is 0 when all was as expected, 1 when something was not, 124 when the time limit was reached, 125
    /// when the lab could not be set up, and 128 and the signal's number when one ended it.
    Lab(LabArgs),
    /// Look at a lab that runs, or change it.
    ///
    /// ps, ss [HOST], links; up LINK, down LINK, set LINK[/HOST[/in]] WORDS (those of tc-netem), partition HOSTS | HOSTS,
    /// heal, kill PROGRAM [SIGNAL], stop PROGRAM, cont PROGRAM, start PROGRAM, end. The session's name comes before them
    /// where more than one lab runs. Without a word: the names of the labs that run.
    Ctl(CtlArgs),
    /// Put one more program on a host of a lab that runs, with this terminal's standard streams.
    Exec(ExecArgs),
    /// Watch a lab that runs: hosts, links, programs, rates.
    Top(TopArgs),
    /// Print what is implemented, option by option.
    Support {
        /// As JSON, one object with an array of rows.
        #[arg(long)]
        json: bool,
        /// As the table of the README.
        #[arg(long, conflicts_with = "json")]
        markdown: bool,
    },
    /// Say what this machine allows and what that means.
    Doctor,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct RunArgs {
    /// Print each socket call with its arguments and result, to standard error or to FILE.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    pub(crate) trace: Option<PathBuf>,
    /// Print to standard error, when the run ends, what the supervisor did: calls, sockets, memory.
    #[arg(long)]
    pub(crate) stats: bool,
    /// Seed of ports, sequence numbers and hash keys; random when it is not given.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Set a tunable of the run's host before the program starts, such as net.core.somaxconn=128; may be given again.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) sysctl: Vec<String>,
    /// Write all packets on the interfaces of the run's host to FILE, as pcapng: for tshark, wireshark and their like.
    ///
    /// Checksums are those that the packets would have on a wire, and a comment names the program that sends or gets each.
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
    /// Let each packet on the run's interfaces take TIME to arrive, such as 20ms; units are s, ms and us.
    ///
    /// A round trip takes twice as long, as with `tc qdisc add dev lo root netem delay`; one over the eth0 of --net and -p, too.
    /// Packets on lo have up to 64 KiB; up to 20,000 of them are on the way at a time, and what comes on top is lost.
    #[arg(long, value_name = "TIME", value_parser = units::time)]
    pub(crate) delay: Option<Duration>,
    /// Lose so many of the packets on the run's interfaces, such as 1%.
    ///
    /// Which ones is the seed's choice.
    #[arg(long, value_name = "PERCENT", value_parser = units::percent)]
    pub(crate) loss: Option<f64>,
    /// Let no more than RATE pass the run's interfaces, such as 10mbit; units are bit, kbit, mbit and gbit.
    ///
    /// Each interface has as much for itself, and eth0 in each direction. Up to 1000 packets wait; what comes on top is lost.
    #[arg(long, value_name = "RATE", value_parser = units::rate)]
    pub(crate) rate: Option<u64>,
    /// Where the run's host leads besides lo: none, nat, tun=NAME or tap=NAME.
    ///
    /// With nat, programs reach what this user reaches on this machine, over an interface eth0: TCP, UDP, ping where
    /// net.ipv4.ping_group_range has it, and names. With tun or tap, eth0 is the other end of that device, and has the
    /// addresses of --address.
    #[arg(long, value_name = "WAY", default_value = "none")]
    pub(crate) net: NetMode,
    /// Publish a port of the run's host on this machine: [ADDRESS:]PORT:PORT[/udp], this machine's port first.
    ///
    /// An IPv6 address stands in brackets; ranges as 8000-8009:80-89. Clients are seen by their own addresses, those on
    /// this machine by the gateway's. May be given again.
    #[arg(short = 'p', long = "publish", value_name = "PORTS")]
    pub(crate) publish: Vec<Ports>,
    /// With --net nat: the address by which programs reach this machine's own loopback addresses, such as 10.0.2.4.
    ///
    /// At most one of each IP version; without it they are out of reach.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) host_loopback: Vec<IpAddr>,
    /// With --net tun or tap: an address of eth0, such as 192.0.2.7/24; may be given again.
    #[arg(long, value_name = "ADDRESS/LENGTH")]
    pub(crate) address: Vec<Address>,
    /// With --net tun or tap: a default router, such as 192.0.2.1.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) gateway: Vec<IpAddr>,
    /// Let close(2) wait as SO_LINGER with a time asks.
    ///
    /// Each close, dup2 and dup3 of each program then comes to the supervisor, which costs some
    /// microseconds, and a signal whose handler has no SA_RESTART can end one with EINTR.
    #[arg(long)]
    pub(crate) linger: bool,
    /// Give programs this capability on the run's host, whoever they run as: net_admin, net_raw, net_bind_service.
    ///
    /// It is one over the virtual host alone, so an ordinary user may give it. Several with commas between them.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) cap: Vec<Capability>,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    pub(crate) program: Vec<OsString>,
}

impl RunArgs {
    /// Whether the host has an interface besides `lo`.
    pub(crate) fn leads_outside(&self) -> bool {
        self.net != NetMode::None || !self.publish.is_empty()
    }

    /// What `--delay`, `--loss` and `--rate` make of a direction of an interface; `None` when they were not given.
    pub(crate) fn impairment(&self) -> Option<PipeConfig> {
        let given = self.delay.is_some() || self.loss.is_some() || self.rate.is_some();
        given.then(|| PipeConfig {
            delay: Delay::fixed(self.delay.unwrap_or_default()),
            loss: self.loss.map_or(Loss::NONE, Loss::percent),
            rate: self.rate.map(Rate::bits),
            // The interface's own MTU is looked at where packets are made.
            mtu: u32::MAX,
            ..PipeConfig::default()
        })
    }
}

#[derive(ClapArgs, Debug)]
pub(crate) struct LabArgs {
    /// The lab's file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Read the file and say what is wrong with it; run nothing.
    #[arg(long)]
    pub(crate) check: bool,
    /// Put the output of each program, and captures, into files in DIR.
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Seed of all chances, in place of the file's.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// The name of the session, in place of the file's.
    #[arg(long, value_name = "NAME")]
    pub(crate) session: Option<String>,
    /// Print the summary and nothing of what programs write.
    #[arg(long)]
    pub(crate) quiet: bool,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct CtlArgs {
    /// The session, where more than one runs, and what is to be done.
    #[arg(trailing_var_arg = true, value_name = "[SESSION] WORDS")]
    pub(crate) words: Vec<String>,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct ExecArgs {
    /// The session's name.
    pub(crate) session: String,
    /// The host.
    pub(crate) host: String,
    /// The program and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    pub(crate) program: Vec<OsString>,
}

#[derive(ClapArgs, Debug)]
pub(crate) struct TopArgs {
    /// The session, where more than one runs.
    pub(crate) session: Option<String>,
}
