#!/bin/bash
# The way out: what programs reach by `--net nat`. The outside is the host's own loopback, under a name of its own: bytes both
# ways, halves of connections, refusals, resets, datagrams of every length. As root there are routers too, in network
# namespaces of the test's own: traceroute, ping, ICMP errors, names, TUN and TAP devices.
. "$(dirname "$0")/../lib/outer.sh"
need python3 python3
need curl curl
need iperf3 iperf3
need ip iproute2
need ping iputils-ping
need dnsmasq dnsmasq-base

python3 "$HERE/outside.py" "$WORK/ports" &
OUTSIDE=$!
IPERF=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
iperf3 -s -B 127.0.0.1 -p "$IPERF" >"$WORK/iperf.server" 2>&1 &
SERVER=$!
over() {
    # Of no interest here: one that has ended by itself was missed by its clients.
    kill $OUTSIDE $SERVER 2>/dev/null || true
    finish
}
trap over EXIT
for _ in $(seq 100); do
    [ -s "$WORK/ports" ] && (exec 3<>"/dev/tcp/127.0.0.1/$IPERF") 2>/dev/null && break
    sleep 0.1
done
[ -s "$WORK/ports" ] || fail "outside.py did not start"

export IPERF AMOUNT=400M
[ "$QUICK" = 0 ] || AMOUNT=50M
if native; then
    export NAME4=127.0.0.1 NAME6=::1
    run 120
    exit 0
fi
# Names that are in no subnet of the test's machine.
export NAME4=198.51.100.4 NAME6=2001:db8:5b::4
run 120 --sysctl "net.ipv4.ping_group_range=0 2147483647" --net nat --host-loopback $NAME4 --host-loopback $NAME6

if [ "$(id -u)" = 0 ] && unshare -n true 2>/dev/null; then
    # A file system of its own for what stands in /etc/resolv.conf.
    unshare -n -m bash "$HERE/namespaces.sh"
else
    echo "left out: routers and devices, as no network namespace may be made here"
fi
