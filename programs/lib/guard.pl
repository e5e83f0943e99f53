#!/usr/bin/perl
# guard.pl LIMIT COMMAND...: run COMMAND for at most LIMIT seconds, and see that it leaves no process behind.
#
# The guard is a child subreaper, so that everything started below it, daemons with their double fork too, stays its
# descendant. Exit status: the command's (128 + n for a signal); 124 when the time was up; 98 when the command had
# ended well but processes of it were still there two seconds later.
use strict;
use warnings;
use POSIX qw(:sys_wait_h);

my $GRACE = 2;
my ($limit, @command) = @ARGV;

# prctl(PR_SET_CHILD_SUBREAPER, 1): call 157 on x86_64, which the tests need anyway (int 0x80, i386 packages).
syscall(157, 36, 1, 0, 0, 0) == 0 or die "guard: prctl(PR_SET_CHILD_SUBREAPER): $!\n";

my $main = fork() // die "guard: fork: $!\n";
if (!$main) {
    # A shell starts its background jobs with these ignored, which programs then inherit.
    $SIG{$_} = 'DEFAULT' for qw(INT QUIT);
    exec { $command[0] } @command or print STDERR "guard: $command[0]: $!\n";
    POSIX::_exit(127);
}

my $asked_to_end = 0;
$SIG{$_} = sub { $asked_to_end = 1 } for qw(INT TERM HUP);

my $status;
my $from = time;
my $ended_at;
while (1) {
    my $pid = waitpid(-1, WNOHANG);
    if ($pid == -1) { last }
    if ($pid == $main) { $status = $?; $ended_at = time; next }
    next if $pid > 0;
    if (!defined $status && (time - $from >= $limit || $asked_to_end)) {
        print STDERR $asked_to_end ? "guard: asked to end\n" : "guard: time is up after $limit s; still running:\n";
        end_all();
        exit($asked_to_end ? 143 : 124);
    }
    if (defined $status && (time - $ended_at > $GRACE || $asked_to_end)) {
        print STDERR "guard: left behind:\n";
        end_all();
        exit(code($status) || 98);
    }
    select(undef, undef, undef, 0.01);
}
exit code($status);

sub code {
    my ($status) = @_;
    return $status & 127 ? 128 + ($status & 127) : $status >> 8;
}

# Children come to be while we look, so look until none is left.
sub end_all {
    my $first = 1;
    while (1) {
        my @all = descendants();
        if ($first) { describe($_) for @all }
        $first = 0;
        kill 'KILL', @all if @all;
        my $pid;
        do { $pid = waitpid(-1, WNOHANG) } while ($pid > 0);
        return if $pid == -1;
        select(undef, undef, undef, 0.01);
    }
}

sub descendants {
    my %children;
    for my $dir (glob '/proc/[0-9]*') {
        open my $stat, '<', "$dir/stat" or next;
        my $line = <$stat> // next;
        my ($pid) = $line =~ /^(\d+)/;
        my ($parent) = $line =~ /.*\) \S (\d+)/;
        push @{ $children{$parent} }, $pid;
    }
    my @queue = ($$);
    my @found;
    while (defined(my $next = shift @queue)) {
        my @below = @{ $children{$next} // [] };
        push @found, @below;
        push @queue, @below;
    }
    return @found;
}

sub describe {
    my ($pid) = @_;
    my $line = join ' ', map { s/\0+/ /gr } slurp("/proc/$pid/cmdline");
    my ($state) = join('', slurp("/proc/$pid/stat")) =~ /.*\) (\S)/;
    my $wchan = join '', slurp("/proc/$pid/wchan");
    my ($call) = split / /, join('', slurp("/proc/$pid/syscall"));
    printf STDERR "  %d %s call %s (%s) %s\n", $pid, $state // '?', $call // '?', $wchan || '?', substr($line, 0, 160);
}

sub slurp {
    my ($path) = @_;
    open my $file, '<', $path or return ();
    local $/;
    my $text = eval { <$file> } // '';
    chomp $text;
    return ($text);
}
