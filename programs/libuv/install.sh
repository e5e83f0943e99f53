#!/bin/bash
# libuv's own tests, built from its source package.
set -euo pipefail
. "$(dirname "$0")/../lib/sources.sh"
fetch libuv libuv1 .
cd "$SOURCES/libuv"
[ -x build/uv_run_tests_a ] || {
    cmake -S . -B build -DLIBUV_BUILD_SHARED=OFF >/dev/null
    cmake --build build -j "$(nproc)" --target uv_run_tests_a >/dev/null
    chmod -R a+rX .
}
