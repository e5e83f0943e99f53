#!/bin/bash
# Debian's radvd on a router of a lab, rdisc6, and a host that takes its address, its routes and its MTU from what it hears.
. "$(dirname "$0")/../lib/outer.sh"
native && skip "a lab has no host's kernel to run on"
need radvd radvd
need rdisc6 ndisc6
need ip iproute2
need ping iputils-ping

cd "$WORK"
# radvd does not read a file that others may write to.
cp "$HERE/radvd.conf" "$HERE/slaac.toml" .
chmod 644 radvd.conf
export TMPDIR=$WORK/tmp XDG_RUNTIME_DIR=$WORK/tmp HERE=$WORK
status=0
timeout 60 "$SWITCHBOARD" lab --output "$WORK/out" slaac.toml >log 2>&1 || status=$?
[ $status -eq 0 ] || { cat log >&2; fail "the lab ended with status $status"; }
grep -h 'scope global\|via fe80' "$WORK/out/near.out"
