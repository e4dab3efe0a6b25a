#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""restore --track-mem: the next dump builds on what was restored; or says why it doesn't."""

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import expect, run  # noqa: E402
from paged import Paged, await_no_keeper, keepers, reap_keepers, tracked  # noqa: E402


def descriptors(pid):
    return sorted((int(n), os.readlink(f"/proc/{pid}/fd/{n}")) for n in os.listdir(f"/proc/{pid}/fd"))


def again_and_again(t):
    """Restored, written to, dumped; three times. With a child that shares most of it."""
    p = Paged(t, "again")
    child = p.bear(0, 20, 2)
    had = descriptors(p.pid)
    p.dump(track=False)
    for n in range(3):
        p.restore("--track-mem")
        expect(descriptors(p.pid) == had, f"descriptors: {descriptors(p.pid)}, not {had}")
        expect(len(keepers()) == 1, f"keepers: {keepers()}")
        expect(tracked(p.pid) and tracked(child), "a task isn't tracked")
        p.write(40 * n, 30, 3 + n)
        p.must_build_on(p.dump(track=False), 31)
        expect(not p.warned(), f"warnings: {p.warned()}")
        await_no_keeper("after the dump")
    p.restore()
    p.end()


def keeper_killed(t):
    p = Paged(t, "killed")
    p.dump(track=False)
    p.restore("--track-mem")
    os.kill(keepers()[0], signal.SIGKILL)
    reap_keepers()
    p.write(0, 50, 2)
    p.must_be_full(p.dump(), "a keeper that was killed")
    p.restore()
    p.end()


def failed(t):
    """No keeper without a tree."""
    p = Paged(t, "failed")
    p.step("dump", "--leave-running", track=False)
    done = t.torpor.run("restore", "-d", "-D", p.images(), "--track-mem", "-o", "failed.log")
    expect(done.returncode == 1, f"its pid is taken: exit status {done.returncode}")
    expect(not keepers(), "a keeper of nothing")
    p.check("after a restore that failed")
    p.end()


def both(t):
    """What --auto-dedup gives back, the next dump would need."""
    p = Paged(t, "both")
    p.dump(track=False)
    done = t.torpor.run("restore", "-d", "-D", p.images(), "--track-mem", "--auto-dedup")
    expect(done.returncode == 1 and "--auto-dedup" in done.stderr, f"both: {done.stderr!r}")
    expect(not os.path.exists(f"/proc/{p.pid}"), "something was restored")
    p.restore()
    p.end()


def test(t):
    for part in (again_and_again, keeper_killed, failed, both):
        print(part.__name__, flush=True)
        part(t)
        reap_keepers()


run(test)
