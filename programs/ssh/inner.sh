. "$PROGRAMS/lib/inner.sh"
if [ "$(id -u)" = 0 ]; then mkdir -p /run/sshd; fi
ssh-keygen -q -t ed25519 -N '' -f host
ssh-keygen -q -t ed25519 -N '' -f client
cp client.pub authorized
port
sshd_port=$PORT
cat >sshd.conf <<EOF
Port $sshd_port
ListenAddress 127.0.0.1
ListenAddress ::1
HostKey $WORK/host
AuthorizedKeysFile $WORK/authorized
StrictModes no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
EOF
cat >ssh.conf <<EOF
Host *
    Port $sshd_port
    User $(id -un)
    IdentityFile $WORK/client
    IdentitiesOnly yes
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
    BatchMode yes
EOF
start sshd "$(command -v sshd)" -D -e -f sshd.conf
sshd=$PID
tcp_up 127.0.0.1 $sshd_port
remote() { ssh -F ssh.conf "$@"; }

for host in 127.0.0.1 ::1; do
    status=0
    said=$(remote $host 'echo in; exit 7') || status=$?
    same "$status $said" '7 in' "a command at $host"
done
head -c 5000000 /dev/urandom >big
remote 127.0.0.1 cat <big >back
same_file back big
printf 'put big copy\nget copy fetched\n' | sftp -q -F ssh.conf -b - 127.0.0.1:"$WORK" >sftp.log
same_file copy big
same_file fetched big
# With a terminal.
same "$(remote -tt 127.0.0.1 'test -t 0 && echo terminal' 2>/dev/null </dev/null | tr -d '\r')" terminal "a terminal"

# Forwarding: local, to a unix socket, and as a SOCKS proxy; back to the server itself.
port
local_port=$PORT
port
socks=$PORT
start forward ssh -F ssh.conf -N -L "$local_port:127.0.0.1:$sshd_port" -L "$WORK/forward.sock:127.0.0.1:$sshd_port" -D "127.0.0.1:$socks" 127.0.0.1
forward=$PID
tcp_up 127.0.0.1 "$local_port"
unix_up forward.sock
tcp_up 127.0.0.1 "$socks"
same "$(remote -p "$local_port" 127.0.0.1 'echo through')" through "a forwarded port"
kill $forward
wait $forward || true
rm -f forward.sock

# One connection, shared: the clients hand their standard streams to the master.
start master ssh -F ssh.conf -M -N -S "$WORK/master.sock" 127.0.0.1
master=$PID
unix_up master.sock
for i in 1 2 3 4 5; do ssh -F ssh.conf -S "$WORK/master.sock" 127.0.0.1 "echo shared $i; cat" <big >"shared.$i" & done
wait_for=$(jobs -p | tail -n 5)
for pid in $wait_for; do ends "$pid" 0; done
for i in 1 2 3 4 5; do
    same "$(head -n 1 "shared.$i")" "shared $i" "a shared connection"
    tail -n +2 "shared.$i" >rest
    same_file rest big
done
ssh -F ssh.conf -S "$WORK/master.sock" -O exit 127.0.0.1 2>/dev/null
wait $master || true
kill $sshd
wait $sshd || true
inner_done
