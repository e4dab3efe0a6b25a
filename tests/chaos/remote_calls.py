#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A tracer that enters a busy program, makes calls in it and leaves again is killed at random moments
(remote_crash.c): the program goes on as if nothing had happened, also where nobody runs on its main
stack (-b), where it catches what ends batches (-c), has a filter (-f), or is stopped (-t); and a
tracer whose program is killed notices (-k). TORPOR_KILLS: chaos.py."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from chaos import KILLS, SEED  # noqa: E402
from freeze import expect, find_torpor, run  # noqa: E402

PROGRAM = os.path.join(os.path.dirname(find_torpor()), "tests", "chaos", "remote_crash")
MODES = ([], ["-b"], ["-c"], ["-t"], ["-k"])


def test(t):
    for mode in MODES:
        done = subprocess.run([PROGRAM, "-n", str(2 * KILLS), "-s", str(SEED), *mode], cwd=t.path(),
                              capture_output=True, text=True, check=False)
        print(" ".join(mode), done.stdout)
        expect(done.returncode == 0, f"{mode}: {done.stdout}{done.stderr}")


run(test)
