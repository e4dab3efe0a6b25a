#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A restore whose pids are taken lists each of them with its owner, and leaves nothing."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import Skip, expect, run, tree_of, wait_for  # noqa: E402

OWNER = """
import ctypes, os, signal, struct, sys
pid = int(sys.argv[1])
number = (ctypes.c_int32 * 1)(pid)
args = (ctypes.c_uint64 * 11)(*[0] * 11)
args[4], args[8], args[9] = signal.SIGCHLD, ctypes.addressof(number), 1
got = ctypes.CDLL(None, use_errno=True).syscall(435, args, ctypes.sizeof(args))
if got == 0:
    with open("/proc/self/comm", "w") as f:
        f.write("pid-owner")
    open(f"taken-{pid}", "w").close()
    signal.pause()
sys.exit(0 if got == pid else f"clone3: {os.strerror(ctypes.get_errno())}")
"""


def test(t):
    program = t.start("sh", "-c", "sleep 1000 & sleep 1001 & wait")
    wait_for("three processes", lambda: len(program.pids()) == 3)
    pids = program.pids()
    program.freeze()
    for pid in pids[1:]:
        subprocess.run([sys.executable, "-c", OWNER, str(pid)], cwd=t.dir, check=True)
        wait_for(f"pid {pid} to be taken", lambda: os.path.exists(t.path(f"taken-{pid}")))
    before = tree_of(os.getpid())
    for words in (["-d"], ["--dry-run"]):
        done = t.torpor.run("restore", *words, "-D", program.images)
        said = done.stdout + done.stderr
        expect(done.returncode == 1, f"restore {words} with taken pids: {done.returncode}")
        for pid in pids[1:]:
            expect(str(pid) in said, f"restore {words} doesn't name pid {pid}: {said!r}")
        expect("pid-owner" in said, f"restore {words} doesn't name the owner: {said!r}")
        expect(tree_of(os.getpid()) == before, f"restore {words} left something")
    for pid in pids[1:]:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    program.thaw()
    expect(program.pids() == pids, "other pids than before")


run(test)
