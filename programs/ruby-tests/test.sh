#!/bin/bash
# Ruby's own tests of sockets, net/http, OpenSSL over sockets, fibers that wait, by the packaged ruby.
. "$(dirname "$0")/../lib/outer.sh"
. "$PROGRAMS/lib/foreign.sh"
need ruby ruby
need ip iproute2
need python3 python3
sources ruby ruby3.1
[ "$(id -u)" = 0 ] && unshare -n true 2>/dev/null || skip "natively they take network namespaces, and root"
export RUN_EACH=1
compare python3 "$HERE/cases.py"
