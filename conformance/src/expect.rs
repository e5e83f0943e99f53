//! Expectation files: what an arm does not do yet, with a reason for each test.
//!
//! A line is `area::test  expect_failure|skip  reason`. A test that is expected to fail and passes fails
//! the run, and so does a name that no test has: a list that is not true is worth nothing.

use crate::registry::Test;
use std::collections::BTreeMap;

/// The files of the arms, compiled in so that the program needs nothing beside it.
pub mod files {
    /// `switchboard run --`.
    pub const RUNNER: &str = include_str!("../expect/runner.txt");
    /// The same, where programs' descriptors cannot be fetched (docs/design/without-getfd.md).
    pub const RUNNER_WITHOUT_GETFD: &str = include_str!("../expect/runner-without-getfd.txt");
    /// The library.
    pub const LIBRARY: &str = include_str!("../expect/library.txt");
}

/// What is expected of a listed test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is run, and must fail.
    Failure,
    /// It is not run: it would hang, or what it asks makes no sense on this arm.
    Skip,
}

/// The expectations of one arm.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    lines: BTreeMap<String, (Kind, String)>,
}

impl Expectations {
    /// Parses a file and checks it against the tests that there are.
    pub fn parse(text: &str, tests: &[Test]) -> Result<Expectations, String> {
        let mut lines = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let wrong = |what: &str| Err(format!("line {}: {what}: {line}", index + 1));
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, rest)) = line.split_once(char::is_whitespace) else {
                return wrong("a name alone");
            };
            let (kind, reason) = rest
                .trim_start()
                .split_once(char::is_whitespace)
                .unwrap_or((rest, ""));
            let kind = match kind {
                "expect_failure" => Kind::Failure,
                "skip" => Kind::Skip,
                _ => return wrong("neither expect_failure nor skip"),
            };
            let reason = reason.trim();
            if reason.is_empty() {
                return wrong("no reason");
            }
            if !tests.iter().any(|test| test.short_name() == name) {
                return wrong("stale, there is no such test");
            }
            if lines
                .insert(name.to_string(), (kind, reason.to_string()))
                .is_some()
            {
                return wrong("listed twice");
            }
        }
        Ok(Expectations { lines })
    }

    /// What is expected of this test beside success.
    pub fn of(&self, name: &str) -> Option<(Kind, &str)> {
        let (kind, reason) = self.lines.get(name)?;
        Some((*kind, reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::all_tests;

    #[test]
    fn lines_are_checked() {
        let tests = all_tests();
        let name = tests[0].short_name();
        let parse = |text: &str| Expectations::parse(text, &tests);
        let good = parse(&format!("# why\n\n{name}  expect_failure  no such call\n"));
        let good = good.expect("a good file");
        assert_eq!(good.of(name), Some((Kind::Failure, "no such call")));
        assert_eq!(good.of("bind::other"), None);
        for bad in [
            name.to_string(),
            format!("{name} skip"),
            format!("{name} sometimes it rains"),
            "bind::no_such_test skip reason".to_string(),
            format!("{name} skip a\n{name} skip b"),
        ] {
            assert!(parse(&bad).is_err(), "{bad}");
        }
    }
}
