#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""--leave-running: the tree goes on as if nothing had happened, and its images can be restored."""

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import expect, kill_tree, read, run, wait_for  # noqa: E402

PROGRAM = """
import os, signal, time
seen = []
for s in (signal.SIGCONT, signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH):
    signal.signal(s, lambda n, _: seen.append(n))
n = 0
begin = time.monotonic()
with open("counter", "w", buffering=1) as f:
    while True:
        n += 1
        f.write(f"{n} {seen}\\n")
        time.sleep(0.002)
"""


def lines(t):
    return read(t.path("counter")).splitlines()[:-1]


def test(t):
    t.write("program.py", PROGRAM)
    program = t.start(sys.executable, "program.py")
    wait_for("the counter", lambda: len(lines(t)) > 5)
    for i in range(5):
        images = t.path(f"images-{i}")
        os.mkdir(images)
        t.torpor.dump(images, program.pid, "--leave-running")
        n = len(lines(t))
        wait_for("the counter to go on", lambda: len(lines(t)) > n + 3)
    counted = lines(t)
    expect([int(c.split()[0]) for c in counted] == list(range(1, len(counted) + 1)),
           "the counter jumped")
    expect(counted[-1].endswith("[]"), f"the program saw signals: {counted[-1]}")
    expect("TracerPid:\t0" in read(f"/proc/{program.pid}/status"), "it is still traced")
    # The last images are those of a moment that is over: the counter's file must fit again.
    kill_tree(program.pid)
    size_then = restored_size(t, images)
    with open(t.path("counter"), "r+") as f:
        f.truncate(size_then)
    t.torpor.restore(images)
    n = len(lines(t))
    wait_for("the counter to go on after the restore", lambda: len(lines(t)) > n + 3)
    counted = lines(t)
    expect([int(c.split()[0]) for c in counted] == list(range(1, len(counted) + 1)),
           "the counter jumped at the restore")
    os.kill(program.pid, signal.SIGKILL)


def restored_size(t, images):
    """What the refusal says the file's size was: a restore with a longer one isn't done."""
    done = t.torpor.run("restore", "-d", "-D", images)
    expect(done.returncode == 1 and "counter" in done.stderr,
           f"the file grew since the dump: {done.returncode}, {done.stderr!r}")
    data = read(t.path("counter"))
    size, sizes = 0, set()
    for line in data.splitlines(keepends=True):
        size += len(line)
        sizes.add(size)
    words = done.stderr.replace(",", " ").replace(";", " ").replace(")", " ").split()
    named = [int(w) for w in words if w.isdigit() and int(w) in sizes and int(w) != len(data)]
    expect(named, f"the refusal doesn't name the size at the dump: {done.stderr!r}")
    return named[0]


run(test)
