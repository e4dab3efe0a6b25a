#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""--leave-stopped: the tree stands still after a dump, or after a restore, until SIGCONT."""

import contextlib
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import alive, expect, read, run, tree_of, wait_for  # noqa: E402

PROGRAM = "(while :; do echo x >>child; sleep 0.02; done) & while :; do echo x >>parent; sleep 0.02; done"


def state(pid):
    return read(f"/proc/{pid}/stat").rpartition(")")[2].split()[0]


def size(t):
    return [len(read(t.path(n))) for n in ("parent", "child")]


def stands_still(t, pids):
    # A sleep may just have ended: a zombie is still enough.
    wait_for(f"all of {pids} stopped", lambda: all(state(p) in "TZ" for p in pids))
    before = size(t)
    time.sleep(0.2)
    expect(size(t) == before, "stopped, but the files grow")


def runs_on(t, pids):
    before = size(t)
    for pid in pids:
        # Of a sleep that had ended, its shell, which runs on already, may have heard by now.
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    wait_for("both files to grow", lambda: all(a > b for a, b in zip(size(t), before)))


def test(t):
    program = t.start("sh", "-c", PROGRAM)
    wait_for("both files", lambda: min(size(t)) > 3)
    images = t.path("images")
    os.mkdir(images)
    t.torpor.dump(images, program.pid, "--leave-stopped")
    pids = tree_of(program.pid)
    expect(alive(program.pid), "gone in spite of --leave-stopped")
    stands_still(t, pids)
    runs_on(t, pids)

    program.freeze()
    program.thaw("--leave-stopped")
    pids = tree_of(program.pid)
    stands_still(t, pids)
    runs_on(t, pids)


run(test)
