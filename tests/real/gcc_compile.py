#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""gcc in the middle of compiling a large file: the object is that of an undisturbed compilation."""

import hashlib
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import expect, need, run  # noqa: E402

FUNCTIONS = int(os.environ.get("TORPOR_GCC_FUNCTIONS", "600"))


def source():
    yield "typedef unsigned long ul;\n"
    for i in range(FUNCTIONS):
        yield (f"static ul table{i}[{i % 13 + 3}] = {{ {i}, {i * 3}, {i * 7} }};\n"
               f"ul f{i}(ul a, ul b, ul *p)\n{{\n\tul s = a ^ {i}ul;\n"
               f"\tfor (ul i = 0; i < b; i++) {{\n"
               f"\t\ts = (s << {i % 31 + 1}) | (s >> {63 - i % 31});\n"
               f"\t\tif (p[i] % {i + 3} == 1)\n\t\t\ts += table{i}[i % {i % 13 + 3}] * p[i];\n"
               f"\t\telse\n\t\t\ttable{i}[s % {i % 13 + 3}] -= s / (i + {i % 5 + 1});\n\t}}\n"
               f"\treturn s{f' + f{i - 1}(s, b / 2, p)' if i else ''};\n}}\n")


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def test(t):
    gcc = need("gcc")
    t.write("big.c", "".join(source()))
    begin = time.monotonic()
    t.start(gcc, "-O2", "-c", "big.c", "-o", "big.o").must_end()
    took = time.monotonic() - begin
    reference = digest(t.path("big.o"))
    os.unlink(t.path("big.o"))

    program = t.start(gcc, "-O2", "-c", "big.c", "-o", "big.o")
    program.cycle(run_for=took / (2 * t.rounds + 1))
    program.must_end(limit=600)
    expect(digest(t.path("big.o")) == reference, "the object differs from an undisturbed one")


run(test)
