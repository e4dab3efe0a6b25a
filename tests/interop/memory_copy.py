#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A tree is frozen, dumped, and built again next to itself: nothing may differ.

mem_drill compares every page, every line of /proc/PID/maps, the flags of each mapping, and the sum
of PSS over the tree, of the originals (still frozen) and the copies. Its images are also looked at:
as many pages as the statistics would say.
"""

import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import expect, has_zero_page, read, run, wait_for, Skip  # noqa: E402

PAGE = 4096


def drill(t, program, images, *options):
    done = subprocess.run([t.drill, str(program.pid), images, *options], capture_output=True,
                          text=True, timeout=120, check=False)
    expect(done.returncode == 0, f"mem_drill {' '.join(options)}:\n{done.stdout}{done.stderr}")
    return done.stdout


def start(t):
    before = read(t.path("output.txt")).count("ready")
    program = t.start(t.zoo)
    wait_for("the tree", lambda: read(program.output).count("ready") > before)
    return program


def test(t):
    build = os.path.join(os.path.dirname(t.torpor.binary), "tests", "lib")
    t.drill, t.zoo = os.path.join(build, "mem_drill"), os.path.join(build, "mem_zoo")
    if not os.access(t.drill, os.X_OK):
        raise Skip("no mem_drill beside the binary")
    # A task that changes the CPU finds its number changed (rseq), which is no mistake of ours.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for i in range(3):
        program = start(t)
        images = t.path(f"images-{i}")
        said = drill(t, program, images)
        own, shared = map(int, re.search(r"dumped (\d+) \+ (\d+) pages", said).groups())
        size = sum(entry.stat().st_size for entry in os.scandir(images)
                   if entry.name.startswith("pages-"))
        expect(size == (own + shared) * PAGE,
               f"{own} + {shared} pages counted, {size / PAGE} in the files")
        expect(own > 8192, "where is the memory?")
    if not has_zero_page():
        return  # looking at untouched memory makes pages of it there, which are then dumped
    # Twice from the same originals: freezing and dumping leaves no trace in them.
    program = start(t)
    drill(t, program, t.path("first"), "--keep")
    drill(t, program, t.path("second"), "--keep")
    for pid in reversed(program.pids()):
        os.kill(pid, signal.SIGKILL)


run(test)
