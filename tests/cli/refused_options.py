#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What isn't supported yet is refused by its name, before anything is touched."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import alive, expect, run  # noqa: E402

BOTH = [["--root", "/"], ["--external", "file[1:2]"], ["--tcp-established"], ["--tcp-close"],
        ["--ext-unix-sk"], ["--file-locks"], ["--lazy-pages"], ["--stream"],
        ["--cpu-cap"], ["--manage-cgroups=full"], ["--empty-ns", "net"], ["--enable-fs", "all"],
        ["--ext-mount-map", "auto"], ["--cgroup-root", "/x"], ["--cgroup-yard", "/x"],
        ["--libdir", "/x"], ["--allow-uprobes"]]
DUMP = BOTH + [["--page-server"],
               ["--address", "::1"], ["--port", "27"], ["--ps-socket", "5"], ["--tls"],
               ["--skip-in-flight"], ["--force-irmap"], ["--irmap-scan-path", "/"],
               ["--skip-mnt", "/x"], ["--network-lock", "nftables"], ["--cgroup-props", "x"],
               ["--cgroup-dump-controller", "cpu"]]
RESTORE = BOTH + [["--inherit-fd", "fd[1]:x"], ["--join-ns", "net:1"], ["--veth-pair", "a=b"],
                  ["--lsm-profile", "none:"], ["--mntns-compat-mode"], ["--weak-sysctls"],
                  ["--log-pid"]]
COMMANDS = ["lazy-pages", "page-server", "service", "swrk", "cpuinfo"]


def refused(done, name):
    expect(done.returncode == 1, f"{name}: exit status {done.returncode}")
    lines = [line for line in done.stderr.splitlines() if "Error" in line]
    expect(len(lines) == 1 and name in lines[0] and "supported" in lines[0],
           f"{name} isn't refused by its name in one line: {done.stderr!r}")


def test(t):
    program = t.start("sleep", "1000")
    images = t.path("images")
    os.mkdir(images)
    for words in DUMP:
        refused(t.torpor.run("dump", "-t", program.pid, "-D", images, *words), words[0].split("=")[0])
        expect(alive(program.pid), f"dump {words} harmed the program")
    for words in RESTORE:
        refused(t.torpor.run("restore", "-d", "-D", images, *words), words[0].split("=")[0])
    for command in COMMANDS:
        refused(t.torpor.run(command, "-t", program.pid, "-D", images), command)
    # What is switched off again, or belongs to another command, stops nothing.
    program.freeze("--tcp-established", "--no-tcp-established", "--inherit-fd", "fd[1]:x")
    program.thaw("--no-stream", "--track-mem")


run(test)
