#!/bin/bash
# Published ports: `run -p`. Clients on the real host reach servers in the run, TCP and UDP, IPv4 and IPv6; each is seen by
# its own port; a port that nobody listens at resets.
. "$(dirname "$0")/../lib/outer.sh"
need python3 python3
need curl curl
if native; then skip "the host's kernel publishes nothing"; fi

read -r P80 P81 P90 P91 P92 < <(python3 -c '
import socket
kinds = [socket.SOCK_STREAM] * 3 + [socket.SOCK_DGRAM, socket.SOCK_STREAM]
held = [socket.socket(socket.AF_INET, kind) for kind in kinds]
for sock in held: sock.bind(("127.0.0.1", 0))
print(*[sock.getsockname()[1] for sock in held])')

clients() {
    local url=http://127.0.0.1:$P80/blob
    curl -sS -o "$WORK/copy" "$url" && cmp "$WORK/copy" "$WORK/www/blob" || fail "one copy"
    curl -sS --parallel --parallel-max 8 -o "$WORK/copy.#1" "$url?[1-8]" || fail "eight copies"
    for i in $(seq 8); do cmp "$WORK/copy.$i" "$WORK/www/blob" || fail "copy $i"; done
    curl -sS -g -o "$WORK/copy6" "http://[::1]:$P81/blob" && cmp "$WORK/copy6" "$WORK/www/blob" || fail "IPv6"
    python3 "$HERE/clients.py" "$P90" "$P91" "$P92" || fail "clients.py"
}
(
    trap 'touch "$WORK/over"' EXIT
    for _ in $(seq 300); do
        [ -e "$WORK/up" ] && break
        sleep 0.1
    done
    [ -e "$WORK/up" ] || fail "the servers did not start"
    clients
) &
CLIENTS=$!
run 60 -p "127.0.0.1:$P80:7080" -p "[::1]:$P81:7081" -p "127.0.0.1:$P90:7090" -p "127.0.0.1:$P91:7091/udp" -p "127.0.0.1:$P92:7092"
wait $CLIENTS || fail "the clients"

# A port that is taken is said to be.
python3 -c '
import socket, subprocess, sys
taken = socket.create_server(("127.0.0.1", 0))
port = taken.getsockname()[1]
run = subprocess.run([sys.argv[1], "run", "-p", f"127.0.0.1:{port}:80", "--", "true"], stderr=subprocess.PIPE, text=True)
assert run.returncode == 125 and "in use" in run.stderr, (run.returncode, run.stderr)' "$SWITCHBOARD"
