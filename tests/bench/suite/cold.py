# SPDX-License-Identifier: Apache-2.0
"""A restore from images that aren't in the page cache: is the disk busy from the first moment?

The yardstick is read() of the pages file, as cold. Both are as fast as the disk is.
"""

from kit import measure


def run(bench):
    mib = 128 if bench.quick else 1024
    row = bench.results.row("cold", f"{mib} MiB", "restore", mib=mib)
    row.yard_name = "read()"
    with bench.case(f"{mib} MiB from the disk", 2 * mib), bench.images(bench.disk) as images, \
            bench.program("memory", mib, 1, "4k") as program:
        final = bench.results.row("cold", f"{mib} MiB", "dump", mib=mib)
        pids = measure.final_dump(bench, program, final, images)
        for _ in range(bench.runs(2, 3)):
            images.forget_cache()
            row.yard.append(sum(map(bench.read_ms, images.pages())))
            images.forget_cache()
            row.wall.append(bench.torpor.run("restore", images, "-d"))
            bench.end(program, pids)
