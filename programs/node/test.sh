#!/bin/bash
# node: HTTP server and client over TCP, IPv6 and a unix socket, datagrams, and a cluster (handles sent to workers).
. "$(dirname "$0")/../lib/outer.sh"
need node nodejs
run 60
