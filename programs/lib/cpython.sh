# Sourced by test.sh, after outer.sh: CPython's own tests, case by case as on the host's kernel.
#
# compare_modules MODULE...: the differences, each with its reason, are in the test's expect.txt.
compare_modules() {
    local python='' each status=0 modules=(${MODULES:-$@})
    for each in /usr/bin/python3 python3; do
        if "$each" -c 'import test.test_socket, test.test_asyncio' 2>/dev/null; then python=$each; break; fi
    done
    [ -n "$python" ] || skip "CPython's tests are missing (Debian package libpython3.11-testsuite)"
    TMPDIR=$WORK/tmp HOME=$WORK/home perl "$PROGRAMS/lib/guard.pl" 2400 \
        "$python" "$PROGRAMS/cpython/compare.py" "$SWITCHBOARD" "$HERE/expect.txt" "${modules[@]}" >"$WORK/compare.out" 2>&1 || status=$?
    if [ $status -ne 0 ]; then
        # What the cases that differ had to say.
        grep -E '^DIFFERS' "$WORK/compare.out" | sed 's/^DIFFERS //; s/:.*//' | head -n 20 | while read -r name; do
            awk -v name="$name" '/^(fail|skip|xfail) /{on = ($2 == name)} on' "$WORK/trial.log" | tail -n 14
        done || true
    fi
    cat "$WORK/compare.out"
    return $status
}
