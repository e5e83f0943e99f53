//! Whether a program did what is expected of it.

use super::plan::Expect;

/// What was seen of a program so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Of each `output`, whether a line has matched.
    matched: Vec<bool>,
    /// The first line that a `not_output` matches, and which.
    forbidden: Option<(String, String)>,
}

impl Seen {
    pub(super) fn line(&mut self, expect: &Expect, line: &str) {
        self.matched.resize(expect.output.len(), false);
        for (matched, regex) in self.matched.iter_mut().zip(&expect.output) {
            *matched = *matched || regex.is_match(line);
        }
        if self.forbidden.is_none() {
            let found = expect.not_output.iter().find(|regex| regex.is_match(line));
            self.forbidden = found.map(|regex| (regex.as_str().to_owned(), line.to_owned()));
        }
    }

    /// What is wrong with its output, in one line.
    pub(super) fn output(&self, expect: &Expect) -> Option<String> {
        if let Some((regex, line)) = &self.forbidden {
            return Some(format!("a line of output matches {regex:?}: {line:?}"));
        }
        let matched = |n: usize| self.matched.get(n).copied().unwrap_or(false);
        let missing = (expect.output.iter().enumerate()).find(|(n, _)| !matched(*n))?;
        Some(format!(
            "no line of output matches {:?}",
            missing.1.as_str()
        ))
    }
}

/// What is wrong with an exit status, in one line. `asked`: somebody has sent it a signal; `service`: it should not have
/// ended by itself.
pub(super) fn status(expect: &Expect, status: u8, asked: bool, service: bool) -> Option<String> {
    match &expect.status {
        Some(statuses) if statuses.contains(&status) => None,
        Some(statuses) => {
            let wanted: Vec<String> = statuses.iter().map(u8::to_string).collect();
            Some(format!(
                "{}, expected was {}",
                ended(status),
                wanted.join(" or ")
            ))
        }
        None if asked => None,
        None if service => Some(format!("{} before the lab's end", ended(status))),
        None if status == 0 => None,
        None => Some(ended(status)),
    }
}

/// An exit status in words.
pub(super) fn ended(status: u8) -> String {
    match status {
        129..=192 => format!("ended by signal {}", status - 128),
        status => format!("exit status {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex::Regex;

    #[test]
    fn statuses_are_judged() {
        let plain = Expect::default();
        assert_eq!(status(&plain, 0, false, false), None);
        assert!(status(&plain, 1, false, false).is_some());
        assert!(status(&plain, 0, false, true).is_some());
        assert_eq!(status(&plain, 143, true, true), None);
        let three = Expect {
            status: Some(vec![3]),
            ..Expect::default()
        };
        assert_eq!(status(&three, 3, false, false), None);
        assert_eq!(
            status(&three, 137, true, false).unwrap(),
            "ended by signal 9, expected was 3"
        );
    }

    #[test]
    fn output_is_judged() {
        let expect = Expect {
            output: vec![Regex::new("^ok$").unwrap(), Regex::new("done").unwrap()],
            not_output: vec![Regex::new("error").unwrap()],
            ..Expect::default()
        };
        let mut seen = Seen::default();
        assert!(seen.output(&expect).unwrap().contains("^ok$"));
        seen.line(&expect, "ok");
        assert!(seen.output(&expect).unwrap().contains("done"));
        seen.line(&expect, "all done");
        assert_eq!(seen.output(&expect), None);
        seen.line(&expect, "an error");
        assert!(seen.output(&expect).unwrap().contains("an error"));
    }
}
