#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""perl: forked workers, pipes, an interval timer's handler, sleeping in select and big hashes."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import expect, need, read, run, wait_for  # noqa: E402

PROGRAM = r"""
use strict; use warnings;
use Time::HiRes qw(setitimer ITIMER_REAL);
use Digest::SHA qw(sha1_hex);

my $ticks = 0;
$SIG{ALRM} = sub { $ticks++ };
setitimer(ITIMER_REAL, 0.01, 0.01);

my (%pipe, @kids);
for my $me (0 .. 2) {
	pipe(my $r, my $w) or die;
	my $pid = fork // die;
	if (!$pid) {
		close $r;
		$w->autoflush(1);
		for (my $n = 0; !-e "stop"; $n++) {
			print $w "$n ", sha1_hex("$me/$n"), "\n" or die;
		}
		print $w "end\n";
		exit 40 + $me;
	}
	close $w;
	$pipe{$me} = $r;
	push @kids, $pid;
}
my (%seen, $lines);
open(my $progress, ">", "progress") or die;
$progress->autoflush(1);
my %next = map { $_ => 0 } keys %pipe;
while (%pipe) {
	for my $me (sort keys %pipe) {
		my $line = readline($pipe{$me}) // die "pipe $me ended: $!";
		chomp $line;
		if ($line eq "end") { delete $pipe{$me}; next; }
		my ($n, $sha) = split / /, $line;
		die "worker $me: $n after $next{$me}" if $n != $next{$me}++;
		die "worker $me: wrong sum for $n" if $sha ne sha1_hex("$me/$n");
		$seen{$n % 5000}{$me} = $sha;
		print $progress "$lines\n" if ++$lines % 1000 == 0;
	}
	select(undef, undef, undef, 0.001) if ($lines // 0) % 300 == 0;
}
for my $me (0 .. 2) {
	my $got;
	do { $got = waitpid($kids[$me], 0) } while ($got < 0 && $!{EINTR});
	die "worker $me: status $?" if $? >> 8 != 40 + $me;
}
for my $n (keys %seen) { for (keys %{$seen{$n}}) { die if length $seen{$n}{$_} != 40 } }
my $t = $ticks;
select(undef, undef, undef, 0.05) for 1 .. 10;
die "the timer has died" if $ticks < $t + 3;
setitimer(ITIMER_REAL, 0, 0); # perl takes its handlers back before it ends
print "correct\n";
"""


def test(t):
    t.write("program.pl", PROGRAM)
    program = t.start(need("perl"), "program.pl")
    wait_for("its first thousand lines", lambda: read(t.path("progress")))
    program.cycle()
    n = len(read(t.path("progress")))
    wait_for("progress after the last wake", lambda: len(read(t.path("progress"))) > n)
    t.write("stop", "")
    program.must_end()
    expect("correct" in read(program.output), "it ended without its last word")


run(test)
