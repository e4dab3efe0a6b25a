# SPDX-License-Identifier: Apache-2.0
"""Dump and restore of one large process: how time grows with its memory, against plain kernel work.

Dumps leave the program running, so that it can say what it felt, and write() its memory in between:
command and yardstick take turns. Then it is dumped for good, and restored again and again.
"""

from freeze import reap

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
    runs = bench.runs(3, 9 if mib <= 64 else 5)
    with bench.program("memory", mib, 1, pages) as program, bench.images() as images:
        dump = bench.results.row("memory", case, "dump", mib=mib, pages=pages)
        measure_dump(bench, program, dump, runs)
        pids = program.pids()
        final = bench.results.row("memory", case, "dump, ends it", mib=mib, pages=pages)
        final.wall.append(bench.torpor.run("dump", images, "-t", program.pid))
        final.pause.append(images.stats()["frozen"])
        program.reaped(pids)
        restore = bench.results.row("memory", case, "restore", mib=mib, pages=pages)
        measure_restore(bench, program, restore, images, pids, runs)
    if mib >= 1024 and pages == "4k":
        bench.results.goal(f"dump of {case}, as part of the speed of write()", dump.speed(), 0.9,
                           at_least=True)
        bench.results.goal(f"restore of {case}, as part of the speed of UFFDIO_COPY",
                           restore.speed(), 0.8, at_least=True)
    for row in (dump, restore):
        bench.results.goal(f"extra memory, {row.command} of {case}", row.extra, 16, "MiB")


def measure_dump(bench, program, row, runs):
    row.yard_name = "write()"
    options = ("-t", program.pid, "--leave-running")
    with bench.images() as images:
        peaks = bench.torpor.run_metered("dump", images, *options)
        row.extra, row.more["memory"] = peaks["total"], peaks
        row.image = images.mib()
    row.more["frozen"] = []
    for _ in range(runs):
        row.yard.append(program.write_ms())
        row.noise.append(program.quiet(0.3).worst)
        with bench.images() as images:
            with program.window() as pause:
                row.wall.append(bench.torpor.run("dump", images, *options))
            row.pause.append(pause.worst)
            row.more["frozen"].append(images.stats()["frozen"])


def measure_restore(bench, program, row, images, pids, runs, options=("-d",)):
    """The images are in the page cache."""
    threads = 2
    row.yard_name = "UFFDIO_COPY"
    row.more["uffd_2_threads"] = []
    peaks = bench.torpor.run_metered("restore", images, *options)
    row.extra, row.more["memory"] = peaks["total"], peaks
    bench.end(program, pids)
    for _ in range(runs):
        row.yard.append(bench.uffd_ms(images.pages()))
        row.more["uffd_2_threads"].append(bench.uffd_ms(images.pages(), threads))
        row.wall.append(bench.torpor.run("restore", images, *options))
        bench.end(program, pids)
        reap(pids)
