# SPDX-License-Identifier: Apache-2.0
"""What several benchmarks do: one command many times, taking turns with its yardstick."""

import os
import signal

from freeze import reap
from kit.command import Images
from kit.program import keepers, table_mib


def extra_memory(bench, row, verb, images, *options, pids=()):
    """Runs the command once under the meter. It is its first run, so that it also warms up.

    pids: the program's, if it goes on: what its page tables grew by is torpor's doing.
    """
    before = table_mib(pids)
    peaks = bench.torpor.run_metered(verb, images, *options)
    peaks["target_tables"] = max(0, table_mib(pids) - before)
    row.extra = peaks["total"] + peaks["target_tables"]
    row.more["memory"] = peaks
    bench.results.goal(f"extra memory, {row.command} of {row.case}", row.extra, 16, "MiB")


def dump(bench, program, row, runs):
    """Dumps that leave it running, in turns with write() by itself."""
    row.yard_name = "write()"
    options = ("-t", program.pid, "--leave-running")
    with bench.images() as images:
        extra_memory(bench, row, "dump", images, *options, pids=program.pids())
        row.image = images.mib()
    row.more["frozen"] = []
    for _ in range(runs):
        row.yard.append(program.write_ms())
        row.noise.append(program.quiet(0.3).worst)
        with bench.images() as images:
            with program.window() as pause:
                row.wall.append(bench.torpor.run("dump", images, *options))
            row.pause.append(pause.worst)
            row.more["frozen"].append(images.stats()["frozen"])


def final_dump(bench, program, row, images, *options):
    """The one after which it is gone."""
    pids = program.pids()
    row.wall.append(bench.torpor.run("dump", images, "-t", program.pid, *options))
    row.pause.append(images.stats()["frozen"])
    program.reaped(pids)
    return pids


def restore(bench, program, row, images, pids, runs, *options):
    """Restores and kills it again and again. The images are in the page cache."""
    row.yard_name = "UFFDIO_COPY"
    row.more["uffd_2_threads"] = []
    extra_memory(bench, row, "restore", images, "-d", *options)
    bench.end(program, pids)
    for _ in range(runs):
        row.yard.append(sum(bench.uffd_ms(path) for path in images.pages()))
        row.more["uffd_2_threads"].append(sum(bench.uffd_ms(path, 2) for path in images.pages()))
        row.wall.append(bench.torpor.run("restore", images, "-d", *options))
        bench.end(program, pids)


class Chain:
    """Images on images: each directory with the one before it as its parent."""

    def __init__(self, bench):
        self.all = bench.images()
        self.last = None
        self.number = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.all.remove()

    def next(self):
        """A new directory, and the options that go with it."""
        options = ["--track-mem"]
        if self.last:
            options += ["--prev-images-dir", f"../{os.path.basename(self.last.path)}"]
        self.number += 1
        path = os.path.join(self.all.path, str(self.number))
        os.mkdir(path)
        self.last = Images(path)
        return self.last, options

    def start_over(self):
        """What there is so far isn't needed any more: the next one has no parent."""
        for name in os.listdir(self.all.path):
            Images(os.path.join(self.all.path, name)).remove()
        self.last = None


def forget_trackers(program):
    """The next pre-dump is a first one again."""
    for pid in keepers(program.pid):
        os.kill(pid, signal.SIGTERM)
        reap([pid])
