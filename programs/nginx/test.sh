#!/bin/bash
# nginx, a daemon with master and two workers (as root the workers drop to another user): fetched by curl, loaded by
# wrk, reloaded, asked to quit. TCP, IPv6, SO_REUSEPORT listeners, a unix socket, and as a proxy to itself over both.
. "$(dirname "$0")/../lib/outer.sh"
need nginx nginx-light
need curl curl
need wrk wrk
run 90
