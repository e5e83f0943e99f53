#!/bin/bash
# The tests of Twisted (each of its reactors: epoll, poll, select, asyncio, GLib's) and Tornado, as Debian packages them.
. "$(dirname "$0")/../lib/outer.sh"
. "$PROGRAMS/lib/foreign.sh"
need python3 python3
need ip iproute2
for module in twisted.internet.test.test_tcp tornado.test.iostream_test; do
    /usr/bin/python3 -c "import $module" 2>/dev/null || skip "$module is missing (Debian packages python3-twisted, python3-tornado)"
done
[ "$(id -u)" = 0 ] && unshare -n true 2>/dev/null || skip "natively they take network namespaces, and root"
export RUN_EACH=1
compare python3 "$HERE/cases.py"
