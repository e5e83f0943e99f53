#!/bin/bash
# A VPN of two hosts: socat at both ends, by /dev/net/tun, unmodified. The hosts' user gives himself CAP_NET_ADMIN there.
. "$(dirname "$0")/../lib/outer.sh"
native && skip "a lab has no host's kernel to run on"
need socat socat
need ip iproute2
need ping iputils-ping
need python3 python3

cd "$WORK"
export TMPDIR=$WORK/tmp XDG_RUNTIME_DIR=$WORK/tmp HERE
status=0
timeout 60 "$SWITCHBOARD" lab --output "$WORK/out" "$HERE/vpn.toml" >log 2>&1 || status=$?
[ $status -eq 0 ] || { cat log >&2; fail "the lab ended with status $status"; }
cat "$WORK/out/user.out"

# Without the capability an ordinary user gets what Linux says; root has it.
if [ "$(id -u)" -ne 0 ]; then
    status=0
    "$SWITCHBOARD" run -- ip tuntap add mode tun name t0 2>error || status=$?
    [ $status -ne 0 ] || fail "an ordinary user made an interface"
    grep -q 'not permitted' error || { cat error >&2; fail "not EPERM"; }
fi
"$SWITCHBOARD" run --cap net_admin -- bash -c '
    ip tuntap add mode tap name tap7 && ip addr add 10.8.0.1/24 dev tap7 && ip link set tap7 up &&
    ip -o link show tap7 && ip route show && grep tap7 /proc/net/dev && ip link del tap7 && ! ip link show tap7' >made 2>error ||
    { cat made error >&2; fail "ip(8) on an interface that stays"; }
grep -q '10.8.0.0/24 dev tap7' made || { cat made >&2; fail "no route"; }
