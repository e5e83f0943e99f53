#!/bin/bash
# Java: an HTTP server and client started from one source file; NIO channels over TCP, UDP and a unix socket.
. "$(dirname "$0")/../lib/outer.sh"
need java openjdk-17-jdk-headless
java --list-modules 2>/dev/null | grep -q jdk.compiler || skip "java without compiler (Debian package openjdk-17-jdk-headless)"
run 90
