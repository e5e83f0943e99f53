. "$PROGRAMS/lib/inner.sh"

if [ "$(id -u)" != 0 ]; then
    status=0
    tcpdump -i lo -c 1 >refused 2>&1 || status=$?
    same $status 1 "the status of tcpdump without the right"
    grep -q 'ermission' refused || fail "tcpdump: $(cat refused)"
    inner_done
    exit 0
fi

NEXT_PORT=21000 # tcpdump knows what 7002 is for
port
tcp=$PORT
port
udp=$PORT
talk() {
    perl -MIO::Socket::INET -e '
        my %at = (LocalAddr => "127.0.0.1", LocalPort => $ARGV[0], ReuseAddr => 1);
        my $l = IO::Socket::INET->new(Listen => 1, %at) or die "$!";
        my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $ARGV[0]) or die "$!";
        my $a = $l->accept;
        syswrite $c, "hello\n" or die "$!";
        readline($a) eq "hello\n" or die "not what was sent"; select undef, undef, undef, 0.1' "$tcp"
}
tell() {
    perl -MIO::Socket::INET -e '
        my $u = IO::Socket::INET->new(Proto => "udp", LocalAddr => "127.0.0.1", LocalPort => $ARGV[0]) or die "$!";
        my $v = IO::Socket::INET->new(Proto => "udp", PeerAddr => "127.0.0.1", PeerPort => $ARGV[0]) or die "$!";
        send $v, "x" x $_, 0 or die "$!" for 10, 2000' "$udp"
}
listens() { grep -q "^$2" "$1.log"; }

# Into a file, by slots that are read when there is time.
start file tcpdump -Z root -n -i lo -c 4 -w file.pcap "tcp port $tcp"
file=$PID
# Live: a slot for each, at once.
start live tcpdump -n -l -t -i lo -c 2 "udp port $udp"
live=$PID
# All interfaces, without link headers, until it is told to end.
start any tcpdump -n -l -t -i any "udp port $udp"
any=$PID
start tshark tshark -n -i lo -c 2 -f "udp port $udp" -T fields -e udp.length
tshark=$PID
start dumpcap dumpcap -q -i lo -c 4 -f "tcp port $tcp" -w dumpcap.pcapng
dumpcap=$PID
for name in file live any; do until_true 20 listens "$name" 'listening\|tcpdump: listening'; done
until_true 20 grep -q 'Capture started\|Capturing on' tshark.log
until_true 20 test -s dumpcap.pcapng
sleep 0.5 # tshark and dumpcap say so before their rings are there
talk
tell
for pid in "$file" "$live" "$tshark" "$dumpcap"; do ends "$pid" 0; done
until_true 10 grep -q 'length 2000' any.log
stop "$any" 0 INT

same "$(grep -o 'UDP, length.*' live.log)" $'UDP, length 10\nUDP, length 2000' "what tcpdump printed"
grep -q '^4 packets captured' file.log || fail "not four packets"
grep -q '^0 packets dropped by kernel' file.log || fail "packets were lost"
grep -q 'lo *In *IP 127.0.0.1' any.log || fail "no packets of all interfaces"
same "$(grep -x '[0-9]*' tshark.log)" $'18\n2008' "what tshark printed"
for capture in file.pcap dumpcap.pcapng; do
    same "$(tshark -n -r $capture -T fields -E separator=' ' -e tcp.dstport -e tcp.len 2>/dev/null | sed "s/$tcp/there/; s/^[0-9]* /back /")" \
        $'there 0\nback 0\nthere 0\nthere 6' "$capture"
done
same "$(tcpdump -n -t -A -r file.pcap 2>/dev/null | grep -c hello)" 1 "the data in the file"
inner_done
