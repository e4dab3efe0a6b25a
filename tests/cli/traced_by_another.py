#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A process that somebody traces already: refused with both named, in time, and all goes on."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import alive, expect, read, run, wait_for  # noqa: E402

PROGRAM = r"""
import ctypes, os, time
child = os.fork()
if child == 0:
    while True:
        time.sleep(0.01)
        open("alive", "w").write(str(time.monotonic()))
libc = ctypes.CDLL(None)
assert libc.ptrace(0x4206, child, 0, 0) == 0  # PTRACE_SEIZE
open("ready", "w").write(str(child))
time.sleep(1000)
"""


def test(t):
    t.write("program.py", PROGRAM)
    program = t.start(sys.executable, "program.py")
    child = int(wait_for("the program", lambda: read(t.path("ready"))))
    images = t.path("images")
    os.mkdir(images)
    begin = time.monotonic()
    done = t.torpor.run("dump", "-t", program.pid, "-D", images, "--timeout", "2")
    took = time.monotonic() - begin
    expect(done.returncode == 1, f"exit status {done.returncode}")
    expect(took < 8, f"it took {took:.1f} s to give up")
    expect(f"pid {child}" in done.stderr and str(program.pid) in done.stderr,
           f"neither process nor tracer is named: {done.stderr!r}")
    expect(alive(program.pid) and alive(child), "somebody is gone")
    was = read(t.path("alive"))
    wait_for("the child to go on", lambda: read(t.path("alive")) not in ("", was))
    expect("TracerPid:\t0" in read(f"/proc/{program.pid}/status"), "the parent is still traced")


run(test)
