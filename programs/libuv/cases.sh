#!/bin/bash
# cases.sh [ID...]: libuv's tests, each a process of its own, as its runner makes them.
# It does not want to run as root, unless told; and it makes its files in the current directory.
export UV_RUN_AS_ROOT=1
tests=$SOURCES/libuv/build/uv_run_tests_a
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
ln -s "$SOURCES/libuv/test" test
outcomes() {
    sed -n 's/^ok [0-9]* - \([^ ]*\) # SKIP.*/skip \1/p; t; s/^ok [0-9]* - \([^ ]*\).*/ok \1/p; s/^not ok [0-9]* - \([^ ]*\).*/fail \1/p'
}
if [ $# = 0 ]; then
    # The first line says how many there are. A run that was cut short is none.
    timeout 900 "$tests" 2>/dev/null >out
    outcomes <out
    [ "$(sed -n 's/^1\.\.//p' out)" = "$(outcomes <out | wc -l)" ]
    exit
fi
for case in "$@"; do timeout 60 "$tests" "$case" 2>/dev/null | outcomes; done
exit 0 # one that hangs has no outcome
