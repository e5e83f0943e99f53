. "$PROGRAMS/lib/inner.sh"

if [ "$(id -u)" != 0 ]; then
    # Everyone may look; only who administers the network may change.
    same "$(ip -o -4 addr show lo | awk '{ print $4 }')" 127.0.0.1/8 "the address of lo"
    same "$(ip route get 127.0.0.1 | head -n 1)" "local 127.0.0.1 dev lo src 127.0.0.1 uid $(id -u) " "a route"
    for change in "addr add 10.0.0.1/24 dev lo" "link set lo down" "route add 10.9.0.0/16 dev lo" "link set lo mtu 1400"; do
        if ip $change 2>refused; then fail "ip $change was allowed"; fi
        grep -q 'Operation not permitted' refused || fail "ip $change: $(cat refused)"
    done
    inner_done
    exit 0
fi

start monitor ip monitor all
monitor=$PID
has_socket() { [[ $(readlink /proc/$1/fd/*) == *socket:* ]]; }
until_true 10 has_socket "$monitor"
sleep 0.3 # it joins its groups
{
    say ip addr add 10.0.0.1/24 dev lo
    say ip addr add 10.0.0.1/24 dev lo
    say ip addr add 10.0.0.2/24 brd + dev lo label lo:1
    say ip addr add 10.1.0.1 peer 10.1.0.2 dev lo
    say ip addr add fd00::1/64 dev lo
    say ip addr add fd00::1/64 dev lo
    say ip addr add 10.0.0.3/24 dev nope
    say ip addr show
    say ip -br addr show
    say ip -j addr show dev lo
    say ip route add 10.9.0.0/16 dev lo
    say ip route add 10.9.0.0/16 dev lo
    say ip route replace 10.9.0.0/16 dev lo metric 5
    say ip route append 10.9.0.0/16 dev lo src 10.0.0.2
    say ip route add 10.8.0.0/16 via 10.0.0.77
    say ip route add 10.8.0.0/16 via 192.168.1.1
    say ip route add default via 10.1.0.2
    say ip route add 10.7.0.0/16 dev lo src 10.0.0.2 scope host
    say ip -6 route add fd01::/64 dev lo
    say ip -6 route add fd02::/64 via fd00::7
    say ip route show
    say ip route show table all
    say ip -6 route show
    say ip route show 10.9.0.0/16
    say ip route show table local type broadcast
    for to in 10.0.0.1 10.9.1.2 8.8.8.8 127.0.0.1 fd01::5 fd00::1 "9.9.9.9 from 10.0.0.2" "9.9.9.9 oif lo"; do
        say ip route get $to
    done
    say ip route del 10.9.0.0/16
    say ip route del 10.9.0.0/16
    say ip route del 10.9.0.0/16
    say ip route del 10.9.0.0/16 dev lo
    say ip -6 route del fd01::/64
    say ip -6 route del fd01::/64
    say ip route del 10.0.0.0/24
    say ip neigh show
    say ip rule show
    say ip -6 rule show
    say ip addr del 10.0.0.1/24 dev lo
    say ip addr show lo
    say ip route show
    say ip addr del 10.0.0.9/24 dev lo
    say ip addr del fd00::1/64 dev lo
    say ip addr del fd00::1/64 dev lo
    say ip link set lo mtu 1500
    say ip link set lo txqueuelen 500
    say ip link add dummy0 type nosuchkind
    say ip link del lo
    say ip link show
    say ip link show dev nope
    say ip addr flush dev lo
    say ip addr show
} >transcript
sleep 0.3
stop "$monitor" 143
{ echo "--- monitor"; cat monitor.log; } >>transcript
grep -q 'inet 10.0.0.2/24 brd 10.0.0.255 scope global secondary lo:1' transcript || fail "no secondary address"
grep -q 'Error: ipv4: Address already assigned.' transcript || fail "no text of the refusal"
grep -q '^\[ROUTE\]Deleted 10.9.0.0/16 dev lo scope link' transcript || fail "the monitor heard nothing"
inner_done
