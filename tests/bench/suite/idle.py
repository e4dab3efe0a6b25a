# SPDX-License-Identifier: Apache-2.0
"""A process with next to no memory: the fixed costs."""

from kit.context import PUBLISHED


def run(bench):
    dump, _ = bench.small("idle", "idle", bench.runs(5, 21), "idle")
    for what, value in (("dump", dump.wall.median), ("pause", dump.pause.median)):
        bench.results.goal(f"{what} of an idle task: part of an existing engine's",
                           value / PUBLISHED[f"idle {what}"], 0.2)
