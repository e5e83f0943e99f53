#!/bin/bash
# cases.sh [ID...]: Tcl's tests; a case is a test of a file, as FILE:NAME, or the file itself, which is ok when all of it ran.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
if [ $# -gt 0 ]; then
    mapfile -t files < <(printf '%s\n' "${@%%:*}" | sort -u)
else
    files=(socket http httpold http11 event)
fi
for file in "${files[@]}"; do
    timeout 180 tclsh8.6 "$SOURCES/tcl/tests/$file.test" -tmpdir "$work" -verbose ps </dev/null >"$work/out" 2>&1
    status=$?
    # A test that fails is told with its name twice.
    sed -n "s|^++++ \([^ ]*\) PASSED.*|ok $file:\1|p; s|^==== \([^ ]*\) FAILED\$|fail $file:\1|p
        s|^++++ \([^ ]*\) SKIPPED.*|skip $file:\1|p" "$work/out"
    case $status in
    124) echo "cut $file" ;;
    *) grep -q "Total.*Passed" "$work/out" && echo "ok $file" || echo "fail $file" ;;
    esac
done
