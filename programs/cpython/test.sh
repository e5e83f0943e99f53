#!/bin/bash
# CPython's test_socket, test_socketserver, test_selectors and test_asyncio, case by case as on the host's kernel;
# the differences, each with its reason, are in expect.txt.
. "$(dirname "$0")/../lib/outer.sh"
. "$PROGRAMS/lib/cpython.sh"
compare_modules test.test_selectors test.test_socketserver test.test_socket test.test_asyncio
