#!/bin/bash
# A result that was not delivered is a call that did not happen: a sender and a receiver, each struck by timer signals
# at 5 kHz, with and without SA_RESTART, pass SIZE bytes (1 GiB; 64 MiB when QUICK=1) over TCP, a unix stream and unix
# seqpackets, every byte checked in its place, every message in its bounds.
. "$(dirname "$0")/../lib/outer.sh"
need gcc gcc
gcc -O2 -Wall -Wextra -Werror -o "$WORK/struck" "$HERE/struck.c"
if [ -z "${SIZE:-}" ]; then
    if [ "$QUICK" = 1 ]; then SIZE=$((64 << 20)); else SIZE=$((1 << 30)); fi
fi
export SIZE
for kind in tcp unix seqpacket; do
    for restart in restart interrupt; do run 120 -- $kind $restart; done
done
