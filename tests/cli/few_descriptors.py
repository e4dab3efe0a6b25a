#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A tree of many tasks and a torpor that may open few files: the soft limit is no limit, and under a
low hard one it does less at a time."""

import os
import resource
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import PYTHON, expect, kill_tree, read, reap, run, wait_for  # noqa: E402

TASKS = 60
PROGRAM = f"""
import os, time
for _ in range({TASKS - 1}):
    if os.fork() == 0:
        break
memory = bytearray(os.urandom(200 << 10))
with open("ready", "a") as f:
    f.write("x")
time.sleep(1000)
"""


def test(t):
    program = t.start(PYTHON, "-c", PROGRAM)
    wait_for("the tree", lambda: len(read(t.path("ready"))) == TASKS)
    pids = program.pids()
    for name, soft, hard in (("soft", 64, 4096), ("hard", 2 * TASKS + 100, 2 * TASKS + 100)):
        os.mkdir(t.path(name))
        done = t.torpor.run(
            "dump", "-t", program.pid, "-D", t.path(name), *(["-R"] if name == "soft" else []),
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)))
        expect(done.returncode == 0, f"{name} limit: {done.stderr}")
    expect(not reap(pids), "still there after the dump")
    t.torpor.restore(t.path("hard"))
    expect(sorted(program.pids()) == sorted(pids), "not all are back")
    kill_tree(program.pid)


run(test)
