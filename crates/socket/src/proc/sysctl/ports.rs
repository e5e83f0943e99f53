//! Sets of numbers, as net.ipv4.ip_local_reserved_ports and net.ipv6.icmp.ratemask have them (proc_do_large_bitmap()).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use switchboard_abi::Errno;

/// The ranges with commas between.
pub(super) fn shown(ranges: &[(u16, u16)]) -> String {
    let range = |&(first, last): &(u16, u16)| match first == last {
        true => format!("{first}"),
        false => format!("{first}-{last}"),
    };
    ranges.iter().map(range).collect::<Vec<_>>().join(",")
}

/// The ranges in order, those that touch joined. One that is wrong spoils all.
pub(super) fn parse(text: &[u8]) -> Result<Vec<(u16, u16)>, Errno> {
    let end = text.iter().position(|byte| matches!(byte, 0 | b'\n'));
    let text = &text[..end.unwrap_or(text.len())];
    // What follows a comma may be nothing, once.
    let text = text.strip_suffix(b",").unwrap_or(text);
    let mut ranges = Vec::new();
    if !text.is_empty() {
        for part in text.split(|byte| *byte == b',') {
            let mut ends = part.splitn(2, |byte| *byte == b'-');
            let first = port(ends.next().unwrap_or_default())?;
            let last = ends.next().map_or(Ok(first), port)?;
            if last < first {
                return Err(Errno::EINVAL);
            }
            ranges.push((first, last));
        }
    }
    ranges.sort_unstable();
    let mut joined: Vec<(u16, u16)> = Vec::new();
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(before) if u32::from(first) <= u32::from(before.1) + 1 => {
                before.1 = before.1.max(last);
            }
            _ => joined.push((first, last)),
        }
    }
    Ok(joined)
}

fn port(digits: &[u8]) -> Result<u16, Errno> {
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = core::str::from_utf8(digits).ok().filter(|_| all);
    text.and_then(|text| text.parse().ok()).ok_or(Errno::EINVAL)
}
