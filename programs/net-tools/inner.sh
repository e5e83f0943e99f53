. "$PROGRAMS/lib/inner.sh"

if [ "$(id -u)" != 0 ]; then
    ifconfig lo | grep -q 'inet 127.0.0.1  netmask 255.0.0.0' || fail "the address of lo"
    route -n >/dev/null
    arp -n >/dev/null
    for change in "ifconfig lo:1 10.3.0.1" "ifconfig lo down" "route add -net 10.20.0.0 netmask 255.255.0.0 dev lo"; do
        if $change 2>refused; then fail "$change was allowed"; fi
        grep -q 'Operation not permitted' refused || fail "$change: $(cat refused)"
    done
    inner_done
    exit 0
fi

# Without the counters, which depend on what else is sent.
counted() { "$@" | grep -v 'packets'; }
{
    say counted ifconfig
    say ifconfig lo:1 10.3.0.1 netmask 255.255.0.0
    say ifconfig lo:1
    say ifconfig lo:2 10.3.0.2 netmask 255.255.0.0 broadcast 10.3.255.255
    say counted ifconfig -a
    say ip addr show lo
    say ifconfig lo:1 broadcast 10.3.0.255
    say ifconfig lo:1 dstaddr 10.3.7.7
    say ifconfig lo mtu 1400
    say ifconfig lo txqueuelen 77
    say ifconfig lo add fd00::1/64
    say counted ifconfig lo
    say ip addr show lo
    say ifconfig lo:2 down
    say ifconfig lo:9 down
    say ifconfig lo del fd00::1/64
    say route add -net 10.20.0.0 netmask 255.255.0.0 dev lo
    say route add -host 10.21.0.1 gw 10.3.0.1
    say route add default gw 10.3.0.9
    say route -n
    say netstat -rn
    say route del -net 10.20.0.0 netmask 255.255.0.0
    say route del -net 10.20.0.0 netmask 255.255.0.0
    say route add -host 1.2.3.4 gw 9.9.9.9
    say route add -net 10.30.0.0 netmask 255.255.0.0 metric 7 dev lo
    say route -n
    say route -A inet6 add fd07::/64 dev lo
    say route -A inet6 add fd07::/64 dev lo
    say ip -6 route
    say route -A inet6 del fd07::/64 dev lo
    say arp -n
    say arp -an
    say arp -d 10.3.0.5
    say arp -s 10.3.0.5 02:00:00:00:00:05
    say ifconfig lo down
    say ifconfig lo up
    say counted ifconfig lo
    say ip addr show lo
    say ip route show table all
    say ifconfig lo:1 down
    say ifconfig lo 127.0.0.9
    say ip -4 addr show lo
} >transcript
grep -q '^lo:1: flags=73<UP,LOOPBACK,RUNNING>' transcript || fail "no labelled address"
grep -q '^0.0.0.0         10.3.0.9        0.0.0.0         UG' transcript || fail "no default route"
inner_done
