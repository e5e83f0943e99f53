. "$PROGRAMS/lib/inner.sh"
port
port=$PORT
mkdir data replica
start server redis-server --port "$port" --bind 127.0.0.1 ::1 --unixsocket "$WORK/redis.sock" --save '' --dir data
server=$PID
tcp_up 127.0.0.1 "$port"
unix_up redis.sock

tcp() { redis-cli -h 127.0.0.1 -p "$port" "$@"; }
unix() { redis-cli -s redis.sock "$@"; }

same "$(tcp ping)" PONG "ping over TCP"
same "$(unix ping)" PONG "ping over the unix socket"
same "$(redis-cli -h ::1 -p "$port" ping)" PONG "ping over IPv6"

# A large binary value in over one transport, out over the other.
head -c 5000000 /dev/urandom | base64 -w0 >value
same "$(tcp -x set big <value)" OK "set"
unix --raw get big | head -c "$(stat -c %s value)" >value.back
same_file value value.back

# Bulk loading, pipelined.
seq 1 50000 | sed 's/.*/SET key:& &/' | unix --pipe >pipe.log
grep -q 'errors: 0, replies: 50000' pipe.log
same "$(tcp dbsize)" 50001 "keys"

# A client that blocks until another one pushes; a subscriber.
tcp blpop queue 20 >popped &
blocked=$!
info() { tcp info "$1" | tr -d '\r' | grep -qx "$2"; }
until_true 10 info clients blocked_clients:1
unix rpush queue item >/dev/null
ends $blocked 0
same "$(tr '\n' ' ' <popped)" 'queue item ' "blpop"
start heard redis-cli -s redis.sock subscribe news
heard() { [ "$(unix publish news headline)" = 1 ]; }
until_true 10 heard
until_true 10 grep -q headline heard.log
stop "$PID" 143

# A fork that saves while holding every inherited socket.
tcp bgsave >/dev/null
until_true 20 info persistence rdb_bgsave_in_progress:0
info persistence rdb_last_bgsave_status:ok

# A replica pulls everything over TCP.
port
start replica redis-server --port "$PORT" --bind 127.0.0.1 --save '' --dir replica --replicaof 127.0.0.1 "$port"
replica=$PID
tcp_up 127.0.0.1 "$PORT"
replicated() { redis-cli -h 127.0.0.1 -p "$PORT" info replication | grep -q 'master_link_status:up'; }
until_true 30 replicated
same "$(redis-cli -h 127.0.0.1 -p "$PORT" dbsize)" "$(tcp dbsize)" "keys of the replica"
redis-cli -h 127.0.0.1 -p "$PORT" shutdown nosave
ends $replica 0

for where in "-h 127.0.0.1 -p $port" "-s redis.sock"; do
    redis-benchmark $where -q -n 10000 -c 50 -t ping_inline,set,get,lrange_100 | tr '\r' '\n' >bench.log
    same "$(grep -c 'requests per second' bench.log)" 5 "results of redis-benchmark $where"
    redis-benchmark $where -q -n 30000 -c 20 -P 16 -t set,get | tr '\r' '\n' >bench.log
    same "$(grep -c 'requests per second' bench.log)" 2 "results of redis-benchmark $where, pipelined"
done

unix shutdown nosave
ends $server 0
if [ -e redis.sock ]; then fail "the server left its socket file"; fi
inner_done
