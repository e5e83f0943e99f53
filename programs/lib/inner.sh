# Sourced by every inner.sh: the part of a test that runs on the virtual host (or natively on the host's kernel).
set -euo pipefail
cd "$WORK"

# On failure show where, and what the servers had to say.
report() {
    local status=$1 line=$2 command=$3 log
    echo "inner.sh line $line: status $status: $command" >&2
    for log in *.log; do
        [ -s "$log" ] && { echo "--- $log"; tail -n 8 "$log" | cat -v | cut -c -300; } >&2
    done
    kill_started
}
set -E # functions and subshells report too
trap 'report $? $LINENO "$BASH_COMMAND"; exit 1' ERR

STARTED=()
kill_started() {
    [ ${#STARTED[@]} -eq 0 ] || kill -KILL "${STARTED[@]}" 2>/dev/null || true
}

fail() {
    trap - ERR
    local depth=0 at=''
    while caller $depth >/dev/null; do
        at=${BASH_LINENO[depth]} # the outermost one is the line of inner.sh
        depth=$((depth + 1))
    done
    report 1 "$at" "$*"
    exit 1
}

# same GOT WANTED WHAT
same() {
    [ "$1" = "$2" ] || fail "$3: got '$1', wanted '$2'"
}

# same_file A B
same_file() {
    cmp "$1" "$2" || fail "$1 and $2 differ"
}

# port: a free port in PORT. The virtual host is ours alone; the host's kernel has other users, so there look for one
# outside the ephemeral range.
NEXT_PORT=7000
port() {
    if [ "$SWITCHBOARD" = native ]; then
        PORT=$(perl -MSocket -e 'for (1 .. 1000) {
            my $port = 10000 + int rand 20000;
            socket(S, AF_INET6, SOCK_STREAM, 0) or die $!;
            if (bind(S, pack_sockaddr_in6($port, Socket::IN6ADDR_ANY))) { print $port; last }
        }')
    else
        PORT=$((NEXT_PORT += 1))
    fi
}

# until_true SECONDS COMMAND...: try until it succeeds.
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@" 2>/dev/null; do
        [ $SECONDS -le $end ] || fail "waited too long for: $*"
        sleep 0.05
    done
}

tcp_accepts() {
    (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null
}

# tcp_up HOST PORT: wait until something listens.
tcp_up() {
    until_true 20 tcp_accepts "$1" "$2"
}

# unix_up PATH: wait until the socket file is there.
unix_up() {
    until_true 20 test -S "$1"
}

# start LOG COMMAND...: in the background, its pid in PID.
start() {
    local log=$1
    shift
    "$@" >"$log.log" 2>&1 &
    PID=$!
    STARTED+=("$PID")
}

# ends PID STATUS: the process has to end, by itself, with that status.
ends() {
    local status=0
    wait "$1" || status=$?
    same $status "$2" "exit status of process $1"
}

# stop PID STATUS [SIGNAL]
stop() {
    kill "-${3:-TERM}" "$1"
    ends "$1" "$2"
}

inner_done() {
    echo "inner done"
}

# A command with what it prints and how it ends: a line of a transcript that is compared.
say() {
    local status=0
    echo "\$ $*"
    "$@" 2>&1 || status=$?
    [ $status = 0 ] || echo "[$status]"
}
