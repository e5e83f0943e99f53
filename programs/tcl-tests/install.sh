#!/bin/bash
# Tcl's own tests of sockets, channels and its http package, from its source package.
set -euo pipefail
. "$(dirname "$0")/../lib/sources.sh"
fetch tcl tcl8.6 tests
