#!/bin/bash
# tcpdump, tshark and dumpcap by rings of packet sockets: what other programs of the run send, live and into files.
. "$(dirname "$0")/../lib/outer.sh"
need tcpdump tcpdump
need tshark tshark
need perl perl
run 60
