#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""--embed-mapped-files: what was upgraded, or removed, since the dump comes from the images."""

import mmap
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import expect, kill_tree, need, read, run, tree_of, wait_for  # noqa: E402

# Says what its library, itself, and its mapped files answer, each time it is asked.
PROGRAM = r"""
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int version(void);

static const char *map(const char *name, int flags, int prot)
{
    int fd = open(name, prot & PROT_WRITE ? O_RDWR : O_RDONLY);

    return mmap(NULL, 4096, prot, flags, fd, 0); /* the descriptor stays open */
}

int main(void)
{
    const char *private = map("private", MAP_PRIVATE, PROT_READ);
    const char *shared = map("shared", MAP_SHARED, PROT_READ);
    const char *out = map("out", MAP_SHARED, PROT_READ | PROT_WRITE);
    char byte;

    if (fork() == 0)
        for (;;)
            pause();
    for (;;) {
        FILE *f = fopen("answer.new", "w");

        pread(3, &byte, 1, 4000);
        fprintf(f, "%s %d %c %c %c %c\n", OWN, version(), private[4000], shared[4000], out[0], byte);
        fclose(f);
        rename("answer.new", "answer");
        usleep(10000);
    }
}
"""


def build(t, value):
    """The same program and library, each of one size with the other build."""
    lib, program = t.path(f"libv.so.{value}"), t.path(f"program.{value}")
    for command in (["-shared", "-fPIC", "-Wl,-soname,libv.so", "-o", lib,
                     t.write("lib.c", f"int version(void) {{ return {value}; }}\n")],
                    [f'-DOWN="own{value}"', "-o", program, t.write("main.c", PROGRAM), lib,
                     f"-Wl,-rpath,{t.dir}"]):
        subprocess.run([need("gcc"), *command], check=True, stderr=subprocess.DEVNULL)


def answer(t):
    if os.path.exists(t.path("answer")):
        os.unlink(t.path("answer"))
    return wait_for("an answer", lambda: read(t.path("answer")))


def install(t, name, new):
    """As package managers do it."""
    shutil.copy2(new, t.path("new"))
    os.rename(t.path("new"), t.path(name))


def maps(program):
    return read(f"/proc/{program.pid}/maps")


def refused(t, images, says):
    before = tree_of(os.getpid())
    done = t.torpor.run("restore", "-d", "-D", images)
    expect(done.returncode == 1, f"restore isn't refused for {says}")
    expect(says in done.stderr, f"no {says!r} in {done.stderr!r}")
    expect(tree_of(os.getpid()) == before, "something was left")


def copies(program):
    return sorted(name for name in os.listdir(program.images) if name.startswith("mapped-file-"))


def unchanged(t, program):
    """As long as nothing has changed, the files themselves are mapped."""
    program.freeze("--embed-mapped-files")
    expect(len(copies(program)) >= 5, f"not enough copies: {copies(program)}")
    # Damage that nobody gets to see.
    with open(os.path.join(program.images, "mapped-file-1.img"), "r+b") as f:
        f.seek(-1, os.SEEK_END)
        f.write(b"!")
    program.thaw()
    expect("deleted" not in maps(program), f"a file was replaced without need:\n{maps(program)}")
    expect(answer(t) == "own1 1 p s o p\n", "another answer")


def upgraded(t, program):
    program.freeze("--embed-mapped-files")
    install(t, "libv.so", t.path("libv.so.2"))
    install(t, "program", t.path("program.2"))
    install(t, "private", t.write("other", "P" * 4096))
    install(t, "shared", t.path("other"))
    done = t.torpor.run("restore", "-d", "-D", program.images)
    expect(done.returncode == 0, done.stderr)
    shutil.rmtree(program.images)
    expect("4 files have changed" in done.stderr or "5 files have changed" in done.stderr or
           "6 files have changed" in done.stderr, f"no warning: {done.stderr!r}")
    expect(answer(t) == "own1 1 p s o p\n", f"not the old code and data: {answer(t)!r}")
    for name in ("libv.so", "program", "private", "shared"):
        expect(t.path(name) + ".cr." in maps(program), f"{name} isn't a copy:\n{maps(program)}")
    expect(not [name for name in os.listdir(t.dir) if ".cr." in name], "left on disk")
    expect(os.readlink(f"/proc/{program.pid}/exe").endswith(" (deleted)"), "exe is the new one")


def again(t, program):
    """What was restored so can be dumped like any other; copies are deleted files by now."""
    program.freeze()
    expect(not copies(program), "copies without being asked")
    program.thaw()
    expect(answer(t) == "own1 1 p s o p\n", "another answer after another cycle")
    program.freeze("--embed-mapped-files")
    program.thaw()
    expect(answer(t) == "own1 1 p s o p\n", "another answer after two more cycles")


def removed(t, program):
    program.freeze("--embed-mapped-files", "--image-compat=criu")
    os.unlink(t.path("libv.so"))
    with open(t.path("private"), "r+") as f:
        f.write("a change in place")
    program.thaw()
    expect(answer(t) == "own1 1 p s o p\n", "another answer")
    expect(t.path("libv.so") + " (deleted)" in maps(program), f"another name:\n{maps(program)}")


def written_to(t, program):
    """A file that the program writes to by its mapping isn't copied: nobody else would see that."""
    program.freeze("--embed-mapped-files", "--file-policy=out=exact")
    with open(t.path("out"), "r+b") as f:
        f.write(b"O")
    refused(t, program.images, t.path("out"))
    program.thaw("--file-policy=out=ignore")
    expect(answer(t) == "own1 1 p s O p\n", "not what others have written")


def left_out(t, program):
    program.freeze("--embed-mapped-files", "--file-policy=libv.so=ignore")
    install(t, "libv.so", t.path("libv.so.2"))
    program.thaw()
    expect(".cr." not in maps(program), "a file that was to be ignored is replaced")
    expect(answer(t) == "own1 2 p s o p\n", f"not the new library: {answer(t)!r}")


def damaged(t, program):
    program.freeze("--embed-mapped-files")
    install(t, "libv.so", t.path("libv.so.1"))
    kept = {}
    for name in copies(program):
        path = os.path.join(program.images, name)
        with open(path, "r+b") as f:
            kept[path] = f.read()
            f.truncate(len(kept[path]) - 1)
    refused(t, program.images, "was cut off since it was dumped")
    for path in kept:
        os.unlink(path)
    refused(t, program.images, "mapped-file-")
    for path, data in kept.items():
        with open(path, "wb") as f:
            f.write(data)
    program.thaw()
    expect(answer(t) == "own1 2 p s o p\n", "another answer")


def start(t):
    for name in ("libv.so", "program"):
        install(t, name, t.path(name + ".1"))
    for name in ("private", "shared", "out"):
        t.write(name, name[0] * mmap.PAGESIZE)
    program = t.start(t.path("program"))
    expect(answer(t) == "own1 1 p s o p\n", "another answer")
    return program


def test(t):
    build(t, 1)
    build(t, 2)
    for steps in ((unchanged, upgraded, again), (removed, written_to), (left_out, damaged)):
        program = start(t)
        for step in steps:
            step(t, program)
        kill_tree(program.pid)
        program.pid = 0


run(test)
