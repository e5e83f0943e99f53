. "$PROGRAMS/lib/inner.sh"
mkdir www
echo hello >www/index.html
head -c 3000000 /dev/urandom >www/blob

port
start server python3 -u -m http.server "$PORT" --bind 127.0.0.1 --directory www
server=$PID
url=http://127.0.0.1:$PORT
tcp_up 127.0.0.1 "$PORT"

same "$(curl -sS $url/)" hello "the index"
same "$(curl -sS -o /dev/null -w '%{http_code} %{content_type}' -I $url/index.html)" '200 text/html' "HEAD"
same "$(curl -sS -o /dev/null -w '%{http_code}' $url/nothing)" 404 "a missing file"
curl -sS -o blob $url/blob
same_file blob www/blob

# Sixteen at once.
curl -sS --parallel --parallel-max 16 -o 'copy.#1' "$url/blob?[1-16]"
for i in $(seq 16); do same_file "copy.$i" www/blob; done

# By name: /etc/hosts, and whatever order of addresses the resolver gives.
same "$(curl -sS "http://localhost:$PORT/")" hello "by name"

# Nobody listens: refused, not hanging.
port
status=0
curl -sS -m 10 "http://127.0.0.1:$PORT/" 2>/dev/null || status=$?
same $status 7 "curl's status for a refused connection"

start server6 python3 -u -m http.server "$PORT" --bind ::1 --directory www
tcp_up ::1 "$PORT"
same "$(curl -sS -g "http://[::1]:$PORT/")" hello "over IPv6"
stop "$PID" 143

stop $server 143
same "$(grep -c '"GET /blob?.* 200' server.log)" 16 "requests in the server's log"
inner_done
