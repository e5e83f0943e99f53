#!/bin/bash
# The tests of crates that stand on sockets: nix, quinn-udp, polling, async-io and tokio.
. "$(dirname "$0")/../lib/outer.sh"
. "$PROGRAMS/lib/foreign.sh"
need python3 python3
[ -e "$SOURCES/rust/done" ] || skip "the crates are missing (fetched and built by run.sh --install, where there is a cargo)"
compare python3 "$HERE/cases.py"
