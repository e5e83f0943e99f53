#!/bin/bash
# sockperf: ping-pong over UDP and TCP, waited for by recvfrom, poll and epoll; nothing lost, doubled or out of order.
. "$(dirname "$0")/../lib/outer.sh"
need sockperf sockperf
run 90
