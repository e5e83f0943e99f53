//! Numbers as files under /proc/sys are written: proc_get_long() and do_proc_dointvec(), as observed from outside.

use alloc::vec::Vec;

/// The most one write of a tunable is looked at: a page, less one byte.
const PAGE: usize = 4095;
/// A word of this many characters or more is no number (TMPBUFLEN).
const WORD: usize = 21;

/// What a write came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    /// The numbers before the end, or before the first that is none. These have been assigned, error or not.
    pub(super) values: Vec<i64>,
    /// One of the words is no number, or out of range; or there is none at all.
    pub(super) bad: bool,
    /// How much was looked at: what follows a full vector is left over.
    pub(super) taken: usize,
}

/// Up to `len` numbers between `min` and `max`, separated by white space. Decimal, octal after 0, hexadecimal after 0x.
pub(super) fn parse(data: &[u8], len: usize, min: i64, max: i64) -> Parsed {
    let data = &data[..data.len().min(PAGE)];
    let mut parsed = Parsed {
        values: Vec::new(),
        bad: false,
        taken: 0,
    };
    let mut at = 0;
    while parsed.values.len() < len {
        at += spaces(&data[at..]);
        if at == data.len() {
            break;
        }
        let word = data[at..]
            .iter()
            .take_while(|byte| !is_space(**byte))
            .count();
        match number(&data[at..at + word]).filter(|n| (min..=max).contains(n)) {
            Some(n) => parsed.values.push(n),
            None => {
                parsed.bad = true;
                break;
            }
        }
        at += word;
    }
    parsed.bad |= parsed.values.is_empty();
    parsed.taken = at + spaces(&data[at..]);
    parsed
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

fn spaces(data: &[u8]) -> usize {
    data.iter().take_while(|byte| is_space(**byte)).count()
}

fn number(word: &[u8]) -> Option<i64> {
    if word.len() >= WORD {
        return None;
    }
    let (negative, digits) = match word {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    // A sign alone, a plus sign or white space after the sign is no number.
    if !digits.first()?.is_ascii_digit() {
        return None;
    }
    let (digits, radix) = match digits {
        [b'0', b'x' | b'X', rest @ ..] if !rest.is_empty() => (rest, 16),
        [b'0', rest @ ..] if !rest.is_empty() => (rest, 8),
        digits => (digits, 10),
    };
    let text = core::str::from_utf8(digits).ok()?;
    if text.starts_with('+') {
        return None;
    }
    let value = i64::from_str_radix(text, radix).ok()?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::parse;
    use alloc::vec;
    use alloc::vec::Vec;

    const MAX: i64 = i32::MAX as i64;

    fn one(text: &str) -> Result<i64, ()> {
        let parsed = parse(text.as_bytes(), 1, 0, MAX);
        if parsed.bad {
            Err(())
        } else {
            Ok(parsed.values[0])
        }
    }

    // Each as Linux 6.18 answered for net.core.somaxconn.
    #[test]
    fn words() {
        assert_eq!(one("100\n"), Ok(100));
        assert_eq!(one("  77  "), Ok(77));
        assert_eq!(one("0x50"), Ok(80));
        assert_eq!(one("010"), Ok(8));
        assert_eq!(one("0"), Ok(0));
        assert_eq!(one("12 abc"), Ok(12));
        assert_eq!(one("2147483647"), Ok(MAX));
        for bad in [
            "",
            "\n",
            " ",
            "-1",
            "+5",
            "abc",
            "12abc",
            "2147483648",
            "4096\0",
            "5,6",
            "-",
            "0x",
        ] {
            assert_eq!(one(bad), Err(()), "{bad:?}");
        }
        assert_eq!(one("99999999999999999999999"), Err(()));
        assert_eq!(one("00000000000000000000007"), Err(()));
    }

    #[test]
    fn what_follows_a_full_vector_is_left() {
        assert_eq!(parse(b"12\t13\n", 1, 0, MAX).taken, 3);
        assert_eq!(parse(b"4096 131072 6291456 7", 3, 1, MAX).taken, 20);
    }

    #[test]
    fn what_comes_before_an_error_counts() {
        let parsed = parse(b"5002 x", 3, 1, MAX);
        assert_eq!((parsed.values, parsed.bad), (vec![5002], true));
        let parsed = parse(b"0 1 2", 3, 1, MAX);
        assert_eq!((parsed.values, parsed.bad), (Vec::new(), true));
        assert_eq!(parse(b"5001 6001", 3, 1, MAX).values, [5001, 6001]);
    }
}
