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
    say ip -6 addr add fe80::1/64 dev lo
    say python3 "$HERE/link_local.py"
    say ip -6 addr del fe80::1/64 dev lo
    for kind in blackhole unreachable prohibit throw; do
        say ip route add $kind 10.6.0.0/16
        say ip -6 route add $kind fd06::/64
        for family in AF_INET AF_INET6; do
            for type in SOCK_STREAM SOCK_DGRAM; do
                say python3 "$HERE/way.py" $family $type 0
            done
        done
        say ip route get 10.6.0.1
        say ip route del $kind 10.6.0.0/16
        say ip -6 route del $kind fd06::/64
    done
    say ip route add blackhole 10.6.0.0/16 dev lo
    # A mark has another way, which leaves from another address.
    say ip route add 10.6.0.0/16 dev lo src 10.0.0.2 table 100
    say ip rule add fwmark 7 table 100
    say ip rule add fwmark 7 table 100
    say ip rule add fwmark 0x19/0xf prohibit
    say ip rule add from 10.0.0.2 to 10.5.0.0/16 lookup 101 pref 50
    say ip rule add iif lo to 10.4.0.0/16 unreachable pref 60
    say ip rule add oif lo nop pref 61
    say ip rule add not from 10.0.0.0/8 lookup main suppress_prefixlength 0 pref 62
    say ip rule add lookup 300 pref 63
    say ip rule add ipproto udp dport 5000-6000 table 100 pref 64
    say ip rule add tos 0x10 uidrange 5-9 table 100 pref 65
    say ip rule add sport 77 dport 1-9 prohibit pref 66
    say ip rule add ipproto tcp sport 77 prohibit pref 67
    say ip -6 rule add fwmark 3 table 300
    say ip rule show
    say ip -6 rule show
    say ip mrule show
    for mark in 0 7 9 23; do
        say python3 "$HERE/way.py" AF_INET SOCK_STREAM $mark
        say python3 "$HERE/way.py" AF_INET SOCK_DGRAM $mark
    done
    say ip route get 10.6.0.1 mark 7
    say ip route get 10.6.0.1 ipproto udp dport 5500
    say ip route get 10.6.0.1 ipproto udp dport 6001
    say ip route get 10.6.0.1 ipproto tcp sport 77
    say ip route get 10.6.0.1 tos 0x10
    say ip route get 10.4.0.1
    say ip route get 127.0.0.1
    say ip route show table 100
    say ip route show table 101
    say ip route show table all type unicast
    # Several hops.
    both="nexthop via 10.0.0.7 dev lo weight 2 nexthop via 10.1.0.2 dev lo"
    say ip route add 10.3.0.0/16 $both
    say ip route add 10.3.0.0/16 $both
    say ip route append 10.3.0.0/16 nexthop via 10.0.0.8 dev lo nexthop via 10.1.0.2 dev lo
    say ip route show 10.3.0.0/16
    say cat /proc/net/route
    say ip route del 10.3.0.0/16 nexthop via 10.0.0.8 dev lo nexthop via 10.1.0.2 dev lo
    say ip route replace 10.3.0.0/16 nexthop via 10.0.0.9 nexthop dev lo
    say ip route show 10.3.0.0/16
    say ip route replace 10.3.0.0/16 via 10.0.0.9
    say ip route show 10.3.0.0/16
    say ip route add 10.2.0.0/16 nexthop via 192.168.0.1 nexthop dev lo
    say ip route flush 10.3.0.0/16
    say ip rule del pref 60
    say ip rule del pref 60
    say ip rule del from 1.2.3.4
    say ip rule del lookup 300
    say ip -6 rule del fwmark 3
    say ip rule add table 0
    say ip rule show
    say ip rule flush
    say ip rule show
    say ip rule add lookup main
    say ip route flush table 100
    say ip route show table 100
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
