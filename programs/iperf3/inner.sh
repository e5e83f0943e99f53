. "$PROGRAMS/lib/inner.sh"
port
start server iperf3 -s -p "$PORT"
server=$PID
tcp_up 127.0.0.1 "$PORT" # the server takes the empty connection for a client that gave up
sleep 0.2

cat >check.py <<'END'
import json, sys
kind, result = sys.argv[1], json.load(open("result.json"))
if "error" in result:
    sys.exit(result["error"])
end = result["end"]
if kind == "udp":
    total = end["sum"]
    assert total["packets"] > 100, total
    assert total["lost_percent"] < 20, total
    print(f'{total["packets"]} packets, {total["lost_packets"]} lost')
else:
    sent, received = end["sum_sent"]["bytes"], end["sum_received"]["bytes"]
    assert len(end["streams"]) == int(sys.argv[2]), len(end["streams"])
    assert all(s["receiver"]["bytes"] > 0 for s in end["streams"]), end["streams"]
    assert 0 < received <= sent, (sent, received)
    print(f'{end["sum_received"]["bits_per_second"] / 1e9:.2f} Gbit/s')
END

# measure KIND STREAMS OPTION...
measure() {
    local kind=$1 streams=$2
    shift 2
    busy() { iperf3 "$@" --json >result.json && ! grep -q '"error"' result.json; }
    until_true 10 busy "$@"
    echo "$* : $(python3 check.py "$kind" "$streams")"
}
to4="-c 127.0.0.1 -p $PORT -t 1"
measure tcp 1 $to4
measure tcp 1 $to4 -R
measure tcp 4 $to4 -P 4
measure tcp 4 $to4 -P 4 -R
measure tcp 1 $to4 -Z
measure tcp 2 $to4 --bidir
measure udp 1 $to4 -u -b 50M
measure udp 1 $to4 -u -b 50M -R
measure tcp 1 -c ::1 -p "$PORT" -t 1
measure udp 1 -c ::1 -p "$PORT" -t 1 -u -b 50M

stop $server 1
grep -q 'the server has terminated' server.log
inner_done
