# SPDX-License-Identifier: Apache-2.0
"""The start of the program itself: goal 3 ms."""

from kit.command import run_timed


def run(bench):
    row = bench.results.row("start", "torpor --version", "run")
    row.yard_name = "/bin/true"
    for _ in range(31):
        row.wall.append(run_timed([bench.torpor.binary, "--version"], bench.dir))
        row.yard.append(run_timed(["/bin/true"], bench.dir))
    bench.results.goal("start of the program", row.wall.median, 3, "ms")
