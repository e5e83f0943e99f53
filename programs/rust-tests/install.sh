#!/bin/bash
# The tests of crates that stand on sockets, from crates.io, built by the cargo that is there.
set -euo pipefail
. "$(dirname "$0")/../lib/sources.sh"
[ ! -e "$SOURCES/rust/done" ] || exit 0
command -v cargo >/dev/null || { echo "cargo is missing: the tests of crates are left out" >&2; exit 0; }
rm -rf "${SOURCES:?}/rust"
mkdir -p "$SOURCES/rust/src"
chmod 755 "${SOURCES%/*}" "$SOURCES" "$SOURCES/rust"
cd "$SOURCES/rust"
unset CARGO_TARGET_DIR

# Cargo fetches the crates as what a package depends on.
echo 'fn main() {}' >src/main.rs
cat >Cargo.toml <<'END'
[package]
name = "fetch"
version = "0.1.0"
edition = "2021"
[dependencies]
nix = "=0.30.1"
quinn-udp = "=0.5.16"
polling = "=3.11.0"
async-io = "=2.6.0"
tokio = { version = "=1.54.1", features = ["full"] }
END
cargo vendor -q vendor >/dev/null
mkdir tests
for crate in nix quinn-udp polling async-io tokio; do
    cp -r "vendor/$crate" tests/
    rm "tests/$crate/.cargo-checksum.json"
done
rm -r vendor src Cargo.toml Cargo.lock
cat >tests/Cargo.toml <<'END'
[workspace]
resolver = "2"
members = ["nix", "quinn-udp", "polling", "async-io", "tokio"]
[profile.dev]
debug = 0
END

mkdir bin
# build CRATE ARGS...: its test programs, as bin/CRATE.TEST.
build() {
    local crate=$1
    shift
    cargo test -q --no-run --manifest-path "tests/$crate/Cargo.toml" --target-dir target --message-format json "$@" |
        python3 -c 'import json, shutil, sys
for line in sys.stdin:
    made = json.loads(line)
    if made.get("executable") and made["profile"]["test"]:
        shutil.copy(made["executable"], "bin/" + sys.argv[1] + "." + made["target"]["name"])' "$crate"
}
build nix --all-features --test test
build quinn-udp --tests
build polling --tests
build async-io --tests
tests=()
for file in tests/tokio/tests/{tcp_*,uds_*,udp,unix_shutdown,net_*,io_async_fd,io_driver*}.rs; do
    tests+=(--test "$(basename "$file" .rs)")
done
build tokio --features full "${tests[@]}"
rm -rf target tests
chmod -R a+rX .
touch done
