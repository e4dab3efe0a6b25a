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
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import PYTHON, ROOT, Skip, expect, find_torpor, need, run, wait_for  # noqa: E402

SAMPLES = os.path.join(ROOT, "tests", "interop", "samples")
# Fields that 3.17 doesn't know: newer ones of the format, and torpor's own.
NEWER = {"ttl", "tcp_opts", "cet", "cap_amb", "cg_set", "dump_criu_run_id", "plugins_entry",
         "ipv4_sysctl", "mode", "membarrier_registration_mask", "no_new_privs", "type", "pidfd",
         "stop_signo", "is_threaded", "dump_uptime", "saved_auxv_tail", "rdev", "checksum",
         "checksum_config", "checksum_parameter", "may_change", "log_size", "dump_time",
         "kernel", "cpu", "#1000"}
# What a number of pages is called has changed since: see old_counts().
PASS_OVER = ("integrity.img", "sums-", "pagemap-")
REFERENCE = """
import json, sys
from pycriu import images
for path in sys.argv[1:]:
    for pretty in False, True:
        try:
            with open(path, "rb") as f:
                image = images.load(f, pretty)
        except Exception:  # kinds that it doesn't know, and files that have none
            continue
        print(json.dumps([path, pretty, json.dumps(image, indent=4 if pretty else None)]))
"""
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


def flags_of(text):
    return {word for word in text.split(" | ") if not word.startswith("0x")}


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
    elif isinstance(a, str) and isinstance(b, str) and "0x" in a and flags_of(a) < flags_of(b):
        yield "newer", "type"  # bits that have got names since
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


def reference_texts(paths):
    """{(path, pretty): what Debian's crit decodes it to}, by its library: a process each would take long."""
    done = subprocess.run([PYTHON, "-c", REFERENCE, *paths], capture_output=True, text=True,
                          check=False)
    expect(done.returncode == 0, f"Debian's crit: {done.stderr}")
    texts = {}
    for line in done.stdout.splitlines():
        path, pretty, text = json.loads(line)
        texts[path, pretty] = text.encode()
    return texts


def compare_image(path, texts):
    """How many comparisons were made to the letter."""
    exact = 0
    for pretty in False, True:
        words = ("decode", *(["--pretty"] if pretty else []), "-i", path)
        done = ours(*words)
        if (path, pretty) not in texts:
            continue  # raw data, and kinds that 3.17 doesn't know
        expect(done.returncode == 0, f"{path}: crit decode: {done.stderr!r}")
        same = compare_texts(path, words, texts[path, pretty], done.stdout.rstrip(b"\n"))
        exact += same
        if same:
            with open(path, "rb") as file:
                image = file.read()
            again = ours("encode", input=texts[path, pretty])
            expect(again.stdout == image, f"{path}: encoded from Debian's text, it differs: "
                                          f"{again.stderr!r}")
    return exact


def compare_commands(path):
    """The commands themselves, with what they print and how they end."""
    for words in (("decode", "-i", path), ("decode", "--pretty", "-i", path), ("show", path),
                  ("show", "--nopl", path), ("info", path), ("nonsense",), ("x", "a", "b"), ()):
        a, b = theirs(*words), ours(*words)
        if a.returncode != 1 or not words:  # else it is a traceback
            expect((a.returncode, a.stdout) == (b.returncode, b.stdout),
                   f"crit {' '.join(words)}:\n{a.returncode} {a.stdout[:300]!r}\n"
                   f"{b.returncode} {b.stdout[:300]!r}")


def old_counts(t, directory):
    """A copy whose pagemaps count in the field that 3.17 knows."""
    copy = t.path("old-counts")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(directory, copy)
    for path in glob.glob(os.path.join(copy, "pagemap-[0-9]*.img")):
        image = json.loads(ours("decode", "-i", path).stdout)
        for entry in image["entries"][1:]:
            entry["compat_nr_pages"] = entry.pop("nr_pages")
        done = ours("encode", "-o", path, input=json.dumps(image).encode())
        expect(done.returncode == 0, f"{path}: {done.stderr!r}")
    return copy


def compare_explorers(t, directory):
    for what in ("ps", "fds", "mems", "rss"):
        a = theirs("x", old_counts(t, directory) if what == "rss" else directory, what)
        if a.returncode != 0:
            continue  # zombies, and kinds of files that 3.17 doesn't know
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
    if os.path.basename(os.path.realpath(need("crit"))) == "torpor":
        raise Skip("the crit of this machine is torpor itself")
    program = dump_program(t)
    directories = [*sorted(glob.glob(os.path.join(SAMPLES, "*"))), program.images]
    paths = [path for directory in directories
             for path in sorted(glob.glob(os.path.join(directory, "*.img")))
             if not os.path.basename(path).startswith(PASS_OVER)]
    texts = reference_texts(paths)
    exact = sum(compare_image(path, texts) for path in paths)
    for name in "pipes-data.img", "pstree.img":
        compare_commands(os.path.join(SAMPLES, "multi", name))
    for directory in os.path.join(SAMPLES, "shell"), os.path.join(SAMPLES, "ns"), program.images:
        compare_explorers(t, directory)
    expect(exact > 100, f"only {exact} texts were compared to the letter")


run(test)
