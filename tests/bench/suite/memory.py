# SPDX-License-Identifier: Apache-2.0
"""Dump and restore of one large process: how time grows with its memory, against plain kernel work.

Dumps leave the program running, so that it can say what it felt, and write() its memory in between:
command and yardstick take turns. Then it is dumped for good, and restored again and again.
"""

from kit import measure

SIZES = (64, 1024, 4096)
QUICK_SIZES = (64, 256)


def run(bench):
    for mib in QUICK_SIZES if bench.quick else SIZES:
        with bench.case(f"{mib} MiB", 3 * mib):
            one_size(bench, f"{mib} MiB", mib, "4k")
    mib = 256 if bench.quick else 1024
    with bench.case(f"{mib} MiB, huge pages", 3 * mib):
        one_size(bench, f"{mib} MiB, huge pages", mib, "huge")


def one_size(bench, case, mib, pages):
    def row(command):
        return bench.results.row("memory", case, command, mib=mib, pages=pages)

    runs = bench.runs(3, 9 if mib <= 64 else 5)
    with bench.program("memory", mib, 1, pages) as program, bench.images() as images:
        dump, final, restore = row("dump"), row("dump, ends it"), row("restore")
        measure.dump(bench, program, dump, runs)
        pids = measure.final_dump(bench, program, final, images)
        measure.restore(bench, program, restore, images, pids, runs)
    if mib >= 1024 and pages == "4k":
        bench.results.goal(f"dump of {case}: part of the speed of write()", dump.speed(), 0.9,
                           at_least=True)
        bench.results.goal(f"restore of {case}: part of the speed of UFFDIO_COPY",
                           restore.speed(), 0.8, at_least=True)
