//! Traces of calls. Every expectation was seen on Linux 6.18 first.

mod queue;
