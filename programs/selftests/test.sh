#!/bin/bash
# Linux's own selftests of sockets, each in a run of its own, natively in a network namespace of its own.
. "$(dirname "$0")/../lib/outer.sh"
. "$PROGRAMS/lib/foreign.sh"
need python3 python3
need ip iproute2
need sysctl procps
[ -e "$SOURCES/selftests/done" ] || skip "the programs are missing (Debian package linux-source, fetched and built by run.sh --install)"
[ "$(id -u)" = 0 ] && unshare -n true 2>/dev/null || skip "natively they take network namespaces, and root"
export RUN_EACH=1
compare python3 "$HERE/cases.py"
