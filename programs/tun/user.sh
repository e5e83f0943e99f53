# Run by vpn.toml on the left host.
set -euo pipefail
ip link set vpn0 mtu 1400
ip -o link show vpn0
echo "inet $(ip -o -4 addr show dev vpn0 | awk '{ print $4 }')"
ip route get 10.9.0.2
ping -n -c 3 -i 0.2 -W 5 10.9.0.2
python3 -c '
import socket
data = b""
with socket.create_connection(("10.9.0.2", 8000), timeout=20) as s:
    while piece := s.recv(1 << 20):
        data += piece
seen, data = data.split(b"\n", 1)
assert data == bytes(n * n % 251 for n in range(5000)) * 1000, len(data)
print(len(data), "bytes of 10.9.0.2 are as they should be, seen as", seen.decode())
'
# A route by the tunnel, to an address that the other side has on no network.
ip route add 10.77.0.0/24 dev vpn0
ping -n -c 1 -W 5 10.77.0.1 >/dev/null && echo "10.77.0.1 answers"
awk '$1 == "vpn0:" && $3 > 3000 && $11 > 300 { print "vpn0 sent and received" }' /proc/net/dev
