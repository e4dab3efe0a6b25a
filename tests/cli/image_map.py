#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""torpor image map: what the picture says is what the images say, as tests/lib/images.py reads them;
no name gets out of its text; it stays small whatever the program; what is broken is said."""

import collections
import glob
import html.parser
import os
import re
import shutil
import sys
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import images  # noqa: E402
from freeze import PYTHON, ROOT, expect, kill_tree, read, run, tree_of, wait_for  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"
PAGE = 4096
LEVELS = 4
SIZE_MAX = 5 << 20

# `a` is private, and partly shared with the child since the fork; `s` is shared memory; a
# reservation of a terabyte. Each round writes to another part of `a`, in both processes.
WRITER = """
import ctypes, mmap, os, time
def at(m):
    return ctypes.addressof(ctypes.c_char.from_buffer(m))
def area(mib, flags, prot=3):
    m = mmap.mmap(-1, mib << 20, flags=flags, prot=prot)
    m.madvise(15)
    return m
def write(m, first, n):
    for page in range(first, first + n):
        m[page * 4096] = (m[page * 4096] + 1) & 255
PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap(None, ctypes.c_size_t(1 << 40), 0, PRIVATE | 0x4000, -1, ctypes.c_long(0))
a, s = area(8, PRIVATE), mmap.mmap(-1, 1 << 20)
write(a, 0, 1500)
write(s, 0, 100)
child = os.fork() == 0
if not child and os.fork() == 0:
    os._exit(0)  # a zombie
with open("places", "a") as f:
    f.write(f"{os.getpid()} {at(a):x} {at(s):x}\\n")
done = 0
while True:
    if os.path.exists(f"round-{done + 1}"):
        done += 1
        write(a, 300 * done + (50 if child else 0), 40 * done)
        if child:
            write(s, 100 + 10 * done, 10)
        with open(f"done-{done}", "a") as f:
            f.write("x")
    time.sleep(0.01)
"""


def dump_chain(t):
    """Directories of a chain, the newest first, and where things are: pid -> (a, s), in tree order."""
    program = t.start(PYTHON, "-c", WRITER)
    wait_for("the writers", lambda: read(t.path("places")).count("\n") == 2)
    directories, previous = [], []
    for n in range(LEVELS):
        directories.insert(0, t.path(f"chain-{n}"))
        os.mkdir(directories[0])
        verb, words = ("dump", ()) if n == LEVELS - 1 else ("pre-dump", ("--track-mem",))
        t.torpor.must(verb, "-t", program.pid, "-D", directories[0], "-o", "dump.log", *words,
                      *previous)
        previous = ["--prev-images-dir", f"../chain-{n}"]
        if n < LEVELS - 1:
            open(t.path(f"round-{n + 1}"), "w").close()
            wait_for("a round", lambda: read(t.path(f"done-{n + 1}")) == "xx")
    places = {}
    for line in read(t.path("places")).splitlines():
        pid, a, s = line.split()
        places[int(pid)] = int(a, 16), int(s, 16)
    # The parent first, as in the tree.
    return directories, dict(sorted(places.items(), key=lambda item: item[0] != program.pid))


def draw(t, directory, output, *words, status=0):
    output = t.path(output)
    done = t.torpor.run("image", "map", directory, "-o", output, *words)
    expect(done.returncode == status, f"image map {directory}: exit status {done.returncode}, "
                                      f"expected {status}: {done.stderr}")
    expect(os.path.getsize(output) < SIZE_MAX, f"{output}: {os.path.getsize(output)} bytes")
    left = glob.glob(output + ".*")
    expect(not left, f"left behind: {left}")
    return output


def tips(svg, name):
    """The texts of all elements of this class, by the number of their process's panel."""
    root = xml.etree.ElementTree.parse(svg).getroot()
    return [group.find(SVG + "title").text for group in root.iter(SVG + "g")
            if group.get("class") == name]


def block_at(texts, start):
    """The blocks that hold this address: one for each process that has a panel, in tree order."""
    found = []
    for text in texts:
        lo, hi = (int(x, 16) for x in text.splitlines()[0].split("-"))
        if lo <= start < hi:
            found.append((lo, hi, text))
    return found


def number(text, pattern):
    match = re.search(pattern, text)
    return int(match.group(1)) if match else 0


# ---------------------------------------------------------------- ground truth


def origins(directory, name, start, end):
    """page -> where its bytes are, of the pages in [start, end) that the checkpoint has."""
    found, pagemap = {}, images.load(os.path.realpath(directory), name)
    for run in pagemap.overlapping(start, end):
        for where, at, off, length in images.resolve_run(pagemap, run, max(run.start, start),
                                                         min(run.end, end)):
            for i in range(0, length, PAGE):
                found[at + i] = os.path.realpath(where.directory), where.name, off + i
    return found


def expected(directories, pids, pid, start, end):
    """(own, shared) pages by round, 1 is the oldest."""
    rounds = {os.path.realpath(d): LEVELS - i for i, d in enumerate(directories)}
    users = collections.Counter()
    for other in pids:
        users.update(origins(directories[0], f"pagemap-{other}.img", start, end).values())
    own, shared = collections.Counter(), collections.Counter()
    for place in origins(directories[0], f"pagemap-{pid}.img", start, end).values():
        (shared if users[place] > 1 else own)[rounds[place[0]]] += 1
    return own, shared


def written(directory, name, start=0, end=1 << 64):
    return sum((min(run.end, end) - max(run.start, start)) // PAGE
               for run in images.load(os.path.realpath(directory), name).overlapping(start, end)
               if run.flags & images.PE_PRESENT)


# ------------------------------------------------------------------------ tests


def counts_are_those_of_the_images(directories, pids, texts, place, what):
    blocks = block_at(texts, place)
    expect(len(blocks) == len(pids), f"{what}: {len(blocks)} blocks")
    kept = 0
    for pid, (lo, hi, text) in zip(pids, blocks):
        own, shared = expected(directories, pids, pid, lo, hi)
        for n in range(1, LEVELS + 1):
            got = (number(text, rf"(?m)^last written in round {n}, [^:]*: (\d+) page"),
                   number(text, rf"copy-on-write, last written in round {n}: (\d+) page"))
            expect(got == (own[n], shared[n]), f"{what} of {pid}, round {n}: {got}, the images "
                                               f"have {own[n]} and {shared[n]}:\n{text}")
        rounds = re.search(r"written, pages by round: ([\d ]*)", text).group(1).split()
        truth = [str(written(d, f"pagemap-{pid}.img", lo, hi)) for d in reversed(directories)]
        expect(rounds == truth, f"{what} of {pid}: written {rounds}, the images say {truth}")
        kept += sum(shared.values())
    return kept


def a_chain(t, directories, places):
    pids = list(places)
    svg = draw(t, directories[0], "chain.svg")
    texts = tips(svg, "b")
    a, s = places[pids[0]]
    shared = counts_are_those_of_the_images(directories, pids, texts, a, "a")
    expect(shared > 2000, f"only {shared} pages are shared")
    text = block_at(texts, a)[0][2]
    expect(f"shared among {pids[0]}, {pids[1]}" in text, text)
    # Shared memory: both have the same of it, whoever wrote it.
    blocks = block_at(texts, s)
    expect(len(blocks) == 2 and blocks[0][2] == blocks[1][2], f"shared memory: {blocks}")
    expect("rw-s shared memory" in blocks[0][2], blocks[0][2])
    kept = sum(int(n) for n in re.findall(r"last written in round \d+, [^:]*: (\d+)", blocks[0][2]))
    expect(kept == 100 + 10 * (LEVELS - 1), f"{kept} pages of shared memory")
    expect(any("reserved (no access)\nsize: 268435456 pages (1.0T)" in text for text in texts),
           "the reservation isn't there")
    # What rounds have written: of everything first, then of each process.
    numbers = [[number(text, r": (\d+) pages written") for text in tips(svg, "r")][i:i + LEVELS]
               for i in range(0, 3 * LEVELS, LEVELS)]
    for pid, got in zip(pids, numbers[1:]):
        truth = [written(d, f"pagemap-{pid}.img") for d in reversed(directories)]
        expect(got == truth, f"{pid}: written in rounds {got}, the images say {truth}")
    expect("a zombie" in read(svg), "the zombie isn't there")


def one_process(t, directories, places):
    pid = list(places)[1]
    svg = draw(t, directories[0], "one.svg", "--pid", str(pid))
    expect(len(block_at(tips(svg, "b"), places[pid][0])) == 1, "--pid doesn't choose")
    expect("2 more processes" in read(svg), "nothing is said of the others")
    svg = draw(t, directories[0], "few.svg", "--processes", "1")
    expect(len(block_at(tips(svg, "b"), places[pid][0])) == 1, "--processes doesn't limit")


def a_pre_dump(t, directories, places):
    pids = sorted(places)
    svg = draw(t, directories[1], "pre.svg")
    blocks = block_at(tips(svg, "b"), places[pids[0]][0])
    expect(len(blocks) == 2, f"{len(blocks)} blocks of a pre-dump")
    for pid, (lo, hi, text) in zip(pids, blocks):
        truth = len(origins(directories[1], f"pagemap-{pid}.img", lo, hi))
        got = sum(int(n) for n in re.findall(r"written in round \d+[^:]*: (\d+)", text))
        expect(got == truth, f"a pre-dump: {got} pages of {truth}:\n{text}")


class Page(html.parser.HTMLParser):
    """What a browser would take for scripts, attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts = collections.Counter(), [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_data(self, data):
        self.texts.append(data)


def change(path, edit):
    image = images.Image(path)
    for record in image.records:
        edit(record)
    image.write()


def with_field(field, number, edit):
    """Edits a message inside a record; field is [number, wire type, bytes]."""
    inner = images.decode(field[2])
    for part in inner:
        if part[0] == number:
            edit(part)
    field[2] = images.encode(inner)


def hostile_names(t, directories):
    evil = ("/x</title></svg><script>alert(1)</script><img src=x onerror=\"alert(2)\">"
            "'&amp;\x01\x1b\x7f\u202e\u2028\ufffe]]>-->").encode() + b"\xff\xc0\x80\xed\xa0\x80"
    copy = t.path("evil<b>&\"")
    shutil.copytree(directories[0], copy, symlinks=True)

    def set_name(field):
        field[2] = evil

    def edit_file(record):
        for field in record:
            if field[0] == 3:
                with_field(field, 6, set_name)

    def edit_core(record):
        for field in record:
            if field[0] == 3:
                with_field(field, 6, set_name)

    change(os.path.join(copy, "files.img"), edit_file)
    for path in glob.glob(os.path.join(copy, "core-*.img")):
        change(path, edit_core)
    svg = draw(t, copy, "evil.svg")
    expect(any("</title></svg><script>" in text for text in tips(svg, "b")), "no such name")
    with open(svg, "rb") as f:
        text = f.read().decode()  # valid UTF-8
    expect("<script" not in text and "\u202e" not in text, "a name got out of its text")
    expect(r"\xff" in text and r"\x1b" in text, "bytes that aren't text don't show as such")
    page = Page(read(draw(t, copy, "evil.html")))
    harmless = Page(read(draw(t, directories[0], "harmless.html")))
    expect(page.tags["script"] == 1 and not page.tags["img"], f"tags: {page.tags}")
    expect(page.tags.keys() == harmless.tags.keys(), f"tags: {page.tags}, {harmless.tags}")
    expect(not [a for a in page.attributes if a[0].startswith("on")], "handlers of events")
    expect(not [a for a in page.attributes if a[0] in ("src", "href")], "another file is needed")


def broken_images(t, directories, places):
    pids = list(places)
    copy = t.path("broken")
    shutil.copytree(directories[0], copy, symlinks=True)
    os.unlink(os.path.join(copy, f"mm-{pids[1]}.img"))
    svg = draw(t, copy, "broken.svg", status=1)
    texts = read(svg)
    expect(f"can't be read: mm-{pids[1]}.img" in texts, "the reason isn't there")
    expect(len(block_at(tips(svg, "b"), places[pids[0]][0])) == 1, "the other one is gone, too")
    # A chain that lacks a link: mappings can be seen, their contents can't.
    os.unlink(os.path.join(copy, "parent"))
    svg = draw(t, copy, "cut.svg", status=1)
    expect("can't be read" in tips(svg, "b")[0], tips(svg, "b")[0])
    # Whatever the damage: an answer, and no half of a file.
    with open(os.path.join(directories[0], f"mm-{pids[0]}.img"), "rb") as f:
        data = f.read()
    for i in range(0, len(data), max(1, len(data) // 30)):
        with open(os.path.join(copy, f"mm-{pids[0]}.img"), "wb") as f:
            f.write(data[:i] + bytes([data[i] ^ 0x55]) + data[i + 1:])
        done = t.torpor.run("image", "map", copy, "-o", "-", "--format", "svg")
        expect(done.returncode == 1, f"byte {i} changed: exit status {done.returncode}")
        xml.etree.ElementTree.fromstring(done.stdout)


def failures(t, directories):
    def fails(status, *words):
        done = t.torpor.run("image", "map", *words)
        expect(done.returncode == status, f"{words}: exit status {done.returncode}")
        expect(done.stderr.startswith("torpor image map: error: "), f"{words}: {done.stderr}")

    kept = t.write("kept.svg", "as it was")
    fails(1, t.path("nowhere"), "-o", kept)
    fails(1, directories[0], "-o", kept, "--pid", "1")
    fails(1, directories[0], "-o", t.path("no", "where.svg"))
    fails(2, directories[0])
    fails(2, directories[0], "-o", t.path("x.png"))
    fails(2, directories[0], "-o", kept, "--pid", "x")
    fails(2, directories[0], "-o", kept, "--format", "png")
    fails(2, "-o", kept)
    fails(1, directories[0], "-o", "/dev/full", "--format", "html")
    expect(read(kept) == "as it was" and not glob.glob(kept + ".*"), "a failure left something")


SCATTERED = """
import ctypes, os, time
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
at = libc.mmap(None, 1500 * 8192, 3, 0x22, -1, 0)
for i in range(1500):
    ctypes.memset(at + i * 8192 + 4096, 1, 1)
    libc.mprotect(at + i * 8192, 4096, 0)
for i in range(40):
    if os.fork() == 0:
        ctypes.memset(at + 4096 + i * 65536, 2, 1)
        break
with open("scattered", "a") as f:
    f.write("x")
time.sleep(1000)
"""


def many_of_all(t):
    program = t.start(PYTHON, "-c", SCATTERED)
    wait_for("the tree", lambda: len(read(t.path("scattered"))) == 41)
    directory = t.path("many")
    os.mkdir(directory)
    pids = tree_of(program.pid)
    t.torpor.must("dump", "-t", program.pid, "-D", directory, "-o", "dump.log", "--leave-running")
    kill_tree(program.pid)
    svg = draw(t, directory, "many.svg")
    draw(t, directory, "many.html")
    text = read(svg)
    expect(f"{len(pids) - 20} more processes" in text, "nothing is said of those without a panel")
    expect(len(tips(svg, "p")) == len(pids), "not a bar for each process")
    expect(" folded" in text, "nothing was folded")
    one = draw(t, directory, "one-of-many.svg", "--pid", str(pids[-1]))
    total = sum(number(tip, r"size: (\d+) pages") for tip in tips(one, "b"))
    expect(total > 3000, f"folded blocks lack pages: {total}")


def samples(t):
    """Made by CRIU. Their pages files aren't kept; only how large they are."""
    for name in sorted(os.listdir(os.path.join(ROOT, "tests", "interop", "samples"))):
        copy = t.path(f"sample-{name}")
        shutil.copytree(os.path.join(ROOT, "tests", "interop", "samples", name), copy)
        for line in read(os.path.join(copy, "pages.txt")).splitlines():
            pages, size = line.split()
            with open(os.path.join(copy, pages), "wb") as f:
                f.truncate(int(size))
        texts = tips(draw(t, copy, f"sample-{name}.svg"), "b")
        expect(any("[stack]" in text and "in this directory: " in text for text in texts),
               f"sample {name}: {texts}")


def test(t):
    directories, places = dump_chain(t)
    a_chain(t, directories, places)
    one_process(t, directories, places)
    a_pre_dump(t, directories, places)
    hostile_names(t, directories)
    broken_images(t, directories, places)
    failures(t, directories)
    samples(t)
    many_of_all(t)


run(test)
