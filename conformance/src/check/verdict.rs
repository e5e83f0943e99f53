//! The functions behind the assertion macros.

use super::{Got, Stop};
use crate::names::{ret_name, show_mask};
use std::fmt::Debug;

pub(crate) fn fail<T>(at: &str, text: String) -> Got<T> {
    Err(Stop::Fail(format!(
        "{}: {text}",
        at.trim_start_matches("conformance/")
    )))
}

pub(crate) fn ok(at: &str, what: &str, value: i64) -> Got<i64> {
    if value >= 0 {
        Ok(value)
    } else {
        fail(at, format!("{what} failed: {}", ret_name(value)))
    }
}

pub(crate) fn ret(at: &str, what: &str, value: i64, want: i64) -> Got<()> {
    if value == want {
        Ok(())
    } else {
        fail(
            at,
            format!("{what} = {}, want {}", ret_name(value), ret_name(want)),
        )
    }
}

pub(crate) fn eq<A: Debug + PartialEq<B>, B: Debug>(at: &str, what: &str, a: A, b: B) -> Got<()> {
    if a == b {
        Ok(())
    } else {
        fail(at, format!("{what} = {a:?}, want {b:?}"))
    }
}

pub(crate) fn mask(at: &str, what: &str, have: i16, want: i16) -> Got<()> {
    if have == want {
        Ok(())
    } else {
        fail(
            at,
            format!(
                "poll({what}) = {}, want {}",
                show_mask(have),
                show_mask(want)
            ),
        )
    }
}
