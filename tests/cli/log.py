#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The log as text: where it goes, its mode, its levels, and a -v4 log that one can follow."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import expect, read, run  # noqa: E402


def test(t):
    program = t.start("sleep", "1000")
    images, work = t.path("images"), t.path("work")
    os.mkdir(images)
    os.mkdir(work)

    def dump(*words):
        done = t.torpor.run("dump", "-t", program.pid, "-D", images, "-W", work, "-R", *words)
        expect(done.returncode == 0, f"{words}: exit status {done.returncode}: {done.stderr}")
        return done

    log = os.path.join(work, "dump.log")
    expect(dump().stderr == "", "a good dump isn't silent")
    done = dump("-v4", "--log-format=text", "-o", "dump.log")
    expect(done.stderr == "" and done.stdout == "", "with a log file, something else was written")
    expect(os.stat(log).st_mode & 0o777 == 0o600, "the log's mode isn't 0600")
    text = read(log)
    for line in text.splitlines()[:20]:
        expect(re.match(r"\(\d\d\.\d{6}\) ", line), f"no time in {line!r}")
    expect("Dumping finished successfully" in text, "no last word")
    expect("Version: 4.2" in text, "no version")
    expect(str(program.pid) in text, "the process isn't mentioned")
    for call in ("mmap", "munmap"):
        expect(call in text, f"the remote {call} isn't in the log")
    expect("Error" not in text, "a good dump has errors in its log")

    inode = os.stat(log).st_ino
    dump("-v1", "-o", "dump.log")
    expect(os.stat(log).st_ino == inode and read(log) == "", "-v1 of a good dump: " + read(log))
    # Each v adds one to the default, which is 2.
    dump("-v", "-o", "dump.log")
    expect("Dumping finished successfully" in read(log), "-v doesn't tell the end")
    info = len(read(log))
    dump("-vv", "-o", "dump.log")
    expect(len(read(log)) > info, "-vv says no more than -v")
    dump("--verbosity=0", "-o", "dump.log")
    expect(read(log) == "", "--verbosity=0 says something")
    done = dump("-v4", "-o", "-")
    expect("Dumping finished successfully" in done.stdout, "-o - doesn't log to stdout")

    done = t.torpor.run("restore", "-D", images, "-W", work, "-o", "restore.log")
    expect(done.returncode == 1, "restored over a running program")
    errors = [line for line in read(os.path.join(work, "restore.log")).splitlines()
              if "Error" in line]
    expect(len(errors) == 1, f"one line for one error: {errors}")
    expect(re.match(r"Error \([a-z_/]+\.c:\d+\): ", errors[0]), f"the line's form: {errors[0]!r}")
    expect("Restoring FAILED." in read(os.path.join(work, "restore.log")), "no last word")
    expect(errors[0].split("): ", 1)[1] in done.stderr, f"not on stderr: {done.stderr!r}")


run(test)
