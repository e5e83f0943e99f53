#!/bin/bash
# A static busybox: its httpd (with CGI), wget and nc, and its ash running them.
. "$(dirname "$0")/../lib/outer.sh"
need busybox busybox-static
if ldd "$(command -v busybox)" >/dev/null 2>&1; then skip "busybox is not static (Debian package busybox-static)"; fi
run 60
