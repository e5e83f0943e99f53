. "$PROGRAMS/lib/inner.sh"
head -c 3000000 /dev/urandom >blob

echoed() { # WHAT COMMAND...: the blob through an echo server and back
    local what=$1
    shift
    "$@" <blob >back
    cmp blob back || fail "$what: what came back differs"
}
quiet() { # COMMAND...: with a short line, for the datagram servers that answer only once
    echo hello | timeout 5 "$@"
}

# socat serves TCP, one process a connection, its ends handed to cat.
port
start tcp socat "TCP-LISTEN:$PORT,bind=127.0.0.1,reuseaddr,fork" EXEC:cat
tcp=$PID
tcp_up 127.0.0.1 "$PORT"
echoed "socat to socat" socat -t 10 - "TCP:127.0.0.1:$PORT"
echoed "nc to socat" nc -N 127.0.0.1 "$PORT"
for i in 1 2 3 4 5; do socat -t 10 - "TCP:127.0.0.1:$PORT" <blob >"back.$i" & pids[i]=$!; done
for pid in "${pids[@]}"; do ends "$pid" 0; done
for i in 1 2 3 4 5; do same_file blob "back.$i"; done
nc -z 127.0.0.1 "$PORT"
kill "$tcp"; wait "$tcp" || true
if nc -z 127.0.0.1 "$PORT"; then fail "something still listens"; fi

# IPv6, and a dual-stack listener reached over IPv4.
port
start tcp6 socat "TCP6-LISTEN:$PORT,ipv6only=0,fork" PIPE
tcp=$PID
tcp_up ::1 "$PORT"
echoed "over IPv6" socat -t 10 - "TCP6:[::1]:$PORT"
echoed "over IPv4 to a dual-stack listener" nc -N 127.0.0.1 "$PORT"
kill "$tcp"; wait "$tcp" || true

# nc serves: takes a file, ends by itself.
port
nc -l 127.0.0.1 "$PORT" >received &
PID=$!
sleep 0.3
socat -u OPEN:blob "TCP:127.0.0.1:$PORT,retry=20,interval=0.1"
ends "$PID" 0
same_file blob received

# UDP: socat answers datagrams, nc asks; then nc listens and socat sends.
port
start udp socat "UDP-RECVFROM:$PORT,bind=127.0.0.1,fork" EXEC:cat
udp=$PID
answered() { [ "$(echo hello | timeout 2 nc -u -W 1 127.0.0.1 "$PORT")" = hello ]; }
until_true 10 answered
same "$(quiet socat -t 1 - "UDP:127.0.0.1:$PORT")" hello "UDP, socat to socat"
kill "$udp"; wait "$udp" || true
port
start udp-nc timeout 20 nc -u -l -W 1 127.0.0.1 "$PORT"
heard() { echo datagram | socat -u - "UDP-SENDTO:127.0.0.1:$PORT"; grep -q datagram udp-nc.log; }
until_true 10 heard
ends "$PID" 0

# A refused datagram is an error at the next send: ICMP port unreachable reached the socket.
port
status=0
(echo one; sleep 0.2; echo two) | socat - "UDP:127.0.0.1:$PORT" 2>refused || status=$?
same $status 1 "socat's status for a refused datagram"
grep -q 'Connection refused' refused

# UNIX stream.
start unix socat UNIX-LISTEN:sock,fork EXEC:cat
unix=$PID
unix_up sock
echoed "unix, socat" socat -t 10 - UNIX-CONNECT:sock
echoed "unix, nc" nc -N -U sock
kill "$unix"; wait "$unix" || true
[ ! -e sock ] || rm sock

# Abstract, and seqpacket (type 5).
start abstract socat "ABSTRACT-LISTEN:programs-$$,fork" EXEC:cat
unix=$PID
connected() { socat -u /dev/null "ABSTRACT-CONNECT:programs-$$"; }
until_true 10 connected
echoed "abstract" socat -t 10 - "ABSTRACT-CONNECT:programs-$$"
kill "$unix"; wait "$unix" || true
start seqpacket socat UNIX-LISTEN:seq,type=5,fork EXEC:cat,socktype=5
unix=$PID
unix_up seq
same "$(quiet socat -t 2 - UNIX-CONNECT:seq,type=5)" hello "seqpacket"
kill "$unix"; wait "$unix" || true
rm -f seq

# Datagrams on the file system, both programs.
start dgram socat -u UNIX-RECV:dgram,unlink-close=1 -
unix=$PID
unix_up dgram
echo "from socat" | socat -u - UNIX-SENDTO:dgram
echo "from nc" | nc -u -U -w 1 -s "$WORK/client" dgram
until_true 10 grep -q 'from nc' dgram.log
same "$(tr '\n' ' ' <dgram.log)" 'from socat from nc ' "datagrams"
kill "$unix"; wait "$unix" || true
rm -f client dgram

# One program between two sockets: TCP in, unix out.
# Its default waits half a second for the rest, too little on a busy machine.
start back socat -t 30 UNIX-LISTEN:behind,fork EXEC:cat
behind=$PID
port
start front socat -t 30 "TCP-LISTEN:$PORT,bind=127.0.0.1,fork" UNIX-CONNECT:behind
front=$PID
unix_up behind
tcp_up 127.0.0.1 "$PORT"
echoed "through two" nc -N 127.0.0.1 "$PORT"
kill "$front" "$behind"; wait "$front" "$behind" || true
rm -f behind
inner_done
