#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Damaged images: an error each time, no crash, no hang, nothing left behind.

One dump of a small tree (damage_target.c). Then, again and again, a copy with one image cut off
at some byte, or with a few random bytes changed, is restored:

- as it is, with the sums of integrity.img: must be refused;
- without that file, as another engine's images are: one that is cut off may be restored if the cut
  left whole records, one with changed bytes where these didn't matter (the programs are left stopped
  then, and are killed: nothing is known about what they would do).

After each: torpor didn't die of a signal or a sanitizer, it ended in time, and processes, mounts
and files are as before. pages-*.img hold bytes of which each value is right, so without sums they
are cut off but not changed.

  TORPOR_DAMAGE_CUTS=N|all     places per image (default 6)
  TORPOR_DAMAGE_FLIPS=N        sets with changed bytes (default 1000)
  TORPOR_DAMAGE_SEED=N         another sequence
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from freeze import Failure, Skip, expect, kill_tree, read, reap, run, tree_of, wait_for  # noqa: E402

CUTS = os.environ.get("TORPOR_DAMAGE_CUTS", "6")
FLIPS = int(os.environ.get("TORPOR_DAMAGE_FLIPS", "1000"))
SEED = int(os.environ.get("TORPOR_DAMAGE_SEED", "1"))
HANG = 30  # seconds
SUMS = "integrity.img"
LOGS = re.compile(r"/work/(restore\.log(\.bin)?|stats-restore)$")
SIGNS_OF_A_CRASH = ("AddressSanitizer", "UndefinedBehaviorSanitizer", "runtime error:",
                    "LeakSanitizer", "Assertion", "stack smashing", "buffer overflow detected")


def dump_target(t):
    binary = t.path("target")
    cc = os.environ.get("CC", "cc").split()
    if not shutil.which(cc[0]):
        raise Skip("no C compiler")
    subprocess.run([*cc, "-D_GNU_SOURCE", "-O1", "-pthread", os.path.join(HERE, "damage_target.c"),
                    "-o", binary], check=True)
    program = t.start(binary)
    wait_for("the target", lambda: os.path.exists(t.path("ready")))
    program.freeze()
    return program


def machine(t):
    """What must be the same after a failed restore."""
    files = [os.path.join(top, name) for top, dirs, names in os.walk(t.dir)
             for name in dirs + names if not name.startswith("failed-")]
    files += [os.path.join("/run", name) for name in os.listdir("/run") if "torpor" in name]
    return {"processes": sorted(p for p in tree_of(os.getpid())[1:]),
            "mounts": read("/proc/self/mountinfo"),
            "files": sorted(f for f in files if not LOGS.search(f) and "/failed-" not in f)}


class Damage:
    def __init__(self, t):
        self.t, self.random = t, random.Random(SEED)
        self.program = dump_target(t)
        self.images = self.program.images
        self.set = t.path("damaged")
        self.work = t.path("work")
        self.counts = {"refused": 0, "restored": 0}
        self.complaints = []

    def prepare(self, name, data, summed):
        """A set that shares all images but one with the original."""
        for directory in (self.set, self.work):
            shutil.rmtree(directory, ignore_errors=True)
            os.mkdir(directory)
        for image in os.listdir(self.images):
            if image.endswith(".img") and image != name and (summed or image != SUMS):
                os.link(os.path.join(self.images, image), os.path.join(self.set, image))
        with open(os.path.join(self.set, name), "wb") as f:
            f.write(data)

    def restore(self, what, may_succeed):
        """One restore of the damaged set; complains by itself, and keeps the set then."""
        before = machine(self.t)
        cmd = ["restore", "-d", "--leave-stopped", "-D", self.set, "-W", self.work, "-v4",
               "-o", "restore.log"]
        try:
            done = self.t.torpor.run(*cmd, limit=HANG)
        except Failure:
            return self.complain(what, "hangs")
        words = done.stderr + done.stdout
        log = read(os.path.join(self.work, "restore.log"))
        if done.returncode < 0 or any(sign in words + log for sign in SIGNS_OF_A_CRASH):
            self.complain(what, f"died with {done.returncode}:\n{words[:3000]}")
        elif done.returncode == 0:
            self.counts["restored"] += 1
            if not may_succeed:
                self.complain(what, "was restored as if nothing were missing")
            for pid in tree_of(os.getpid())[1:]:
                kill_tree(pid)
        else:
            self.counts["refused"] += 1
            if "Error" not in words + log:
                self.complain(what, "failed without saying why")
            # What torpor has killed may need a moment to vanish.
            reap(set(tree_of(os.getpid())[1:]), limit=2)
        self.compare(what, before)

    def compare(self, what, before):
        after = machine(self.t)
        for kind, was in before.items():
            if after[kind] != was:
                self.complain(what, f"left {kind} behind: {after[kind]} instead of {was}")
        for pid in tree_of(os.getpid())[1:]:
            kill_tree(pid)

    def complain(self, what, complaint):
        kept = self.t.path(f"failed-{len(self.complaints)}")
        shutil.copytree(self.set, kept)
        for extra in os.listdir(self.work):
            shutil.copy(os.path.join(self.work, extra), kept)
        self.complaints.append(f"{what}: {complaint} (kept in {kept})")
        print(self.complaints[-1], flush=True)
        if len(self.complaints) >= 20:
            raise Failure("twenty complaints are enough")

    def image_names(self):
        return sorted(n for n in os.listdir(self.images) if n.endswith(".img"))

    def original(self, name):
        with open(os.path.join(self.images, name), "rb") as f:
            return f.read()

    def cut(self, name):
        data = self.original(name)
        lengths = range(len(data))
        # Pages have no records: of them it is the size alone that tells.
        places = int(CUTS) if CUTS != "all" else 100 if name.startswith("pages-") else len(data)
        if len(data) > places:
            lengths = {0, len(data) - 1, *self.random.sample(lengths, max(0, places - 2))}
        for length in sorted(lengths):
            for summed in (True, False):
                self.prepare(name, data[:length], summed)
                self.restore(f"{name} cut off at {length} of {len(data)}", may_succeed=not summed)

    def flip(self, number):
        summed = number % 4 == 0
        name = self.random.choice([n for n in self.image_names()
                                   if summed or not n.startswith(("pages-", "sums-", SUMS))])
        data = bytearray(self.original(name))
        places = sorted(self.random.sample(range(len(data)), min(len(data), self.random.randint(1, 4))))
        for place in places:
            data[place] ^= self.random.randint(1, 255)
        self.prepare(name, bytes(data), summed)
        self.restore(f"set {number}: {name} changed at {places}", may_succeed=not summed)


def test(t):
    damage = Damage(t)
    for name in damage.image_names():
        damage.cut(name)
    for number in range(FLIPS):
        damage.flip(number)
    # The undamaged set still works: everything above was refused for its damage.
    t.torpor.restore(damage.images)
    os.kill(damage.program.pid, signal.SIGUSR1)
    damage.program.must_end()
    print(f"{damage.counts['refused']} refused, {damage.counts['restored']} restored")
    expect(not damage.complaints, f"{len(damage.complaints)} complaints")


run(test)
