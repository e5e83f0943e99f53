# wireguard.sh NAME N PEER M: this end of the WireGuard tunnel, its addresses given before it is up, as wg-quick(8) does it.
# The hosts share the file system: each has a /run of its own, where wg finds its wireguard-go and no other.
set -euo pipefail
name=$1 n=$2 peer=$3 m=$4
if [ -z "${INSIDE:-}" ]; then
    INSIDE=1 exec unshare -m bash -c 'mount -t tmpfs none /run && exec bash "$@"' - "$HERE/wireguard.sh" "$@"
fi
wireguard-go -f "wg-$name" >/dev/null 2>&1 &
until wg show "wg-$name" >/dev/null 2>&1; do sleep 0.1; done
wg set "wg-$name" listen-port "5182$n" private-key "$WORK/keys/$name.key" peer "$(cat "$WORK/keys/$peer.pub")" \
    endpoint "10.0.1.$m:5182$m" allowed-ips 10.91.0.0/24,fd91::/64
ip addr add "10.91.0.$n/24" dev "wg-$name"
ip addr add "fd91::$n/64" dev "wg-$name"
ip link set "wg-$name" up
echo "WireGuard is up"
if [ "$name" = left ]; then
    until [ "$(wg show wg-left latest-handshakes | awk '{ print ($2 > 0) }')" = 1 ]; do sleep 0.1; done
    touch "$WORK/shaken"
fi
wait
