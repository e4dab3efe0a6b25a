#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What takes room in the images is what was written, and what takes time, too.

A private mapping of a large file with a few changed pages; reservations of terabytes with a few
pages in them; pages that were only read. Dumped at once, and after pre-dumps.
"""

import glob
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import PYTHON, expect, has_zero_page, reap, run, tree_of, wait_for  # noqa: E402

MIB = 1 << 20
PROGRAM = """
import mmap, os, signal, sys
MIB, PAGE = 1 << 20, mmap.PAGESIZE
PLAIN, FLAGS = sys.argv[1] == "plain", mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000
maps = {}
if not PLAIN:
    f = os.open("large", os.O_RDONLY)
    maps["file"] = mmap.mmap(f, 64 * MIB, flags=mmap.MAP_PRIVATE,
                             prot=mmap.PROT_READ | mmap.PROT_WRITE)
    maps["reserved"] = mmap.mmap(-1, 16 << 40, flags=FLAGS)
    maps["read"] = mmap.mmap(-1, 64 * MIB, flags=FLAGS)
    for m in maps.values():
        m.madvise(mmap.MADV_NOHUGEPAGE)
    assert sum(maps["read"][i] for i in range(0, 64 * MIB, PAGE)) == 0
    assert all(maps["file"][i] == 7 for i in range(0, 64 * MIB, PAGE))

def places(m):
    return [len(m) // 10 // PAGE * PAGE * i for i in range(10)]

for name, m in maps.items():
    for at in places(m) if name != "read" else ():
        m[at] = 99
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
open("ready-" + sys.argv[1], "w").close()
signal.sigwait([signal.SIGUSR1])
for name, m in maps.items():
    other = 7 if name == "file" else 0
    for at in places(m):
        assert m[at] == (99 if name != "read" else 0), (name, at)
        assert m[at + 1] == other and m[at + PAGE] == other, (name, at)
"""


def pages_bytes(t, name):
    return sum(os.stat(f).st_size for f in glob.glob(t.path(f"{name}-*", "pages-*.img")))


def once(t, name, steps):
    """How many bytes of pages there are, and how long all of it took."""
    program = t.start(PYTHON, "program.py", name)
    wait_for("the program", lambda: os.path.exists(t.path(f"ready-{name}")))
    os.unlink(t.path(f"ready-{name}"))
    pids, previous = tree_of(program.pid), []
    begin = time.monotonic()
    for n in range(steps + 1):
        images = t.path(f"{name}-{steps}-{n}")
        os.mkdir(images)
        t.torpor.must("dump" if n == steps else "pre-dump", "-t", program.pid, "-D", images,
                      "-o", "dump.log", *previous)
        previous = ["--prev-images-dir", f"../{name}-{steps}-{n}"]
    expect(not reap(pids), "still there after the dump")
    t.torpor.restore(images)
    took = time.monotonic() - begin
    os.kill(program.pid, signal.SIGUSR1)
    program.must_end()
    return pages_bytes(t, f"{name}-{steps}"), took


def test(t):
    t.write("program.py", PROGRAM)
    with open(t.path("large"), "wb") as f:
        for _ in range(64):
            f.write(b"\7" * MIB)
    # Pages that were only read are pages like others where there is no zero page.
    room = 2 * MIB + (0 if has_zero_page() else 64 * MIB)
    for steps in 0, 2:
        plain, plain_took = once(t, "plain", steps)
        full, took = once(t, "full", steps)
        expect(full < plain + room,
               f"{steps} pre-dumps: {(full - plain) >> 10} KiB of pages for 20 that were written")
        # Page tables have to be walked, terabytes of them not.
        expect(took < 3 * plain_took + 1,
               f"{steps} pre-dumps: {took:.2f} s instead of {plain_took:.2f} s")
        print(f"{steps} pre-dumps: {full - plain} bytes more, {plain_took:.3f} s, {took:.3f} s")


run(test)
