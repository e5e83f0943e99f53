#!/bin/bash
# Listeners and connections inherited over fork and exec: prefork servers that outlive their parent, a chain of execs,
# inetd-like services, bash's own sockets, python's subprocesses, close-on-exec.
. "$(dirname "$0")/../lib/outer.sh"
need gcc gcc
need python3 python3
need perl perl
gcc -O1 -Wall -Wextra -Werror -o "$WORK/inherit" "$HERE/inherit.c"
run 60
