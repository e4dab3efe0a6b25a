# SPDX-License-Identifier: Apache-2.0
"""What the Python tests share: a program that can be frozen and woken, and a test's frame.

A test is an executable file with one function and, at its end, `run(function)`. It runs in a
directory of its own, exits with 0 (passed), 1 (failed) or 77 (skipped, with the reason as the last
line), and leaves no process behind. On a failure the directory stays and is named.

The test process is the reaper of orphans (PR_SET_CHILD_SUBREAPER): a program restored with -d
becomes its child again, so that its exit status can be asked for and nothing can get lost.
"""

import ctypes
import mmap
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback

PR_SET_CHILD_SUBREAPER = 36
SKIPPED = 77
ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", ".."))
LIMIT = float(os.environ.get("TORPOR_TEST_LIMIT", "60"))  # seconds to wait for anything
PYTHON = "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def find_torpor():
    for name in (os.environ.get("TORPOR"), os.path.join(ROOT, "build", "torpor"),
                 shutil.which("torpor")):
        if name and os.access(name, os.X_OK):
            return os.path.realpath(name)
    raise Skip("no torpor binary: build first, or set TORPOR")


def need(program):
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise Skip(f"{program} isn't installed")
    return path


def wait_for(what, condition, limit=LIMIT):
    """Waits until condition() is true and returns its value. `what` is for the error message."""
    deadline = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"waited {limit:g} s in vain: {what}")
        time.sleep(0.005)


def expect(claim, message):
    if not claim:
        raise Failure(message)


def read(path):
    try:
        with open(path, errors="replace") as f:
            return f.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def alive(pid):
    """Neither gone nor a zombie."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def has_zero_page():
    """Does reading untouched memory give one page for all? (Some virtual machines' kernels have none.)"""
    memory = mmap.mmap(-1, 2 * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    assert memory[0] == memory[mmap.PAGESIZE] == 0
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    with open("/proc/self/pagemap", "rb") as f:
        f.seek(start // mmap.PAGESIZE * 8)
        first, second = struct.unpack("<2Q", f.read(16))
    return first & ((1 << 55) - 1) == second & ((1 << 55) - 1)


def tree_of(pid):
    """pid and everything below it, parents first."""
    found = [pid]
    for p in found:
        try:
            for task in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{task}/children") as f:
                    found += [int(c) for c in f.read().split()]
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def reap(pids, limit=10.0):
    """Waits until none of these exists any more, reaping those that are our children.

    Returns those that are left.
    """
    deadline = time.monotonic() + limit
    left = set(pids)
    while left:
        for pid in list(left):
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
            if not os.path.exists(f"/proc/{pid}"):
                left.discard(pid)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.002)
    return left


def reap_orphans():
    """What a tree forked while it was looked at has come to us, too, when it was killed."""
    for pid in tree_of(os.getpid())[1:]:
        if os.path.exists(f"/proc/{pid}") and not alive(pid):
            reap([pid])


def kill_tree(pid):
    pids = tree_of(pid)
    for p in pids:
        try:
            os.kill(p, signal.SIGKILL)
        except ProcessLookupError:
            pass
    reap(pids)


class Torpor:
    """The binary, run with an images directory; keeps what it printed for the error message."""

    def __init__(self, binary=None):
        self.binary = binary or find_torpor()

    def run(self, *args, limit=LIMIT, **kwargs):
        """Any command line; returns the CompletedProcess, whatever the exit status."""
        kwargs.setdefault("stdin", subprocess.DEVNULL)
        try:
            return subprocess.run([self.binary, *map(str, args)], capture_output=True, text=True,
                                  errors="replace", timeout=limit, **kwargs)
        except subprocess.TimeoutExpired:
            raise Failure(f"torpor {' '.join(map(str, args))}: hangs (more than {limit:g} s)")

    def dump(self, images, pid, *options, log="dump.log"):
        self.must("dump", "-t", pid, "-D", images, "-v4", "-o", log, *options)

    def restore(self, images, *options, log="restore.log"):
        self.must("restore", "-d", "-D", images, "-v4", "-o", log, *options)

    def must(self, *args):
        done = self.run(*args)
        if done.returncode != 0:
            images = args[args.index("-D") + 1]
            log = os.path.join(str(images), str(args[args.index("-o") + 1]))
            lines = [line for line in read(log).splitlines() if "Error" in line]
            raise Failure(f"torpor {' '.join(map(str, args))}: exit status {done.returncode}\n"
                          f"{done.stderr}" + "\n".join(lines))
        return done


class Program:
    """A process tree in a session of its own, started by us, to be frozen and woken."""

    def __init__(self, test, argv, **kwargs):
        self.test = test
        self.output = os.path.join(test.dir, "output.txt")
        with open(self.output, "ab") as out:
            kwargs.setdefault("stdin", subprocess.DEVNULL)
            kwargs.setdefault("stdout", out)
            kwargs.setdefault("stderr", out)
            kwargs.setdefault("cwd", test.dir)
            self.popen = subprocess.Popen(argv, start_new_session=True, **kwargs)
        self.pid = self.popen.pid
        self.popen.returncode = 0  # we wait by pid ourselves: it may be restored, and end again
        self.rounds = 0
        test.programs.append(self)

    def pids(self):
        return tree_of(self.pid)

    def freeze(self, *options):
        """Dumps into a fresh directory and makes sure that the tree is gone."""
        self.rounds += 1
        self.images = os.path.join(self.test.dir, f"images-{self.rounds}")
        os.mkdir(self.images)
        pids = self.pids()
        expect(alive(self.pid), f"the program ended before it was frozen; it said:\n"
                                f"{read(self.output)[-2000:]}")
        self.test.torpor.dump(self.images, self.pid, *options)
        left = reap(pids)
        expect(not left, f"still there after the dump: {sorted(left)}")
        reap_orphans()

    def thaw(self, *options):
        self.test.torpor.restore(self.images, *options)
        expect(os.path.exists(f"/proc/{self.pid}"), f"restored, but pid {self.pid} isn't there")
        shutil.rmtree(self.images)  # big ones would fill the disk

    def cycle(self, times=None, run_for=0.2, dump=(), restore=()):
        """Freezes and wakes it again and again; it runs for `run_for` seconds in between."""
        for _ in range(self.test.rounds if times is None else times):
            time.sleep(run_for)
            self.freeze(*dump)
            self.thaw(*restore)

    def wait_end(self, limit=LIMIT):
        """The exit status, as in subprocess: negative for a signal."""
        def ended():
            try:
                return os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                raise Failure(f"pid {self.pid} isn't our child: the orphan went elsewhere")

        deadline = time.monotonic() + limit
        pid, status = ended()
        while pid == 0:
            if time.monotonic() > deadline:
                raise Failure(f"the program didn't end within {limit:g} s; it said:\n"
                              f"{read(self.output)[-2000:]}")
            time.sleep(0.005)
            pid, status = ended()
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def must_end(self, limit=LIMIT):
        status = self.wait_end(limit)
        expect(status == 0, f"the program ended with {status}; it said:\n"
                            f"{read(self.output)[-2000:]}")


class Test:
    """What a test function gets: a directory, torpor, and programs that won't outlive it."""

    def __init__(self):
        self.torpor = Torpor()
        self.rounds = int(os.environ.get("TORPOR_ROUNDS", "10"))
        self.dir = tempfile.mkdtemp(prefix="torpor-test-")
        self.programs = []

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def start(self, *argv, **kwargs):
        return Program(self, list(map(str, argv)), **kwargs)

    def clean_up(self):
        for program in self.programs:
            if program.pid:
                kill_tree(program.pid)
        # Orphans of the tree have become our children.
        for pid in tree_of(os.getpid())[1:]:
            kill_tree(pid)


def run(function):
    """The frame of a test file: exits with its status."""
    if os.geteuid() != 0:
        print("freezing programs takes root")
        sys.exit(SKIPPED)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    test, status = None, 1
    try:
        test = Test()
        function(test)
        status = 0
    except Skip as skip:
        print(skip)
        status = SKIPPED
    except Failure as failure:
        print(failure)
    except Exception:
        traceback.print_exc()
    finally:
        if test is not None:
            test.clean_up()
            if status == 1:
                print(f"kept: {test.dir}")
            else:
                shutil.rmtree(test.dir, ignore_errors=True)
    sys.exit(status)
