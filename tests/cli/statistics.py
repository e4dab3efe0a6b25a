#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""--display-stats, stats-dump and stats-restore: labels, magic numbers, and figures that add up."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import expect, reap, run  # noqa: E402

DUMP = ["Freezing time: N us", "Frozen time: N us", "Memory dump time: N us",
        "Memory write time: N us", "IRMAP resolve time: N us", "Memory pages scanned: N (0xN)",
        "Memory pages skipped from parent: N (0xN)", "Memory pages written: N (0xN)",
        "Lazy memory pages: N (0xN)"]
RESTORE = ["Pages compared: N (0xN)", "Pages skipped COW: N (0xN)", "Pages restored: N (0xN)",
           "Restore time: N us", "Forking time: N us"]
PROGRAM = """
import mmap, time
m = mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for page in range(0, 8 << 20, 4096):
    m[page] = 1 + page // 4096 % 255
open("ready", "w").close()
time.sleep(1000)
"""


def shape(line):
    return re.sub(r"(0x)[0-9a-f]+|[0-9]+", lambda m: (m[1] or "") + "N", line).strip()


def numbers(text):
    return {line.split(":")[0].strip(): int(line.split(":")[1].split()[0])
            for line in text.splitlines() if ":" in line and line.split(":")[1].strip()}


def expect_block(text, head, labels):
    lines = text.splitlines()
    expect(head in lines, f"no {head!r} in {text!r}")
    block = [shape(line) for line in lines[lines.index(head) + 1:]][:len(labels)]
    expect(block == labels, f"the lines are {block}")


def expect_magic(path):
    with open(path, "rb") as f:
        head = f.read(8)
    expect(head == (0x55105940).to_bytes(4, "little") + (0x57093306).to_bytes(4, "little"),
           f"{path} begins with {head.hex()}")


def test(t):
    t.write("program.py", PROGRAM)
    program = t.start(sys.executable, "program.py")
    while not os.path.exists(t.path("ready")):
        pass
    images, work = t.path("images"), t.path("work")
    os.mkdir(images)
    os.mkdir(work)
    done = t.torpor.must("dump", "-t", program.pid, "-D", images, "-W", work, "-o", "dump.log",
                         "--display-stats")
    reap([program.pid])
    expect_block(done.stdout, "Displaying dump stats:", DUMP)
    dump = numbers(done.stdout)
    pages = sum(os.stat(os.path.join(images, n)).st_size // 4096 for n in os.listdir(images)
                if n.startswith("pages-"))
    expect(dump["Memory pages written"] == pages, f"written {dump}, but there are {pages} pages")
    expect(pages >= 2048 and dump["Memory pages scanned"] >= pages, f"{dump}, {pages} pages")
    expect(0 < dump["Freezing time"] < 5e6 and 0 < dump["Frozen time"] < 5e6, f"times of {dump}")
    expect_magic(os.path.join(work, "stats-dump"))
    expect(not os.path.exists(os.path.join(images, "stats-dump")), "stats-dump is with the images")

    done = t.torpor.must("restore", "-d", "-D", images, "-W", work, "-o", "restore.log",
                         "--display-stats")
    expect_block(done.stdout, "Displaying restore stats:", RESTORE)
    restore = numbers(done.stdout)
    expect(restore["Pages restored"] >= 2048, f"restored {restore}")
    expect(0 < restore["Restore time"] < 5e6, f"times of {restore}")
    expect_magic(os.path.join(work, "stats-restore"))


run(test)
