#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Paints a piece of the Mandelbrot set, row by row, with a pool of worker processes.

This is an ordinary program that knows nothing about being frozen. What it has in the air while it
runs: three forked workers, the pool's three threads, a fourth thread that watches the time,
queues made of pipes and semaphores, and counters in memory that all processes share.
"""

import ctypes
import multiprocessing
import sys
import threading
import time

WIDTH, ROWS, DEPTH, SAMPLES = 96, 34, 600, 12
CENTRE, SPAN = -0.743643 + 0.131825j, 0.0085
SHADES = " .:-=+*#%@"
PACE = 0.15  # seconds per row at least: it is to be watched


def escape_time(c):
    z = 0j
    for n in range(DEPTH):
        z = z * z + c
        if z.real * z.real + z.imag * z.imag > 4.0:
            return n
    return DEPTH


def paint(row):
    """One row as text; also adds what it cost to the shared counter."""
    text, cost = [], 0
    for column in range(WIDTH):
        total = 0
        for i in range(SAMPLES * SAMPLES):
            x = (column + (i % SAMPLES) / SAMPLES) / WIDTH - 0.5
            y = (row + (i // SAMPLES) / SAMPLES) / ROWS - 0.5
            total += escape_time(CENTRE + complex(x * SPAN, y * SPAN * 0.75))
        cost += total
        mean = total / (SAMPLES * SAMPLES)
        text.append(SHADES[min(9, int(10 * (mean / DEPTH) ** 0.45))])
    with iterations.get_lock():
        iterations.value += cost
    return "".join(text)


def watch(ticks):
    while True:
        time.sleep(0.01)
        ticks[0] += 1


if __name__ == "__main__":
    iterations = multiprocessing.Value(ctypes.c_uint64, 0)
    ticks = [0]
    with multiprocessing.Pool(3) as pool:
        threading.Thread(target=watch, args=(ticks,), name="watch", daemon=True).start()
        due = time.monotonic()
        for row in pool.imap(paint, range(ROWS)):
            due = max(due + PACE, time.monotonic() - PACE)
            time.sleep(max(0.0, due - time.monotonic()))
            print(row, flush=True)
    print(f"painted with {iterations.value} iterations", flush=True)
    sys.exit(0 if ticks[0] > 0 else 1)
