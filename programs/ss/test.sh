#!/bin/bash
# ss(8) asks by NETLINK_SOCK_DIAG: what it prints of sockets that a program holds.
. "$(dirname "$0")/../lib/outer.sh"
need ss iproute2
need python3 python3-minimal
run 60
