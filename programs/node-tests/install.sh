#!/bin/bash
# Node's own tests of sockets, from its source package.
set -euo pipefail
. "$(dirname "$0")/../lib/sources.sh"
fetch node nodejs test/common test/fixtures test/parallel test/sequential
