#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A shell job on a terminal: refused without --shell-job; with it, modes, size and typing work."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import PYTHON, alive, expect, read, run, wait_for  # noqa: E402
from terminal import PROMPT, Terminal  # noqa: E402

PROGRAM = r"""
import fcntl, os, signal, struct, sys, termios
winches = []
signal.signal(signal.SIGWINCH, lambda *_: winches.append(1))
old = termios.tcgetattr(0)
raw = termios.tcgetattr(0)
raw[0] &= ~(termios.ICRNL | termios.IXON)
raw[3] &= ~(termios.ICANON | termios.ECHO | termios.ISIG)
raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
termios.tcsetattr(0, termios.TCSANOW, raw)
fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", 17, 71, 3, 4))
tty = os.open("/dev/tty", os.O_RDWR)
assert os.tcgetpgrp(0) == os.getpgrp() or len(sys.argv) > 1
os.write(1, b"<started>")
while True:
    c = os.read(0, 1)
    if c == b"q":
        break
    size = struct.unpack("4H", fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * 8))
    now = termios.tcgetattr(0)
    front = os.tcgetpgrp(tty) == os.getpgrp()
    # What comes from the system call is told to the test in words.
    os.write(1, f"<{c!r} {size} {now == raw} {front} {os.isatty(1)} {len(winches)}>".encode())
termios.tcsetattr(0, termios.TCSANOW, old)
"""


def ask(term, key):
    term.type(key)
    term.wait_text(">")
    return term.screen


def test(t):
    t.write("program.py", PROGRAM)
    term = Terminal(t)
    try:
        term.type(f"{PYTHON} program.py\n")
        term.wait_text("<started>")
        pid = term.job(os.path.basename(PYTHON))
        before = ask(term, "a")
        expect("(17, 71, 3, 4) True True True" in before, f"the program says {before!r}")
        images = t.path("refused")
        os.mkdir(images)
        for words in (["dump", "-t", pid, "-D", images], ["check", "--tree", pid, "-D", images]):
            done = t.torpor.run(*words)
            said = done.stdout + done.stderr
            expect(done.returncode == 1 and "--shell-job" in said,
                   f"{words[0]} without --shell-job: {done.returncode}, {said!r}")
        expect(alive(pid) and ask(term, "a") == before, "the refused dump changed something")

        settings = term.settings()
        for i in range(3):
            images = t.path(f"images-{i}")
            term.freeze(pid, images)
            term.thaw(pid, images)
            expect(term.settings() == settings, f"{term.settings()} instead of {settings}")
            expect("(17, 71, 3, 4) True True True" in ask(term, "\r"),
                   f"after the restore the program says {term.screen!r}")
            expect("b'\\r'" in term.screen, f"a key was translated: {term.screen!r}")
        term.type("q")
        term.wait_text(PROMPT)
        expect("exit status 0" in term.screen, f"the end: {term.screen!r}")
    finally:
        term.close()


run(test)
