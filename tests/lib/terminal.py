# SPDX-License-Identifier: Apache-2.0
"""A pseudo terminal with an interactive bash on it, and us as the person who types.

Programs in it are shell jobs: session and terminal belong to the shell, which isn't part of what
is frozen. Waking one means typing `torpor restore --shell-job` at the same prompt.
"""

import fcntl
import os
import pty
import select
import shlex
import signal
import struct
import subprocess
import termios
import time

from freeze import LIMIT, Failure, alive, need, read, reap, tree_of, wait_for

PROMPT = "ready> "


class Terminal:
    def __init__(self, test, rows=30, columns=100):
        self.test, self.screen = test, ""
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
        self.name = os.ttyname(slave)

        def take_terminal():
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        env = dict(os.environ, TERM="xterm", PS1=PROMPT, LC_ALL="C", HOME=test.dir)
        self.shell = subprocess.Popen(
            [need("bash"), "--norc", "--noediting", "-i"], stdin=slave, stdout=slave, stderr=slave,
            cwd=test.dir, env=env, start_new_session=True, preexec_fn=take_terminal)
        os.close(slave)
        self.wait_text(PROMPT)

    def pump(self, seconds=0.0):
        """Reads what the terminal has to show."""
        while select.select([self.master], [], [], seconds)[0]:
            try:
                self.screen += os.read(self.master, 65536).decode(errors="replace")
            except OSError:
                return
            seconds = 0.0

    def type(self, keys):
        self.pump()
        self.screen = ""
        os.write(self.master, keys.encode())

    def wait_text(self, text, limit=LIMIT):
        """Waits until the text has been shown since the last typing."""
        deadline = time.monotonic() + limit
        while text not in self.screen:
            if time.monotonic() > deadline:
                raise Failure(f"waited {limit:g} s for {text!r} on the terminal; it shows:\n"
                              f"{self.screen[-2000:]!r}")
            self.pump(0.02)

    def job(self, comm):
        """The pid of the shell's child of that name."""
        def find():
            self.pump()
            for pid in tree_of(self.shell.pid)[1:]:
                try:
                    with open(f"/proc/{pid}/comm") as f:
                        if f.read().strip() == comm:
                            return pid
                except OSError:
                    pass
            return 0
        return wait_for(f"{comm} on the terminal; it shows {self.screen[-2000:]!r}", find)

    def settings(self):
        """Modes and size, which the program set and expects to find again."""
        fd = os.open(self.name, os.O_RDONLY | os.O_NOCTTY)
        try:
            modes = termios.tcgetattr(fd)
            size = struct.unpack("4H", fcntl.ioctl(fd, termios.TIOCGWINSZ, b"\0" * 8))
        finally:
            os.close(fd)
        return modes, size

    def freeze(self, pid, images):
        os.mkdir(images)
        pids = tree_of(pid)
        self.test.torpor.dump(images, pid, "--shell-job")
        left = reap(pids)
        if left:
            raise Failure(f"still there after the dump: {sorted(left)}")
        self.wait_text(PROMPT)
        self.type("\n")
        self.wait_text(PROMPT)

    def thaw(self, pid, images):
        """torpor stays in the foreground, as the job, until the program ends."""
        cmd = [self.test.torpor.binary, "restore", "--shell-job", "-D", images, "-v4", "-o",
               "restore.log"]
        self.type(shlex.join(cmd) + "; echo exit status $?\n")

        def is_back():
            self.pump()
            if "exit status 1\r" in self.screen:
                raise Failure(f"restore failed; the terminal shows {self.screen[-2000:]!r}")
            # The process is there, untraced, before it is a program again: the log tells the end.
            return alive(pid) and "Restore finished" in read(os.path.join(images, "restore.log"))
        wait_for(f"pid {pid} back on the terminal", is_back)

    def close(self):
        for pid in reversed(tree_of(self.shell.pid)):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        os.close(self.master)
        self.shell.wait()
