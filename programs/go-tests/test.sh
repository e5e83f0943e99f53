#!/bin/bash
# Go's own tests of net, net/http and their kin, of golang.org/x/net and of golang.org/x/sys/unix, by the packaged compiler.
. "$(dirname "$0")/../lib/outer.sh"
. "$PROGRAMS/lib/foreign.sh"
need python3 python3
sources go golang-src
compare python3 "$HERE/cases.py"
