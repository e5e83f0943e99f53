#!/bin/bash
# An rsync daemon: a tree of files up and down again, changed a little and sent once more.
. "$(dirname "$0")/../lib/outer.sh"
need rsync rsync
run 60
