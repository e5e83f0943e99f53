#!/bin/bash
# Ordinary 32-bit programs from Debian's i386 packages (curl, socat, iperf3, and the static busybox) talking to 64-bit
# ones and to each other.
. "$(dirname "$0")/../lib/outer.sh"
export I386=/var/cache/switchboard-programs/i386
[ -e $I386/done ] || skip "the i386 programs are missing (Debian packages curl:i386 socat:i386 iperf3:i386 busybox-static:i386, unpacked by run.sh --install)"
need python3 python3
need curl curl
need socat socat
run 60
