#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""xz with two threads in the middle of a large file: its output unpacks to the same bytes."""

import hashlib
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import expect, need, run  # noqa: E402

SIZE_MIB = int(os.environ.get("TORPOR_XZ_MIB", "200"))


def make_input(path):
    """Half-way compressible: random MiBs that come again and again with small changes."""
    noise, digest = random.Random(1), hashlib.sha256()
    blocks = [bytearray(noise.randbytes(1 << 17) * 8) for _ in range(4)]
    with open(path, "wb") as f:
        for i in range(SIZE_MIB):
            block = blocks[i % 4]
            for place in noise.sample(range(1 << 20), 500):
                block[place] = i & 0xFF
            digest.update(block)
            f.write(block)
    return digest.hexdigest()


def test(t):
    xz = need("xz")
    digest = make_input(t.path("input"))
    argv = [xz, "-T2", "-2", "-k", "input"]
    begin = time.monotonic()
    t.start(*argv).must_end(limit=600)
    took = time.monotonic() - begin
    os.unlink(t.path("input.xz"))

    program = t.start(*argv)
    program.cycle(run_for=took / (2 * t.rounds + 1))
    program.must_end(limit=600)
    unpack = subprocess.Popen([xz, "-dc", t.path("input.xz")], stdout=subprocess.PIPE)
    unpacked = hashlib.sha256()
    while chunk := unpack.stdout.read(1 << 20):
        unpacked.update(chunk)
    expect(unpack.wait() == 0, "the output is damaged")
    expect(unpacked.hexdigest() == digest, "the output unpacks to something else")


run(test)
