#!/bin/bash
# Sockets, and other open files, passed between processes with SCM_RIGHTS; credentials with SCM_CREDENTIALS.
. "$(dirname "$0")/../lib/outer.sh"
need python3 python3
run 60
