# SPDX-License-Identifier: Apache-2.0
"""Pre-dumps of a program that goes on writing: the first one, later ones, and the pause it feels.

The yardstick is process_vm_readv of the same memory by a process that does nothing else; "noise" is
what the program feels while that runs, which doesn't stop it, but takes a CPU now and then, as torpor
does. "stop" is what it feels of a pre-dump if its threads needn't wait for a CPU.
"""

import statistics

from kit import measure

PAGES_PER_SECOND = 10000


def run(bench):
    for mib in (64, 256) if bench.quick else (64, 1024, 4096):
        with bench.case(f"{mib} MiB", 3 * mib):
            one_size(bench, mib)


def one_size(bench, mib):
    def row(command):
        return bench.results.row("pre_dump", f"{mib} MiB", command, mib=mib)

    first, later, final = row("first pre-dump"), row("later pre-dump"), row("dump after them")
    restore = row("restore of it")
    with bench.program("memory", mib, 1, "4k") as program, measure.Chain(bench) as chain:
        program.rate(PAGES_PER_SECOND)
        first.more["quiet"] = program.quiet(1).worst
        measure_first(bench, program, first)
        measure_later(bench, program, chain, later)
        images, options = chain.next()
        pids = measure.final_dump(bench, program, final, images, *options)
        final.image = images.mib()
        restore.wall.append(bench.torpor.run("restore", images, "-d"))
        bench.end(program, pids)
    if mib >= 1024 or bench.quick:
        for which, row, limit in (("the first pre-dump", first, 2), ("later pre-dumps", later, 1)):
            bench.results.goal(f"pause felt at {which} of {mib} MiB", row.pause.median, limit, "ms")
            noise = statistics.median(row.more["stop_noise"])
            bench.results.goal(f"stop at {which} of {mib} MiB (else: {noise:.2f})", row.stop.median,
                               limit, "ms")


def yardstick(bench, program, row):
    row.yard_name = "process_vm_readv"
    took, noise = bench.readv_ms(program)
    row.yard.append(took)
    row.noise.append(noise.worst)


def stop_of(bench, program, row, images, options):
    """And what there is with nobody around: the kernel's own work, and that of the machine below."""
    with program.real_time():
        row.more.setdefault("stop_noise", []).append(program.quiet(0.2).worst)
        with program.window() as pause:
            bench.torpor.run("pre-dump", images, "-t", program.pid, *options)
    row.stop.append(pause.worst)


def pre_dump(bench, program, row, images, options):
    with program.window() as pause:
        row.wall.append(bench.torpor.run("pre-dump", images, "-t", program.pid, *options))
    row.pause.append(pause.worst)
    stats = images.stats()
    for name, value in (("main", pause.main), ("other_thread", pause.thread),
                        ("long_gaps", pause.long_gaps), ("freezing", stats["freezing"]),
                        ("frozen", stats["frozen"]), ("pages", stats["pages"])):
        row.more.setdefault(name, []).append(value)


def measure_first(bench, program, row):
    with measure.Chain(bench) as chain:
        images, options = chain.next()
        measure.extra_memory(bench, row, "pre-dump", images, "-t", program.pid, *options,
                             pids=program.pids())
        row.image = images.mib()
    for _ in range(bench.runs(3, 5 if row.keys["mib"] < 4096 else 3)):
        yardstick(bench, program, row)
        for measure_one in (pre_dump, stop_of):
            measure.forget_trackers(program)
            with measure.Chain(bench) as chain:
                images, options = chain.next()
                measure_one(bench, program, row, images, options)
    measure.forget_trackers(program)


def measure_later(bench, program, chain, row):
    images, options = chain.next()
    bench.torpor.run("pre-dump", images, "-t", program.pid, *options)
    images, options = chain.next()
    measure.extra_memory(bench, row, "pre-dump", images, "-t", program.pid, *options,
                         pids=program.pids())
    for _ in range(bench.runs(5, 10 if row.keys["mib"] < 4096 else 5)):
        yardstick(bench, program, row)
        for measure_one in (stop_of, pre_dump):
            images, options = chain.next()
            measure_one(bench, program, row, images, options)
    row.image = images.mib()
