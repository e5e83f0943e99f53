#!/bin/bash
# Tests that Debian packages to be run as they are: GLib's of sockets, streams and D-Bus, systemd's of sockets and protocols,
# libsoup's of HTTP, GnuTLS's of GIO, and D-Bus's own.
. "$(dirname "$0")/../lib/outer.sh"
. "$PROGRAMS/lib/foreign.sh"
need python3 python3
[ -d /usr/libexec/installed-tests/glib ] || skip "GLib's tests are missing (Debian package libglib2.0-tests)"
[ -d /usr/lib/systemd/tests ] || skip "systemd's tests are missing (Debian package systemd-tests)"
[ -d /usr/libexec/installed-tests/libsoup-3.0 ] || skip "libsoup's tests are missing (Debian package libsoup-3.0-tests)"
[ -d /usr/libexec/installed-tests/glib-networking ] || skip "GnuTLS's tests for GIO are missing (Debian package glib-networking-tests)"
[ -d /usr/lib/dbus-1.0/installed-tests ] || skip "D-Bus's tests are missing (Debian package dbus-tests)"
# GIO asks whether there is a network before it connects.
export RUN_OPTIONS="--net nat"
compare bash "$HERE/cases.sh"
