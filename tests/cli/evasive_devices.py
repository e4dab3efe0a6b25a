#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""--evasive-devices opens a device whose node is gone by another path with the same number."""

import os
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import Skip, expect, run, wait_for  # noqa: E402

PROGRAM = r"""
import os, stat, time
fd = os.open("node", os.O_RDWR)
open("ready", "w").close()
while not os.path.exists("go"):
    time.sleep(0.01)
now = os.fstat(fd)
assert stat.S_ISCHR(now.st_mode) and now.st_rdev == os.makedev(1, 5), now
assert os.read(fd, 16) == bytes(16)
"""


def test(t):
    t.write("program.py", PROGRAM)
    try:
        os.mknod(t.path("node"), 0o600 | stat.S_IFCHR, os.makedev(1, 5))
        os.close(os.open(t.path("node"), os.O_RDWR))
    except OSError as error:
        raise Skip(f"device nodes can't be made or used here: {error}")
    program = t.start(sys.executable, "program.py")
    wait_for("the program", lambda: os.path.exists(t.path("ready")))
    program.freeze("--evasive-devices")
    os.unlink(t.path("node"))
    done = t.torpor.run("restore", "-d", "-D", program.images)
    expect(done.returncode == 1 and t.path("node") in done.stderr,
           f"a device that is gone: {done.returncode}, {done.stderr!r}")
    program.thaw("--evasive-devices")
    t.write("go", "")
    program.must_end()


run(test)
