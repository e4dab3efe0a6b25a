# SPDX-License-Identifier: Apache-2.0
"""A process with many threads: how costs grow with them."""


def run(bench):
    for n in (100, 500) if bench.quick else (1000, 5000):
        with bench.case(f"{n} threads"):
            bench.small("threads", f"{n} threads", bench.runs(1, 3), "threads", n)
