#!/bin/bash
# socat's own test script, from its source package.
set -euo pipefail
. "$(dirname "$0")/../lib/sources.sh"
fetch socat socat test.sh proxy.sh proxyecho.sh socks4echo.sh socks4a-echo.sh readline.sh readline-test.sh
