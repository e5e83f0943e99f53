#!/bin/bash
# Ruby's own tests, from its source package.
set -euo pipefail
. "$(dirname "$0")/../lib/sources.sh"
fetch ruby ruby3.1 test/socket test/net test/io test/lib test/fiber test/openssl tool/lib tool/test/runner.rb
