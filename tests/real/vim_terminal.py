#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""vim in a terminal: typed on after each wake, it has all text, its modes and its undo history."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import Skip, expect, read, run, wait_for  # noqa: E402
from terminal import PROMPT, Terminal  # noqa: E402


def find_vim():
    for path in ("/usr/bin/vim", "/usr/bin/vim.tiny"):
        if os.path.exists(path):
            return path
    raise Skip("vim isn't installed")


def test(t):
    vim = find_vim()
    term = Terminal(t)
    try:
        term.type(f"{vim} -N -u NONE -i NONE text.txt\n")
        term.wait_text("text.txt")
        pid = term.job(os.path.basename(vim))
        for i in range(t.rounds + 1):
            term.type(f"oline {i}\x1b:w\r")
            wait_for("the line in the file",
                     lambda: (term.pump(), f"line {i}\n" in read(t.path("text.txt")))[1])
            if i == t.rounds:
                break
            settings = term.settings()
            images = t.path(f"images-{i}")
            term.freeze(pid, images)
            term.thaw(pid, images)
            expect(term.settings() == settings,
                   f"the terminal has {term.settings()}, not {settings}")
        # Undone one by one down to the second line: that takes the memory of all its former lives.
        term.type("u" * t.rounds)
        term.type(":wq\r")
        term.wait_text(PROMPT)
        expect(read(t.path("text.txt")).splitlines() == ["", "line 0"],
               "the file holds " + repr(read(t.path("text.txt"))))
    finally:
        term.close()


run(test)
