#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Files that changed since the dump: what is seen, who is named, and what policies make of it."""

import contextlib
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import PYTHON, expect, kill_tree, need, read, run, tree_of, wait_for  # noqa: E402

# A parent and a child: both have the libraries, the parent has the log, the child the data.
PROGRAM = """
import ctypes, os, time
libs = [ctypes.CDLL(os.path.realpath(name)) for name in ("id.so", "noid.so")]
child = os.fork()
if child:
    log = open("log", "ab", buffering=0)
else:
    data, small = open("data", "r+b", buffering=0), open("small", "rb")
open(f"ready-{bool(child)}", "w").close()
while True:
    time.sleep(0.01)
    if os.path.exists("write") and child:
        log.write(b"after\\n")
        os.unlink("write")
"""
SPARSE = """
import time
f = open("sparse", "r+b")
open("ready-True", "w").close()
open("ready-False", "w").close()
time.sleep(1000)
"""


def build(t, name, value, build_id):
    source = t.write("lib.c", f"int version(void) {{ return {value}; }}\n")
    subprocess.run([need("gcc"), "-shared", "-fPIC", f"-Wl,--build-id={build_id}", "-o", t.path(name),
                    source], check=True)


def start(t, text=PROGRAM):
    for name in ("ready-True", "ready-False"):
        if os.path.exists(t.path(name)):
            os.unlink(t.path(name))
    program = t.start(PYTHON, t.write("program.py", text))
    wait_for("the program", lambda: all(os.path.exists(t.path(f"ready-{who}"))
                                        for who in (True, False)))
    return program


def prepare(t):
    build(t, "id.so", 1, "sha1")
    build(t, "id2.so", 2, "sha1")
    build(t, "noid.so", 1, "none")
    with open(t.path("noid.so"), "rb") as f:
        lib = bytearray(f.read())
    lib[9] ^= 1  # padding of the ELF header
    with open(t.path("noid2.so"), "wb") as f:
        f.write(lib)
    expect(os.path.getsize(t.path("id.so")) == os.path.getsize(t.path("id2.so")),
           "the two builds aren't of one size")
    t.write("log", "before\n" * 10)
    t.write("data", "x" * 5000)
    t.write("small", "twelve bytes")


def check(t, images, *words):
    """What a restore would say: exit status and text."""
    before = tree_of(os.getpid())
    done = t.torpor.run("restore", "--dry-run", "-D", images, *words)
    expect(tree_of(os.getpid()) == before, f"restore {words}: something was left")
    text = done.stderr
    if done.returncode == 0:
        expect("Error" not in text and "isn't" not in text, f"accepted, and said {text!r}")
    return done.returncode, text


def accepted(t, images, *words):
    status, text = check(t, images, *words)
    expect(status == 0, f"restore {words} is refused: {text}")


def refused(t, images, *words, says):
    status, text = check(t, images, *words)
    expect(status == 1, f"restore {words}: exit status {status}, expected a refusal: {text}")
    for word in [says] if isinstance(says, str) else says:
        expect(word in text, f"restore {words}: no {word!r} in {text!r}")
    return text


@contextlib.contextmanager
def kept(t, *names):
    """They are as they were afterwards: the same inodes, too."""
    for name in names:
        os.link(t.path(name), t.path(name + ".kept"))
        shutil.copy2(t.path(name), t.path(name + ".copy"))
    try:
        yield
    finally:
        for name in names:
            with open(t.path(name + ".copy"), "rb") as f, open(t.path(name + ".kept"), "r+b") as g:
                g.write(f.read())
                g.truncate()
            shutil.copymode(t.path(name + ".copy"), t.path(name + ".kept"))
            os.rename(t.path(name + ".kept"), t.path(name + ".x"))
            if os.path.exists(t.path(name)):
                os.unlink(t.path(name))
            os.rename(t.path(name + ".x"), t.path(name))
            os.unlink(t.path(name + ".copy"))


def replace(t, name, text):
    """Another inode at the name, like a package manager does it."""
    mode = os.stat(t.path(name)).st_mode & 0o7777
    os.rename(t.write(name + ".new", text, mode), t.path(name))


def append(t, name, text):
    with open(t.path(name), "a") as f:
        f.write(text)


def overwrite(t, name, at, text):
    with open(t.path(name), "r+") as f:
        f.seek(at)
        f.write(text)


def policy(t, name, which):
    return f"--file-policy={t.path(name)}={which}"


def libraries(t, images, program):
    with kept(t, "id.so", "noid.so"):
        shutil.copyfile(t.path("id2.so"), t.path("new"))
        os.chmod(t.path("new"), 0o755)
        os.rename(t.path("new"), t.path("id.so"))
        text = refused(t, images, says=[t.path("id.so"), "another build", f"pid {program.pid} (python"])
        expect(text.count("mapped at") >= 2, f"not both processes are named: {text}")
        accepted(t, images, "--file-validation=filesize")
        accepted(t, images, policy(t, "id.so", "ignore"))
        accepted(t, images, "--file-policy=*.so=exact", "--file-policy=id.so=ignore")
        refused(t, images, "--file-policy=id.so=ignore", "--file-policy=*.so=exact", says="id.so")
        shutil.copyfile(t.path("noid2.so"), t.path("noid.so"))
        refused(t, images, policy(t, "id.so", "ignore"),
                says=[t.path("noid.so"), "checksum of the first 1024 bytes"])
    accepted(t, images)


def logs(t, images):
    """A log is open to append only: it may change, unless there is a rule for it."""
    with kept(t, "log"):
        append(t, "log", "by somebody else\n")
        accepted(t, images)
        refused(t, images, policy(t, "log", "exact"), says=["size is 87, was 70", "fd "])
        accepted(t, images, policy(t, "log", "append-ok"))
        accepted(t, images, policy(t, "log", "truncate-back"))
        overwrite(t, "log", 3, "!")
        for which in ("append-ok", "truncate-back"):
            refused(t, images, policy(t, "log", which), says="contents have changed")
        accepted(t, images)
        t.write("log", "before\n" * 9)
        accepted(t, images)
        for which in ("exact", "append-ok", "truncate-back"):
            refused(t, images, policy(t, "log", which), says="size is 63, was 70")
        os.unlink(t.path("log"))
        for which in ("exact", "append-ok", "ignore"):
            refused(t, images, policy(t, "log", which), says="No such file")


def data(t, images):
    with kept(t, "data"):
        replace(t, "data", "y" * 5000)
        accepted(t, images)  # the program has it open for writing
        for which in ("append-ok", "truncate-back", "exact"):
            refused(t, images, policy(t, "data", which), says="contents have changed")
        accepted(t, images, policy(t, "data", "ignore"))
        accepted(t, images, policy(t, "data", "exact"), "--file-validation=filesize")
        append(t, "data", "more")
        refused(t, images, policy(t, "data", "append-ok"), says="contents have changed")
    with kept(t, "small"):
        replace(t, "small", "TWELVE BYTES")
        refused(t, images, says=[t.path("small"), "contents have changed", "fd "])
        accepted(t, images, policy(t, "small", "ignore"))
    with kept(t, "data"):
        append(t, "data", "more")
        refused(t, images, says="size is 5004, was 5000")
        accepted(t, images, policy(t, "data", "append-ok"))
        os.truncate(t.path("data"), 4999)
        refused(t, images, policy(t, "data", "append-ok"), says="size is 4999, was 5000")
        accepted(t, images, policy(t, "data", "ignore"))
    with kept(t, "data"):
        os.chmod(t.path("data"), 0o600)
        refused(t, images, says="mode is 0600, was 0644")
        accepted(t, images, "--skip-file-rwx-check")
        accepted(t, images, policy(t, "data", "ignore"))
        refused(t, images, policy(t, "data", "append-ok"), says="mode is 0600")
    with kept(t, "data"):
        os.unlink(t.path("data"))
        os.mkdir(t.path("data"))
        refused(t, images, policy(t, "data", "ignore"), says="type is 040000, was 0100000")
        os.rmdir(t.path("data"))


def all_at_once(t, images):
    """More than an error has room for: a line for each in the log, and a count."""
    with kept(t, "id.so", "noid.so", "data", "small", "log"):
        replace(t, "id.so", "x" * os.path.getsize(t.path("id2.so")))
        os.unlink(t.path("noid.so"))
        append(t, "data", "more")
        os.chmod(t.path("small"), 0o600)
        append(t, "log", "more")
        text = refused(t, images, "--file-policy=log=exact", says="5 files aren't as they were")
        lines = [line for line in text.splitlines() if line.startswith("Warn")]
        for name, what in (("id.so", "build id is none"), ("noid.so", "No such file"),
                           ("data", "size is"), ("small", "mode is"), ("log", "size is")):
            expect(any(t.path(name) + ": " in line and what in line and "pid " in line
                       for line in lines), f"no line for {name}: {lines}")


def program_goes_on(t, program):
    with open(t.path("write"), "w"):
        pass
    wait_for("the program to write", lambda: not os.path.exists(t.path("write")))


def cut_back(t, program):
    images = program.images
    before = "before\n" * 10
    append(t, "log", "to be cut off\n")
    os.chmod(t.path("small"), 0o600)
    done = t.torpor.run("restore", "-d", "-D", images, "--file-policy=log=truncate-back")
    expect(done.returncode == 1, "a changed mode is accepted")
    os.chmod(t.path("small"), 0o644)
    accepted(t, images, "--file-policy=log=truncate-back")
    t.write("fails", "#!/bin/sh\n[ \"$CRTOOLS_SCRIPT_ACTION\" != post-restore ]\n", 0o755)
    done = t.torpor.run("restore", "-d", "-D", images, "--file-policy=log=truncate-back",
                        f"--action-script={t.path('fails')}")
    expect(done.returncode == 1, "the script's failure is passed over")
    with open(t.path("log")) as f:
        expect(f.read() == before + "to be cut off\n", "cut although the restore was refused")
    program.thaw("--file-policy=log=truncate-back")
    with open(t.path("log")) as f:
        expect(f.read() == before, "the log wasn't cut back")
    program_goes_on(t, program)
    with open(t.path("log")) as f:
        expect(f.read() == before + "after\n", "the program doesn't go on behind its old end")
    t.write("log", before)


def rules_travel(t, program):
    """A file of rules at the dump counts at the restore; what that is told counts more."""
    rules = t.write("rules.conf", "# what may change\nignore *.so\nappend-ok **/log\n\n"
                                  f"exact {t.dir}/noid.so\n")
    # A path that is relative to where torpor was started, not to its work directory.
    program.freeze("--file-policy-file", os.path.relpath(rules), f"--file-policy={t.path('small')}=ignore")
    images = program.images
    expect(os.path.exists(os.path.join(images, "file-policy.img")), "no file-policy.img")
    with kept(t, "id.so", "noid.so", "log", "small"):
        shutil.copyfile(t.path("id2.so"), t.path("id.so"))
        append(t, "log", "more")
        replace(t, "small", "other things")
        accepted(t, images)
        refused(t, images, policy(t, "log", "exact"), says=t.path("log"))
        t.write("other.conf", "exact *.so\n")
        refused(t, images, f"--file-policy-file={t.path('other.conf')}", says=t.path("id.so"))
        accepted(t, images, f"--file-policy-file={t.path('other.conf')}", "--file-policy=*.so=ignore")
        shutil.copyfile(t.path("noid2.so"), t.path("noid.so"))
        refused(t, images, says=t.path("noid.so"))
    with open(os.path.join(images, "file-policy.img"), "r+b") as f:
        f.seek(16)
        f.write(b"#")
    refused(t, images, says="file-policy.img")
    with open(os.path.join(images, "file-policy.img"), "r+b") as f:
        f.seek(16)
        f.write(b"*")
    program.thaw("--no-verify")


def methods(t, program):
    for words, part, at in ((("--file-validation=chksm-full",), "all of it", 4990),
                            (("--file-validation=chksm-first", "--chksm-parameter=100"),
                             "the first 100 bytes", 99),
                            (("--file-validation=chksm-every", "--chksm-parameter=2K"),
                             "one byte of each 2048", 4096),
                            (("--chksm-config=full", "--file-policy=data=exact"), "all of it", 3000)):
        program.freeze(*words)
        with kept(t, "data"):
            overwrite(t, "data", at, "!")
            refused(t, program.images, says=[t.path("data"), part])
        with kept(t, "data"):
            if part != "all of it":
                overwrite(t, "data", 4980, "not summed")
            accepted(t, program.images)
        with kept(t, "data"):
            append(t, "data", "more")
            accepted(t, program.images, policy(t, "data", "append-ok"))
        program.thaw()
    program.freeze("--file-validation=filesize")
    with kept(t, "data", "id.so"):
        replace(t, "data", "y" * 5000)
        shutil.copyfile(t.path("id2.so"), t.path("id.so"))
        accepted(t, program.images)
    program.thaw()


def sparse(t):
    with open(t.path("sparse"), "wb") as f:
        f.truncate(10 << 30)
        f.seek(7 << 30)
        f.write(b"data")
    program = start(t, SPARSE)
    begin = time.monotonic()
    program.freeze()
    by_default = time.monotonic() - begin
    program.thaw()
    begin = time.monotonic()
    program.freeze("--file-validation=chksm-full")
    took = time.monotonic() - begin
    expect(took < by_default + 5, f"10 GiB of holes took {took:.1f} s, {by_default:.1f} by default")
    accepted(t, program.images)
    overwrite(t, "sparse", 3 << 30, "!")
    refused(t, program.images, says=["sparse", "the checksum of all of it"])
    with open(t.path("sparse"), "r+b") as f:
        f.seek(3 << 30)
        f.write(b"\0")
    program.thaw()
    print(f"10 GiB sparse: dump {took * 1000:.0f} ms with chksm-full, {by_default * 1000:.0f} by default")


def overlay(t):
    """Inodes of the layer below get a copy above when they are written to."""
    where = t.path("overlay")
    os.mkdir(where)
    mounted = []
    try:
        subprocess.run(["mount", "-t", "tmpfs", "none", where], check=True, capture_output=True)
        mounted.append(where)
        for name in ("lower", "upper", "work", "all"):
            os.mkdir(os.path.join(where, name))
        for name in ("id.so", "id2.so", "noid.so", "log", "data", "small"):
            shutil.copy2(t.path(name), os.path.join(where, "lower", name))
        top = os.path.join(where, "all")
        done = subprocess.run(["mount", "-t", "overlay", "-o", "lowerdir={0}/lower,upperdir={0}/upper,"
                               "workdir={0}/work".format(where), "none", top], capture_output=True)
        if done.returncode != 0:
            print(f"overlay: left out: {done.stderr}")
            return
        mounted.append(top)
        on_overlay(t, top)
    finally:
        for place in reversed(mounted):
            wait_for(f"{place} to be unmounted",
                     lambda: subprocess.run(["umount", place], capture_output=True).returncode == 0)


def on_overlay(t, top):
    name = os.path.relpath(top, t.dir)
    text = f"import os\nos.chdir('{top}')\n" + PROGRAM.replace('open(f"ready', f'open(f"{t.dir}/ready')
    program = start(t, text)
    program.freeze("--embed-mapped-files")
    accepted(t, program.images)
    overwrite(t, f"{name}/data", 0, "y")  # is copied up
    accepted(t, program.images)
    refused(t, program.images, f"--file-policy={top}/data=exact",
            says=[f"{top}/data", "contents have changed"])
    overwrite(t, f"{name}/data", 0, "x")
    shutil.copyfile(f"{top}/id2.so", f"{top}/new")
    os.chmod(f"{top}/new", 0o755)
    os.rename(f"{top}/new", f"{top}/id.so")
    program.thaw()
    maps = read(f"/proc/{program.pid}/maps")
    expect(f"{top}/id.so.cr." in maps and f"{top}/noid.so\n" in maps, f"another mapping: {maps}")
    kill_tree(program.pid)
    program.pid = 0


def mistakes(t):
    for words, says in ((["--file-policy=/a"], "PATTERN=POLICY"),
                        (["--file-policy=/a=perhaps"], "perhaps"),
                        (["--chksm-parameter=0"], "chksm-parameter"),
                        (["--chksm-config=half"], "half"),
                        (["--file-policy-file=/nowhere"], "/nowhere"),
                        (["--file-policy-file", t.write("bad.conf", "exact /a\nno\n")], "line 2")):
        done = t.torpor.run("dump", "-t", os.getpid(), "-D", t.dir, *words)
        expect(done.returncode == 1 and says in done.stderr, f"dump {words}: {done.stderr!r}")


def test(t):
    mistakes(t)
    prepare(t)
    program = start(t)
    program.freeze()
    accepted(t, program.images)
    libraries(t, program.images, program)
    logs(t, program.images)
    data(t, program.images)
    all_at_once(t, program.images)
    cut_back(t, program)
    rules_travel(t, program)
    methods(t, program)
    sparse(t)
    overlay(t)


if __name__ == "__main__":
    run(test)
