#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The same program dumped by CRIU (the sample set `shell`) and by torpor: the same records, with the
same fields in each. What depends on the machine is left out."""

import collections
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import ROOT, Skip, expect, run, wait_for  # noqa: E402

SAMPLE = os.path.join(ROOT, "tests", "interop", "samples", "shell")
# What CPU and machine have; CRIU's counters of its own machinery; what torpor adds; fields of the format
# that CRIU doesn't write.
PASS_OVER = ("core_entry.thread_info.fpregs.xsave", "stats_entry.dump.page_pipe", "integrity_entry",
             "inventory_entry.dump_time", "inventory_entry.kernel", "inventory_entry.cpu",
             "file_entry.reg.checksum", "file_entry.reg.may_change")
# Values that are the same for any such program, wherever it is dumped.
SAME = {
    "inventory_entry": ("img_version", "fdinfo_per_id", "root_ids", "ns_per_id", "root_cg_set",
                        "network_lock_method", "plugins_entry"),
    "task_kobj_ids_entry": ("vm_id", "files_id", "fs_id", "sighand_id", "pid_ns_id", "net_ns_id",
                            "ipc_ns_id", "uts_ns_id", "mnt_ns_id", "user_ns_id", "cgroup_ns_id",
                            "time_ns_id"),
    "fdinfo_entry": ("flags", "type", "fd"),
    "seccomp_entry": (),
}


def imgdump(directory):
    tool = os.path.join(os.path.dirname(os.environ.get("TORPOR", "")), "tests", "lib", "imgdump")
    if not os.path.exists(tool):
        raise Skip("imgdump isn't built")
    done = subprocess.run([tool, directory], stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def count_fields(message, path, counts):
    counts[path]["records"] += 1
    for name, value in message.items():
        counts[path][name] += 1
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                count_fields(part, f"{path}.{name}", counts)


def fields_of(records):
    counts = collections.defaultdict(collections.Counter)
    for record in records:
        count_fields(record["msg"], record["type"], counts)
    return counts


def presence(counts, path, name):
    """"always", "never", or "sometimes"."""
    n = counts[path][name]
    return "always" if n and n == counts[path]["records"] else "sometimes" if n else "never"


def differences(theirs, ours):
    for path in sorted({*theirs, *ours}):
        for name in sorted({*theirs[path], *ours[path]}):
            if f"{path}.{name}".startswith(PASS_OVER):
                continue
            want, have = presence(theirs, path, name), presence(ours, path, name)
            if want != have:
                yield f"{path}.{name}: {want} there with CRIU, {have} with torpor"


def values(records, kind):
    return [[record["msg"].get(name) for name in SAME[kind]] for record in records
            if record["type"] == kind]


def dump_shell(t):
    with open("/dev/null", "r+") as null, open(t.path("shell.err"), "w") as errors:
        program = t.start("/bin/sh", "-c", "while :; do sleep 1000; done", stdin=null, stdout=null,
                          stderr=errors)
    wait_for("its child", lambda: len(program.pids()) == 2)
    program.freeze()
    return program


def test(t):
    if "dash" not in os.path.realpath("/bin/sh"):
        raise Skip("the sample is of dash")
    program = dump_shell(t)
    theirs, ours = imgdump(SAMPLE), imgdump(program.images)
    different = list(differences(fields_of(theirs), fields_of(ours)))
    for kind in SAME:
        if values(theirs, kind) != values(ours, kind):
            different.append(f"{kind}: {values(theirs, kind)} with CRIU, {values(ours, kind)}")
    expect(not different, "\n".join(different))
    program.thaw()
    os.killpg(program.pid, signal.SIGKILL)


run(test)
