. "$PROGRAMS/lib/inner.sh"
for name in one two; do
    mkdir $name
    echo $name >$name/name
    head -c 2000000 /dev/urandom >$name/blob
    port
    declare "$name=$PORT"
    start $name python3 -m http.server "$PORT" --bind 127.0.0.1 --directory $name
    declare "${name}_pid=$PID"
    tcp_up 127.0.0.1 "$PORT"
done
port
front=$PORT
port
through=$PORT
cat >haproxy.cfg <<EOF
global
    nbthread 2
    stats socket $WORK/control.sock level admin expose-fd listeners
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend web
    bind 127.0.0.1:$front
    bind $WORK/web.sock
    default_backend servers
backend servers
    balance roundrobin
    option httpchk GET /name
    server one 127.0.0.1:$one check inter 200ms fall 2 rise 1
    server two 127.0.0.1:$two check inter 200ms fall 2 rise 1
listen bytes
    mode tcp
    bind 127.0.0.1:$through
    server one 127.0.0.1:$one
EOF
start haproxy haproxy -W -f haproxy.cfg -S "$WORK/master.sock" -p haproxy.pid
haproxy=$PID
tcp_up 127.0.0.1 "$front"
control() { echo "$1" | socat -t 5 - UNIX-CONNECT:control.sock; }
until_true 10 test -S control.sock
fetch() { curl -sS -m 20 "http://127.0.0.1:$front/$1"; }

# In turn, over TCP and over the unix socket.
for i in 1 2 3 4 5 6 7 8; do fetch name; done | sort | uniq -c >turns
same "$(tr -s ' \n' ' ' <turns)" ' 4 one 4 two ' "who answered"
curl -sS -m 20 --unix-socket web.sock http://any/name | grep -qxE 'one|two'
curl -sS -m 20 "http://127.0.0.1:$through/blob" >blob
same_file blob one/blob
curl -sS -m 60 --parallel --parallel-max 20 -o 'copy.#1' "http://127.0.0.1:$front/blob?[1-40]"
for i in $(seq 40); do cmp -s "copy.$i" one/blob || same_file "copy.$i" two/blob; done

# One server goes: the check sees it, and nobody is sent there any more.
kill "$two_pid"
wait "$two_pid" || true
is_down() { control 'show stat' | grep '^servers,two,' | grep -q ',DOWN,'; }
until_true 10 is_down
same "$(for i in 1 2 3 4; do fetch name; done | sort -u)" one "who answered with one server"

# It comes back.
start two python3 -m http.server "$two" --bind 127.0.0.1 --directory two
two_pid=$PID
is_up() { control 'show stat' | grep '^servers,two,' | grep -q ',UP,'; }
until_true 10 is_up

# A reload while clients come: the new worker gets the listeners from the old one, and nobody is refused.
(for i in $(seq 100); do fetch name; done >during 2>&1) &
clients=$!
for i in 1 2 3; do
    before=$(pgrep -P $haproxy | sort | tail -n 1)
    kill -USR2 $haproxy
    reloaded() { [ "$(pgrep -P $haproxy | sort | tail -n 1)" != "$before" ]; }
    until_true 10 reloaded
    sleep 0.3
done
ends $clients 0
same "$(grep -cxE 'one|two' during)" 100 "answers during the reload"

for server in "$one_pid" "$two_pid"; do
    kill "$server"
    wait "$server" || true
done
kill -TERM $haproxy
status=0
wait $haproxy || status=$?
case $status in 0 | 143) ;; *) fail "haproxy ended with status $status" ;; esac
rm -f control.sock web.sock master.sock
inner_done
