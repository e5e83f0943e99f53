//! SOL_SOCKET options for random sequences: those whose answers depend on neither time nor machine.

use super::prng::Prng;
use libc::SOL_SOCKET;

const SO_TIMESTAMPING: i32 = 37;
const SO_TIMESTAMP_NEW: i32 = 63;
const SO_TIMESTAMPNS_NEW: i32 = 64;
const SO_TIMESTAMPING_NEW: i32 = 65;

/// Name, and whether it is set as well as read.
const ALL: &[(i32, bool)] = &[
    (libc::SO_DEBUG, true),
    (libc::SO_DONTROUTE, true),
    (libc::SO_NO_CHECK, true),
    (libc::SO_BSDCOMPAT, true),
    (libc::SO_REUSEPORT, true),
    (libc::SO_MARK, true),
    (libc::SO_PRIORITY, true),
    (libc::SO_RXQ_OVFL, true),
    (libc::SO_WIFI_STATUS, true),
    (libc::SO_NOFCS, true),
    (libc::SO_SELECT_ERR_QUEUE, true),
    (libc::SO_BUSY_POLL, false),
    (libc::SO_TIMESTAMP, false),
    (libc::SO_TIMESTAMPNS, false),
    (SO_TIMESTAMPING, false),
    (SO_TIMESTAMP_NEW, false),
    (SO_TIMESTAMPNS_NEW, false),
    (SO_TIMESTAMPING_NEW, false),
    // SO_MAX_PACING_RATE: a slow one would take its time.
    (47, false),
    // SO_CNX_ADVICE
    (53, true),
    // SO_INCOMING_NAPI_ID
    (56, false),
    // SO_ZEROCOPY
    (60, true),
    // SO_BINDTOIFINDEX
    (62, false),
    // SO_PREFER_BUSY_POLL
    (69, true),
    // SO_BUSY_POLL_BUDGET
    (70, true),
    // SO_BUF_LOCK
    (72, true),
    // SO_RESERVE_MEM
    (73, false),
    // SO_TXREHASH
    (74, true),
    // SO_RCVMARK
    (75, true),
    // SO_DEVMEM_LINEAR, SO_DEVMEM_DMABUF, SO_DEVMEM_DONTNEED
    (78, true),
    (79, true),
    (80, true),
    // SO_RCVPRIORITY
    (82, true),
    (23, true),
];

/// What only sockets of the internet heed.
const INET: &[(i32, bool)] = &[(libc::SO_PEEK_OFF, true), (libc::SO_PEEK_OFF, true)];

/// Level, name and whether it is set as well.
pub(super) fn any(rng: &mut Prng, unix: bool) -> (i32, i32, bool) {
    let (name, set) = if !unix && rng.one_in(5) {
        rng.of(INET)
    } else {
        rng.of(ALL)
    };
    (SOL_SOCKET, name, set)
}
