#!/bin/bash
# Tests that Debian packages to be run as they are: GLib's of sockets, streams and D-Bus, systemd's of sockets and protocols.
. "$(dirname "$0")/../lib/outer.sh"
. "$PROGRAMS/lib/foreign.sh"
need python3 python3
[ -d /usr/libexec/installed-tests/glib ] || skip "GLib's tests are missing (Debian package libglib2.0-tests)"
[ -d /usr/lib/systemd/tests ] || skip "systemd's tests are missing (Debian package systemd-tests)"
compare bash "$HERE/cases.sh"
