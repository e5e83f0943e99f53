# client.pl tcp|udp PORT, client.pl unix PATH: talks memcached's text protocol and checks every answer.
use strict;
use warnings;
use IO::Socket::INET;
use IO::Socket::UNIX;

my ($kind, $where) = @ARGV;

sub dial {
    return IO::Socket::UNIX->new(Peer => $where) // die "connect: $!\n" if $kind eq 'unix';
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $where, Proto => $kind) // die "connect: $!\n";
}

sub expect {
    my ($got, $wanted, $what) = @_;
    die "$what: got '" . substr($got // '(nothing)', 0, 60) . "', wanted '$wanted'\n" if ($got // '') ne $wanted;
}

if ($kind eq 'udp') {
    # Datagrams have a header of their own: request, number, count, reserved. Requests only read here.
    my $socket = dial();
    for my $id (1 .. 200) {
        $socket->send(pack('n4', $id, 0, 1, 0) . "version\r\n") or die "send: $!\n";
        my $answer;
        defined $socket->recv($answer, 2048) or die "recv: $!\n";
        my ($got, undef, undef, undef) = unpack 'n4', $answer;
        expect($got, $id, 'the request of an answer');
        die "answer: $answer\n" unless substr($answer, 8) =~ /^VERSION \d/;
    }
    exit;
}

# Eight clients at once, each with keys of its own and one that all of them count up.
my $clients = 8;
my $rounds = 300;
my $first = dial();
print $first "set counter 0 0 1\r\n0\r\n";
expect(scalar <$first>, "STORED\r\n", 'set');
my @pids;
for my $client (1 .. $clients) {
    my $pid = fork // die "fork: $!\n";
    if ($pid) { push @pids, $pid; next }
    my $socket = dial();
    my $big = join '', map { chr(32 + ($_ * $client) % 90) } 1 .. 100_000;
    for my $round (1 .. $rounds) {
        my $value = $round % 50 ? "value $client $round" : $big;
        my $size = length $value;
        print $socket "set key:$client:$round 7 0 $size\r\n$value\r\n";
        expect(scalar <$socket>, "STORED\r\n", 'set');
        print $socket "incr counter 1\r\nget key:$client:$round\r\n";
        scalar(<$socket>) =~ /^\d+\r\n$/ or die "incr\n";
        expect(scalar <$socket>, "VALUE key:$client:$round 7 $size\r\n", 'get');
        read($socket, my $got, $size) == $size or die "short value\n";
        expect($got, $value, 'the value');
        expect(scalar <$socket>, "\r\n", 'the end of the value');
        expect(scalar <$socket>, "END\r\n", 'the end');
    }
    exit 0;
}
for my $pid (@pids) {
    waitpid $pid, 0;
    die "a client ended with status $?\n" if $?;
}
print $first "get counter\r\n";
my $count = $clients * $rounds;
expect(scalar <$first>, 'VALUE counter 0 ' . length($count) . "\r\n", 'the counter');
expect(scalar <$first>, "$count\r\n", 'the counter');
