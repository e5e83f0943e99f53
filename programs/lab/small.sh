#!/bin/bash
# Labs of a few lines. Run by test.sh, in its working directory.
set -euo pipefail

fail() {
    echo "fail: $*" >&2
    exit 1
}

# is WHAT WANTED GOT
is() { [ "$2" = "$3" ] || fail "$1: $3, and not $2"; }
# has TEXT FILE
has() { grep -q -- "$1" "$2" || { cat "$2" >&2; fail "no line with $1"; }; }

# Wrong files: line, key, one line.
printf '[host.a]\n[link.x]\nhosts = ["a"]\nloss = "many"\n' >wrong.toml
status=0
"$SWITCHBOARD" lab wrong.toml 2>error || status=$?
is "a wrong file" 125 $status
is "one line" 1 "$(wc -l <error)"
has 'wrong.toml:4: link.x.loss:' error

# When its last program ends, a lab ends, though nothing else happens any more; and says how it went.
printf '[host.a]\n[program.p]\nhost = "a"\nrun = "exit 3"\n' >short.toml
status=0
timeout 20 "$SWITCHBOARD" lab short.toml 2>error || status=$?
is "a program that fails" 1 $status
has 'p: exit status 3' error
printf '[host.a]\n[program.p]\nhost = "a"\nrun = "echo hi"\nexpect.output = "^ho$"\n' >short.toml
status=0
timeout 20 "$SWITCHBOARD" lab short.toml 2>error || status=$?
is "an output that was not there" 1 $status
has 'p: no line of output matches' error
printf '[host.a]\n[program.p]\nhost = "a"\nrun = "true"\n' >short.toml
timeout 20 "$SWITCHBOARD" lab --quiet short.toml || fail "a program that does nothing: $?"

# A routed network: names, addresses, both families, what each host says of itself.
cat >routed.toml <<'END'
seed = 5
ipv6 = true
[host.a]
[host.r]
router = true
[host.b]
[link.left]
hosts = ["a", "r"]
delay = "10ms"
pcap = "left.pcapng"
[link.right]
hosts = ["r", "b"]
[program.server]
host = "b"
run = ["python3", "-u", "-c", """
import socket
s = socket.create_server(("::", 8000), family=socket.AF_INET6, dualstack_ipv6=True)
print("serves", socket.gethostname())
while True:
    c, peer = s.accept()
    c.sendall(peer[0].encode())
    c.close()
"""]
service = true
ready.line = "^serves b$"
[program.client]
host = "a"
after = "server"
run = ["python3", "-u", "-c", """
import os, socket, time
def ask(addr):
    start = time.monotonic()
    with socket.create_connection((addr, 8000)) as s:
        print(addr, "says", s.recv(100).decode(), time.monotonic() - start >= 0.04)
ask("b")
ask("10.0.2.2")
ask("fd00:0:0:2::2")
print(os.uname().nodename, open("/etc/hostname").read().strip(), open("/proc/sys/kernel/hostname").read().strip())
for name in "nobody", "b.example":
    try:
        socket.gethostbyname(name)
    except socket.gaierror as e:
        print(name, e.errno == socket.EAI_NONAME)
print(socket.gethostbyaddr("10.0.2.2")[0])
try:
    open("/etc/hosts", "w")
except OSError as e:
    print(os.strerror(e.errno))
"""]
# Two ways of 10 ms each to be connected, and one for the answer: no less than 40 ms.
expect.output = [
    "^b says fd00:0:0:1::1 True$",
    "^10.0.2.2 says ::ffff:10.0.1.1 True$",
    "^fd00:0:0:2::2 says fd00:0:0:1::1 True$",
    "^a a a$",
    "^nobody True$",
    "^b.example True$",
    "^b$",
    "^Read-only file system$",
]
END
"$SWITCHBOARD" lab --output routed routed.toml >routed.log 2>&1 || { cat routed.log >&2; fail "routed"; }
is "the capture's magic" 0a0d0d0a "$(od -An -tx1 -N4 routed/left.pcapng | tr -d ' ')"
has '^serves b$' routed/server.out
# Packets of a program have its name next to them.
has 'python3[.0-9]*\[[0-9]*\]' routed/left.pcapng

# Whoever is not as expected is named, and so is the reason.
cat >fails.toml <<'END'
[host.a]
[program.wrong]
host = "a"
run = "echo hello; exit 3"
[program.silent]
host = "a"
run = "true"
expect.output = "something"
END
status=0
"$SWITCHBOARD" lab --quiet fails.toml >fails.log 2>error || status=$?
is "an expectation that fails" 1 $status
has '^switchboard: wrong: exit status 3$' error
has '^switchboard: silent: no line of output matches "something"$' error
printf 'time_limit = "300ms"\n[host.a]\n[program.p]\nhost = "a"\nrun = "sleep 60"\n' >slow.toml
status=0
"$SWITCHBOARD" lab --quiet slow.toml >/dev/null 2>error || status=$?
is "a time limit" 124 $status
has 'not done: p' error

# Who writes without end is read, but stops nobody else.
printf 'time_limit = "2s"\n[host.a]\n[program.yes]\nhost = "a"\nrun = "yes"\n' >yes.toml
status=0
timeout 10 "$SWITCHBOARD" lab --quiet yes.toml >/dev/null 2>error || status=$?
is "output without end" 124 $status
has 'not done: yes' error

# What `run` has as options: a way out and in, by this machine's loopback addresses; lo, a trace, capabilities.
python3 -u -c '
import socket
server = socket.create_server(("127.0.0.1", 0))
server.settimeout(60)
print(server.getsockname()[1])
client, peer = server.accept()
client.sendall(b"the machine")
client.close()' >port &
outside=$!
for try in $(seq 50); do [ -s port ] && break; sleep 0.1; done
cat >ways.toml <<END
name = "ways"
time_limit = "30s"
[host.a]
net = "nat"
host_loopback = "198.51.100.4"
lo = { pcap = "lo.pcapng", delay = "20ms" }
trace = "a.trace"
cap = "net_admin"
[host.b]
publish = "127.0.0.1:0:8000"
[program.b]
run = ["python3", "-m", "http.server", "8000"]
service = true
ready.port = 8000
[program.a]
after = "b"
run = ["python3", "-u", "-c", """
import socket, time
with socket.create_connection(('198.51.100.4', $(cat port))) as s:
    print('heard', s.recv(100).decode())
a, b = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
b.bind(('127.0.0.1', 0))
start = time.monotonic()
a.sendto(b'x', b.getsockname())
b.recv(1)
print('lo takes its time', time.monotonic() - start >= 0.02)
a.setsockopt(socket.SOL_SOCKET, 33, 1)  # SO_RCVBUFFORCE
print('b is', socket.gethostbyname('b'))
"""]
expect.output = ["^heard the machine\$", "^lo takes its time True\$", "^b is 10.0.1.2\$"]
[program.last]
host = "a"
after = "b"
run = "until [ -e fetched ]; do sleep 0.1; done"
END
"$SWITCHBOARD" lab --output ways ways.toml >ways.log 2>&1 &
lab=$!
for try in $(seq 100); do grep -q 'leads to port 8000' ways.log && "$SWITCHBOARD" ctl ways ps 2>/dev/null | grep -q '^b .* ready' && break; sleep 0.1; done
published=$(sed -n 's/.*\(127.0.0.1:[0-9]*\) leads to port 8000$/\1/p' ways.log)
is "a published port" 200 "$(curl -s -o /dev/null --max-time 9 -w '%{http_code}' "http://$published/")"
touch fetched
wait $lab || { cat ways.log >&2; fail "ways"; }
wait $outside || fail "the machine's server"
is "the capture of lo" 0a0d0d0a "$(od -An -tx1 -N4 ways/lo.pcapng | tr -d ' ')"
has 'connect(.*198.51.100.4' ways/a.trace
printf '[host.a]\nhost_loopback = "198.51.100.4"\n' >wrong.toml
status=0
"$SWITCHBOARD" lab --check wrong.toml 2>error || status=$?
is "an address without a way" 125 $status
has 'wrong.toml:2: host.a.host_loopback: is about net' error

# A session: ps, links, ss, set, partition, heal, exec with streams, statuses and signals, kill.
cat >session.toml <<'END'
name = "session"
[host.a]
[host.b]
[program.server]
host = "b"
run = ["python3", "-m", "http.server", "8000"]
service = true
ready.port = 8000
[program.waits]
host = "a"
after = "server"
run = "echo waiting; exec sleep 60"
END
"$SWITCHBOARD" lab session.toml >session.log 2>&1 &
lab=$!
for try in $(seq 100); do
    "$SWITCHBOARD" ctl ps 2>/dev/null | grep -q '^waits .* ready' && break
    sleep 0.1
done
"$SWITCHBOARD" ctl session ps >ps
has '^server  *b  *[0-9][0-9]*  *ready' ps
is "the sessions" session "$("$SWITCHBOARD" ctl)"
"$SWITCHBOARD" ctl ss b >ss
has 'b  *tcp  *LISTEN .*:8000' ss
is "exec" "a 7" "$(echo 7 | "$SWITCHBOARD" exec session a -- sh -c 'read x; echo "$(uname -n) $x"')"
status=0
"$SWITCHBOARD" exec session a -- sh -c 'exit 9' || status=$?
is "the status of exec" 9 $status
status=0
"$SWITCHBOARD" exec session a -- /no/such/program 2>/dev/null || status=$?
is "exec of nothing" 127 $status
# fetch SECONDS: the answer's code, and curl's own status (28: out of time).
fetch() {
    local status=0
    "$SWITCHBOARD" exec session a -- curl -s -o /dev/null --max-time "$1" -w '%{http_code}' http://b:8000/ || status=$?
    echo " $status"
}
is "before" "200 0" "$(fetch 5)"
"$SWITCHBOARD" ctl session partition a '|' b
is "parted" "000 28" "$(fetch 1)"
"$SWITCHBOARD" ctl session heal
"$SWITCHBOARD" ctl session set lan/a delay 50ms
is "healed" "200 0" "$(fetch 9)"
"$SWITCHBOARD" ctl links >links
has '^lan/a .* delay 50ms$' links
status=0
"$SWITCHBOARD" ctl session set lan loss much 2>error || status=$?
is "what is not understood" 1 $status
status=0
"$SWITCHBOARD" ctl session nonsense 2>error || status=$?
is "an unknown word" 1 $status
has 'is none of: ps, ss .*, links, end, up LINK,.* start PROGRAM' error
"$SWITCHBOARD" exec session a -- sh -c 'trap "exit 5" TERM; echo on; while :; do sleep 0.1; done' >on &
exec=$!
for try in $(seq 50); do grep -q on on && break; sleep 0.1; done
kill -TERM $exec
status=0
wait $exec || status=$?
is "a signal for exec" 5 $status
"$SWITCHBOARD" ctl session kill waits
status=0
wait $lab || status=$?
is "the session's end" 0 $status
# What the partition kept from arriving counts as dropped.
has '^lan  *[0-9].* [1-9][0-9]*$' session.log
# Started again, a program goes on with its files; what `set` says of the MTU is the interface's; and exec hands on what is not
# UTF-8. The session has the name of a word of ctl's.
cat >links.toml <<'END'
time_limit = "30s"
[host.a]
[host.b]
[program.again]
host = "a"
run = "echo run"
[program.waits]
host = "b"
run = "sleep 60"
[[event]]
after = "again"
at = "300ms"
do = ["start again", "set lan/a mtu 1300"]
END
"$SWITCHBOARD" lab --output restarted links.toml >links.log 2>&1 &
lab=$!
for try in $(seq 100); do
    [ "$(cat restarted/again.out 2>/dev/null)" = $'run\nrun' ] && break
    sleep 0.1
done
is "what was written before" $'run\nrun' "$(cat restarted/again.out)"
cat >mtu.py <<'END'
import fcntl, socket, struct
name = fcntl.ioctl(socket.socket(), 0x8921, struct.pack("16si12x", b"eth0", 0))  # SIOCGIFMTU
print(struct.unpack("16si12x", name)[1])
END
is "the MTU" "1300 1500" "$(for host in a b; do "$SWITCHBOARD" exec links $host -- python3 mtu.py; done | xargs)"
is "bytes" "376 012 377" "$("$SWITCHBOARD" exec links a -- printf '%s\n%s' $'\376' $'\377' | od -An -to1 | xargs)"
"$SWITCHBOARD" ctl links ps >ps
has '^waits ' ps

# Of several at once each has a name of its own, and the word that is a name leads to its lab.
printf 'duration = "5s"\n[host.a]\n' >crowd.toml
for n in 1 2 3 4 5 6; do
    "$SWITCHBOARD" lab --quiet --session crowd crowd.toml >/dev/null 2>&1 &
done
for try in $(seq 100); do
    "$SWITCHBOARD" ctl >names
    [ "$(wc -l <names)" = 7 ] && break
    sleep 0.01
done
is "names" "crowd crowd-2 crowd-3 crowd-4 crowd-5 crowd-6 links" "$(xargs <names)"
"$SWITCHBOARD" ctl links ps >ps
has '^waits ' ps

# A signal ends a lab in order: what there is to say is said, and no socket and no directory of one is left.
kill -INT $lab
status=0
wait $lab || status=$?
is "an interrupted lab" 130 $status
has '^switchboard: ended by SIGINT$' links.log
has '^waits  *b  *ended by signal 15 .* -$' links.log
wait
[ ! -e "$XDG_RUNTIME_DIR/switchboard" ] || fail "the sessions' directory is left"

# A name that would be another path, and no place for a socket.
status=0
"$SWITCHBOARD" lab --session ../x short.toml 2>error || status=$?
is "a name that is none" 125 $status
has '^switchboard: --session "../x": letters, digits' error
status=0
XDG_RUNTIME_DIR=$PWD/none "$SWITCHBOARD" lab short.toml >/dev/null 2>error || status=$?
is "no place for a socket" 125 $status
has "^switchboard: no control socket in $PWD/none/switchboard: No such file.* XDG_RUNTIME_DIR" error
echo "small: done"
