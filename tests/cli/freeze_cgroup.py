#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""--freeze-cgroup stops the tree with a freezer cgroup, v1 or v2, and leaves it as it was."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import Skip, expect, read, run, wait_for  # noqa: E402

PROGRAM = "sleep 1000 & while :; do echo x >>counter; sleep 0.02; done"


def freezer_groups():
    """A directory of each kind in which cgroups can be made."""
    for line in read("/proc/self/mountinfo").splitlines():
        left, _, right = line.partition(" - ")
        where, (kind, _, options) = left.split()[4], right.split()[:3]
        if kind == "cgroup" and "freezer" in options.split(","):
            yield "v1", where
        elif kind == "cgroup2":
            yield "v2", where


def make(where):
    group = os.path.join(where, f"torpor-test-{os.getpid()}")
    try:
        os.mkdir(group)
    except OSError:
        return None
    return group


def is_thawed(kind, group):
    if kind == "v1":
        return read(os.path.join(group, "freezer.state")).strip() == "THAWED"
    return read(os.path.join(group, "cgroup.freeze")).strip() == "0"


def one(t, kind, group):
    program = t.start("sh", "-c", PROGRAM)
    for pid in program.pids():
        with open(os.path.join(group, "cgroup.procs"), "w") as f:
            f.write(str(pid))
    wait_for("the counter", lambda: len(read(t.path("counter"))) > 3)
    images = t.path("images-" + kind)
    os.mkdir(images)
    t.torpor.dump(images, program.pid, "--leave-running", "--freeze-cgroup", group)
    expect(is_thawed(kind, group), f"{kind}: the group is still frozen")
    n = len(read(t.path("counter")))
    wait_for("the counter to go on", lambda: len(read(t.path("counter"))) > n)

    # A refused dump leaves it thawed, too.
    done = t.torpor.run("dump", "-t", program.pid, "-D", images, "--freeze-cgroup", group,
                        "--action-script", "/bin/false")
    expect(done.returncode == 1, f"{kind}: exit status {done.returncode} of a dump that must fail")
    expect(is_thawed(kind, group), f"{kind}: the group is still frozen after a failed dump")

    program.freeze("--freeze-cgroup", group)
    program.thaw()
    n = len(read(t.path("counter")))
    wait_for("the counter after the restore", lambda: len(read(t.path("counter"))) > n)
    done = t.torpor.run("dump", "-t", program.pid, "-D", images, "--freeze-cgroup", "/nonexistent")
    expect(done.returncode == 1 and "/nonexistent" in done.stderr,
           f"no such group: {done.returncode}, {done.stderr!r}")


def test(t):
    tried = 0
    for kind, where in freezer_groups():
        group = make(where)
        if group is None:
            continue
        tried += 1
        try:
            one(t, kind, group)
        finally:
            t.clean_up()
            t.programs.clear()
            wait_for("an empty cgroup", lambda: not read(os.path.join(group, "cgroup.procs")))
            os.rmdir(group)
            os.unlink(t.path("counter"))
    if not tried:
        raise Skip("no cgroup with a freezer can be made here")


run(test)
