#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A restore that fails late leaves no process, no file and no mount, and can be tried again."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import expect, read, run, tree_of, wait_for  # noqa: E402

PROGRAM = r"""
import mmap, os, time
deleted = open("deleted", "w+"); deleted.write("ghost"); deleted.flush(); os.unlink("deleted")
os.mkdir("cwd"); os.chdir("cwd"); os.rmdir("../cwd")
shm = open("/dev/shm/torpor-failed-restore", "w+"); os.unlink(shm.name)
memory = mmap.mmap(-1, 1 << 20)
r, w = os.pipe()
if os.fork() == 0:
    os.read(r, 1)
    os._exit(0)
os.write(2, b"ready\n")
time.sleep(1000)
"""


def state(t):
    return {"processes": tree_of(os.getpid()), "mounts": read("/proc/self/mountinfo"),
            "files": sorted(os.listdir(t.dir)), "shm": sorted(n for n in os.listdir("/dev/shm") if "torpor" in n),
            "tmp": sorted(n for n in os.listdir("/tmp") if n.startswith("torpor")
                          and not n.startswith(("torpor-test", "torpor-bench", "torpor-demo")))}


def test(t):
    t.write("program.py", PROGRAM)
    script = t.write("fail", "#!/bin/sh\n[ $CRTOOLS_SCRIPT_ACTION != post-restore ]\n", mode=0o755)
    program = t.start(sys.executable, "program.py")
    wait_for("the program", lambda: "ready" in read(program.output))
    program.freeze()
    before = state(t)
    # At post-restore all is built, files and memory and children: nothing of it may stay.
    for i in range(3):
        done = t.torpor.run("restore", "-d", "-D", program.images, "--action-script", script,
                            "-o", "restore.log")
        expect(done.returncode == 1, f"exit status {done.returncode}")
        after = state(t)
        for kind, was in before.items():
            expect(after[kind] == was, f"left behind: {kind} {after[kind]} instead of {was}")
    program.thaw()


run(test)
