. "$PROGRAMS/lib/inner.sh"
port
same "$(java -XX:-UsePerfData -Xmx256m "$HERE/Http.java" "$PORT" "$WORK/java.sock" 2>java.log)" "ok" "Http.java"
inner_done
