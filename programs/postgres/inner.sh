. "$PROGRAMS/lib/inner.sh"
name=$(id -un)
as=()
if [ "$(id -u)" = 0 ]; then
    name=nobody
    as=(setpriv --reuid nobody --regid "$(id -gn nobody)" --clear-groups)
fi
mkdir pg
if [ "$name" = nobody ] && [ "$(id -u)" = 0 ]; then chown nobody pg; fi
echo secret >password
chmod 644 password
export PGPASSWORD=secret PGCONNECT_TIMEOUT=20
port
server() { "${as[@]}" "$BIN/pg_ctl" -D "$WORK/pg/data" -w -t 40 "$@" >>pg_ctl.log; }

"${as[@]}" "$BIN/initdb" -D "$WORK/pg/data" -U "$name" --auth-local=peer --auth-host=scram-sha-256 --pwfile=password \
    --no-sync -E UTF8 --locale=C >initdb.log
server start -l "$WORK/pg/server.out" \
    -o "-p $PORT -c listen_addresses=127.0.0.1,::1 -c unix_socket_directories=$WORK/pg -c fsync=off -c max_wal_senders=0 -c wal_level=minimal"

sql() { # HOST SQL...
    local host=$1
    shift
    "${as[@]}" "$BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -h "$host" -p "$PORT" -U "$name" -d postgres "$@"
}
same "$(sql 127.0.0.1 -c 'select 6 * 7, host(inet_client_addr())')" '42|127.0.0.1' "over TCP"
same "$(sql ::1 -c 'select 6 * 7, host(inet_client_addr())')" '42|::1' "over IPv6"
same "$(sql "$WORK/pg" -c "select 6 * 7, coalesce(host(inet_client_addr()), 'unix')")" '42|unix' "over the unix socket"

# A wrong password, and peer credentials that do not fit.
if PGPASSWORD=wrong sql 127.0.0.1 -c 'select 1' 2>wrong.log; then fail "a wrong password was taken"; fi
grep -q 'password authentication failed' wrong.log
sql 127.0.0.1 -c 'create role somebody login'
if "${as[@]}" "$BIN/psql" -X -h "$WORK/pg" -p "$PORT" -U somebody -d postgres -c 'select 1' 2>wrong.log; then
    fail "foreign peer credentials were taken"
fi
grep -q 'Peer authentication failed' wrong.log

# Rows in over one transport, out over the other.
seq 1 200000 | sed 's/.*/&\trow number &/' >rows
sql 127.0.0.1 -c 'create table t (n int primary key, s text)' -c '\copy t from rows'
sql "$WORK/pg" -c '\copy (select * from t order by n) to stdout' >rows.unix
sql ::1 -c '\copy (select * from t order by n) to stdout' >rows.tcp
same_file rows rows.unix
same_file rows rows.tcp

# Notifications, and a query cancelled from a second connection.
same "$(sql 127.0.0.1 -c 'listen c' -c "notify c, 'hello'" -c 'select 1' | grep -c 'hello')" 1 "notifications"
(sql 127.0.0.1 -c 'select pg_sleep(60)' 2>cancelled.log || true) &
sleeper=$!
cancel() { [ "$(sql "$WORK/pg" -c "select pg_cancel_backend(pid) from pg_stat_activity where query = 'select pg_sleep(60)'")" = t ]; }
until_true 10 cancel
ends $sleeper 0
grep -q 'canceling statement' cancelled.log

"${as[@]}" "$BIN/pgbench" -i -q -s 1 -h 127.0.0.1 -p "$PORT" -U "$name" postgres 2>pgbench-init.log
for host in 127.0.0.1 "$WORK/pg"; do
    "${as[@]}" "$BIN/pgbench" -n -c 4 -j 2 -T 2 -h "$host" -p "$PORT" -U "$name" postgres >pgbench.log 2>&1
    grep -qE 'number of transactions actually processed: [1-9]' pgbench.log
    grep -q 'number of failed transactions: 0 ' pgbench.log
    echo "pgbench at $host: $(grep '^tps' pgbench.log)"
    "${as[@]}" "$BIN/pgbench" -n -C -S -c 2 -t 20 -h "$host" -p "$PORT" -U "$name" postgres >pgbench.log 2>&1
    grep -q 'number of transactions actually processed: 40/40' pgbench.log
done

# Every session saw its client go.
alone() { [ "$(sql "$WORK/pg" -c "select count(*) from pg_stat_activity where backend_type = 'client backend'")" = 1 ]; }
until_true 10 alone
server stop -m fast
if [ -e "pg/.s.PGSQL.$PORT" ]; then fail "the server left its socket file"; fi
if grep -E 'FATAL|PANIC' pg/server.out | grep -vE 'authentication failed|due to administrator command'; then fail "the server logged errors"; fi
inner_done
