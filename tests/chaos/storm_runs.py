#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Ten pre-dumps under a load of random writes and all that gets in the way of a reader, then a
dump, a restore, and every byte right: one task, five threads, sixteen tasks, by turns.

  TORPOR_STORM_RUNS=N    how many (default 3; 200 for a release)
"""

import json
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import ROOT, Skip, expect, run  # noqa: E402

RUNS = int(os.environ.get("TORPOR_STORM_RUNS", "3"))
STEPS = 10
PROGRAMS = ("memory-storm", "memory-storm_threads", "memory-storm_tasks")
DRIVER = os.path.join(ROOT, "tests", "lib", "drive.py")


def one(t, number, program):
    """Empty, or what went wrong."""
    directory = t.path(f"run-{number}")
    os.mkdir(directory)
    spec = {"dir": directory, "torpor": t.torpor.binary, "program": program, "steps": STEPS,
            "rounds": 1, "flavour": "host", "mode": "pre-dump", "refused": None, "go_signal": 0,
            "limit": 120, "dump_options": [], "restore_options": [], "changes": ["all", "files"]}
    path = os.path.join(directory, "spec.json")
    with open(path, "w") as f:
        json.dump(spec, f)
    subprocess.run([sys.executable, DRIVER, path], cwd=directory, check=False)
    with open(os.path.join(directory, "result.json")) as f:
        result = json.load(f)
    if result["verdict"] == "passed":
        shutil.rmtree(directory)
        return ""
    return f"run {number}, {os.path.basename(program)}: {result['text']}"


def test(t):
    behaviour = os.path.join(os.path.dirname(t.torpor.binary), "tests", "behaviour")
    programs = [os.path.join(behaviour, name) for name in PROGRAMS]
    if not all(os.access(program, os.X_OK) for program in programs):
        raise Skip("the storm isn't built")
    begin, failures = time.monotonic(), []
    for number in range(RUNS):
        failure = one(t, number, programs[number % len(programs)])
        if failure:
            failures.append(failure)
            print(failure, flush=True)
    print(f"{RUNS} runs of {STEPS} pre-dumps, a dump and a restore in "
          f"{time.monotonic() - begin:.0f} s, {len(failures)} of them wrong")
    expect(not failures, "\n".join(failures))


run(test)
