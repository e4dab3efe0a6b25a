#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Pages that a tree shares are in its images once: their size is that of the unique memory, plus 2%,
whatever the shape; each task's in full with --image-compat=criu. Pages that the kernel has merged
(KSM) aren't shared by the program, and are in the images of each."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import images  # noqa: E402
from freeze import PYTHON, expect, kill_tree, read, run, wait_for  # noqa: E402

MIB = 1 << 20

# Half of `a` is in the root, its children and a grandchild; the rest of it in all but the root; `b`
# in the children, the root has written to its own; `c` in two orphans.
TREE = """
import ctypes, mmap, os, random, time
libc = ctypes.CDLL(None)
libc.prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER

def area(mib, seed):
    m = mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    write(m, range(mib << 8), seed)
    return m

def write(m, pages, seed):
    for page in pages:
        m[page * 4096:page * 4096 + 8] = (seed << 32 | page).to_bytes(8, "little")

def rest():
    with open("ready", "a") as f:
        f.write("x")
    time.sleep(1000)
    os._exit(0)

a, b = area(48, 1), area(16, 2)
for child in range(8):
    if os.fork() == 0:
        random.seed(child)
        write(a, random.sample(range(48 << 8), (48 << 8) // 50), 10 + child)
        if child == 0 and os.fork() == 0:
            write(a, random.sample(range(48 << 8), (48 << 8) // 50), 50)
        rest()
write(b, range(16 << 8), 3)
at = ctypes.addressof(ctypes.c_char.from_buffer(a))
assert libc.munmap(ctypes.c_void_p(at + (24 << 20)), ctypes.c_size_t(24 << 20)) == 0
if os.fork() == 0:
    c = area(16, 4)
    for _ in range(2):
        if os.fork() == 0:
            rest()
    os._exit(0)
os.wait()
rest()
"""
TASKS = 12

MERGED = """
import ctypes, mmap, os, time
m = mmap.mmap(-1, 4 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
m.madvise(12)  # MADV_MERGEABLE
child = os.fork()
for page in range(4 << 8):  # each of them, after the fork
    m[page * 4096:page * 4096 + 4096] = b"the same bytes!!" * 256
with open("ready", "a") as f:
    f.write("x")
time.sleep(1000)
"""
KSM = "/sys/kernel/mm/ksm/"


def start(t, program, tasks):
    if os.path.exists(t.path("ready")):
        os.unlink(t.path("ready"))
    p = t.start(PYTHON, "-c", program)
    wait_for("the tree", lambda: len(read(t.path("ready"))) == tasks)
    return p


def anon_kib(pids, field):
    total = 0
    for pid in pids:
        for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
            if line.startswith(field + ":"):
                total += int(line.split()[1])
    return total


def pages_size(directory):
    return sum(os.stat(os.path.join(directory, name)).st_size for name in os.listdir(directory)
               if name.startswith("pages-"))


def dump(t, program, name, *words, verb="dump"):
    directory = t.path(name)
    os.mkdir(directory)
    words += ("--leave-running",) if verb == "dump" else ()
    t.torpor.must(verb, "-t", program.pid, "-D", directory, "-o", "dump.log", "-v4", *words)
    return directory, images.check_chain(directory)


def near(size, unique, what):
    expect(unique * 0.98 <= size <= unique * 1.02,
           f"{what}: {size / MIB:.1f} MiB for {unique / MIB:.1f} MiB of memory")


def shapes(t):
    program = start(t, TREE, TASKS)
    pids = program.pids()
    expect(len(pids) == TASKS, f"{len(pids)} tasks")
    unique = anon_kib(pids, "Pss_Anon") * 1024
    each = anon_kib(pids, "Anonymous") * 1024
    expect(each > 5 * unique, "where is the sharing?")
    directory, found = dump(t, program, "shared")
    near(pages_size(directory), unique, "a dump")
    expect(images.get(images.inventory(directory), 1) > 2, "old readers wouldn't refuse it")
    directory, found = dump(t, program, "plain", "--image-compat=criu")
    near(pages_size(directory), each, "a plain dump")
    expect(not found["cow"], f"sharing in a plain dump: {found}")
    first, found = dump(t, program, "first", "--track-mem", verb="pre-dump")
    near(pages_size(first), unique, "a pre-dump")
    second, found = dump(t, program, "second", "--prev-images-dir", "../first")
    near(pages_size(first) + pages_size(second), unique, "a pre-dump and a dump")
    # Nothing has been taken apart by all that reading.
    near(anon_kib(pids, "Pss_Anon") * 1024, unique, "the memory afterwards")
    kill_tree(program.pid)


def merged(t):
    try:
        before = {name: read(KSM + name) for name in ("run", "pages_to_scan", "sleep_millisecs")}
        for name, value in (("pages_to_scan", "5000"), ("sleep_millisecs", "5"), ("run", "1")):
            with open(KSM + name, "w") as f:
                f.write(value)
    except OSError as error:
        print(f"merged pages: left out: {error}")
        return
    try:
        program = start(t, MERGED, 2)
        pids = program.pids()
        wait_for("the kernel to merge pages", lambda: all(
            "ksm_merging_pages 10" in read(f"/proc/{pid}/ksm_stat") for pid in pids), limit=30)
        directory, _ = dump(t, program, "merged")
        expect(pages_size(directory) >= 2 * 4 * MIB, "merged pages were taken for shared ones")
        kill_tree(program.pid)
    finally:
        for name, value in before.items():
            with open(KSM + name, "w") as f:
                f.write(value)


def test(t):
    shapes(t)
    merged(t)


run(test)
