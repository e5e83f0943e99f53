#!/bin/bash
# TCP segment by segment: a script is the peer, at the other end of a TUN device, of the kernel's TCP in a network namespace
# and of ours in a run, and has to see the same from both.
. "$(dirname "$0")/../lib/outer.sh"
native && skip "the host's kernel is what it is compared with"
need python3 python3
need unshare util-linux
if ! unshare -n python3 -c 'open("/dev/net/tun", "rb+", buffering=0)' 2>/dev/null; then
    skip "a network namespace and /dev/net/tun are not permitted here (it takes root)"
fi
cd "$WORK"
PYTHONDONTWRITEBYTECODE=1 perl "$PROGRAMS/lib/guard.pl" 600 python3 "$HERE/compare.py" "$SWITCHBOARD" "$HERE/expect.txt"
