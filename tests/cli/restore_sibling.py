#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""--restore-sibling makes the root our child; without -d torpor waits for the tree to end."""

import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import Failure, alive, expect, read, run, wait_for  # noqa: E402

PARENT = """
import os, subprocess, sys
done = subprocess.run(sys.argv[2:])
assert done.returncode == 0, done.returncode
pid = int(sys.argv[1])
with open(f"/proc/{pid}/stat") as f:
    parent = int(f.read().rpartition(")")[2].split()[1])
assert parent == os.getpid(), f"the parent is {parent}, not {os.getpid()}"
os.kill(pid, 15)
assert os.waitpid(pid, 0)[1] == 15
"""


def parent_of(pid):
    return int(read(f"/proc/{pid}/stat").rpartition(")")[2].split()[1])


def test(t):
    program = t.start("sleep", "1000")
    program.freeze()
    # A parent of its own, which isn't a reaper of orphans as we are.
    subprocess.run([sys.executable, "-c", PARENT, str(program.pid), t.torpor.binary, "restore",
                    "-d", "--restore-sibling", "-D", program.images], check=True)

    torpor = subprocess.Popen([t.torpor.binary, "restore", "-D", program.images])
    try:
        wait_for("the restored program", lambda: alive(program.pid))
        wait_for("torpor as its parent", lambda: parent_of(program.pid) == torpor.pid)
        time.sleep(0.1)
        expect(torpor.poll() is None, "torpor didn't wait for the tree")
        wait_for("no tracer", lambda: "TracerPid:\t0" in read(f"/proc/{program.pid}/status"))
        os.kill(program.pid, signal.SIGTERM)
        try:
            status = torpor.wait(10)
        except subprocess.TimeoutExpired:
            raise Failure("torpor still waits after the end of the tree")
        expect(status == 0, f"torpor ended with {status}: the tree's own end is its own affair")
    finally:
        torpor.kill()
        torpor.wait()


run(test)
