#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The binary log: who gets what in each format, what torpor log makes of it, and that nothing that
happens to torpor, to the file or to the disk costs more than it has to."""

import json
import os
import re
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from binlog import BinaryLog, Record, Site  # noqa: E402
from freeze import alive, expect, kill_tree, need, read, run, tree_of, wait_for  # noqa: E402

POINTER = "Debug log in binary, to be read by: torpor log "
LAST = "What was done last:"
LOSSES = 3


def plain(line):
    """Without what differs from run to run."""
    line = re.sub(r"^\(\d+\.\d+\) ", "", line)
    line = re.sub(r"Run id: .*", "Run id", line)
    return re.sub(r"0x[0-9a-f]+|-?\b[0-9a-f]*\d[0-9a-f]*\b", "N", line)


class Logs:
    """Dumps that leave the program running, with a log in a directory of its own."""

    def __init__(self, t):
        self.t, self.work = t, t.path("work")
        os.mkdir(self.work)
        self.images = t.path("images")
        os.mkdir(self.images)
        self.program = t.start("sleep", "1000")
        self.text = os.path.join(self.work, "dump.log")
        self.binary = self.text + ".bin"

    def words(self, *words, pid=None, work=None):
        return ["dump", "-t", pid or self.program.pid, "-D", self.images, "-W", work or self.work,
                "-R", "-o", "dump.log", *words]

    def dump(self, *words, status=0, **where):
        done = self.t.torpor.run(*self.words(*words, **where))
        expect(done.returncode == status,
               f"{words}: exit status {done.returncode}, not {status}: {done.stderr}")
        return done

    def show(self, *words, status=0, path=None):
        done = self.t.torpor.run("log", *words, path or self.binary)
        expect(done.returncode == status,
               f"torpor log {words}: exit status {done.returncode}, not {status}: {done.stderr}")
        return done.stdout.splitlines()

    def bytes(self):
        with open(self.binary, "rb") as f:
            return f.read()

    def script(self, text):
        return self.t.write("script", f"#!/bin/sh\n{text}\n", 0o755)

    def goes_on(self, when):
        expect(alive(self.program.pid), f"{when}: the program is dead")
        wait_for(f"{when}: untraced", lambda: "TracerPid:\t0" in read(
            f"/proc/{self.program.pid}/status"))
        expect("T" not in read(f"/proc/{self.program.pid}/stat").rpartition(")")[2].split()[0],
               f"{when}: the program stays stopped")


def formats(logs):
    logs.dump("-v4", "--log-format=text")
    text = read(logs.text).splitlines()
    expect(not os.path.exists(logs.binary), "--log-format=text wrote a binary log")

    logs.dump("-v4")
    shown, auto = logs.show(), read(logs.text).splitlines()
    expect(os.stat(logs.binary).st_mode & 0o777 == 0o600, "the binary log's mode isn't 0600")
    expect(sorted(map(plain, shown)) == sorted(map(plain, text)),
           "the binary log and the text log aren't the same: "
           f"{set(map(plain, shown)) ^ set(map(plain, text))}")
    expect(re.match(r"\(\d\d\.\d{6}\) " + POINTER + re.escape(logs.binary) + "$", auto[0]),
           f"the first line doesn't lead to the binary log: {auto[0]}")
    places = [json.loads(line) for line in logs.show("--json")]
    kept = [line for line, place in zip(shown, places) if place["level"] != "debug"]
    expect(auto[1:] == kept, f"the text has {auto[1:]}, not {kept}")
    expect(len(kept) < len(shown) / 3, "there are hardly any debug lines")

    logs.dump("-v4", "--log-format=binary")
    binary = read(logs.text).splitlines()
    expect(len(binary) == 2 and POINTER in binary[0] and "finished successfully" in binary[1],
           f"binary: the text has {binary}")
    expect(sorted(map(plain, logs.show())) == sorted(map(plain, text)), "binary: other lines")
    logs.dump("-v3", "--log-format=binary")
    expect(sorted(map(plain, logs.show())) == sorted(map(plain, kept)), "binary at -v3: other lines")

    logs.dump("-v2")
    expect(not os.path.exists(logs.binary), "an old binary log stays beside a new text")
    done = logs.t.torpor.run("dump", "-t", 1, "-v4", "--log-format=binary")
    expect(done.returncode == 1 and "--log-file" in done.stderr, f"binary to stderr: {done.stderr}")
    done = logs.t.torpor.run("dump", "-t", 1, "-v4", "--log-format=binary", "-o", "-")
    expect(done.returncode == 1 and "--log-file" in done.stderr, f"binary to stdout: {done.stderr}")
    done = logs.t.torpor.run("dump", "-t", 1, "--log-format=fast")
    expect(done.returncode == 1 and "'fast'" in done.stderr, f"what format? {done.stderr}")


def foreign_files(logs):
    """What isn't a log of ours stays as it is, and the log goes elsewhere."""
    with open(logs.binary, "w") as f:
        f.write("precious")
    logs.dump("-v2")
    logs.dump("-v4")
    expect(read(logs.binary) == "precious", "a file that was no log was overwritten")
    text = read(logs.text)
    expect("Warn " in text and "munmap" in text and POINTER not in text, f"the text is {text[:500]}")
    os.unlink(logs.binary)
    logs.dump("-v4", "-o", "/dev/null")
    expect(not os.path.exists("/dev/null.bin"), "/dev/null got a binary log")


def filters(logs):
    logs.dump("-v4")
    everything = [json.loads(line) for line in logs.show("--json")]
    for entry in everything:
        expect(set(entry) - {"cut"} == {"time", "wall", "level", "pid", "tid", "file", "line",
                                        "message", "format", "args"}, f"members of {entry}")
        expect(entry["format"].count("%") - 2 * entry["format"].count("%%") <= len(entry["args"]),
               f"arguments of {entry}")
    messages = [entry["message"] for entry in everything]

    def of(*words, status=0):
        return [json.loads(line)["message"] for line in logs.show("--json", *words, status=status)]

    def where(condition):
        return [entry["message"] for entry in everything if condition(entry)]

    expect(of() == messages, "the same again")
    expect(of("--level=info") == where(lambda e: e["level"] != "debug") != messages, "--level=info")
    expect(of("--level=3") == of("--level", "info"), "--level=3")
    expect(of("--file=remote/*") == where(lambda e: e["file"].startswith("remote/")) != [], "--file")
    expect(of("--file=scratch.c") == where(lambda e: e["file"] == "remote/scratch.c"), "--file")
    expect(of("--grep=munmap(") == where(lambda e: "munmap(" in e["message"]) != [], "--grep")
    pid = everything[0]["pid"]
    expect(of("--pid", pid) == where(lambda e: pid in (e["pid"], e["tid"])), "--pid")
    expect(of("--pid", pid + 1000000 - 1) == [], "--pid of nobody")
    middle = everything[len(everything) // 2]["time"]
    early, late = of("--until", f"{middle:.9f}"), of("--since", f"{middle:.9f}")
    expect(early == where(lambda e: e["time"] <= middle) and
           late == where(lambda e: e["time"] >= middle), "--since, --until")
    expect(of("--since=@1") == messages and of("--until=@1") == [], "wall clock time")
    expect(of("--last=3") == messages[-3:] and of("--last=100000") == messages, "--last")
    expect(of("--last=2", "--level=info") == of("--level=info")[-2:], "--last of some")
    long = logs.show("--long")
    expect(all(f"[{e['pid']}" in line and f"] {e['level']} {e['file']}:{e['line']}: {e['message']}"
               in line for e, line in zip(everything, long)), f"--long: {long[0]}")
    about = "\n".join(logs.show("--about"))
    expect(f"-t {logs.program.pid}" in about and f"pid: {pid}\n" in about, f"--about: {about}")
    for words in (["--level=loud"], ["--since=soon"], ["--last=0"], ["--nonsense"],
                  ["--follow", "--last=3"]):
        logs.show(*words, status=2)
    expect(logs.show(path="-", status=1) == [], "standard input is empty")
    with open(logs.binary, "rb") as f:
        piped = subprocess.run([logs.t.torpor.binary, "log", "-"], input=f.read(), check=True,
                               stdout=subprocess.PIPE).stdout.decode().splitlines()
    expect(piped == logs.show(), "through a pipe it says something else")


def by_the_document(logs):
    """An independent reader finds the same; and a log of a build with other call sites is read."""
    logs.dump("-v4")
    shown = logs.show()
    entries = [json.loads(line) for line in logs.show("--json")]
    log = BinaryLog(logs.bytes())
    expect(log.crc_is_right, "the head's checksum")
    expect(len(log.records) == len(entries) and not log.damaged, "another number of records")
    for record, entry in zip(log.records, entries):
        site = log.sites[record.site]
        args = [a.decode() if isinstance(a, bytes) else a for a in log.args(record)]
        expect((site.fmt.decode(), site.file.decode(), site.line, record.pid, record.tid) ==
               (entry["format"], entry["file"], entry["line"], entry["pid"], entry["tid"]),
               f"{entry}: it was {site.fmt}")
        same = [a == b or isinstance(a, int) and (a - int(b)) % 2**32 == 0
                for a, b in zip(args, entry["args"])]
        expect(all(same) and len(args) == len(entry["args"]), f"{entry}: the arguments are {args}")

    log.sites = [Site(7, 4, b"", b"other/file.c", b"never seen") for _ in range(3)] + log.sites[::-1]
    log.records = [Record(len(log.sites) - 1 - r.site, r.ns, r.pid, r.tid, r.args)
                   for r in log.records]
    other = logs.t.path("other.bin")
    with open(other, "wb") as f:
        f.write(log.pack())
    expect(logs.show(path=other) == shown, "the log of another build says something else")
    for name, value in (("version", 2), ("order", 0x04030201), ("magic", b"TORPLOX\n")):
        right = getattr(log, name)
        setattr(log, name, value)
        with open(other, "wb") as f:
            f.write(log.pack())
        logs.show(path=other, status=1)
        setattr(log, name, right)


def damage(logs):
    logs.dump("-v4")
    shown, data = logs.show(), bytearray(logs.bytes())
    broken = logs.t.path("broken.bin")

    def after(change):
        changed = bytearray(data)
        change(changed)
        with open(broken, "wb") as f:
            f.write(changed)
        done = logs.t.torpor.run("log", broken)
        expect(done.returncode == LOSSES and "bytes are damaged" in done.stderr,
               f"exit status {done.returncode}: {done.stderr}")
        return done.stdout.splitlines()

    def cut(changed):
        del changed[-100:]

    def flip(changed):
        changed[-len(changed) // 4] ^= 0x10

    def overwrite(changed):
        changed[-3000:-1000] = b"\xa5" * 2000

    expect(after(cut) == shown[:len(after(cut))] and len(after(cut)) >= len(shown) - 5, "cut")
    expect(len(after(flip)) >= len(shown) - 1, "a flipped bit")
    lines = after(overwrite)
    expect(set(lines) < set(shown) and lines[-1] == shown[-1], "overwritten")

    os.unlink(logs.binary)
    done = logs.t.torpor.run("log", logs.text)
    expect(done.returncode == 1 and "not a binary log" in done.stderr, f"a text: {done.stderr}")
    logs.dump("-v4")
    expect(logs.show(path=logs.text) == logs.show(), "the text doesn't lead to the binary log")


def killed(logs):
    """All that torpor did until then is there, and nobody is held up by its death."""
    script = logs.script('[ "$CRTOOLS_SCRIPT_ACTION" = post-dump ] && kill -9 $PPID; exit 0')
    logs.dump("-v4", "--action-script", script, status=-signal.SIGKILL)
    logs.goes_on("killed")
    lines = logs.show()
    expect("Running post-dump scripts" in lines[-1], f"the last line is {lines[-1]}")
    expect(logs.show("--follow") == lines, "--follow of a dead one's log")


def crashed(logs):
    for name in ("SEGV", "ABRT"):
        number = getattr(signal, "SIG" + name)
        script = logs.script(f'[ "$CRTOOLS_SCRIPT_ACTION" = post-dump ] && kill -{name} $PPID; exit 0')
        done = logs.dump("-v4", "--action-script", script, status=-number)
        logs.goes_on(name)
        for what, text in (("stderr", done.stderr), ("the text", read(logs.text))):
            lines = text.splitlines()
            errors = [line for line in lines if "Error" in line]
            expect(len(errors) == 1 and f"signal {number} ({name})" in errors[0],
                   f"{name}: {what} has {errors}")
            last = lines[lines.index(LAST) + 1:lines.index(errors[0])]
            expect(len(last) == 10 and "Running post-dump scripts" in last[-1],
                   f"{name}: {what} ends with {last}")
        expect(f"signal {number} ({name})" in logs.show()[-1], f"{name}: not in the binary log")
    script = logs.script('[ "$CRTOOLS_SCRIPT_ACTION" = post-dump ] && kill -SEGV $PPID; exit 0')
    done = logs.dump("--action-script", script, status=-signal.SIGSEGV)
    logs.goes_on("without a binary log")
    expect(done.stderr.startswith("Error (") and done.stderr.count("\n") == 1,
           f"without a binary log: {done.stderr}")


def failed(logs):
    """A restore over the running program."""
    words = ["restore", "-D", logs.images, "-W", logs.work, "-o", "dump.log"]
    done = logs.t.torpor.run(*words, "-v4")
    expect(done.returncode == 1, "restored over a running program")
    for what, text in (("stderr", done.stderr), ("the text", read(logs.text))):
        lines = text.splitlines()
        errors = [i for i, line in enumerate(lines) if "Error" in line]
        expect(len(errors) == 1, f"{what}: one line for one error: {lines}")
        last = lines[lines.index(LAST) + 1:errors[0]]
        expect(0 < len(last) <= 10 and last == logs.show("--level=debug")[:-2][-len(last):],
               f"{what}: {last} isn't what was done last")
    done = logs.t.torpor.run(*words)
    expect(LAST not in done.stderr + read(logs.text), "last lines without a binary log")


def follow(logs):
    go = logs.t.path("go")
    script = logs.script(f'while [ "$CRTOOLS_SCRIPT_ACTION" = post-dump -a ! -e {go} ]; do '
                         'sleep 0.05; done; exit 0')
    dump = subprocess.Popen([logs.t.torpor.binary,
                             *map(str, logs.words("-v4", "--action-script", script))])
    wait_for("the log", lambda: os.path.exists(logs.binary) and
             any("post-dump" in line for line in read(logs.text).splitlines()))
    out = logs.t.path("followed")
    with open(out, "w") as f:
        reader = subprocess.Popen([logs.t.torpor.binary, "log", "--follow", logs.binary], stdout=f)
    wait_for("what was written so far", lambda: "Running post-dump scripts" in read(out))
    expect(reader.poll() is None, "--follow ended before the writer did")
    logs.t.write("go", "")
    expect(dump.wait(30) == 0 and reader.wait(30) == 0, "--follow didn't end well")
    expect(read(out).splitlines() == logs.show(), "--follow showed something else")
    os.unlink(go)


def full_disk(logs):
    need("mount")
    work = logs.t.path("small")
    os.mkdir(work)
    crowd = logs.t.start("sh", "-c", "for i in $(seq 150); do sleep 1000 & done; wait")
    wait_for("a crowd", lambda: len(crowd.pids()) == 151)
    try:
        # Not even enough to begin with; enough for a part; the text goes on where it can.
        for size, binary in (("64k", False), ("1200k", True)):
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", work], check=True)
            try:
                logs.dump("-v4", pid=crowd.pid, work=work)
                text = read(os.path.join(work, "dump.log"))
                path = os.path.join(work, "dump.log.bin")
                expect(os.path.exists(path) == binary, f"{size}: is there a binary log?")
                expect(binary or "Warn " in text and "No space left" in text, f"{size}: {text[:500]}")
                if binary:
                    expect("finished successfully" in text, f"{size}: {text[-500:]}")
                    done = logs.t.torpor.run("log", path)
                    expect(done.returncode == LOSSES and "no space for" in done.stderr,
                           f"exit status {done.returncode}: {done.stderr}")
                    expect("Run id" in done.stdout.splitlines()[0], "the beginning isn't there")
            finally:
                subprocess.run(["umount", work], check=True)
    finally:
        kill_tree(crowd.pid)
        crowd.pid = 0


def nobody_keeps_it(logs):
    """Neither restored programs nor keepers have the log, its mapping, or our handlers."""
    program = logs.t.start("sleep", "1000")
    before = [line for line in read(f"/proc/{program.pid}/status").splitlines()
              if line.startswith("Sig")]
    program.freeze("--track-mem")
    program.thaw("--track-mem")
    pids = tree_of(os.getpid())[1:]
    expect(any(read(f"/proc/{pid}/comm").startswith("torpor") for pid in pids), "there is no keeper")
    for pid in pids:
        expect("log.bin" not in read(f"/proc/{pid}/maps"), f"pid {pid} has the log mapped")
        files = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        expect(not any("log.bin" in name for name in files), f"pid {pid} has the log open")
    after = [line for line in read(f"/proc/{program.pid}/status").splitlines()
             if line.startswith("Sig")]
    expect(before[1:] == after[1:], f"signals were {before}, are {after}")


def test(t):
    logs = Logs(t)
    for part in (formats, foreign_files, filters, by_the_document, damage, killed, crashed, failed,
                 follow, full_disk, nobody_keeps_it):
        part(logs)


run(test)
