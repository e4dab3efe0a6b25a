# SPDX-License-Identifier: Apache-2.0
"""One behaviour test, from its start to its verdict: the process that tests/run starts for each.

  python3 drive.py SPEC      SPEC: a file with what tests/run wants, as JSON

It enters the namespaces of the flavour, becomes the reaper of orphans (a program restored with -d
is its child again), starts the program, dumps and restores it as the mode says, tells it to go on,
collects the verdict, and looks for what was left behind. The result is written to the directory
of the test as result.json.
"""

import ctypes
import json
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import images  # noqa: E402
import snapshot  # noqa: E402

PR_SET_CHILD_SUBREAPER = 36
CLONE = {"mnt": 0x20000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000,
         "pid": 0x20000000, "net": 0x40000000}
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 0x4000, 0x40000
WAIT_ALL = 0x40000000  # __WALL: whatever the exit signal
STEPWISE = ("pre-dump", "pre-dump-dedup", "incremental", "incremental-dedup", "compat")
PAUSE = float(os.environ.get("BEHAVE_PAUSE", "0.05"))  # seconds, between two steps
STAY = float(os.environ.get("BEHAVE_STAY", "0.05"))  # seconds, of a program that isn't frozen
LOOK_AT_IMAGES = os.environ.get("BEHAVE_IMAGES") == "1"
SKIPPED = 77
TAKEN = re.compile(r"pids? .*taken|already in use|File exists")
libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def must(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


# ------------------------------------------------------------------ namespaces


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def map_ids(pid):
    """The first 64Ki ids stand for themselves. Somebody outside of the namespace has to say so."""
    for name in ("uid_map", "gid_map"):
        write(f"/proc/{pid}/{name}", "0 0 65536")


def enter_user_namespace():
    parent = os.getpid()
    unshared_r, unshared_w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(unshared_w)
            os.read(unshared_r, 1)
            map_ids(parent)
            os._exit(0)
        finally:
            os._exit(1)
    must(libc.unshare(CLONE["user"]), "unshare a user namespace")
    os.close(unshared_w)
    os.close(unshared_r)
    if os.waitpid(pid, 0)[1] != 0:
        raise Failure("can't map ids into a user namespace")


def enter_namespaces(flavour):
    """Returns in the first process of new namespaces; its parent only waits for it."""
    if flavour == "userns":
        enter_user_namespace()
    must(libc.unshare(CLONE["pid"] | CLONE["mnt"] | CLONE["uts"] | CLONE["ipc"] | CLONE["net"]),
         "unshare namespaces")
    pid = os.fork()
    if pid:
        signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGKILL))
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os._exit(status if status >= 0 else 1)
    libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no namespace outlives the test
    must(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "make mounts private")
    must(libc.mount(b"proc", b"/proc", b"proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None),
         "mount /proc")
    libc.sethostname(b"behave", 6)


# ----------------------------------------------------------------------- steps


class Test:
    def __init__(self, spec):
        self.spec = spec
        self.dir, self.mode, self.flavour = spec["dir"], spec["mode"], spec["flavour"]
        self.limit = spec["limit"]
        self.work, self.tmp = self.path("work"), self.path("tmp")
        self.log = self.path("program.log")
        self.cycles = self.retries = self.level = 0
        self.pid = 0
        os.mkdir(self.work)
        os.mkdir(self.tmp)
        os.chmod(self.work, 0o777)
        # Children that have given up their rights say that they are ready, too.
        write(self.path("ready.children"), "")
        os.chmod(self.path("ready.children"), 0o666)

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def wait_for(self, what, condition):
        deadline = time.monotonic() + self.limit
        while not condition():
            if time.monotonic() > deadline:
                raise Failure(f"waited {self.limit:g} s in vain for {what}")
            time.sleep(0.002)

    # ------------------------------------------------------------ the program

    def start(self):
        env = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C",
               "BEHAVE_MODE": self.mode, "BEHAVE_FLAVOUR": self.flavour,
               "BEHAVE_READY": self.path("ready"), "BEHAVE_GO": self.path("go")}
        with open(self.log, "ab", buffering=0) as log:
            popen = subprocess.Popen([self.spec["program"]], stdin=subprocess.DEVNULL, stdout=log,
                                     stderr=log, cwd=self.work, env=env, start_new_session=True)
        self.pid = popen.pid
        popen.returncode = 0  # waited for by number: it may come back, and end again

    def ended(self):
        """The exit status of the program, None as long as it lives."""
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG | WAIT_ALL)
        except ChildProcessError:
            raise Failure(f"pid {self.pid} isn't our child: it went elsewhere") from None
        return os.waitstatus_to_exitcode(status) if pid else None

    def said(self, word):
        return [line for line in (snapshot.read(self.log) or "").splitlines()
                if line.startswith(word)]

    def check_end(self, status):
        if status == SKIPPED:
            raise Skip("\n".join(self.said("SKIP"))[5:] or "no reason given")
        failed = self.said("FAIL")
        if failed or status != 0:
            how = f"exit status {status}" if status >= 0 else f"signal {-status}"
            raise Failure("\n".join([f"the program ended with {how}", *failed[:20]]))
        if not self.said("PASS"):
            raise Failure("the program ended without its PASS")

    def await_ready(self):
        def is_ready():
            status = self.ended()
            if status is not None:
                self.pid = 0
                self.check_end(status)
                raise Failure("the program ended before it was frozen")
            return os.path.exists(self.path("ready"))
        self.wait_for("the program to be ready", is_ready)
        self.settle()

    def settle(self):
        """Gives its tasks the time to go to sleep; those that spin never will."""
        for _ in range(20):
            time.sleep(0.005)
            states = [stat[0] for pid in snapshot.tree_of(self.pid)
                      for stat in [snapshot.stat_fields(pid)] if stat]
            if "R" not in states:
                return

    def go(self):
        write(self.path("go"), "")
        if self.spec["go_signal"]:
            os.kill(self.pid, self.spec["go_signal"])

    def await_verdict(self):
        box = []

        def is_over():
            box.append(self.ended())
            return box[-1] is not None
        try:
            self.wait_for("the program's verdict", is_over)
        except Failure as failure:
            raise Failure("\n".join([str(failure), *self.said("FAIL")[:20]])) from None
        self.pid = 0
        self.check_end(box[-1])

    # ----------------------------------------------------------------- torpor

    def torpor(self, *words):
        """Runs it in a session of its own; returns its exit status."""
        command = [self.spec["torpor"], *words]
        with open(self.path("torpor.out"), "ab", buffering=0) as out:
            out.write(f"$ {shlex.join(command)}\n".encode())
            popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                     cwd=self.dir, start_new_session=True,
                                     env=dict(os.environ, TMPDIR=self.tmp))
            try:
                return popen.wait(self.limit)
            except subprocess.TimeoutExpired:
                popen.kill()
                popen.wait()
                raise Failure(f"torpor {words[0]} hangs (more than {self.limit:g} s)") from None

    def errors_of(self, log):
        text = snapshot.read(log) or ""
        return [line for line in text.splitlines() if "Error" in line][:5] or \
            (snapshot.read(self.path("torpor.out")) or "").splitlines()[-3:]

    def images(self):
        """Those of the last dump. A chain of them lies in one directory, so that it can be moved."""
        top = self.path(f"images-{self.cycles}")
        return os.path.join(top, str(self.level)) if self.level else top

    def dump(self, *words, verb="dump", want=()):
        """A new cycle, or the next level of a chain."""
        if self.level <= 1:
            self.cycles += 1
        os.makedirs(self.images())
        status = self.torpor(verb, "-t", str(self.pid), "-D", self.images(), "-o", "dump.log",
                             "-v4", *words, *self.spec["dump_options"])
        if self.spec["refused"]:
            return self.check_refusal(status)
        if status != 0:
            raise Failure("\n".join([f"torpor {verb}: exit status {status}",
                                     *self.errors_of(os.path.join(self.images(), "dump.log"))]))
        for name in (want or ("inventory.img", "pstree.img", f"core-{self.pid}.img",
                              "stats-dump")):
            if not os.path.exists(os.path.join(self.images(), name)):
                raise Failure(f"torpor {verb}: no {name}")
        if LOOK_AT_IMAGES:
            self.check_images()
        return None

    def check_images(self):
        """Nothing is wrong with them, and as JSON and back they are the same."""
        recode = os.path.join(os.path.dirname(self.spec["torpor"]), "tests", "lib", "recode")
        for command in ([recode, self.images()],
                        [self.spec["torpor"], "image", "check", self.images()]):
            done = subprocess.run(command, capture_output=True, text=True, errors="replace",
                                  timeout=self.limit, check=False)
            if done.returncode != 0:
                raise Failure(f"{' '.join(command)}:\n{done.stdout[-2000:]}{done.stderr[-500:]}")

    def dump_level(self, *words, **kwargs):
        """The next level of a chain, on top of the last one."""
        self.level += 1
        previous = [] if self.level == 1 else ["--prev-images-dir", f"../{self.level - 1}"]
        if previous and self.mode.endswith("dedup"):
            previous.append("--auto-dedup")
        if self.mode == "compat":
            previous.append("--image-compat=criu")
        self.dump("--track-mem", *previous, *words, **kwargs)
        try:
            found = images.check_chain(self.images())
        except images.Broken as broken:
            raise Failure(f"level {self.level}: {broken}") from None
        warned = "Warn" in (snapshot.read(os.path.join(self.images(), "dump.log")) or "")
        if self.level > 1 and not found["parent"] and not warned:
            raise Failure(f"level {self.level} is a full dump, without a warning: {found}")

    def check_refusal(self, status):
        errors = "\n".join(self.errors_of(os.path.join(self.images(), "dump.log")))
        if status == 0:
            raise Failure("torpor dump went well instead of being refused")
        if status != 1 or self.spec["refused"] not in errors:
            raise Failure(f"torpor dump: exit status {status}, expected 1 and "
                          f"'{self.spec['refused']}' in the error:\n{errors}")

    def reap(self, pids):
        """Waits until these are gone; what is below us when its parent has died becomes ours."""
        left = set(pids)

        def all_gone():
            for pid in list(left):
                try:
                    os.waitpid(pid, os.WNOHANG | WAIT_ALL)
                except ChildProcessError:
                    pass
                if not os.path.exists(f"/proc/{pid}"):
                    left.discard(pid)
            # Trees that fork while they are looked at have more than we know of.
            return not left and not any(snapshot.stat_fields(pid)[:1] == ["Z"]
                                        for pid in snapshot.tree_of(os.getpid())[1:]
                                        if not os.waitpid(pid, os.WNOHANG | WAIT_ALL)[0])
        self.wait_for("the end of the tree", all_gone)

    def restore(self):
        words = ["restore", "-d", "-D", self.images(), "-o", "restore.log", "-v4", "--pidfile",
                 "restore.pid", *self.spec["restore_options"]]
        log = os.path.join(self.images(), "restore.log")
        status = self.torpor(*words)
        # Pids are numbers that anybody may have got meanwhile; in namespaces of our own nobody.
        while status != 0 and self.flavour == "host" and self.retries < 5 and any(
                TAKEN.search(line) for line in self.errors_of(log)):
            self.retries += 1
            time.sleep(0.2 * self.retries)
            status = self.torpor(*words)
        if status != 0:
            raise Failure("\n".join([f"torpor restore: exit status {status}",
                                     *self.errors_of(log)]))
        pidfile = snapshot.read(os.path.join(self.images(), "restore.pid"))
        if pidfile != str(self.pid):
            raise Failure(f"the pidfile says {pidfile!r}, not {self.pid}")

    # ------------------------------------------------------------------ modes

    def freeze(self):
        """Dumped, gone, and back with the same pids and everything that /proc shows."""
        pids = snapshot.tree_of(self.pid)
        before, files = snapshot.tree(self.pid), self.files()
        original = os.pidfd_open(self.pid)
        try:
            self.dump()
            if self.spec["refused"]:
                self.check_alive(original)
            else:
                if not is_dead(original):
                    raise Failure("torpor dump went well, but the program is still there")
                self.reap(pids)
                self.restore()
        finally:
            os.close(original)
        self.settle()
        self.check_same(before, files)

    def freeze_in_steps(self):
        """The same after some pre-dumps, or dumps that leave the program running."""
        before, files = snapshot.tree(self.pid), self.files()
        self.level = 0
        original = os.pidfd_open(self.pid)
        try:
            for _ in range(self.spec["steps"]):
                if self.mode.startswith("incremental"):
                    self.dump_level("--leave-running")
                else:
                    self.dump_level(verb="pre-dump",
                                    want=("inventory.img", f"pagemap-{self.pid}.img", "stats-dump"))
                self.check_alive(original)
                time.sleep(PAUSE)
                self.check_same(before, files)
            pids = snapshot.tree_of(self.pid)
            self.dump_level()
            if not is_dead(original):
                raise Failure("torpor dump went well, but the program is still there")
            self.reap(pids)
        finally:
            os.close(original)
        self.check_keepers()
        self.move_images()
        self.restore()
        self.settle()
        self.check_same(before, files)

    def move_images(self):
        """All of a chain goes elsewhere; its links hold."""
        if not self.mode.startswith("pre-dump"):
            return
        os.rename(self.path(f"images-{self.cycles}"), self.path(f"images-{self.cycles + 1}"))
        self.cycles += 1

    def check_keepers(self):
        """Nothing keeps a tracker for a program that is gone."""
        self.wait_for("torpor-keeper to end", lambda: not [
            pid for pid in snapshot.tree_of(os.getpid())[1:]
            if snapshot.status_of(f"/proc/{pid}/status").get("Name") == "torpor-keeper"])

    def stay(self):
        """No dump: shows whether the program and the comparison are fit for one."""
        before, files = snapshot.tree(self.pid), self.files()
        time.sleep(STAY)
        self.check_same(before, files)

    def leave_running(self):
        before, files = snapshot.tree(self.pid), self.files()
        original = os.pidfd_open(self.pid)
        try:
            self.dump("--leave-running")
            self.check_alive(original)
        finally:
            os.close(original)
        self.settle()
        self.check_same(before, files)

    def check_alive(self, original):
        if is_dead(original):
            raise Failure("torpor dump killed the program")
        for pid in snapshot.tree_of(self.pid):
            tracer = snapshot.status_of(f"/proc/{pid}/status").get("TracerPid", "0")
            if tracer != "0":
                raise Failure(f"pid {pid} is still traced by {tracer}")
            if snapshot.userfaultfds(pid):
                raise Failure(f"pid {pid} has a userfaultfd")

    def files(self):
        return sorted(os.path.join(top, name) for top, dirs, names in os.walk(self.work)
                      for name in dirs + names)

    def check_same(self, before, files):
        if os.path.exists(f"/proc/{self.pid}"):
            after = snapshot.tree(self.pid)
            lines = snapshot.compare(before, after, self.spec["changes"])
            if lines:
                raise Failure("\n".join(["/proc shows it changed:", *lines[:20]]))
        if "files" not in self.spec["changes"] and self.files() != files:
            raise Failure(f"files before {files}, after {self.files()}")
        if os.listdir(self.tmp):
            raise Failure(f"left in $TMPDIR: {os.listdir(self.tmp)}")

    def run(self):
        before = snapshot.machine()
        self.start()
        self.await_ready()
        if self.mode == "leave-running":
            self.leave_running()
        elif self.mode == "none":
            self.stay()
        elif self.mode in STEPWISE:
            self.freeze_in_steps()
        else:
            for _ in range(self.spec["rounds"] if self.mode == "repeat" else 1):
                self.freeze()
        self.go()
        self.await_verdict()
        self.check_leftovers(before)

    def check_leftovers(self, before):
        """Another torpor at work nearby may show for a moment."""
        deadline = time.monotonic() + 2
        while True:
            reap_zombies()
            left = snapshot.tree_of(os.getpid())[1:]
            lines = [f"pid {pid} ({snapshot.status_of(f'/proc/{pid}/status').get('Name')})"
                     for pid in left]
            lines += snapshot.compare({0: before}, {0: snapshot.machine()})
            if not lines:
                return
            if time.monotonic() > deadline:
                raise Failure("\n".join(["left behind:", *lines]))
            time.sleep(0.05)

    def clean_up(self):
        for pid in snapshot.tree_of(os.getpid())[1:]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        deadline = time.monotonic() + 5
        while len(snapshot.tree_of(os.getpid())) > 1 and time.monotonic() < deadline:
            reap_zombies()
            time.sleep(0.002)


def is_dead(pidfd):
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def reap_zombies():
    try:
        while os.waitpid(-1, os.WNOHANG | WAIT_ALL)[0]:
            pass
    except ChildProcessError:
        pass


def interrupted(*_):
    raise Failure("interrupted")


def main():
    spec = json.loads(snapshot.read(sys.argv[1]))
    result = {"verdict": "failed", "text": ""}
    test = None
    try:
        if spec["flavour"] != "host":
            enter_namespaces(spec["flavour"])
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        signal.signal(signal.SIGTERM, interrupted)
        test = Test(spec)
        test.run()
        result["verdict"] = "passed"
    except Skip as skip:
        result = {"verdict": "skipped", "text": str(skip)}
    except (Failure, OSError) as failure:
        result["text"] = str(failure)
    except Exception:  # our own mistake
        result["text"] = traceback.format_exc()
    finally:
        if test:
            test.clean_up()
            result["retries"], result["cycles"] = test.retries, test.cycles
        write(os.path.join(spec["dir"], "result.json"), json.dumps(result))


main()
