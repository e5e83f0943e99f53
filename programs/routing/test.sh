#!/bin/bash
# Daemons that make and use routes, in labs: OSPF with two ways of equal cost of which one goes down (BIRD), BGP (FRR),
# an address that moves when its owner dies (keepalived's VRRP), and addresses by DHCP. They live on rtnetlink, raw and packet
# sockets and multicast, and ask for root.
. "$(dirname "$0")/../lib/outer.sh"
native && skip "a lab has no host's kernel to run on"
[ "$(id -u)" = 0 ] || skip "routing daemons ask for root"
PATH=$PATH:/usr/sbin:/sbin:/usr/lib/frr
need ip iproute2
need ping iputils-ping
need bird bird2
need zebra frr
need keepalived keepalived
need dhcpd isc-dhcp-server
need dhclient isc-dhcp-client

cp "$HERE"/* "$WORK"
cd "$WORK"
export PATH TMPDIR=$WORK/tmp XDG_RUNTIME_DIR=$WORK/tmp
for lab in ospf bgp vrrp dhcp; do
    # All at once: they wait for timers of theirs most of the time.
    timeout 90 "$SWITCHBOARD" lab --output "$WORK/out-$lab" "$lab.toml" >"$lab.log" 2>&1 &
    pids+=($!)
done
for lab in ospf bgp vrrp dhcp; do
    status=0
    wait "${pids[0]}" || status=$?
    pids=("${pids[@]:1}")
    [ $status -eq 0 ] || { cat "$lab.log" >&2; fail "$lab: status $status"; }
    echo "$lab: ok"
done
