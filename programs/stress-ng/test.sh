#!/bin/bash
# stress-ng's stressors of sockets, each verifying what it passes; and one that finds its protocol missing.
. "$(dirname "$0")/../lib/outer.sh"
need stress-ng stress-ng
run 200
