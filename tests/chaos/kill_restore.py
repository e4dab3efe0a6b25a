#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""torpor is killed at random moments of a restore: nothing is left behind, or all is there.

Each restore is of the same images. After a kill the tree has vanished, with everything that was
made for it, unless the last step was done: then the whole of it is there and works. How often:
see chaos.py.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import snapshot  # noqa: E402
from chaos import KILLS, Killer, Tree, compile_target  # noqa: E402
from freeze import expect, reap, run, tree_of  # noqa: E402


class Restores:
    def __init__(self, t):
        self.t, self.tree, self.killer = t, Tree(t), Killer(t)
        self.images = t.path("images")
        self.counts = {"killed": 0, "finished": 0, "complete": 0}
        os.mkdir(self.images)
        self.tree.check("before")
        t.torpor.dump(self.images, self.tree.pid)
        expect(not reap(self.tree.tree), "still there after the dump")
        self.before = self.machine()

    def words(self):
        return ["restore", "-d", "-D", self.images, "-v4", "-o", "restore.log"]

    def machine(self):
        files = sorted(os.listdir(self.tree.dir))
        return {**snapshot.machine(), "tree's files": files, "ours": tree_of(os.getpid())[1:]}

    def check_nothing_left(self, when):
        """Death takes a moment; nothing else may be awaited."""
        deadline = time.monotonic() + 5
        while True:
            reap(self.tree.tree, limit=0)
            lines = [f"pid {pid} is left" for pid in self.tree.left()]
            lines += snapshot.compare({0: self.before}, {0: self.machine()})
            if not lines:
                return
            expect(time.monotonic() < deadline, "\n".join([f"{when}: left behind:", *lines]))
            time.sleep(0.005)

    def strike(self, number, longest):
        when = f"kill {number}"
        killed = self.killer.strike(self.words(), longest)
        self.counts["killed" if killed else "finished"] += 1
        if self.tree.goes_on():
            self.counts["complete"] += killed
            self.tree.check(when)
            self.tree.kill()
        else:
            expect(killed, f"{when}: restored, but it isn't there")
        self.check_nothing_left(when)


def test(t):
    compile_target(t)
    restores = Restores(t)
    longest = restores.killer.measure(restores.words(), lambda: restores.tree.kill())
    restores.tree.kill()
    for number in range(KILLS):
        restores.strike(number, longest)
    # The images still hold what they did.
    t.torpor.restore(restores.images)
    restores.tree.check("at the end")
    restores.tree.finish()
    counts = restores.counts
    print(f"{counts['killed']} restores killed within {longest * 1000:.0f} ms, "
          f"{counts['complete']} of them when the tree was complete already; "
          f"{counts['finished']} finished before")
    expect(counts["killed"] > KILLS / 4, f"too few were killed: {counts}")


run(test)
