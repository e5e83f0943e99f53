. "$PROGRAMS/lib/inner.sh"
cat >hold.py <<'P'
import os, socket, sys
name = sys.argv[1]
l = socket.socket(); l.bind(("127.0.0.1", 0)); l.listen(7)
port = l.getsockname()[1]
c = socket.create_connection(("127.0.0.1", port)); a, _ = l.accept(); c.send(b"hello")
late = socket.create_connection(("127.0.0.1", port))
six = socket.socket(socket.AF_INET6); six.bind(("::", 0)); six.listen(3)
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.bind(("127.0.0.1", 0))
v = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); v.connect(u.getsockname())
x = socket.socket(socket.AF_UNIX); x.bind("\0" + name); x.listen(2)
y = socket.socket(socket.AF_UNIX); y.connect("\0" + name)
p, q = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM); p.send(b"1234")
ino = lambda s: os.fstat(s.fileno()).st_ino
print(port, c.getsockname()[1], six.getsockname()[1], u.getsockname()[1], v.getsockname()[1], ino(p), ino(q), ino(c), flush=True)
sys.stdin.read()
P
mkfifo hold
exec 9<>hold # for reading too, so that nobody waits for the other
start held bash -c 'exec python3 hold.py "$0" <hold 9>&-' "ss-test-$$"
holder=$PID
until_true 10 test -s held.log
read -r port client six udp peer p q inode <held.log || fail "no sockets"

# line COMMAND: its lines without the header, spaces pressed together.
line() { "$@" | tail -n +2 | sed 's/  */ /g; s/ $//'; }
process="users:((\"python3\",pid=$holder,fd="

same "$(line ss -tln "sport = :$port")" "LISTEN 1 7 127.0.0.1:$port 0.0.0.0:*" "the listener"
same "$(line ss -tn "sport = :$port and dport = :$client")" "ESTAB 5 0 127.0.0.1:$port 127.0.0.1:$client" "unread bytes"
same "$(line ss -tn "dst 127.0.0.1:$port" | wc -l)" 2 "both clients"
same "$(line ss -tn dst 127.0.0.2 | wc -l)" 0 "another address"
same "$(line ss -tln "sport = :$six")" "LISTEN 0 3 *:$six *:*" "the listener of both families"
same "$(line ss -uan "sport = :$udp")" "UNCONN 0 0 127.0.0.1:$udp 0.0.0.0:*" "an unconnected UDP socket"
same "$(line ss -uan "sport = :$peer")" "ESTAB 0 0 127.0.0.1:$peer 127.0.0.1:$udp" "a connected one"
same "$(line ss -tn state time-wait "sport = :$client" | wc -l)" 0 "a state that it is not in"
ss -tlnp "sport = :$port" | grep -qF "$process" || fail "no process: $(ss -tlnp)"
ss -tne "sport = :$client" | grep -q "ino:$inode " || fail "not the inode: $(ss -tne)"
ss -tni "sport = :$client" | grep -q 'bytes_sent:5 bytes_acked:6' || fail "no tcp_info: $(ss -tni)"
ss -tnm "sport = :$client" | grep -q 'skmem:(r0,rb' || fail "no memory: $(ss -tnm)"
ss -tno >/dev/null

same "$(line ss -xl "src @ss-test-$$" | cut -d' ' -f 1-5)" "u_str LISTEN 1 2 @ss-test-$$" "the abstract listener"
same "$(line ss -xa | grep -F " $q * $p" | cut -d' ' -f 1-4)" "u_dgr ESTAB 4 0" "one of a pair"
same "$(line ss -xa | grep -F " $p * $q" | cut -d' ' -f 1-3)" "u_dgr ESTAB 0" "the other"
ss -xap | grep -F " $p " | grep -qF "$process" || fail "no process of the pair"
ss -s | grep -q '^TCP' || fail "no summary"
ss -tanuxlp >/dev/null

# Taking a socket down is the administrator's.
if [ "$(id -u)" = 0 ]; then
    ss -K "sport = :$client" >taken.txt
    grep -q "$client" taken.txt || fail "ss -K took nothing down"
    same "$(line ss -tn "sport = :$client")" "" "what is left of it"
    rm taken.txt
else
    same "$(line ss -K "sport = :$client" 2>refused.log)" "" "what an ordinary user took down"
    grep -q 'Operation not permitted' refused.log || fail "not refused"
    same "$(line ss -tn "sport = :$client" | wc -l)" 1 "connections after the refusal"
fi

exec 9>&-
ends "$holder" 0
rm hold
inner_done
