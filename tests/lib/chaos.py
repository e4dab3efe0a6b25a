# SPDX-License-Identifier: Apache-2.0
"""What kill_dump.py and kill_restore.py share: a tree that checks itself, and kills at random.

  TORPOR_KILLS=N    how many (default 60; 1000 for a release)
  TORPOR_SEED=N     another sequence
"""

import contextlib
import mmap
import os
import random
import shutil
import signal
import struct
import subprocess
import time

from freeze import Failure, Skip, alive, expect, kill_tree, read, reap, tree_of, wait_for

KILLS = int(os.environ.get("TORPOR_KILLS", "60"))
SEED = int(os.environ.get("TORPOR_SEED", str(time.time_ns() % 100000)))
HERE = os.path.dirname(os.path.realpath(__file__))
PROCESSES, THREADS = 3, 4


def compile_target(t):
    cc = os.environ.get("CC", "cc").split()
    if not shutil.which(cc[0]):
        raise Skip("no C compiler")
    source = os.path.join(HERE, "..", "chaos", "kill_target.c")
    subprocess.run([*cc, "-D_GNU_SOURCE", "-O2", "-pthread", source, "-o", t.path("target")],
                   check=True)


class Tree:
    """The target, watched through the counters of its threads."""

    def __init__(self, t):
        self.t = t
        self.dir = t.path("tree")
        shutil.rmtree(self.dir, ignore_errors=True)
        os.mkdir(self.dir)
        path = os.path.join(self.dir, "progress")
        with open(path, "wb") as f:
            f.truncate(4096)
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 4096)
        self.program = t.start(t.path("target"), "progress", cwd=self.dir)
        wait_for("the target", lambda: len(self.pids()) == PROCESSES and self.working() ==
                 self.workers())
        self.tree = self.pids()

    @property
    def pid(self):
        return self.program.pid

    def pids(self):
        return tree_of(self.program.pid)

    def counters(self):
        return struct.unpack(f"{PROCESSES * THREADS}Q", self.map[:PROCESSES * THREADS * 8])

    def workers(self):
        """All but the root's fourth thread, whom nobody asks."""
        return set(range(PROCESSES * THREADS)) - {3}

    def working(self, since=None):
        since = since or [0] * (PROCESSES * THREADS)
        return {i for i, n in enumerate(self.counters()) if n > since[i]}

    def check(self, when, limit=20):
        """Everybody lives, runs untraced, gets on with his work, and has nothing to complain of."""
        since = self.counters()
        deadline = time.monotonic() + limit
        while self.working(since) != self.workers():
            if time.monotonic() > deadline or not alive(self.pid):
                idle = sorted(self.workers() - self.working(since))
                raise Failure(f"{when}: threads {idle} don't go on\n{self.states()}")
            time.sleep(0.001)
        expect(self.pids() == self.tree, f"{when}: the tree is {self.pids()}, was {self.tree}")
        for pid in self.tree:
            expect("TracerPid:\t0" in read(f"/proc/{pid}/status"), f"{when}: {pid} is traced")
        complaints = read(self.program.output)
        expect(not complaints, f"{when}: {complaints[:2000]}")

    def goes_on(self, limit=20):
        """False if it dies, as a whole; what is killed may look alive for a moment."""
        since = self.counters()
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            reap([p for p in self.tree if not alive(p)], limit=0)
            if not self.left():
                return False
            if self.working(since) == self.workers():
                return True
            time.sleep(0.001)
        raise Failure(f"neither dead nor alive:\n{self.states()}")

    def states(self):
        lines = [read(self.program.output)[:2000]]
        for pid in self.pids():
            for tid in sorted(os.listdir(f"/proc/{pid}/task")) if alive(pid) else []:
                text = read(f"/proc/{pid}/task/{tid}/status")
                words = [line for line in text.splitlines()
                         if line.startswith(("Name", "State", "TracerPid"))]
                where = read(f"/proc/{pid}/task/{tid}/syscall").strip()
                lines.append(f"{pid}/{tid} {' '.join(words)} {where}")
        return "\n".join(lines)

    def left(self):
        return [pid for pid in self.tree if os.path.exists(f"/proc/{pid}")]

    def kill(self):
        for pid in self.tree:
            if not alive(pid):
                continue
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        expect(not reap(self.tree), "the target can't be killed")
        # One of them may have seen the others die.
        os.truncate(self.program.output, 0)

    def finish(self):
        """It ends by itself, and says that it has nothing to complain of."""
        open(os.path.join(self.dir, "stop"), "w").close()
        self.program.must_end()
        os.unlink(os.path.join(self.dir, "stop"))


class Killer:
    """Runs torpor and kills it after a random time of up to a bit more than it takes."""

    def __init__(self, t):
        self.t, self.random = t, random.Random(SEED)
        print(f"seed {SEED}")

    def measure(self, words, prepare, times=5):
        """How long it takes undisturbed, in seconds."""
        longest = 0
        for _ in range(times):
            prepare()
            begin = time.monotonic()
            self.t.torpor.must(*words)
            longest = max(longest, time.monotonic() - begin)
        return longest

    def await_helpers(self):
        """What torpor has left to a child of its own is over when that has ended, too."""
        name = os.path.basename(self.t.torpor.binary)[:15]

        def gone():
            ours = [p for p in tree_of(os.getpid())[1:] if read(f"/proc/{p}/comm") == name + "\n"]
            return not reap([p for p in ours if not alive(p)], limit=0) and not ours
        wait_for("torpor's children to end", gone, limit=10)

    def strike(self, words, longest):
        """True if it was killed in time; False if it had ended by itself, well."""
        popen = subprocess.Popen([self.t.torpor.binary, *map(str, words)],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL, start_new_session=True)
        time.sleep(self.random.uniform(0, 1.2 * longest))
        if popen.poll() is None:
            popen.kill()
        status = popen.wait()
        self.await_helpers()
        if status == -signal.SIGKILL:
            return True
        images = words[words.index("-D") + 1]
        logs = [line for name in ("dump.log", "restore.log")
                for line in read(os.path.join(str(images), name)).splitlines() if "Error" in line]
        expect(status == 0, f"torpor {words[0]} ended with {status}: {logs}")
        return False


__all__ = ["KILLS", "Killer", "Tree", "alive", "compile_target", "kill_tree"]
