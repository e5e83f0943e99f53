//! The bodies, by area.

use crate::registry::Test;

mod create;

/// Every area's tests.
pub(crate) const ALL: &[&[Test]] = &[create::TESTS];
