#!/bin/bash
# A static Go program (no libc between it and the kernel, its own network poller): HTTP server and client over TCP,
# IPv6 and a unix socket, UDP, deadlines.
. "$(dirname "$0")/../lib/outer.sh"
need go golang-go
mkdir "$WORK/source"
cp "$HERE/main.go" "$WORK/source"
(cd "$WORK/source" && HOME=$WORK/home GOCACHE=$WORK/gocache GO111MODULE=off CGO_ENABLED=0 GOFLAGS= go build -o "$WORK/program" main.go)
rm -rf "$WORK/gocache"
run 60
