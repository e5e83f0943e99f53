# openvpn.sh tun|tap PROTOCOL server|client N M: this end of an OpenVPN tunnel.
set -euo pipefail
kind=$1 protocol=$2 role=$3 n=$4 m=$5
options=(--dev "ovpn-$kind" --dev-type "$kind" --local "10.0.1.$n" --verb 3 --ping 10
    --ca "$WORK/keys/tls.pem" --cert "$WORK/keys/tls.pem" --key "$WORK/keys/tls.key" "--tls-$role")
[ "$role" = client ] && options+=(--remote "10.0.1.$m") || options+=(--dh none)
[ "$protocol" = tcp ] && options+=(--proto "tcp-$role" --port 1195) || options+=(--proto udp --port 1194)
case $kind in
tun) options+=(--ifconfig "10.92.0.$n" "10.92.0.$m" --ifconfig-ipv6 "fd92::$n/64" "fd92::$m") ;;
tap) options+=(--ifconfig "10.93.0.$n" 255.255.255.0) ;;
esac
exec openvpn "${options[@]}"
