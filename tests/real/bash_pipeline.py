#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A bash pipeline of six processes: every line arrives once, in order, through all its pipes."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import expect, need, read, run, wait_for  # noqa: E402

LINES = int(os.environ.get("TORPOR_PIPELINE_LINES", "300000"))
PROGRAM = r"""
trap 'echo "a signal that nobody sent" >&2; exit 1' USR1
declare -A seen
seq 1 "$1" |
	while read -r n; do
		[ -z "${seen[$n]}" ] || { echo "$n twice"; exit 1; }
		((n % 10)) || seen[$n]=1
		((n % 1000)) || echo "$n" >>progress
		echo "$n $((n * n % 7919))"
	done |
	awk '{ sum[$2 % 16] += $1; print $2, $1 } END { for (i = 0; i < 16; i++) printf "sum %d %.0f\n", i, sum[i] }' |
	tee copy.txt |
	sort -S 4M -k1,1 -k2,2n >sorted.txt
echo "${PIPESTATUS[@]}" >status.txt
"""


def expected():
    lines, sums = [], [0] * 16
    for n in range(1, LINES + 1):
        residue = n * n % 7919
        sums[residue % 16] += n
        lines.append(f"{residue} {n}")
    return lines + [f"sum {i} {s}" for i, s in enumerate(sums)]


def test(t):
    t.write("program.sh", PROGRAM)
    env = dict(os.environ, LC_ALL="C")
    program = t.start(need("bash"), "program.sh", LINES, env=env)
    wait_for("its first thousand lines", lambda: read(t.path("progress")))
    program.cycle(run_for=0.1)
    program.must_end()
    expect(read(t.path("status.txt")).split() == ["0"] * 5, "a part of the pipeline failed: "
           + read(t.path("status.txt")))
    lines = expected()
    expect(read(t.path("copy.txt")).splitlines() == lines, "tee's file isn't what was sent")
    got = read(t.path("sorted.txt")).splitlines()
    key = [(line.split()[0], int(line.split()[1])) for line in got]
    expect(sorted(got) == sorted(lines), "sort lost, doubled or changed lines")
    expect(key == sorted(key), "sort's output isn't sorted")


run(test)
