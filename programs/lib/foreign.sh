# Sourced by test.sh, after outer.sh: foreign suites, case by case as on the host's kernel.
. "$PROGRAMS/lib/sources.sh"
export SOURCES

# sources NAME SOURCE: skip when the source package has not been fetched.
sources() {
    [ -e "$SOURCES/$1/done" ] || skip "the sources are missing (Debian source package $2, fetched by run.sh --install)"
}

# compare DRIVER...: see foreign.py; the differences, each with its reason, are in the test's expect.txt.
compare() {
    (
        cd "$WORK/tmp"
        export TMPDIR=$WORK/tmp HOME=$WORK/home
        exec perl "$PROGRAMS/lib/guard.pl" 2400 python3 "$PROGRAMS/lib/foreign.py" "$SWITCHBOARD" "$HERE/expect.txt" "$@"
    )
}
