# SPDX-License-Identifier: Apache-2.0
"""Image files, read and written here by the format's facts alone: none of torpor's code is used.

A record is a list of fields [number, wire type, value]; value is an int, or bytes. What a chain of
images says about a page is followed here, too, so that it can be compared with what torpor makes
of it.
"""

import bisect
import functools
import os
import struct

COMMON, SERVICE = 0x54564319, 0x55105940
INVENTORY, PAGEMAP, STATS = 0x58313116, 0x56084025, 0x57093306
PE_PARENT, PE_LAZY, PE_PRESENT, PE_COW = 1, 2, 4, 8
PAGE = 4096
# The first field number of torpor's own.
OWN = 1000


class Broken(Exception):
    pass


# ------------------------------------------------------------------ wire format


def get_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def put_varint(value):
    out = bytearray()
    while value > 0x7f:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def decode(data):
    at, fields = 0, []
    while at < len(data):
        key, at = get_varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = get_varint(data, at)
        else:
            if wire == 2:
                length, at = get_varint(data, at)
            else:
                length = {1: 8, 5: 4}[wire]
            value, at = bytes(data[at:at + length]), at + length
        fields.append([number, wire, value])
    return fields


def encode(fields):
    out = b""
    for number, wire, value in fields:
        out += put_varint(number << 3 | wire)
        if wire == 0:
            out += put_varint(value)
        else:
            out += (put_varint(len(value)) if wire == 2 else b"") + value
    return out


def get(fields, number, default=None):
    """The last one counts."""
    return next((value for n, _, value in reversed(fields) if n == number), default)


# ----------------------------------------------------------------------- files


class Image:
    """A file of records without bytes between them."""

    def __init__(self, path):
        with open(path, "rb") as f:
            data = f.read()
        self.path, self.words = path, [struct.unpack_from("<I", data)[0]]
        if self.words[0] in (COMMON, SERVICE):
            self.words.append(struct.unpack_from("<I", data, 4)[0])
        at, self.records = 4 * len(self.words), []
        while at < len(data):
            if at + 4 > len(data):
                raise Broken(f"{path}: ends within a size")
            size = struct.unpack_from("<I", data, at)[0]
            if at + 4 + size > len(data):
                raise Broken(f"{path}: ends within a record")
            self.records.append(decode(data[at + 4:at + 4 + size]))
            at += 4 + size

    @property
    def magic(self):
        return self.words[-1]

    def write(self):
        out = b"".join(struct.pack("<I", word) for word in self.words)
        for record in self.records:
            payload = encode(record)
            out += struct.pack("<I", len(payload)) + payload
        with open(self.path, "wb") as f:
            f.write(out)


def inventory(directory):
    return Image(os.path.join(directory, "inventory.img")).records[0]


def run_id(directory):
    return (get(inventory(directory), 13) or b"").decode()


def dump_stats(directory):
    """name -> number, of stats-dump."""
    names = {2: "frozen_time", 5: "pages_scanned", 6: "pages_skipped_parent", 7: "pages_written",
             9: "pages_lazy", 12: "shpages_scanned", 13: "shpages_skipped_parent",
             14: "shpages_written"}
    record = Image(os.path.join(directory, "stats-dump")).records[0]
    fields = decode(get(record, 1, b""))
    return {name: get(fields, number, 0) for number, name in names.items()}


# ---------------------------------------------------------------------- chains


class Run:
    """An entry of a pagemap: [start, end), with its place in the pages file if it has one."""

    def __init__(self, record, off):
        self.record = record
        self.start = get(record, 1)
        self.npages = get(record, 5, None) or get(record, 2)
        self.flags = get(record, 4)
        if self.flags is None:
            self.flags = PE_PARENT if get(record, 3) else PE_PRESENT
        self.end = self.start + self.npages * PAGE
        self.owner = get(record, OWN)
        self.off = off if self.flags & PE_PRESENT else None


class Pagemap:
    def __init__(self, directory, name):
        image = Image(os.path.join(directory, name))
        if image.words != [COMMON, PAGEMAP]:
            raise Broken(f"{name}: magic {image.words}")
        self.directory, self.name, self.runs, off, last = directory, name, [], 0, 0
        self.pages = os.path.join(directory, f"pages-{get(image.records[0], 1)}.img")
        for record in image.records[1:]:
            run = Run(record, off)
            if run.start < last or run.npages < 1:
                raise Broken(f"{name}: {run.start:x} after {last:x}, {run.npages} pages")
            last = run.end
            off += run.npages * PAGE if run.off is not None else 0
            self.runs.append(run)
        size = os.path.getsize(self.pages) if os.path.exists(self.pages) else 0
        if size != off:
            raise Broken(f"{name}: {off} bytes of pages, the file has {size}")

    def overlapping(self, start, end):
        """Its entries that have something of [start, end)."""
        first = bisect.bisect_right(self.runs, start, key=lambda run: run.end)
        for run in self.runs[first:]:
            if run.start >= end:
                return
            yield run

    def count(self, flag):
        return sum(run.npages for run in self.runs if run.flags & flag)

    def read(self, off, length):
        with open(self.pages, "rb") as f:
            f.seek(off)
            return f.read(length)


def pagemap_names(directory):
    return sorted(name for name in os.listdir(directory)
                  if name.startswith("pagemap-") and name.endswith(".img"))


def parent_of(directory):
    link = os.path.join(directory, "parent")
    return os.path.join(directory, os.readlink(link)) if os.path.islink(link) else None


@functools.lru_cache(maxsize=None)
def load(directory, name):
    """A pagemap that is asked for again and again."""
    try:
        return Pagemap(directory, name)
    except FileNotFoundError as missing:
        raise Broken(str(missing)) from None


def resolve(directory, name, start, end):
    """Where the bytes of [start, end) are: (pagemap, start, offset, length); all of it is there."""
    pagemap = load(os.path.realpath(directory), name)
    at = start
    for run in pagemap.overlapping(start, end):
        if run.start > at:
            break
        upto = min(run.end, end)
        yield from resolve_run(pagemap, run, at, upto)
        at = upto
    if at < end:
        raise Broken(f"{os.path.join(directory, name)} doesn't have {at:x}")


def resolve_run(pagemap, run, start, end):
    if run.off is not None:
        yield pagemap, start, run.off + start - run.start, end - start
    elif run.flags & PE_COW:
        owner = f"pagemap-{run.owner}.img"
        for other in load(pagemap.directory, owner).overlapping(start, end):
            if other.flags & PE_COW:
                raise Broken(f"{pagemap.name}: {start:x} is {owner}'s, which has it from another")
        yield from resolve(pagemap.directory, owner, start, end)
    elif run.flags & PE_PARENT:
        parent = parent_of(pagemap.directory)
        if parent is None:
            raise Broken(f"{pagemap.directory}: pages are in a parent, but there is no link")
        yield from resolve(parent, pagemap.name, start, end)
    else:
        raise Broken(f"{pagemap.name}: {start:x} has flags {run.flags:x}")


def check_chain(directory):
    """Each page of each pagemap has its bytes somewhere. Returns how many pages have which flag."""
    counts = {"present": 0, "parent": 0, "cow": 0}
    load.cache_clear()
    directory = os.path.realpath(directory)
    for name in pagemap_names(directory):
        pagemap = load(directory, name)
        for run in pagemap.runs:
            for _ in resolve_run(pagemap, run, run.start, run.end):
                pass
        counts["present"] += pagemap.count(PE_PRESENT)
        counts["parent"] += pagemap.count(PE_PARENT)
        counts["cow"] += pagemap.count(PE_COW)
    return counts


def page(directory, name, address):
    """The bytes of one page, wherever in the chain they are."""
    load.cache_clear()
    for pagemap, _, off, length in resolve(directory, name, address, address + PAGE):
        return pagemap.read(off, length)
    raise Broken(f"{name}: {address:x} is nowhere")
