. "$PROGRAMS/lib/inner.sh"
seconds=2
[ "$QUICK" = 0 ] || seconds=1

# stressor NAME OPTION...: two instances of it, with --verify.
stressor() {
    local name=$1
    shift
    local status=0
    stress-ng "--$name" 2 "$@" --verify --timeout "$seconds" --temp-path tmp --metrics-brief >"$name.log" 2>&1 || status=$?
    # The alarm that ends a stressor, and the timers of epoll's, may interrupt any call (docs/design/results-and-signals.md),
    # and some then end with a status.
    local interrupted='errno=4 (Interrupted system call)'
    if grep -E ' fail: |skipping' "$name.log" | grep -vF "$interrupted"; then fail "$name"; fi
    if [ $status != 0 ] && { native || ! grep -qF "$interrupted" "$name.log"; }; then fail "$name ended with status $status"; fi
    [ $status != 0 ] || grep -q 'successful run completed' "$name.log" || fail "$name did not succeed"
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
for options in gro lite; do stressor udp --udp-$options; done
stressor udp-flood
stressor sockabuse
# Those of raw sockets want a capability, and leave themselves out without it.
if [ "$(id -u)" = 0 ]; then for raw in rawsock rawudp icmp-flood; do stressor $raw; done; fi
for waiting in epoll poll sigio; do stressor $waiting; done
for moving in sendfile splice vm-splice tee; do stressor $moving; done
stressor netdev
# What it counts is sockets of AF_UNIX, so there has to be one.
start unix perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0) && bind(S, pack_sockaddr_un("\0stress-ng.$$")) && listen(S, 1) or die; sleep 60'
listener=$PID
until_true 10 grep -q stress-ng /proc/net/unix
stressor sockdiag
stop $listener 143

# No SCTP here: the stressor says so, and is skipped.
stress-ng --sctp 1 --timeout 1 --temp-path tmp >sctp.log 2>&1 || true
if native; then :; else grep -q 'skip' sctp.log || fail "SCTP was not refused"; fi
inner_done
