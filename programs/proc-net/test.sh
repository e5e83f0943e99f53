#!/bin/bash
# What ordinary programs read under /proc/net and read and write under /proc/sys/net: cat, echo, sysctl, netstat, python.
. "$(dirname "$0")/../lib/outer.sh"
need netstat net-tools
need sysctl procps
need python3 python3
if native; then skip "it changes the host's tunables"; fi
# One clear line for what cannot be, before anything is started.
for wrong in net.core.nope=1 net.core.somaxconn=many net.core.somaxconn; do
    if "$SWITCHBOARD" run --sysctl "$wrong" -- true 2>"$WORK/wrong"; then fail "--sysctl $wrong was taken"; fi
    [ "$(wc -l <"$WORK/wrong")" = 1 ] || fail "--sysctl $wrong: $(cat "$WORK/wrong")"
done
run 60 --sysctl net.core.somaxconn=321 --sysctl "net.ipv4.ip_local_port_range=40000 40999"
