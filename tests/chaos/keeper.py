#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The keeper dies between two commands, in any way and order: nobody relies on what it knew.

The next dump is a full one and says so, the program is no longer tracked, and nothing stays.
"""

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import expect, reap, run, wait_for  # noqa: E402
from paged import NPAGES, Paged, await_no_keeper, keepers, tracked  # noqa: E402


def the_keeper(when):
    found = keepers()
    expect(len(found) == 1, f"{when}: keepers {found}")
    return found[0]


def looks_harmless(keeper):
    """It holds nothing of whoever started it, and hinders nobody."""
    names = [os.readlink(f"/proc/{keeper}/fd/{fd}") for fd in os.listdir(f"/proc/{keeper}/fd")]
    strange = [name for name in names if not (
        name == "/dev/null" or "[userfaultfd]" in name or "[pidfd]" in name or
        name.startswith(("/memfd:", "pidfd:", "anon_inode:")))]
    expect(not strange, f"the keeper holds {strange}")
    expect(os.readlink(f"/proc/{keeper}/cwd") == "/", "the keeper's directory")
    expect(os.getsid(keeper) != os.getsid(0), "the keeper is in our session")


def keeper_killed(t, how):
    p = Paged(t, f"killed-{how}")
    p.pre_dump()
    p.write(0, 10, 2)
    p.must_build_on(p.step("pre-dump"), 10)
    keeper = the_keeper("after two pre-dumps")
    looks_harmless(keeper)
    os.kill(keeper, how)
    await_no_keeper(f"after signal {how}")
    wait_for("the protection to end", lambda: not tracked(p.pid), limit=5)
    p.check("without a keeper")
    p.write(20, 10, 3)  # nobody has seen it
    p.must_be_full(p.step("dump", "--leave-running"), "the keeper was killed")
    p.write(30, 10, 4)
    p.must_build_on(p.dump(), 10)
    await_no_keeper("after the dump")
    p.restore()
    p.end()


def keeper_killed_before_the_last_dump(t):
    p = Paged(t, "last")
    p.pre_dump()
    os.kill(the_keeper("after a pre-dump"), signal.SIGKILL)
    p.write(0, NPAGES, 2)
    p.must_be_full(p.dump(), "the keeper was killed")
    p.restore()
    p.end()


def all_die(t, order):
    """The program and its keeper, at once, in this order."""
    p = Paged(t, f"die-{order}")
    p.pre_dump()
    keeper = the_keeper("after a pre-dump")
    for who in order:
        os.kill({"k": keeper, "p": p.pid}[who], signal.SIGKILL)
    expect(not reap([p.pid]), "the program doesn't die")
    await_no_keeper("when all have died")


def program_dies(t):
    p = Paged(t, "dies")
    p.bear(0, 10, 2)
    p.pre_dump()
    os.kill(p.child, signal.SIGKILL)
    p.ask("k")
    p.child = 0
    the_keeper("when a child has died")
    p.must_build_on(p.step("pre-dump"), 10)
    p.end()
    await_no_keeper("after the program's death")


def stopped_keeper(t):
    """One that doesn't react is no reason to hang."""
    p = Paged(t, "stopped")
    p.pre_dump()
    os.kill(the_keeper("after a pre-dump"), signal.SIGSTOP)
    p.write(0, 10, 2)
    p.step("pre-dump")
    p.write(5, 10, 3)
    p.dump()
    await_no_keeper("though one was stopped")
    p.restore()
    p.end()


def test(t):
    for how in (signal.SIGKILL, signal.SIGTERM):
        keeper_killed(t, int(how))
    keeper_killed_before_the_last_dump(t)
    for order in ("kp", "pk"):
        all_die(t, order)
    program_dies(t)
    stopped_keeper(t)


run(test)
