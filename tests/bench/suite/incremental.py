# SPDX-License-Identifier: Apache-2.0
"""Dumps on top of others: how time and image grow with what was written since.

The yardstick is a full dump of the same program in the same run. Each dump is the parent of the
next; between two of them exactly the given share of the pages is rewritten.
"""

from kit import measure

SHARES = (0.001, 0.01, 0.1, 1)


def run(bench):
    for mib in (256,) if bench.quick else (1024, 4096):
        with bench.case(f"{mib} MiB", 4 * mib):
            one_size(bench, mib)


def one_size(bench, mib):
    full = bench.results.row("incremental", f"{mib} MiB", "full dump", mib=mib)
    with bench.program("memory", mib, 1, "4k") as program, measure.Chain(bench) as chain:
        measure.dump(bench, program, full, bench.runs(2, 3))
        images, options = chain.next()
        bench.torpor.run("pre-dump", images, "-t", program.pid, *options)
        for share in SHARES:
            one_share(bench, program, chain, full, mib, share)


def make_room(bench, program, chain):
    """With all pages written there is a second copy of everything: a third would be too much."""
    chain.start_over()
    images, options = chain.next()
    bench.torpor.run("pre-dump", images, "-t", program.pid, *options)


def one_share(bench, program, chain, full, mib, share):
    case = f"{mib} MiB, {share * 100:g}% written"
    dump, pre_dump = (bench.results.row("incremental", case, command, mib=mib, share=share)
                      for command in ("dump", "pre-dump"))
    for row, verb, more in ((pre_dump, "pre-dump", ()), (dump, "dump", ("--leave-running",))):
        row.yard_name, row.yard = "full dump", full.wall
        row.more["pages"], row.more["touched"] = [], []
        if share == 1:
            make_room(bench, program, chain)
        for _ in range(1 if share == 1 else bench.runs(2, 3)):
            row.more["touched"].append(program.touch(share))
            images, options = chain.next()
            with program.window() as pause:
                row.wall.append(bench.torpor.run(verb, images, "-t", program.pid, *more, *options))
            row.pause.append(pause.worst)
            row.more["pages"].append(images.stats()["pages"])
        row.image = images.mib()
    if share == 0.01 and mib >= 4096:
        bench.results.goal(f"dump of {mib} MiB with 1% written: part of a full dump's time",
                           dump.wall.median / full.wall.median, 0.05)
