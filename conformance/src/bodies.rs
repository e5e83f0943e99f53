//! The bodies, by area.

use crate::registry::Test;

mod bind;
mod conflicts;
mod connect;
mod create;
mod listen;
mod name;

/// Every area's tests.
pub(crate) const ALL: &[&[Test]] = &[
    bind::TESTS,
    conflicts::TESTS,
    connect::TESTS,
    create::TESTS,
    listen::TESTS,
    name::TESTS,
];
