#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""restore --exec-cmd: torpor becomes the command, which is the tree's parent."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import expect, reap, run  # noqa: E402

COMMAND = """
import os, sys
pid = int(sys.argv[1])
with open(f"/proc/{pid}/stat") as f:
    parent = int(f.read().rpartition(")")[2].split()[1])
assert parent == os.getpid(), f"the parent is {parent}, not {os.getpid()}"
assert not [fd for fd in os.listdir("/proc/self/fd") if int(fd) > 3], "descriptors were left open"
os.kill(pid, 15)
got, status = os.waitpid(pid, 0)
assert got == pid and os.WTERMSIG(status) == 15, (got, status)
sys.exit(42)
"""


def test(t):
    t.write("command.py", COMMAND)
    program = t.start("sleep", "1000")
    program.freeze()
    done = t.torpor.run("restore", "-D", program.images, "--exec-cmd", "--", sys.executable,
                        t.path("command.py"), program.pid)
    expect(done.returncode == 42, f"exit status {done.returncode}: {done.stderr}")
    expect(not reap([program.pid]), "the tree is still there")
    done = t.torpor.run("restore", "-D", program.images, "--exec-cmd", "--", "/nonexistent")
    expect(done.returncode == 1 and "/nonexistent" in done.stderr,
           f"a command that can't be run: {done.returncode}, {done.stderr!r}")


run(test)
