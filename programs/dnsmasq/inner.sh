. "$PROGRAMS/lib/inner.sh"
common=(--no-daemon --no-resolv --no-hosts --conf-file=/dev/null --pid-file= --bind-interfaces --listen-address=127.0.0.1,::1)
if [ "$(id -u)" = 0 ]; then common+=(--user=root); fi
long=()
for i in $(seq 30); do long+=("--txt-record=long.test,$i-$(printf 'x%.0s' $(seq 120))"); done
port
first=$PORT
start first dnsmasq "${common[@]}" --port "$first" --address=/host.test/192.0.2.7 --host-record=six.test,2001:db8::7 \
    --mx-host=test,mail.test,10 --local=/test/ "${long[@]}"
first_pid=$PID
# The second asks the first.
port
second=$PORT
start second dnsmasq "${common[@]}" --port "$second" --server="127.0.0.1#$first" --cache-size=0
second_pid=$PID
for port in "$first" "$second"; do tcp_up 127.0.0.1 "$port"; done

ask() { dig +time=5 +tries=1 "$@"; }
for port in "$first" "$second"; do
    for over in "@127.0.0.1" "@::1" "+tcp @127.0.0.1" "+tcp @::1"; do
        same "$(ask $over -p "$port" +short host.test)" 192.0.2.7 "an address $over"
        same "$(ask $over -p "$port" +short six.test AAAA)" 2001:db8::7 "an IPv6 address $over"
        same "$(ask $over -p "$port" +short test MX)" '10 mail.test.' "a mail server $over"
        ask $over -p "$port" nothing.test | grep -q 'status: NXDOMAIN'
    done
    # Too long for a datagram: truncated there, whole over TCP, which dig turns to by itself.
    ask @127.0.0.1 -p "$port" +ignore +bufsize=512 long.test TXT | grep -q 'flags:.* tc[ ;]'
    same "$(ask @127.0.0.1 -p "$port" +short long.test TXT | grep -c x)" 30 "records by TCP"
done

# Many at once, each answered.
for i in $(seq 20); do
    (for j in $(seq 10); do ask @127.0.0.1 -p "$second" +short "n$i-$j.host.test"; done >"many.$i") &
    pids[i]=$!
done
for pid in "${pids[@]}"; do ends "$pid" 0; done
same "$(sort many.* | uniq -c | tr -s ' \n' ' ')" ' 200 192.0.2.7 ' "answers to many"

# Nobody listens there: ICMP's refusal, at once.
port
status=0
dig +time=20 +tries=1 @127.0.0.1 -p "$PORT" host.test >refused.txt 2>&1 || status=$?
same $status 9 "dig's status"
grep -q 'connection refused' refused.txt
stop $second_pid 0
stop $first_pid 0
inner_done
