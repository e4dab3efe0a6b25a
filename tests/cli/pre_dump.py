#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""pre-dump, and dumps that build on it: what is copied, what is left to the parent, what breaks it."""

import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import Skip, alive, expect, kill_tree, read, reap, run, tree_of, wait_for  # noqa: E402

PAGES = 8192  # 32 MiB
SOME = 100  # what the program writes at once
NOISE = 1500  # what an interpreter writes besides

PROGRAM = f"""
import mmap, signal, socket, struct, os
mem = mmap.mmap(-1, {PAGES} * 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
mem.madvise(mmap.MADV_NOHUGEPAGE)
want = list(range(1, {PAGES} + 1))
for i, n in enumerate(want):
    struct.pack_into("Q", mem, i * 4096 + 8, n)
at, said = 0, 0
def say(text):
    global said
    said += 1
    os.write(1, f"{{said}} {{text}}\\n".encode())
def write():
    global at
    for i in range({SOME}):
        at = (at * 5 + 4321) % {PAGES}
        want[at] += 100000
        struct.pack_into("Q", mem, at * 4096 + 8, want[at])
    say("wrote")
def check():
    bad = [i for i, n in enumerate(want) if struct.unpack_from("Q", mem, i * 4096 + 8)[0] != n]
    say(f"bad {{bad[:5]}}" if bad else "good")
sock = None
def toggle():
    global sock
    sock = None if sock else socket.socketpair()
    say("toggled")
todo = {{signal.SIGUSR1: write, signal.SIGUSR2: check, signal.SIGHUP: toggle}}
signal.pthread_sigmask(signal.SIG_BLOCK, todo)
say("ready")
while True:
    todo[signal.sigwait(todo)]()
"""


class Subject:
    """The program, and the numbered directories that its memory goes to."""

    def __init__(self, t):
        self.t = t
        t.write("output.txt", "")
        self.program = t.start(sys.executable, "-c", PROGRAM)
        self.pid = self.program.pid
        self.lines = 0
        self.dirs = 0
        self.heard("ready")

    def heard(self, what):
        self.lines += 1
        line = wait_for(f"the program to say '{what}'", lambda: [
            line for line in read(self.program.output).splitlines()
            if line.startswith(f"{self.lines} ")])[0]
        expect(line == f"{self.lines} {what}", f"the program said {line!r} instead of {what!r}")

    def write(self):
        os.kill(self.pid, signal.SIGUSR1)
        self.heard("wrote")

    def check(self):
        os.kill(self.pid, signal.SIGUSR2)
        self.heard("good")

    def run(self, command, *options, prev=None):
        self.dirs += 1
        self.dir = self.t.path(str(self.dirs))
        os.mkdir(self.dir)
        if prev is not None:
            options += ("--prev-images-dir", f"../{prev}")
        self.done = self.t.torpor.must(command, "-t", self.pid, "-D", self.dir, "-v4", "-o",
                                       "log.txt", "--display-stats", *options)
        self.log = read(os.path.join(self.dir, "log.txt"))
        return self.stat("written"), self.stat("skipped from parent")

    def restore(self):
        expect(not reap([self.pid]), "the program runs on")
        self.t.torpor.restore(self.dir)
        self.check()

    def stat(self, name):
        return int(re.search(rf"Memory pages {name}: (\d+)", self.done.stdout)[1])

    def warnings(self):
        return "\n".join(line for line in self.log.splitlines() if "Warn" in line)


def full(what, counts):
    written, skipped = counts
    expect(written > PAGES and skipped == 0,
           f"{what}: {written} pages written, {skipped} left to the parent: it should be full")


def small(what, counts):
    written, skipped = counts
    expect(written < SOME + NOISE and skipped > PAGES - SOME - NOISE,
           f"{what}: {written} pages written, {skipped} left to the parent")


def chain(t):
    """Each pre-dump is as big as what was written; what is restored is what was there."""
    s = Subject(t)
    full("the first pre-dump", s.run("pre-dump"))
    expect("Pre-dumping finished successfully" in s.log, "no final line in the log")
    expect(alive(s.pid), "the program is gone")
    for n in range(1, 4):
        s.write()
        small(f"pre-dump {n + 1}", s.run("pre-dump", prev=n))
        expect(not s.warnings(), s.warnings())
        expect(os.readlink(os.path.join(s.dir, "parent")) == f"../{n}", "the link leads elsewhere")
    s.write()
    small("the dump", s.run("dump", prev=4))
    s.restore()
    s.write()
    s.check()
    kill_tree(s.pid)


def frozen_chain(t):
    """The same with dumps that leave the program running."""
    s = Subject(t)
    full("the first dump", s.run("dump", "-R", "--track-mem"))
    s.write()
    small("the second dump", s.run("dump", "-R", "--track-mem", "--image-compat=criu", prev=1))
    s.write()
    before = os.stat(t.path("1", "pages-1.img")).st_blocks * 512
    small("a pre-dump after that", s.run("pre-dump", "--auto-dedup", prev=2))
    blocks = os.stat(t.path("1", "pages-1.img")).st_blocks * 512
    expect(blocks <= before - SOME * 4096,
           f"--auto-dedup: {blocks} bytes are left of {before} of the first images")
    s.write()
    small("the last dump", s.run("dump", prev=3))
    s.restore()
    kill_tree(s.pid)


def failing_dumps(t):
    """A dump that is refused costs nothing of what is known; nor does a failing script after it."""
    s = Subject(t)
    s.run("pre-dump")
    os.kill(s.pid, signal.SIGHUP)
    s.heard("toggled")
    images = t.path("refused")
    os.mkdir(images)
    done = t.torpor.run("dump", "-t", s.pid, "-D", images, "--prev-images-dir", "../1")
    expect(done.returncode == 1, f"a program with sockets was dumped: {done.stderr}")
    os.kill(s.pid, signal.SIGHUP)
    s.heard("toggled")
    s.write()
    small("after a refused dump", s.run("dump", "-R", "--track-mem", prev=1))
    script = t.write("fails", "#!/bin/sh\n[ $CRTOOLS_SCRIPT_ACTION != post-dump ]\n", mode=0o755)
    images = t.path(str(s.dirs + 1))
    os.mkdir(images)
    s.write()
    done = t.torpor.run("dump", "-R", "--track-mem", "-t", s.pid, "-D", images,
                        "--prev-images-dir", f"../{s.dirs}", "--action-script", script)
    expect(done.returncode == 255, f"a failing script: {done.returncode} {done.stderr}")
    s.dirs += 1
    s.write()
    small("after a failing script", s.run("dump", prev=s.dirs))
    s.restore()
    kill_tree(s.pid)


def broken(t):
    """What can't be built on makes a full dump, with a warning that says why."""
    s = Subject(t)
    s.run("pre-dump")
    s.write()
    s.run("pre-dump", prev=s.dirs)
    full("on the last but one", s.run("pre-dump", prev=s.dirs - 1))
    expect("can't be built on" in s.warnings(), f"no warning: {s.warnings()}")

    small("again", s.run("pre-dump", prev=s.dirs))
    for name in ("inventory.img", "integrity.img"):
        os.unlink(os.path.join(s.dir, name))
    full("on one that didn't end", s.run("pre-dump", prev=s.dirs))
    expect("didn't end" in s.warnings(), f"no warning: {s.warnings()}")

    keeper = int(re.findall(r"keeper (\d+): 1 processes", s.log)[-1])
    os.kill(keeper, signal.SIGKILL)
    wait_for("the keeper's end", lambda: not alive(keeper))
    full("without a keeper", s.run("pre-dump", prev=s.dirs))
    expect("no keeper process" in s.warnings(), f"no warning: {s.warnings()}")

    full("on nothing", s.run("pre-dump"))
    expect(not s.warnings(), s.warnings())
    s.write()
    small("again", s.run("pre-dump", prev=s.dirs))

    before = s.dirs
    done = t.torpor.run("pre-dump", "-t", s.pid, "-D", s.dir, "--prev-images-dir", "../nowhere")
    expect(done.returncode == 1 and "../nowhere" in done.stderr,
           f"a missing directory: {done.returncode} {done.stderr}")
    expect("Pre-dumping FAILED." in done.stderr, f"no final line: {done.stderr}")
    expect(not os.path.exists(os.path.join(s.dir, "inventory.img")), "it looks like a complete one")
    expect(alive(s.pid), "the program is gone")
    s.write()
    full("after a failure", s.run("dump", prev=before - 1))
    s.restore()
    kill_tree(s.pid)


def options(t):
    program = t.start("sleep", "1000")
    trace = t.path("trace")
    script = t.write("script", f"#!/bin/sh\necho $CRTOOLS_SCRIPT_ACTION >>{trace}\n", mode=0o755)
    images = t.path("options")
    os.mkdir(images)
    for words in (["--pre-dump-mode", "read"], ["--pre-dump-mode=splice"], ["--leave-stopped"],
                  ["--action-script", script], ["--tracker=uffd-wp"], ["--track-mem"]):
        t.torpor.must("pre-dump", "-t", program.pid, "-D", images, "-v4", "-o", "log.txt", *words)
        expect(state(program.pid) == "S", f"{words}: the program is in state {state(program.pid)}")
    expect(not os.path.exists(trace), f"a script ran: {read(trace)}")
    for words in (["--pre-dump-mode=write"], ["--lazy-pages"], ["--image-compat=other"],
                  ["--tracker=none"], ["--page-server"]):
        done = t.torpor.run("pre-dump", "-t", program.pid, "-D", images, *words)
        expect(done.returncode == 1, f"{words}: exit status {done.returncode}")
    done = t.torpor.run("pre-dump", "-D", images)
    expect(done.returncode == 1 and "pid not specified" in done.stderr, f"without -t: {done.stderr}")
    # A pre-dump alone can't be restored.
    done = t.torpor.run("restore", "-d", "-D", images)
    expect(done.returncode == 1 and "pre-dump" in done.stderr, f"restored: {done.stderr}")


TREE = r"""
import os, signal, sys, threading, time
# a zombie, a stopped task, one that will call execve(), a second thread
if os.fork() == 0:
    os._exit(0)
stopped = os.fork()
if stopped == 0:
    time.sleep(1000)
changing = os.fork()
if changing == 0:
    signal.signal(signal.SIGUSR1, lambda *_: os.execv("/bin/sleep", ["sleep", "1000"]))
    time.sleep(1000)
time.sleep(0.2)
os.kill(stopped, signal.SIGSTOP)
os.write(1, f"{stopped} {changing}\n".encode())
threading.Thread(target=time.sleep, args=(1000,)).start()
time.sleep(1000)
"""


def state(pid):
    return read(f"/proc/{pid}/stat").rpartition(")")[2].split()[0]


def odd_ones(t):
    """Zombies, stopped tasks and such are no obstacle, and stay what they are."""
    t.write("output.txt", "")
    program = t.start(sys.executable, "-c", TREE)
    wait_for("the tree", lambda: "\n" in read(program.output))
    stopped, changing = map(int, read(program.output).split())
    pids = sorted(tree_of(program.pid))

    def pre_dump(n):
        images = t.path(str(n))
        os.mkdir(images)
        t.torpor.must("pre-dump", "-t", program.pid, "-D", images, "-v4", "--log-format=text",
                      "-o", "log.txt",
                      *(["--prev-images-dir", f"../{n - 1}"] if n > 1 else []))
        log = read(os.path.join(images, "log.txt"))
        return {int(pid): int(pages) for pid, pages in re.findall(r"pid (\d+): copied (\d+)", log)}

    first = pre_dump(1)
    expect(stopped in first and changing in first, f"some weren't copied: {first}")
    expect(sorted(tree_of(program.pid)) == pids, "the tree has changed")
    expect(state(stopped) == "T", f"a stopped task is in state {state(stopped)}")
    again = pre_dump(2)
    for pid in first:
        expect(again[pid] <= first[pid] // 2, f"pid {pid}: {again[pid]} of {first[pid]} pages again")
    os.kill(changing, signal.SIGUSR1)
    wait_for("execve()", lambda: read(f"/proc/{changing}/comm").strip() == "sleep")
    pages = pre_dump(3)[changing]
    expect(pages > 10, f"after execve() {pages} pages were copied")
    expect(pre_dump(4)[changing] < pages, "a new program isn't tracked")
    os.kill(stopped, signal.SIGCONT)
    wait_for("it to go on", lambda: state(stopped) == "S")
    kill_tree(program.pid)


def test(t):
    images = t.path("probe")
    os.mkdir(images)
    probe = t.start("sleep", "1000")
    done = t.torpor.run("pre-dump", "-t", probe.pid, "-D", images, "--track-mem")
    if "doesn't tell which pages are written" in done.stderr:
        raise Skip("this kernel doesn't tell which pages are written")
    kill_tree(probe.pid)
    for part in (chain, frozen_chain, failing_dumps, broken, options, odd_ones):
        part(t)
        for name in os.listdir(t.dir):
            if name.isdigit():
                os.system(f"rm -rf {t.path(name)}")


run(test)
