#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""torpor under the name crit, beside Debian's crit: the same words, the same JSON.

Every image of the samples, and of a tree that torpor has dumped, is decoded by both, plainly and
prettily, counted, shown and explored. Debian's is of version 3.17: fields that came later are in our
output alone (NEWER). Where there are none, both texts are the same to the letter, and each encodes
what the other has decoded.
"""

import glob
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import PYTHON, ROOT, Skip, expect, find_torpor, need, run, wait_for  # noqa: E402

SAMPLES = os.path.join(ROOT, "tests", "interop", "samples")
# Fields that 3.17 doesn't know: newer ones of the format, and torpor's own.
NEWER = {"plugins_entry", "dump_criu_run_id", "dump_uptime", "pre_dump_mode", "tcp_close",
         "network_lock_method", "allow_uprobes", "nr_pages", "membarrier_registration_mask",
         "stop_signo", "tcp_opts", "ip_opts", "so_buf_lock", "saved_auxv_tail", "stop_untold",
         "rdev", "features", "parent_run_id", "cow_pid", "huge", "cet", "notify_thread_id", "child_subreaper",
         "ipv4_sysctl", "bndreg_state", "mode", "backlog", "pidfd", "ns_id", "xsave_size_max",
         "checksum", "checksum_config", "checksum_parameter", "dumped_at"}
# Enumerators that 3.17 doesn't know: it shows their bits, or fails.
PROGRAM = """
import os, signal, time
r, w = os.pipe()
os.write(w, b"in the pipe" * 20)
f = open("log \\u00e4\\u00f6 \\u20ac", "w")
gone = open("gone", "w+")
gone.write("a ghost" * 1000)
gone.flush()
os.unlink("gone")
if os.fork() == 0:
    signal.pause()
    os._exit(0)
open("ready", "w").close()
signal.pause()
"""


def ours(*words, **kwargs):
    return subprocess.run(["crit", *words], executable=find_torpor(), capture_output=True,
                          check=False, **kwargs)


def theirs(*words, **kwargs):
    return subprocess.run([PYTHON, need("crit"), *words], capture_output=True, check=False, **kwargs)


def differences(a, b, path):
    """What of `a` isn't so in `b`; keys of b alone are yielded as ("newer", key)."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in {*a, *b}:
            if key not in b:
                yield "differs", f"{path}.{key}: missing"
            elif key not in a:
                yield "newer", key
            else:
                yield from differences(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for i, (x, y) in enumerate(zip(a, b)):
            yield from differences(x, y, f"{path}[{i}]")
    elif a != b:
        yield "differs", f"{path}: {a!r:.200} with Debian's, {b!r:.200}"


def compare_texts(path, words, a, b):
    """True if the texts are the same."""
    if a == b:
        return True
    found = list(differences(json.loads(a), json.loads(b), ""))
    wrong = [text for kind, text in found if kind == "differs"]
    wrong += [f"new field {name}" for kind, name in found if kind == "newer" and name not in NEWER]
    expect(not wrong, f"{path}: crit {' '.join(words)}:\n" + "\n".join(wrong[:10]))
    expect(found, f"{path}: crit {' '.join(words)}: the same JSON, formatted otherwise:\n"
                  f"{a[:300]!r}\n{b[:300]!r}")
    return False


def compare_image(path):
    """How many comparisons were made to the letter."""
    reference = theirs("decode", "-i", path)
    done = ours("decode", "-i", path)
    if reference.returncode != 0:
        if b"raw data" in reference.stderr:
            expect(done.returncode == 1 and b"raw data" in done.stderr,
                   f"{path}: raw images are refused: {done.returncode} {done.stderr!r}")
        return 0
    expect(done.returncode == 0, f"{path}: crit decode: {done.stderr!r}")
    exact = 0
    for words in (("decode", "-i", path), ("decode", "--pretty", "-i", path), ("info", path),
                  ("show", path), ("show", "--nopl", path)):
        a, b = theirs(*words), ours(*words)
        if a.returncode == 0:
            expect(b.returncode == 0, f"{path}: crit {' '.join(words)}: {b.stderr!r}")
            exact += compare_texts(path, words, a.stdout, b.stdout)
    if done.stdout == reference.stdout:
        with open(path, "rb") as file:
            image = file.read()
        for text in (reference.stdout, theirs("decode", "--pretty", "-i", path).stdout):
            again = ours("encode", input=text)
            expect(again.stdout == image, f"{path}: encoded from Debian's text, it differs: "
                                          f"{again.stderr!r}")
    return exact


def compare_explorers(directory):
    for what in ("ps", "fds", "mems", "rss"):
        a = theirs("x", directory, what)
        if a.returncode != 0:
            continue  # what isn't in this sample
        b = ours("x", directory, what)
        expect((b.returncode, b.stdout) == (0, a.stdout),
               f"crit x {directory} {what}:\n{a.stdout.decode()[:800]}\n--- ours:\n"
               f"{b.stdout.decode()[:800]}\n{b.stderr!r}")


def dump_program(t):
    t.write("program.py", PROGRAM)
    program = t.start(PYTHON, "program.py")
    wait_for("the program", lambda: os.path.exists(t.path("ready")))
    program.freeze("--image-compat=criu")
    return program


def test(t):
    version = theirs("--version").stdout
    if not re.search(rb"\d", version):
        raise Skip("no crit to compare with")
    program = dump_program(t)
    exact = 0
    directories = [*sorted(glob.glob(os.path.join(SAMPLES, "*"))), program.images]
    for directory in directories:
        for path in sorted(glob.glob(os.path.join(directory, "*.img"))):
            if os.path.basename(path) not in ("integrity.img",) and "sums-" not in path:
                exact += compare_image(path)
        compare_explorers(directory)
    expect(exact > 100, f"only {exact} texts were compared to the letter")


run(test)
