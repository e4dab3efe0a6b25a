#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""check --tree lists everything that would stop a dump, with pid, object and remedy; all runs on."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import alive, expect, read, run, wait_for  # noqa: E402

PROGRAM = r"""
import fcntl, os, select, socket, time
a, b = socket.socketpair()
child = os.fork()
if child == 0:
    listener = socket.socket(); listener.bind(("127.0.0.1", 0)); listener.listen()
    os.write(2, f"child {listener.fileno()}\n".encode())
    time.sleep(1000)
epoll = select.epoll()
os.write(2, f"parent {a.fileno()} {epoll.fileno()} {child}\n".encode())
n = 0
while True:
    n += 1
    open("alive", "w").write(str(n))
    time.sleep(0.01)
"""


def runs_on(t, program):
    n = read(t.path("alive"))
    wait_for("the program to go on", lambda: read(t.path("alive")) not in ("", n))
    status = read(f"/proc/{program.pid}/status")
    expect("TracerPid:\t0" in status, "somebody traces the program")


def test(t):
    t.write("program.py", PROGRAM)
    program = t.start(sys.executable, "program.py")
    wait_for("both processes", lambda: len(read(program.output).splitlines()) == 2)
    words = dict((line.split()[0], line.split()[1:]) for line in read(program.output).splitlines())
    sock, epoll, child = words["parent"]
    before = sorted(os.listdir(t.dir))
    done = t.torpor.run("check", "--tree", program.pid, cwd=t.dir)
    expect(done.returncode == 1, f"exit status {done.returncode}: {done.stdout}{done.stderr}")
    for pid, fd in ((program.pid, sock), (program.pid, epoll), (child, words["child"][0])):
        named = [line for line in done.stdout.splitlines() if f"pid {pid}" in line
                 and f"fd {fd}:" in line.replace(f"fd {fd} ", f"fd {fd}:")]
        expect(named, f"fd {fd} of pid {pid} isn't listed:\n{done.stdout}")
        expect(";" in named[0] or "\n  " in done.stdout, f"no remedy in {named[0]!r}")
    expect(len(os.listdir(t.dir)) - len(before) in (0, 1), "files were made")
    runs_on(t, program)

    images = t.path("images")
    os.mkdir(images)
    done = t.torpor.run("dump", "-t", program.pid, "-D", images)
    expect(done.returncode == 1, f"dump: exit status {done.returncode}")
    errors = [line for line in done.stderr.splitlines() if "Error" in line]
    expect(len(errors) == 1, f"a failed dump says one line: {done.stderr!r}")
    expect("pid " in errors[0] and "fd " in errors[0], f"no object in {errors[0]!r}")
    expect(alive(int(child)), "the child is gone")
    runs_on(t, program)

    good = t.start("sleep", "1000")
    done = t.torpor.run("check", "--tree", good.pid, cwd=t.dir)
    expect(done.returncode == 0, f"a tree with no obstacle: {done.stdout}{done.stderr}")


run(test)
