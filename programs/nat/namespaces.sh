#!/bin/bash
# The way out of a machine behind a router, and in: started by test.sh as root in a network namespace of its own, which is
# the machine; the router and a host behind it are two more.
set -euo pipefail
fail() {
    echo "namespaces.sh: $*" >&2
    exit 1
}
# has FILE PATTERN WHAT
has() {
    grep -Eq "$2" "$1" || { cat "$1" >&2; fail "$3"; }
}
# same GOT WANTED WHAT
same() { [ "$1" = "$2" ] || fail "$3: '$1', not '$2'"; }
run() { timeout 60 "$SWITCHBOARD" run "$@"; }
# pings STATUS PATTERN WHAT ARGUMENT...: how ping ends in a run, and what it says. 1: nothing came back, or an error.
pings() {
    local wanted=$1 pattern=$2 what=$3 status=0
    shift 3
    run --net nat -- "${PING:-ping}" "$@" >ping.txt || status=$?
    has ping.txt "$pattern" "$what"
    [ $status = "$wanted" ] || fail "$what: ping's status is $status"
}
cd "$WORK"

unshare -n sleep 600 &
ROUTER=$!
unshare -n sleep 600 &
FAR=$!
trap 'kill $ROUTER $FAR; [ ! -e dns.pid ] || kill "$(cat dns.pid)"' EXIT
router() { nsenter -t $ROUTER -n "$@"; }
far() { nsenter -t $FAR -n "$@"; }
for pid in $ROUTER $FAR; do
    until [ "$(readlink /proc/$pid/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
done
ip link set lo up
router ip link set lo up
far ip link set lo up
ip link add up0 type veth peer name r0 netns $ROUTER
router ip link add r1 type veth peer name f0 netns $FAR
ip addr add 10.77.0.1/24 dev up0
ip -6 addr add 2001:db8:77::1/64 dev up0 nodad
router ip addr add 10.77.0.254/24 dev r0
router ip -6 addr add 2001:db8:77::fe/64 dev r0 nodad
router ip addr add 10.77.1.254/24 dev r1
router ip -6 addr add 2001:db8:78::fe/64 dev r1 nodad
far ip addr add 10.77.1.2/24 dev f0
far ip -6 addr add 2001:db8:78::2/64 dev f0 nodad
ip link set up0 up
router ip link set r0 up
router ip link set r1 up
far ip link set f0 up
ip route add default via 10.77.0.254
ip -6 route add default via 2001:db8:77::fe
far ip route add default via 10.77.1.254
far ip -6 route add default via 2001:db8:78::fe
router sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
router ip route add prohibit 10.77.8.0/24
for _ in $(seq 50); do
    ping -6 -c 1 -W 1 2001:db8:78::2 >/dev/null 2>&1 && break
done

# Echo by ping sockets, or where this user may have none by raw ones; where it may have neither, a filter stands in the way.
echoes() {
    local by=$1 to
    for to in 10.77.1.2 2001:db8:78::2; do
        pings 0 ' 0% packet loss' "ping $to $by" -c 3 -i 0.2 -W 5 $to
    done
    pings 1 'From 10.77.0.254 .*Time to live exceeded' "a ping $by that goes as far as the router" -c 1 -W 5 -t 2 10.77.1.2
    pings 1 'From 2001:db8:77::fe .*Time exceeded: Hop limit' "the same of IPv6" -6 -c 1 -W 5 -t 2 2001:db8:78::2
}
sysctl -qw net.ipv4.ping_group_range="1 0"
echoes "by raw sockets"
without() { setpriv --bounding-set=-net_raw --inh-caps=-net_raw "$@"; }
if without true; then
    # Debian's own has the capability in its file, and cannot be executed without.
    cp "$(command -v ping)" plain-ping
    (
        PING=./plain-ping
        run() { without timeout 60 "$SWITCHBOARD" run "$@"; }
        pings 1 'Packet filtered' "ping without sockets for it" -c 1 -W 5 10.77.1.2
    )
fi
sysctl -qw net.ipv4.ping_group_range="0 2147483647"
echoes "by ping sockets"

# Who is on the way is seen by a datagram whose hops end there.
run --net nat -- python3 - >hops.txt <<'PYTHON'
import socket, struct
IP_RECVERR, MSG_ERRQUEUE = 11, 0x2000
for hops in 1, 2, 3:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
    sock.sendto(b"who?", ("10.77.1.2", 33434))
    sock.settimeout(5)
    try:
        sock.recv(1)
    except OSError as error:
        _, control, _, _ = sock.recvmsg(100, 200, MSG_ERRQUEUE)
        kind, code = control[0][2][5:7]
        offender = socket.inet_ntoa(control[0][2][20:24])
        print(hops, kind, code, offender, error.errno)
PYTHON
printf '%s\n' '1 11 0 10.0.2.2 113' '2 11 0 10.77.0.254 113' '3 3 3 10.77.1.2 111' >wanted.txt
diff hops.txt wanted.txt >&2 || fail "who is on the way"

# Errors of connect(2) are those of the real network.
run --net nat -- python3 - >errors.txt <<'PYTHON'
import errno, socket
for to in "10.77.1.2", "2001:db8:78::2", "10.77.9.9", "10.77.8.1", "10.77.0.77":
    sock = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET)
    sock.settimeout(20)
    try:
        sock.connect((to, 81))
    except OSError as error:
        print(to, errno.errorcode.get(error.errno))
PYTHON
python3 - >wanted.txt <<'PYTHON'
import errno, socket
for to in "10.77.1.2", "2001:db8:78::2", "10.77.9.9", "10.77.8.1", "10.77.0.77":
    sock = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET)
    sock.settimeout(20)
    try:
        sock.connect((to, 81))
    except OSError as error:
        print(to, errno.errorcode.get(error.errno))
PYTHON
diff errors.txt wanted.txt >&2 || fail "errors are not the kernel's"

# Names: by a server that is far away, and by one on the machine's own loopback, as systemd-resolved's is. Who starts before
# there is one starts all the same.
lookups() {
    run --net nat -- sh -c 'echo started; getent ahosts db; getent ahosts db.corp.test; getent ahosts none; true' 2>&1
}
for server in 10.77.1.2 2001:db8:78::2 127.0.0.1 ::1; do
    printf 'nameserver %s\nsearch corp.test\noptions timeout:2 attempts:2\n' $server >resolv.conf
    mount --bind resolv.conf /etc/resolv.conf
    in=env
    case $server in 10.* | 2001:*) in=far ;; esac
    same "$(lookups)" started "without a name server at $server"
    text=$(printf ',%.0s' $(seq 9) | sed "s/,/,$(printf 'x%.0s' $(seq 200))/g")
    $in dnsmasq --keep-in-foreground --log-facility=- --conf-file=/dev/null --user=root --pid-file="$PWD/dns.pid" --no-resolv --no-hosts --bind-interfaces \
        --listen-address=$server --address=/db.corp.test/10.77.1.9 --address=/db.corp.test/2001:db8:78::9 \
        --txt-record="long.corp.test$text" >dnsmasq.txt 2>&1 &
    DNS=$!
    for _ in $(seq 100); do
        grep -q started dnsmasq.txt && break
        sleep 0.05
    done
    lookups | awk '{ print $1 }' | uniq >names.txt
    # Each is asked for by both names, and told for three types of sockets.
    printf '%s\n' started 2001:db8:78::9 10.77.1.9 2001:db8:78::9 10.77.1.9 | sort >wanted.txt
    sort names.txt | diff - wanted.txt >&2 || fail "names from $server: $(cat names.txt dnsmasq.txt)"
    # An answer that does not fit a datagram is asked for once more, by TCP.
    run --net nat -- python3 - >long.txt <<'PYTHON' || fail "a long answer from $server"
import socket, struct
question = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + b"\4long\4corp\4test\0" + struct.pack(">2H", 16, 1)
server = open("/etc/resolv.conf").readline().split()[1]
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(10)
sock.connect((server, 53))
sock.send(question)
print("cut" if sock.recv(2000)[2] & 2 else "whole")
sock = socket.create_connection((server, 53), 10)
sock.sendall(struct.pack(">H", len(question)) + question)
stream = sock.makefile("rb")
answer = stream.read(*struct.unpack(">H", stream.read(2)))
print("cut" if answer[2] & 2 else "whole", len(answer) > 1800)
PYTHON
    same "$(xargs <long.txt)" "cut whole True" "a long answer from $server"
    kill "$(cat dns.pid)"
    wait $DNS || fail "dnsmasq ended with status $?"
    rm -f dns.pid
    umount /etc/resolv.conf
done

# Published ports: clients from elsewhere keep their addresses.
run -p 8080:80 -p 5353:53/udp -- python3 - >peers.txt <<'PYTHON' &
import socket
listeners = [socket.create_server(("", 80)), socket.create_server(("::", 80), family=socket.AF_INET6)]
datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
datagrams.bind(("", 53))
for listener in listeners:
    connection, peer = listener.accept()
    print("tcp", peer[0], peer[1])
    connection.close()
data, peer = datagrams.recvfrom(10)
print("udp", peer[0], peer[1])
datagrams.sendto(data + data, peer)
PYTHON
RUN=$!
far python3 - <<'PYTHON' || fail "clients of published ports"
import socket, time
for family, address in (socket.AF_INET, "10.77.0.1"), (socket.AF_INET6, "2001:db8:77::1"):
    for _ in range(100):
        sock = socket.socket(family)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", 4444))
        sock.settimeout(20)
        # Not published yet is a refusal; not listening yet, a reset.
        try:
            sock.connect((address, 8080))
            assert sock.recv(1) == b""
            break
        except ConnectionError:
            time.sleep(0.1)
    else:
        raise AssertionError(address)
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("", 5555))
sock.connect(("10.77.0.1", 5353))
sock.settimeout(20)
sock.send(b"ab")
assert sock.recv(9) == b"abab"
PYTHON
wait $RUN || fail "the server of published ports"
printf '%s\n' 'tcp 10.77.1.2 4444' 'tcp 2001:db8:78::2 4444' 'udp 10.77.1.2 5555' >wanted.txt
diff peers.txt wanted.txt >&2 || fail "clients are not seen by their own addresses"

# Devices: the kernel on the other side of a TUN, and of a TAP.
if ! [ -e /dev/net/tun ]; then
    echo "left out: devices, as there is no /dev/net/tun here"
    exit 0
fi
head -c 2000000 /dev/urandom >blob
for mode in tun tap; do
    [ $mode = tun ] && net=88 || net=89
    ip tuntap add sb$mode mode $mode
    ip addr add 10.$net.0.1/24 dev sb$mode
    ip link set sb$mode up
    # Not by the function, which would be a process between: the signal is for the run.
    timeout 60 "$SWITCHBOARD" run --net $mode=sb$mode --address 10.$net.0.2/24 --gateway 10.$net.0.1 -- \
        python3 -u -m http.server 80 >/dev/null 2>&1 &
    RUN=$!
    for _ in $(seq 100); do
        curl -sS -m 10 -o copy http://10.$net.0.2/blob 2>/dev/null && break
        sleep 0.1
    done
    cmp copy blob || fail "a file by the device $mode"
    ping -c 2 -i 0.2 -W 5 10.$net.0.2 >ping.txt || fail "ping by the device $mode"
    has ping.txt ' 0% packet loss' "ping by the device $mode"
    kill $RUN
    status=0
    wait $RUN || status=$?
    [ $status = 143 ] || fail "the run at the device $mode ended with status $status"
done
status=0
run --net tun=sbtap -- true 2>error.txt || status=$?
[ $status = 125 ] && grep -q sbtap error.txt || fail "a device of the other kind"

# A device that is deleted under a run is not asked for ever again what it has.
ip tuntap add sbgone mode tun
ip link set sbgone up
(sleep 1; ip link del sbgone) &
GONE=$!
TIMEFORMAT='%U %S'
{ time run --net tun=sbgone --address 10.90.0.2/24 -- sleep 3; } 2>used.txt || fail "a run whose device goes"
wait $GONE || fail "ip link del"
python3 -c 'assert sum(map(float, open("used.txt").read().split())) < 1' || fail "a device that is gone: $(cat used.txt) s"
