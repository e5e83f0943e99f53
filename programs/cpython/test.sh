#!/bin/bash
# CPython's test_socket, test_socketserver, test_selectors and test_asyncio, case by case as on the host's kernel;
# the differences, each with its reason, are in expect.txt.
. "$(dirname "$0")/../lib/outer.sh"
PYTHON=''
for python in /usr/bin/python3 python3; do
    if "$python" -c 'import test.test_socket, test.test_asyncio' 2>/dev/null; then PYTHON=$python; break; fi
done
[ -n "$PYTHON" ] || skip "CPython's tests are missing (Debian package libpython3.11-testsuite)"
modules=(${MODULES:-test.test_selectors test.test_socketserver test.test_socket test.test_asyncio})
status=0
TMPDIR=$WORK/tmp HOME=$WORK/home perl "$PROGRAMS/lib/guard.pl" 2400 \
    "$PYTHON" "$HERE/compare.py" "$SWITCHBOARD" "$HERE/expect.txt" "${modules[@]}" >"$WORK/compare.out" 2>&1 || status=$?
if [ $status -ne 0 ]; then
    # What the cases that differ had to say.
    grep -E '^DIFFERS' "$WORK/compare.out" | sed 's/^DIFFERS //; s/:.*//' | head -n 20 | while read -r name; do
        awk -v name="$name" '/^(fail|skip|xfail) /{on = ($2 == name)} on' "$WORK/trial.log" | tail -n 14
    done
fi
cat "$WORK/compare.out"
exit $status
