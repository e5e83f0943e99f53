#!/bin/bash
# redis-server with redis-cli and redis-benchmark over TCP and over its unix socket; a replica; a background save.
. "$(dirname "$0")/../lib/outer.sh"
need redis-server redis-server
need redis-cli redis-tools
need redis-benchmark redis-tools
run 90
