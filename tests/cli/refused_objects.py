#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Sockets, epoll and the like: refused in one line with pid, object and remedy; the program runs."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import alive, expect, read, run, wait_for  # noqa: E402

PROGRAM = r"""
import ctypes, fcntl, os, select, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
def unix_pair():
    return socket.socketpair()
def tcp_listener():
    s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); return s
def tcp_connection():
    s = tcp_listener(); c = socket.create_connection(s.getsockname()); a, _ = s.accept()
    return c, a, s.close()
def udp():
    s = socket.socket(type=socket.SOCK_DGRAM); s.bind(("127.0.0.1", 0)); return s
def netlink():
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
def epoll():
    return select.epoll()
def inotify():
    return libc.inotify_init1(0)
def signalfd():
    return libc.signalfd(-1, (ctypes.c_ulong * 16)(), 0)
def timerfd():
    return libc.timerfd_create(1, 0)
def pidfd():
    return os.pidfd_open(os.getpid())
def file_lock():
    f = open("locked", "w"); fcntl.flock(f, fcntl.LOCK_EX); return f
def posix_lock():
    f = open("locked", "w"); fcntl.lockf(f, fcntl.LOCK_EX); return f
def lease():
    f = open("leased", "w"); f.close(); f = open("leased"); fcntl.fcntl(f, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    return f
def userfaultfd():
    fd = libc.syscall(323, 0); assert fd >= 0; return fd
def io_uring():
    fd = libc.syscall(425, 4, (ctypes.c_char * 120)())
    return fd if fd >= 0 else sys.exit(77)
def bpf_map():
    attr = struct.pack("IIII", 2, 4, 4, 1) + b"\0" * 104
    fd = libc.syscall(321, 0, attr, len(attr))
    return fd if fd >= 0 else sys.exit(77)
def bad_namespace():
    if libc.unshare(0x04000000) != 0:  # UTS
        sys.exit(77)
kept = globals()[sys.argv[1]]()
open("ready", "w").close()
n = 0
while True:
    n += 1
    open("alive", "w").write(str(n))
    time.sleep(0.005)
"""
KINDS = ["unix_pair", "tcp_listener", "tcp_connection", "udp", "netlink", "epoll", "inotify",
         "signalfd", "timerfd", "pidfd", "file_lock", "posix_lock", "lease", "userfaultfd",
         "io_uring", "bpf_map", "bad_namespace"]


def one(t, kind):
    program = t.start(sys.executable, "program.py", kind)
    wait_for(f"the program with {kind}",
             lambda: os.path.exists(t.path("ready")) or not alive(program.pid))
    if not os.path.exists(t.path("ready")):
        return print(f"{kind}: not on this machine")
    images = t.path("images-" + kind)
    os.mkdir(images)
    done = t.torpor.run("dump", "-t", program.pid, "-D", images, "-o", "dump.log")
    expect(done.returncode == 1, f"{kind}: exit status {done.returncode}; it must be refused")
    errors = [line for line in done.stderr.splitlines() if "Error" in line]
    expect(len(errors) == 1, f"{kind}: one line for one error: {done.stderr!r}")
    expect(f"pid {program.pid}" in errors[0], f"{kind}: no pid in {errors[0]!r}")
    expect(kind == "bad_namespace" or "fd " in errors[0] or "lock" in errors[0],
           f"{kind}: no object in {errors[0]!r}")
    expect(";" in errors[0], f"{kind}: no remedy in {errors[0]!r}")
    n = read(t.path("alive"))
    wait_for(f"the program with {kind} to go on", lambda: read(t.path("alive")) not in ("", n))
    expect("TracerPid:\t0" in read(f"/proc/{program.pid}/status"), f"{kind}: it is still traced")
    os.kill(program.pid, 9)
    program.wait_end()
    os.unlink(t.path("ready"))


def test(t):
    t.write("program.py", PROGRAM)
    for kind in KINDS:
        one(t, kind)


run(test)
