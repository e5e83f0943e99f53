. "$PROGRAMS/lib/inner.sh"
mkdir www
head -c 1500000 /dev/urandom >www/blob
echo small >www/small
openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost \
    -keyout key.pem -out cert.pem -days 2 2>openssl.log

# try PORT URL CURL-OPTION...: one after the other, many streams of one connection, a load of small ones.
try() {
    local url=$1
    shift
    curl -sS -m 30 "$@" -o blob "$url/blob"
    same_file blob www/blob
    same "$(curl -sS -m 30 "$@" -o /dev/null -w '%{http_version} %{http_code}' "$url/nothing")" '2 404' "a missing file"
    local pids=() i
    for i in $(seq 10); do curl -sS -m 60 "$@" -o "copy.$i" "$url/blob" & pids+=($!); done
    for i in "${pids[@]}"; do ends "$i" 0; done
    for i in $(seq 10); do same_file "copy.$i" www/blob; done
    h2load -n 100 -c 2 -m 10 "$url/blob" >load.log 2>&1
    grep -q '100 succeeded, 0 failed, 0 errored, 0 timeout' load.log
    h2load -n 3000 -c 8 -m 10 -t 2 "$url/small" >load.log 2>&1
    grep -q '3000 succeeded, 0 failed, 0 errored, 0 timeout' load.log
}

port
start plain nghttpd --no-tls -n 2 -d www -a 127.0.0.1 "$PORT"
tcp_up 127.0.0.1 "$PORT"
try "http://127.0.0.1:$PORT" --http2-prior-knowledge
stop "$PID" 143

port
start tls nghttpd -n 2 -d www -a 127.0.0.1 "$PORT" key.pem cert.pem
tcp_up 127.0.0.1 "$PORT"
try "https://localhost:$PORT" --http2 --cacert cert.pem
stop "$PID" 143
inner_done
