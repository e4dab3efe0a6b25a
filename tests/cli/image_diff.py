#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""torpor image diff: what a program did between two dumps, no more and no less.

A program whose pages are told what to hold: each page that was written is named, in pre-dumps and
dumps of a chain, and a dump without a chain of the same state has the same pages. A tree that
opens, closes and moves in files, starts and loses children and threads. What can't be compared is
trouble, not equal.
"""

import json
import os
import shutil
import signal
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from freeze import expect, run, wait_for  # noqa: E402
from paged import BASE, NPAGES, PAGE, Paged, await_no_keeper  # noqa: E402

SAMPLES = os.path.join(HERE, "..", "interop", "samples")
TARGET = """
import os, signal, threading, time
os.chdir({dir!r})
log = open("log", "w")
old = open("old", "w")
def child():
    pid = os.fork()
    if not pid:
        signal.pause()
    return pid
first = child()
def step(*_):
    log.write("12345"); log.flush()
    old.close()
    global new, t
    new = open("new", "w"); os.set_inheritable(new.fileno(), True)
    os.kill(first, 9); os.waitpid(first, 0)
    child()
    t = threading.Thread(target=time.sleep, args=(9999,), daemon=True); t.start()
    os.umask(0o77)
    open("almost", "w").close()
    os.rename("almost", "stepped")
signal.signal(signal.SIGUSR1, step)
open("almost", "w").close()
os.rename("almost", "ready")
while True:
    time.sleep(9999)
"""


def diff(t, a, b, status):
    """The JSON; the text is printed, too, and has the same exit status."""
    done = t.torpor.run("image", "diff", "--json", a, b)
    expect(done.returncode == status, f"diff {a} {b}: exit status {done.returncode}, not {status}\n"
                                      f"{done.stdout[:3000]}{done.stderr}")
    text = t.torpor.run("image", "diff", a, b)
    expect(text.returncode == status and not text.stderr, f"as text: {text}")
    return json.loads(done.stdout) if done.stdout else {}


def pages_of(j, pid):
    """Numbers of the pages of `Paged` that differ, with what."""
    rows = [row for row in j.get("pages", []) if row.get("pid") == pid]
    found = {}
    for r in rows[0]["ranges"] if rows else []:
        for i in range(r["pages"]):
            page = (r["start"] + i * PAGE - BASE) // PAGE
            if 0 <= page < NPAGES:
                found[page] = r["what"]
    return found


def must_be(found, pages, what):
    want = {page: what for page in pages}
    expect(found == want, f"pages: {found} instead of {want}")


def chain(t):
    p = Paged(t)
    p.pre_dump()
    p.write(10, 20, 2)
    p.pre_dump()
    p.write(25, 10, 3)
    p.drop(100, 4)
    p.step("dump", "--leave-running")
    p.step("dump", "--leave-running", previous=None, track=False)  # plain, of the same state
    p.write(30, 1, 4)
    p.bear(0, 5, 9)
    p.dump()
    images = [None, *(p.images(n) for n in range(1, 6))]
    must_be(pages_of(diff(t, images[1], images[2], 1), p.pid), range(10, 30), "changed")
    found = pages_of(diff(t, images[2], images[3], 1), p.pid)
    must_be({n: w for n, w in found.items() if n < 50}, range(25, 35), "changed")
    must_be({n: w for n, w in found.items() if n > 50}, range(100, 104), "only_a")
    j = json.loads(t.torpor.run("image", "diff", "--json", images[3], images[4]).stdout)
    must_be(pages_of(j, p.pid), [], "")
    expect(not j["problems"], f"plain and chain: {j['problems']}")
    j = diff(t, images[4], images[5], 1)
    must_be(pages_of(j, p.pid), [30], "changed")
    expect([row["pid"] for row in j["processes"]] == [p.child], f"processes: {j['processes']}")
    expect(diff(t, images[5], images[5], 0)["equal"], "not equal to itself")
    copy = t.path("copy")
    shutil.copytree(p.dir, copy, symlinks=True)
    j = diff(t, images[5], os.path.join(copy, "5"), 0)
    expect(j["pages_compared"] > NPAGES, f"too few pages were compared: {j['pages_compared']}")
    await_no_keeper("after the last dump")


def tree(t):
    program = t.start("/usr/bin/python3", "-c", TARGET.format(dir=t.dir))
    wait_for("the target", lambda: os.path.exists(t.path("ready")))
    a, b = t.path("a"), t.path("b")
    os.mkdir(a)
    os.mkdir(b)
    t.torpor.dump(a, program.pid, "--leave-running")
    os.kill(program.pid, signal.SIGUSR1)
    wait_for("its step", lambda: os.path.exists(t.path("stepped")))
    t.torpor.dump(b, program.pid, "--leave-running")
    j = diff(t, a, b, 1)
    what = sorted(row["what"] for row in j["processes"])
    expect(what == ["gone", "new"], f"processes: {j['processes']}")
    expect([r["what"] for r in j["threads"]] == ["new"], f"threads: {j['threads']}")
    fds = {(r["what"], os.path.basename(r["name"])) for r in j["descriptors"]}
    expect(fds == {("closed", "old"), ("opened", "new")}, f"descriptors: {fds}")
    records = {(r["image"].split(":")[0], r["field"]): (r["a"], r["b"]) for r in j["records"]}
    expect(records.get(("files.img", "reg.pos")) == ("0", "5"), f"the position: {records}")
    expect((f"fs-{program.pid}.img", "umask") in records, f"the umask: {records}")
    expect(any(row["what"] == "new" for row in j["mappings"]), "the thread's stack isn't new")


def trouble(t):
    zoo, multi = os.path.join(SAMPLES, "zoo"), os.path.join(SAMPLES, "multi")
    for args in ([zoo], [zoo, zoo, zoo], [zoo, "--what", zoo], [zoo, t.path("nothing")]):
        done = t.torpor.run("image", "diff", *args)
        expect(done.returncode == 2 and "error" in done.stderr, f"{args}: {done}")
    # Without their pages files, which aren't kept, the samples can't be compared completely.
    expect("problems" in diff(t, zoo, multi, 2), "nothing said of pages that are missing")


def test(t):
    chain(t)
    tree(t)
    trouble(t)


run(test)
