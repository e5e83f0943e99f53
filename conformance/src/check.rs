//! Assertions: they end the body with the place, the expression and both values.

pub(crate) mod verdict;

pub(crate) use verdict::fail;

/// Why a body ended early.
#[derive(Debug)]
pub enum Stop {
    /// The kernel did not do what Linux does.
    Fail(String),
    /// This machine cannot answer the question; the reason.
    Skip(String),
}

impl From<String> for Stop {
    fn from(reason: String) -> Stop {
        Stop::Fail(reason)
    }
}

/// What a body returns.
pub type Outcome = Result<(), Stop>;

/// A value, or the reason the body ends.
pub(crate) type Got<T> = Result<T, Stop>;

/// `file:line` of the use.
macro_rules! here {
    () => {
        concat!(file!(), ":", line!())
    };
}

/// The result of a call that must succeed.
macro_rules! ok {
    ($e:expr) => {
        $crate::check::verdict::ok($crate::check::here!(), stringify!($e), $e)?
    };
}

/// A call that must return exactly this.
macro_rules! ret {
    ($e:expr, $want:expr) => {
        $crate::check::verdict::ret($crate::check::here!(), stringify!($e), $e, ($want) as i64)?
    };
}

/// A call that must fail with this errno.
macro_rules! err {
    ($e:expr, $errno:ident) => {
        $crate::check::verdict::ret(
            $crate::check::here!(),
            stringify!($e),
            $e,
            -(libc::$errno as i64),
        )?
    };
}

/// Two values that must be equal.
macro_rules! eq {
    ($a:expr, $b:expr) => {
        $crate::check::verdict::eq($crate::check::here!(), stringify!($a), $a, $b)?
    };
}

/// A condition that must hold, with a text that shows the values.
macro_rules! check {
    ($cond:expr, $($text:tt)+) => {
        if !$cond {
            return $crate::check::verdict::fail(
                $crate::check::here!(),
                format!("{}: {}", stringify!($cond), format_args!($($text)+)),
            );
        }
    };
}

/// The poll mask of a descriptor, which must be exactly this (as far as the arm can show it).
macro_rules! mask {
    ($k:expr, $fd:expr, $want:expr) => {{
        let want = $k.shown($fd, $want);
        let have = $k.settled_mask($fd, want);
        $crate::check::verdict::mask($crate::check::here!(), stringify!($fd), have, want)?
    }};
}

/// Ends the body without a verdict.
macro_rules! skip {
    ($($text:tt)+) => {
        return Err($crate::check::Stop::Skip(format!($($text)+)))
    };
}

pub(crate) use {check, eq, err, here, mask, ok, ret, skip};
