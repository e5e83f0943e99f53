#!/bin/bash
# haproxy with two threads before two servers: balanced, a health check that sees one go, a reload that keeps its
# listeners (SCM_RIGHTS), its control socket.
. "$(dirname "$0")/../lib/outer.sh"
need haproxy haproxy
need curl curl
need socat socat
need python3 python3
run 90
