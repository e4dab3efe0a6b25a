#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Chains of images in plain form (--image-compat=criu): as CRIU writes them, record by record; and
chains in CRIU's own manner, made by taking away all that is torpor's, restored by torpor."""

import glob
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
import images  # noqa: E402
from freeze import expect, run  # noqa: E402
from images import PE_LAZY, PE_PARENT, PE_PRESENT, Image, get  # noqa: E402
from paged import Paged, await_no_keeper  # noqa: E402

# What a pre-dump's directory has, with CRIU; torpor's own files have other names than CRIU's.
PRE_DUMP = r"inventory\.img|pagemap-\d+\.img|pages-\d+\.img|stats-dump|parent|dump\.log(\.bin)?"
OWN = r"integrity\.img|sums-.*|.*\.sums|crc-.*|pages-\d+\.crc.*|checksums.*"
# Images that have records alone, without bytes in between.
RECORDS = ("inventory.img", "pagemap-*.img", "core-*.img", "mm-*.img", "pstree.img", "ids-*.img",
           "fs-*.img", "fdinfo-*.img", "files.img")
INVENTORY_PRE_DUMP = {1, 8, 9, 12, 13}  # 13: the run, which CRIU has in that of a dump
INVENTORY_DUMP = {1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14}


def chain(t, name, *words):
    """Two pre-dumps and a dump of a tree, with all that can happen to pages in between."""
    p = Paged(t, name)
    p.drop(200, 5)
    p.bear(0, 50, 2)
    p.pre_dump(*words)
    p.write(10, 20, 3)
    p.drop(100, 10)
    p.pre_dump(*words)
    p.write(25, 10, 4)
    p.write(105, 2, 5)
    p.must_build_on(p.dump(*words), 60)
    await_no_keeper("after the last dump")
    return p


# ------------------------------------------------------- what torpor writes


def numbers(record):
    return {number for number, _, _ in record}


def check_pre_dump(directory, first):
    strange = [name for name in os.listdir(directory)
               if not re.fullmatch(f"{PRE_DUMP}|{OWN}", name)]
    expect(not strange, f"{directory}: {strange}")
    record = images.inventory(directory)
    expect(get(record, 1) == 0, f"{directory}: img_version {get(record, 1)}")
    expect(get(record, 8, 0) > 0, f"{directory}: no dump_uptime")
    expect(get(record, 9) in (1, 2), f"{directory}: pre_dump_mode {get(record, 9)}")
    expect(get(record, 12) == b"", f"{directory}: plugins_entry {get(record, 12)}")
    more = {n for n in numbers(record) - INVENTORY_PRE_DUMP if n < images.OWN}
    expect(not more, f"{directory}: fields {more} in the inventory")
    stats = images.dump_stats(directory)
    written = sum(os.path.getsize(f) for f in glob.glob(directory + "/pages-*.img")) // 4096
    expect(stats["pages_written"] == written, f"{directory}: {stats}, {written} in the files")
    expect(first or stats["pages_skipped_parent"] > 0, f"{directory}: {stats}")


def check_dump(directory):
    record = images.inventory(directory)
    expect(get(record, 1) == 2, f"{directory}: img_version {get(record, 1)}")
    expect(get(record, 8, 0) > 0, f"{directory}: no dump_uptime")
    more = {n for n in numbers(record) - INVENTORY_DUMP if n < images.OWN}
    expect(not more and get(record, 1001) is None, f"{directory}: inventory {record}")


def check_pagemaps(directory, first):
    for name in images.pagemap_names(directory):
        image = Image(os.path.join(directory, name))
        expect(numbers(image.records[0]) == {1}, f"{name}: head {image.records[0]}")
        for record in image.records[1:]:
            plain = (PE_PRESENT, PE_PRESENT | PE_LAZY) + (() if first else (PE_PARENT,))
            expect(numbers(record) - {1001} == {1, 2, 4, 5} and get(record, 2) == 0 and
                   get(record, 4) in plain, f"{directory}: {name}: {record}")


def check_link(directory, first):
    link = os.path.join(directory, "parent")
    if first:
        return expect(not os.path.lexists(link), f"{directory} has a parent")
    return expect(re.fullmatch(r"\.\./\d+/?", os.readlink(link)), f"link to {os.readlink(link)}")


def crit_decodes(directory):
    """Debian's is older than the format, but knows all old fields, and the framing."""
    if not shutil.which("crit"):
        return
    for pattern in RECORDS[:4]:
        for name in glob.glob(os.path.join(directory, pattern)):
            done = subprocess.run(["crit", "decode", "-i", name], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, check=False)
            expect(done.returncode == 0, f"crit decode {name}: {done.stdout[-500:]}")


def plain_form(t):
    p = chain(t, "plain", "--image-compat=criu")
    for level in (1, 2, 3):
        directory = p.images(level)
        check_link(directory, level == 1)
        check_pagemaps(directory, level == 1)
        if level < 3:
            check_pre_dump(directory, level == 1)
        else:
            check_dump(directory)
        expect(images.check_chain(directory)["cow"] == 0, f"{directory}: shared pages")
        crit_decodes(directory)
    # The child is complete by itself, too: nothing says that it is like its parent.
    for page, gen in enumerate(p.child_gens):
        if gen is None:
            continue
        got = images.page(p.images(), f"pagemap-{p.child}.img", 0x300000000000 + page * 4096)
        expect(got[:8] == gen.to_bytes(8, "little"), f"the child's page {page}")
    p.restore()
    p.end()


def unlike(t):
    """The usual form has what only torpor can read, and says so in a way that others refuse."""
    p = chain(t, "usual")
    found = [images.check_chain(p.images(level)) for level in (1, 2, 3)]
    expect(found[0]["cow"] > 150, f"a child's pages aren't shared with its parent's: {found}")
    record = images.inventory(p.images())
    expect(get(record, 1) > 2, f"shared pages in a chain of images of version {get(record, 1)}")
    p.restore()
    p.end()


# --------------------------------------------------- what CRIU would write


def strip(directory, pre_dump):
    """Takes away the fields and files that CRIU doesn't have."""
    for name in os.listdir(directory):
        if re.fullmatch(OWN, name):
            os.unlink(os.path.join(directory, name))
    for pattern in RECORDS:
        for path in glob.glob(os.path.join(directory, pattern)):
            image = Image(path)
            image.records = [[f for f in record if f[0] < images.OWN] for record in image.records]
            if pre_dump and pattern == "inventory.img":
                image.records = [[f for f in record if f[0] != 13] for record in image.records]
            image.write()


def split(path, lazy):
    """Each entry as two, with other flags: nothing says that entries are as long as possible."""
    image = Image(path)
    out = image.records[:1]
    for record in image.records[1:]:
        vaddr, npages, flags = get(record, 1), get(record, 5), get(record, 4)
        if lazy and flags == PE_PRESENT:
            flags |= PE_LAZY
        for first, n in ((0, npages // 2), (npages // 2, npages - npages // 2)):
            if n:
                out.append([[1, 0, vaddr + first * 4096], [2, 0, 0], [4, 0, flags], [5, 0, n]])
    image.records = out
    image.write()


def old_form(path):
    """As before there were flags and 64-bit counts."""
    image = Image(path)
    for i, record in enumerate(image.records[1:], 1):
        image.records[i] = [[1, 0, get(record, 1)], [2, 0, get(record, 5)]]
        if get(record, 4) & PE_PARENT:
            image.records[i].append([3, 0, 1])
    image.write()


def like_criu(t, form):
    p = chain(t, form, "--image-compat=criu")
    for level in (1, 2, 3):
        directory = p.images(level)
        strip(directory, pre_dump=level < 3)
        for name in images.pagemap_names(directory):
            path = os.path.join(directory, name)
            if form == "split":
                split(path, lazy=level == 3)
            elif form == "old":
                old_form(path)
    images.check_chain(p.images())
    p.restore(when=f"from images in {form} form")
    p.end()


def test(t):
    plain_form(t)
    unlike(t)
    for form in ("stripped", "split", "old"):
        like_criu(t, form)


run(test)
