. "$PROGRAMS/lib/inner.sh"
bb() { busybox "$@"; }
mkdir -p www/cgi-bin
echo hello >www/index.html
head -c 3000000 /dev/urandom >www/blob
printf '#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\n$REQUEST_METHOD $QUERY_STRING"\n' >www/cgi-bin/ask
chmod 755 www/cgi-bin/ask

port
start httpd busybox httpd -f -p "127.0.0.1:$PORT" -h www
httpd=$PID
tcp_up 127.0.0.1 "$PORT"
same "$(bb wget -q -O - "http://127.0.0.1:$PORT/")" hello "the index"
bb wget -q -O blob "http://127.0.0.1:$PORT/blob"
same_file blob www/blob
same "$(bb wget -q -O - "http://127.0.0.1:$PORT/cgi-bin/ask?a=b")" "GET a=b" "a CGI program on the connection"
same "$(bb wget -q -O - "http://localhost:$PORT/")" hello "by name"
for i in 1 2 3 4 5 6; do bb wget -q -O "copy.$i" "http://127.0.0.1:$PORT/blob" & pids[i]=$!; done
for pid in "${pids[@]}"; do ends "$pid" 0; done
for i in 1 2 3 4 5 6; do same_file "copy.$i" www/blob; done
stop $httpd 143

# nc to nc; the receiving one ends when the other has, so give it a standard input that stays open.
port
mkfifo hold
exec 4<>hold
busybox nc -l -p "$PORT" <&4 >received &
PID=$!
sleep 0.3
bb nc 127.0.0.1 "$PORT" <www/blob >/dev/null
ends "$PID" 0
exec 4>&-
same_file received www/blob

# A process for each connection; sha256sum reads to the end, so: half-close, then the answer.
port
start service busybox nc -ll -p "$PORT" -e busybox sha256sum
tcp_up 127.0.0.1 "$PORT"
for i in 1 2 3; do
    same "$(perl -MIO::Socket::INET -e '
        my $s = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => shift) or die $!;
        open my $f, "<", "www/blob"; local $/; print {$s} <$f>; $s->flush; shutdown $s, 1; print <$s>' "$PORT")" \
        "$(bb sha256sum <www/blob)" "a filter behind nc"
done
stop "$PID" 143

# The static shell runs server and client itself.
port
same "$(PORT=$PORT busybox ash -c 'echo from ash | busybox nc -l -p $PORT & sleep 0.3; busybox nc 127.0.0.1 $PORT </dev/null; wait')" \
    "from ash" "server and client in ash"
inner_done
