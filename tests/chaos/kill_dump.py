#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""torpor is killed at random moments of a dump: the target goes on unharmed.

By turns with --leave-running and without. Without it the tree is killed at the end of the dump:
then all of it must be gone or none, and if it is gone, the images must be complete: it is
restored from them and goes on. How often: see chaos.py.
"""

import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from chaos import KILLS, Killer, Tree, compile_target  # noqa: E402
from freeze import expect, run  # noqa: E402


class Dumps:
    def __init__(self, t):
        self.t, self.tree, self.killer = t, Tree(t), Killer(t)
        self.images = t.path("images")
        self.counts = {"killed": 0, "finished": 0, "gone": 0}

    def words(self, *more):
        return ["dump", "-t", self.tree.pid, "-D", self.images, "-v4", "-o", "dump.log", *more]

    def prepare(self):
        shutil.rmtree(self.images, ignore_errors=True)
        os.mkdir(self.images)

    def bring_back(self):
        self.t.torpor.restore(self.images)
        self.counts["gone"] += 1

    def strike(self, number, longest):
        leave = number % 2 == 0
        when = f"kill {number} ({'--leave-running' if leave else 'plain'})"
        self.prepare()
        killed = self.killer.strike(self.words(*["--leave-running"] if leave else []), longest)
        self.counts["killed" if killed else "finished"] += 1
        if not self.tree.goes_on():
            expect(not leave, f"{when}: the tree is gone")
            self.bring_back()
        self.tree.check(when)


def test(t):
    compile_target(t)
    dumps = Dumps(t)
    dumps.tree.check("before")
    longest = dumps.killer.measure(dumps.words("--leave-running"), dumps.prepare)
    for number in range(KILLS):
        dumps.strike(number, longest)
    dumps.tree.finish()
    counts = dumps.counts
    print(f"{counts['killed']} dumps killed within {longest * 1000:.0f} ms, {counts['finished']} "
          f"finished before; {counts['gone']} times the tree was gone and came back")
    expect(counts["killed"] > KILLS / 4, f"too few were killed: {counts}")


run(test)
