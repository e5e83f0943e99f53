#!/bin/bash
# python3 -m http.server, fetched by curl: IPv4, IPv6 and by name, small and large, one after the other and at once.
. "$(dirname "$0")/../lib/outer.sh"
need python3 python3
need curl curl
run 60
