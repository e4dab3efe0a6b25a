#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""python3 with forked processes: Value, Array, Lock, Queue, Pool and named shared memory."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import PYTHON, expect, read, run, wait_for  # noqa: E402

PROGRAM = r"""
import multiprocessing as mp, os, struct, time
from multiprocessing import shared_memory

CELLS = 64

def adder(me, total, cells, lock, name, stop):
    '''Moves value about between cells, never creating or losing any.'''
    shm = shared_memory.SharedMemory(name=name)
    n = 0
    while not stop.is_set():
        i, j = (n * 7 + me) % CELLS, (n * 13 + 5 * me + 1) % CELLS
        with lock:
            cells[i] -= 1
            cells[j] += 1
        with total.get_lock():
            total.value += 1
        n += 1
        struct.pack_into("q", shm.buf, 8 * me, n)
    shm.close()

def square(x):
    return os.getpid(), x * x

if __name__ == "__main__":
    mp.set_start_method("fork")
    total, lock, stop = mp.Value("q", 0), mp.Lock(), mp.Event()
    cells = mp.Array("q", [1000] * CELLS, lock=False)
    shm = shared_memory.SharedMemory(create=True, size=1 << 20)
    shm.buf[4096:4096 + 5] = b"abcde"
    try:
        ps = [mp.Process(target=adder, args=(i, total, cells, lock, shm.name, stop))
              for i in range(3)]
        for p in ps:
            p.start()
        with mp.Pool(2) as pool, open("progress", "w") as progress:
            n = 0
            while not os.path.exists("stop"):
                out = pool.map(square, range(n, n + 50))
                assert [y for _, y in out] == [x * x for x in range(n, n + 50)]
                n += 50
                progress.write(f"{n}\n"); progress.flush()
        stop.set()
        for p in ps:
            p.join()
            assert p.exitcode == 0, p
        counts = struct.unpack_from("3q", shm.buf, 0)
        assert sum(counts) == total.value, (counts, total.value)
        assert min(counts) > 0, counts
        assert sum(cells[:]) == 1000 * CELLS, sum(cells[:])
        assert bytes(shm.buf[4096:4101]) == b"abcde"
    finally:
        shm.close()
        shm.unlink()
    print("correct")
"""


def test(t):
    t.write("program.py", PROGRAM)
    program = t.start(PYTHON, "program.py")
    wait_for("its first results", lambda: read(t.path("progress")))
    program.cycle()
    n = len(read(t.path("progress")))
    wait_for("progress after the last wake", lambda: len(read(t.path("progress"))) > n + 10)
    t.write("stop", "")
    program.must_end()
    expect("correct" in read(program.output), "it ended without its last word")


run(test)
