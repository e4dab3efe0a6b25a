#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""No room for the images: the dump fails and says so, and the program goes on."""

import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import expect, kill_tree, need, read, run, wait_for  # noqa: E402

PROGRAM = """
import time
memory = bytearray(range(256)) * (32 * 4096)
n = 0
with open("counter", "w", buffering=1) as f:
    while True:
        n += 1
        f.write(f"{n}\\n")
        assert memory[n * 4099 % len(memory)] == n * 4099 % 256
        time.sleep(0.002)
"""


def counted(t):
    return len(read(t.path("counter")).splitlines())


def test(t):
    need("mount")
    images = t.path("images")
    os.mkdir(images)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", images], check=True)
    try:
        t.write("program.py", PROGRAM)
        program = t.start(sys.executable, "program.py")
        wait_for("the counter", lambda: counted(t) > 5)
        done = t.torpor.run("dump", "-t", program.pid, "-D", images)
        expect(done.returncode == 1, f"exit status {done.returncode}")
        expect("No space left on device" in done.stderr, done.stderr)
        n = counted(t)
        wait_for("the program to go on", lambda: counted(t) > n + 20)
        expect("TracerPid:\t0" in read(f"/proc/{program.pid}/status"), "it is still traced")
        os.kill(program.pid, signal.SIGKILL)
        kill_tree(program.pid)
    finally:
        subprocess.run(["umount", images], check=True)


run(test)
