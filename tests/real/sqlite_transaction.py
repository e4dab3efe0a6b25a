#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""sqlite3 in a transaction, fed by a shell loop: all rows are there once, the file is sound."""

import os
import sqlite3
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from freeze import expect, need, read, run, wait_for  # noqa: E402

# A small page cache makes the transaction spill into the database and its journal while it is open.
# The dot-file VFS locks by making a directory: POSIX locks belong to --file-locks.
PROGRAM = r"""
{
	echo "PRAGMA cache_size = 20; CREATE TABLE t (n INTEGER PRIMARY KEY, square INTEGER, text TEXT);"
	echo "BEGIN;"
	n=0
	while [ ! -e stop ]; do
		n=$((n + 1))
		echo "INSERT INTO t VALUES ($n, $((n * n)), printf('%0200d', $n));"
		[ $((n % 200)) != 0 ] || echo $n >>progress
	done
	echo "INSERT INTO t VALUES (0, $n, 'last');"
	echo "COMMIT;"
	echo "SELECT 'correct', count(*) - 1 = $n FROM t;"
} | sqlite3 "file:data.db?vfs=unix-dotfile"
"""


def test(t):
    need("sqlite3")
    t.write("program.sh", PROGRAM)
    program = t.start(need("bash"), "program.sh")
    wait_for("its first rows", lambda: read(t.path("progress")))
    program.cycle()
    n = len(read(t.path("progress")))
    wait_for("progress after the last wake", lambda: len(read(t.path("progress"))) > n)
    t.write("stop", "")
    program.must_end()
    expect("correct|1" in read(program.output), "sqlite3 said: " + read(program.output)[-500:])
    with sqlite3.connect(t.path("data.db")) as db:
        expect(db.execute("PRAGMA integrity_check").fetchone()[0] == "ok", "the file is damaged")
        (last,) = db.execute("SELECT square FROM t WHERE n = 0").fetchone()
        rows = db.execute("SELECT n, square, text FROM t WHERE n > 0 ORDER BY n").fetchall()
    expect(len(rows) == last, f"{len(rows)} rows instead of {last}")
    for i, row in enumerate(rows, 1):
        expect(row == (i, i * i, f"{i:0200d}"), f"row {i} is {row}")


run(test)
