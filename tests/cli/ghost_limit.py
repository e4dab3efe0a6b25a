#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""--ghost-limit: an explicit limit is obeyed, without one there is none; a warning tells of much."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import alive, expect, read, run, wait_for  # noqa: E402

PROGRAM = r"""
import os, sys, time
def deleted(name, holes, data):
    f = open(name, "wb+"); os.unlink(name)
    f.truncate(holes + data); f.seek(holes); f.write(b"x" * data); f.flush()
    return f, os.fstat(f.fileno()).st_blocks
big, blocks = deleted("big", 0, 3 << 20)
sparse, _ = deleted("sparse", 64 << 20, 4096)
open("ready", "w").close()
while not os.path.exists("go"):
    time.sleep(0.01)
assert os.fstat(big.fileno()).st_size == 3 << 20
big.seek(0); assert big.read() == b"x" * (3 << 20)
assert os.fstat(sparse.fileno()).st_blocks < 1024, "the hole was filled"
"""


def test(t):
    t.write("program.py", PROGRAM)
    program = t.start(sys.executable, "program.py")
    wait_for("the program", lambda: os.path.exists(t.path("ready")))
    images = t.path("images")
    os.mkdir(images)
    for limit in ("1M", "2048K", "3145727"):
        done = t.torpor.run("dump", "-t", program.pid, "-D", images, "--ghost-limit", limit)
        expect(done.returncode == 1, f"--ghost-limit {limit}: exit status {done.returncode}")
        expect("--ghost-limit" in done.stderr and t.path("big") in done.stderr,
               f"the refusal names no file or no remedy: {done.stderr!r}")
        expect(alive(program.pid), "the program is gone")
    # Allocated bytes count: 64 MiB of hole are nothing.
    program.freeze("--ghost-limit", "4M")
    size = sum(os.stat(os.path.join(program.images, n)).st_blocks * 512
               for n in os.listdir(program.images) if n.startswith("ghost"))
    expect(size < 8 << 20, f"the images hold {size} bytes of 3 MiB and a hole")
    program.thaw()
    program.freeze()
    program.thaw()
    t.write("go", "")
    program.must_end()


run(test)
