#!/bin/bash
# Run the program tests: real, unmodified programs under `switchboard run`.
#
#   run.sh [--install] [--quick] [--user NAME | --root-only] [--list] [TEST...]
#
#   --install     as root: install what is missing from Debian's packages (each test's file `packages`)
#   --quick       less data in the long trials
#   --user NAME   run the tests once, as that user
#   --root-only   as root: leave out the second pass as an ordinary user
#   --list        print the names of the tests
#
# As root every test runs twice: as root, and as the ordinary user `nobody`. SWITCHBOARD names the program under test
# (target/release/switchboard by default); SWITCHBOARD=native runs the same tests on the host's kernel. Logs of failed
# tests are kept in the directory named at the end.
set -euo pipefail

PROGRAMS=$(cd "$(dirname "$0")" && pwd)
SWITCHBOARD=${SWITCHBOARD:-$PROGRAMS/../target/release/switchboard}
LIMIT=2600 # seconds for one test.sh: its runs have shorter limits of their own, this is the last resort
install=0 user='' root_only=0
names=()
while [ $# -gt 0 ]; do
    case $1 in
    --install) install=1 ;;
    --quick) export QUICK=1 ;;
    --user) user=$2; shift ;;
    --root-only) root_only=1 ;;
    --list) (cd "$PROGRAMS" && dirname ./*/test.sh | sed 's|^\./||'); exit 0 ;;
    -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    -*) echo "run.sh: unknown option $1" >&2; exit 2 ;;
    *) names+=("${1%/}") ;;
    esac
    shift
done
if [ ${#names[@]} -eq 0 ]; then mapfile -t names < <(cd "$PROGRAMS" && dirname ./*/test.sh | sed 's|^\./||'); fi
for name in "${names[@]}"; do
    [ -x "$PROGRAMS/$name/test.sh" ] || { echo "run.sh: no test named $name" >&2; exit 2; }
done
if [ "$SWITCHBOARD" != native ]; then
    [ -x "$SWITCHBOARD" ] || { echo "run.sh: $SWITCHBOARD is not there; build it or set SWITCHBOARD" >&2; exit 2; }
    SWITCHBOARD=$(cd "$(dirname "$SWITCHBOARD")" && pwd)/$(basename "$SWITCHBOARD")
fi

install_packages() {
    [ "$(id -u)" = 0 ] || { echo "run.sh: --install needs root" >&2; exit 2; }
    local wanted=() missing=() package policy=/usr/sbin/policy-rc.d
    for name in "${names[@]}"; do
        [ -f "$PROGRAMS/$name/packages" ] && mapfile -t -O ${#wanted[@]} wanted < <(grep -v '^#' "$PROGRAMS/$name/packages")
    done
    for package in "${wanted[@]}"; do
        dpkg-query -W -f '${Status}\n' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    local scripts=()
    for name in "${names[@]}"; do
        [ ! -x "$PROGRAMS/$name/install.sh" ] || scripts+=("$PROGRAMS/$name/install.sh")
    done
    [ $((${#missing[@]} + ${#scripts[@]})) -gt 0 ] || return 0
    # The tests start their own servers: keep the packages from starting theirs.
    local made_policy=0
    if ! [ -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' >$policy
        chmod 755 $policy
        made_policy=1
    fi
    apt-get update -q >/dev/null || echo "run.sh: apt-get update had errors, going on" >&2
    if [ ${#missing[@]} -gt 0 ]; then
        DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >/dev/null ||
            echo "run.sh: apt-get install failed: ${missing[*]}" >&2
    fi
    local script
    for script in "${scripts[@]}"; do
        "$script" >&2 || echo "run.sh: ${script#"$PROGRAMS/"} failed" >&2
    done
    [ $made_policy = 0 ] || rm $policy
}
[ $install = 0 ] || install_packages

SCRATCH=$(mktemp -d "${TMPDIR:-/tmp}/programs-run.XXXXXX")
chmod 755 "$SCRATCH"
mkdir "$SCRATCH/logs"
child=''
trap 'rm -rf "$SCRATCH/share"; rmdir "$SCRATCH/logs" "$SCRATCH" 2>/dev/null || true' EXIT
trap '[ -z "$child" ] || kill "$child" 2>/dev/null; exit 130' INT TERM HUP

# The ordinary user may not be allowed to enter this tree: give it copies.
SHARE_PROGRAMS='' SHARE_SWITCHBOARD=native
share() {
    [ -z "$SHARE_PROGRAMS" ] || return 0
    mkdir "$SCRATCH/share"
    cp -r "$PROGRAMS" "$SCRATCH/share/programs"
    cp -r "$PROGRAMS/../labs" "$SCRATCH/share/labs"
    SHARE_PROGRAMS=$SCRATCH/share/programs
    if [ "$SWITCHBOARD" != native ]; then
        cp "$SWITCHBOARD" "$SCRATCH/share/switchboard"
        SHARE_SWITCHBOARD=$SCRATCH/share/switchboard
    fi
    chmod -R a+rX "$SCRATCH/share"
}

passed=0 failed=0 skipped=0
# one NAME USER ('' = whoever runs this)
one() {
    local name=$1 as=$2 label=$1 log status=0 from to
    local command=()
    if [ -n "$as" ]; then
        share
        command=(env -C / HOME=/nonexistent "USER=$as" "LOGNAME=$as" "SWITCHBOARD=$SHARE_SWITCHBOARD" TMPDIR=/tmp
            setpriv --reuid "$as" --regid "$(id -g "$as")" --init-groups bash "$SHARE_PROGRAMS/$name/test.sh")
    else
        command=(env "SWITCHBOARD=$SWITCHBOARD" bash "$PROGRAMS/$name/test.sh")
    fi
    [ "$(id -u)" != 0 ] || label=$name@${as:-root}
    log=$SCRATCH/logs/$label.log
    from=$(date +%s%N)
    timeout -k 10 $LIMIT "${command[@]}" >"$log" 2>&1 </dev/null &
    child=$!
    wait $child || status=$?
    child=''
    to=$(date +%s%N)
    local tenths=$(((to - from) / 100000000))
    local took=$((tenths / 10)).$((tenths % 10))
    case $status in
    0) echo "ok $label ($took s)"; passed=$((passed + 1)); rm "$log" ;;
    77) echo "skip $label: $(tail -n 1 "$log" | sed 's/^skip: //')"; skipped=$((skipped + 1)); rm "$log" ;;
    *)
        echo "FAIL $label ($took s): $(tail -n 1 "$log" | cat -v | cut -c -300)"
        tail -n 25 "$log" | cat -v | cut -c -300 | sed 's/^/    /'
        failed=$((failed + 1))
        ;;
    esac
}

passes=('')
if [ -n "$user" ]; then
    if [ "$user" = "$(id -un)" ]; then passes=(''); else passes=("$user"); fi
elif [ "$(id -u)" = 0 ] && [ $root_only = 0 ]; then
    passes=('' nobody)
fi
for as in "${passes[@]}"; do
    for name in "${names[@]}"; do one "$name" "$as"; done
done

[ $failed = 0 ] || echo "logs of the failed tests: $SCRATCH/logs"
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
