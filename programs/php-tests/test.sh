#!/bin/bash
# PHP's own tests of its sockets, streams and network functions, by the packaged php.
. "$(dirname "$0")/../lib/outer.sh"
. "$PROGRAMS/lib/foreign.sh"
need php8.2 php8.2-cli
need python3 python3
sources php php8.2
compare bash "$HERE/cases.sh"
