#!/bin/bash
# cases.sh [ID...]: HAProxy's regression tests, some at the same time. A case is a file of theirs. Those that HAProxy itself
# calls slow are left out, and what Debian's is built without (contrib).
cd "$SOURCES/haproxy/reg-tests" || exit 1
HAPROXY_PROGRAM=$(command -v haproxy || echo /usr/sbin/haproxy)
export HAPROXY_PROGRAM
case_of() {
    timeout -s KILL 90 varnishtest -q -t 60 "$1" >/dev/null 2>&1 </dev/null
    case $? in
    0) echo "ok $1" ;;
    77) echo "skip $1" ;;
    *) echo "fail $1" ;;
    esac
}
export -f case_of
if [ $# -gt 0 ]; then
    for id in "$@"; do case_of "$id"; done
    exit 0
fi
find . -path ./contrib -prune -o -name '*.vtc' -printf '%P\n' | sort | xargs grep -L '^#REGTEST_TYPE=slow' |
    xargs -P 6 -I{} bash -c 'case_of {}'
