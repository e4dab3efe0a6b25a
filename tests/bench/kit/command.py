# SPDX-License-Identifier: Apache-2.0
"""Running torpor: how long it takes, and what memory it takes beside the image."""

import os
import shutil
import statistics
import subprocess
import tempfile
import time

from freeze import Failure


def run_timed(argv, cwd):
    """Milliseconds from spawning to the end; the output goes to a file (no pipe to wait on)."""
    output = os.path.join(cwd, "out.txt")
    with open(output, "wb") as out:
        begin = time.perf_counter()
        pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, out.fileno(), 1), (os.POSIX_SPAWN_DUP2, out.fileno(), 2)])
        status = os.waitpid(pid, 0)[1]
        took = (time.perf_counter() - begin) * 1000
    if status != 0:
        with open(output, errors="replace") as f:
            raise Failure(f"{' '.join(argv)}: status {os.waitstatus_to_exitcode(status)}\n{f.read()}")
    return took


def yardstick_ms(helper, *args):
    done = subprocess.run([helper, *map(str, args)], check=True, capture_output=True, text=True)
    return int(done.stdout) / 1e6


def median(values):
    return statistics.median(values) if values else None


def varints(data):
    """The varint and bytes fields of a protobuf message, by number."""
    fields, at = {}, 0

    def varint():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            fields[key >> 3] = varint()
        elif key & 7 == 2:
            size = varint()
            fields[key >> 3] = data[at:at + size]
            at += size
        else:
            raise Failure("a statistics file with an unknown wire type")
    return fields


class Images:
    """A directory of images; "with" removes it."""

    def __init__(self, path):
        self.path = path

    @classmethod
    def new(cls, parent):
        return cls(tempfile.mkdtemp(prefix="images-", dir=parent))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)

    def files(self):
        return [os.path.join(self.path, name) for name in os.listdir(self.path)]

    def mib(self):
        """What they take on the disk: a hole takes nothing."""
        return sum(os.lstat(name).st_blocks for name in self.files()) * 512 / 2**20

    def pages(self):
        """The pages files with something in them."""
        return [name for name in self.files() if os.path.getsize(name) >= 2**20
                and os.path.basename(name).startswith("pages-") and name.endswith(".img")]

    def stats(self):
        """Of a dump or pre-dump: freezing, frozen, writing (ms), and pages written."""
        with open(os.path.join(self.path, "stats-dump"), "rb") as f:
            data = f.read()
        size = int.from_bytes(data[8:12], "little")
        dump = varints(varints(data[12:12 + size])[1])
        return {"freezing": dump[1] / 1000, "frozen": dump[2] / 1000,
                "memwrite": dump[4] / 1000, "pages": dump[7]}

    def forget_cache(self):
        """Out of the page cache: the next reader has to fetch them from the disk."""
        for name in self.files():
            fd = os.open(name, os.O_RDONLY)
            try:
                os.fsync(fd)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(fd)


class Torpor:
    def __init__(self, binary, meter):
        self.binary, self.meter = binary, meter

    def argv(self, verb, images, *options):
        return [self.binary, verb, "-D", images.path, "-o", f"{verb}.log", *map(str, options)]

    def run(self, verb, images, *options):
        try:
            return run_timed(self.argv(verb, images, *options), images.path)
        except Failure as failure:
            with open(os.path.join(images.path, f"{verb}.log"), errors="replace") as log:
                lines = [line for line in log if "Error" in line]
            raise Failure(f"{failure}{''.join(lines)}") from failure

    def run_metered(self, verb, images, *options):
        """Peaks of its memory in MiB, by kind. Being looked at takes time: not for a stopwatch."""
        note = os.path.join(images.path, "meter.txt")
        run_timed([self.meter, note, *self.argv(verb, images, *options)], images.path)
        with open(note) as f:
            peaks = {name: int(kib) / 1024 for name, kib in map(str.split, f)}
        os.unlink(note)
        return peaks
