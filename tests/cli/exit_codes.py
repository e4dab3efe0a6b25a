#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Exit statuses and the first words of every kind of wrong command line."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import expect, reap, run  # noqa: E402

# words, exit status, what stdout and stderr have to contain
CASES = [
    ([], 1, "Usage", ""),
    (["--help"], 0, "Usage", ""),
    (["-h"], 0, "dump", ""),
    (["dump", "--help"], 0, "--leave-running", ""),
    (["restore", "-h"], 0, "--restore-detached", ""),
    (["check", "--help"], 0, "--feature", ""),
    (["--version"], 0, "Version: 4.2", ""),
    (["-V"], 0, "Version: 4.2", ""),
    (["dump", "--version", "--no-such-option"], 0, "Version: ", ""),
    (["dump"], 1, "Usage", "pid not specified"),
    (["dump", "-t", "0"], 1, "", "'0'"),
    (["dump", "-t", "-5"], 1, "", "'-5'"),
    (["dump", "-t", "many"], 1, "", "'many'"),
    (["wake"], 1, "Usage", "wake"),
    (["dump", "-t", "1", "extra"], 1, "Usage", "extra"),
    (["dump", "--no-such-option"], 1, "Usage", "no-such-option"),
    (["dump", "-t"], 1, "", "requires an argument"),
    (["restore", "--restore-sibling"], 1, "", "--restore-detached"),
    (["restore", "--exec-cmd"], 1, "", "--exec-cmd"),
    (["restore", "--exec-cmd", "-d", "--", "true"], 1, "", "--exec-cmd"),
    (["dump", "-t", "1", "--exec-cmd", "--", "true"], 1, "", "--exec-cmd"),
    (["dump", "-t", "1", "-D", "/nonexistent"], 1, "", "/nonexistent"),
    (["dump", "-t", "1", "-W", "/nonexistent"], 1, "", "/nonexistent"),
    (["dump", "-t", "1", "--timeout", "soon"], 1, "", "'soon'"),
    (["dump", "-t", "1", "--ghost-limit", "4X"], 1, "", "'4X'"),
    (["check", "--feature", "no_such_feature"], 1, "", "no_such_feature"),
    (["check", "--feature", "list"], 1, "", "list"),
    (["check", "--feature", "clone3_set_tid"], 0, "clone3_set_tid is supported", ""),
    (["check"], 0, "Looks good.", ""),
    (["exec"], 255, "", "exec"),
    (["show"], 255, "", "show"),
]


def free_pid():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    reap([pid])
    return pid


def test(t):
    for words, status, out, err in CASES:
        done = t.torpor.run(*words, cwd=t.dir)
        what = f"torpor {' '.join(words)}"
        expect(done.returncode == status, f"{what}: exit status {done.returncode}, not {status}\n"
                                          f"{done.stdout}{done.stderr}")
        expect(out in done.stdout, f"{what}: no {out!r} on stdout: {done.stdout!r}")
        expect(err in done.stderr, f"{what}: no {err!r} on stderr: {done.stderr!r}")
    pid = free_pid()
    done = t.torpor.run("dump", "-t", pid, cwd=t.dir)
    expect(done.returncode == 1 and str(pid) in done.stderr,
           f"a dump of pid {pid}, which doesn't exist: {done.returncode}, {done.stderr!r}")
    done = t.torpor.run("restore", "-d", cwd=t.dir)
    expect(done.returncode == 1 and "inventory" in done.stderr,
           f"a restore of nothing: {done.returncode}, {done.stderr!r}")


run(test)
