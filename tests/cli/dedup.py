#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""dedup and --auto-dedup: earlier images give back what nobody needs, and nothing else."""

import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import images  # noqa: E402
from freeze import expect, run  # noqa: E402
from paged import PAGE, Paged, await_no_keeper, reap_keepers  # noqa: E402


def pages_of(directory):
    return sorted(name for name in os.listdir(directory) if name.startswith("pages-"))


def room(directory):
    """What its pages files take on disk."""
    return sum(os.stat(os.path.join(directory, name)).st_blocks * 512
               for name in pages_of(directory))


def length(directory):
    return sum(os.stat(os.path.join(directory, name)).st_size for name in pages_of(directory))


def dedup(t, directory, *words):
    return t.torpor.run("dedup", "-D", directory, "-v3", *words)


def must_dedup(t, directory):
    done = dedup(t, directory)
    expect(done.returncode == 0, f"dedup: exit status {done.returncode}: {done.stderr}")
    return done.stderr


def needed(p):
    """How many bytes of the levels before the last one its pages are in, each page once."""
    newest = p.images()
    places = set()
    for name in os.listdir(newest):
        if not name.startswith("pagemap-"):
            continue
        pagemap = images.load(os.path.realpath(newest), name)
        for entry in pagemap.runs:
            for found, _, off, size in images.resolve_run(pagemap, entry, entry.start, entry.end):
                if found.directory != os.path.realpath(newest):
                    places |= {(found.directory, found.name, at)
                               for at in range(off, off + size, PAGE)}
    images.load.cache_clear()
    return len(places) * PAGE


def room_of_earlier(p):
    return sum(room(p.images(n)) for n in range(1, p.level))


def expect_only_needed(p):
    taken = room_of_earlier(p)
    want = needed(p)
    # Blocks of a filesystem may be larger than a page where two ranges meet.
    expect(want <= taken <= want + 64 * 1024, f"{taken} bytes are taken, {want} are needed")


def by_hand(t):
    """After each step; what was deduplicated is built on again."""
    p = Paged(t, "by-hand")
    p.bear(0, 50, 2)
    p.pre_dump()
    size = length(p.images(1))
    for n in range(4):
        p.write(12 * n, 14, 3 + n)  # what the child has changed, too: the rest is shared
        p.drop(200 + 10 * n, 5)
        p.pre_dump()
        before = room_of_earlier(p)
        must_dedup(t, p.images())
        expect(room_of_earlier(p) < before, "nothing was given back")
        expect_only_needed(p)
        expect("0 KiB" in must_dedup(t, p.images()), "twice as much")
    expect(length(p.images(1)) == size, "the files' length has changed")
    p.write(100, 10, 50)
    p.dump()
    must_dedup(t, p.images())
    expect_only_needed(p)
    p.check_images(p.images())
    p.restore()
    p.end()


def automatic(t):
    p = Paged(t, "auto")
    p.bear(0, 20, 2)
    p.pre_dump("--auto-dedup")
    for n in range(3):
        p.write(30 * n, 40, 3 + n)
        p.pre_dump("--auto-dedup")
        expect(not p.warned(), f"warnings: {p.warned()}")
        expect_only_needed(p)
    p.write(90, 40, 9)
    p.step("dump", "--leave-running", "--auto-dedup")
    expect_only_needed(p)
    p.write(95, 10, 10)
    p.dump("--auto-dedup")
    expect_only_needed(p)
    p.restore("--auto-dedup")
    left = sum(room(p.images(n)) for n in range(1, p.level + 1))
    expect(left == 0, f"{left} bytes of pages are left after restore --auto-dedup")
    p.end()
    await_no_keeper("after the program's end")
    # What isn't there any more isn't restored as zeros.
    for level in (p.level, p.level - 1):
        done = t.torpor.run("restore", "-d", "-D", p.images(level))
        expect(done.returncode == 1 and "has changed" in done.stderr,
               f"level {level} restored from holes: {done.returncode} {done.stderr}")


def older_images_are_not_restored(t):
    """A dump that others have replaced pages of is refused, not restored with zeros."""
    p = Paged(t, "older")
    p.step("dump", "--leave-running")
    p.write(0, 50, 2)
    p.dump("--auto-dedup")
    done = t.torpor.run("restore", "-d", "-D", p.images(1))
    expect(done.returncode == 1 and "pages-" in done.stderr,
           f"an older dump: {done.returncode} {done.stderr}")
    p.restore()
    p.end()


def nothing_to_do(t):
    p = Paged(t, "alone")
    p.pre_dump()
    before = room(p.images())
    done = dedup(t, p.images())
    expect(done.returncode == 0 and "parent" in done.stderr,
           f"without a parent: {done.returncode} {done.stderr}")
    expect(room(p.images()) == before, "the newest images were changed")
    p.end()


def refusals(t):
    """Whatever is wrong: status 1, a reason, and all is as before."""
    p = Paged(t, "refused")
    p.pre_dump()
    p.write(0, 50, 2)
    p.pre_dump()
    p.write(0, 50, 3)
    p.dump()
    before = room(p.images(1))

    def must_refuse(what, *words):
        done = dedup(t, p.images())
        expect(done.returncode == 1, f"{what}: exit status {done.returncode}")
        expect(all(word in done.stderr for word in words), f"{what}: {done.stderr}")

    for level in (1, 2):
        os.rename(p.images(level), p.dir + "/away")
        must_refuse("a missing level", f"../{level}")
        os.rename(p.dir + "/away", p.images(level))
    inventory = os.path.join(p.images(), "inventory.img")
    os.rename(inventory, inventory + "-away")
    must_refuse("an unfinished dump", "inventory")
    os.rename(inventory + "-away", inventory)
    pages = os.path.join(p.images(1), pages_of(p.images(1))[0])
    os.truncate(pages, os.stat(pages).st_size + PAGE)
    must_refuse("a level of another size", "pages-")
    os.truncate(pages, os.stat(pages).st_size - PAGE)
    expect(room(p.images(1)) == before, "a refusal has punched")
    must_dedup(t, p.images())
    p.restore()
    p.end()


def copies_are_left_alone(t):
    """cp -al: the copy is the same files."""
    p = Paged(t, "copied")
    p.pre_dump()
    p.write(0, 100, 2)
    p.step("dump", "--leave-running")
    subprocess.run(["cp", "-al", p.dir, p.dir + "-copy"], check=True)
    p.write(0, 200, 3)
    p.dump()
    said = must_dedup(t, p.images())
    expect("other names" in said, f"no warning: {said}")
    gens, p.gens = p.gens, [2] * 100 + [1] * (len(p.gens) - 100)
    p.check_images(p.dir + "-copy/2")
    p.gens = gens
    p.restore()
    p.end()


def killed(t):
    """kill -9 at any moment: images that are as good as before, and can be deduplicated again."""
    p = Paged(t, "killed")
    p.pre_dump()
    for n in range(5):
        for page in range(n, 250, 3):
            p.write(page, 1, 2 + n)
        p.pre_dump()
    p.dump()
    for _ in range(10):
        torpor = subprocess.Popen([t.torpor.binary, "dedup", "-D", p.images()],
                                  stderr=subprocess.DEVNULL)
        time.sleep(random.uniform(0, 0.01))
        torpor.kill()
        torpor.wait()
        p.check_images(p.images())
    must_dedup(t, p.images())
    expect_only_needed(p)
    p.restore()
    p.end()


def without_holes(t):
    """ramfs can't punch: an error of the command, a warning of a dump."""
    mount = t.path("ramfs")
    os.mkdir(mount)
    done = subprocess.run(["mount", "-t", "ramfs", "torpor-test", mount], capture_output=True,
                          check=False)
    if done.returncode:
        return
    try:
        p = Paged(t, "ramfs")
        p.pre_dump()
        p.write(0, 10, 2)
        p.pre_dump("--auto-dedup")
        expect(any("holes" in line for line in p.warned()), f"no warning: {p.log()}")
        done = dedup(t, p.images())
        expect(done.returncode == 1 and "holes" in done.stderr,
               f"on ramfs: {done.returncode} {done.stderr}")
        p.write(0, 10, 3)
        p.dump("--auto-dedup")
        p.restore("--auto-dedup")
        p.end()
    finally:
        subprocess.run(["umount", "-l", mount], check=True)


def test(t):
    for part in (by_hand, automatic, older_images_are_not_restored, nothing_to_do, refusals,
                 copies_are_left_alone, killed, without_holes):
        print(part.__name__, flush=True)
        part(t)
        reap_keepers()


run(test)
