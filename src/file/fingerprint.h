/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dump: what will tell whether a file is still the same one (size, build id or checksum), and with
 * --embed-mapped-files copies of those files that are mapped.
 */
#pragma once

#include "base/map.h"
#include "file/contents.h"
#include "file/kind.h"
#include "image/schema/regfile.pb-c.h"

/* A REG entry of a regular file whose name leads to it. */
struct fingerprint {
	RegFileEntry *e;
	struct content *content;
	struct sum *sum; /* NULL: none is taken */
	struct stat st;
};

/* How a file is used in the tree: marks of its content. */
#define USE_PRIVATE    0x1u  /* mapped privately, or as an executable */
#define USE_SHARED     0x2u  /* mapped shared; the program can't write to it */
#define USE_SHARED_OUT 0x4u  /* mapped shared, and what the program writes is for the file */
#define USE_OUT	       0x8u  /* open for writing */
#define USE_IGNORED    0x10u /* its policy says: neither sum nor copy it */
#define USE_MAPPED     (USE_PRIVATE | USE_SHARED | USE_SHARED_OUT)

struct fingerprints {
	struct contents *contents;
	VEC(struct fingerprint) list;
	VEC(uint8_t) uses; /* by file id, until the contents are known: of mappings */
	struct map real;   /* st_dev: are its files what they say? */
	int maps;	   /* /proc/PID/maps of maps_pid; -EBADF: none */
	pid_t maps_pid;
};

/* Fills in size, build id, and begins to sum if need be. `linked`: the name leads to the file. */
void fingerprint_add(struct files *f, const struct fdesc *d, RegFileEntry *e, bool linked);
/* A mapping (NULL: an executable) that has this file id. */
void fingerprint_use(struct files *f, uint32_t id, const struct vma *v);
/* The checksums, into the entries; the copies, into mapped-file-*.img. Before files.img. */
MUST_USE int fingerprints_finish(struct files *f, struct err *err);
void fingerprints_done(struct files *f);

/* embed.c: gives those files that are mapped a copy in the images. */
MUST_USE int embed_files(struct files *f, struct fingerprints *fp, struct err *err);
