# Sourced by every test.sh: the part of a test that runs on the host, outside the virtual host.
#
#   SWITCHBOARD   path of the program under test, or "native": run the same inner script on the host's kernel
#   QUICK=1       less data, for a short run
#   KEEP=1        keep the working directory and say where it is
#
# A test ends with status 0 (passed), 77 (skipped, the reason in its last line) or anything else (failed).
set -euo pipefail

PROGRAMS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
HERE=$(cd "$(dirname "$0")" && pwd)
NAME=$(basename "$HERE")
SWITCHBOARD=${SWITCHBOARD:-$PROGRAMS/../target/release/switchboard}
QUICK=${QUICK:-0}

# The distribution's programs first, so that root and the ordinary user run the same ones.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:$PATH
LC_ALL=C.UTF-8
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY

umask 022
WORK=$(mktemp -d "${TMPDIR:-/tmp}/programs-$NAME.XXXXXX")
chmod 755 "$WORK" # as root, servers drop to another user
mkdir "$WORK/tmp" "$WORK/home"
chmod 1777 "$WORK/tmp"
finish() {
    if [ "${KEEP:-0}" = 1 ]; then echo "kept: $WORK" >&2; else rm -rf "$WORK"; fi
}
trap finish EXIT
trap 'exit 143' TERM INT HUP

export PROGRAMS HERE NAME SWITCHBOARD QUICK PATH LC_ALL WORK

native() { [ "$SWITCHBOARD" = native ]; }

skip() {
    echo "skip: $*"
    exit 77
}

fail() {
    echo "fail: $*" >&2
    exit 1
}

# need COMMAND PACKAGE: skip the test, naming the Debian package, when the command is missing.
need() {
    command -v "$1" >/dev/null || skip "$1 is missing (Debian package $2)"
}

# in_host OPTIONS -- COMMAND...: the command under the runner, or plain when native. OPTIONS are the runner's.
in_host() {
    local options=()
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    if native; then "$@"; else "$SWITCHBOARD" run "${options[@]}" -- "$@"; fi
}
export -f in_host native

# run LIMIT [OPTION...] -- ARGS...: inner.sh of this test under one run. Checks the exit status, that the script went
# to its end, and that no process, temporary file or socket file is left.
run() {
    local limit=$1 status=0
    shift
    local options=()
    while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
    [ $# -gt 0 ] && shift
    if ! native && ! [ -x "$SWITCHBOARD" ]; then fail "$SWITCHBOARD: no such program"; fi
    local prefix=()
    native || prefix=("$SWITCHBOARD" run "${options[@]}" --)
    (
        cd "$WORK"
        export TMPDIR=$WORK/tmp HOME=$WORK/home
        exec perl "$PROGRAMS/lib/guard.pl" "$limit" "${prefix[@]}" bash "$HERE/inner.sh" "$@"
    ) </dev/null >"$WORK/inner.out" 2>"$WORK/inner.err" || status=$?
    cat "$WORK/inner.out"
    cat "$WORK/inner.err" >&2
    if [ $status -ne 0 ]; then fail "inner script ended with status $status"; fi
    [ "$(tail -n 1 "$WORK/inner.out")" = "inner done" ] || fail "the inner script did not reach its end"
    local left
    left=$(find "$WORK/tmp" -mindepth 1; find "$WORK" -type s)
    [ -z "$left" ] || fail "files left behind: $left"
}

# in_namespace: the inner script again, as root, in a network namespace of its own on the host's kernel, if one may be made;
# it says so if not. $WORK/ours is then the transcript of the run, $WORK/transcript the kernel's.
in_namespace() {
    if native || [ "$(id -u)" != 0 ]; then return 1; fi
    if ! unshare -n true 2>/dev/null; then
        echo "left out: the comparison with the kernel, as no network namespace may be made here"
        return 1
    fi
    cp "$WORK/transcript" "$WORK/ours"
    (
        cd "$WORK"
        exec perl "$PROGRAMS/lib/guard.pl" 60 unshare -n bash -c 'ip link set lo up; exec bash "$HERE/inner.sh"'
    ) >/dev/null </dev/null || fail "the inner script failed in a namespace of the kernel's"
}
