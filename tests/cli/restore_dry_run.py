#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""restore --dry-run prints the plan, says whether it would work, and creates nothing."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import expect, read, run, tree_of, wait_for  # noqa: E402


def test(t):
    t.write("input", "some words")
    program = t.start("sh", "-c", "exec 7<input; sleep 1000 & sleep 1001 & wait")
    wait_for("three processes", lambda: len(program.pids()) == 3)
    pids = program.pids()
    program.freeze()
    before, images = tree_of(os.getpid()), sorted(os.listdir(program.images))
    mounts = read("/proc/self/mountinfo")
    done = t.torpor.run("restore", "--dry-run", "-D", program.images)
    expect(done.returncode == 0, f"exit status {done.returncode}: {done.stderr}")
    for pid in pids:
        expect(str(pid) in done.stdout, f"the plan doesn't have pid {pid}: {done.stdout}")
    expect(t.path("input") in done.stdout, f"the plan doesn't have the open file: {done.stdout}")
    expect("sleep" in done.stdout, f"the plan doesn't say who is who: {done.stdout}")
    expect(tree_of(os.getpid()) == before, "processes were made")
    expect(read("/proc/self/mountinfo") == mounts, "mounts were made")
    expect(sorted(os.listdir(program.images)) == images, "the images directory was changed")
    program.thaw()
    expect(program.pids() == pids, "other pids than before")


run(test)
