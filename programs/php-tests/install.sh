#!/bin/bash
# PHP's own tests of sockets and streams, from its source package.
set -euo pipefail
. "$(dirname "$0")/../lib/sources.sh"
fetch php php8.2 run-tests.php ext/sockets/tests ext/standard/tests/{network,streams} ext/openssl/tests
