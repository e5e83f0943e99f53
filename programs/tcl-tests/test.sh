#!/bin/bash
# Tcl's own tests of sockets, of its http package over both versions of HTTP/1, and of events, by the packaged tclsh.
. "$(dirname "$0")/../lib/outer.sh"
. "$PROGRAMS/lib/foreign.sh"
need tclsh8.6 tcl8.6
need python3 python3
sources tcl tcl8.6
compare bash "$HERE/cases.sh"
