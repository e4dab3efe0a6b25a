#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Files that changed since the dump are all named by the refusal, and nothing is left."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import expect, run, tree_of, wait_for  # noqa: E402

PROGRAM = """
import time
files = [open(name, "r+") for name in ("grown", "shrunk", "gone", "kept", "moded")]
open("ready", "w").close()
time.sleep(1000)
"""


def refused(t, images, *words):
    before = tree_of(os.getpid())
    done = t.torpor.run("restore", "-D", images, *words)
    expect(done.returncode == 1, f"restore {words}: exit status {done.returncode}")
    expect(tree_of(os.getpid()) == before, f"restore {words}: something was left")
    return done.stdout + done.stderr


def test(t):
    t.write("program.py", PROGRAM)
    for name in ("grown", "shrunk", "gone", "kept", "moded"):
        t.write(name, "twelve bytes")
    program = t.start(sys.executable, "program.py")
    wait_for("the program", lambda: os.path.exists(t.path("ready")))
    program.freeze()

    t.write("grown", "more than twelve bytes")
    t.write("shrunk", "fewer")
    for words in (["-d"], ["--dry-run"]):
        said = refused(t, program.images, *words)
        for name in ("grown", "shrunk"):
            expect(t.path(name) in said, f"restore {words} doesn't name {name}: {said!r}")
        expect(t.path("kept") not in said or words == ["--dry-run"],
               f"restore names a file that is as it was: {said!r}")
    t.write("grown", "twelve bytes")
    t.write("shrunk", "twelve bytes")

    os.rename(t.path("gone"), t.path("elsewhere"))
    expect(t.path("gone") in refused(t, program.images, "-d"), "a missing file isn't named")
    os.rename(t.path("elsewhere"), t.path("gone"))

    os.chmod(t.path("moded"), 0o600)
    expect(t.path("moded") in refused(t, program.images, "-d"), "changed mode bits aren't named")
    program.thaw("--skip-file-rwx-check")
    os.chmod(t.path("moded"), 0o644)
    program.freeze()
    program.thaw()


run(test)
