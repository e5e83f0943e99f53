#!/bin/bash
# Perl's own tests of sockets: its core, Socket, IO, IO::Socket::IP, Net::Ping, libnet and HTTP::Tiny, by the packaged perl.
. "$(dirname "$0")/../lib/outer.sh"
. "$PROGRAMS/lib/foreign.sh"
need perl perl
need python3 python3
sources perl perl
compare bash "$HERE/cases.sh"
