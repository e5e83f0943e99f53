. "$PROGRAMS/lib/inner.sh"
user=()
[ "$(id -u)" != 0 ] || user=(-u root)
port
start server memcached "${user[@]}" -t 4 -l 127.0.0.1 -p "$PORT" -U "$PORT" -m 64
server=$PID
tcp_up 127.0.0.1 "$PORT"
perl "$HERE/client.pl" tcp "$PORT"
perl "$HERE/client.pl" udp "$PORT"
stop $server 0

start unix memcached "${user[@]}" -t 2 -s "$WORK/memcached.sock" -m 64
server=$PID
unix_up memcached.sock
perl "$HERE/client.pl" unix "$WORK/memcached.sock"
stop $server 0
rm -f memcached.sock
inner_done
