#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""libtorpor-image for others, installed: a program that knows its public header alone edits a checkpoint, which
then restores; nothing but its own names is exported."""

import ctypes
import glob
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import ROOT, expect, find_torpor, need, read, run, wait_for  # noqa: E402

BUILD = os.path.dirname(find_torpor())


def install(t):
    """As a packager does it; the folder of the library."""
    root = t.path("root")
    subprocess.run([need("meson"), "install", "--no-rebuild", "--quiet", "-C", BUILD, "--destdir",
                    root], stdout=subprocess.DEVNULL, check=True)
    found = glob.glob(root + "/**/libtorpor-image.pc", recursive=True)
    expect(len(found) == 1, f"libtorpor-image.pc: {found}")
    crit = glob.glob(root + "/**/crit", recursive=True)
    expect(len(crit) == 1 and subprocess.run([crit[0], "--version"], capture_output=True, check=True)
           .stdout == b"4.2\n", f"crit: {crit}")
    for page in ("man8/torpor-image.8", "man1/crit.1", "man3/libtorpor-image.3"):
        expect(glob.glob(f"{root}/**/{page}", recursive=True), f"no {page}")
    return root, os.path.dirname(os.path.dirname(found[0]))


def compile_example(t, root, directory):
    program = t.path("rename-process")
    env = {**os.environ, "PKG_CONFIG_PATH": os.path.join(directory, "pkgconfig"),
           "PKG_CONFIG_SYSROOT_DIR": root}
    flags = subprocess.run([need("pkg-config"), "--cflags", "--libs", "libtorpor-image"], env=env,
                           capture_output=True, text=True, check=True).stdout.split()
    done = subprocess.run(
        [need("gcc"), "-Wall", "-Werror", "-o", program,
         os.path.join(ROOT, "docs", "examples", "rename-process.c"), *flags, "-ljansson",
         f"-Wl,-rpath,{directory}"],
        capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"the example doesn't compile:\n{done.stderr}")
    return program


def exports_only_its_own(directory):
    done = subprocess.run([need("nm"), "-D", "--defined-only",
                           os.path.join(directory, "libtorpor-image.so")],
                          capture_output=True, text=True, check=True)
    names = [line.split()[-1].partition("@")[0] for line in done.stdout.splitlines()]
    other = [name for name in names if not name.startswith(("torpor_", "TORPOR_IMAGE_"))]
    expect(names and not other, f"exported besides: {other}")


def works_from_another_language(directory, images):
    """Nothing but ctypes: JSON in and out."""
    lib = ctypes.CDLL(os.path.join(directory, "libtorpor-image.so"))
    lib.torpor_image_new.restype = ctypes.c_void_p
    lib.torpor_image_error.restype = ctypes.c_char_p
    ti = ctypes.c_void_p(lib.torpor_image_new())
    text = ctypes.c_char_p()
    path = os.path.join(images, "pstree.img").encode()
    expect(lib.torpor_image_load(ti, path, 0, ctypes.byref(text)) == 0, "torpor_image_load")
    expect(json.loads(text.value)["magic"] == "PSTREE", "the JSON of pstree.img")
    expect(lib.torpor_image_load(ti, b"/nonexistent", 0, ctypes.byref(text)) < 0
           and b"/nonexistent" in lib.torpor_image_error(ti), "an error names the file")
    lib.torpor_image_free(ti)


def test(t):
    root, directory = install(t)
    exports_only_its_own(directory)
    rename = compile_example(t, root, directory)
    program = t.start("sleep", "1000")
    wait_for("sleep", lambda: read(f"/proc/{program.pid}/comm") == "sleep\n")
    program.freeze()
    works_from_another_language(directory, program.images)
    core = os.path.join(program.images, f"core-{program.pid}.img")
    before = os.path.getmtime(core)
    done = subprocess.run([rename, program.images, str(program.pid), "sleeper"],
                          capture_output=True, text=True, check=False)
    expect(done.returncode == 0, f"the example failed: {done.stderr}")
    expect(os.path.getmtime(core) != before, "the image wasn't written")
    program.thaw()
    expect(read(f"/proc/{program.pid}/comm") == "sleeper\n",
           f"restored as {read(f'/proc/{program.pid}/comm')!r}")
    os.kill(program.pid, signal.SIGKILL)
    program.wait_end()


def refuses_unsealed(t):
    """Edited, and the list not made anew: the restore says so. Then `torpor image reseal`."""
    program = t.start("sleep", "1000")
    wait_for("sleep", lambda: read(f"/proc/{program.pid}/comm") == "sleep\n")
    program.freeze()
    core = os.path.join(program.images, f"core-{program.pid}.img")
    text = t.torpor.run("image", "decode", "-i", core).stdout.replace('"comm": "sleep"',
                                                                      '"comm": "nap"')
    done = t.torpor.run("image", "encode", "-o", core, input=text, stdin=None)
    expect(done.returncode == 0, done.stderr)
    done = t.torpor.run("restore", "-d", "-D", program.images)
    expect(done.returncode == 1 and "has grown" in done.stderr + done.stdout
           or "cut off" in done.stderr, f"an edited image: {done.returncode} {done.stderr}")
    done = t.torpor.run("image", "reseal", program.images)
    expect(done.returncode == 0, done.stderr)
    program.thaw()
    expect(read(f"/proc/{program.pid}/comm") == "nap\n", "restored with its old name")
    os.kill(program.pid, signal.SIGKILL)
    program.wait_end()


def both(t):
    test(t)
    refuses_unsealed(t)


run(both)
