# SPDX-License-Identifier: Apache-2.0
"""What it costs to note and to compare what files contain: python3 with 200 libraries mapped."""

import contextlib
import glob
import os
import shutil
import subprocess
import tempfile

from freeze import PYTHON, Skip, kill_tree, reap, wait_for

LIBRARIES = 200
PROGRAM = """
import ctypes, glob, os, time
libraries = [ctypes.CDLL(name) for name in glob.glob("./*.so")]
open("ready", "w").close()
while True:
    time.sleep(1)
"""
METHODS = ("buildid", "chksm-first", "chksm-every", "chksm-full")
GOAL = 1.05  # of the default, beside sizes alone; of the fastest runs: what differs is little


@contextlib.contextmanager
def program(bench):
    library = glob.glob("/lib/*/libm.so.6") + glob.glob("/lib*/libm.so.6")
    if not library:
        raise Skip("no libm.so.6 to copy")
    with tempfile.TemporaryDirectory(prefix="libraries-", dir=bench.dir) as directory:
        for i in range(LIBRARIES):
            shutil.copy(library[0], os.path.join(directory, f"{i}.so"))
        popen = subprocess.Popen([PYTHON, "-c", PROGRAM], cwd=directory, start_new_session=True,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        popen.returncode = 0  # waited for by pid: it is dumped and restored
        try:
            wait_for("the program", lambda: os.path.exists(os.path.join(directory, "ready")))
            yield popen.pid
        finally:
            kill_tree(popen.pid)


def dump_ms(bench, pid, row, *options):
    with bench.images() as images:
        took = bench.torpor.run("dump", images, "-t", pid, "--leave-running", *options)
        if row:
            row.pause.append(images.stats()["frozen"])
            row.image = images.mib()
        return took


def dumps(bench, pid):
    rows = {method: bench.results.row("validation", method, "dump", libraries=LIBRARIES)
            for method in METHODS}
    rows["buildid and copies"] = bench.results.row("validation", "buildid and copies", "dump",
                                                   libraries=LIBRARIES)
    words = {method: (f"--file-validation={method}",) for method in METHODS}
    words["buildid and copies"] = ("--embed-mapped-files",)
    dump_ms(bench, pid, None)
    for _ in range(bench.runs(5, 21)):
        for name, row in rows.items():
            row.yard.append(dump_ms(bench, pid, None, "--file-validation=filesize"))
            row.wall.append(dump_ms(bench, pid, row, *words[name]))
    for row in rows.values():
        row.yard_name = "filesize"
    bench.results.goal(f"dump with {LIBRARIES} libraries: by build id, beside sizes alone",
                       min(rows["buildid"].wall) / min(rows["buildid"].yard), GOAL)


def restores(bench, pid):
    row = bench.results.row("validation", "buildid", "restore", libraries=LIBRARIES)
    row.yard_name = "filesize"
    with bench.images() as images:
        bench.torpor.run("dump", images, "-t", pid)
        reap([pid])
        for _ in range(bench.runs(5, 21)):
            for series, how in ((row.yard, "filesize"), (row.wall, "buildid")):
                series.append(bench.torpor.run("restore", images, "-d", f"--file-validation={how}"))
                kill_tree(pid)


def run(bench):
    with bench.case(f"{LIBRARIES} libraries", 512), program(bench) as pid:
        dumps(bench, pid)
        restores(bench, pid)
