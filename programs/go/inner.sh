. "$PROGRAMS/lib/inner.sh"
port
same "$(./program "$PORT" "$WORK/go.sock" 2>go.log)" "ok" "the program"
# And from outside it, as a server on its own.
start server ./program serve "$PORT"
tcp_up 127.0.0.1 "$PORT"
same "$(./program fetch "http://127.0.0.1:$PORT/hello")" "GET /hello" "another process"
stop "$PID" 143
inner_done
