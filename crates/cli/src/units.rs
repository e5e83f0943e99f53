//! Times, rates and percentages as tc(8) writes them.

use std::time::Duration;

/// Splits `12.5ms` into the number and the unit.
fn split(text: &str) -> Result<(f64, &str), String> {
    let end = text.find(|c: char| c.is_ascii_alphabetic() || c == '%');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    match number.trim().parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok((number, unit)),
        _ => Err(format!(
            "{text:?} does not begin with a number of 0 or more"
        )),
    }
}

/// `20ms`, `1.5s`, `300us`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text)?;
    let seconds = match unit {
        "s" => number,
        "ms" => number / 1e3,
        "us" => number / 1e6,
        _ => return Err("a time has a unit: s, ms or us".into()),
    };
    Duration::try_from_secs_f64(seconds).map_err(|_| "longer than any time".into())
}

/// `10mbit`, `2.5gbit`: bits in a second.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "bit" => 1.0,
        "kbit" => 1e3,
        "mbit" => 1e6,
        "gbit" => 1e9,
        _ => return Err("a rate has a unit: bit, kbit, mbit or gbit".into()),
    };
    let bits = number * factor;
    if !(1.0..=1e15).contains(&bits) {
        return Err("a rate is at least 1 bit and at most 1000000 gbit".into());
    }
    Ok(bits.round() as u64)
}

/// `1%`, `0.1%`.
pub(crate) fn percent(text: &str) -> Result<f64, String> {
    let (number, unit) = split(text)?;
    if !matches!(unit, "%" | "") || number > 100.0 {
        return Err("a percentage, such as 1%".into());
    }
    Ok(number)
}

#[cfg(test)]
mod tests;
