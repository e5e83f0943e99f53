. "$PROGRAMS/lib/inner.sh"
./struck "$1" "$2" "$SIZE"
inner_done
