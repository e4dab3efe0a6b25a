# SPDX-License-Identifier: Apache-2.0
"""A forked tree: a parent, and children that rewrote 2% of its memory each.

What there is to store are the tree's different page frames, counted from outside (pagemap); plain
images store what each process sees.
"""

from kit import measure
from kit.program import anonymous_frames, pss_mib


def run(bench):
    mib, children = (64, 4) if bench.quick else (256, 8)
    case = f"{mib} MiB, {children + 1} tasks"
    with bench.case(case, 4 * mib):
        one_tree(bench, case, mib, children, "shared", ())
    with bench.case(f"{case}, plain images", (children + 4) * mib):
        one_tree(bench, case, mib, children, "plain", ("--image-compat=criu",))


def one_tree(bench, case, mib, children, kind, options):
    dump, restore = (bench.results.row("cow", f"{case}, {kind}", command, mib=mib)
                     for command in ("dump", "restore"))
    with bench.program("cow", mib, children) as program, bench.images() as images:
        pids = program.pids()
        unique = anonymous_frames(pids) / 256
        before = pss_mib(pids)
        measure_dumps(bench, program, dump, unique / mib, options)
        measure.final_dump(bench, program, dump, images, *options)
        restore.wall.append(bench.torpor.run("restore", images, "-d"))
        after = pss_mib(program.pids())
        bench.end(program, pids)
        measure.restore(bench, program, restore, images, pids, bench.runs(2, 5))
    dump.more.update(unique_mib=unique, kind=kind, of_all_mib=mib * (children + 1))
    restore.more.update(pss_before_mib=before, pss_after_mib=after)
    if kind == "shared":
        bench.results.goal("image of a forked tree: part of its different pages",
                           dump.image / unique, 1.02)
    bench.results.goal(f"memory (PSS) of a restored forked tree, {kind}: part of the original's",
                       after / before, 1.02)


def measure_dumps(bench, program, row, scale, options):
    """The parent can write() its own memory only: scaled to all that there is to write."""
    options = ("-t", program.pid, "--leave-running", *options)
    row.yard_name = "write(), scaled"
    with bench.images() as images:
        measure.extra_memory(bench, row, "dump", images, *options, pids=program.pids())
        row.image = images.mib()
    for _ in range(bench.runs(2, 5)):
        row.yard.append(program.write_ms() * scale)
        with bench.images() as images:
            row.wall.append(bench.torpor.run("dump", images, *options))
            row.pause.append(images.stats()["frozen"])
