#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""--action-script: order, environment, stdin, cwd, and what a failing script does at each point."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import alive, expect, read, run, tree_of  # noqa: E402

SCRIPT = """#!/bin/sh
here=$(dirname "$0")
images=$(readlink "$CRTOOLS_IMAGE_DIR")
echo "NAME $CRTOOLS_SCRIPT_ACTION pid=$CRTOOLS_INIT_PID images=$images cwd=$(pwd) args=$#" >>"$here/trace"
if [ -e /proc/self/fd/0 ] && [ "$(readlink /proc/$$/fd/0)" != /dev/null ]; then
	echo "stdin $(readlink /proc/$$/fd/0)" >>"$here/trace"
fi
echo "words of NAME at $CRTOOLS_SCRIPT_ACTION"
[ ! -e "$here/fail-NAME-$CRTOOLS_SCRIPT_ACTION" ] || exit 7
"""


def actions(t):
    return [line.split()[:2] for line in read(t.path("trace")).splitlines()]


def test(t):
    for name in ("one", "two"):
        t.write(name, SCRIPT.replace("NAME", name), mode=0o755)
    scripts = ["--action-script", t.path("one"), "--action-script", t.path("two")]
    program = t.start("sleep", "1000")
    pid = program.pid

    program.freeze(*scripts)
    expect(actions(t) == [[n, a] for a in ("pre-dump", "post-dump") for n in ("two", "one")],
           f"a dump ran {actions(t)}")
    for line in read(t.path("trace")).splitlines():
        expect(f"pid={pid} images={program.images} cwd={program.images} args=0" in line, line)
    expect("words of one at post-dump" in read(os.path.join(program.images, "dump.log")),
           "a script's output isn't in the log")
    expect("stdin" not in read(t.path("trace")), "a script had a stdin")

    os.unlink(t.path("trace"))
    images = program.images
    program.thaw(*scripts)
    expect(actions(t) == [[n, a] for a in ("pre-restore", "post-restore", "pre-resume",
                                           "post-resume") for n in ("two", "one")],
           f"a restore ran {actions(t)}")
    lines = read(t.path("trace")).splitlines()
    expect("pid= " in lines[0] and all(f"pid={pid} " in line for line in lines[2:]),
           f"the pid is to be absent before the restore and there after it: {lines}")
    expect(f"images={images} " in lines[0], f"CRTOOLS_IMAGE_DIR led elsewhere: {lines[0]}")

    failing_dump(t, program, scripts)
    failing_restore(t, program, scripts)


def failing_dump(t, program, scripts):
    """pre-dump stops the dump; after post-dump the images are complete, and the tree runs."""
    for action, status in (("pre-dump", 1), ("post-dump", 255)):
        images = t.path("images-" + action)
        os.mkdir(images)
        fail = t.write("fail-two-" + action, "")
        done = t.torpor.run("dump", "-t", program.pid, "-D", images, *scripts)
        os.unlink(fail)
        expect(done.returncode == status, f"{action} failed: exit status {done.returncode}")
        expect(alive(program.pid), f"{action} failed, and the program is gone")
        expect(actions(t)[-2:] == [["two", action], ["one", action]], "one of two scripts was left out")
        expect(action in done.stderr, f"{action} failed, but the error says {done.stderr!r}")
        expect(os.path.exists(os.path.join(images, "inventory.img")) == (action == "post-dump"),
               f"{action} failed: are there images?")
        expect(not os.path.exists(os.path.join(images, "stats-dump")),
               f"{action} failed, but there is a stats-dump")


def failing_restore(t, program, scripts):
    program.freeze()
    for action in ("pre-restore", "post-restore"):
        before = tree_of(os.getpid())
        fail = t.write("fail-one-" + action, "")
        done = t.torpor.run("restore", "-d", "-D", program.images, *scripts)
        os.unlink(fail)
        expect(done.returncode == 1, f"{action} failed: exit status {done.returncode}")
        expect(tree_of(os.getpid()) == before, f"{action} failed, and something was left")
    for action in ("pre-resume", "post-resume"):
        fail = t.write("fail-one-" + action, "")
        t.torpor.restore(program.images, *scripts)
        os.unlink(fail)
        expect(alive(program.pid), f"{action} failed, and the program is gone")
        program.freeze()
    program.thaw()


run(test)
