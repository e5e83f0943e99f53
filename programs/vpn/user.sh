# Run by vpn.toml on the left host: packets too long for the tunnels, and 1 MB, by each of them.
set -euo pipefail
for address in 10.91.0.2 fd91::2 10.92.0.2 fd92::2 10.93.0.2; do
    ping -n -q -c 3 -i 0.2 -W 5 -s 3000 $address >/dev/null
    host=$address
    [[ $address != *:* ]] || host="[$address]"
    curl -sS -m 60 -o "$WORK/got" "http://$host:8000/data"
    cmp "$WORK/www/data" "$WORK/got"
    echo "$address by $(ip -o route get $address | sed -E 's/.* dev ([^ ]+).*/\1/')"
done
[ ! -e "$WORK/shaken" ] || echo "WireGuard has shaken hands"
