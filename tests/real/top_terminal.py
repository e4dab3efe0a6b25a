#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""top in a terminal: it goes on showing, its settings typed before are kept, and q ends it."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import expect, need, run  # noqa: E402
from terminal import PROMPT, Terminal  # noqa: E402


def test(t):
    top = need("top")
    term = Terminal(t)
    try:
        term.type(f"{top} -d 0.2\n")
        term.wait_text("load average")
        pid = term.job("top")
        term.type("c")  # command lines instead of names: a setting that lives in its memory only
        term.wait_text("load average")
        for i in range(t.rounds):
            settings = term.settings()
            images = t.path(f"images-{i}")
            term.freeze(pid, images)
            term.thaw(pid, images)
            expect(term.settings() == settings,
                   f"the terminal has {term.settings()}, not {settings}")
            term.type("")
            term.wait_text("load average")
        term.type("q")
        term.wait_text(PROMPT)
        expect("exit status 1" not in term.screen, "top ended with an error")
    finally:
        term.close()


run(test)
