. "$PROGRAMS/lib/inner.sh"
libraries=$I386/lib/i386-linux-gnu:$I386/usr/lib/i386-linux-gnu
i386() { # PROGRAM ARGS...: by its own 32-bit loader
    local program=$1
    shift
    "$I386/lib/ld-linux.so.2" --library-path "$libraries" "$I386/usr/bin/$program" "$@"
}
start_i386() { # LOG PROGRAM ARGS...
    local log=$1 program=$2
    shift 2
    start "$log" "$I386/lib/ld-linux.so.2" --library-path "$libraries" "$I386/usr/bin/$program" "$@"
}
head -c 5000000 /dev/urandom >blob
mkdir www
cp blob www

# 32-bit client, 64-bit server.
port
start server python3 -u -m http.server "$PORT" --bind 127.0.0.1 --directory www
tcp_up 127.0.0.1 "$PORT"
i386 curl -sS -o back "http://127.0.0.1:$PORT/blob"
same_file back blob
same "$(i386 curl -sS -o /dev/null -w '%{http_code}' "http://localhost:$PORT/nothing")" 404 "by name"
i386 curl -sS --parallel -o 'copy.#1' "http://127.0.0.1:$PORT/blob?[1-4]"
for i in 1 2 3 4; do same_file "copy.$i" blob; done
"$I386/bin/busybox" wget -q -O back "http://127.0.0.1:$PORT/blob"
same_file back blob
stop "$PID" 143

# 64-bit client, 32-bit server; static and dynamic.
port
start httpd "$I386/bin/busybox" httpd -f -p "127.0.0.1:$PORT" -h www
tcp_up 127.0.0.1 "$PORT"
curl -sS -o back "http://127.0.0.1:$PORT/blob"
same_file back blob
stop "$PID" 143
for listen in TCP-LISTEN:@,bind=127.0.0.1,fork TCP6-LISTEN:@,fork UNIX-LISTEN:sock,fork ABSTRACT-LISTEN:i386-$$,fork; do
    port
    case $listen in
    TCP-*) connect=TCP:127.0.0.1:$PORT ;;
    TCP6*) connect=TCP6:[::1]:$PORT ;;
    UNIX*) connect=UNIX-CONNECT:sock ;;
    *) connect=ABSTRACT-CONNECT:i386-$$ ;;
    esac
    start_i386 socat socat "${listen/@/$PORT}" EXEC:cat
    up() { socat -u /dev/null "$connect"; }
    until_true 10 up
    socat -t 10 - "$connect" <blob >back
    same_file back blob
    i386 socat -t 10 - "$connect" <blob >back
    same_file back blob
    kill "$PID"; wait "$PID" || true
done
rm -f sock
port
start_i386 udp socat "UDP-RECVFROM:$PORT,bind=127.0.0.1,fork" EXEC:cat
answered() { [ "$(echo hello | timeout 2 socat -t 1 - "UDP:127.0.0.1:$PORT")" = hello ]; }
until_true 10 answered
kill "$PID"; wait "$PID" || true

# iperf3: many option calls, select, both directions.
port
start_i386 iperf iperf3 -s -p "$PORT"
tcp_up 127.0.0.1 "$PORT"
for options in "" -R "-P 2" "-u -b 20M"; do
    measured() { i386 iperf3 -c 127.0.0.1 -p "$PORT" -t 1 $options >iperf.out; }
    until_true 10 measured
    tail -n 4 iperf.out | grep -qE '[1-9][0-9.]* [KMG]?bits/sec.*receiver' || fail "iperf3 $options moved nothing"
done
stop "$PID" 1
inner_done
