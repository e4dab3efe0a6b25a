# SPDX-License-Identifier: Apache-2.0
"""Dump and restore of several processes with 64 MiB each: how time grows with their number.

The yardsticks: all of them write() at the same time; UFFDIO_COPY of one after the other.
"""

from kit import measure

MIB = 64


def run(bench):
    for n in (1, 4) if bench.quick else (1, 2, 4, 8, 16):
        with bench.case(f"{n} x {MIB} MiB", 3 * n * MIB):
            with bench.program("memory", MIB, n, "4k") as program, bench.images() as images:
                dump, restore = (bench.results.row("tasks", f"{n} x {MIB} MiB", command, tasks=n)
                                 for command in ("dump", "restore"))
                runs = bench.runs(3, 5)
                measure.dump(bench, program, dump, runs)
                final = bench.results.row("tasks", f"{n} x {MIB} MiB", "dump, ends it", tasks=n)
                pids = measure.final_dump(bench, program, final, images)
                measure.restore(bench, program, restore, images, pids, runs)
