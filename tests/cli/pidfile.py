#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""--pidfile: the root's pid without newline, mode 0600, in the work directory, never overwritten."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import alive, expect, read, run, tree_of  # noqa: E402


def test(t):
    program = t.start("sleep", "1000")
    work = t.path("work")
    os.mkdir(work)
    program.freeze()
    t.torpor.restore(program.images, "-W", work, "--pidfile", "root.pid")
    path = os.path.join(work, "root.pid")
    expect(read(path) == str(program.pid), f"the pidfile says {read(path)!r}")
    expect(os.stat(path).st_mode & 0o777 == 0o600, "the pidfile's mode isn't 0600")
    expect(os.path.exists(os.path.join(work, "stats-restore")), "no stats-restore in the work dir")

    program.freeze()
    before = tree_of(os.getpid())
    done = t.torpor.run("restore", "-d", "-D", program.images, "-W", work, "--pidfile", "root.pid")
    expect(done.returncode == 1 and "root.pid" in done.stderr,
           f"an existing pidfile: {done.returncode}, {done.stderr!r}")
    expect(not alive(program.pid), "the tree was left behind")
    expect(tree_of(os.getpid()) == before, "something was left behind")
    expect(read(path) == str(program.pid), "the existing pidfile was changed")
    program.thaw()


run(test)
