# SPDX-License-Identifier: Apache-2.0
"""What /proc says about a tree of processes, and about the machine, to compare before and after.

A tree is a dict: pid -> field -> value. The fields are the words of `.changes` in a behaviour
test (behave.h): what a program changes while it waits to be frozen can't be compared.
"""

import os
import re

STATUS = {"creds": ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb",
                    "NoNewPrivs", "Seccomp", "Seccomp_filters"),
          "signals": ("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"),
          "memory": ("Umask", "THP_enabled", "CoreDumping", "untag_mask")}


def read(path, binary=False):
    """The file's content; None if it isn't there or not for us."""
    try:
        with open(path, "rb") as f:
            data = f.read()
    except OSError:
        return None
    return data if binary else data.decode(errors="replace")


def link(path):
    try:
        return os.readlink(path)
    except OSError:
        return None


def numbers(path):
    try:
        return sorted(int(n) for n in os.listdir(path) if n.isdigit())
    except OSError:
        return []


def stat_fields(pid, tid=None):
    """Fields of stat from the third on, so [0] is the state; [] if there is no such process."""
    text = read(f"/proc/{pid}/stat" if tid is None else f"/proc/{pid}/task/{tid}/stat")
    return text.rpartition(")")[2].split() if text else []


def tree_of(pid):
    """pid and everything below it, parents first."""
    found = [pid]
    for p in found:
        for tid in numbers(f"/proc/{p}/task"):
            found += [int(c) for c in (read(f"/proc/{p}/task/{tid}/children") or "").split()]
    return found


# ------------------------------------------------------------------ a process


def status_of(path):
    pairs = (line.partition(":") for line in (read(path) or "").splitlines())
    return {key: value.strip() for key, _, value in pairs}


def shared_memory_name(path):
    """Without the right to open map_files (in a user namespace) torpor makes anonymous shared memory
    as a memfd: the same thing under another name."""
    alone = (read("/proc/self/uid_map") or "").split() != ["0", "0", "4294967295"]
    stand_ins = {"/memfd:dev-zero (deleted)": "/dev/zero (deleted)",
                 "/memfd:anon_hugepage (deleted)": "/anon_hugepage (deleted)"}
    return stand_ins.get(path, path) if alone else path


def merged_maps(pid):
    """Lines of maps. Neighbours of one kind count as one: the kernel may or may not merge them."""
    areas = []
    for line in (read(f"/proc/{pid}/maps") or "").splitlines():
        words = line.split(maxsplit=5)
        start, end = (int(n, 16) for n in words[0].split("-"))
        offset, path = int(words[2], 16), words[5] if len(words) > 5 else ""
        path = shared_memory_name(path)
        backed = words[4] != "0"
        # A file without a name may have become another file with the same content.
        where = words[3:5] if backed and not path.endswith("(deleted)") else ["-", "-"]
        last = areas[-1] if areas else None
        if last and last[1] == start and last[2] == words[1] and last[4:] == [where, path] and (
                not backed or last[3] + start - last[0] == offset):
            last[1] = end
        else:
            areas.append([start, end, words[1], offset, where, path])
    return [f"{a[0]:x}-{a[1]:x} {a[2]} {a[3]:x} {' '.join(a[4])} {a[5]}" for a in areas]


class Descriptors:
    """Pipes and the like get numbers in the order of their appearance: inodes aren't kept."""

    def __init__(self):
        self.names = {}

    def name(self, target):
        match = re.fullmatch(r"(pipe|socket):\[(\d+)\]", target or "")
        if not match:
            return target
        number = self.names.setdefault(target, len(self.names) + 1)
        return f"{match.group(1)} #{number}"

    def of(self, pid):
        table = {}
        for fd in numbers(f"/proc/{pid}/fd"):
            info = status_of(f"/proc/{pid}/fdinfo/{fd}")
            where = link(f"/proc/{pid}/fd/{fd}")
            pos = "-" if where and where.endswith("/program.log") else info.get("pos")
            flags = int(info.get("flags") or "0", 8)
            if where and where.endswith(" (deleted)"):
                flags &= ~os.O_NOFOLLOW  # is about the name, and there is none to open it by
            table[fd] = f"{self.name(where)} at {pos} flags {flags:o}"
        return table


def threads_of(pid):
    found = {}
    for tid in numbers(f"/proc/{pid}/task"):
        status = status_of(f"/proc/{pid}/task/{tid}/status")
        found[tid] = {name: status.get(name) for name in (
            "Name", *STATUS["creds"], "SigPnd", "SigBlk")}
    return found


def timers_of(pid):
    """id -> what it is; the order in which the kernel lists them means nothing."""
    found = {}
    for line in (read(f"/proc/{pid}/timers") or "").splitlines():
        key, _, value = line.partition(":")
        if key == "ID":
            number = int(value)
            found[number] = []
        else:
            found[number].append(line)
    return found


def process(pid, root, descriptors):
    stat, status = stat_fields(pid), status_of(f"/proc/{pid}/status")
    if not stat:
        return {}
    state = stat[0] if stat[0] in "ZTt" else "-"
    found = {
        "tree": ("-" if pid == root else stat[1], *stat[2:4], state),
        "comm": status.get("Name"),
    }
    if state == "Z":  # nothing else of it is of use to anybody
        found["exit"] = stat[49]
        return found
    for group, names in STATUS.items():
        found[group] = {name: status.get(name) for name in names}
    found.update({
        "limits": (read(f"/proc/{pid}/limits") or "").splitlines(),
        "oom": read(f"/proc/{pid}/oom_score_adj"),
        "loginuid": read(f"/proc/{pid}/loginuid"),
        # nice, real-time priority, policy
        "sched": (stat[16], stat[37], stat[38]),
        "threads": threads_of(pid),
        "timers": timers_of(pid),
        "cmdline": read(f"/proc/{pid}/cmdline", True),
        "environ": read(f"/proc/{pid}/environ", True),
        "auxv": read(f"/proc/{pid}/auxv", True),
        "personality": read(f"/proc/{pid}/personality"),
        "exe": link(f"/proc/{pid}/exe"),
        "cwd": link(f"/proc/{pid}/cwd"),
        "root": link(f"/proc/{pid}/root"),
        "maps": merged_maps(pid),
        "fds": descriptors.of(pid),
    })
    return found


def tree(root):
    descriptors = Descriptors()
    return {pid: process(pid, root, descriptors) for pid in sorted(tree_of(root))}


def userfaultfds(pid):
    """The numbers of those in its table."""
    return [fd for fd in numbers(f"/proc/{pid}/fd")
            if "[userfaultfd]" in (link(f"/proc/{pid}/fd/{fd}") or "")]


# ----------------------------------------------------------------- comparison


def short(value):
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "..."


def differing(before, after):
    """What differs in two values of one field, as short as possible."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [f"{key}: {line}" for key in sorted({*before, *after})
                if before.get(key) != after.get(key)
                for line in differing(before.get(key), after.get(key))]
    if isinstance(before, list) and isinstance(after, list):
        return [*(f"lost {short(v)}" for v in before if v not in after),
                *(f"new {short(v)}" for v in after if v not in before)] or ["another order"]
    return [f"{short(before)} became {short(after)}"]


def compare(before, after, ignored=()):
    """One line for each difference."""
    if "all" in ignored:
        return []
    lines = []
    if "tree" not in ignored:
        lines += [f"pid {pid} is missing" for pid in before if pid not in after]
        lines += [f"pid {pid} is new" for pid in after if pid not in before]
    for pid in before:
        for field in before[pid] if pid in after else ():
            one, other = before[pid][field], after[pid].get(field)
            if field not in ignored and one != other:
                lines += [f"pid {pid} {field}: {d}" for d in differing(one, other)]
    return lines


# ---------------------------------------------------------------- the machine


def named_after_us(place, depth):
    found = []
    try:
        entries = list(os.scandir(place))
    except OSError:
        return found
    for entry in entries:
        if "torpor" in entry.name and not entry.name.startswith("torpor-bench-"):
            found.append(entry.path)
        if depth and entry.is_dir(follow_symlinks=False):
            found += named_after_us(entry.path, depth - 1)
    return found


def machine():
    """Mounts, and what torpor could have made in the usual places."""
    mounts = [" ".join(line.split()[2:]) for line in read("/proc/self/mountinfo").splitlines()]
    # A cache of what the kernel can is meant to stay.
    files = [path for place, depth in (("/run", 0), ("/dev/shm", 0), ("/sys/fs/cgroup", 2))
             for path in named_after_us(place, depth) if not path.startswith("/run/")
             or os.path.isdir(path)]
    return {"mounts": sorted(mounts), "files": sorted(files)}
