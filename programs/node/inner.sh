. "$PROGRAMS/lib/inner.sh"
port; first=$PORT
port; second=$PORT
same "$(node "$HERE/http.js" "$first" "$WORK/node.sock" 2>http.log)" "ok" "http.js"
same "$(node "$HERE/cluster.js" "$second" 2>cluster.log)" "ok" "cluster.js"
inner_done
