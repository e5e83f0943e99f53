#!/bin/bash
# socat's own test script, by the packaged socat.
. "$(dirname "$0")/../lib/outer.sh"
. "$PROGRAMS/lib/foreign.sh"
need socat socat
need openssl openssl
need ip iproute2
need python3 python3
sources socat socat
# The script looks for IP by ping(8), whose file capability is not gained under a run.
export RUN_OPTIONS="--sysctl net.ipv4.ping_group_range='0 2147483647'"
compare bash "$HERE/cases.sh"
