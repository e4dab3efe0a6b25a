# SPDX-License-Identifier: Apache-2.0
"""A tree of many small processes: goal a third of an existing engine's time."""


def run(bench):
    n = 100 if bench.quick else 1000
    with bench.case(f"tree of {n}", 2048):
        for row in bench.small("tree", f"tree of {n}", bench.runs(1, 3), "tree", n - 1, 1024):
            if row.yard:
                bench.results.goal(f"{row.command} of a tree of {n}: part of an existing engine's",
                                   row.wall.median / row.yard.median, 1 / 3)
