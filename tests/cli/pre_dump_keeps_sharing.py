#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A pre-dump costs the tree no memory: pages that fork() left in common, and huge pages, stay so."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import PYTHON, expect, kill_tree, read, run, tree_of, wait_for  # noqa: E402

PROGRAM = """
import mmap, os, time
MIB = 1 << 20
memory = mmap.mmap(-1, 32 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(mmap.MADV_NOHUGEPAGE)
huge = mmap.mmap(-1, 16 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
huge.madvise(mmap.MADV_HUGEPAGE)
for m in memory, huge:
    for page in range(0, len(m), mmap.PAGESIZE):
        m[page] = 1 + page // mmap.PAGESIZE % 255
for _ in range(2):
    if os.fork() == 0:
        break
else:
    open("ready", "w").close()
while True:
    time.sleep(1)
"""


def field(pid, name):
    return sum(int(line.split()[1]) for line in read(f"/proc/{pid}/smaps_rollup").splitlines()
               if line.startswith(name + ":"))


def test(t):
    t.write("program.py", PROGRAM)
    program = t.start(PYTHON, "program.py")
    wait_for("the program", lambda: os.path.exists(t.path("ready")))
    wait_for("its children", lambda: len(tree_of(program.pid)) == 3)
    pids = tree_of(program.pid)
    before = {pid: (field(pid, "Private_Dirty"), field(pid, "AnonHugePages")) for pid in pids}
    expect(all(own < 8192 for own, _ in before.values()), f"nothing is shared: {before}")
    for n in range(1, 4):
        images = t.path(f"images-{n}")
        os.mkdir(images)
        previous = ["--prev-images-dir", f"../images-{n - 1}"] if n > 1 else []
        t.torpor.must("pre-dump", "-t", program.pid, "-D", images, "-o", "dump.log", *previous)
        for pid in pids:
            own, huge = field(pid, "Private_Dirty"), field(pid, "AnonHugePages")
            expect(own <= before[pid][0] + 1024,
                   f"pre-dump {n}: pid {pid} has {own} KiB of its own, had {before[pid][0]}")
            expect(huge >= before[pid][1],
                   f"pre-dump {n}: pid {pid} has {huge} KiB of huge pages, had {before[pid][1]}")
    kill_tree(program.pid)


run(test)
