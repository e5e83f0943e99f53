. "$PROGRAMS/lib/inner.sh"
sys=/proc/sys/net

# What --sysctl set, and Linux's defaults, whatever the machine has.
same "$(cat $sys/core/somaxconn)" 321 "somaxconn"
same "$(cat $sys/ipv4/ip_local_port_range)" $'40000\t40999' "the port range"
same "$(sysctl -n net.ipv4.tcp_fin_timeout)" 60 "tcp_fin_timeout"
same "$(cat $sys/ipv4/tcp_congestion_control)" cubic "tcp_congestion_control"
same "$(cd $sys/core && cat ./somaxconn)" 321 "a relative path"
same "$(python3 -c "print(open('$sys/core/somaxconn').read().strip())")" 321 "python's open"
[ ! -e $sys/core/no_such_tunable ] || fail "a tunable that is none"

if [ "$(id -u)" = 0 ]; then
    echo 64 >$sys/core/somaxconn
    same "$(sysctl net.core.somaxconn)" "net.core.somaxconn = 64" "what echo wrote"
    sysctl -q -w net.ipv4.tcp_rmem='4096 50000' net.ipv4.ip_default_ttl=99
    same "$(cat $sys/ipv4/tcp_rmem)" $'4096\t50000\t33554432' "part of a vector"
    if (echo many >$sys/core/somaxconn) 2>refused; then fail "a bad value was taken"; fi
    grep -q 'Invalid argument' refused
    # It has its effect.
    same "$(python3 -c '
import socket
s = socket.socket()
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print(s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), u.getsockopt(socket.IPPROTO_IP, socket.IP_TTL))
')" "50000 99" "defaults of new sockets"
else
    if (echo 64 >$sys/core/somaxconn) 2>refused; then fail "an ordinary user may not"; fi
    grep -q 'Permission denied' refused
fi
sysctl -a >all 2>/dev/null
grep -q '^net.core.somaxconn = ' all

# Who listens, who is connected, and whose it is.
port
start server python3 -u -c "
import socket, time
l = socket.create_server(('127.0.0.1', $PORT))
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(('127.0.0.1', $PORT))
x = socket.socket(socket.AF_UNIX)
x.bind('\0proc-net')
x.listen()
print('listening')
a = l.accept()[0]
print('connected')
time.sleep(60)
"
server=$PID
until_true 20 grep -q listening server.log
exec 7<>"/dev/tcp/127.0.0.1/$PORT"
until_true 10 grep -q connected server.log
netstat -tlnp >listening
grep -q "^tcp .* 127.0.0.1:$PORT .* LISTEN .* $server/python3" listening || fail "$(cat listening)"
same "$(netstat -tn | grep -c ":$PORT .*ESTABLISHED")" 2 "ends of the connection"
netstat -uln >datagrams
grep -q "^udp .* 127.0.0.1:$PORT " datagrams || fail "$(cat datagrams)"
netstat -xl >unix
grep -q '@proc-net *$' unix || fail "$(cat unix)"
netstat -s >statistics
grep -Eq '^ +1 active connection openings?$' statistics || fail "$(cat statistics)"
netstat -i >interfaces
grep -q '^lo ' interfaces || fail "$(cat interfaces)"
grep -q '^    lo: ' /proc/net/dev
grep -q "^TCP: inuse 3 " /proc/net/sockstat
exec 7>&-
stop $server 143
inner_done
