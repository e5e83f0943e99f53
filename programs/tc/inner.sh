. "$PROGRAMS/lib/inner.sh"

if [ "$(id -u)" != 0 ]; then
    # Everyone may look; only who administers the network may change.
    tc qdisc show dev lo >shown
    grep -q '^qdisc noqueue 0: root refcnt 2' shown || fail "tc qdisc show: $(cat shown)"
    for change in "add dev lo root pfifo" "add dev lo root netem delay 1ms" "del dev lo root"; do
        if tc qdisc $change 2>refused; then fail "tc qdisc $change was allowed"; fi
        grep -q 'Operation not permitted' refused || fail "tc qdisc $change: $(cat refused)"
    done
    inner_done
    exit 0
fi

ip link set lo up
start monitor tc monitor
monitor=$PID
has_socket() { [[ $(readlink /proc/$1/fd/*) == *socket:* ]]; }
until_true 10 has_socket "$monitor"
sleep 0.3 # it joins its group
{
    say tc qdisc show
    say tc qdisc add dev lo root handle 1: pfifo limit 77
    say tc qdisc add dev lo root handle 1: pfifo limit 78
    say tc -s qdisc show dev lo
    say ping -q -c 1 -s 100 127.0.0.1 >/dev/null
    say tc -s qdisc show dev lo
    say ip link show dev lo
    say tc qdisc change dev lo root bfifo limit 9000
    say tc qdisc replace dev lo root handle 3: tbf rate 1mbit burst 10kb latency 50ms
    say tc qdisc add dev lo parent 3:1 handle 4: bfifo limit 20000
    say tc qdisc add dev lo parent 4:1 handle 5: pfifo
    say tc qdisc show dev lo
    say tc qdisc change dev lo root handle 3: tbf rate 8mbit burst 10kb limit 12000 peakrate 16mbit mtu 65550
    say tc qdisc show dev lo
    say tc qdisc add dev lo root nosuchkind
    say tc qdisc del dev lo parent 3:1
    say tc qdisc del dev lo parent 3:1
    say tc qdisc replace dev lo root handle 7: pfifo_fast
    say tc qdisc show dev lo
    say tc qdisc del dev lo root
    say tc qdisc del dev lo root
    say tc qdisc del dev nope root
    say tc qdisc show
    say tc class show dev lo
    say tc filter show dev lo
} >transcript
sleep 0.3
stop "$monitor" 143
{ echo "--- monitor"; cat monitor.log; } >>transcript
grep -q 'Sent 284 bytes 2 pkt' transcript || fail "what left is not counted"

# What iperf3 gets through 20 Mbit/s.
port
start server iperf3 -s -1 -p $PORT
tcp_listens() { [ -n "$(ss -Htln "sport = $PORT")" ]; }
until_true 10 tcp_listens
tc qdisc add dev lo root tbf rate 20mbit burst 70kb limit 300kb
iperf3 -c 127.0.0.1 -p $PORT -t 2 -f k >iperf.log
rate=$(awk '/receiver/ { print int($7) }' iperf.log)
[ "$rate" -gt 12000 ] && [ "$rate" -lt 21000 ] || fail "iperf3 got $rate kbit/s through 20000"
tc qdisc del dev lo root

# The kernel that the transcript is compared with may have no netem.
if tc qdisc add dev lo root netem delay 50ms limit 500 2>refused; then
    tc qdisc show dev lo | grep -q 'netem .*limit 500 delay 50ms' || fail "$(tc qdisc show dev lo)"
    least() { ping -q -c 3 -i 0.2 "$1" | sed -n 's,^rtt [^=]*= \([0-9]*\).*,\1,p'; }
    for to in 127.0.0.1 ::1; do
        rtt=$(least $to)
        # Question and answer.
        [ "$rtt" -ge 100 ] && [ "$rtt" -lt 130 ] || fail "$to answered after $rtt ms"
    done
    tc qdisc change dev lo root netem delay 5ms 2ms distribution normal loss 30%
    tc qdisc show dev lo | grep -q 'delay 5ms  2ms loss 30%' || fail "$(tc qdisc show dev lo)"
    ping -q -c 60 -i 0.01 -W 1 127.0.0.1 >ping.log
    lost=$(sed -n 's/.* \([0-9.]*\)% packet loss.*/\1/p' ping.log)
    # One of two directions is enough: about half.
    awk -v lost="$lost" 'BEGIN { exit !(lost > 25 && lost < 75) }' || fail "$lost % were lost"
    dropped=$(tc -s qdisc show dev lo | sed -n 's/.*(dropped \([0-9]*\),.*/\1/p')
    [ "$dropped" -gt 15 ] || fail "$dropped dropped"
    tc qdisc replace dev lo root handle 1: netem delay 20ms loss gemodel 1% 10% 70% 0.1% duplicate 1% reorder 25% 50%
    tc qdisc add dev lo parent 1:1 handle 10: fq_codel target 10ms
    tc qdisc show dev lo >shown
    grep -q 'loss gemodel p 1% r 10% 1-h 70% 1-k 0.1%' shown || fail "$(cat shown)"
    grep -q '^qdisc fq_codel 10: parent 1:1 .*target 10ms' shown || fail "$(cat shown)"
    tc qdisc del dev lo root
elif ! grep -q 'kind is unknown' refused; then
    fail "netem: $(cat refused)"
fi
inner_done
