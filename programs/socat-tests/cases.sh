#!/bin/bash
# cases.sh [ID...]: socat's own test.sh by the packaged socat, in parts that run at the same time. A case is a test, as
# NAME:NUMBER. Each has ports of its own, so that they are not in each other's way.
PARTS=16
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The script would look for parameters of Diffie-Hellman in each part, for minutes.
openssl dhparam -dsaparam -out "$work/testcert.dh" 2048 2>/dev/null
export SOCAT=/usr/bin/socat USER=socat TERM=dumb
unset TESTS OPTS TRACE

# part NUMBER...: its tests, one after the other.
part() {
    local directory
    directory=$(mktemp -d "$work/part.XXXXXX")
    mkdir "$directory/tmp"
    cp "$SOURCES"/socat/*.sh "$work/testcert.dh" "$directory"
    cd "$directory" || return
    TMPDIR=$directory/tmp timeout -k 5 900 bash ./test.sh "${pace[@]}" "$@" </dev/null >out 2>/dev/null
    outcomes <out
    grep -q '^Summary: ' out
}

# A line begins with the test, and ends with what came of it, which may stand on a later line.
outcomes() {
    awk '/^test +[0-9]+ / { id = $3; sub(/:$/, "", id); id = id ":" $2; seen[id] = "fail" }
        id != "" && /(^|[. ])OK( \(.*\))?$/ { seen[id] = "ok" }
        /^test .*(not available|NO RESULT|not supported|must be root)/ { seen[id] = "skip" }
        END { for (id in seen) print seen[id], id }'
}

pace=()
if [ $# -gt 0 ]; then
    tests=("${@##*:}")
    # Some give the other side a tenth of a second. A second time they give it more.
    pace=(-t 0.5)
else
    # All but 219 and 220, which make interfaces of the machine's by /dev/net/tun, and 327, which opens as many descriptors
    # as it may and takes a minute.
    mapfile -t tests < <(seq 480 | grep -vxE '219|220|327')
fi
parts=()
for ((k = 0; k < PARTS; k++)); do
    mine=()
    for ((i = k; i < ${#tests[@]}; i += PARTS)); do mine+=("${tests[i]}"); done
    [ ${#mine[@]} -gt 0 ] || break
    part "${mine[@]}" >"$work/outcomes.$k" &
    parts+=($!)
done
status=0
for pid in "${parts[@]}"; do wait "$pid" || status=1; done
cat "$work"/outcomes.*
exit $status
