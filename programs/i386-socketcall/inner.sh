. "$PROGRAMS/lib/inner.sh"
same "$(./socketcall)" ok "the program"
inner_done
