#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Core files of a checkpoint: gdb sees in them what it saw in the living process: each thread's
backtrace with functions, arguments and lines, vector registers, variables; after a plain dump, at
the end of a chain, for a child that shares pages with its parent, and for python3."""

import os
import re
import shutil
import signal
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import PYTHON, Failure, expect, need, read, reap, run, wait_for  # noqa: E402

PROGRAM = r"""
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#define NOINLINE __attribute__((noinline, noclone))

int initialised = 4711, zeroed, rounds, never_set[5000];
char text[64] = "text of the program";
volatile long big[100000];
int *shared, *anonymous;
static int word, fds[2];
static volatile int go = 1, ready;

NOINLINE static int nap(int seconds, const char *what)
{
	struct timespec ts = {seconds, 0};

	__sync_fetch_and_add(&ready, 1);
	nanosleep(&ts, NULL);
	return seconds + what[0];
}
NOINLINE static int dream(int depth)
{
	return depth ? dream(depth - 1) + 1 : nap(1000, "a dream") + 1;
}
static void *sleeper(void *arg)
{
	return (void *)(long)dream((int)(long)arg);
}

NOINLINE static int spin(int n)
{
	float v[8] = {1.5f, 2.5f, 3.5f, 4.5f, 5.5f, 6.5f, 7.5f, -8.5f};

	__sync_fetch_and_add(&ready, 1);
	if (AVX)
		__asm__ volatile("vmovups (%0), %%ymm7\n vmovups (%0), %%ymm13\n"
				 "1: pause; cmpl $0, %1; jne 1b" ::"r"(v), "m"(go) : "memory");
	else
		__asm__ volatile("movups (%0), %%xmm7\n"
				 "1: pause; cmpl $0, %1; jne 1b" ::"r"(v), "m"(go) : "memory");
	return n;
}
static void *spinner(void *arg)
{
	return (void *)(long)(spin(3) + 1);
}

static void *pauser(void *arg)
{
	__sync_fetch_and_add(&ready, 1);
	pause();
	return arg;
}

static void *futex_waiter(void *arg)
{
	__sync_fetch_and_add(&ready, 1);
	syscall(SYS_futex, &word, FUTEX_WAIT, 0, NULL, NULL, 0);
	return arg;
}

NOINLINE static int read_one(char *c)
{
	__sync_fetch_and_add(&ready, 1);
	return (int)read(fds[0], c, 1);
}
static void *reader(void *arg)
{
	char c = 'x';

	return (void *)(long)(read_one(&c) + 1);
}

NOINLINE static void child(int own)
{
	text[0] = 'c';
	big[5] = own;
	pause();
	_exit(own);
}

int main(void)
{
	void *(*functions[])(void *) = {sleeper, spinner, pauser, futex_waiter, reader};
	pthread_t t[5];
	sigset_t set;
	int sig;

	for (int i = 0; i < 100000; i++)
		big[i] = i * 7L;
	shared = mmap(NULL, 1 << 16, 3, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	anonymous = mmap(NULL, 1 << 20, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	shared[5000] = 77;
	anonymous[9999] = 88;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (pipe(fds) < 0)
		return 1;
	if (fork() == 0)
		child(99);
	if (fork() == 0)
		_exit(3);
	for (int i = 0; i < 5; i++)
		pthread_create(&t[i], NULL, functions[i], (void *)4L);
	while (ready < 5)
		usleep(1000);
	close(open_ready());
	for (;;) {
		sigwait(&set, &sig);
		rounds++;
		big[50000] = -rounds;
		text[1] = (char)('0' + rounds);
	}
}
"""

SNAKE = """
import threading, time
def inner(event, what):
    event.set()
    time.sleep(1000)
    return what
def outer(event):
    return inner(event, 5)
for _ in range(3):
    e = threading.Event()
    threading.Thread(target=outer, args=(e,)).start()
    e.wait()
time.sleep(0.2)
open("ready", "w").close()
outer(threading.Event())
"""

VALUES = ("initialised", "zeroed", "rounds", "text", "big[5]", "big[99999]", "big[50000]", "go",
          "never_set[4000]", "shared[5000]", "shared[16000]", "anonymous[9999]",
          "anonymous[200000]", "*fds@2")
HAS_AVX = " avx " in read("/proc/cpuinfo")
VECTORS = ("$ymm7.v8_float", "$ymm13.v4_int64") if HAS_AVX else ("$xmm7.v4_float",)


def build(t):
    source = PROGRAM.replace("AVX)", f"{int(HAS_AVX)})")
    source = source.replace("open_ready()", "creat(\"ready\", 0600)")
    source = source.replace("#include <linux/futex.h>", "#include <fcntl.h>\n#include <linux/futex.h>")
    t.write("program.c", source)
    subprocess.run([need("gcc"), "-g", "-O1", "-pthread", "-o", t.path("program"),
                    t.path("program.c")], check=True)
    return t.path("program")


# ---------------------------------------------------------------------- gdb


def gdb(*words, commands=()):
    argv = [need("gdb"), "-nx", "-batch", "-ex", "set debuginfod enabled off",
            "-ex", "set width 0", *words]
    for command in commands:
        argv += ["-ex", command]
    env = dict(os.environ, LC_ALL="C", DEBUGINFOD_URLS="")
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=env, timeout=120, check=False)
    return done.stdout.decode(errors="replace")


def by_thread(text):
    """What `thread apply all` printed, by kernel thread."""
    found, lwp = {}, None
    for line in text.splitlines():
        head = re.match(r"Thread \d+ \(.*LWP (\d+)\)", line)
        if head:
            lwp = int(head.group(1))
            found[lwp] = []
        elif lwp is not None and line.strip():
            found[lwp].append(line)
    return found


def normal(frame):
    """A frame without what depends on where in the system call the thread stands: an image has it
    at the instruction, to be done again, the living one behind it. In assembler that's a line."""
    return re.sub(r"^(#0 .*\.S):\d+$", r"\1", re.sub(r"^(#0 +)0x[0-9a-f]+ in ", r"\1", frame))


def backtraces(text):
    return {lwp: [normal(line) for line in lines if line.startswith("#")]
            for lwp, lines in by_thread(text).items()}


def look(*words):
    """Backtraces, vector registers and variables."""
    commands = ["thread apply all bt"]
    for name in VECTORS:
        commands += [r"echo \n@@\n", f"thread apply all p {name}"]
    commands += [r"echo \n@@\n"] + [f"p {name}" for name in VALUES]
    text = gdb(*words, commands=commands)
    stacks, *vectors, values = text.split("\n@@\n")
    expect(backtraces(stacks), f"gdb shows no threads: {text}")
    return (backtraces(stacks),
            [{lwp: [re.sub(r"^\$\d+ = ", "", line) for line in lines if line.startswith("$")]
              for lwp, lines in by_thread(part).items()} for part in vectors],
            re.findall(r"^\$\d+ = (.*)$", values, re.M))


def differences(live, core):
    if isinstance(live, dict):
        return "".join(f"\n{key}:\n  live {live.get(key)}\n  core {core.get(key)}"
                       for key in {*live, *core} if live.get(key) != core.get(key))
    return f"\n  live {live}\n  core {core}"


def expect_same(live, core, what):
    for part, a, b in zip(("backtraces", "vectors", "values"), live, core):
        expect(a and a == b, f"{what}: {part} differ: {differences(a, b)}")


# ---------------------------------------------------------------------- tests


def image_core(t, directory, pid, name, *options):
    core = t.path(name)
    done = t.torpor.run("image", "core", directory, "--pid", pid, "-o", core, *options)
    expect(done.returncode == 0, f"image core {pid}: {done.stderr}")
    return core


def start(t, *argv):
    if os.path.exists(t.path("ready")):
        os.unlink(t.path("ready"))
    p = t.start(*argv)
    wait_for("the program", lambda: os.path.exists(t.path("ready")))
    return p


def settled(pid):
    """In a system call that lasts; the spinner runs."""
    def calls():
        return [read(f"/proc/{pid}/task/{tid}/syscall").split()[:1]
                for tid in os.listdir(f"/proc/{pid}/task")]
    wait_for("threads at rest", lambda: sum(call == ["running"] for call in calls()) <= 1)


def dump(t, p, name, *options, verb="dump"):
    os.mkdir(t.path(name))
    t.torpor.must(verb, "-t", p.pid, "-D", t.path(name), "-o", "dump.log", "-v4", *options)
    return t.path(name)


def c_program(t):
    program = build(t)
    p = start(t, program)
    pids = [pid for pid in p.pids() if pid != p.pid]
    child, zombie = sorted(pids)
    dump(t, p, "1", verb="pre-dump")
    os.kill(p.pid, signal.SIGUSR1)
    settled(p.pid)
    live, live_child = look("-p", str(p.pid)), look("-p", str(child))
    expect(len(live[0]) == 6, f"{len(live[0])} threads")
    text = str(live[0])
    for name in ("nap (seconds=seconds@entry=1000", "spin (", "pauser (", "futex_waiter (", "read_one (",
                 "sigwait", "main ()"):
        expect(name in text, f"{name} isn't in the live backtraces: {text}")
    expect("-8.5" in str(live[1]) or not HAS_AVX, f"where are the vectors? {live[1]}")
    full = dump(t, p, "full", "--leave-running")
    settled(p.pid)
    last = dump(t, p, "2", "--prev-images-dir", "../1")
    expect(os.path.islink(os.path.join(last, "parent")), "no chain")
    for directory in (full, last):
        core = image_core(t, directory, p.pid, "core")
        expect_same(live, look(program, core), f"{directory}, the root")
        expect_same(live_child, look(program, image_core(t, directory, child, "core")),
                    f"{directory}, the child")
    shape(t, full, p.pid, image_core(t, full, p.pid, "core"))
    refused(t, full, p.pid, zombie)
    deleted_program(t, program)


def deleted_program(t, program):
    """Its code is nowhere but in the images, and is then in the core file."""
    gone = shutil.copy(program, t.path("gone"))
    p = start(t, gone)
    os.unlink(gone)
    settled(p.pid)
    live = look(program, "-p", str(p.pid))
    code = next(line.split()[0] for line in read(f"/proc/{p.pid}/maps").splitlines()
                if "gone" in line and "x" in line.split()[1])
    core = image_core(t, dump(t, p, "deleted"), p.pid, "core.deleted")
    expect_same(live, look(program, core), "a deleted program")
    expect([s for s in segments(core) if s[1] == int(code.split("-")[0], 16) and s[2] == s[3]],
           f"the code at {code} isn't in the core file: {segments(core)}")


def segments(core):
    """(flags, start, bytes in the file, bytes in memory) of each PT_LOAD."""
    with open(core, "rb") as f:
        head = f.read(64)
        off, n = struct.unpack_from("<Q", head, 32)[0], struct.unpack_from("<H", head, 56)[0]
        f.seek(off)
        headers = [struct.unpack("<IIQQQQQQ", f.read(56)) for _ in range(n)]
    return [(h[1], h[3], h[5], h[6]) for h in headers if h[0] == 1]


def shape(t, directory, pid, core):
    """The file itself: it has holes, code only with --full, and a pipe gets the same bytes."""
    st = os.stat(core)
    expect(st.st_size > 30 << 20, "eight MiB of each thread's stack are missing")
    expect(st.st_blocks * 512 < 8 << 20, f"{st.st_blocks * 512} bytes: no holes")
    expect(st.st_mode & 0o077 == 0, f"others may read it: {st.st_mode:o}")
    code = [s for s in segments(core) if s[0] & 1 and s[3] > 1 << 20]
    expect(code and all(s[2] <= 4096 for s in code), f"code without --full: {code}")
    full = image_core(t, directory, pid, "core.full", "--full")
    code = [s for s in segments(full) if s[0] & 1 and s[3] > 1 << 20]
    expect(code and all(s[2] == s[3] for s in code), f"code with --full: {code}")
    done = subprocess.run([t.torpor.binary, "image", "core", directory, "--pid", str(pid), "-o",
                           "-"], stdout=subprocess.PIPE, check=True)
    with open(core, "rb") as f:
        expect(f.read() == done.stdout, "another core file through a pipe")
    with open(t.path("appended"), "ab") as f:
        f.write(b"in front")
        f.flush()
        subprocess.run([t.torpor.binary, "image", "core", directory, "--pid", str(pid), "-o", "-"],
                       stdout=f, check=True)
    with open(t.path("appended"), "rb") as f:
        expect(f.read() == b"in front" + done.stdout, "appended to a file")


def refused(t, directory, pid, zombie):
    for words, text in (((directory, "--pid", zombie), "zombie"),
                        ((directory, "--pid", 1), "no process 1"),
                        ((t.path("1"), "--pid", pid), "pre-dump")):
        done = t.torpor.run("image", "core", *words, "-o", t.path("none"))
        expect(done.returncode == 1 and text in done.stderr, f"{words}: {done.stderr}")
        expect(not [name for name in os.listdir(t.path()) if name.startswith("none")],
               f"{words}: a file is left")
    done = t.torpor.run("image", "core", directory, "--pid", pid)
    expect(done.returncode == 2 and "-o FILE" in done.stderr, f"without -o: {done.stderr}")


def python(t):
    p = start(t, PYTHON, "-c", SNAKE)
    settled(p.pid)
    commands = ["thread apply all bt"]
    live = backtraces(gdb("-p", str(p.pid), commands=commands))
    directory = dump(t, p, "python")
    core = image_core(t, directory, p.pid, "core.python")
    found = backtraces(gdb(os.path.realpath(PYTHON), core, commands=commands))
    expect(len(live) == 4 and all(len(frames) > 3 for frames in live.values()),
           f"live python: {live}")
    expect(live == found, f"python: {differences(live, found)}")


def image_cores(t):
    need("gdb")
    need("gcc")
    os.chdir(t.path())
    c_program(t)
    python(t)


run(image_cores)
