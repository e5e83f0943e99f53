#!/bin/bash
# The labs of labs/, and what is small enough to need no file of its own: ctl, exec, a wrong file, an expectation that fails.
. "$(dirname "$0")/../lib/outer.sh"
native && skip "a lab has no host's kernel to run on"
need redis-server redis-server
need redis-cli redis-tools
need etcd etcd-server
need etcdctl etcd-client
need iperf3 iperf3
need haproxy haproxy
need curl curl
need python3 python3

LABS=$PROGRAMS/../labs
cd "$WORK"
export TMPDIR=$WORK/tmp XDG_RUNTIME_DIR=$WORK/tmp
timeout=90

# one NAME STATUS FILE: the lab ends with the status, within the time.
one() {
    local status=0
    timeout $timeout "$SWITCHBOARD" lab --output "$WORK/$1" "$3" >"$WORK/$1.log" 2>&1 || status=$?
    [ $status -eq "$2" ] || { cat "$WORK/$1.log" >&2; fail "$1: status $status, $2 was expected"; }
    echo "$1: $status"
}

bash "$HERE/small.sh"
one haproxy 0 "$LABS/haproxy-failover.toml"
one nat 0 "$LABS/nat-hole.toml"
one redis 0 "$LABS/redis-partition.toml"
one etcd 0 "$LABS/etcd-raft.toml"
if [ "$QUICK" != 1 ]; then
    one iperf3 0 "$LABS/iperf3-tour.toml"
    # Many hosts: each of a hundred but one keeps its share of a thousand connections to that one busy.
    python3 "$HERE/scale.py" 100 1000 3 >"$WORK/scale.toml"
    one scale 0 "$WORK/scale.toml"
    grep 'connections after' "$WORK/scale.log"
fi

# pgrep(1) ends with 1 where it finds none, and with more where it could not look.
status=0
left=$(pgrep -u "$(id -u)" -f "$WORK") || status=$?
[ $status -eq 1 ] || fail "processes are left, or pgrep failed with $status: $left"
[ -z "$(ls "$WORK/tmp/switchboard" 2>/dev/null)" ] || fail "a control socket is left"
