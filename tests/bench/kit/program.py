# SPDX-License-Identifier: Apache-2.0
"""A target (target.c), and its board (board.h): asking it for things while it runs."""

import contextlib
import mmap
import os
import struct
import subprocess
import time

from freeze import kill_tree, reap, tree_of, wait_for

WINDOW, TOUCH, TOUCH_PAGES, RATE, WRITE = range(5)  # words of the board
TICKERS, TICKER_WORDS = 5, 4
TASKS, TASK_WORDS = TICKERS + 2 * TICKER_WORDS, 7
BOARD_SIZE = 4096


class Pause:
    """What the threads of a program felt in a window: milliseconds between two ticks."""

    def __init__(self):
        self.main = self.thread = None  # the largest
        self.long_gaps = None           # how many of more than a quarter of a millisecond

    @property
    def worst(self):
        return max(self.main, self.thread)


class Program:
    def __init__(self, target, directory, *argv):
        self.dir = directory
        ready = os.path.join(directory, "ready")
        if os.path.exists(ready):
            os.unlink(ready)
        with open(os.path.join(directory, "board"), "w+b") as f:
            f.truncate(BOARD_SIZE)
            self.board = mmap.mmap(f.fileno(), BOARD_SIZE)
        popen = subprocess.Popen([target, *map(str, argv)], cwd=directory,
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, start_new_session=True)
        self.pid = popen.pid
        wait_for(f"target {argv}", lambda: os.path.exists(ready) or popen.poll() is not None)
        popen.returncode = 0  # from here on it is ours to reap, also when it has been restored
        self.tasks = 0
        while self.tasks < 16 and self.get(TASKS + self.tasks * TASK_WORDS):
            self.tasks += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def kill(self):
        """Unless it is gone: then the pid may be somebody else's by now."""
        try:
            with open(f"/proc/{self.pid}/stat") as f:
                parent = int(f.read().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            return
        if parent == os.getpid():
            kill_tree(self.pid)

    def pids(self):
        return tree_of(self.pid)

    def reaped(self, pids):
        """After a dump that ends the tree: is it gone?"""
        return not reap(pids)

    # ---- the board

    def get(self, word):
        return struct.unpack_from("=Q", self.board, word * 8)[0]

    def put(self, word, value):
        struct.pack_into("=Q", self.board, word * 8, value)

    def task(self, i):
        names = ("addr", "size", "touched", "written", "begin_ns", "end_ns", "pages")
        at = (TASKS + i * TASK_WORDS) * 8
        return dict(zip(names, struct.unpack_from("=7Q", self.board, at)))

    def ticker(self, i):
        """(window, ticks, largest gap in ns, long gaps) of the main thread (0) or another (1)"""
        return struct.unpack_from("=4Q", self.board, (TICKERS + i * TICKER_WORDS) * 8)

    @contextlib.contextmanager
    def window(self):
        """with program.window() as pause: ... ; then pause says what the program felt meanwhile."""
        number, pause = self.get(WINDOW) + 1, Pause()
        self.put(WINDOW, number)
        wait_for("the target ticks", lambda: all(self.ticker(i)[0] == number for i in (0, 1)))
        yield pause
        # A gap is known when it is over.
        ticks = [self.ticker(i)[1] for i in (0, 1)]
        wait_for("the target ticks on",
                 lambda: all(self.ticker(i)[1] > ticks[i] + 1 for i in (0, 1)))
        pause.main, pause.thread = (self.ticker(i)[2] / 1e6 for i in (0, 1))
        pause.long_gaps = max(self.ticker(i)[3] for i in (0, 1))

    @contextlib.contextmanager
    def real_time(self):
        """No other program keeps its threads from a CPU: what pauses them now is a real stop."""
        tids = [int(tid) for tid in os.listdir(f"/proc/{self.pid}/task")]
        for tid in tids:
            os.sched_setscheduler(tid, os.SCHED_FIFO, os.sched_param(1))
        try:
            yield
        finally:
            for tid in tids:
                os.sched_setscheduler(tid, os.SCHED_OTHER, os.sched_param(0))

    def quiet(self, seconds):
        """The largest gap with nobody around: what the machine itself does to the program."""
        with self.window() as pause:
            time.sleep(seconds)
        return pause

    def wish(self, word, done, what):
        number = self.get(word) + 1
        self.put(word, number)
        wait_for(what, lambda: all(self.task(i)[done] == number for i in range(self.tasks)))

    def touch(self, share):
        """Each task rewrites this share of its pages, no page twice. Returns how many in all."""
        pages = round(self.task(0)["size"] // 4096 * share)
        self.put(TOUCH_PAGES, pages)
        self.wish(TOUCH, "touched", "the target rewrites pages")
        return pages * self.tasks

    def rate(self, pages_per_second):
        """From now on; of each task."""
        self.put(RATE, round(pages_per_second))

    def write_ms(self):
        """All tasks write() their memory to files, at once."""
        self.wish(WRITE, "written", "the target writes its memory")
        tasks = [self.task(i) for i in range(self.tasks)]
        return (max(t["end_ns"] for t in tasks) - min(t["begin_ns"] for t in tasks)) / 1e6


def pss_mib(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            total += next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
    return total / 1024


def anonymous_frames(pids):
    """How many different page frames of private memory a tree has. Needs root (pagemap)."""
    present, of_file, pfn = 1 << 63, 1 << 61, (1 << 55) - 1
    frames = set()
    for pid in pids:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/pagemap", "rb") as pagemap:
            for line in maps:
                if "[v" in line:  # vdso, vvar, vsyscall: the kernel's
                    continue
                start, end = (int(x, 16) for x in line.split()[0].split("-"))
                pagemap.seek(start // 4096 * 8)
                data = pagemap.read((end - start) // 4096 * 8)
                frames.update(e & pfn for e in memoryview(data).cast("Q")
                              if e & present and not e & of_file)
    return len(frames)


def table_mib(pids):
    """Page tables of the programs themselves: a tracker may make them grow."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status") as f:
            total += next(int(line.split()[1]) for line in f if line.startswith("VmPTE:"))
    return total / 1024


def keepers(pid):
    """Processes that hold trackers of this one: they have a pidfd of it, and a name."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/comm") as f:
                if not f.read().startswith("torpor-keeper"):
                    continue
            for fd in os.listdir(f"/proc/{name}/fdinfo"):
                with open(f"/proc/{name}/fdinfo/{fd}") as f:
                    if f"\nPid:\t{pid}\n" in f.read():
                        found.append(int(name))
                        break
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found
