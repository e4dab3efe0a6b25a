#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Pages written past the page cache (O_DIRECT), onto ext4, xfs and btrfs: the same pages, with the
same checksums. What the program can't read itself goes through the cache, into the same file."""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import PYTHON, Skip, expect, need, read, run, wait_for  # noqa: E402

MIB = 1 << 20
PROGRAM = """
import ctypes, mmap, time
libc = ctypes.CDLL(None)
memory = mmap.mmap(-1, 150 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for page in range(150 << 8):
    if page % 1000:  # a gap now and then
        memory[page * 4096:page * 4096 + 8] = (page * 77 + 1).to_bytes(8, "little")
at = ctypes.addressof(ctypes.c_char.from_buffer(memory))
assert libc.mprotect(ctypes.c_void_p(at + (70 << 20)), 1 << 20, 0) == 0
print("ready", flush=True)
time.sleep(1000)
"""



def on(t, kind, mkfs):
    where, image = t.path(kind), t.path(kind + ".img")
    os.mkdir(where)
    with open(image, "wb") as f:
        f.truncate(700 * MIB)
    subprocess.run([need(mkfs[0]), *mkfs[1:], image], check=True, capture_output=True)
    if subprocess.run(["mount", "-o", "loop", image, where], capture_output=True,
                      check=False).returncode:
        return False
    try:
        before = read(t.path("output.txt")).count("ready")
        program = t.start(PYTHON, "-c", PROGRAM)
        wait_for("the program", lambda: read(program.output).count("ready") > before)
        done = subprocess.run([t.drill, str(program.pid), os.path.join(where, "images"), "--direct"],
                              capture_output=True, text=True, timeout=120, check=False)
        expect(done.returncode == 0, f"{kind}: {done.stdout}{done.stderr}")
        direct = int(re.search(r"(\d+) bytes of pages past", done.stdout).group(1))
        expect(direct > 140 * MIB, f"{kind}: {direct / MIB:.1f} MiB of 149 were written directly")
    finally:
        wait_for("umount", lambda: subprocess.run(["umount", where], capture_output=True,
                                                  check=False).returncode == 0)
    return True


def test(t):
    t.drill = os.path.join(os.path.dirname(t.torpor.binary), "tests", "lib", "mem_drill")
    if not os.access(t.drill, os.X_OK):
        raise Skip("no mem_drill beside the binary")
    tested = [on(t, kind, mkfs) for kind, mkfs in
              (("ext4", ["mkfs.ext4", "-q", "-F"]), ("xfs", ["mkfs.xfs", "-q", "-f"]),
               ("btrfs", ["mkfs.btrfs", "-q", "-f"]))]
    if not any(tested):
        raise Skip("no file system can be mounted here")


run(test)
