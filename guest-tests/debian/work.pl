# SPDX-License-Identifier: GPL-2.0
# Work for a perl of any kind of processor: the host's and the guest's must print the same.
use strict;
use warnings;
no warnings 'portable';

$| = 1;

# Strings and hashes.
my %count;
open my $words, '<', $ARGV[0] or die "$ARGV[0]: $!\n";
while (<$words>) {
    $count{$1}++ while /([a-f]{2})/g;
}
print join(' ', map { "$_=$count{$_}" } sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count), "\n";

# Integers of 64 bits, which a 32-bit processor does in halves.
my $state = 0x9e3779b97f4a7c15;
for (1 .. 1000) {
    $state ^= ($state << 13) & 0xffffffffffffffff;
    $state ^= $state >> 7;
    $state ^= ($state << 17) & 0xffffffffffffffff;
}
printf "%x %d %d\n", $state, $state % 1000003, ($state >> 1) / 7;

# Floating point: x87 here, SSE there; twelve digits are the same.
my $sum = 0;
$sum += sin($_) * exp(-$_ / 100) / sqrt($_ + 1) for 0 .. 500;
printf "%.12f %.12f %s\n", $sum, atan2(1, 1) * 4, join ' ', map { int(2.5 * $_) } -3 .. 3;

# A process, a pipe and a signal while a system call waits.
pipe my $reader, my $writer or die "pipe: $!\n";
my $child = fork // die "fork: $!\n";
if (!$child) {
    print $writer "from the child\n";
    close $writer;
    exit 7;
}
close $writer;
print scalar <$reader>;
waitpid $child, 0;
print 'status ', $? >> 8, "\n";
my $rang = 0;
local $SIG{ALRM} = sub { $rang++ };
alarm 1;
my $left = select undef, undef, undef, 30;
print "alarms $rang, interrupted ", ($left == -1 ? 'yes' : 'no'), "\n";

# Code made at run time.
my $fibonacci = eval 'my $f; $f = sub { my $n = shift; $n < 2 ? $n : $f->($n - 1) + $f->($n - 2) }; $f';
print $fibonacci->(18), "\n";
