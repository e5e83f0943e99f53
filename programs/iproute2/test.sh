#!/bin/bash
# ip(8) changes and shows links, addresses, routes and rules, `ip monitor` tells of it, and sockets go where routes and rules
# lead them (SO_MARK). As root the same script runs in a network namespace of its own on the host's kernel, and both have to
# print the same.
. "$(dirname "$0")/../lib/outer.sh"
need ip iproute2
need python3 python3
if native && [ "$(id -u)" = 0 ]; then skip "it changes the host's interfaces"; fi
run 60
if in_namespace; then
    # The kernel of the host looks for a second owner of an IPv6 address first, and says so.
    perl -0pi -e 's/^\[ADDR\][^\n]* tentative \n[^\n]*\n//mg' "$WORK/transcript"
    # It has one neighbour for whatever leaves by lo, which goes with the interface. Here packets on lo need none.
    sed -i '/^\[NEIGH\]Deleted 0\.0\.0\.0 dev lo /d' "$WORK/transcript"
    diff "$WORK/transcript" "$WORK/ours" || fail "ip prints something else than in a namespace"
fi
