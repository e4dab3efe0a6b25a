# SPDX-License-Identifier: Apache-2.0
"""What every benchmark gets: where things are, how thorough to be, and where results go."""

import contextlib
import os
import shutil
import time

from freeze import Failure, Skip, reap, reap_orphans, tree_of
from kit.command import Images, Torpor, yardstick_ms
from kit.program import Program
from kit.results import Results

# Milliseconds that an existing engine was measured to need for the same, on the machine that this
# project began on. "pause" is what its statistics call frozen time.
PUBLISHED = {"idle dump": 45.0, "idle pause": 4.0, "idle restore": 36.0,
             "tree of 1000 dump": 3900.0, "tree of 1000 restore": 2400.0}


class Context:
    def __init__(self, binary, helpers, directory, disk, quick):
        self.helpers, self.dir, self.disk, self.quick = helpers, directory, disk, quick
        self.torpor = Torpor(binary, os.path.join(helpers, "meter"))
        self.results = Results()
        self.criu = None
        self.find_criu()

    def find_criu(self):
        """If one is installed that works here, it does the small jobs, too, and is compared with."""
        criu = shutil.which("criu")
        if not criu or os.path.realpath(criu) == os.path.realpath(self.torpor.binary):
            return
        try:
            self.cycle(Torpor(criu, None), "idle")
            self.criu = Torpor(criu, None)
        except Failure:
            self.results.note("criu is installed, but doesn't work on this kernel: published "
                              "numbers stand for it")

    def runs(self, quick, full):
        return quick if self.quick else full

    def program(self, *argv):
        """To be used with "with"."""
        return Program(os.path.join(self.helpers, "target"), self.dir, *argv)

    def images(self, directory=None):
        return Images.new(directory or self.dir)

    def need_memory(self, mib):
        with open("/proc/meminfo") as f:
            available = next(int(line.split()[1]) for line in f
                             if line.startswith("MemAvailable:")) / 1024
        if available < mib:
            raise Skip(f"takes {mib / 1024:.1f} GiB of memory, {available / 1024:.1f} are available")

    @contextlib.contextmanager
    def case(self, name, mib=0):
        """One size or shape. Where there isn't the memory for it, the rest of the benchmark is left
        out: larger ones follow."""
        self.need_memory(mib + 1024)
        begin = time.monotonic()
        try:
            print(f"  {name} ...", flush=True)
            yield
        except Skip as skip:
            self.results.note(f"{name}: left out: {skip}")
        finally:
            print(f"  {name}: {time.monotonic() - begin:.1f} s", flush=True)

    # ---- plain kernel work

    def uffd_ms(self, path, threads=1):
        return yardstick_ms(os.path.join(self.helpers, "yardstick"), "uffd", path, threads)

    def readv_ms(self, program):
        """All memory of all tasks; the worst pause that the program feels meanwhile."""
        total = 0
        with program.window() as pause:
            for pid, i in zip(program.pids(), range(program.tasks)):
                task = program.task(i)
                total += yardstick_ms(os.path.join(self.helpers, "yardstick"), "readv", pid,
                                      task["addr"], task["size"])
        return total, pause

    def read_ms(self, path):
        return yardstick_ms(os.path.join(self.helpers, "yardstick"), "read", path)

    # ---- dump and restore of something small

    def cycle(self, engine, *argv):
        """Starts, dumps, restores, kills. Times in ms, the image in MiB."""
        with self.images() as images, self.program(*argv) as program:
            pids = program.pids()
            dump = engine.run("dump", images, "-t", program.pid)
            left = reap(pids)
            if left:
                raise Failure(f"still there after the dump: {len(left)} of {len(pids)}")
            restore = engine.run("restore", images, "-d")
            after = tree_of(program.pid)
            if sorted(after) != sorted(pids):
                raise Failure(f"{len(pids)} processes before, {len(after)} after")
            return {"dump": dump, "restore": restore, "pause": images.stats()["frozen"],
                    "image": images.mib()}

    def small(self, bench, name, runs, *argv):
        """Rows for something that is small or many, not large."""
        rows = {what: self.results.row(bench, name, what) for what in ("dump", "restore")}
        done = [self.cycle(self.torpor, *argv) for _ in range(runs)]
        rival = [self.cycle(self.criu, *argv) for _ in range(runs)] if self.criu else []
        for what, row in rows.items():
            row.wall.extend(d[what] for d in done)
            if rival:
                row.yard_name = "criu, here"
                row.yard.extend(d[what] for d in rival)
            elif f"{name} {what}" in PUBLISHED:
                row.yard_name = "existing engine"
                row.yard.append(PUBLISHED[f"{name} {what}"])
        rows["dump"].pause.extend(d["pause"] for d in done)
        rows["dump"].image = done[0]["image"]
        return rows["dump"], rows["restore"]

    def end(self, program, pids):
        """After a dump that left the program running, or a restore: it goes, all of it."""
        program.kill()
        reap(pids)
        reap_orphans()
