#!/bin/bash
# socat and netcat (OpenBSD's): TCP, UDP, UNIX stream, datagram, seqpacket and abstract sockets, with forking servers,
# half-closed connections, and each talking to the other.
. "$(dirname "$0")/../lib/outer.sh"
need socat socat
need nc netcat-openbsd
nc -h 2>&1 | grep -q OpenBSD || skip "nc is another netcat (Debian package netcat-openbsd)"
run 60
