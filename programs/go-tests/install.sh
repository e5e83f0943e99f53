#!/bin/bash
# Go's own tests of its net packages, built by the packaged compiler from the packaged sources.
set -euo pipefail
. "$(dirname "$0")/../lib/sources.sh"
[ ! -e "$SOURCES/go/done" ] || exit 0
rm -rf "${SOURCES:?}/go"
mkdir -p "$SOURCES/go"
cd "$SOURCES/go"
# golang.org/x comes as packages of its own, in a tree of their own.
export GOPROXY=off GOFLAGS= CGO_ENABLED=0 GOCACHE=$SOURCES/go/cache HOME=$SOURCES/go
for package in net net/http net/rpc net/smtp net/http/httptest internal/poll log/syslog os/signal; do
    go test -c -o "$(tr / _ <<<"$package").test" "$package"
done
for package in ipv4 ipv6 icmp nettest internal/socket bpf; do
    GO111MODULE=off GOPATH=/usr/share/gocode go test -c -o "x_net_$(tr / _ <<<"$package").test" "golang.org/x/net/$package"
done
GO111MODULE=off GOPATH=/usr/share/gocode go test -c -o x_sys_unix.test golang.org/x/sys/unix
rm -rf cache
chmod -R a+rX .
touch done
