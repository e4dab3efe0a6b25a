#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A deleted file with other links: refused by name, or carried over with --link-remap."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import alive, expect, read, run, wait_for  # noqa: E402

PROGRAM = r"""
import os, time
f = open("first", "w+"); os.link("first", "second"); os.unlink("first")
f.write("before "); f.flush()
inode = os.fstat(f.fileno()).st_ino
open("ready", "w").close()
while not os.path.exists("go"):
    time.sleep(0.01)
f.write("after"); f.flush()
now = os.fstat(f.fileno())
assert now.st_ino == inode == os.stat("second").st_ino, "another file"
assert now.st_nlink == 1, f"{now.st_nlink} links"
assert open("second").read() == "before after"
"""


def test(t):
    t.write("program.py", PROGRAM)
    program = t.start(sys.executable, "program.py")
    wait_for("the program", lambda: os.path.exists(t.path("ready")))
    images = t.path("images")
    os.mkdir(images)
    before = sorted(os.listdir(t.dir))
    done = t.torpor.run("dump", "-t", program.pid, "-D", images)
    expect(done.returncode == 1, f"dumped without --link-remap: {done.returncode}")
    expect("--link-remap" in done.stderr and t.path("first") in done.stderr,
           f"the refusal names no file or no remedy: {done.stderr!r}")
    expect(alive(program.pid), "the program is gone")
    done = t.torpor.run("check", "--tree", program.pid, cwd=images)
    expect(done.returncode == 1 and "--link-remap" in done.stdout, f"check says {done.stdout!r}")

    t.torpor.dump(images, program.pid, "--link-remap", "--leave-running")
    expect(sorted(os.listdir(t.dir)) == before, f"links stay: {sorted(os.listdir(t.dir))}")
    program.freeze("--link-remap")
    expect(any(n.startswith("link_remap.") for n in os.listdir(t.dir)), "no link was made")
    program.thaw()
    expect(not any(n.startswith("link_remap.") for n in os.listdir(t.dir)), "the link stays")
    t.write("go", "")
    program.must_end()


run(test)
