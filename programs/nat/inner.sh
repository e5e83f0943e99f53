. "$PROGRAMS/lib/inner.sh"
same "$(python3 "$HERE/inside.py" ports "$NAME4" "$NAME6")" "all of it" "inside.py"

# iperf3 checks for itself that what it counts on both sides is the same.
for way in "" -R; do
    iperf3 -c "$NAME4" -p "$IPERF" -n "$AMOUNT" $way >iperf.txt
    grep -q 'iperf Done' iperf.txt
done

if [ "$SWITCHBOARD" != native ]; then
    # Names from the first second on: the gateway is the name server.
    same "$(grep -c ^nameserver /etc/resolv.conf)" 1 "name servers"
    same "$(sed -n 's/^nameserver //p' /etc/resolv.conf)" "$(ip -4 route show default | sed 's/.*via \([0-9.]*\)\.2 .*/\1.3/')" "the name server"
    # Whoever opens it, wherever they stand.
    same "$(cd /etc && cat resolv.conf)" "$(cat /etc/resolv.conf)" "resolv.conf by another path"
    # The machine's device is not this host's, which has one of its own for whoever opens it.
    exec 4<>/dev/net/tun
    [ -S /proc/self/fd/4 ]
    exec 4>&-
    # The host's own loopback is nowhere else.
    status=0
    curl -sS -m 10 "http://127.0.0.1:$(sed -n 's/^echo4=//p' ports)/" 2>refused.txt || status=$?
    same $status 7 "curl's status for what is not asked for"
    # The gateway is there, and has no sockets.
    ping -c 1 -W 5 "$(ip -4 route show default | sed 's/.*via \([0-9.]*\) .*/\1/')" >ping.txt
    grep -q ' 0% packet loss' ping.txt
fi
inner_done
