#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Unit tests and behaviour tests of one build directory, and their sum as the last line.

  tools/run_tests.py [--unit-only] [--sudo SUDO] BUILD [ARGUMENTS FOR tests/run...]

The last line is "N passed, N failed, N skipped"; the exit status is 0 if none failed.
"""

import argparse
import json
import os
import re
import subprocess
import sys

ROOT = os.path.realpath(os.path.join(os.path.dirname(os.path.realpath(__file__)), ".."))
SUMMARY = re.compile(r"^(\d+) passed, (\d+) failed, (\d+) skipped$")


def tap_counts(text, result):
    """(passed, failed, skipped) of one program; one that says nothing counts as one test."""
    counts = [0, 0, 0]
    for line in text.splitlines():
        match = re.match(r"(not )?ok \d+(.*)", line)
        if match and "# SKIP" in match.group(2).upper():
            counts[2] += 1
        elif match:
            counts[1 if match.group(1) else 0] += 1
    failed = result not in ("OK", "EXPECTEDFAIL", "SKIP")
    if failed and counts[1] == 0:
        counts[1] = 1  # crashed, or didn't run at all
    if sum(counts) == 0:
        counts[2 if result == "SKIP" else 0] = 1
    return counts


def run_unit(build):
    log = os.path.join(build, "meson-logs", "testlog.json")
    if os.path.exists(log):
        os.unlink(log)
    process = subprocess.run(["meson", "test", "-C", build, "--no-rebuild", "--suite", "unit",
                              "--print-errorlogs"], check=False)
    counts = [0, 0, 0]
    if os.path.exists(log):
        with open(log, encoding="utf-8") as lines:
            for test in map(json.loads, lines):
                one = tap_counts(test.get("stdout") or "", test["result"])
                counts = [a + b for a, b in zip(counts, one)]
    if process.returncode != 0 and counts[1] == 0:
        counts[1] = 1
    return counts


def run_behaviour(build, sudo, arguments):
    """Passes the runner's output on as it comes; its last summary line counts."""
    command = [*sudo.split(), os.path.join(ROOT, "tests", "run"), "--build", build, *arguments]
    counts = None
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            match = SUMMARY.match(line.strip())
            if match:
                counts = [int(n) for n in match.groups()]
    if counts is None:
        print("tests/run ended without a summary, status", process.returncode)
        return [0, 1, 0]
    if process.returncode != 0 and counts[1] == 0:
        counts[1] = 1
    return counts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--unit-only", action="store_true")
    parser.add_argument("--sudo", default="")
    parser.add_argument("build")
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    counts = run_unit(options.build)
    print("unit tests: {} passed, {} failed, {} skipped".format(*counts), flush=True)
    if not options.unit_only:
        more = run_behaviour(os.path.abspath(options.build), options.sudo, options.rest)
        counts = [a + b for a, b in zip(counts, more)]
    print("{} passed, {} failed, {} skipped".format(*counts))
    return 1 if counts[1] else 0


if __name__ == "__main__":
    sys.exit(main())
