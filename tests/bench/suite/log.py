# SPDX-License-Identifier: Apache-2.0
"""What the log costs at -v4: of a tree's dump without a log, and for each line; goal 3%."""

import os
import resource
import statistics
import subprocess

LOGS = {"text": ("-v4", "--log-format=text"), "binary": ("-v4", "--log-format=auto")}


def cpu_of_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def of_pairs(times, none):
    return statistics.median(one / without for one, without in zip(times, none))


def dumps(bench, n):
    """In turns: no log, text, binary. A time in milliseconds, and what the CPUs did for it."""
    rows = {name: bench.results.row("log", f"tree of {n}", f"dump, {name} log") for name in LOGS}
    cpu = {name: [] for name in ("none", *LOGS)}
    none = []

    def one(name, times, *options):
        with bench.images() as images:
            before = cpu_of_children()
            times.append(bench.torpor.run("dump", images, "-t", program.pid, "--leave-running",
                                          *options))
            cpu[name].append(cpu_of_children() - before)
            return images.mib()

    with bench.program("tree", n - 1, 1024) as program:
        one("none", [], "-v0")  # warms up
        cpu["none"].clear()
        for _ in range(bench.runs(3, 15)):
            one("none", none, "-v0")
            for name, options in LOGS.items():
                rows[name].image = one(name, rows[name].wall, *options)
    for name, row in rows.items():
        row.yard_name = "without a log"
        row.yard.extend(none)
        row.more.update(cpu_s=sorted(cpu[name]), cpu_none_s=sorted(cpu["none"]))
    # The machine's other work disturbs a few percent of wall clock time, CPU time less.
    best = {name: min(times) for name, times in cpu.items()}
    bench.results.goal(f"binary log at -v4: CPU time of a dump of {n}, by one without a log",
                       best["binary"] / best["none"], 1.03)
    bench.results.note(f"dump of {n}, CPU seconds at best: " + ", ".join(
        f"{name} {seconds:.2f}" for name, seconds in best.items()))
    for name, row in rows.items():
        bench.results.note(f"{name}, by the dump without a log before it (medians): wall "
                           f"{of_pairs(row.wall, none):.3f}, CPU {of_pairs(cpu[name], cpu['none']):.3f}")


def calls(bench):
    """Of a million calls "wall ms" is nanoseconds for each."""
    path = os.path.join(bench.dir, "calls.log")
    n = bench.runs(100000, 1000000)
    for how in ("off", "text", "binary"):
        row = bench.results.row("log", f"a line, {how}", "1000000 calls")
        warm = []
        for _ in range(bench.runs(3, 5)):
            out = subprocess.run([os.path.join(bench.helpers, "log_calls"), how, path, str(n)],
                                 check=True, capture_output=True, text=True).stdout.split()
            os.unlink(path)
            row.wall.append(float(out[0]))
            warm.append(float(out[1]))
        row.more["warm_ns"] = min(warm)
        bench.results.note(f"a debug line, {how}: {row.wall.median:.1f} ns, at best {min(row.wall):.1f}; "
                           f"without new pages {min(warm):.1f}")


def run(bench):
    calls(bench)
    n = 100 if bench.quick else 1000
    with bench.case(f"log, tree of {n}", 2048):
        dumps(bench, n)
