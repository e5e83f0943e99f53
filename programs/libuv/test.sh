#!/bin/bash
# libuv's own tests: its loop, timers, processes, TCP, UDP, pipes with handles.
. "$(dirname "$0")/../lib/outer.sh"
. "$PROGRAMS/lib/foreign.sh"
need python3 python3
sources libuv libuv1
compare bash "$HERE/cases.sh"
