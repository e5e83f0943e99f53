#!/bin/bash
# HAProxy's own regression tests, from its source package.
set -euo pipefail
. "$(dirname "$0")/../lib/sources.sh"
fetch haproxy haproxy reg-tests
