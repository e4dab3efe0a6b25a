#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Chains of images: what they are made of, what breaks them, and what must not be trusted.

Whatever a dump is told to build on, the restored program has all its pages: a chain that doesn't
fit is replaced by a full dump, with a warning; images that don't fit are refused by name.
"""

import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import images  # noqa: E402
from freeze import Failure, expect, read, run, wait_for  # noqa: E402
from paged import (MISSING, NPAGES, WP, Paged, await_no_keeper, keepers, reap_keepers,  # noqa: E402
                   tracked)


def three_levels(t):
    """A pre-dump, a dump that leaves it running, and the last one: restored."""
    p = Paged(t, "three")
    p.pre_dump()
    p.check("after the pre-dump")
    expect(len(keepers()) == 1, f"keepers after a pre-dump: {keepers()}")
    p.write(10, 20, 2)
    p.drop(100, 10)
    p.must_build_on(p.step("dump", "--leave-running"), 20)
    p.check("left running")
    p.write(25, 10, 3)
    p.must_build_on(p.dump(), 10)
    await_no_keeper("after the last dump")
    links = [os.readlink(os.path.join(p.images(n), "parent")) for n in (2, 3)]
    expect(links == ["../1", "../2"], f"parent links: {links}")
    expect(not os.path.lexists(os.path.join(p.images(1), "parent")), "the first has a parent")
    p.restore()
    p.end()


def moved_and_again(t):
    """Restored, it is dumped on top of what it was restored from; then all is moved."""
    p = Paged(t, "again")
    p.pre_dump()
    p.write(0, 5, 2)
    p.dump()
    p.restore("--track-mem")
    expect(len(keepers()) == 1, "no keeper after a restore with --track-mem")
    p.write(3, 5, 3)
    p.must_build_on(p.dump(), 5)
    expect(not p.warned(), f"warnings: {p.warned()}")
    os.rename(p.dir, p.dir + "-moved")
    os.mkdir(p.dir)
    shutil.copy(os.path.join(p.dir + "-moved", "control"), p.dir)
    t.torpor.restore(os.path.join(p.dir + "-moved", "3"))
    expect(not p.wrong(p.pid, p.gens), "moved images: wrong pages")
    p.end()


def refused(t, p, what, *names):
    """A restore that names the directory, and leaves nothing."""
    done = t.torpor.run("restore", "-d", "-D", p.images(), "-o", "refused.log", "-v4")
    said = done.stderr + read(os.path.join(p.images(), "refused.log"))
    expect(done.returncode == 1, f"{what}: exit status {done.returncode}")
    errors = [line for line in said.splitlines() if "Error" in line]
    expect(any(name in line for name in names for line in errors),
           f"{what}: none of {names} in the error: {errors}")
    expect(not os.path.exists(f"/proc/{p.pid}"), f"{what}: something was restored")


def broken_members(t):
    p, other = Paged(t, "broken"), Paged(t, "other")
    p.pre_dump()
    p.write(0, 10, 2)
    p.pre_dump()
    p.write(5, 10, 3)
    p.dump()
    first, second = p.images(1), p.images(2)

    for member, name in ((first, "1"), (second, "2")):
        names = (f"../{name}", f"/{name}:", f"/{name} ", "parent")
        os.rename(member, member + "-away")
        refused(t, p, f"member {name} is gone", *names)
        other.level = 0
        shutil.rmtree(other.images(1), ignore_errors=True)
        other.pre_dump(previous=None)
        shutil.copytree(other.images(), member)
        refused(t, p, f"member {name} is another program's", *names)
        shutil.rmtree(member)
        # Images of the same program, but others: what they hold isn't what was left out.
        shutil.copytree(second if name == "1" else first + "/", member, symlinks=True)
        refused(t, p, f"member {name} is another one of the chain", *names)
        shutil.rmtree(member)
        os.rename(member + "-away", member)
        os.rename(member + "/inventory.img", member + "/inventory")
        refused(t, p, f"member {name} has no inventory", *names, "inventory")
        os.rename(member + "/inventory", member + "/inventory.img")
    os.rename(first + "/parent" if os.path.lexists(first + "/parent") else second + "/parent",
              p.dir + "/link")
    refused(t, p, "a link is missing", "2", "parent", "pagemap")
    os.rename(p.dir + "/link", second + "/parent")
    p.restore(when="after all refusals")
    p.end()
    other.end()


def loop(t):
    p = Paged(t, "loop")
    p.pre_dump()
    p.dump()
    os.symlink("../2", os.path.join(p.images(1), "parent"))
    refused(t, p, "a loop", "1", "2")


def older_parent(t):
    """On top of the first of two pre-dumps: what was written before the second isn't forgotten."""
    p = Paged(t, "older")
    p.pre_dump()
    p.write(0, 50, 2)
    p.pre_dump()
    p.write(100, 10, 3)
    p.must_be_full(p.dump(previous="../1"), "an older parent")
    p.restore()
    p.end()


def foreign_parent(t):
    """Two programs at the same time; then one on top of the other's."""
    a, b = Paged(t, "a", gen=1), Paged(t, "b", gen=2)
    for n in range(3, 6):
        a.pre_dump()
        b.pre_dump()
        a.write(10 * n, 5, n)
        b.write(20 * n, 5, 100 + n)
    expect(len(keepers()) == 2, f"keepers of two programs: {keepers()}")
    a.must_build_on(a.dump(), 5)
    expect(len(keepers()) == 1, f"keepers of one program: {keepers()}")
    b.must_build_on(b.step("dump", "--leave-running"), 5)
    b.write(200, 10, 7)
    b.must_be_full(b.dump(previous=os.path.join("..", "..", "a", "3")), "a foreign parent")
    await_no_keeper("after both dumps")
    a.restore()
    b.restore()
    a.end()
    b.end()


def unfinished_parent(t):
    """The last pre-dump's inventory is missing, or the directory is: a full dump."""
    p = Paged(t, "unfinished")
    p.pre_dump()
    os.unlink(os.path.join(p.images(), "inventory.img"))
    p.write(0, 10, 2)
    p.must_be_full(p.step("dump", "--leave-running"), "a parent without an inventory")
    expect(not os.path.lexists(os.path.join(p.images(), "parent")), "a full dump has a parent")
    p.check("left running")
    p.write(5, 10, 3)
    p.must_build_on(p.dump(), 10)
    p.restore()
    p.end()


def pid_reused(t):
    """Another program has got the pid."""
    p = Paged(t, "reused", gen=1)
    p.pre_dump()
    p.end()
    await_no_keeper("after the program's death")
    q = Paged(t, "reused-2", gen=2, pid=p.pid)
    q.must_be_full(q.dump(previous="../../reused/1"), "a pid that was used again")
    q.restore()
    q.end()


def child_pid_reused(t):
    """A child that died has its pid used again by another one, in a tree that is still tracked."""
    p = Paged(t, "child")
    child = p.bear(0, 50, 2)
    p.pre_dump()
    p.check("with a child")
    p.ask("k")
    p.write(100, 20, 3)
    expect(p.bear(child, 20, 4) == child, "the pid isn't free")
    p.pre_dump()
    p.check("with another child")
    p.must_build_on(p.dump(), 20)
    p.restore()
    p.end()


def exec_between(t):
    p = Paged(t, "exec")
    p.pre_dump()
    p.exec_again(2)
    p.pre_dump()
    p.check("after exec")
    p.write(0, 10, 3)
    p.exec_again(4)
    p.write(0, 10, 5)
    p.dump()
    p.restore()
    p.end()


def mapped_again(t):
    """The same place, another mapping: what was known of the old one is worth nothing."""
    p = Paged(t, "mapped")
    p.pre_dump()
    p.map_again()
    p.write(0, 10, 2)
    p.pre_dump()
    p.write(20, 10, 3)
    p.must_build_on(p.dump(), NPAGES)
    p.restore()
    p.end()


def own_userfaultfd(t, mode):
    """The program's own protection must not be disturbed; its pages are written in full."""
    p = Paged(t, f"own-{mode}")
    p.drop(50, 10)
    fd = p.watch(0, 100, mode)
    p.pre_dump()
    expect(p.warned(), "no warning of a foreign userfaultfd")
    p.write(0, 20, 2)
    p.write(150, 10, 3)
    p.pre_dump()
    os.close(fd)
    p.check("watched by itself")
    p.dump()
    p.restore()
    p.end()


def tracking_ends(t):
    """A dump without --track-mem, and the program's end: nobody is left who tracks."""
    p = Paged(t, "ends")
    p.pre_dump()
    uses_uffd = bool(tracked(p.pid))
    expect(uses_uffd or "soft-dirty" in p.log(), "nothing is tracked after a pre-dump")
    p.step("dump", "--leave-running", track=False)
    await_no_keeper("after a dump without --track-mem")
    wait_for("the protection to end", lambda: not tracked(p.pid), limit=5)
    p.check("not tracked any more")
    p.pre_dump(previous=None)
    expect(len(keepers()) == 1, f"keepers: {keepers()}")
    p.end()
    await_no_keeper("after the program's death")


def without_tracking(t):
    """--prev-images-dir alone: right, whatever it makes of it."""
    p = Paged(t, "alone")
    p.step("dump", "--leave-running", track=False, previous=None)
    p.write(10, 10, 2)
    p.dump(track=False)
    p.restore()
    p.end()


PARTS = {
    "three levels": three_levels,
    "restored, moved, dumped again": moved_and_again,
    "broken members": broken_members,
    "a loop": loop,
    "an older parent": older_parent,
    "a foreign parent": foreign_parent,
    "an unfinished parent": unfinished_parent,
    "a pid that was used again": pid_reused,
    "a child's pid that was used again": child_pid_reused,
    "exec between two dumps": exec_between,
    "another mapping in the same place": mapped_again,
    "a userfaultfd of its own, write protection": lambda t: own_userfaultfd(t, WP),
    "a userfaultfd of its own, missing pages": lambda t: own_userfaultfd(t, MISSING),
    "the end of tracking": tracking_ends,
    "without tracking": without_tracking,
}


def test(t):
    """All parts, or those whose names begin with an argument."""
    failures = []
    for name, part in PARTS.items():
        if len(sys.argv) > 1 and not name.startswith(tuple(sys.argv[1:])):
            continue
        try:
            part(t)
        except Failure as failure:
            failures.append(f"{name}: {failure}")
            t.clean_up()
        reap_keepers()
    expect(not failures, "\n".join(failures))


run(test)
