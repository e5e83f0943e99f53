//! What a program under the runner sees of a poll mask.
//!
//! There a descriptor is one end of a host AF_UNIX pair, kept as ready as the socket is; poll,
//! select and epoll are the host kernel's. A datagram pair shows every mask of a datagram socket. A stream pair cannot show
//! every mask (docs/design/readiness-mirror.md), and this is where the runner differs from Linux by design. The
//! bodies' expectations are mapped here and nowhere else, and nothing else is forgiven.

use crate::sys::{IN, OUT, PRI, R, WB};
use libc::{POLLERR, POLLHUP, POLLNVAL, POLLRDHUP};

/// The mask that a placeholder shows for a stream or seqpacket socket that has `mask`.
///
/// - OUT brings WRNORM and WRBAND, IN brings RDNORM: they are bits of a stream pair.
/// - PRI brings IN: an urgent byte of a stream pair lies among the others.
/// - RDHUP is shown with IN only, HUP with IN and RDHUP only: so does a stream pair hang up. A fresh
///   TCP socket's OUT|HUP is OUT.
/// - HUP brings OUT: neither end of such a pair can be full.
/// - ERR is shown with everything else; alone (an entry of the error queue) it is IN, so that
///   whoever waits wakes and finds out by the call.
pub fn shown(mask: i16) -> i16 {
    if mask & POLLNVAL != 0 {
        return mask;
    }
    let has = |bits: i16| mask & bits == bits;
    let hung_up = IN | POLLRDHUP | POLLHUP;
    let mut out = mask & (IN | PRI | OUT);
    if has(IN | POLLRDHUP) {
        out |= POLLRDHUP;
    }
    if has(hung_up) {
        out |= POLLHUP | OUT;
    }
    if has(hung_up | OUT | POLLERR) {
        out |= POLLERR;
    } else if has(POLLERR) {
        out |= IN;
    }
    if out & PRI != 0 {
        out |= IN;
    }
    if out & IN != 0 {
        out |= R;
    }
    if out & OUT != 0 {
        out |= WB;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::W;

    #[test]
    fn what_a_stream_pair_has_is_shown() {
        for mask in [0, R, WB, R | WB, R | POLLRDHUP | WB, R | PRI | WB] {
            assert_eq!(shown(mask), mask);
        }
        let reset = R | WB | POLLRDHUP | POLLHUP | POLLERR;
        assert_eq!(shown(reset), reset);
        assert_eq!(shown(reset & !POLLERR), reset & !POLLERR);
    }

    #[test]
    fn what_it_has_not_is_shown_as_the_next_best() {
        assert_eq!(shown(W), WB);
        assert_eq!(shown(W | POLLHUP), WB);
        assert_eq!(shown(PRI | W), PRI | R | WB);
        assert_eq!(shown(WB | POLLERR), R | WB);
        assert_eq!(shown(W | POLLERR | POLLHUP), R | WB);
        assert_eq!(shown(WB | POLLRDHUP), WB);
        assert_eq!(shown(R | POLLRDHUP | POLLHUP), R | WB | POLLRDHUP | POLLHUP);
        assert_eq!(shown(POLLNVAL), POLLNVAL);
    }

    #[test]
    fn mapping_twice_changes_nothing() {
        let bits = [IN, PRI, OUT, POLLERR, POLLHUP, POLLRDHUP];
        for set in 0..1u32 << bits.len() {
            let chosen = bits.iter().enumerate().filter(|(i, _)| set & 1 << i != 0);
            let mask = chosen.fold(0, |mask, (_, bit)| mask | bit);
            assert_eq!(shown(shown(mask)), shown(mask), "{mask:#x}");
        }
    }
}
