#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The memory of a checkpoint: bytes are those that /proc/PID/mem had, in every mapping of a parent
and a child that shares pages with it, in a plain dump and at the end of a chain; strings and
patterns are found across all borders; what isn't at hand is said."""

import json
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import PYTHON, expect, read, run, wait_for  # noqa: E402

PAGE = 4096

PROGRAM = """
import ctypes, json, mmap, os, signal, sys
PAGE = 4096

def at(m):
    return ctypes.addressof(ctypes.c_char.from_buffer(m))

anon = mmap.mmap(-1, 256 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
for page in range(200):
    anon[page * PAGE:page * PAGE + 8] = (0x5eed << 32 | page).to_bytes(8, "little")
def put(m, where, *parts):  # the program's own variables don't have the text in one piece
    for part in parts:
        m[where:where + len(part)] = part
        where += len(part)
put(anon, 11 * PAGE - 9, b"across ", b"the ", b"border")
shared = mmap.mmap(-1, 16 * PAGE)
put(shared, 2 * PAGE - 3, b"shared ", b"by ", b"all")
fd = os.memfd_create("thing")
os.ftruncate(fd, 8 * PAGE)
memfd = mmap.mmap(fd, 4 * PAGE, offset=2 * PAGE)
put(memfd, 100, b"in the ", b"memfd")
with open("file.bin", "r+b") as f:
    file = mmap.mmap(f.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
put(file, 2 * PAGE + 10, b"changed ", b"in ", b"memory")
child = os.fork()
if child == 0:
    put(anon, 3 * PAGE, b"the child's own")
    signal.pause()
def again(*_):
    put(anon, 7 * PAGE, b"after ", b"the pre-dump")
    with open("again", "w"):
        pass
signal.signal(signal.SIGUSR1, again)
with open("ready.new", "w") as f:
    json.dump({"child": child, "anon": at(anon), "shared": at(shared), "memfd": at(memfd),
               "file": at(file)}, f)
os.rename("ready.new", "ready")
while True:
    signal.pause()
"""

FILES = """
import ctypes, mmap, os, signal
PAGE = 4096

def put(path, *parts):
    with open(path, "wb") as f:
        for where, text in parts:
            f.seek(where)
            f.write(text)
    return open(path, "rb")
def view(f, how):
    f.flush()
    return mmap.mmap(f.fileno(), 0, flags=how, prot=mmap.PROT_READ)

kept = []
for name, how in (("gone.bin", mmap.MAP_SHARED), ("sparse.bin", mmap.MAP_PRIVATE),
                  ("linked.bin", mmap.MAP_PRIVATE), ("here.bin", mmap.MAP_PRIVATE)):
    f = put(name, (9, name.encode()), (40 * PAGE - 3 if name == "sparse.bin" else PAGE, b"x" * 5000))
    kept += f, view(f, how)
os.link("linked.bin", "other.bin")
for name in ("gone.bin", "sparse.bin", "linked.bin"):
    os.unlink(name)
open("ready", "w").close()
while True:
    signal.pause()
"""


class Memory:
    """What /proc tells of a process."""

    def __init__(self, pid):
        self.mappings = []
        self.bytes = {}
        with open(f"/proc/{pid}/mem", "rb") as mem:
            for line in read(f"/proc/{pid}/maps").splitlines():
                start, end = (int(word, 16) for word in line.split()[0].split("-"))
                prot, rest = line.split()[1], line.split()[5:]
                if rest and rest[0].startswith(("[vvar", "[vsyscall")):
                    continue
                self.mappings.append((start, end, prot))
                mem.seek(start)
                self.bytes[start] = mem.read(end - start)


def mem(t, directory, *words, status=0, text=True):
    done = subprocess.run([t.torpor.binary, "image", "mem", directory, *map(str, words)],
                          capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=60)
    expect(done.returncode == status, f"image mem {words}: status {done.returncode}, {done.stderr}")
    return done.stdout.decode() if text else done.stdout


def complaint(t, directory, *words, status=1):
    done = t.torpor.run("image", "mem", directory, *words)
    expect(done.returncode == status, f"image mem {words}: status {done.returncode}")
    return done.stderr


# ------------------------------------------------------------------------ bytes


def compare(t, directory, pid, memory):
    """Every byte of every mapping."""
    listed = json.loads(mem(t, directory, "--pid", pid, "--json"))
    expect(listed["pid"] == pid and listed["page_size"] == PAGE, f"{listed}")
    found = [(int(m["start"], 16), int(m["end"], 16), m["prot"]) for m in listed["mappings"]
             if m["kind"] not in ("vvar", "vsyscall")]
    expect(found == memory.mappings, f"{directory}: mappings of {pid}: {found}")
    for start, end, _ in found:
        data = mem(t, directory, "--pid", pid, "--addr", hex(start), "--len", "all", "--raw",
                   text=False)
        live = memory.bytes[start]
        expect(len(data) == end - start, f"{start:x}: {len(data)} bytes")
        wrong = [i for i in range(0, len(data), 8) if data[i:i + 8] != live[i:i + 8]]
        # The kernel writes the number of the CPU into a thread's rseq area (32 bytes).
        expect(not wrong or wrong[-1] - wrong[0] < 32,
               f"{directory}: {pid}: mapping {start:x}: {len(wrong)} words, {start + wrong[0]:x}.."
               if wrong else "")
    return {m["start"]: m for m in listed["mappings"]}


def listed_pages(t, directory, pid, places, mappings, chain):
    anon = mappings[hex(places["anon"])]["pages"]
    if pid == places["child"]:
        expect(anon["cow"] >= 198, f"the child's pages: {anon}")
    else:
        # Those that were only looked at, by us, may be pages, too.
        expect(200 <= anon["here"] + anon["parents"] <= 256, f"the parent's pages: {anon}")
        expect((anon["parents"] >= 198) == chain, f"{directory}: {anon}")
    kinds = {name: mappings[hex(places[name])] for name in ("shared", "memfd", "file")}
    expect([m["kind"] for m in kinds.values()] == ["shared memory", "memfd", "file"], f"{kinds}")
    expect(kinds["memfd"]["file"] == "thing" and kinds["memfd"]["offset"] == 2 * PAGE, f"{kinds}")
    expect(kinds["file"]["file"] == t.path("file.bin"), f"{kinds}")
    expect(sum(kinds["shared"]["pages"].values()) == 2, f"{kinds}")
    text = mem(t, directory, "--pid", pid)
    expect(re.search(rf"^ *{places['file']:#x} .* file {t.path('file.bin')}\+0x0$", text, re.M),
           f"the table: {text}")


def hexdump(t, directory, pid, places):
    """As hexdump -C prints it."""
    start = places["anon"]
    for offset, length in ((0, 256), (10 * PAGE + 4000, 500), (198 * PAGE, 3 * PAGE), (5, 3)):
        words = ("--pid", pid, "--addr", hex(start + offset), "--len", length)
        mem(t, directory, *words, "-o", t.path("bytes"))
        lines = subprocess.run(["hexdump", "-C", t.path("bytes")], capture_output=True, text=True,
                               check=True).stdout.splitlines()
        want = [re.sub(r"^[0-9a-f]+", lambda m: f"{int(m.group(0), 16) + start + offset:012x}", x)
                for x in lines]
        got = mem(t, directory, *words).splitlines()
        expect(got == want, f"hexdump of {words}: {got} instead of {want}")
    expect(mem(t, directory, "--pid", pid, "--addr", start).splitlines()[-1] ==
           f"{start + 256:012x}", "256 bytes by default")


# ----------------------------------------------------------------------- search


def places_of(text):
    return [(int(pid), int(addr, 16)) for pid, addr in
            (line.split()[:2] for line in text.splitlines())]


def searches(t, directory, pid, places):
    child, anon = places["child"], places["anon"]
    both = [(p, anon + 11 * PAGE - 9) for p in (pid, child)]
    expect(places_of(mem(t, directory, "--search", "across the border")) == both, "all processes")
    expect(places_of(mem(t, directory, "--search", "across the border", "--pid", child)) ==
           both[1:], "one process")
    for pattern, where in (("text:in the memfd", places["memfd"] + 100),
                           ("shared by all", places["shared"] + 2 * PAGE - 3),
                           ("changed in memory", places["file"] + 2 * PAGE + 10),
                           ("contents of a file", places["file"] + 4 * PAGE - 8),
                           ("hex:" + b"across the border".hex().upper(), anon + 11 * PAGE - 9),
                           (f"u64:{0x5eed << 32 | 150:#x}", anon + 150 * PAGE)):
        found = places_of(mem(t, directory, "--search", pattern, "--pid", pid))
        expect((pid, where) in found, f"{pattern}: {found}")
    expect(len(places_of(mem(t, directory, "--search", "u32:0x5eed", "--pid", pid, "--addr",
                             anon, "--len", 256 * PAGE))) == 198, "u32 of each page but two")
    words = ("--search", "across the border", "--pid", pid, "--addr", hex(anon + 11 * PAGE - 8))
    expect(mem(t, directory, *words, "--len", 2 * PAGE, status=1) == "", "behind the place")
    expect(mem(t, directory, "--search", "no such thing" + " here", "--addr", anon, "--pid", pid,
               "--len", 9 * PAGE, status=1) == "", "not there")
    found = mem(t, directory, "--strings", "--min", 12).splitlines()
    for p, text in ((pid, "across the border"), (child, "across the border"),
                    (child, "the child's own"), (child, "shared by all"), (pid, "in the memfd")):
        expect(any(line.startswith(f"{p} 0x") and line.endswith(" " + text) for line in found),
               f"no string '{text}' of {p}")
    expect(not [line for line in found if len(line.split(" ", 2)[2]) < 12], "--min")
    expect(f"{pid} {places['file'] + 4 * PAGE - 8:#x} contents of a file" in found, "a file's")


def says(t, directory, pid, places):
    """What can't be shown."""
    one = ("--pid", pid, "--addr")
    text = complaint(t, directory, *one, "0x10")
    expect("isn't mapped" in text and "nearest mapping is 0x" in text, text)
    text = complaint(t, directory, *one, hex(places["anon"] + 255 * PAGE), "--len", 1 << 40)
    expect("isn't mapped" in text or "not in the images" in text, text)
    text = complaint(t, directory, *one, hex(places["file"] + PAGE + 5), "--no-files")
    expect(f"not in the images: {t.path('file.bin')}+0x1005" in text, text)
    for words in (("--addr", "0x1000"), ("--pid", pid, "--len", 5), ("--pid", "x"), (),
                  ("--search", "u32:4294967296"), ("--search", "hex:abc"), ("--search", ""),
                  ("--pid", pid, "--raw"), ("--pid", pid, "--min", 3),
                  (*one, "1", "--search", "a", "--strings")):
        expect(complaint(t, directory, *words, status=2), f"{words}: no reason")
    expect("zeros" in complaint(t, directory, "--search", "u64:0"), "a pattern of zeros")
    # Another file of the same name: what is in the images is shown, what isn't isn't.
    with open(t.path("file.bin"), "ab") as f:
        f.write(b"!")
    done = t.torpor.run("image", "mem", directory, *one, hex(places["file"] + 2 * PAGE), "--len",
                        2 * PAGE)
    expect(done.returncode == 1 and "d in memory" in done.stdout and
           f"+0x{3 * PAGE:x}: the file of this machine has another size" in done.stderr,
           f"{done.stderr}")
    done = t.torpor.run("image", "mem", directory, "--search", "contents of a file")
    expect(done.returncode == 1 and "left out" in done.stderr, f"{done.stdout} {done.stderr}")
    os.truncate(t.path("file.bin"), 5 * PAGE + 100)


def image_mem(t):
    with open(t.path("file.bin"), "wb") as f:
        f.write(b"\1" * (4 * PAGE - 8) + b"contents of " + b"a file" + b"\2" * (PAGE + 90))
    p = t.start(PYTHON, "-c", PROGRAM)
    wait_for("the program", lambda: os.path.exists(t.path("ready")))
    places = json.loads(read(t.path("ready")))
    for name in ("1", "2", "plain"):
        os.mkdir(t.path(name))
    t.torpor.must("pre-dump", "-t", p.pid, "-D", t.path("1"), "-o", "dump.log", "-v4")
    os.kill(p.pid, signal.SIGUSR1)
    wait_for("the change", lambda: os.path.exists(t.path("again")))
    wait_for("its rest", lambda: read(f"/proc/{p.pid}/syscall").split()[0] == "34")
    live = {pid: Memory(pid) for pid in (p.pid, places["child"])}
    t.torpor.must("dump", "-t", p.pid, "-D", t.path("2"), "-o", "dump.log", "-v4",
                  "--prev-images-dir", "../1", "--leave-running")
    t.torpor.must("dump", "-t", p.pid, "-D", t.path("plain"), "-o", "dump.log", "-v4")
    for name, chain in (("plain", False), ("2", True)):
        for pid, memory in live.items():
            mappings = compare(t, t.path(name), pid, memory)
            listed_pages(t, t.path(name), pid, places, mappings, chain)
        searches(t, t.path(name), p.pid, places)
    hexdump(t, t.path("plain"), p.pid, places)
    says(t, t.path("plain"), p.pid, places)
    expect("pre-dump" in complaint(t, t.path("1"), "--pid", p.pid), "a pre-dump")


# ------------------------------------------------------------------------ files


def overwrite(path, data):
    with open(path, "r+b") as f:
        f.write(data)


def files(t):
    """Deleted files, those with another name, and copies of mapped ones are in the images."""
    p = t.start(PYTHON, "-c", FILES)
    wait_for("the program", lambda: os.path.exists(t.path("ready")))
    wait_for("its rest", lambda: read(f"/proc/{p.pid}/syscall").split()[0] == "34")
    live = Memory(p.pid)
    here = next(int(line.split("-")[0], 16) for line in read(f"/proc/{p.pid}/maps").splitlines()
                if line.endswith("/here.bin"))
    for name in ("embedded", "plain"):
        os.mkdir(t.path(name))
    t.torpor.must("dump", "-t", p.pid, "-D", t.path("embedded"), "-o", "dump.log", "--link-remap",
                  "--leave-running", "--embed-mapped-files")
    t.torpor.must("dump", "-t", p.pid, "-D", t.path("plain"), "-o", "dump.log", "--link-remap")
    compare(t, t.path("plain"), p.pid, live)
    overwrite(t.path("here.bin"), b"other")
    compare(t, t.path("embedded"), p.pid, live)
    text = complaint(t, t.path("plain"), "--pid", p.pid, "--addr", hex(here))
    expect("here.bin+0x0: the file of this machine has another checksum" in text, text)
    for words in ((), ("--no-files",)):
        found = mem(t, t.path("plain"), "--search", "sparse.bin", *words)
        expect("sparse.bin" in found, f"in a deleted file: {found}")


run(image_mem)
run(files)
