# SPDX-License-Identifier: Apache-2.0
"""Large reservations with little in them, as Go, Java and ASan make: size should cost nothing.

The yardstick is the same memory in a reservation of 1 GiB.
"""

from kit import measure

MIB = 16
GIB = (1, 64, 1024)


def run(bench):
    smallest = {}
    for gib in GIB:
        with bench.case(f"{MIB} MiB in {gib} GiB", 256):
            one_reservation(bench, gib, smallest)


def one_reservation(bench, gib, smallest):
    rows = {command: bench.results.row("sparse", f"{MIB} MiB in {gib} GiB", command, gib=gib)
            for command in ("pre-dump", "dump", "restore")}
    with bench.program("sparse", gib, MIB) as program, bench.images() as images:
        for _ in range(bench.runs(2, 5)):
            with bench.images() as some:
                rows["pre-dump"].wall.append(
                    bench.torpor.run("pre-dump", some, "-t", program.pid, "--track-mem"))
        with bench.images() as some:
            measure.extra_memory(bench, rows["pre-dump"], "pre-dump", some, "-t", program.pid,
                                 "--track-mem", pids=program.pids())
        for _ in range(bench.runs(2, 5)):
            with bench.images() as some:
                rows["dump"].wall.append(
                    bench.torpor.run("dump", some, "-t", program.pid, "--leave-running"))
        pids = measure.final_dump(bench, program, rows["dump"], images)
        for _ in range(bench.runs(2, 5)):
            rows["restore"].wall.append(bench.torpor.run("restore", images, "-d"))
            bench.end(program, pids)
    for command, row in rows.items():
        if gib > min(GIB) and command in smallest:
            row.yard_name, row.yard = f"in {min(GIB)} GiB", smallest[command]
        smallest.setdefault(command, row.wall)
