#!/usr/bin/env bash
# Everything that must hold, in the order in which it is cheapest to find out. What CI runs.
#   ./test.sh          the layer itself: lints, unit tests, conformance on three arms, lockstep, and five programs
#   ./test.sh full     every program of programs/ too, installed where that is allowed, with its long trials
# Needs Rust and a C compiler. As root it installs the Debian packages that the programs need;
# otherwise it says which of them were left out.
set -euo pipefail
cd "$(dirname "$0")"

mode=${1:-usual}
case $mode in
full | usual) ;;
*)
    echo "test.sh: unknown mode '$mode': use full, or nothing" >&2
    exit 2
    ;;
esac

failed=() left_out=()
# A step: status 77 says that it cannot be run here.
step() {
    local name=$1 start=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    local status=0
    "$@" || status=$?
    case $status in
    0) printf '== %s: ok (%d s)\n' "$name" $((SECONDS - start)) ;;
    77)
        printf '== %s: left out\n' "$name"
        left_out+=("$name")
        ;;
    *)
        printf '== %s: FAILED (%d s)\n' "$name" $((SECONDS - start))
        failed+=("$name")
        ;;
    esac
}

target=${CARGO_TARGET_DIR:-target}
switchboard=$target/release/switchboard
conformance=$target/release/conformance

# The same again as somebody without privileges.
as_user() {
    if [ "$(id -u)" != 0 ]; then
        "$@"
        return
    fi
    local dir
    dir=$(mktemp -d)
    chmod 755 "$dir"
    cp "$switchboard" "$conformance" "$dir"
    (
        cd /
        local command=()
        for word in "$@"; do
            case $word in
            "$switchboard" | "$conformance") command+=("$dir/${word##*/}") ;;
            *) command+=("$word") ;;
            esac
        done
        setpriv --reuid 65534 --regid 65534 --clear-groups env TMPDIR=/tmp HOME=/tmp "${command[@]}"
    )
    local status=$?
    rm -rf "$dir"
    return $status
}

lints() {
    cargo fmt --all --check && cargo clippy --workspace --all-targets --quiet -- -D warnings
}

build() {
    cargo build --release --quiet -p switchboard-cli -p switchboard-conformance
}

documents() {
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet \
        --exclude switchboard-conformance --exclude switchboard-fuzz || return
    diff <(sed -n '/<!-- support begin -->/,/<!-- support end -->/p' README.md | sed '1d;$d') \
        <("$switchboard" support --markdown) || {
        echo "README.md: the support table is not what 'switchboard support --markdown' prints" >&2
        return 1
    }
}

# Ping sockets are nobody's by default: in a network namespace of its own we say whose they are. The library's host takes
# the tunables of where it runs.
pings() {
    if [ "$(id -u)" != 0 ] || ! unshare -n ip link set lo up 2>/dev/null; then
        echo "it takes a network namespace, and ip"
        return 77
    fi
    unshare -n sh -c 'ip link set lo up && echo "0 2147483647" >/proc/sys/net/ipv4/ping_group_range && exec "$@"' - \
        "$conformance" --arm "$1" --strict -q --filter ping::
}

# The way that is taken in containers, whose profiles refuse pidfd_getfd(2), call 438: docs/design/without-getfd.md. Each close
# takes a look at all descriptors, which can be slow.
without_getfd() {
    command -v perl >/dev/null || {
        echo "it takes perl"
        return 77
    }
    "$@" perl -e "$(<conformance/without.pl)" 438 \
        "$switchboard" run -- "$conformance" --arm runner --without-getfd --timeout-ms 60000 -q
}

# What fails is tried once more, alone: a busy machine makes servers slow to start. Both tries are shown.
programs() {
    local log failed
    log=$(mktemp)
    programs/run.sh "$@" | tee "$log" && { rm -f "$log"; return; }
    mapfile -t failed < <(sed -n 's/^FAIL \([a-z0-9-]*\).*/\1/p' "$log" | sort -u)
    rm -f "$log"
    [ ${#failed[@]} -gt 0 ] || return 1
    printf 'second try: %s\n' "${failed[*]}"
    programs/run.sh "${failed[@]}"
}

export SWITCHBOARD=$switchboard
step "format and lints" lints
step "unit and integration tests" cargo test --workspace --quiet --no-fail-fast
step "release build" build
step "documents" documents
step "conformance, host's kernel" "$conformance" --arm host -q
step "conformance, library" "$conformance" --arm library -q
step "conformance, runner" "$switchboard" run -- "$conformance" --arm runner -q
step "conformance, host's kernel, ping sockets" pings host
step "conformance, library, ping sockets" pings library
step "conformance, runner, ping sockets" "$switchboard" run --sysctl "net.ipv4.ping_group_range=0 2147483647" -- "$conformance" --arm runner --strict -q --filter ping::
step "conformance, runner, closes that wait" "$switchboard" run --linger -- "$conformance" --arm runner --strict -q --filter lingering
step "conformance, runner, without pidfd_getfd" without_getfd
step "conformance, host's kernel, ordinary user" as_user "$conformance" --arm host -q
step "conformance, library, ordinary user" as_user "$conformance" --arm library -q
step "conformance, runner, ordinary user" as_user "$switchboard" run -- "$conformance" --arm runner -q
step "conformance, runner, without pidfd_getfd, ordinary user" without_getfd as_user
step "lockstep" "$conformance" lockstep --sequences 10000
some=()
[ "$(id -u)" != 0 ] || some+=(--install)
[ "$mode" = full ] || some+=(--quick python-http fork-exec scm-rights i386-socketcall redis)
step "programs" programs "${some[@]}"

printf '\n'
if [ ${#failed[@]} -gt 0 ]; then
    printf 'test.sh: failed: %s\n' "${failed[*]}"
    exit 1
fi
echo "test.sh: all passed${left_out[*]:+, but for what was left out: ${left_out[*]}}"
