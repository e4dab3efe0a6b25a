#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""torpor image summary: its numbers are those of the program that was dumped.

A tree with threads, a zombie, deleted files, pages shared since a fork and shared memory; a tree of
many processes, which must be folded into a screen; a chain; the samples of CRIU; broken images.
"""

import json
import os
import platform
import shutil
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lib"))
from freeze import expect, read, run, tree_of, wait_for  # noqa: E402
from paged import NPAGES, PAGE, Paged, await_no_keeper  # noqa: E402

SAMPLES = os.path.join(HERE, "..", "interop", "samples")
SCREEN = 40
MANY = 300
TARGET = """
import mmap, os, signal, threading, time
os.chdir({dir!r})
gone = open("gone", "w"); gone.write("x" * 5000); gone.flush(); os.unlink("gone")
shared = mmap.mmap(-1, 1 << 20)
for i in range(0, 64 * 4096, 4096):
    shared[i] = 1
big = bytearray(16 << 20)
for i in range(0, len(big), 4096):
    big[i] = 1
def fork(what):
    if not os.fork():
        what()
fork(lambda: (os.setgid(65534), os.setuid(65533), signal.pause()))
fork(lambda: os._exit(3))
fork(lambda: os.execv("/usr/bin/python3", ["python3", "-c", "import signal; signal.pause()",
                                           "\\x1b[31mred"]))
for _ in range(3):
    threading.Thread(target=time.sleep, args=(9999,), daemon=True).start()
r, w = os.pipe()
time.sleep(0.2)
open("almost", "w").close()
os.rename("almost", "ready")
while True:
    time.sleep(9999)
"""
WORKERS = """
import os, signal
for _ in range({n}):
    if not os.fork():
        signal.pause()
open({ready!r}, "w").close()
while True:
    signal.pause()
"""


def summary(t, directory, status=0):
    """The JSON, and the text."""
    done = t.torpor.run("image", "summary", "--json", directory)
    expect(done.returncode == status and not done.stderr,
           f"summary {directory}: exit status {done.returncode}\n{done.stderr}")
    text = t.torpor.run("image", "summary", directory)
    expect(text.returncode == status, f"as text: exit status {text.returncode}")
    expect("\033" not in text.stdout, "colour without a terminal")
    return json.loads(done.stdout), text.stdout


def status_of(pid):
    return dict(line.split(":\t", 1) for line in read(f"/proc/{pid}/status").splitlines()
                if ":\t" in line)


def count_fds(pids):
    return {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in pids
            if status_of(pid)["State"][0] != "Z"}


def settle(program):
    """Until nobody opens files any more: one of them starts an interpreter. The pids."""
    last = None
    while last != (last := count_fds(tree_of(program.pid))):
        time.sleep(0.5)
    return tree_of(program.pid)


def tree(t):
    program = t.start("/usr/bin/python3", "-c", TARGET.format(dir=t.dir))
    wait_for("the target", lambda: os.path.exists(t.path("ready")))
    pids = settle(program)
    truth = {pid: status_of(pid) for pid in pids}
    cmdlines = {pid: read(f"/proc/{pid}/cmdline").replace("\0", " ").strip() for pid in pids}
    nfds = count_fds(pids)
    before = int(time.time())
    program.freeze()
    j, text = summary(t, program.images)
    expect(len(text.splitlines()) <= SCREEN, f"more than a screen:\n{text}")
    found = {p["pid"]: p for p in j["processes"]}
    expect(set(found) == set(pids), f"pids: {sorted(found)} instead of {sorted(pids)}")
    for pid, p in found.items():
        s = truth[pid]
        dead = s["State"][0] == "Z"
        expect(p["comm"] == s["Name"], f"{pid}: comm {p['comm']} instead of {s['Name']}")
        expect(p["ppid"] == int(s["PPid"]) or pid == program.pid, f"{pid}: ppid {p['ppid']}")
        expect(p["state"] == ("zombie" if dead else "running"), f"{pid}: state {p['state']}")
        if dead:
            continue
        expect(p["threads"] == int(s["Threads"]), f"{pid}: threads {p['threads']}")
        expect([p["uid"], p["gid"]] == [int(s["Uid"].split()[0]), int(s["Gid"].split()[0])],
               f"{pid}: user {p['uid']}, {p['gid']}")
        want = "".join(c if c.isprintable() else "?" for c in cmdlines[pid])[:500]
        expect(p["cmdline"][:500] == want, f"{pid}: {p['cmdline']!r} instead of {want!r}")
        expect(p["descriptors"] == nfds[pid], f"{pid}: {p['descriptors']} descriptors")
    check_memory(j, program.pid, found)
    expect(before <= j["dumped"]["time"] <= time.time() and j["dumped"]["time_exact"], "the time")
    expect(j["dumped"]["kernel"] == platform.release(), f"kernel: {j['dumped']}")
    expect(j["files"]["deleted"] == [t.path("gone")], f"deleted: {j['files']['deleted']}")
    expect(j["files"]["kinds"].get("pipe ends") == 2, f"kinds: {j['files']['kinds']}")
    expect(any("python3" in e for e in j["needs"]["executables"]), f"needs: {j['needs']}")
    total = sum(os.path.getsize(os.path.join(program.images, n))
                for n in os.listdir(program.images) if n.endswith(".img") or n == "stats-dump")
    expect(j["images"]["bytes"] == total, f"images: {j['images']['bytes']} instead of {total}")
    return program.images


def check_memory(j, root, found):
    """16 MiB are the root's, and those that forked since have them by copy-on-write."""
    big, own = 16 << 20, found[root]["memory"]
    expect(big <= own["private"] < big + (24 << 20), f"the root's memory: {own}")
    expect(own["shared"] == 64 * PAGE, f"shared memory: {own}")
    child = [p for p in found.values() if p["state"] == "running" and p.get("uid") == 65533][0]
    expect(child["memory"]["cow"] >= big, f"the child's memory: {child['memory']}")
    expect(child["memory"]["private"] < 4 << 20, f"the child's memory: {child['memory']}")
    total = j["totals"]["memory"]
    for kind in "private", "cow":
        expect(total[kind] == sum(p["memory"][kind] for p in found.values() if "memory" in p),
               f"the sum of {kind}: {total}")
    pages = j["images"]["kinds"]["pages"]["bytes"]
    expect(total["private"] + total["shared"] == pages, f"{total} in {pages} bytes of pages")


def many(t):
    program = t.start("/usr/bin/python3", "-c", WORKERS.format(n=MANY, ready=t.path("many")))
    wait_for("the workers", lambda: os.path.exists(t.path("many")))
    program.rounds = 10  # a directory of its own
    program.freeze()
    j, text = summary(t, program.images)
    expect(j["totals"]["processes"] == MANY + 1, f"totals: {j['totals']}")
    expect(len(text.splitlines()) <= SCREEN and f"x {MANY}" in text, f"not folded:\n{text}")
    full = t.torpor.run("image", "summary", "--full", program.images).stdout
    expect(len(full.splitlines()) > MANY, "--full doesn't show all")


def chain(t):
    p = Paged(t)
    p.pre_dump()
    p.write(10, 20, 2)
    p.dump()
    j, _ = summary(t, p.images(1))
    expect(j["kind"] == "pre-dump" and [x["pid"] for x in j["processes"]] == [p.pid], f"{j}")
    expect(j["processes"][0]["memory"]["private"] >= NPAGES * PAGE, "pages of a pre-dump")
    j, text = summary(t, p.images(2))
    memory = j["processes"][0]["memory"]
    expect(memory["parents"] >= (NPAGES - 20 - 16) * PAGE, f"in parents: {memory}")
    expect(20 * PAGE <= memory["private"] < 60 * PAGE, f"in this directory: {memory}")
    expect(len(j["chain"]) == 2 and "builds on" in text, f"chain: {j['chain']}")
    await_no_keeper("after the last dump")


def samples(t):
    want = {"http": (1, 2), "multi": (3, 4), "ns": (1, 1), "shell": (2, 2), "tcp": (1, 1),
            "zoo": (2, 3)}
    for name, (processes, threads) in want.items():
        # Their pages files aren't kept: that is told, and all the rest shown.
        j, text = summary(t, os.path.join(SAMPLES, name), status=1)
        totals = j["totals"]
        expect([totals["processes"], totals["threads"]] == [processes, threads],
               f"{name}: {totals}")
        expect("about" in text and not j["dumped"]["time_exact"], f"{name}: when:\n{text}")
        expect(len(text.splitlines()) <= SCREEN, f"{name}: more than a screen:\n{text}")
    j, _ = summary(t, os.path.join(SAMPLES, "tcp"), status=1)
    expect(j["files"]["listening"] == [{"protocol": "tcp", "address": "127.0.0.1:18766"}],
           f"listening: {j['files']}")
    expect("--tcp-established" in j["needs"]["options"], f"options: {j['needs']}")


def broken(t, images):
    copy = t.path("broken")
    shutil.copytree(images, copy)
    cores = sorted(n for n in os.listdir(copy) if n.startswith("core-"))
    for name in cores[0], "files.img":
        with open(os.path.join(copy, name), "r+b") as f:
            f.truncate(20)
    j, _ = summary(t, copy, status=1)
    for name in cores[0], "files.img":
        expect(any(name in p for p in j["problems"]), f"{name} isn't named: {j['problems']}")
    expect(j["totals"]["processes"] == 4, f"the others aren't shown: {j['totals']}")
    os.unlink(os.path.join(copy, "pstree.img"))
    j, text = summary(t, copy, status=1)
    expect("pstree.img" in text and j["images"]["bytes"], f"without a tree:\n{text}")
    done = t.torpor.run("image", "summary", t.path("nothing"))
    expect(done.returncode == 1 and "nothing" in done.stderr, f"no directory: {done}")
    for args in ([], ["--what", copy], [copy, copy]):
        expect(t.torpor.run("image", "summary", *args).returncode == 2, f"{args} is accepted")


def test(t):
    images = tree(t)
    broken(t, images)
    many(t)
    chain(t)
    samples(t)


run(test)
