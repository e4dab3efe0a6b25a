#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Images on every usual file system: much memory at once, a chain with --auto-dedup, no room left.

ext4, xfs and btrfs in loop devices, overlayfs, tmpfs. A file system that can't be had here is left
out; the test is skipped if only tmpfs is left.
"""

import errno
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import PYTHON, Skip, expect, kill_tree, need, read, reap, run, wait_for  # noqa: E402
from paged import Paged, await_no_keeper  # noqa: E402

SIZE = 400 << 20  # xfs takes no less than 300 MiB
MAKE = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"],
        "btrfs": ["mkfs.btrfs", "-q", "-f"]}

# 24 MiB that its owner writes by itself, some of it read-protected, which is read from outside.
PROGRAM = """
import ctypes, mmap, os, time
libc = ctypes.CDLL(None)
memory = mmap.mmap(-1, 24 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for page in range(24 << 8):
    memory[page * 4096:page * 4096 + 8] = (page * 77 + 1).to_bytes(8, "little")
at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
assert libc.mprotect(ctypes.c_void_p(at + (5 << 20)), 1 << 20, 0) == 0
n = 0
while not os.path.exists("end"):
    n += 1
    with open("counter", "w") as f:
        f.write(str(n))
    time.sleep(0.002)
assert libc.mprotect(ctypes.c_void_p(at + (5 << 20)), 1 << 20, 3) == 0
for page in range(24 << 8):
    assert memory[page * 4096:page * 4096 + 8] == (page * 77 + 1).to_bytes(8, "little"), page
"""


def call(*argv):
    done = subprocess.run(argv, capture_output=True, text=True)
    return done.returncode == 0, done.stderr.strip()


def mount(t, kind):
    """Where it is mounted, or None."""
    where = t.path(kind)
    os.mkdir(where)
    if kind == "tmpfs":
        done, why = call("mount", "-t", "tmpfs", "-o", "size=200m", "none", where)
    elif kind == "overlay":
        base = t.path("overlay-base")
        os.mkdir(base)
        call("mount", "-t", "tmpfs", "-o", "size=200m", "none", base)
        for name in ("lower", "upper", "work"):
            os.mkdir(os.path.join(base, name))
        done, why = call("mount", "-t", "overlay", "-o", f"lowerdir={base}/lower,upperdir={base}"
                         f"/upper,workdir={base}/work", "none", where)
    else:
        image = t.path(kind + ".img")
        with open(image, "wb") as f:
            f.truncate(SIZE)
        done, why = call(need(MAKE[kind][0]), *MAKE[kind][1:], image)
        if done:
            done, why = call("mount", "-o", "loop", image, where)
    if not done:
        print(f"{kind}: left out: {why}")
        return None
    return where


def unmount(where):
    if os.path.ismount(where):
        wait_for(f"{where} to be unmounted", lambda: call("umount", where)[0])


def start(t):
    for name in ("counter", "end"):
        if os.path.exists(t.path(name)):
            os.unlink(t.path(name))
    program = t.start(PYTHON, t.write("program.py", PROGRAM))
    wait_for("the program", lambda: read(t.path("counter")))
    return program


def goes_on(t, what):
    before = read(t.path("counter"))
    wait_for(f"the program to go on {what}", lambda: read(t.path("counter")) != before)


def plain(t, where):
    program, images = start(t), os.path.join(where, "plain")
    os.mkdir(images)
    pids = program.pids()
    t.torpor.dump(images, program.pid)
    expect(not reap(pids), "still there after the dump")
    t.torpor.restore(images)
    goes_on(t, "after the restore")
    t.write("end", "")
    program.must_end()
    shutil.rmtree(images)


def blocks(directory):
    return sum(os.stat(os.path.join(directory, name)).st_blocks * 512
               for name in os.listdir(directory) if name.startswith("pages-"))


def chain(t, where, kind):
    p = Paged(t, os.path.join(kind, "chain"))
    p.pre_dump()
    p.write(0, 128, 2)
    p.pre_dump()
    p.write(64, 128, 3)
    subprocess.run(["sync", "-f", where], check=True)  # blocks are given when they are written
    before = blocks(p.images(1)), blocks(p.images(2))
    p.dump("--auto-dedup")
    subprocess.run(["sync", "-f", where], check=True)
    after = blocks(p.images(1)), blocks(p.images(2))
    expect(sum(before) - sum(after) >= 128 * 4096, f"{kind}: punched too little: {before} {after}")
    await_no_keeper("after the last dump")
    p.restore()
    p.end()
    p.control.close()


def fill(where):
    """Leaves less than a MiB."""
    size, at = 64 << 20, 0
    with open(os.path.join(where, "filler"), "wb") as f:
        while size >= 512 << 10:
            try:
                os.posix_fallocate(f.fileno(), at, size)
                at += size
            except OSError as e:
                if e.errno != errno.ENOSPC:
                    raise
                size //= 2


def no_room(t, where, kind):
    program, images = start(t), os.path.join(where, "full")
    os.mkdir(images)
    fill(where)
    done = t.torpor.run("dump", "-t", program.pid, "-D", images)
    expect(done.returncode == 1, f"{kind}: full, and exit status {done.returncode}")
    expect("No space left on device" in done.stderr, f"{kind}: {done.stderr}")
    goes_on(t, f"after a dump to a full {kind}")
    expect("TracerPid:\t0" in read(f"/proc/{program.pid}/status"), "it is still traced")
    expect(not os.path.exists(os.path.join(images, "inventory.img")), "an inventory for nothing")
    t.write("end", "")
    program.must_end()


def test(t):
    need("mount")
    tested = []
    for kind in ("ext4", "xfs", "btrfs", "overlay", "tmpfs"):
        where = t.path(kind)
        try:
            if kind in MAKE:
                need(MAKE[kind][0])
            if not mount(t, kind):
                continue
            plain(t, where)
            chain(t, where, kind)
            no_room(t, where, kind)
            tested.append(kind)
        except Skip as skip:
            print(f"{kind}: left out: {skip}")
        finally:
            for program in t.programs:
                if program.pid and os.path.exists(f"/proc/{program.pid}"):
                    kill_tree(program.pid)
            unmount(where)
            unmount(t.path("overlay-base"))
    if set(tested) <= {"tmpfs"}:
        raise Skip("none of ext4, xfs, btrfs, overlay can be mounted here")


run(test)
