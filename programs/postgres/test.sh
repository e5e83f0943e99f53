#!/bin/bash
# PostgreSQL: initdb, the server with its processes, psql and pgbench over TCP (password) and the unix socket (peer
# credentials). The server refuses to run as root: then it runs as `nobody`, inside the same run.
. "$(dirname "$0")/../lib/outer.sh"
BIN=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$BIN" ] && [ -x "$BIN/initdb" ] || skip "initdb is missing (Debian package postgresql)"
[ -x "$BIN/pgbench" ] || skip "pgbench is missing (Debian package postgresql-contrib)"
export BIN
run 120
