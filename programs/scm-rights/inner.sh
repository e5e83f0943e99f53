. "$PROGRAMS/lib/inner.sh"
port
same "$(python3 -X dev "$HERE/rights.py" "$PORT")" ok "rights.py"
inner_done
