//! The bodies, by area.

use crate::registry::Test;

mod bind;
mod conflicts;
mod connect;
mod create;

/// Every area's tests.
pub(crate) const ALL: &[&[Test]] = &[create::TESTS, bind::TESTS, conflicts::TESTS, connect::TESTS];
