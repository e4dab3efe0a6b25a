#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""python3 with threads: locks, conditions, a queue and timers go on after each wake."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import PYTHON, expect, read, run, wait_for  # noqa: E402

PROGRAM = r"""
import hashlib, os, queue, threading, time

jobs, results = queue.Queue(maxsize=8), queue.Queue()
local, stop = threading.local(), threading.Event()
turn, whose = threading.Condition(), [0]
handed_on = [0, 0, 0]

def worker():
    local.done = 0
    while (n := jobs.get()) is not None:
        results.put((n, hashlib.sha256(str(n).encode() * 2000).hexdigest()))
        local.done += 1
    results.put((None, local.done))

def ring(me):
    while not stop.is_set():
        with turn:
            if turn.wait_for(lambda: whose[0] == me or stop.is_set(), timeout=0.5):
                handed_on[me] += 1
                whose[0] = (me + 1) % 3
                turn.notify_all()

workers = [threading.Thread(target=worker) for _ in range(6)]
rings = [threading.Thread(target=ring, args=(i,)) for i in range(3)]
for t in workers + rings:
    t.start()
n = 0
with open("progress", "w") as progress:
    while not os.path.exists("stop"):
        jobs.put(n)
        n += 1
        if n % 100 == 0:
            progress.write(f"{n}\n"); progress.flush()
stop.set()
for _ in workers:
    jobs.put(None)
for t in workers + rings:
    t.join()
seen, counted = {}, 0
while not results.empty():
    k, v = results.get()
    if k is None:
        counted += v
    else:
        assert k not in seen, f"{k} was done twice"
        seen[k] = v
assert len(seen) == n == counted, (len(seen), n, counted)
for k, v in seen.items():
    assert v == hashlib.sha256(str(k).encode() * 2000).hexdigest(), k
assert max(handed_on) - min(handed_on) <= 1 and min(handed_on) > 0, handed_on
print("correct")
"""


def test(t):
    t.write("program.py", PROGRAM)
    program = t.start(PYTHON, "program.py")
    wait_for("its first hundred jobs", lambda: read(t.path("progress")).count("\n") >= 1)
    program.cycle()
    n = read(t.path("progress")).count("\n")
    wait_for("progress after the last wake", lambda: read(t.path("progress")).count("\n") > n + 1)
    t.write("stop", "")
    program.must_end()
    expect("correct" in read(program.output), "it ended without its last word")


run(test)
