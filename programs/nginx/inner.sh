. "$PROGRAMS/lib/inner.sh"
mkdir www temp
echo hello >www/index.html
head -c 10485760 /dev/urandom >www/blob
port; plain=$PORT
port; shared=$PORT

configure() { # ANSWER
    cat >nginx.conf <<END
$([ "$(id -u)" != 0 ] || echo "user nobody $(id -gn nobody);")
worker_processes 2;
pid $WORK/nginx.pid;
error_log $WORK/error.log;
events { worker_connections 512; }
http {
    access_log $WORK/access.log;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 20;
    keepalive_requests 100000;
    client_body_temp_path $WORK/temp/body;
    proxy_temp_path $WORK/temp/proxy;
    fastcgi_temp_path $WORK/temp/fastcgi;
    uwsgi_temp_path $WORK/temp/uwsgi;
    scgi_temp_path $WORK/temp/scgi;
    server {
        listen 127.0.0.1:$plain;
        listen [::1]:$plain;
        listen 127.0.0.1:$shared reuseport;
        listen unix:$WORK/nginx.sock;
        root $WORK/www;
        location = /answer { return 200 "$1 \$remote_addr"; }
        location /by-unix/ { proxy_pass http://unix:$WORK/nginx.sock:/; }
        location /by-tcp/ { proxy_pass http://127.0.0.1:$shared/; }
    }
}
END
}
configure one
nginx -e "$WORK/error.log" -c "$WORK/nginx.conf"
until_true 10 test -s nginx.pid
master=$(<nginx.pid)
workers() { ps -o pid= --ppid "$master" | wc -l; }
two_workers() { [ "$(workers)" = 2 ]; }
until_true 10 two_workers
if [ "$(id -u)" = 0 ]; then same "$(ps -o user= --ppid "$master" | sort -u)" nobody "the workers' user"; fi

url=http://127.0.0.1:$plain
same "$(curl -sS $url/answer)" 'one 127.0.0.1' "over TCP"
same "$(curl -sS -g "http://[::1]:$plain/answer")" 'one ::1' "over IPv6"
same "$(curl -sS --unix-socket nginx.sock http://host/answer)" 'one unix:' "over the unix socket"
same "$(curl -sS "http://127.0.0.1:$shared/answer")" 'one 127.0.0.1' "over a SO_REUSEPORT listener"

# Keep-alive: three fetches on one connection.
same "$(curl -sS -o /dev/null -o /dev/null -o /dev/null -w '%{num_connects} ' $url/ $url/answer $url/blob)" '1 0 0 ' "connections made"

# 10 MB with sendfile, a piece of it, and through the proxies; eight at once.
curl -sS -o blob $url/blob
same_file blob www/blob
curl -sS -o piece -r 5000000-6999999 $url/blob
cmp piece <(tail -c +5000001 www/blob | head -c 2000000) || fail "the piece differs"
for via in by-unix by-tcp; do
    curl -sS -o blob "$url/$via/blob"
    same_file blob www/blob
done
curl -sS --parallel -o 'copy.#1' "$url/blob?[1-8]"
for i in $(seq 8); do same_file "copy.$i" www/blob; done

# Load: nothing may go wrong.
load() {
    wrk -t2 -c"$2" -d2s "$1" >wrk.log
    if grep -E 'Socket errors|Non-2xx' wrk.log; then fail "wrk saw errors at $1"; fi
    grep -qE '[1-9][0-9]* requests in' wrk.log || fail "wrk did nothing at $1"
}
load $url/ 32
load http://127.0.0.1:"$shared"/answer 64
load $url/by-unix/ 16

# Reload: new workers, new answer, on the same listeners.
before=$(ps -o pid= --ppid "$master" | tr -d ' \n')
configure two
kill -HUP "$master"
answers_two() { [ "$(curl -sS $url/answer)" = 'two 127.0.0.1' ]; }
until_true 10 answers_two
until_true 10 two_workers
if [ "$(ps -o pid= --ppid "$master" | tr -d ' \n')" = "$before" ]; then fail "the workers are still the old ones"; fi

kill -QUIT "$master"
gone() { ! kill -0 "$master"; }
until_true 10 gone
if grep -E '\[(alert|emerg|crit)\]' error.log | grep -v 'could not open error log'; then fail "nginx logged errors"; fi
if [ -e nginx.sock ]; then fail "nginx left its socket file"; fi
if tcp_accepts 127.0.0.1 "$plain"; then fail "the port is still served"; fi
inner_done
