#!/bin/bash
# Perl's own tests of sockets, from its source package.
set -euo pipefail
. "$(dirname "$0")/../lib/sources.sh"
fetch perl perl t/test.pl t/charset_tools.pl t/io/{socket,socketpair,pipe,dup}.t t/op/{sselect,fork}.t cpan/Socket/t cpan/IO-Socket-IP/t \
    dist/IO/t dist/Net-Ping/t cpan/libnet/t cpan/HTTP-Tiny/t cpan/HTTP-Tiny/corpus ext/IPC-Open3/t
