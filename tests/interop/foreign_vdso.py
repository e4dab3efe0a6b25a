#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A program from another kernel: its vDSO isn't this kernel's, and goes on working.

One byte of padding in the dumped vDSO is changed, which makes it a stranger. After the restore its
functions have to lead to this kernel's vDSO; after another dump and restore, too.
"""

import glob
import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import expect, read, run, wait_for  # noqa: E402

PROGRAM = """
import time
n = 0
last = (0, 0)
with open("clock", "w", buffering=1) as f:
    while True:
        now = (time.time(), time.monotonic())
        n += 1
        ok = now[1] >= last[1] and now[0] > 1e9
        f.write(f"{n} {'ok' if ok else f'BAD {last} {now}'}\\n")
        last = now
        time.sleep(0.002)
"""
PAGE = 4096


def forge(images):
    """Changes every vDSO in these images; says how many there were."""
    found = 0
    for name in glob.glob(os.path.join(images, "pages-*.img")):
        with open(name, "r+b") as f:
            data = f.read()
            for at in range(0, len(data), PAGE):
                if data[at:at + 4] == b"\x7fELF" and b"linux-vdso.so.1" in data[at:at + 2 * PAGE]:
                    f.seek(at + 9)
                    f.write(b"\x55")
                    found += 1
    return found


def vdso_of(pid):
    """The addresses of what is mapped as [vdso], and of the vDSO that the program knows."""
    mapped = [int(line.split("-")[0], 16) for line in read(f"/proc/{pid}/maps").splitlines()
              if line.endswith("[vdso]")]
    with open(f"/proc/{pid}/auxv", "rb") as f:
        words = memoryview(f.read()).cast("Q")
    known = [words[i + 1] for i in range(0, len(words), 2) if words[i] == 33]
    return mapped, known[0]


def leads_to(pid, known, mapped):
    """How many functions of the vDSO that the program knows begin with a jump into the other."""
    with open(f"/proc/{pid}/mem", "rb") as f:
        f.seek(known)
        code = f.read(2 * PAGE)
    jumps = re.findall(rb"\x48\xb8(.{8})\xff\xe0", code, re.DOTALL)
    return sum(mapped <= int.from_bytes(to, "little") < mapped + 2 * PAGE for to in jumps)


def goes_on(t, what):
    n = len(read(t.path("clock")).splitlines())
    wait_for(f"the clock to go on {what}",
             lambda: len(read(t.path("clock")).splitlines()) > n + 20)
    bad = [line for line in read(t.path("clock")).splitlines()[:-1] if not line.endswith("ok")]
    expect(not bad, f"{what}: {bad[:1]}")


def test(t):
    t.write("program.py", PROGRAM)
    program = t.start(sys.executable, "program.py")
    wait_for("the clock", lambda: len(read(t.path("clock")).splitlines()) > 5)
    mapped, known = vdso_of(program.pid)
    expect(mapped == [known], f"vDSO at {mapped}, known at {known}")

    program.freeze()
    expect(forge(program.images) == 1, "no vDSO in the images")
    program.thaw("--no-verify")  # its checksum is that of the old byte
    goes_on(t, "on another kernel")
    mapped, still = vdso_of(program.pid)
    expect(still == known, "AT_SYSINFO_EHDR changed")
    expect(len(mapped) == 1 and mapped[0] != known, f"vDSO at {mapped}, known at {known}")
    expect(leads_to(program.pid, known, mapped[0]) >= 4, "the old functions don't lead to the new")

    # The parked vDSO is of this kernel, not of the program: it must not be in the images.
    for i in range(2):
        program.freeze()
        program.thaw()
        goes_on(t, f"restored again, {i}")
        mapped, still = vdso_of(program.pid)
        expect(still == known and len(mapped) == 1, f"vDSO at {mapped}, known at {still}")
        expect(leads_to(program.pid, known, mapped[0]) >= 4, "they lead nowhere")
    os.kill(program.pid, signal.SIGKILL)


run(test)
