#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""torpor is killed at random moments of pre-dumps and dumps that build on each other.

The program goes on, carries nothing of ours, and the next step is right: either a full one, or on
top of what is known for certain. After some kills it is dumped, restored from whatever chain there
is, and checks itself. How often: see chaos.py.
"""

import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import images  # noqa: E402
from chaos import KILLS, Killer  # noqa: E402
from freeze import Failure, expect, read, run, tree_of, wait_for  # noqa: E402
from paged import await_no_keeper, keepers, reap_keepers, tracked  # noqa: E402
from stormy import Storm  # noqa: E402

PER_CHAIN = 8


class Chain:
    def __init__(self, t):
        self.t, self.storm, self.killer = t, Storm(t), Killer(t)
        self.number = self.level = 0
        self.longest = 0  # seconds that a step takes
        self.keeper = []
        self.counts = {"killed": 0, "finished": 0, "restored": 0, "full": 0}

    def images(self, level):
        return self.t.path(f"chain-{self.number}", str(level))

    def begin(self):
        shutil.rmtree(self.t.path(f"chain-{self.number}"), ignore_errors=True)
        self.number += 1
        self.level = self.complete = 0

    def words(self, verb, *more):
        """On top of the last level, whatever became of it, or of the last one that is complete."""
        self.level += 1
        os.makedirs(self.images(self.level))
        last = self.killer.random.choice((self.level - 1, self.complete))
        previous = ["--prev-images-dir", f"../{last}"] if last else []
        return [verb, "-t", self.storm.pid, "-D", self.images(self.level), "-v4", "-o", "dump.log",
                "--track-mem", *previous, *more]

    def measure(self):
        self.longest = 0
        for verb in (["pre-dump"], ["dump", "--leave-running"]) * 2:
            begin = time.monotonic()
            self.t.torpor.must(*self.words(*verb))
            self.complete = self.level
            self.longest = max(self.longest, time.monotonic() - begin)

    def strike(self):
        verb = self.killer.random.choice((["pre-dump"], ["dump", "--leave-running"]))
        words = self.words(*verb)
        popen = subprocess.Popen([self.t.torpor.binary, *map(str, words)],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 start_new_session=True)
        begin = time.monotonic()
        try:
            status = popen.wait(timeout=self.killer.random.uniform(0, 2 * self.longest))
            # The machine may have been busier when it was measured.
            self.longest = min(self.longest, time.monotonic() - begin)
        except subprocess.TimeoutExpired:
            popen.kill()
            status = popen.wait()
        when = f"chain {self.number} level {self.level} ({' '.join(verb)}, status {status})"
        expect(status in (0, -signal.SIGKILL), f"{when}: {self.errors()}")
        self.counts["killed" if status else "finished"] += 1
        if status == 0:
            self.complete = self.level
        self.check(when, status == 0)

    def errors(self):
        log = read(os.path.join(self.images(self.level), "dump.log"))
        return [line for line in log.splitlines() if "Error" in line] or log[-1000:]

    def check(self, when, finished):
        self.storm.check(when)
        self.await_helpers(when)
        reap_keepers()
        before, self.keeper = self.keeper, keepers()
        expect(len(self.keeper) <= 1, f"{when}: keepers {self.keeper}")
        expect(self.keeper or not finished, f"{when}: no keeper")
        # A new one stands for complete images; and without one nothing is tracked.
        if self.keeper and self.keeper != before:
            expect(os.path.exists(os.path.join(self.images(self.level), "inventory.img")),
                   f"{when}: a keeper for images that aren't complete")
        elif not self.keeper:
            wait_for(f"the protection to end, {when}", lambda: not tracked(self.storm.pid), limit=30)

    def await_helpers(self, when):
        """Children of torpor that outlive it for a moment have its name."""
        name = os.path.basename(self.t.torpor.binary)

        def gone():
            self.storm.reap_rest()
            return not [pid for pid in tree_of(os.getpid())[1:]
                        if images_comm(pid) == name]
        wait_for(f"torpor's children to end, {when}", gone, limit=60)

    def bring_back(self):
        """The last dump, on top of whatever there is; or of one more step that is well."""
        if self.killer.random.randrange(2):
            self.t.torpor.must(*self.words("pre-dump"))
            self.complete = self.level
        words, pids = self.words("dump"), tree_of(self.storm.pid)
        self.t.torpor.must(*words)
        self.storm.await_gone(pids)
        await_no_keeper("after the last dump")
        directory = self.images(self.level)
        try:
            found = images.check_chain(directory)
        except images.Broken as broken:
            raise Failure(f"{directory}: {broken}") from None
        self.counts["full"] += not found["parent"]
        self.t.torpor.restore(directory)
        self.counts["restored"] += 1
        self.storm.check(f"restored from {directory}")


def images_comm(pid):
    try:
        with open(f"/proc/{pid}/comm") as f:
            return f.read().strip()
    except OSError:
        return ""


def test(t):
    chain = Chain(t)
    chain.storm.check("before")
    chain.begin()
    chain.measure()
    for number in range(KILLS):
        if number % PER_CHAIN == 0:
            chain.begin()
        chain.strike()
        if number % PER_CHAIN == PER_CHAIN - 1:
            chain.bring_back()
    chain.bring_back()
    chain.storm.finish()
    counts = chain.counts
    print(f"{counts['killed']} killed within {chain.longest * 1000:.0f} ms, {counts['finished']} finished "
          f"before, {counts['restored']} restored, {counts['full']} of those from full dumps")
    expect(counts["killed"] > KILLS / 10, f"too few were killed: {counts}")


run(test)
