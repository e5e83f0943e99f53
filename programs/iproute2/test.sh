#!/bin/bash
# ip(8) changes and shows links, addresses and routes, and `ip monitor` tells of it. As root the same script runs in a network
# namespace of its own on the host's kernel, and both have to print the same.
. "$(dirname "$0")/../lib/outer.sh"
need ip iproute2
if native && [ "$(id -u)" = 0 ]; then skip "it changes the host's interfaces"; fi
run 60
if in_namespace; then
    # The kernel of the host looks for a second owner of an IPv6 address first, and says so.
    perl -0pi -e 's/^\[ADDR\][^\n]* tentative \n[^\n]*\n//mg' "$WORK/transcript"
    diff "$WORK/transcript" "$WORK/ours" || fail "ip prints something else than in a namespace"
fi
