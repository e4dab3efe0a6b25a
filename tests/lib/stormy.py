# SPDX-License-Identifier: Apache-2.0
"""The storm (storm.h) as a target of Python tests: it checks itself, and counts its steps in a file."""

import mmap
import os
import struct

import snapshot
from freeze import Failure, Skip, alive, expect, read, reap, tree_of, wait_for

SLOTS = 1024


class Storm:
    def __init__(self, t, program="memory-storm_threads"):
        build = os.path.dirname(t.torpor.binary)
        path = os.path.join(build, "tests", "behaviour", program)
        if not os.access(path, os.X_OK):
            raise Skip(f"no {program} beside the binary")
        self.t, self.dir = t, t.path("storm")
        os.makedirs(self.dir)
        self.go = t.path("go")
        env = {"PATH": "/usr/bin:/bin", "BEHAVE_READY": t.path("ready"), "BEHAVE_GO": self.go,
               "BEHAVE_MODE": "plain"}
        self.program = t.start(path, cwd=self.dir, env=env)
        wait_for("the storm", lambda: os.path.exists(t.path("ready")))
        with open(os.path.join(self.dir, "progress"), "r+b") as f:
            self.map = mmap.mmap(f.fileno(), SLOTS * 8)

    @property
    def pid(self):
        return self.program.pid

    def steps(self):
        """Of its first thread."""
        return struct.unpack_from("<Q", self.map)[0]

    def check(self, when):
        """It goes on, nobody traces it, it has nothing foreign, and has no complaints."""
        begin = self.steps()
        try:
            wait_for(f"the storm to go on, {when}",
                     lambda: self.steps() > begin + 2 or not alive(self.pid), limit=60)
        except Failure as failure:
            raise Failure(f"{failure}\n{self.states()}") from None
        self.complaints(when)
        expect(alive(self.pid), f"{when}: it is gone")
        for pid in tree_of(self.pid):
            tracer = snapshot.status_of(f"/proc/{pid}/status").get("TracerPid", "0")
            expect(tracer == "0", f"{when}: pid {pid} is traced by {tracer}")
            # One that is just being forked has none, either.
            expect(not snapshot.userfaultfds(pid), f"{when}: pid {pid} has a userfaultfd")

    def states(self):
        """What the kernel says of each thread that doesn't go on."""
        lines = []
        for pid in tree_of(self.pid):
            for tid in sorted(os.listdir(f"/proc/{pid}/task")) if alive(pid) else []:
                where = f"/proc/{pid}/task/{tid}"
                state = snapshot.status_of(f"{where}/status")
                lines.append(f"{pid}/{tid}: {state.get('State')} tracer {state.get('TracerPid')} "
                             f"{read(where + '/wchan')} {read(where + '/syscall').strip()}")
        return "\n".join(lines)

    def complaints(self, when):
        said = [line for line in read(self.program.output).splitlines()
                if line.startswith("FAIL")]
        expect(not said, "\n".join([f"{when}:", *said[:20]]))

    def await_gone(self, pids):
        left = reap(pids)
        expect(not left, f"still there: {left}")
        self.reap_rest()

    @staticmethod
    def reap_rest():
        """What it forked while it was looked at."""
        for pid in tree_of(os.getpid())[1:]:
            if not alive(pid):
                reap([pid], limit=1)

    def finish(self):
        open(self.go, "w").close()
        self.program.must_end()
        self.complaints("at its end")
        expect("PASS" in read(self.program.output), "it ended without its PASS")
