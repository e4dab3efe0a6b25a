#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Swapped-out pages: all their bytes, in a dump and in a chain.

A dump stores those that a parent and its child have in common once. A pre-dump has brought in the
parent's when it comes to the child's, and stores them for each; once, however long the chain is.
"""

import glob
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import PYTHON, Skip, expect, need, read, reap, run, tree_of, wait_for  # noqa: E402

MIB = 1 << 20
PROGRAM = """
import mmap, os, signal, sys, time
MIB, PAGE, PAGEOUT = 1 << 20, mmap.PAGESIZE, 21
memory = mmap.mmap(-1, 32 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
shared = mmap.mmap(-1, 4 * MIB, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)

def page(n, who):
    return bytes((n * 7 + i * 13 + who) % 251 for i in range(16)) * (PAGE // 16)

def fill(m, first, last, who):
    for n in range(first, last):
        m[n * PAGE:(n + 1) * PAGE] = page(n, who)

def check(m, first, last, who):
    for n in range(first, last):
        if m[n * PAGE:(n + 1) * PAGE] != page(n, who):
            sys.exit(f"page {n} is wrong")

fill(memory, 0, 8192, 1)
fill(shared, 0, 1024, 2)
memory.madvise(PAGEOUT)
shared.madvise(PAGEOUT)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
child = os.fork()
mine = 100 if child else 200  # who
fill(memory, 0, 100, mine)    # what each has rewritten since
open("ready-child" if not child else "ready", "w").close()
signal.sigwait([signal.SIGUSR1])
check(memory, 0, 100, mine)
check(memory, 100, 8192, 1)
check(shared, 0, 1024, 2)
if child:
    os.kill(child, signal.SIGUSR1)
    sys.exit(os.waitpid(child, 0)[1] >> 8)
"""


def swapped_kib(pid):
    return sum(int(line.split()[1]) for line in read(f"/proc/{pid}/smaps_rollup").splitlines()
               if line.startswith("Swap:"))


def add_swap(t):
    path = t.path("swap")
    with open(path, "wb") as f:
        f.write(bytes(96 * MIB))
    os.chmod(path, 0o600)
    subprocess.run([need("mkswap"), path], check=True, capture_output=True)
    done = subprocess.run([need("swapon"), path], capture_output=True, text=True)
    if done.returncode != 0:
        raise Skip(f"no swap can be had here: {done.stderr.strip()}")
    return path


def pages_bytes(images):
    return sum(os.path.getsize(f) for f in glob.glob(os.path.join(images, "pages-*.img")))


def once(t, steps):
    for name in ("ready", "ready-child"):
        if os.path.exists(t.path(name)):
            os.unlink(t.path(name))
    program = t.start(PYTHON, "program.py")
    wait_for("the program", lambda: os.path.exists(t.path("ready")) and
             os.path.exists(t.path("ready-child")))
    if swapped_kib(program.pid) < 16 * 1024:
        raise Skip(f"only {swapped_kib(program.pid)} KiB were swapped out")
    pids, previous = tree_of(program.pid), []
    for n in range(steps + 1):
        images = t.path(f"images-{steps}-{n}")
        os.mkdir(images)
        verb = "dump" if n == steps else "pre-dump"
        t.torpor.must(verb, "-t", program.pid, "-D", images, "-v4", "-o", "dump.log", *previous)
        previous = ["--prev-images-dir", f"../images-{steps}-{n}"]
    expect(not reap(pids), "still there after the dump")
    size = sum(pages_bytes(t.path(f"images-{steps}-{n}")) for n in range(steps + 1))
    # What they have in common, once or twice, and shared memory and the interpreters.
    limit = (32 * (2 if steps else 1) + 4 + 16) * MIB
    expect(size < limit, f"{size >> 20} MiB of pages with {steps} pre-dumps")
    t.torpor.restore(images)
    os.kill(program.pid, signal.SIGUSR1)
    program.must_end()


def test(t):
    t.write("program.py", PROGRAM)
    swap = add_swap(t)
    try:
        once(t, 0)
        once(t, 2)
    finally:
        t.clean_up()
        subprocess.run([need("swapoff"), swap], check=True)


run(test)
