#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""make bench measures what it says: small cases, the tables, the goals, and the plots' data."""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import PYTHON, ROOT, Skip, expect, run  # noqa: E402


def row_of(rows, bench, command):
    found = [r for r in rows if r["bench"] == bench and r["command"] == command]
    expect(found, f"no row for {bench}: {command}")
    return found[0]


def check(rows):
    tree = row_of(rows, "cow", "dump")
    unique = tree["more"]["unique_mib"]
    # A parent of 64 MiB, 4 children that rewrote 2% each, and the programs' own data.
    expect(69 < unique < 74, f"a forked tree has {unique} MiB of different pages")
    expect(tree["image_mib"] < 2 * unique, f"its image has {tree['image_mib']} MiB")
    restore = row_of(rows, "cow", "restore")["more"]
    expect(restore["pss_after_mib"] < 1.1 * restore["pss_before_mib"],
           f"memory after the restore: {restore}")
    pre_dump = row_of(rows, "pre_dump", "later pre-dump")
    expect(0.05 < pre_dump["stop"]["median"] < 1000, f"the threads don't tick: {pre_dump['stop']}")
    expect(0.3 < pre_dump["extra_mib"] < 16, f"extra memory: {pre_dump['extra_mib']}")
    for r in rows:
        expect("wall" not in r or r["wall"]["min"] > 0, f"no time was measured: {r}")


def benchmarks(test):
    helpers = os.path.join(os.path.dirname(test.torpor.binary), "tests", "bench")
    if not os.path.exists(os.path.join(helpers, "target")):
        raise Skip("the benchmarks' programs aren't built beside torpor")
    out = test.path("out")
    done = subprocess.run([PYTHON, os.path.join(ROOT, "tests", "bench", "run"), "--quick",
                           "--only", "start_up", "--only", "pre_dump", "--only", "cow",
                           "--dir", test.dir, "--out", out, test.torpor.binary],
                          capture_output=True, text=True)
    expect(done.returncode == 0, done.stdout + done.stderr)
    expect("goals met" in done.stdout, f"no verdict on goals:\n{done.stdout}")
    with open(os.path.join(out, "results.json")) as f:
        check(json.load(f)["rows"])


run(benchmarks)
