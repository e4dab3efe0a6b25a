# SPDX-License-Identifier: Apache-2.0
"""A reader of binary logs by docs/log-format.md alone, to hold torpor's against it; and a writer."""

import ctypes
import struct

HEAD = struct.Struct("<8sIIIIIIQQQII32s40sI52x")
LIVE = struct.Struct("<QQQI36x")
SITE = struct.Struct("<IBBHHH")
RECORD = struct.Struct("<HHHHQII")
OPEN, DONE = 0x6F4C, 0x644C
INT, LONG, DOUBLE, LDOUBLE, STR, ERRNO, TEXT = range(1, 8)
FIXED = {INT: "<i", LONG: "<q", DOUBLE: "<d", ERRNO: "<i"}


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def record_sum(site, words):
    total = site << 16 | len(words)
    for word in words[1:]:
        total = ((total << 7 | total >> 57) + word) & (1 << 64) - 1
    return (total * 0x9E3779B97F4A7C15 & (1 << 64) - 1) >> 48


class Site:
    def __init__(self, line, level, kinds, file, fmt):
        self.line, self.level, self.kinds, self.file, self.fmt = line, level, kinds, file, fmt

    def pack(self):
        return SITE.pack(self.line, self.level, len(self.kinds), len(self.file), len(self.fmt),
                         0) + self.kinds + self.file + self.fmt


class Record:
    def __init__(self, site, ns, pid, tid, args):
        self.site, self.ns, self.pid, self.tid, self.args = site, ns, pid, tid, args

    def pack(self):
        length = (RECORD.size + len(self.args) + 7) // 8
        body = RECORD.pack(DONE, length, self.site, 0, self.ns, self.pid, self.tid) + self.args
        body = body.ljust(length * 8, b"\0")
        checksum = record_sum(self.site, struct.unpack(f"<{length}Q", body))
        return body[:6] + struct.pack("<H", checksum) + body[8:]


class BinaryLog:
    def __init__(self, data):
        (self.magic, self.version, self.order, cmdline, table, sites, self.pid, records,
         self.wall_ns, self.mono_ns, self.level, self.ldouble, self.torpor, self.boot,
         self.crc) = HEAD.unpack_from(data)
        start = HEAD.size + LIVE.size
        self.cmdline = data[start:start + cmdline]
        self.sites, self.records, self.damaged = [], [], 0
        at = start + cmdline
        self.crc_is_right = self.crc == crc32c(data[:HEAD.size - 56] + bytes(56) +
                                               data[start:at + table])
        for _ in range(sites):
            line, level, kinds, file, fmt, _ = SITE.unpack_from(data, at)
            at += SITE.size
            parts = []
            for size in (kinds, file, fmt):
                parts.append(data[at:at + size])
                at += size
            self.sites.append(Site(line, level, *parts))
        at = records
        while at + 8 <= len(data):
            mark, words = struct.unpack_from("<HH", data, at)
            if mark != DONE:
                self.damaged += mark != 0
                at += 8
                continue
            _, _, site, checksum, ns, pid, tid = RECORD.unpack_from(data, at)
            body = data[at:at + words * 8]
            assert record_sum(site, struct.unpack(f"<{words}Q", body)) == checksum
            self.records.append(Record(site, ns, pid, tid, body[RECORD.size:]))
            at += words * 8

    def pack(self):
        table = b"".join(site.pack() for site in self.sites)
        start = HEAD.size + LIVE.size + len(self.cmdline) + len(table)

        def head(crc):
            return HEAD.pack(self.magic, self.version, self.order, len(self.cmdline), len(table),
                             len(self.sites), self.pid, (start + 7) // 8 * 8, self.wall_ns,
                             self.mono_ns, self.level, self.ldouble, self.torpor, self.boot, crc)

        crc = crc32c(head(0) + self.cmdline + table)
        body = head(crc) + LIVE.pack(1 << 62, 0, 0, 1) + self.cmdline + table
        return body.ljust((start + 7) // 8 * 8, b"\0") + b"".join(r.pack() for r in self.records)

    def args(self, record):
        """Numbers and bytes, without what was cut."""
        at, values = 0, []
        for kind in self.sites[record.site].kinds:
            if kind in FIXED:
                values.append(struct.unpack_from(FIXED[kind], record.args, at)[0])
                at += struct.calcsize(FIXED[kind])
            elif kind == LDOUBLE:
                values.append(ctypes.c_longdouble.from_buffer_copy(record.args, at).value)
                at += 16
            else:
                size, = struct.unpack_from("<H", record.args, at)
                at += 2
                if size == 0x7FFF:
                    values.append(None)
                    continue
                values.append(record.args[at:at + (size & 0x7FFF)])
                at += size & 0x7FFF
        return values
