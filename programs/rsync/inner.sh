. "$PROGRAMS/lib/inner.sh"
mkdir tree module
cp -r "$PROGRAMS" tree/programs
head -c 8000000 /dev/urandom >tree/blob
for i in $(seq 300); do echo "$i" >"tree/small.$i"; done
port
cat >rsyncd.conf <<EOF
port = $PORT
address = 127.0.0.1
use chroot = no
log file = /dev/null
[module]
    path = $WORK/module
    read only = no
EOF
# Root's daemon would become nobody for a transfer; an ordinary user's stays who it is.
if [ "$(id -u)" = 0 ]; then printf '    uid = root\n    gid = root\n' >>rsyncd.conf; fi
start rsyncd rsync --daemon --no-detach --config rsyncd.conf
daemon=$PID
tcp_up 127.0.0.1 "$PORT"
url=rsync://127.0.0.1:$PORT/module
same "$(rsync "rsync://127.0.0.1:$PORT/" | tr -d ' \t')" module "the list of modules"
rsync -a tree/ $url/
diff -r tree module
# A few bytes in the middle: only the difference goes over.
printf changed | dd of=tree/blob bs=1 seek=4000000 conv=notrunc status=none
touch -d '2001-01-01' tree/blob
sent=$(rsync -a --stats tree/ $url/ | sed -n 's/^Literal data: \([0-9,]*\) bytes/\1/p' | tr -d ,)
[ "$sent" -lt 100000 ] || fail "$sent bytes were sent for seven"
diff -r tree module
rsync -a $url/ back
diff -r tree back
status=0
rsync "rsync://127.0.0.1:$PORT/nothing" >/dev/null 2>&1 || status=$?
same $status 5 "rsync's status for a missing module"
kill $daemon
wait $daemon || true
inner_done
