#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One bit of one image, whichever: the restore says which file it is, and leaves nothing behind.

A dump of a tree with an image of nearly every kind. In a copy of it one random bit of one file is
flipped, for each file in turn, then for random ones (TORPOR_FLIPS of them, default 60;
TORPOR_SEED for another sequence). Then, with --no-verify, sums stop nothing: a tree with
a wrong bit in its memory is restored. At last the same with a chain, flipping bits of the parent.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from freeze import Skip, expect, kill_tree, reap, run, tree_of, wait_for  # noqa: E402

FLIPS = int(os.environ.get("TORPOR_FLIPS", "60"))
SEED = int(os.environ.get("TORPOR_SEED", str(time.time_ns() % 100000)))


def dump_target(t):
    cc = os.environ.get("CC", "cc").split()
    if not shutil.which(cc[0]):
        raise Skip("no C compiler")
    source = os.path.join(HERE, "..", "chaos", "damage_target.c")
    subprocess.run([*cc, "-D_GNU_SOURCE", "-O1", "-pthread", source, "-o", t.path("target")],
                   check=True)
    program = t.start(t.path("target"))
    wait_for("the target", lambda: os.path.exists(t.path("ready")))
    program.freeze()
    return program


class Flips:
    def __init__(self, t, images):
        self.t, self.images, self.random = t, images, random.Random(SEED)
        self.names = sorted(n for n in os.listdir(images) if n.endswith(".img"))
        self.copy = t.path("copy")

    def flip(self, name, at=None):
        """A copy of the set with one other bit; where that is, in words."""
        shutil.rmtree(self.copy, ignore_errors=True)
        os.mkdir(self.copy)
        for other in self.names:
            if other != name:
                os.link(os.path.join(self.images, other), os.path.join(self.copy, other))
        with open(os.path.join(self.images, name), "rb") as f:
            data = bytearray(f.read())
        at = self.random.randrange(len(data)) if at is None else at
        bit = self.random.randrange(8)
        data[at] ^= 1 << bit
        with open(os.path.join(self.copy, name), "wb") as f:
            f.write(data)
        return at, f"{name}, byte {at}, bit {bit}"

    def restore(self, *options):
        return self.t.torpor.run("restore", "-d", "--leave-stopped", "-D", self.copy, *options)

    def must_be_refused(self, name):
        at, what = self.flip(name)
        before = sorted(os.listdir(self.t.dir))
        done = self.restore()
        expect(done.returncode == 1, f"{what}: exit status {done.returncode}\n{done.stderr}")
        expect(name in done.stderr, f"{what}: not named in: {done.stderr}")
        reap(set(tree_of(os.getpid())[1:]), limit=2)
        left = tree_of(os.getpid())[1:]
        expect(not left, f"{what}: left behind: {left}")
        after = sorted(os.listdir(self.t.dir))
        expect(after == before, f"{what}: {after} instead of {before}")
        if name.startswith("pages-"):
            page = at // 4096 * 4096
            expect(re.search(rf"{name}: the page at byte {page} has changed.*"
                             r"\(pagemap-.*\.img at 0x[0-9a-f]+\)", done.stderr),
                   f"{what}: whose page it is isn't said: {done.stderr}")

    def is_not_compared(self, name):
        _, what = self.flip(name)
        done = self.restore("--no-verify")
        expect(done.returncode in (0, 1), f"{what}: exit status {done.returncode}\n{done.stderr}")
        expect("since it was dumped" not in done.stderr, f"{what}: compared all the same")
        if name.startswith(("pages-", "sums-")) or name == "integrity.img":
            expect(done.returncode == 0, f"{what}: {done.stderr}")
        for pid in tree_of(os.getpid())[1:]:
            kill_tree(pid)


def flip_in_place(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 4]))


def chain(t, chance):
    """The parent's pages are compared, those that are used; its other images all."""
    os.unlink(t.path("ready"))
    for name in "fifo", "deleted", "large":
        if os.path.exists(t.path(name)):
            os.unlink(t.path(name))
    program = t.start(t.path("target"))
    wait_for("the target", lambda: os.path.exists(t.path("ready")))
    parent, images = t.path("parent-images"), t.path("child-images")
    for directory in parent, images:
        os.mkdir(directory)
    pids = tree_of(program.pid)
    t.torpor.must("pre-dump", "-t", program.pid, "-D", parent, "-o", "dump.log")
    t.torpor.must("dump", "-t", program.pid, "-D", images, "--prev-images-dir", "../parent-images",
                  "-o", "dump.log")
    expect(not reap(pids), "still there after the dump")
    refused = 0
    for name in sorted(n for n in os.listdir(parent) if n.endswith(".img")):
        path = os.path.join(parent, name)
        for _ in range(8 if name.startswith("pages-") else 1):
            at = chance.randrange(os.path.getsize(path))
            flip_in_place(path, at)
            done = t.torpor.run("restore", "-d", "--leave-stopped", "-D", images)
            what = f"parent's {name}, byte {at}"
            if done.returncode == 0 and name.startswith("pages-"):
                for pid in tree_of(os.getpid())[1:]:
                    kill_tree(pid)
            else:
                expect(done.returncode == 1, f"{what}: exit status {done.returncode}")
                expect(name in done.stderr and parent in done.stderr,
                       f"{what}: not named in: {done.stderr}")
                refused += name.startswith("pages-")
            flip_in_place(path, at)
    expect(refused, "no flip in the parent's pages was noticed")
    t.torpor.restore(images)
    os.kill(program.pid, signal.SIGUSR1)
    program.must_end()


def test(t):
    print(f"seed {SEED}")
    program = dump_target(t)
    flips = Flips(t, program.images)
    for kind in ("pages-1.img", "sums-1.img", "pagemap-", "core-", "ghost-file-", "inventory.img",
                 "integrity.img", "memfd.img", "pipes-data.img"):
        expect(any(n.startswith(kind) for n in flips.names), f"there is no {kind}")
    for name in flips.names:
        flips.must_be_refused(name)
        flips.is_not_compared(name)
    for _ in range(FLIPS):
        flips.must_be_refused(flips.random.choice(flips.names))
    t.torpor.restore(program.images)
    os.kill(program.pid, signal.SIGUSR1)
    program.must_end()
    chain(t, flips.random)


run(test)
