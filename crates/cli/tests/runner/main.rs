//! The edges of `switchboard run`: statuses, signals, terminals, refusals, and what is left behind.
//!
//! The programs are what every Debian machine has (sh, bash, setsid, and the perl of perl-base) and small ones in C. Nothing here
//! needs privileges.
#![allow(clippy::disallowed_methods, reason = "tests of a program in real time")]

mod identity;
mod killed;
mod left_behind;
mod loopback;
mod output;
mod refused;
mod signals;
mod status;
mod support;
mod terminal;
mod trace;
