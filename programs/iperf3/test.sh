#!/bin/bash
# iperf3: TCP in both directions, four streams at once, UDP, IPv6.
. "$(dirname "$0")/../lib/outer.sh"
need iperf3 iperf3
need python3 python3
run 90
