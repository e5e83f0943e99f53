. "$PROGRAMS/lib/inner.sh"
# trial KIND WAY: a server and its clients. KIND is udp or tcp, WAY how the server waits.
trial() {
    local options=()
    port
    if [ "$2" = r ]; then
        options+=(-i 127.0.0.1 -p "$PORT")
        [ "$1" = udp ] || options+=(--tcp)
    else
        echo "${1:0:1}:127.0.0.1:$PORT" | tr tu TU >feed
        options+=(-f feed -F "$2")
    fi
    start "server.$1.$2" sockperf server "${options[@]}"
    local server=$PID
    until_true 10 grep -q 'listen' "server.$1.$2.log"
    sleep 0.3
    sockperf ping-pong -t 1 "${options[@]}" >ping.log 2>&1 || fail "ping-pong $1 $2: $(tail -n 2 ping.log)"
    grep -q 'dropped messages = 0; # duplicated messages = 0; # out-of-order messages = 0' ping.log
    grep -q 'Summary: Latency is ' ping.log
    kill -INT $server
    wait $server || true
}
trial udp r
trial tcp r
trial tcp p
trial udp e
trial tcp e
inner_done
