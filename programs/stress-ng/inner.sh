. "$PROGRAMS/lib/inner.sh"
seconds=2
[ "$QUICK" = 0 ] || seconds=1

# stressor NAME OPTION...: two instances of it, with --verify.
stressor() {
    local name=$1
    shift
    stress-ng "--$name" 2 "$@" --verify --timeout "$seconds" --temp-path tmp --metrics-brief >"$name.log" 2>&1 ||
        fail "$name ended with status $?"
    grep -q 'successful run completed' "$name.log" || fail "$name did not succeed"
    # The alarm that ends a stressor may interrupt any call (docs/design/results-and-signals.md).
    if grep -E ' fail: |skipping' "$name.log" | grep -v 'errno=4 (Interrupted system call)'; then fail "$name"; fi
    # The count of its rounds, behind its name.
    local rounds
    rounds=$(sed -n "s/.*metrc: \[[0-9]*\] $name  *\([0-9][0-9]*\) .*/\1/p" "$name.log")
    [ "${rounds:-0}" -gt 0 ] || fail "$name did nothing"
}

for domain in ipv4 ipv6; do stressor sock --sock-domain $domain; done
for options in sendmsg sendmmsg send; do stressor sock --sock-opts $options; done
stressor sockfd
stressor sockpair
stressor sockmany
for domain in ipv4 ipv6; do stressor udp --udp-domain $domain; done
stressor udp-flood
stressor sockabuse

# No SCTP here: the stressor says so, and is skipped.
stress-ng --sctp 1 --timeout 1 --temp-path tmp >sctp.log 2>&1 || true
if native; then :; else grep -q 'skip' sctp.log || fail "SCTP was not refused"; fi
inner_done
