#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""torpor image check: whatever is damaged is found and named, all of it, without privileges.

A dump of a tree with an image of nearly every kind, and a chain. Each image is cut off at many
places, and random bits are flipped (TORPOR_FLIPS, TORPOR_SEED); several files are damaged at once.
Then without checksums: what the format alone tells.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from freeze import Skip, expect, run, wait_for  # noqa: E402

FLIPS = int(os.environ.get("TORPOR_FLIPS", "40"))
SEED = int(os.environ.get("TORPOR_SEED", str(time.time_ns() % 100000)))
SAMPLES = os.path.join(HERE, "..", "interop", "samples")


def make_images(t):
    """A pre-dump and a dump on top of it; the program goes on and ends."""
    cc = os.environ.get("CC", "cc").split()
    if not shutil.which(cc[0]):
        raise Skip("no C compiler")
    source = os.path.join(HERE, "..", "chaos", "damage_target.c")
    subprocess.run([*cc, "-D_GNU_SOURCE", "-O1", "-pthread", source, "-o", t.path("target")],
                   check=True)
    program = t.start(t.path("target"))
    wait_for("the target", lambda: os.path.exists(t.path("ready")))
    os.mkdir(t.path("1"))
    os.mkdir(t.path("2"))
    t.torpor.must("pre-dump", "-t", program.pid, "-D", t.path("1"), "-o", "dump.log")
    t.torpor.must("dump", "-t", program.pid, "-D", t.path("2"), "--prev-images-dir", "../1",
                  "--leave-running", "-o", "dump.log")
    os.kill(program.pid, signal.SIGUSR1)
    program.must_end()
    return t.path("2")


def check(t, directory, *options, status=None):
    done = t.torpor.run("image", "check", "--json", *options, directory)
    expect(done.returncode in (0, 1) and not done.stderr, f"check {directory}: {done}")
    j = json.loads(done.stdout)
    expect(done.returncode == (1 if j["problems"] else 0), f"exit status {done.returncode}: {j}")
    if status is not None:
        expect(done.returncode == status, f"check {directory}: exit status {done.returncode}: {j}")
    return j


class Copy:
    def __init__(self, t, images):
        self.t, self.images = t, images
        self.names = sorted(n for n in os.listdir(images) if n.endswith(".img"))
        self.dir = t.path("copy", "2")
        os.mkdir(t.path("copy"))
        os.symlink("../1", t.path("copy", "1"))

    def damage(self, changes):
        """A copy of the set with these files changed: name -> function of its bytes."""
        shutil.rmtree(self.dir, ignore_errors=True)
        os.mkdir(self.dir)
        os.symlink(self.t.path("1"), os.path.join(self.dir, "parent"))
        for name in self.names:
            path = os.path.join(self.images, name)
            if name not in changes:
                os.link(path, os.path.join(self.dir, name))
                continue
            with open(path, "rb") as f:
                data = changes[name](f.read())
            with open(os.path.join(self.dir, name), "wb") as f:
                f.write(data)

    def must_be_named(self, changes, what, *options):
        self.damage(changes)
        j = check(self.t, self.dir, *options, status=1)
        for name in changes:
            expect(any(name in p["text"] for p in j["problems"]),
                   f"{what}: {name} isn't named in {j['problems']}")
        return j


def flip(at, bit):
    return lambda data: data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1:]


def cut(at):
    return lambda data: data[:at]


def each_image(copy, chance):
    for name in copy.names:
        size = os.path.getsize(os.path.join(copy.images, name))
        places = {0, 3, size - 1, *(chance.randrange(size) for _ in range(4))}
        for at in sorted(p for p in places if 0 <= p < size):
            copy.must_be_named({name: cut(at)}, f"{name} cut off at {at}")
        at, bit = chance.randrange(size), chance.randrange(8)
        copy.must_be_named({name: flip(at, bit)}, f"{name}, byte {at}, bit {bit}")


def random_bits(copy, chance):
    for _ in range(FLIPS):
        name = chance.choice(copy.names)
        at = chance.randrange(os.path.getsize(os.path.join(copy.images, name)))
        bit = chance.randrange(8)
        copy.must_be_named({name: flip(at, bit)}, f"{name}, byte {at}, bit {bit}")


def together(copy, chance):
    """Damage in one file doesn't hide that in another: whatever leads to the pages, even."""
    leading = [n for n in copy.names if n.startswith(("pagemap-", "pstree", "inventory", "mm-"))]
    for name in leading:
        size = os.path.getsize(os.path.join(copy.images, name))
        for damage in (cut(chance.randrange(size)), flip(chance.randrange(size), 0)):
            pages = [n for n in copy.names if n.startswith("pages-")]
            changes = {n: flip(chance.randrange(os.path.getsize(os.path.join(copy.images, n))), 3)
                       for n in pages}
            copy.must_be_named({name: damage, **changes}, f"{name} and all pages")


def several(copy):
    """All are listed, and none of the others is."""
    names = [next(n for n in copy.names if n.startswith(kind))
             for kind in ("core-", "fdinfo-", "mm-", "fs-", "pages-")]
    last = {name: os.path.getsize(os.path.join(copy.images, name)) - 1 for name in names}
    j = copy.must_be_named({name: flip(at, 0) for name, at in last.items()}, "five files")
    blamed = {p.get("file") for p in j["problems"]}
    expect(set(names) <= blamed, f"{names}: {blamed}")
    # Without the sums, a record that is cut off is found all the same, with its place.
    j = copy.must_be_named({name: cut(at) for name, at in last.items() if name != "pages-1.img"},
                           "without checksums", "--no-verify")
    expect(any("record" in p for p in j["problems"]), f"no record is named: {j['problems']}")


def no_verify(t, copy):
    name = next(n for n in copy.names if n.startswith("pages-"))
    copy.damage({name: flip(5, 1)})
    check(t, copy.dir, "--no-verify", status=0)
    check(t, copy.dir, status=1)


def parent(t, images):
    """Of the parent, all images are compared, and those pages that are used."""
    path = t.path("1", next(n for n in os.listdir(t.path("1")) if n.startswith("pagemap-")))
    with open(path, "rb") as f:
        good = f.read()
    with open(path, "wb") as f:
        f.write(flip(len(good) - 1, 0)(good))
    j = check(t, images, status=1)
    expect(any(os.path.basename(path) in p["text"] for p in j["problems"]), f"parent: {j}")
    with open(path, "wb") as f:
        f.write(good)
    check(t, images, status=0)


def unprivileged(t, images):
    for root, dirs, files in os.walk(t.dir):
        os.chmod(root, 0o755)
        for name in files:
            if name.endswith(".img"):
                os.chmod(os.path.join(root, name), 0o644)
    binary = shutil.copy(t.torpor.binary, t.path("torpor"))
    os.chmod(binary, 0o755)
    done = subprocess.run(["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups",
                           binary, "image", "check", images], capture_output=True, text=True)
    expect(done.returncode == 0 and done.stdout.startswith("0 problems in "), f"as nobody: {done}")


def samples(t):
    """CRIU's images: nothing is wrong but that their pages files aren't there."""
    for name in sorted(os.listdir(SAMPLES)):
        j = check(t, os.path.join(SAMPLES, name))
        for p in j["problems"]:
            expect("pages-" in p["text"] and "No such file" in p["text"], f"{name}: {p}")


def words(t, images):
    for args in ([], [images, images], ["--what", images]):
        done = t.torpor.run("image", "check", *args)
        expect(done.returncode == 2 and "error" in done.stderr, f"{args}: {done}")
    done = t.torpor.run("image", "check", t.path("nothing"))
    expect(done.returncode == 1 and "nothing" in done.stderr, f"no directory: {done}")
    os.mkdir(t.path("empty"))
    check(t, t.path("empty"), status=1)


def test(t):
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    images = make_images(t)
    j = check(t, images, status=0)
    names = os.listdir(images)
    expect(j["images"] >= len([n for n in names if n.endswith(".img")]), f"images: {j}")
    check(t, t.path("1"), status=0)
    copy = Copy(t, images)
    each_image(copy, chance)
    random_bits(copy, chance)
    together(copy, chance)
    several(copy)
    no_verify(t, copy)
    parent(t, images)
    unprivileged(t, images)
    samples(t)
    words(t, images)


run(test)
