#!/bin/bash
# Processes killed with SIGKILL at random moments, in the middle of socket work, leave nothing behind: every port and
# name can be bound again inside the same run, peers see the end, and the supervisor's own count is zero.
# SEED chooses the moments; it is printed, so that a failure can be tried again.
. "$(dirname "$0")/../lib/outer.sh"
need gcc gcc
gcc -O1 -Wall -Wextra -Werror -pthread -o "$WORK/mortal" "$HERE/mortal.c"
export SEED=${SEED:-$((RANDOM * 32768 + RANDOM))} ROUNDS=150
[ "$QUICK" = 0 ] || ROUNDS=40
echo "SEED=$SEED ROUNDS=$ROUNDS"
if native; then
    run 110
else
    run 110 --stats --
    for what in 'sockets left' 'placeholders left' 'calls left' 'files in flight left'; do
        grep -q "$what: 0\$" "$WORK/inner.err" || fail "--stats does not say '$what: 0' (SEED=$SEED)"
    done
fi
