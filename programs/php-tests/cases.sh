#!/bin/bash
# cases.sh [ID...]: PHP's tests by its own driver; a case is a file.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$SOURCES/php/." "$work"
cd "$work" || exit 1
# Those that ask for hosts of the Internet are left out.
export SKIP_ONLINE_TESTS=1 SKIP_SLOW_TESTS=1 SKIP_IO_CAPTURE_TESTS=1 NO_INTERACTION=1 TMPDIR=$work
export TEST_PHP_EXECUTABLE=/usr/bin/php8.2 TEST_PHP_CGI_EXECUTABLE=
# What sends to groups would leave the machine natively.
[ $# -gt 0 ] || mapfile -t tests < <(find ext/sockets/tests ext/standard/tests/{network,streams} -name '*.phpt' |
    grep -vE '/(mcast|bug63000|socket_(im|ex)port_stream-3)' | sort)
[ $# -gt 0 ] || set -- "${tests[@]}"
timeout 600 php8.2 run-tests.php -q --no-color -j2 "$@" 2>&1 </dev/null | tr '\r' '\n' |
    sed -n 's/^PASS .*\[\([^]]*\.phpt\)\].*/ok \1/p; s/^SKIP .*\[\([^]]*\.phpt\)\].*/skip \1/p
        s/^\(FAIL\|BORK\|WARN\|XFAIL\|LEAK\) .*\[\([^]]*\.phpt\)\].*/fail \2/p'
# What failed is told by the status, too.
[ "${PIPESTATUS[0]}" -le 1 ]
