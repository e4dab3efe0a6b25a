# SPDX-License-Identifier: Apache-2.0
"""A program whose pages are told what to hold, and read, from outside (paged.c); and what tests of
chains of images do with it."""

import ctypes
import mmap
import os
import select
import signal
import struct

import images
from freeze import Failure, Skip, alive, expect, kill_tree, read, reap, tree_of, wait_for

BASE, NPAGES, PAGE = 0x300000000000, 256, 4096
WP, MISSING = 2, 1
SYS_CLONE3, SYS_PIDFD_GETFD = 435, 438
libc = ctypes.CDLL(None, use_errno=True)
KEEPER = "torpor-keeper"


def content(gen, page):
    return struct.pack("<QQ", gen, page) * (PAGE // 16)


class Paged:
    """Its pages hold what `gens` says: page -> generation, None for an empty one."""

    def __init__(self, t, name="paged", gen=1, pid=0):
        self.t, self.dir = t, t.path(name)
        self.binary = os.path.join(os.path.dirname(t.torpor.binary), "tests", "lib", "paged")
        if not os.access(self.binary, os.X_OK):
            raise Skip("no paged beside the binary")
        os.makedirs(self.dir, exist_ok=True)
        path = os.path.join(self.dir, "control")
        with open(path, "wb") as f:
            f.truncate(PAGE)
        with open(path, "r+b") as f:
            self.control = mmap.mmap(f.fileno(), PAGE)
        self.level, self.child = 0, 0
        self.gens = [gen] * NPAGES
        if pid:
            self.pid = self.start_as(pid, path, gen)
        else:
            self.pid = t.start(self.binary, path, gen).pid
        wait_for("its pages", lambda: self.is_as_told())

    def start_as(self, pid, path, gen):
        """With this pid, which is free."""
        number = ctypes.c_int(pid)
        args = struct.pack("<8Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
        args += struct.pack("<QQQ", ctypes.addressof(number), 1, 0)
        got = libc.syscall(SYS_CLONE3, args, len(args))
        if got == 0:
            try:
                os.setsid()
                null = os.open("/dev/null", os.O_RDWR)
                for fd in range(3):
                    os.dup2(null, fd)
                os.execv(self.binary, [self.binary, path, str(gen)])
            finally:
                os._exit(1)
        expect(got == pid, f"clone3 with pid {pid}: {os.strerror(ctypes.get_errno())}")
        return pid

    # ------------------------------------------------------------- commands

    def ask(self, command, first=0, n=0, gen=0):
        asked = struct.unpack_from("<Q", self.control, 0)[0] + 1
        struct.pack_into("<QQQQ", self.control, 16, ord(command), first, n, gen)
        struct.pack_into("<Q", self.control, 0, asked)
        wait_for(f"command {command}",
                 lambda: struct.unpack_from("<Q", self.control, 8)[0] == asked, limit=10)
        result = struct.unpack_from("<q", self.control, 48)[0]
        expect(result >= 0, f"command {command}: {os.strerror(-result)}")
        return result

    def write(self, first, n, gen):
        self.ask("w", first, n, gen)
        self.gens[first:first + n] = [gen] * n

    def drop(self, first, n):
        self.ask("d", first, n)
        self.gens[first:first + n] = [None] * n

    def exec_again(self, gen):
        self.ask("x", gen=gen)
        self.gens = [gen] * NPAGES

    def map_again(self):
        self.ask("m")
        self.gens = [None] * NPAGES

    def bear(self, pid, n, gen):
        """A child with this pid (0: any), whose first n pages are its own."""
        self.child = self.ask("b", pid, n, gen)
        self.child_gens = [gen] * n + self.gens[n:]
        wait_for("the child's pages", lambda: not self.wrong(self.child, self.child_gens))
        return self.child

    def watch(self, first, n, mode):
        """A userfaultfd on these pages, held by us, not by the program."""
        number = self.ask("u", first, n, mode)
        pidfd = os.pidfd_open(self.pid)
        fd = libc.syscall(SYS_PIDFD_GETFD, pidfd, number, 0)
        os.close(pidfd)
        expect(fd >= 0, "pidfd_getfd")
        self.ask("c", number)
        return fd

    # -------------------------------------------------------------- content

    @staticmethod
    def wrong(pid, gens):
        """What isn't as it should be, a line for each page."""
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as f:
            f.seek(BASE)
            data = f.read(NPAGES * PAGE)
        if len(data) < NPAGES * PAGE:  # it has just called execve(), or is dead
            return [f"pid {pid}: only {len(data)} bytes of its pages can be read"]
        lines = []
        for page, gen in enumerate(gens):
            got = data[page * PAGE:(page + 1) * PAGE]
            want = bytes(PAGE) if gen is None else content(gen, page)
            if got != want:
                lines.append(f"pid {pid}: page {page} holds {struct.unpack_from('<QQ', got)}, not "
                             f"generation {gen}")
        return lines

    def is_as_told(self):
        try:
            return not self.wrong(self.pid, self.gens)
        except OSError:
            return False

    def check(self, when):
        lines = self.wrong(self.pid, self.gens)
        if self.child:
            lines += self.wrong(self.child, self.child_gens)
        expect(not lines, "\n".join([f"{when}: {len(lines)} pages are wrong", *lines[:10]]))
        self.write(NPAGES - 1, 1, 1000 + (self.gens[NPAGES - 1] or 0))  # and it obeys
        expect(not self.wrong(self.pid, self.gens), f"{when}: a write went wrong")

    # --------------------------------------------------------------- chains

    def images(self, level=None):
        return os.path.join(self.dir, str(level or self.level))

    def step(self, verb, *words, previous="", track=True):
        """The next level. `previous`: on top of what; None: nothing; default: the last one."""
        self.level += 1
        os.mkdir(self.images())
        if previous == "" and self.level > 1:
            previous = f"../{self.level - 1}"
        more = ["--prev-images-dir", previous] if previous else []
        more += ["--track-mem"] if track else []
        self.t.torpor.must(verb, "-t", self.pid, "-D", self.images(), "-v4", "-o", "dump.log",
                           *more, *words)
        try:
            return images.check_chain(self.images())
        except images.Broken as broken:
            raise Failure(f"{self.dir}, level {self.level}: {broken}") from None

    def pre_dump(self, *words, **kwargs):
        return self.step("pre-dump", *words, **kwargs)

    def dump(self, *words, **kwargs):
        """The last one: the program is gone."""
        pids = tree_of(self.pid)
        found = self.step("dump", *words, **kwargs)
        expect(not reap(pids), "it is still there after the dump")
        self.check_images(self.images())
        return found

    def check_images(self, directory):
        """The chain's pages, resolved without torpor, are what the program had."""
        for page, gen in enumerate(self.gens):
            try:
                got = images.page(directory, f"pagemap-{self.pid}.img", BASE + page * PAGE)
            except images.Broken:
                got = bytes(PAGE)
            want = bytes(PAGE) if gen is None else content(gen, page)
            expect(got == want, f"{directory}: page {page} is {struct.unpack_from('<QQ', got)}, "
                                f"not generation {gen}")

    def restore(self, *words, when="after the restore"):
        self.t.torpor.restore(self.images(), *words)
        self.check(when)

    def log(self, level=None):
        return read(os.path.join(self.images(level), "dump.log"))

    def warned(self, level=None):
        return [line for line in self.log(level).splitlines() if "Warn" in line]

    def must_be_full(self, found, why):
        """A dump that could not build on another one says so."""
        expect(not found["parent"], f"{why}: pages are left to the parent: {found}")
        expect(self.warned(), f"{why}: no warning of a full dump")

    def must_build_on(self, found, pages):
        """Most pages are left to the parent."""
        expect(found["parent"] > NPAGES - pages - 16, f"too few pages in the parent: {found}")

    def end(self):
        kill_tree(self.pid)


def keepers():
    """Those of this test: they have become our children."""
    return [pid for pid in tree_of(os.getpid())[1:]
            if read(f"/proc/{pid}/comm").strip() == KEEPER and alive(pid)]


def reap_keepers():
    for pid in tree_of(os.getpid())[1:]:
        if read(f"/proc/{pid}/comm").strip() == KEEPER and not alive(pid):
            reap([pid])


def tracked(pid):
    """Mappings under write protection of a userfaultfd."""
    return [line for line in read(f"/proc/{pid}/smaps").splitlines()
            if line.startswith("VmFlags") and " uw" in line]


def await_no_keeper(when):
    wait_for(f"the keeper to end {when}", lambda: not keepers(), limit=5)
    reap_keepers()


def is_readable(fd):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
