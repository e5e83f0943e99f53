#!/bin/bash
# memcached with four threads: TCP, UDP and its unix socket, many clients at once.
. "$(dirname "$0")/../lib/outer.sh"
need memcached memcached
run 60
