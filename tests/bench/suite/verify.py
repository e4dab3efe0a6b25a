# SPDX-License-Identifier: Apache-2.0
"""What verifying the checksums costs a restore: with and without, taking turns."""

from kit import measure


def run(bench):
    mib = 256 if bench.quick else 1024
    row = bench.results.row("verify", f"{mib} MiB", "restore", mib=mib)
    row.yard_name = "with --no-verify"
    with bench.case(f"{mib} MiB", 2 * mib), bench.images() as images, \
            bench.program("memory", mib, 1, "4k") as program:
        pids = measure.final_dump(bench, program,
                                  bench.results.row("verify", f"{mib} MiB", "dump", mib=mib), images)
        for _ in range(bench.runs(3, 7)):
            for series, options in ((row.yard, ("--no-verify",)), (row.wall, ())):
                series.append(bench.torpor.run("restore", images, "-d", *options))
                bench.end(program, pids)
