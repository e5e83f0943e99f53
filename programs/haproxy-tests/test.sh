#!/bin/bash
# HAProxy's own regression tests: the packaged haproxy between the servers and clients that varnishtest plays.
. "$(dirname "$0")/../lib/outer.sh"
. "$PROGRAMS/lib/foreign.sh"
need haproxy haproxy
need varnishtest varnish
need python3 python3
sources haproxy haproxy
compare bash "$HERE/cases.sh"
