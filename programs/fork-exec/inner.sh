. "$PROGRAMS/lib/inner.sh"

# C: see inherit.c.
port
same "$(./inherit "$PORT")" ok "inherit"

# A parent listens, starts two servers by exec and is gone; they serve until told to stop.
port
./inherit leave "$PORT" 2 >left.log
tcp_accepts 127.0.0.1 "$PORT" || fail "the servers are gone with their parent"
seen=$(for i in $(seq 20); do ./inherit ask "$PORT"; done | sort -u)
for pid in $seen; do kill "$pid"; done
[ -n "$seen" ] || fail "nobody answered"
gone() { ! tcp_accepts 127.0.0.1 "$PORT"; }
for i in $(seq 100); do # whoever did not answer yet is found by asking
    if gone; then break; fi
    kill "$(./inherit ask "$PORT")" 2>/dev/null || true
    sleep 0.05
done
gone || fail "a server is still there"

# bash opens a connection; its children and their children read and write it as descriptor 3, and as standard output.
port
perl -MIO::Socket::INET -e '
    my $l = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => shift, Listen => 5, ReuseAddr => 1) or die $!;
    $| = 1; print "ready\n";
    my $c = $l->accept; print $c "greeting\n"; $c->flush; print while <$c>;' "$PORT" >served.log &
server=$!
until_true 10 grep -q ready served.log
exec 3<>"/dev/tcp/127.0.0.1/$PORT"
same "$(bash -c 'perl -e "open my \$s, q{<&=}, 3 or die; print scalar <\$s>"')" greeting "read by a grandchild"
(echo "from a subshell" >&3)
bash -c 'exec cat >&3' <<<"from an exec"
python3 -c 'import os; os.write(3, b"from python\n")'
setsid -w sh -c 'echo from another session >&3'
exec 3>&-
ends $server 0
same "$(tail -n +2 served.log | tr '\n' ',')" "from a subshell,from an exec,from python,from another session," "what arrived"

# Python: pass_fds, close-on-exec by default, multiprocessing by fork and by spawn, a service with the socket as stdio.
port
same "$(python3 "$HERE/inherit.py" "$PORT")" ok "inherit.py"
inner_done
