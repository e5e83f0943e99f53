#!/bin/bash
# Builds Switchboard and shows unmodified programs talking over it. Needs no root, and no network once the crates are
# there. SWITCHBOARD names a program built before; then nothing is built.
set -euo pipefail
cd "$(dirname "$0")"

if [ -z "${SWITCHBOARD:-}" ]; then
    cargo build --release --quiet -p switchboard-cli
    SWITCHBOARD=${CARGO_TARGET_DIR:-target}/release/switchboard
fi
switchboard=$(cd "$(dirname "$SWITCHBOARD")" && pwd)/$(basename "$SWITCHBOARD")
bold='' plain=''
if [ -t 1 ]; then bold=$'\033[1m' plain=$'\033[0m'; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C
unset http_proxy HTTP_PROXY all_proxy ALL_PROXY
steps=0

# step TITLE SCRIPT: the script runs on a virtual host of its own, with lo and nothing else. Shows what it printed.
step() {
    steps=$((steps + 1))
    printf '\n%s%d. %s%s\n' "$bold" $steps "$1" "$plain"
    # A server of the step is in the background; it ends with the run.
    if ! (cd "$work" && timeout 60 "$switchboard" run --trace="$work/trace" -- bash -euc "$2") >"$work/out" 2>&1; then
        sed 's/^/   /' "$work/out"
        echo "demo.sh: step $steps failed" >&2
        exit 1
    fi
    sed 's/^/   /' "$work/out"
}
# traced PATTERN COUNT: the first lines of the trace that fit.
traced() {
    echo "   ... and what the programs called, answered by Switchboard:"
    grep -E "$1" "$work/trace" | head -n "$2" | cut -c -150 | sed 's/^/   | /'
}
have() { command -v "$1" >/dev/null; }
# For the scripts: wait until the server listens.
wait_for='listening() { for i in $(seq 200); do (exec 9<>/dev/tcp/127.0.0.1/$1) 2>/dev/null && return; sleep 0.02; done; return 1; }'

step "A perl server and a bash client, on TCP port 7777 of a host of their own" '
perl -MIO::Socket::INET -e '\''
    my $listener = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 7777, Listen => 5) or die $!;
    while (my $client = $listener->accept) { my $line = <$client>; print $client "perl got: $line"; close $client }'\'' &
for i in $(seq 200); do { exec 3<>/dev/tcp/127.0.0.1/7777; } 2>/dev/null && break; sleep 0.02; done
echo "hello from bash" >&3
head -n 1 <&3
kill $!'
traced 'bind\(|listen\(|accept.*= [0-9]|connect\(.*= 0|hello|perl got' 8

printf '\n   The host itself knows nothing of it: '
if (exec 3<>/dev/tcp/127.0.0.1/7777) 2>/dev/null; then echo "(something else serves port 7777 there)"; else echo "connection to 127.0.0.1:7777 refused."; fi

step "A pair of perl processes on a unix socket, one datagram each way, over fork" '
perl -MSocket -e '\''
    socketpair(my $a, my $b, AF_UNIX, SOCK_DGRAM, 0) or die $!;
    if (!fork) { recv $b, my $text, 100, 0; send $b, uc $text, 0; exit }
    send $a, "quietly, over fork", 0;
    recv $a, my $answer, 100, 0;
    print "$answer\n"'\'''

if have python3 && have curl; then
    step "python3 -m http.server and curl" "$wait_for"'
        mkdir -p www; head -c 1000000 /dev/zero | tr "\0" "x" >www/million
        python3 -m http.server 8080 --directory www >/dev/null 2>&1 & server=$!
        listening 8080
        curl -sS -o got -w "HTTP %{http_code}, %{size_download} bytes at %{speed_download} bytes/s from %{remote_ip}:%{remote_port}\n" http://localhost:8080/million
        cmp got www/million
        kill $server'
    traced 'sendto.*GET|recvfrom.*GET|HTTP/1.0 200|sendto.*= [0-9]{5}' 4
else
    printf '\n(python3 and curl are not both here: their step is left out)\n'
fi

if have redis-server && have redis-benchmark; then
    step "redis-server, redis-cli and redis-benchmark" "$wait_for"'
        redis-server --port 6379 --save "" --logfile redis.log & server=$!
        listening 6379
        redis-cli set greeting "served by an unmodified redis" >/dev/null
        redis-cli get greeting
        redis-benchmark -q -n 20000 -c 20 -P 8 -t set,get | tr "\r" "\n" | grep "per second"
        redis-cli shutdown nosave; wait $server'
else
    printf '\n(redis is not here: its step is left out)\n'
fi

step "A server that nobody ends goes with its run, and the exit status is the program's" '
perl -MIO::Socket::INET -e '\''IO::Socket::INET->new(LocalPort => 7777, Listen => 1) or die; sleep'\'' &
echo "leaving it behind"'
status=0
"$switchboard" run -- perl -e 'kill TERM => $$' || status=$?
[ $status = 143 ] || { echo "demo.sh: exit status $status, not 143" >&2; exit 1; }
echo "   a program that SIGTERM ended: status $status"

printf '\nAll of this ran as %s, with no namespace, no TUN device and no rebuilt program. Try it yourself:\n' "$(id -un)"
printf '   %s run -- bash\n' "${switchboard#"$PWD/"}"
