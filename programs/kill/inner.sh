. "$PROGRAMS/lib/inner.sh"
port
ulimit -c 0
./mortal "$SEED" "$ROUNDS" "$PORT"
rm -f name-*
inner_done
