#!/bin/bash
# tc(8) puts queueing disciplines on interfaces of a virtual host, and packets feel them: netem in the times of ping(8), tbf in what
# iperf3 gets. As root, what the host's kernel has too is done in a network namespace of its own, and both have to print the same.
. "$(dirname "$0")/../lib/outer.sh"
need tc iproute2
need ping iputils-ping
need iperf3 iperf3
if native && [ "$(id -u)" = 0 ]; then skip "it changes the host's interfaces"; fi
run 60
if in_namespace; then
    # The kernel gives out handles to all of its interfaces.
    sed -i 's/bfifo 80[0-9a-f]*:/bfifo 80??:/' "$WORK/transcript" "$WORK/ours"
    diff "$WORK/transcript" "$WORK/ours" || fail "tc prints something else than in a namespace"
fi
