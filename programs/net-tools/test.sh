#!/bin/bash
# ifconfig(8), route(8), arp(8) and netstat(8), which ask by ioctl and /proc. As root the same script runs in a network
# namespace of its own on the host's kernel, and both have to print the same.
. "$(dirname "$0")/../lib/outer.sh"
need ifconfig net-tools
need ip iproute2
if native && [ "$(id -u)" = 0 ]; then skip "it changes the host's interfaces"; fi
run 60
if in_namespace; then
    # The kernel lists IPv6 addresses in the order of a hash with a key of each namespace.
    in_order() {
        perl -ne 'if (/^ +inet6 /) { push @six, $_ } else { print(sort(@six), $_); @six = () } END { print sort @six }' "$1"
    }
    diff <(in_order "$WORK/transcript") <(in_order "$WORK/ours") || fail "they print something else than in a namespace"
fi
