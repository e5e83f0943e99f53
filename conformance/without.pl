#!/usr/bin/perl
# without.pl NUMBER[,NUMBER...] COMMAND...: the command where the system calls with these numbers (x86_64) are refused with EPERM, as
# the profile of a container does it.
use strict;
use warnings;

my ($numbers, @command) = @ARGV;
my @calls = split /,/, $numbers;
# struct sock_filter: load the number (the first word of struct seccomp_data), compare it with each, allow, refuse.
my @program = ([0x20, 0, 0, 0]);
push @program, [0x15, @calls - $_, 0, $calls[$_]] for 0 .. $#calls;
push @program, [0x06, 0, 0, 0x7fff0000], [0x06, 0, 0, 0x00050001];
my $filter = join '', map { pack 'SCCL', @$_ } @program;
my $fprog = pack 'Sx6P', scalar @program, $filter;
# prctl(PR_SET_NO_NEW_PRIVS, 1), seccomp(SECCOMP_SET_MODE_FILTER, 0, filter)
syscall(157, 38, 1, 0, 0, 0) == 0 or die "without: prctl: $!\n";
syscall(317, 1, 0, $fprog) == 0 or die "without: seccomp: $!\n";
exec { $command[0] } @command or die "without: $command[0]: $!\n";
