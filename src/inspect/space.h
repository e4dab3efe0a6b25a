/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside inspect/: the address space of a process as its images have it. Areas are the mappings;
 * each is cut into extents, which are as long as one source lasts: pages of an images directory
 * (wherever in the chain, whoever's: image/store.h), a file of this machine, or nothing.
 *
 * Nothing is copied or allocated per page: what is kept is the size of mm-PID.img and of pagemaps.
 */
#pragma once

#include "image/schema/regfile.pb-c.h"
#include "image/schema/remap-file-path.pb-c.h"
#include "image/vma_status.h"
#include "inspect/checkpoint.h"

#define SPACE_PAGE UINT64_C(4096)

/* What is behind the pages that a process doesn't have for itself. */
enum backing {
	BACKING_ZERO,	/* anonymous memory */
	BACKING_OBJECT, /* shared memory, a memfd: pages of its own in the images */
	BACKING_FILE,	/* a file, which isn't in the images */
	BACKING_NONE,	/* the kernel's: can't be known */
};

struct area {
	uint64_t start, end;
	uint64_t pgoff; /* bytes */
	uint32_t prot, flags, status;
	enum backing backing;
	bool own_pages;		 /* it has pages in pagemap-PID.img */
	const RegFileEntry *reg; /* BACKING_FILE */
	uint32_t file_id;	 /* of reg */
	/* BACKING_OBJECT */
	uint64_t shmid, object_size;
	const struct page_map *object; /* NULL: it has no pages */
	const char *object_name;       /* a memfd's; "" if it has none */
};

struct file_source;
struct space {
	struct torpor_checkpoint *cp;
	uint32_t pid;
	const MmEntry *mm;
	struct arena *a;
	struct area *areas; /* ascending, no overlap */
	size_t n;
	const struct page_map *pages;  /* of pagemap-PID.img */
	VEC(struct file_source) files; /* space_file.c */
	struct map file_by_id;	       /* to places in `files` */
	/* remap-fpath.img: files that had no name any more, or another one. */
	VEC(const RemapFilePathEntry *) remaps;
	struct map remap_by_id; /* ids of files to places in `remaps` */
	bool remaps_loaded;
};

/*
 * The areas, checked: whole pages, ascending, inside what an address space can be. Refused: a dead
 * process, images of a pre-dump. The last one that was opened is kept in `cp`, and owned by it.
 */
MUST_USE int space_open(struct torpor_checkpoint *cp, uint32_t pid, struct space **ret,
			struct err *err);
void space_close(struct space *s); /* accepts NULL */

/* The area that holds addr, or the first one behind it; n if none. */
size_t space_find(const struct space *s, uint64_t addr);
/* "file", "heap", "shared memory" ...: for people. */
const char *space_kind(const struct space *s, const struct area *a);
/* The path of a file, the name of a memfd; NULL if it has none. */
const char *space_name(const struct area *a);

enum extent_source {
	EXTENT_IMAGE, /* at `src` */
	EXTENT_ZERO,  /* never written to */
	EXTENT_FILE,  /* area->reg at `file_off`: of this machine, or a copy in the images */
	EXTENT_NONE,  /* behind a file's end, or the kernel's own */
};

struct extent {
	const struct area *area;
	uint64_t start, len;
	enum extent_source from;
	const uint8_t *src; /* mapped as long as the checkpoint is open */
	uint64_t file_off;
};

/* The extent from addr on, which is inside the area; it ends with the area at the latest. */
void space_extent(const struct space *s, const struct area *a, uint64_t addr, struct extent *ret);

/* ------------------------------------------------------- bytes (space_read.c) */

/* Can its bytes be had? With `files`: those of this machine count, too. */
bool space_has(struct space *s, const struct extent *x, bool files);
/*
 * Returns how many bytes, from addr on, could be had; fewer than len if what follows is unmapped or
 * not at hand. Negative, and the reason, if not even the first one could.
 */
MUST_USE int64_t space_read(struct space *s, uint64_t addr, void *buf, uint64_t len, bool files,
			    struct err *err);
/* ERR_INPUT that tells which mapping is the nearest. */
int space_unmapped(const struct space *s, uint64_t addr, struct err *err);

/* ------------------------------------------------------- files (space_file.c) */

struct file_piece {
	uint64_t off, len; /* in the file */
	uint64_t at;	   /* in what is open */
};

/* Where the bytes of a mapped file are. */
struct file_source {
	int fd;		 /* -EBADF: not to be had */
	const char *why; /* in that case */
	bool in_images;	 /* it is a copy */
	uint64_t size;
	VEC(struct file_piece) pieces; /* ascending; what is in none is zero */
};

/*
 * The file of an area: the copy that the images have; with `local`, else the file of this machine,
 * if it is the one that was mapped as far as its record tells (size, build id, checksum). It stays
 * the space's, and is valid until the next call. NULL, and the reason, if there is neither.
 */
const struct file_source *space_file(struct space *s, const struct area *a, bool local,
				     const char **ret_why);
/* What of it is behind its end is zero, as in a mapping. */
MUST_USE int space_file_read(struct space *s, const struct area *a, void *buf, uint64_t len,
			     uint64_t off, struct err *err);
void space_files_close(struct space *s);
/* A copy in the images (space_copy.c): *ret is to be closed and freed by the caller. */
MUST_USE int space_copy_open(struct space *s, enum img_kind kind, uint32_t id,
			     struct file_source *ret, struct err *err);
