#!/bin/bash
# Node's own tests of net and dgram, from its source package, by the packaged node.
. "$(dirname "$0")/../lib/outer.sh"
. "$PROGRAMS/lib/foreign.sh"
need node nodejs
need python3 python3
sources node nodejs
compare python3 "$HERE/cases.py"
