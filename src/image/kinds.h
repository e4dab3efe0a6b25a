/* SPDX-License-Identifier: Apache-2.0 */
/* Inside image/: the table of image kinds, one row each. */
#pragma once

#include "image/image.h"

/* First word of a file: what family it belongs to. The second one is the kind's own magic. */
#define IMG_MAGIC_COMMON  0x54564319u
#define IMG_MAGIC_SERVICE 0x55105940u

/*
 * No valid record comes near (mm of a million mappings: 60 MB). A hostile file can be sparse, so
 * that its size alone doesn't bound what a record makes us allocate.
 */
#define IMG_RECORD_MAX (256u * 1024 * 1024)

enum img_key {
	IMG_KEY_NONE, /* one file of the kind */
	IMG_KEY_DEC,  /* name-%u.img */
	IMG_KEY_HEX,  /* name-%x.img */
};

enum img_family {
	IMG_FAMILY_COMMON,
	IMG_FAMILY_BARE,    /* no family word, in any version: the inventory */
	IMG_FAMILY_SERVICE, /* in the work directory, no suffix .img */
};

struct img_row {
	const char *name;
	enum img_key key;
	uint32_t magic;
	const ProtobufCMessageDescriptor *type;
	enum img_family family;
};

const struct img_row *img_row(enum img_kind kind);
int img_dirfd(const struct img_dir *dir, enum img_kind kind);

/* Creates a file anew (0644); what had its name is unlinked. The descriptor. */
MUST_USE int img_create_file(int dirfd, const char *name, struct err *err);

/* For sums.c: the CRC32C of all bytes so far. A writer without sums has none: 0. */
uint32_t img_writer_crc(const struct img_writer *w);
MUST_USE int img_reader_crc(struct img_reader *r, uint32_t *ret, struct err *err);
